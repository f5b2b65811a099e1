/* The regimes of training (docs/training.md): each does what it says to a step, each is off without its key, and a run
 * with all of them that was stopped goes on bit by bit. So do runs with the losses that have heads of their own. */
#include "tiny_objective.h"

#include "base/file.h"
#include "base/json.h"
#include "train/losses.h"

/* The logits of the first N validation rows in step `step` of training, and what was laid out. */
typedef struct {
    tp_tape *tape;
    tp_state_cache *states;
    tp_loss_aids *aids;
    tp_objective_batch batch;
    const tp_example *rows[N];
    tp_layout_batch layout;
    tp_var *logits;
} step_seen;

static tp_loss_aids *plain_aids(const tp_relay *r, double rms) {
    tp_moments *none = tp_moments_new(stage.sender->config.d_model);
    tp_calibration *c = tp_calibration_new(none, &stage.receiver->embed, stage.receiver->config.embedding_scale);
    tp_loss_aids *aids = tp_loss_aids_new(r, c, stage.task, 3);
    check_not_null(aids);
    if (rms > 0) aids->target_rms = rms;
    tp_calibration_free(c);
    tp_moments_free(none);
    return aids;
}

static step_seen look_at_step(const tp_relay *r, int64_t step, uint64_t tape_step) {
    step_seen s = {
        .tape = tp_tape_new(TP_MATH_F32), .states = states_of(r, &stage.task->valid), .aids = plain_aids(r, 0)};
    s.tape->seed = 3;
    s.tape->step = tape_step;
    int64_t indices[N];
    for (int64_t i = 0; i < N; i++) indices[i] = i, s.rows[i] = &stage.task->valid.examples[i];
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(s.states, s.tape, indices, N, &offsets);
    s.batch = (tp_objective_batch){.n = N, .soft = tp_relay_soft(r, s.tape, hidden, offsets, N), .aids = s.aids};
    s.batch.examples = s.rows;
    check_ok(tp_training_logits(r, s.tape, &s.batch, step, &s.layout, &s.logits));
    return s;
}

static void step_free(step_seen *s) {
    tp_state_cache_free(s->states);
    tp_loss_aids_free(s->aids);
    tp_tape_free(s->tape);
}

static bool same_rows(const step_seen *a, const step_seen *b, int64_t from, int64_t to) {
    size_t bytes = (size_t)((to - from) * a->logits->cols) * sizeof(float);
    return memcmp(a->logits->data + from * a->logits->cols, b->logits->data + from * b->logits->cols, bytes) == 0;
}

/* The first token of an answer is told from the soft tokens alone; the others see hidden rows before them. */
static void masked_answers_are_hidden_from_later_tokens(void **state) {
    (void)state;
    tp_relay *plain = make_relay("{\"bridge\": {\"dropout\": 0}}");
    tp_relay *masked = make_relay("{\"bridge\": {\"dropout\": 0}, \"regime\": {\"mask_answers\": 1.0}}");
    tp_relay *noisy = make_relay("{\"bridge\": {\"dropout\": 0}, \"regime\": {\"mask_answers\": 0.5, "
                                 "\"mask_with\": \"noise\"}}");
    step_seen a = look_at_step(plain, 0, 1), b = look_at_step(masked, 0, 1), c = look_at_step(noisy, 0, 1),
              again = look_at_step(noisy, 0, 1), later = look_at_step(noisy, 0, 2);
    int64_t later_tokens = 0, hidden = 0;
    for (int64_t s = 0; s < N; s++) {
        int64_t first = a.layout.target_offsets[s], end = a.layout.target_offsets[s + 1];
        assert_true(same_rows(&a, &b, first, first + 1) && same_rows(&a, &c, first, first + 1));
        for (int64_t t = first + 1; t < end; t++, later_tokens++) {
            assert_false(same_rows(&a, &b, t, t + 1));
            hidden += !same_rows(&a, &c, t, t + 1);
        }
    }
    assert_true(later_tokens >= N);                   /* or this says nothing */
    assert_true(hidden > 0 && hidden < later_tokens); /* a share of them */
    assert_true(same_rows(&c, &again, 0, c.logits->rows));
    assert_false(same_rows(&c, &later, 0, c.logits->rows)); /* each step draws its own */

    /* all hidden: what the later rows see is zeros, not the answer */
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_layout_batch batch;
    tp_layout_item item = {.answer = a.layout.targets, .n_answer = (size_t)a.layout.target_offsets[1]};
    check_ok(tp_layout_build(plain->layout, tape->arena, &item, 1, 3, &batch));
    tp_var *x = tp_layout_input(tape, stage.receiver, &batch, b.batch.soft);
    int64_t n = item.n_answer - 1 ? (int64_t)item.n_answer - 1 : 0, d = x->cols;
    memset(x->data + (x->rows - n) * d, 0, (size_t)(n * d) * sizeof(float));
    x = tp_lm_blocks(tape, stage.receiver, x, &(tp_batch){.n_sequences = 1, .offsets = batch.offsets}, 0,
                     stage.receiver->config.n_layers);
    tp_var *logits = tp_lm_logits(tape, stage.receiver, x);
    for (int64_t i = 0; i < (n + 1) * logits->cols; i++) {
        float found = b.logits->data[i], expected = logits->data[(logits->rows - n - 1) * logits->cols + i];
        assert_true(fabsf(found - expected) < 1e-4f * (1 + fabsf(expected)));
    }
    tp_tape_free(tape);
    step_seen *all[] = {&a, &b, &c, &again, &later};
    for (int i = 0; i < 5; i++) step_free(all[i]);
    tp_relay_free(plain);
    tp_relay_free(masked);
    tp_relay_free(noisy);
}

/* Of the first steps some examples' texts are read; each example's rows are what its own layout gives. */
static void the_warm_up_reads_some_texts(void **state) {
    (void)state;
    tp_relay *plain = make_relay("{\"bridge\": {\"dropout\": 0}}");
    tp_relay *with = make_relay("{\"bridge\": {\"dropout\": 0}, \"layout\": \"{bos}{soft}{text}\\n{primer}\"}");
    tp_relay *mixed = make_relay("{\"bridge\": {\"dropout\": 0}, \"regime\": {\"text_steps\": 5}}");
    tp_relay *always =
        make_relay("{\"bridge\": {\"dropout\": 0}, \"regime\": {\"text_steps\": 5, \"text_share\": 1.0}}");
    for (int prefix = 0; prefix < 2; prefix++) {
        step_seen a = look_at_step(plain, 0, 1), b = look_at_step(with, 0, 1), c = look_at_step(mixed, 4, 1),
                  after = look_at_step(mixed, 5, 1), d = look_at_step(always, 4, 1);
        int texts = 0;
        for (int64_t s = 0; s < N; s++) {
            int64_t from = a.layout.target_offsets[s], to = a.layout.target_offsets[s + 1];
            assert_int_equal(c.layout.target_offsets[s], from);
            float off[2] = {0, 0}; /* from reading the text, from not reading it */
            for (int64_t i = from * a.logits->cols; i < to * a.logits->cols; i++) {
                off[0] = fmaxf(off[0], fabsf(c.logits->data[i] - b.logits->data[i]));
                off[1] = fmaxf(off[1], fabsf(c.logits->data[i] - a.logits->data[i]));
                assert_true(fabsf(d.logits->data[i] - b.logits->data[i]) < 1e-4f);
            }
            bool read = off[0] < 1e-4f;
            assert_true(read != (off[1] < 1e-4f));
            texts += read;
        }
        assert_in_range(texts, 1, N - 1);
        assert_true(same_rows(&a, &after, 0, a.logits->rows));
        step_seen *all[] = {&a, &b, &c, &after, &d};
        for (int i = 0; i < 5; i++) step_free(all[i]);
        check_ok(tp_relay_read_prefix(plain)); /* the same behind a prefix that was read beforehand */
        check_ok(tp_relay_read_prefix(mixed));
        check_ok(tp_relay_read_prefix(always));
        assert_non_null(mixed->prefix);
    }
    tp_relay_free(plain);
    tp_relay_free(with);
    tp_relay_free(mixed);
    tp_relay_free(always);
}

/* A number of the log's lines about updates, of each in order; how many there are. */
static int logged(const char *folder, const char *key, double *values, int most) {
    char *path = tp_path_join(folder, "log.jsonl");
    tp_lines *lines = tp_lines_open(path);
    check_not_null(lines);
    char *line;
    size_t n;
    int found = 0;
    while (tp_lines_next(lines, &line, &n)) {
        json_t *value = json_loadb(line, n, 0, NULL);
        if (json_object_get(value, "lr") && found < most)
            values[found++] = json_real_value(json_object_get(value, key));
        json_decref(value);
    }
    tp_lines_close(lines);
    tp_free(path);
    return found;
}

static void gradients_are_scaled_on_their_way_into_the_bridge(void **state) {
    (void)state;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    const float numbers[] = {1, -2, 3};
    tp_var *x = tp_var_leaf(tape, numbers, 1, 3), *y = tp_scale_gradient(tape, x, 4);
    assert_memory_equal(y->data, numbers, sizeof numbers);
    tp_backward(tape, tp_inner_product(tape, y, y, 1), 1);
    for (int i = 0; i < 3; i++) assert_true(x->grad[i] == 8 * numbers[i]);
    assert_ptr_equal(tp_scale_gradient(tape, x, 1), x);
    tp_tape_free(tape);
    const char *const format = "{\"optimiser\": {\"steps\": 50, \"clip\": 0.0}, \"regime\": {\"gradient_scale\": %s}, "
                               "\"early_stopping\": {\"every\": 100}, \"quick_eval\": {\"every\": 0}}";
    const char *const scales[] = {"1.0", "4.0"};
    double norms[2];
    for (int i = 0; i < 2; i++) {
        char changes[300];
        snprintf(changes, sizeof changes, format, scales[i]);
        check_train(in_dir("scaled"), changes);
        assert_int_equal(logged(in_dir("scaled"), "gradient_norm", &norms[i], 1), 1);
        shell("rm -r '%s'", in_dir("scaled"));
    }
    assert_true(norms[0] > 0 && norms[1] > 2 * norms[0]); /* other bridges by then, but of that order */
}

/* A growing bridge hands on its first tokens; only one that has all of them may be the best. */
static void soft_tokens_grow(void **state) {
    (void)state;
    tp_relay *r = make_relay("{\"bridge\": {\"dropout\": 0}}");
    tp_state_cache *states = states_of(r, &stage.task->valid);
    float *all = NULL;
    for (int m = 0; m <= 3; m++) {
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        int64_t indices[] = {0, 1};
        const int64_t *offsets;
        tp_var *hidden = tp_state_cache_fetch(states, tape, indices, 2, &offsets);
        r->tokens_in_use = m;
        tp_var *soft = tp_relay_soft(r, tape, hidden, offsets, 2);
        int64_t d = soft->cols, used = m ? m : 3;
        assert_int_equal(soft->rows, 2 * used);
        if (m == 0)
            all = memcpy(tp_alloc((size_t)(6 * d) * sizeof(float)), soft->data, (size_t)(6 * d) * sizeof(float));
        for (int64_t s = 0; s < 2; s++)
            assert_memory_equal(soft->data + s * used * d, all + s * 3 * d, (size_t)(used * d) * sizeof(float));
        tp_tape_free(tape);
    }
    tp_free(all);
    tp_state_cache_free(states);
    tp_relay_free(r);

    const char grows[] = "{\"bridge\": {\"grow\": [[0, 1], [12, 2], [25, 3]]}}";
    tp_train_result result;
    check_ok(train(in_dir("grows"), grows, 0, &result));
    assert_in_range(result.best_step, 30, 40); /* validations at 10 and 20 were with fewer tokens */
    assert_non_null(strstr(said, "step 10  validation accuracy"));
    assert_null(strstr(said, "step 10  validation accuracy 0.00 %, loss 0.0000  (best"));
    const struct {
        const char *changes, *says;
    } wrong[] = {{"{\"bridge\": {\"grow\": [[0, 1], [12, 2]]}}", "ends with 2 soft tokens"},
                 {"{\"bridge\": {\"grow\": [[0, 1], [40, 3]]}}", "there are only 40"}};
    for (int i = 0; i < 2; i++) check_error(train(in_dir("wrong"), wrong[i].changes, 0, &result), wrong[i].says);
}

static void every_regime_resumes_bit_by_bit(void **state) {
    (void)state;
    const int64_t stops[] = {7, 13, 26};
    check_resumes(
        "{\"bridge\": {\"grow\": [[0, 1], [9, 2], [21, 3]]}, \"regime\": {\"mask_answers\": 0.3, \"mask_with\": "
        "\"noise\", \"gradient_scale\": 2.0, \"text_steps\": 15}}",
        stops, 3);
}

static void every_loss_resumes_bit_by_bit(void **state) {
    (void)state;
    const int64_t stops[] = {5, 17, 30};
    check_resumes("{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"bottleneck\"}, {\"name\": \"contrastive\"}, "
                  "{\"name\": \"anchor\"}, {\"name\": \"align\", \"schedule\": {\"kind\": \"window\", \"to\": 20}}, "
                  "{\"name\": \"recon\", \"of\": \"token\"}, {\"name\": \"bow\", \"schedule\": {\"kind\": \"anneal\", "
                  "\"from\": 3, \"to\": 33}}, {\"name\": \"distill\"}, {\"name\": \"scale_reg\"}]}",
                  stops, 3);
    const int64_t once[] = {20};
    check_resumes("{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"recon\"}, {\"name\": \"contrastive\", \"positives\": "
                  "\"label\"}]}",
                  once, 1);
}

/* What the heads are trained on becomes learned, and nothing of them is in the bridge that is kept. */
static void heads_learn_and_are_thrown_away(void **state) {
    (void)state;
    const char *const losses[] = {"{\"name\": \"recon\"}", "{\"name\": \"recon\", \"of\": \"token\"}",
                                  "{\"name\": \"bow\", \"weight\": 20}"};
    for (int i = 0; i < 3; i++) {
        char changes[400];
        snprintf(changes, sizeof changes,
                 "{\"losses\": [%s], \"optimiser\": {\"steps\": 150, \"lr\": 0.01, \"accumulate\": 1}, \"bridge\": "
                 "{\"dropout\": 0}, \"quick_eval\": {\"every\": 0}}",
                 losses[i]);
        check_train(in_dir("heads"), changes);
        double values[3]; /* after 50, 100 and 150 updates */
        assert_int_equal(logged(in_dir("heads"), "loss", values, 3), 3);
        if (!(values[2] < 0.9 * values[0])) fail_msg("%s: %g, %g, %g", losses[i], values[0], values[1], values[2]);
        shell("! grep -q 'heads\\.' '%s/adapter_model.safetensors'", in_dir("heads"));
        shell("grep -q 'heads\\.' '%s/state.safetensors'", in_dir("heads"));
        shell("rm -r '%s'", in_dir("heads"));
    }
}

/* In training, too, a loss outside of its window or before its anneal is not there. */
static void losses_follow_their_schedules_in_training(void **state) {
    (void)state;
    check_train(
        in_dir("schedules"),
        "{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"diversity\", \"weight\": 0.5, \"schedule\": {\"kind\": "
        "\"window\", \"to\": 60}}, {\"name\": \"first_token\", \"schedule\": {\"kind\": \"anneal\", \"from\": 70, "
        "\"to\": 90}}], \"optimiser\": {\"steps\": 100, \"accumulate\": 1}, \"quick_eval\": {\"every\": 0}}");
    double values[2]; /* after 50 and 100 updates; 0: not in the line */
    const struct {
        const char *loss;
        bool at_50, at_100;
    } cases[] = {{"lm", true, true}, {"diversity", true, false}, {"first_token", false, true}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(logged(in_dir("schedules"), cases[i].loss, values, 2), 2);
        assert_true((values[0] != 0) == cases[i].at_50 && (values[1] != 0) == cases[i].at_100);
    }
}

static void losses_that_cannot_be_are_refused(void **state) {
    (void)state;
    const struct {
        const char *changes, *says;
    } wrong[] = {
        {"{\"losses\": [{\"name\": \"contrastive\"}], \"bridge\": {\"dropout\": 0}, \"sender\": {\"position_dropout\": "
         "0.0}}",
         "both views of an example are the same"},
        {"{\"losses\": [{\"name\": \"flow\"}]}", "bridges of the kind \"perceiver\" do not have"},
        {"{\"layout\": \"{bos}{soft}{text}{primer}\", \"regime\": {\"text_steps\": 3}}", "it always does"},
    };
    tp_train_result result;
    for (int i = 0; i < 3; i++) check_error(train(in_dir("wrong"), wrong[i].changes, 0, &result), wrong[i].says);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_answers_are_hidden_from_later_tokens),
        cmocka_unit_test(the_warm_up_reads_some_texts),
        cmocka_unit_test(gradients_are_scaled_on_their_way_into_the_bridge),
        cmocka_unit_test(soft_tokens_grow),
        cmocka_unit_test(every_regime_resumes_bit_by_bit),
        cmocka_unit_test(every_loss_resumes_bit_by_bit),
        cmocka_unit_test(heads_learn_and_are_thrown_away),
        cmocka_unit_test(losses_follow_their_schedules_in_training),
        cmocka_unit_test(losses_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
