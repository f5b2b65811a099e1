/* train/objective and train/validate: losses equal what a plain forward pass gives, their gradient with respect to the
 * bridge is that of central differences through the whole receiver, frozen weights get none, and validation equals
 * scoring every answer by itself. */
#include "tiny_objective.h"

#include "train/validate.h"

#include <math.h>

/* The soft tokens of validation row i, [M, d_receiver]; free with tp_free. */
static float *soft_of(const tp_relay *r, tp_state_cache *states, int64_t i) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(states, tape, &i, 1, &offsets);
    tp_var *soft = tp_relay_soft(r, tape, hidden, offsets, 1);
    size_t bytes = (size_t)(soft->rows * soft->cols) * sizeof(float);
    float *out = memcpy(tp_alloc(bytes), soft->data, bytes);
    tp_tape_free(tape);
    return out;
}

/* log p of each token of a label's answer after soft tokens, by one forward pass of the whole sequence without any
 * cache; their number. */
static int64_t answer_logs(const tp_relay *r, const float *soft, int label, double *logs) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    const tp_ids *answer = tp_layout_label(r->layout, label);
    tp_layout_item item = {.answer = answer->data, .n_answer = answer->len};
    tp_layout_batch b;
    check_ok(tp_layout_build(r->layout, tape->arena, &item, 1, r->recipe->bridge.soft_tokens, &b));
    tp_var *prefix = tp_var_leaf(tape, soft, r->recipe->bridge.soft_tokens, stage.receiver->config.d_model);
    tp_var *x = tp_layout_input(tape, stage.receiver, &b, prefix);
    x = tp_lm_blocks(tape, stage.receiver, x, &(tp_batch){.n_sequences = 1, .offsets = b.offsets}, 0,
                     stage.receiver->config.n_layers);
    tp_var *logits = tp_lm_logits(tape, stage.receiver, x);
    for (int64_t t = 0; t < (int64_t)answer->len; t++) {
        const float *row = logits->data + (b.n_rows - (int64_t)answer->len + t) * logits->cols;
        double sum = 0;
        for (int64_t v = 0; v < logits->cols; v++) sum += exp((double)row[v]);
        logs[t] = row[answer->data[t]] - log(sum);
    }
    tp_tape_free(tape);
    return (int64_t)answer->len;
}

/* ---- the objective ---- */

static const char three_losses[] =
    "{\"losses\": [{\"name\": \"lm\", \"weight\": 0.7},"
    " {\"name\": \"first_token\", \"weight\": 0.8, \"schedule\": {\"kind\": \"anneal\", \"from\": 2, \"to\": 10}},"
    " {\"name\": \"diversity\", \"weight\": 0.6, \"schedule\": {\"kind\": \"window\", \"from\": 3, \"to\": 7}}],"
    " \"bridge\": {\"dropout\": 0}}";

static void losses_are_those_of_a_plain_forward_pass(void **state) {
    (void)state;
    tp_relay *r = make_relay(three_losses);
    tp_state_cache *states = states_of(r, &stage.task->valid);
    double lm = 0, first = 0, logs[64], cosines = 0;
    int64_t n_tokens = 0;
    float *soft[N];
    int64_t width = r->recipe->bridge.soft_tokens * stage.receiver->config.d_model;
    for (int64_t i = 0; i < N; i++) {
        soft[i] = soft_of(r, states, i);
        int64_t n = answer_logs(r, soft[i], stage.task->valid.examples[i].label, logs);
        for (int64_t t = 0; t < n; t++) lm -= logs[t];
        first -= logs[0] / N;
        n_tokens += n;
    }
    lm /= (double)n_tokens;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double ab = 0, aa = 0, bb = 0;
            for (int64_t k = 0; k < width; k++) {
                ab += (double)soft[i][k] * soft[j][k];
                aa += (double)soft[i][k] * soft[i][k];
                bb += (double)soft[j][k] * soft[j][k];
            }
            if (i != j) cosines += ab / sqrt(aa * bb) / (N * (N - 1));
        }
    const struct {
        int64_t step;
        double first_weight, diversity_weight;
    } cases[] = {{0, 0, 0}, {2, 0, 0}, {3, 0.1, 0.6}, {6, 0.4, 0.6}, {7, 0.5, 0}, {10, 0.8, 0}, {99, 0.8, 0}};
    for (int c = 0; c < 7; c++) {
        tp_objective_values v;
        double total = objective(r, states, NULL, cases[c].step, false, &v);
        assert_true(fabs(v.losses[TP_LOSS_LM] - lm) < 1e-4);
        if (cases[c].first_weight == 0) assert_true(isnan(v.losses[TP_LOSS_FIRST_TOKEN])); /* not even computed */
        if (cases[c].first_weight > 0) assert_true(fabs(v.losses[TP_LOSS_FIRST_TOKEN] - first) < 1e-4);
        if (cases[c].diversity_weight == 0) assert_true(isnan(v.losses[TP_LOSS_DIVERSITY]));
        if (cases[c].diversity_weight > 0) assert_true(fabs(v.losses[TP_LOSS_DIVERSITY] - cosines) < 1e-4);
        double expected = 0.7 * lm + cases[c].first_weight * first + cases[c].diversity_weight * cosines;
        assert_true(fabs(total - expected) < 2e-4);
    }
    for (int i = 0; i < N; i++) tp_free(soft[i]);
    tp_state_cache_free(states);
    tp_relay_free(r);
}

/* What the layout begins with is read once, before a training: the same losses, the same gradients. */
static void reading_the_prefix_once_changes_nothing(void **state) {
    (void)state;
    tp_relay *r = make_relay("{\"layout\": \"{bos}{primer}{soft}\", \"bridge\": {\"dropout\": 0}}");
    tp_state_cache *states = states_of(r, &stage.task->valid);
    tp_params *params = &r->bridge->params;
    tp_objective_values plain, behind;
    objective(r, states, NULL, 5, true, &plain);
    float *gradients[64];
    assert_true(params->n <= 64);
    for (size_t i = 0; i < params->n; i++) {
        size_t bytes = (size_t)(params->items[i]->rows * params->items[i]->cols) * sizeof(float);
        gradients[i] = memcpy(tp_alloc(bytes), params->items[i]->grad, bytes);
    }
    tp_params_zero_grad(params);
    check_ok(tp_relay_read_prefix(r));
    assert_non_null(r->prefix);
    assert_true(r->prefix->length > 1); /* the primer too */
    objective(r, states, NULL, 5, true, &behind);
    assert_true(fabs(behind.total - plain.total) < 1e-5 * fabs(plain.total));
    for (size_t i = 0; i < params->n; i++) {
        double off = 0, size = 1e-12;
        for (int64_t j = 0; j < params->items[i]->rows * params->items[i]->cols; j++) {
            off += pow((double)gradients[i][j] - params->items[i]->grad[j], 2);
            size += pow((double)gradients[i][j], 2);
        }
        if (!(sqrt(off / size) < 1e-4)) fail_msg("%s: off by %.1e", params->items[i]->name, sqrt(off / size));
        tp_free(gradients[i]);
    }
    tp_state_cache_free(states);
    tp_relay_free(r);
}

static void its_gradient_is_that_of_central_differences(void **state) {
    (void)state;
    tp_relay *r = make_relay(three_losses);
    tp_state_cache *states = states_of(r, &stage.task->valid);
    assert_true(check_slopes(r, states, NULL, 6) >= 8); /* all three losses are at work */
    tp_state_cache_free(states);
    tp_relay_free(r);
}

static tp_status check_frozen(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)context, (void)rows, (void)cols;
    if (w->grad != NULL) fail_msg("the frozen weight %s has a gradient", name);
    return TP_OK;
}

static void frozen_models_get_no_gradient(void **state) {
    (void)state;
    tp_relay *r = make_relay(three_losses);
    tp_state_cache *states = states_of(r, &stage.task->valid);
    tp_objective_values v;
    objective(r, states, NULL, 6, true, &v);
    assert_true(tp_params_grad_norm(&r->bridge->params) > 0);
    check_ok(tp_lm_visit(stage.sender, check_frozen, NULL));
    check_ok(tp_lm_visit(stage.receiver, check_frozen, NULL));
    tp_state_cache_free(states);
    tp_relay_free(r);
}

static void a_step_without_any_loss_changes_nothing(void **state) {
    (void)state;
    tp_relay *r = make_relay("{\"losses\": [{\"name\": \"lm\", \"weight\": 1, \"schedule\": {\"kind\": \"window\", "
                             "\"from\": 5, \"to\": 9}}]}");
    tp_state_cache *states = states_of(r, &stage.task->valid);
    tp_objective_values v;
    assert_true(objective(r, states, NULL, 4, true, &v) == 0);
    assert_true(tp_params_grad_norm(&r->bridge->params) == 0);
    assert_true(objective(r, states, NULL, 5, true, &v) > 0);
    assert_true(tp_params_grad_norm(&r->bridge->params) > 0);
    tp_state_cache_free(states);
    tp_relay_free(r);
}

/* ---- validation ---- */

static void validation_is_scoring_every_answer_by_itself(void **state) {
    (void)state;
    tp_relay *r = make_relay(NULL);
    /* the training rows as well: more than go at once */
    const tp_dataset *sets[] = {&stage.task->valid, &stage.task->train};
    for (int which = 0; which < 2; which++) {
        const tp_dataset *set = sets[which];
        assert_int_equal(set->n > 64, which == 1);
        tp_state_cache *states = states_of(r, set);
        int64_t right = 0;
        double loss = 0, logs[64];
        for (size_t i = 0; i < set->n; i++) {
            float *soft = soft_of(r, states, (int64_t)i);
            double scores[3] = {0};
            int best = 0;
            for (int label = 0; label < 3; label++) {
                int64_t n = answer_logs(r, soft, label, logs);
                for (int64_t t = 0; t < n; t++) scores[label] += logs[t];
                if (scores[label] > scores[best]) best = label;
            }
            right += best == set->examples[i].label;
            loss -= scores[set->examples[i].label];
            tp_free(soft);
        }
        tp_validation v;
        check_ok(tp_validate(r, states, set, (int64_t)set->n, &v));
        assert_int_equal(v.n, set->n);
        assert_true(right > 0 && right < (int64_t)set->n); /* or this says little */
        assert_true(v.accuracy == (double)right / (double)set->n);
        assert_true(fabs(v.loss - loss / (double)set->n) < 1e-4 * loss);
        tp_state_cache_free(states);
    }
    tp_relay_free(r);
}

/* A look at all validation rows of the task must say what the rows say one by one. */
static void check_look(const tp_relay *r, const tp_task *t) {
    tp_state_cache *states = states_of(r, &t->valid);
    int64_t n = (int64_t)t->valid.n, right = 0, different = 0, max = tp_relay_longest_answer(r);
    char **answers = tp_alloc((size_t)n * sizeof *answers);
    for (int64_t i = 0; i < n; i++) {
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        float *soft = soft_of(r, states, i);
        tp_prompts prompts;
        tp_var *prefix = tp_var_leaf(tape, soft, r->recipe->bridge.soft_tokens, stage.receiver->config.d_model);
        check_ok(tp_relay_prompts(r, tape, prefix, NULL, 1, &prompts));
        check_ok(tp_relay_generate(r, &prompts, max, &answers[i]));
        right += tp_task_parse_answer(t, answers[i], strlen(answers[i])) == t->valid.examples[i].label;
        bool first = true;
        for (int64_t j = 0; j < i; j++) first = first && strcmp(answers[i], answers[j]) != 0;
        different += first;
        tp_free(soft);
        tp_tape_free(tape);
    }
    if (different <= 2 || right <= n / 4 || right >= n) /* then much could be wrong unseen */
        fail_msg("%d of %d right, %d different answers: not half trained", (int)right, (int)n, (int)different);
    tp_quick_look look;
    check_ok(tp_quick_evaluate(r, states, t, 1000, 3, &look)); /* more than there are: every row once */
    assert_int_equal(look.n, n);
    assert_true(look.accuracy == (double)right / (double)n);
    assert_true(look.diversity == (double)different / (double)n);
    for (int i = 0; i < 3; i++) assert_non_null(strstr(look.by_class, tiny_labels[i]));
    assert_non_null(strstr(look.samples, "\" -> \""));
    tp_quick_look some, again, later;
    check_ok(tp_quick_evaluate(r, states, t, 5, 3, &some));
    check_ok(tp_quick_evaluate(r, states, t, 5, 3, &again));
    check_ok(tp_quick_evaluate(r, states, t, 5, 4, &later));
    assert_int_equal(some.n, 5);
    assert_string_equal(some.samples, again.samples);
    assert_string_not_equal(some.samples, later.samples); /* other rows at another step */
    for (int64_t i = 0; i < n; i++) tp_free(answers[i]);
    tp_free(answers);
    tp_state_cache_free(states);
}

static void a_quick_look_is_what_the_receiver_says(void **state) {
    (void)state;
    /* half trained: some answers are right, some wrong, some nonsense */
    tp_recipe *recipe = tiny_recipe("{\"optimiser\": {\"steps\": 60, \"lr\": 0.006, \"batch\": 16, \"accumulate\": 1}, "
                                    "\"bridge\": {\"dropout\": 0, \"width\": 32, \"depth\": 2}, "
                                    "\"sender\": {\"layer\": 0, \"position_dropout\": 0}}");
    char *run = tp_path_join(stage.dir, "run");
    tp_train_result result;
    check_ok(tp_train(
        &(tp_train_options){
            .recipe = recipe, .sender = stage.sender, .receiver = stage.receiver, .task = stage.task, .out = run},
        &result));
    tp_relay *r = tp_relay_load(run, stage.sender, stage.receiver);
    check_not_null(r);
    free(run);
    tp_recipe_free(recipe);
    check_look(r, stage.task);
    tp_task larger = *stage.task;
    larger.valid = stage.task->train; /* more rows than go at once */
    check_look(r, &larger);
    tp_relay_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_a_plain_forward_pass),
        cmocka_unit_test(reading_the_prefix_once_changes_nothing),
        cmocka_unit_test(its_gradient_is_that_of_central_differences),
        cmocka_unit_test(frozen_models_get_no_gradient),
        cmocka_unit_test(a_step_without_any_loss_changes_nothing),
        cmocka_unit_test(validation_is_scoring_every_answer_by_itself),
        cmocka_unit_test(a_quick_look_is_what_the_receiver_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
