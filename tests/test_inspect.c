/* analysis/: what `telepathy inspect` says about a bridge between a tiny pair of models, part by part against the same
 * computed plainly. */
#include "tiny_finished_run.h"

#include "analysis/documents.h"
#include "analysis/inspect.h"
#include "analysis/packets.h"
#include "analysis/similarity.h"
#include "base/mem.h"
#include "lm/nearest.h"
#include "nn/layers.h"

#include <math.h>

/* ---- attention ---- */

/* Weights times values, through the output matrix, is what the layer's own forward gives. */
static void attention_weights_reproduce_the_layer(void **state) {
    (void)state;
    enum { DIM = 24, HEADS = 3, NQ = 5, NK = 17 };
    tp_params params = {0};
    tp_nn_attention layer = {0};
    tp_nn_attention_attach(&params, &layer, "a", DIM, HEADS, 3);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *x = tp_var_new(tape, NQ, DIM), *context = tp_var_new(tape, NK, DIM);
    tp_rng rng = tp_rng_stream(5, "rows", 0);
    tp_rng_fill_normal(&rng, x->data, NQ * DIM, 2);
    tp_rng_fill_normal(&rng, context->data, NK * DIM, 2);
    float weights[HEADS * NQ * NK];
    tp_nn_attention_weights(tape, &layer, x, context, weights);
    const tp_var *v = tp_nn_linear_apply(tape, &layer.v, context);
    tp_var *mixed = tp_var_new(tape, NQ, DIM);
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < NQ; i++) {
            const float *row = weights + (h * NQ + i) * NK;
            double sum = 0;
            for (int j = 0; j < NK; j++) sum += (double)row[j];
            assert_true(fabs(sum - 1) < 1e-6);
            for (int c = h * DIM / HEADS; c < (h + 1) * DIM / HEADS; c++) {
                double value = 0;
                for (int j = 0; j < NK; j++) value += (double)row[j] * (double)v->data[j * DIM + c];
                mixed->data[i * DIM + c] = (float)value;
            }
        }
    const tp_var *found = tp_nn_linear_apply(tape, &layer.o, mixed);
    int64_t q_offsets[2] = {0, NQ}, k_offsets[2] = {0, NK};
    const tp_var *expected = tp_nn_attention_apply(tape, &layer, x, context, q_offsets, k_offsets, 1);
    double largest = 0, away = 0;
    for (int i = 0; i < NQ * DIM; i++) {
        largest = fmax(largest, fabs((double)expected->data[i]));
        away = fmax(away, fabs((double)found->data[i] - (double)expected->data[i]));
    }
    if (!(away < 2e-6 * largest)) fail_msg("weights times values are off by %g of %g", away, largest);
    tp_tape_free(tape);
    tp_params_free(&params);
}

static const tp_weight *parameter(const char *name) {
    const tp_params *p = &relay->bridge->params;
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i]->name, name) == 0) return p->items[i];
    fail_msg("the bridge has no parameter %s", name);
    return NULL;
}

/* The first block's weights, from the bridge's parameters by name: queries and states through their norms and matrices.
 */
static void a_bridge_shows_what_its_first_block_reads(void **state) {
    (void)state;
    enum { T = 11 };
    const tp_bridge *b = relay->bridge;
    int64_t m = b->recipe.soft_tokens, heads = b->recipe.heads, width = b->recipe.width, head = width / heads;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *hidden = tp_var_new(tape, T, b->d_source);
    tp_rng rng = tp_rng_stream(6, "states", 0);
    tp_rng_fill_normal(&rng, hidden->data, (size_t)(T * b->d_source), 1);
    float *weights = tp_alloc((size_t)(b->recipe.depth * heads * m * T) * sizeof *weights);
    check_ok(tp_bridge_attention(tape, b, hidden, weights));

    tp_var *x = tp_nn_whiten(tape, hidden, &b->source_mean, &b->source_std);
    x = tp_linear(tape, x, parameter("input_proj.weight"), parameter("input_proj.bias"));
    x = tp_layer_norm(tape, x, parameter("blocks.0.cross.norm_kv.weight"), parameter("blocks.0.cross.norm_kv.bias"),
                      1e-5f);
    tp_var *q = tp_layer_norm(tape, tp_parameter(tape, parameter("queries")), parameter("blocks.0.cross.norm_q.weight"),
                              parameter("blocks.0.cross.norm_q.bias"), 1e-5f);
    const tp_var *k = tp_linear(tape, x, parameter("blocks.0.cross.k.weight"), NULL);
    q = tp_linear(tape, q, parameter("blocks.0.cross.q.weight"), NULL);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < m; i++) {
            double scores[T], sum = 0;
            for (int64_t j = 0; j < T; j++) {
                double product = 0;
                for (int64_t c = h * head; c < (h + 1) * head; c++)
                    product += (double)q->data[i * width + c] * (double)k->data[j * width + c];
                sum += scores[j] = exp(product / sqrt((double)head));
            }
            for (int64_t j = 0; j < T; j++)
                assert_true(fabs((double)weights[(h * m + i) * T + j] - scores[j] / sum) < 1e-6);
        }
    for (int64_t r = 0; r < b->recipe.depth * heads * m; r++) { /* and every row of every block is a distribution */
        double sum = 0;
        for (int64_t j = 0; j < T; j++) sum += (double)weights[r * T + j];
        assert_true(fabs(sum - 1) < 1e-5);
    }
    tp_free(weights);
    tp_tape_free(tape);
}

/* ---- packets, similarity ---- */

static void packets_are_what_the_relay_sends(void **state) {
    (void)state;
    tp_eval eval = tiny_run_eval();
    const tp_dataset *sets[] = {&task->valid, &task->test};
    tp_packets p;
    check_ok(tp_packets_make(&eval, "packets", sets, 2, &p));
    assert_int_equal(p.n, task->valid.n + task->test.n);
    tp_tape *tapes[2] = {tp_tape_new(relay->recipe->math), tp_tape_new(relay->recipe->math)};
    tapes[0]->frozen = tapes[1]->frozen = true;
    for (size_t i = 0; i < p.n; i += 7) {
        const tp_example *e = i < task->valid.n ? &task->valid.examples[i] : &task->test.examples[i - task->valid.n];
        tp_ids ids = {0};
        check_ok(tp_tap_tokens(&relay->tap, e->text, e->len, &ids, NULL));
        tp_tape_reset(tapes[1]);
        tp_var *hidden = tp_var_new(tapes[1], (int64_t)ids.len, p.d_sender);
        tp_tap_run(&relay->tap, tapes[0], ids.data, (int64_t)ids.len, hidden->data);
        int64_t offsets[2] = {0, (int64_t)ids.len};
        const tp_var *soft = tp_relay_soft(relay, tapes[1], hidden, offsets, 1);
        for (size_t k = 0; k < tp_packet_width(&p); k++) {
            double sent = (double)p.soft[i * tp_packet_width(&p) + k];
            assert_true(fabs(sent - (double)soft->data[k]) <= fabs(sent) / 1024 + 1e-6); /* f16 */
        }
        double mean = 0;
        for (size_t t = 0; t < ids.len; t++)
            mean += (double)hidden->data[(int64_t)t * p.d_sender + 3] / (double)ids.len;
        assert_true(fabs((double)p.mean[i * (size_t)p.d_sender + 3] - mean) < 1e-5);
        assert_int_equal(p.labels[i], e->label);
        tp_ids_free(&ids);
    }
    tp_tape_free(tapes[0]);
    tp_tape_free(tapes[1]);
    tp_packets_free(&p);
}

static double cosine(const float *a, const float *b, const double *centre, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < n; k++) {
        double x = (double)a[k] - (centre ? centre[k] : 0), y = (double)b[k] - (centre ? centre[k] : 0);
        ab += x * y, aa += x * x, bb += y * y;
    }
    return ab / sqrt(aa * bb);
}

/* Against the plain sums over all pairs. */
static void similarity_is_the_mean_over_pairs(void **state) {
    (void)state;
    enum { TEXTS = 9, M = 3, DIM = 4, WIDTH = M * DIM, LABELS = 4 };
    float soft[TEXTS * WIDTH];
    int32_t labels[TEXTS] = {0, 1, 0, 2, 1, 0, 2, 2, 2}; /* of label 3 there is none */
    tp_rng rng = tp_rng_stream(1, "soft", 0);
    tp_rng_fill_normal(&rng, soft, TEXTS * WIDTH, 1);
    for (int i = 0; i < TEXTS * WIDTH; i++) soft[i] += 1;
    tp_packets p = {.n = TEXTS, .soft_tokens = M, .d_receiver = DIM, .soft = soft, .labels = labels};
    tp_similarity s = tp_similarity_of(&p, LABELS);
    double centre[WIDTH] = {0};
    for (int i = 0; i < TEXTS * WIDTH; i++) centre[i % WIDTH] += (double)soft[i] / TEXTS;
    for (int centred = 0; centred < 2; centred++) {
        double sums[2] = {0, 0}, pairs[2] = {0, 0}, zero_and_two = 0;
        for (int i = 0; i < TEXTS; i++)
            for (int j = 0; j < i; j++) {
                double c = cosine(soft + i * WIDTH, soft + j * WIDTH, centred ? centre : NULL, WIDTH);
                sums[labels[i] != labels[j]] += c;
                pairs[labels[i] != labels[j]]++;
                if (labels[i] + labels[j] == 2 && labels[i] != labels[j]) zero_and_two += c / 12;
            }
        assert_true(fabs(s.same_class[centred] - sums[0] / pairs[0]) < 1e-12);
        assert_true(fabs(s.different_class[centred] - sums[1] / pairs[1]) < 1e-12);
        if (centred) assert_true(fabs(s.classes[0 * LABELS + 2] - zero_and_two) < 1e-12);
    }
    assert_true(isnan(s.classes[3 * LABELS + 3]) && isnan(s.classes[3 * LABELS + 0]));
    double tokens = 0, rms = 0;
    for (int i = 0; i < TEXTS; i++) {
        tokens += cosine(soft + i * WIDTH, soft + i * WIDTH + 2 * DIM, NULL, DIM) / TEXTS;
        double square = 0;
        for (int k = 0; k < DIM; k++) square += (double)soft[i * WIDTH + DIM + k] * (double)soft[i * WIDTH + DIM + k];
        rms += sqrt(square / DIM) / TEXTS;
    }
    assert_true(fabs(s.tokens[0 * M + 2] - tokens) < 1e-12 && fabs(s.tokens[2 * M + 0] - tokens) < 1e-12);
    assert_true(fabs(s.within_text - (s.tokens[1] + s.tokens[2] + s.tokens[5]) / 3) < 1e-12);
    assert_true(fabs(s.rms[1] - rms) < 1e-12 && s.rms_low < s.rms[1] && s.rms[1] < s.rms_high);
    tp_similarity_free(&s);
    p.n = 1; /* no pairs at all */
    s = tp_similarity_of(&p, LABELS);
    assert_true(isnan(s.same_class[0]) && isnan(s.different_class[1]));
    tp_similarity_free(&s);
}

static void a_token_is_nearest_to_itself(void **state) {
    (void)state;
    int64_t d = receiver->config.d_model;
    tp_vocabulary v = tp_vocabulary_of(receiver);
    assert_true(fabs(v.rms_mean / tp_lm_embedding_rms(receiver) - 1) < 1e-5);
    assert_true(v.rms_low > 0 && v.rms_low < v.rms_mean && v.rms_mean < v.rms_high && v.rms_std > 0);
    float *rows = tp_alloc((size_t)(2 * d) * sizeof *rows), *other = tp_alloc((size_t)d * sizeof *other);
    tp_lm_embedding_row(receiver, 41, rows);
    tp_lm_embedding_row(receiver, 300, rows + d);
    for (int centred = 0; centred < 2; centred++) {
        int32_t ids[6];
        double cosines[6];
        tp_vocabulary_nearest(&v, rows, 2, centred, 3, ids, cosines);
        assert_int_equal(ids[0], 41);
        assert_int_equal(ids[3], 300);
        assert_true(fabs(cosines[0] - 1) < 1e-6 && fabs(cosines[3] - 1) < 1e-6);
        assert_true(cosines[1] >= cosines[2] && cosines[1] < 0.999);
        tp_lm_embedding_row(receiver, ids[1], other);
        assert_true(fabs(cosine(rows, other, centred ? v.mean : NULL, (size_t)d) - cosines[1]) < 1e-6);
        for (int32_t id = 0; id < receiver->config.vocab_size; id++) { /* and none that was left out is nearer */
            tp_lm_embedding_row(receiver, id, other);
            if (id != ids[0] && id != ids[1] && id != ids[2])
                assert_true(cosine(rows, other, centred ? v.mean : NULL, (size_t)d) <= cosines[2] + 1e-6);
        }
    }
    tp_free(rows);
    tp_free(other);
    tp_vocabulary_free(&v);
}

/* ---- the document ---- */

static void the_document_holds_what_the_report_draws(void **state) {
    (void)state;
    tp_eval eval = tiny_run_eval();
    tp_inspect_options options = {.n_texts = 30, .n_examples = 3, .n_transcripts = 4, .n_nearest = 2, .seed = 7};
    json_t *document = tp_inspect(&eval, &options), *again = tp_inspect(&eval, &options);
    check_not_null(document);
    assert_true(json_equal(document, again));
    json_decref(again);
    json_t *projection = json_object_get(document, "projection"), *examples = json_object_get(document, "examples");
    const char *const lists[] = {"labels", "rows", "pca", "tsne"};
    for (int i = 0; i < 4; i++) assert_int_equal(json_array_size(json_object_get(projection, lists[i])), 30);
    assert_int_equal(json_array_size(examples), 3);
    size_t i, k;
    json_t *example, *row;
    json_array_foreach(examples, i, example) {
        size_t n = json_array_size(json_object_get(example, "tokens"));
        assert_string_equal(json_string_value(json_object_get(example, "label")),
                            task->labels[i].name); /* one of each */
        assert_true(n > 3);
        assert_int_equal(json_array_size(json_object_get(example, "attention")), 3);
        json_array_foreach(json_object_get(example, "attention"), k, row) {
            double sum = 0;
            for (size_t t = 0; t < n; t++) sum += json_number_value(json_array_get(row, t));
            assert_int_equal(json_array_size(row), n);
            assert_true(fabs(sum - 1) < 1e-5);
            double spread = json_number_value(json_array_get(json_object_get(example, "attention_spread"), k));
            assert_true(spread >= 1 && spread <= (double)n);
        }
        assert_int_equal(json_array_size(json_object_get(example, "attention_blocks")), 2);
        json_array_foreach(json_object_get(example, "nearest"), k, row) assert_int_equal(json_array_size(row), 2);
        assert_int_equal(k, 3);
    }
    json_t *transcript;
    json_array_foreach(json_object_get(document, "transcripts"), i, transcript)
        assert_string_not_equal(json_string_value(json_object_get(transcript, "text_answer")),
                                json_string_value(json_object_get(transcript, "latent_answer")));
    assert_true(i <= 4 && json_integer_value(json_object_get(document, "transcripts_differ")) >= (json_int_t)i);
    char *text = tp_inspect_text(document);
    const char *const expected[] = {"30 test texts; layer 2 of 4 of sender to 3 soft tokens for receiver",
                                    "packets of different classes", "root mean square", "reads most", "text relay and"};
    for (size_t e = 0; e < 5; e++)
        if (strstr(text, expected[e]) == NULL) fail_msg("`%s` does not stand in\n%s", expected[e], text);
    tp_free(text);
    json_decref(document);
}

static void texts_that_are_no_utf8_become_json(void **state) {
    (void)state;
    json_t *value = tp_json_of_bytes("caf\xE9 \xC3\xA9 \xF0\x9F", 11);
    assert_string_equal(json_string_value(value), "caf\xEF\xBF\xBD \xC3\xA9 \xEF\xBF\xBD\xEF\xBF\xBD");
    json_decref(value);
    value = tp_json_of_bytes("a\0b", 3);
    assert_int_equal(json_string_length(value), 3);
    json_decref(value);
    value = tp_json_of_number(NAN);
    assert_true(json_is_null(value));
    json_decref(value);
}

static void an_interrupted_inspection_says_so(void **state) {
    (void)state;
    volatile sig_atomic_t stop = 1;
    tp_eval eval = tiny_run_eval();
    eval.stop = &stop;
    assert_null(tp_inspect(&eval, &(tp_inspect_options){.n_texts = 10}));
    assert_int_equal(tp_last_status(), TP_ERR_CANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_weights_reproduce_the_layer),
        cmocka_unit_test(a_bridge_shows_what_its_first_block_reads),
        cmocka_unit_test(packets_are_what_the_relay_sends),
        cmocka_unit_test(similarity_is_the_mean_over_pairs),
        cmocka_unit_test(a_token_is_nearest_to_itself),
        cmocka_unit_test(the_document_holds_what_the_report_draws),
        cmocka_unit_test(texts_that_are_no_utf8_become_json),
        cmocka_unit_test(an_interrupted_inspection_says_so),
    };
    return cmocka_run_group_tests(tests, tiny_run_set_up, tiny_run_tear_down);
}
