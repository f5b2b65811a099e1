/* train/objective: the gradient of every loss of its own, through the whole receiver, the bridge and the losses' heads,
 * is that of central differences; what PyTorch cannot be asked (the question's words, the teacher) is computed again
 * here. Values and gradients of each loss by itself are in test_losses.c. */
#include "tiny_objective.h"

/* Statistics of the stage's validation states, and the aids of the relay's losses made with them. */
static tp_loss_aids *aids_of(const tp_relay *r, tp_state_cache *states) {
    tp_moments *moments = tp_moments_new(stage.sender->config.d_model);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int64_t indices[N];
    for (int64_t i = 0; i < N; i++) indices[i] = i;
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(states, tape, indices, N, &offsets);
    tp_moments_add(moments, hidden->data, hidden->rows);
    tp_calibration *c = tp_calibration_new(moments, &stage.receiver->embed, stage.receiver->config.embedding_scale);
    tp_loss_aids *aids = tp_loss_aids_new(r, c, stage.task, 3);
    check_not_null(aids);
    tp_calibration_free(c);
    tp_moments_free(moments);
    tp_tape_free(tape);
    return aids;
}

static void every_losses_gradient_is_that_of_central_differences(void **state) {
    (void)state;
    const struct {
        const char *loss;
        bool shares; /* with `lm`: alone it would move nothing but the scale */
    } cases[] = {
        {"\"bottleneck\", \"tokens\": 1, \"factor\": 9", false},
        {"\"contrastive\", \"positives\": \"views\", \"temperature\": 0.5", false},
        {"\"contrastive\", \"positives\": \"label\", \"temperature\": 0.5", false},
        {"\"contrastive\", \"positives\": \"self\", \"temperature\": 0.5", false},
        {"\"anchor\"", false},
        {"\"anchor\", \"target\": \"question\"", false},
        {"\"anchor\", \"distance\": \"mse\"", false},
        {"\"align\", \"tokens\": 2", false},
        {"\"recon\"", false},
        {"\"recon\", \"of\": \"token\", \"distance\": \"cosine\"", false},
        {"\"bow\"", false},
        {"\"distill\", \"temperature\": 2", false},
        {"\"distill\", \"tokens\": 1, \"prompt\": \"plain\"", false},
        {"\"scale_reg\", \"weight\": 0.5", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *changes = tp_format("{\"losses\": [%s{\"name\": %s%s}], \"bridge\": {\"dropout\": 0}}",
                                  cases[i].shares ? "{\"name\": \"lm\"}, " : "", cases[i].loss,
                                  strstr(cases[i].loss, "weight") ? "" : ", \"weight\": 1");
        tp_relay *r = make_relay(changes);
        check_ok(tp_objective_check(r));
        tp_state_cache *states = states_of(r, &stage.task->valid);
        tp_loss_aids *aids = aids_of(r, states);
        int important = check_slopes(r, states, aids, 0);
        if (important < 5) fail_msg("%s: only %d parameters matter", changes, important);
        tp_loss_aids_free(aids);
        tp_state_cache_free(states);
        tp_relay_free(r);
        tp_free(changes);
    }
}

static double cosine_of(const double *a, const double *b, int64_t d) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t j = 0; j < d; j++) ab += a[j] * b[j], aa += a[j] * a[j], bb += b[j] * b[j];
    return ab / sqrt(aa * bb);
}

/* The mean of n rows of d numbers. */
static void mean_of(const float *rows, int64_t n, int64_t d, double *out) {
    for (int64_t j = 0; j < d; j++) out[j] = 0;
    for (int64_t i = 0; i < n * d; i++) out[i % d] += rows[i] / (double)n;
}

static double loss_alone(const char *loss, tp_loss_name name) {
    char *changes = tp_format("{\"losses\": [{\"name\": %s}], \"bridge\": {\"dropout\": 0}}", loss);
    tp_relay *r = make_relay(changes);
    tp_state_cache *states = states_of(r, &stage.task->valid);
    tp_loss_aids *aids = aids_of(r, states);
    tp_objective_values v;
    objective(r, states, aids, 0, false, &v);
    tp_loss_aids_free(aids);
    tp_state_cache_free(states);
    tp_relay_free(r);
    tp_free(changes);
    return v.losses[name];
}

/* Soft tokens of the validation rows as all relays here give them, [N * M, d]; free with tp_free. */
static float *soft_tokens(int64_t *m) {
    tp_relay *r = make_relay("{\"bridge\": {\"dropout\": 0}}");
    tp_state_cache *states = states_of(r, &stage.task->valid);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int64_t indices[N];
    for (int64_t i = 0; i < N; i++) indices[i] = i;
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(states, tape, indices, N, &offsets);
    tp_var *soft = tp_relay_soft(r, tape, hidden, offsets, N);
    size_t bytes = (size_t)(soft->rows * soft->cols) * sizeof(float);
    float *copy = memcpy(tp_alloc(bytes), soft->data, bytes);
    *m = soft->rows / N;
    tp_tape_free(tape);
    tp_state_cache_free(states);
    tp_relay_free(r);
    return copy;
}

static void the_question_is_the_text_as_the_receiver_writes_it(void **state) {
    (void)state;
    int64_t m, d = stage.receiver->config.d_model;
    float *soft = soft_tokens(&m);
    double expected = 0, own[256], question[256];
    assert_true(d <= 256);
    for (int64_t i = 0; i < N; i++) {
        const tp_example *e = &stage.task->valid.examples[i];
        tp_ids ids = {0};
        check_ok(tp_tokenizer_encode(stage.receiver->tokenizer, e->text, e->len, TP_TOKENS_PLAIN, &ids));
        float *rows = tp_alloc(ids.len * (size_t)d * sizeof(float));
        for (size_t t = 0; t < ids.len; t++) tp_weight_row(&stage.receiver->embed, ids.data[t], rows + t * (size_t)d);
        mean_of(rows, (int64_t)ids.len, d, question);
        mean_of(soft + i * m * d, m, d, own);
        expected += (1 - cosine_of(own, question, d)) / N;
        tp_free(rows);
        tp_ids_free(&ids);
    }
    tp_free(soft);
    double found = loss_alone("\"anchor\", \"target\": \"question\"", TP_LOSS_ANCHOR);
    if (!(fabs(found - expected) < 1e-4)) fail_msg("%g, expected %g", found, expected);
}

/* The logits that predict an answer behind some rows, by a plain forward pass of one sequence. */
static tp_var *logits_behind(tp_tape *tape, const tp_layout *layout, const tp_layout_item *item, tp_var *soft,
                             int64_t m) {
    tp_layout_batch b;
    check_ok(tp_layout_build(layout, tape->arena, item, 1, (int)m, &b));
    tp_var *x = tp_layout_input(tape, stage.receiver, &b, soft);
    x = tp_lm_blocks(tape, stage.receiver, x, &(tp_batch){.n_sequences = 1, .offsets = b.offsets}, 0,
                     stage.receiver->config.n_layers);
    tp_var *logits = tp_lm_logits(tape, stage.receiver, x);
    int64_t n = (int64_t)item->n_answer, v = logits->cols;
    return tp_var_wrap(tape, logits->data + (logits->rows - n) * v, n, v);
}

static void the_teacher_is_the_receiver_that_reads_the_text(void **state) {
    (void)state;
    int64_t m, d = stage.receiver->config.d_model;
    float *soft = soft_tokens(&m);
    tp_relay *r = make_relay("{\"bridge\": {\"dropout\": 0}}");
    char *pattern = tp_format("{bos}%s", stage.task->prompt_labels);
    tp_layout *texts = tp_layout_new(&(tp_layout_options){.pattern = pattern,
                                                          .tokenizer = stage.receiver->tokenizer,
                                                          .eos = -1,
                                                          .labels = r->label_names,
                                                          .n_labels = r->n_labels});
    check_not_null(texts);
    double expected = 0;
    int64_t tokens = 0;
    for (int64_t i = 0; i < N; i++) {
        const tp_example *e = &stage.task->valid.examples[i];
        const tp_ids *answer = tp_layout_label(r->layout, e->label);
        tp_layout_item item = {.text = e->text, .len = e->len, .answer = answer->data, .n_answer = answer->len};
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        tp_var *own = logits_behind(tape, r->layout, &item, tp_var_wrap(tape, soft + i * m * d, m, d), m);
        tp_var *teacher = logits_behind(tape, texts, &item, NULL, 0);
        for (int64_t t = 0; t < own->rows; t++, tokens++) {
            double sums[2] = {0, 0};
            for (int64_t v = 0; v < own->cols; v++) {
                sums[0] += exp(own->data[t * own->cols + v]);
                sums[1] += exp(teacher->data[t * own->cols + v]);
            }
            for (int64_t v = 0; v < own->cols; v++) {
                double log_p = teacher->data[t * own->cols + v] - log(sums[1]);
                expected += exp(log_p) * (log_p - (own->data[t * own->cols + v] - log(sums[0])));
            }
        }
        tp_tape_free(tape);
    }
    expected /= (double)tokens;
    double found = loss_alone("\"distill\"", TP_LOSS_DISTILL);
    assert_true(expected > 0.01); /* the two do not say the same */
    if (!(fabs(found - expected) < 1e-3 * expected)) fail_msg("%g, expected %g", found, expected);
    tp_layout_free(texts);
    tp_relay_free(r);
    tp_free(pattern);
    tp_free(soft);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_losses_gradient_is_that_of_central_differences),
        cmocka_unit_test(the_question_is_the_text_as_the_receiver_writes_it),
        cmocka_unit_test(the_teacher_is_the_receiver_that_reads_the_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
