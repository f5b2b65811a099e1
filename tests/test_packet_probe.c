/* analysis/: what is read out of packets. Ridge regression against scikit-learn (tests/fixtures/analysis.safetensors),
 * information and words where the truth is known, and the document of a tiny run. */
#include "tiny_finished_run.h"

#include "analysis/bag.h"
#include "analysis/linear_map.h"
#include "analysis/packet_probe.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lm/safetensors.h"

#include <math.h>

/* ---- ridge regression ---- */

static const float *numbers(const tp_safetensors *st, const char *name, size_t n) {
    const tp_st_tensor *t = tp_safetensors_find(st, name);
    check_not_null(t);
    assert_int_equal(t->n_bytes, n * sizeof(float));
    return t->data;
}

static void ridge_agrees_with_scikit_learn(void **state) {
    (void)state;
    enum { N = 60, D = 12, T = 4 };
    tp_safetensors *st = tp_safetensors_open(TP_SOURCE_DIR "/tests/fixtures/analysis.safetensors");
    check_not_null(st);
    const float *x = numbers(st, "x", N * D), *expected = numbers(st, "ridge", N * T);
    tp_linear_map *map;
    check_ok(tp_linear_map_fit(x, numbers(st, "targets", N * T), N, D, T, 0.5, &map));
    assert_true(map->residual < 1e-6);
    float found[N * T];
    tp_linear_map_apply(map, x, N, found);
    double largest = 0;
    for (int i = 0; i < N * T; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (int i = 0; i < N * T; i++) {
        double away = fabs((double)found[i] - (double)expected[i]) / largest;
        if (!(away < 2e-6)) fail_msg("prediction %d is off by %g", i, away);
    }
    tp_linear_map_free(map);
    tp_safetensors_close(st);
}

/* More inputs than one block of the factor holds, and fewer rows than inputs: the equations must hold, summed here. */
static void ridge_solves_its_equations(void **state) {
    (void)state;
    enum { N = 150, D = 233, T = 3 };
    static float x[N * D], y[N * T], found[N * T];
    tp_rng rng = tp_rng_stream(4, "ridge", 0);
    tp_rng_fill_normal(&rng, x, N * D, 2);
    tp_rng_fill_normal(&rng, y, N * T, 1);
    for (int i = 0; i < N; i++) /* inputs that go together, as those of a packet do */
        for (int k = 1; k < D; k++) x[i * D + k] += x[i * D];
    tp_linear_map *map;
    check_ok(tp_linear_map_fit(x, y, N, D, T, 0.1, &map));
    assert_true(map->residual < 1e-4);
    tp_linear_map_apply(map, x, N, found);
    for (int t = 0; t < T; t++)
        for (int k = 0; k < D; k++) { /* the gradient: mean of (found - y) z + l2 w = 0 */
            double gradient = 0.1 * (double)map->weights[t * D + k];
            for (int i = 0; i < N; i++)
                gradient += ((double)found[i * T + t] - (double)y[i * T + t]) *
                            ((double)x[i * D + k] - (double)map->mean[k]) * (double)map->scale[k] / N;
            if (!(fabs(gradient) < 2e-5)) fail_msg("target %d, input %d: the gradient is %g", t, k, gradient);
        }
    tp_linear_map_free(map);
    assert_int_equal(tp_linear_map_fit(x, y, N, D, T, 1e-12, &map), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "a larger one was expected"));
}

static void ridge_refuses_what_is_no_number(void **state) {
    (void)state;
    float x[6] = {1, 2, 3, NAN, 5, 6}, y[3] = {0, 1, 0};
    tp_linear_map *map;
    assert_int_equal(tp_linear_map_fit(x, y, 3, 2, 1, 1, &map), TP_ERR_ARGUMENT);
    assert_null(map);
    assert_non_null(strstr(tp_last_error(), "row 1 for the linear map holds nan at 1"));
    x[3] = 2; /* a column that does not vary is left alone */
    x[5] = 2;
    check_ok(tp_linear_map_fit(x, y, 3, 2, 1, 1, &map));
    assert_true(map->weights[1] == 0 && isfinite(map->weights[0]));
    tp_linear_map_free(map);
    assert_int_equal(tp_linear_map_fit(x, y, 0, 2, 1, 1, &map), TP_ERR_ARGUMENT);
}

/* ---- bits ---- */

/* Of a fair label a packet holds one that is wrong in a tenth of the texts: 1 - H(0.1) bits, and a logistic regression
 * can say exactly that. */
static void information_is_found_where_it_is_known(void **state) {
    (void)state;
    enum { TRAIN = 3000, VALID = 500, TEST = 3000, ALL = TRAIN + VALID + TEST, D = 3 };
    const size_t n[3] = {TRAIN, VALID, TEST};
    float *x = tp_alloc(ALL * D * sizeof *x);
    int32_t *labels = tp_alloc(ALL * sizeof *labels);
    tp_rng rng = tp_rng_stream(11, "bits", 0);
    for (int i = 0; i < ALL; i++) {
        labels[i] = (int32_t)tp_rng_below(&rng, 2);
        bool wrong = tp_rng_uniform(&rng) < 0.1;
        x[i * D] = (float)(wrong ? 1 - labels[i] : labels[i]);
        for (int k = 1; k < D; k++) x[i * D + k] = (float)tp_rng_normal(&rng);
    }
    double truth = 1 + 0.1 * log2(0.1) + 0.9 * log2(0.9);
    tp_label_information found;
    check_ok(tp_measure_information(x, D, labels, 2, n, 1, &found));
    assert_true(fabs(found.bits - truth) < 0.04);
    assert_true(found.interval.low < truth && truth < found.interval.high);
    assert_true(found.interval.high - found.interval.low < 0.1);
    assert_true(fabs(found.entropy - 1) < 0.01 && fabs(found.accuracy - 0.9) < 0.02);
    assert_true(fabs(found.bits - (found.entropy - found.cross_entropy)) < 1e-12);

    for (int i = 0; i < ALL; i++) labels[i] = (int32_t)tp_rng_below(&rng, 2); /* now x knows nothing */
    check_ok(tp_measure_information(x, D, labels, 2, n, 1, &found));
    assert_true(found.bits < 0.005 && found.interval.low <= 0);
    tp_free(x);
    tp_free(labels);
}

/* ---- words ---- */

/* Packets that are a linear mix of the words say all of them; packets of other texts none. */
static void words_are_read_where_they_are(void **state) {
    (void)state;
    enum { WORDS = 20, D = 40, TRAIN = 600, VALID = 100, TEST = 200, ALL = TRAIN + VALID + TEST };
    const size_t n[3] = {TRAIN, VALID, TEST};
    float *x = tp_alloc(ALL * D * sizeof *x), *y = tp_alloc(ALL * WORDS * sizeof *y), mix[WORDS * D];
    tp_rng rng = tp_rng_stream(12, "words", 0);
    tp_rng_fill_normal(&rng, mix, WORDS * D, 1);
    for (int i = 0; i < ALL; i++) {
        for (int w = 0; w < WORDS; w++)
            y[i * WORDS + w] = i % 50 != 0 && tp_rng_uniform(&rng) < 0.15; /* some have none */
        for (int k = 0; k < D; k++)
            for (int w = 0; w < WORDS; w++) x[i * D + k] += y[i * WORDS + w] * mix[w * D + k];
    }
    tp_word_scores read, blind, frequent;
    check_ok(tp_read_words(x, D, y, WORDS, n, 1, &read));
    assert_true(read.precision[0] > 0.99 && read.recall[2] > 0.99 && read.recall_interval.low > 0.98);
    for (int w = 0; w < WORDS; w++) assert_true(read.word_recall[w] > 0.8);
    /* a text holds 3 of 20 words: ten guesses find half of them */
    check_ok(tp_read_words(NULL, 0, y, WORDS, n, 1, &frequent));
    assert_true(isnan(frequent.l2) && frequent.recall[2] > 0.4 && frequent.recall[2] < 0.65);
    for (int i = 0; i < ALL / 2;
         i++) /* each text gets the packet of another: rows turned around within train and test */
        for (int k = 0; k < D; k++) {
            float *a = &x[i * D + k], *b = &x[(ALL - 1 - i) * D + k], swap = *a;
            *a = *b, *b = swap;
        }
    check_ok(tp_read_words(x, D, y, WORDS, n, 1, &blind));
    assert_true(blind.recall[2] < 0.65 && blind.precision[0] < 0.35);
    tp_free(read.word_recall);
    tp_free(blind.word_recall);
    tp_free(frequent.word_recall);
    tp_free(x);
    tp_free(y);
}

static void precision_and_recall_are_counted_right(void **state) {
    (void)state;
    enum { WORDS = 12 };
    const size_t n[3] = {3, 0, 3};
    float y[6 * WORDS] = {0};
    for (int i = 0; i < 3;
         i++) /* training: word w stands in 3, 2, 1 or 0 texts; so the order is 0, 1, 2, then by place */
        for (int w = 0; w <= 2 - i; w++) y[i * WORDS + w] = 1;
    y[3 * WORDS + 0] = y[3 * WORDS + 4] = 1; /* both among the ten likeliest, one the likeliest */
    y[4 * WORDS + 11] = 1;                   /* not among them */
    tp_word_scores s;
    check_ok(tp_read_words(NULL, 0, y, WORDS, n, 1, &s)); /* the last text has no words and does not count */
    assert_true(fabs(s.precision[0] - 0.5) < 1e-12 && fabs(s.recall[0] - 0.25) < 1e-12);
    assert_true(fabs(s.precision[1] - 0.2) < 1e-12 && fabs(s.recall[1] - 0.5) < 1e-12);
    assert_true(fabs(s.precision[2] - 0.1) < 1e-12 && fabs(s.recall[2] - 0.5) < 1e-12);
    assert_true(s.word_recall[0] == 1 && s.word_recall[4] == 1 && s.word_recall[11] == 0 && isnan(s.word_recall[1]));
    tp_free(s.word_recall);
}

static void a_bag_holds_words_neither_rare_nor_common(void **state) {
    (void)state;
    enum { N = 40 };
    char texts[N][64];
    tp_example examples[N];
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "The %s%s%s, the%s.",
                 i < 4   ? "Red"
                 : i < 7 ? "blue"
                         : "x",
                 i < 2 ? " rare" : "", i == 9 ? " caf\xE9 caf\xE9 caf\xE9" : "",
                 i >= 10 && i < 13 ? " d\xC3\xA9j\xC3\xA0" : "");
        examples[i] = (tp_example){.text = texts[i], .len = strlen(texts[i])};
    }
    tp_bag *bag = tp_bag_new(examples, N, 10);
    assert_int_equal(bag->n, 3); /* `the`, `x`: in too many; `rare`: in two; the other: three times, but in one text */
    assert_string_equal(bag->words[0], "red");
    assert_int_equal(bag->texts[0], 4);
    assert_string_equal(bag->words[1], "blue");
    assert_string_equal(bag->words[2], "d\xC3\xA9j\xC3\xA0");
    float marks[3];
    assert_int_equal(tp_bag_mark(bag, "RED red, redder", 15, marks), 1);
    assert_true(marks[0] == 1 && marks[1] == 0 && marks[2] == 0);
    assert_int_equal(tp_bag_mark(bag, "", 0, marks), 0);
    tp_bag_free(bag);
    bag = tp_bag_new(examples, N, 1);
    assert_int_equal(bag->n, 1);
    tp_bag_free(bag);
    bag = tp_bag_new(examples, 0, 5);
    assert_int_equal(bag->n, 0);
    tp_bag_free(bag);
}

/* ---- the document ---- */

static const json_t *source(const json_t *part, size_t i, const char *name) {
    const json_t *row = json_array_get(json_object_get(part, "sources"), i);
    assert_string_equal(json_string_value(json_object_get(row, "source")), name);
    return row;
}

static double at(const json_t *row, const char *key, size_t i) {
    const json_t *value = json_array_get(json_object_get(row, key), i);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The label of the tiny task is a function of one word: packets of a bridge trained on it say something about both. */
static void a_run_is_probed(void **state) {
    (void)state;
    tp_eval eval = tiny_run_eval();
    json_t *document = tp_packet_probe(&eval, 100), *again = tp_packet_probe(&eval, 100);
    check_not_null(document);
    assert_true(json_equal(document, again));
    json_decref(again);
    const json_t *words = json_object_get(document, "words"), *label = json_object_get(document, "label");
    const json_t *packet = source(words, 0, "packet");
    source(words, 1, "sender's mean state");
    const json_t *other = source(words, 2, "packet of another text"), *frequent = source(words, 3, "frequency alone");
    assert_true(at(packet, "recall", 2) > at(other, "recall", 2));
    assert_true(at(packet, "recall", 2) > at(frequent, "recall", 2));
    assert_true(at(packet, "recall_interval", 0) <= at(packet, "recall", 2));
    assert_true(json_array_size(json_object_get(words, "best")) <= 10);
    double bits = json_number_value(json_object_get(source(label, 0, "packet"), "bits"));
    double entropy = json_number_value(json_object_get(label, "entropy"));
    assert_true(fabs(entropy - log2(3)) < 0.01); /* three labels, as many texts of each */
    assert_true(bits > 0.2 && bits <= entropy);
    assert_true(at(source(label, 2, "packet, labels shuffled"), "interval", 0) <= 0);
    char *text = tp_packet_probe_text(document);
    assert_non_null(strstr(text, "sender's mean state"));
    assert_non_null(strstr(text, "bits at least"));
    tp_free(text);
    json_decref(document);

    document = tp_packet_probe(&eval, 0); /* without words */
    check_not_null(document);
    assert_null(json_object_get(document, "words"));
    json_decref(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ridge_agrees_with_scikit_learn),
        cmocka_unit_test(ridge_solves_its_equations),
        cmocka_unit_test(ridge_refuses_what_is_no_number),
        cmocka_unit_test(information_is_found_where_it_is_known),
        cmocka_unit_test(words_are_read_where_they_are),
        cmocka_unit_test(precision_and_recall_are_counted_right),
        cmocka_unit_test(a_bag_holds_words_neither_rare_nor_common),
        cmocka_unit_test(a_run_is_probed),
    };
    return cmocka_run_group_tests(tests, tiny_run_set_up, tiny_run_tear_down);
}
