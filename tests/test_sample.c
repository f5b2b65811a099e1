/* lm/sample against NumPy (tests/fixtures/sample.json, made by tools/reference/sample_reference.py): each step alone
 * and several together, and what no reference is needed for. */
#include "check.h"

#include "base/json.h"
#include "base/mem.h"
#include "lm/sample.h"

#include <math.h>

static int32_t read_ids(json_t *array, int32_t out[1024]) {
    for (size_t i = 0; i < json_array_size(array); i++) out[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return (int32_t)json_array_size(array);
}

static void check_case(json_t *c, const float *logits, int32_t n) {
    tp_sampling s = {.repeat_penalty = json_number_value(json_object_get(c, "repeat_penalty")),
                     .repeat_window = json_integer_value(json_object_get(c, "repeat_window")),
                     .top_k = (int32_t)json_integer_value(json_object_get(c, "top_k")),
                     .top_p = json_number_value(json_object_get(c, "top_p")),
                     .min_p = json_number_value(json_object_get(c, "min_p")),
                     .temperature = json_number_value(json_object_get(c, "temperature"))};
    check_ok(tp_sampling_check(&s));
    int32_t banned[1024], last[1024], wanted[1024];
    tp_sample_context context = {.banned = banned, .last = last};
    context.n_banned = read_ids(json_object_get(c, "banned"), banned);
    context.n_last = read_ids(json_object_get(c, "last"), last);
    int32_t n_wanted = read_ids(json_object_get(c, "ids"), wanted);
    char *name = json_dumps(c, JSON_COMPACT);
    tp_candidate *kept = tp_alloc((size_t)n * sizeof *kept);
    int32_t n_kept = tp_sample_candidates(&s, logits, n, &context, kept);
    if (n_kept != n_wanted) fail_msg("%d were kept of %.300s", n_kept, name);
    json_t *p = json_object_get(c, "p");
    for (int32_t i = 0; i < n_kept; i++) {
        if (kept[i].id != wanted[i]) fail_msg("place %d has id %d in %.300s", i, kept[i].id, name);
        double expected = json_number_value(json_array_get(p, (size_t)i));
        if (fabs(kept[i].p - expected) > 1e-12) fail_msg("place %d has p %.15g in %.300s", i, kept[i].p, name);
    }
    size_t i;
    json_t *pair;
    json_array_foreach(json_object_get(c, "picks"), i, pair)
        assert_int_equal(tp_sample_pick(kept, n_kept, json_number_value(json_array_get(pair, 0))),
                         json_integer_value(json_array_get(pair, 1)));
    tp_free(kept);
    free(name);
}

static void every_step_equals_numpy(void **state) {
    (void)state;
    json_t *fixture = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/sample.json");
    check_not_null(fixture);
    json_t *all = json_object_get(fixture, "logits"), *cases = json_object_get(fixture, "cases"), *c;
    assert_true(json_array_size(cases) >= 100);
    size_t i;
    json_array_foreach(cases, i, c) {
        json_t *row = json_array_get(all, (size_t)json_integer_value(json_object_get(c, "logits")));
        float logits[1024];
        for (size_t k = 0; k < json_array_size(row); k++) logits[k] = (float)json_number_value(json_array_get(row, k));
        check_case(c, logits, (int32_t)json_array_size(row));
    }
    json_decref(fixture);
}

/* The draws of many positions have the distribution they should have: chi squared over five tokens, 4 degrees of
 * freedom, 18.5 being the 99.9 % point. The seed is fixed, so that the outcome is. */
static void draws_follow_the_probabilities(void **state) {
    (void)state;
    const float logits[5] = {1.0f, 0.5f, -0.5f, 2.0f, 0.0f};
    tp_sampling s = {.temperature = 1.2, .seed = 9};
    tp_sample_context context = {.position = 0};
    tp_candidate kept[5], scratch[5];
    int32_t n = tp_sample_candidates(&s, logits, 5, &context, kept);
    assert_int_equal(n, 5);
    enum { DRAWS = 20000 };
    int counts[5] = {0};
    for (; context.position < DRAWS; context.position++) counts[tp_sample(&s, logits, 5, &context, scratch)]++;
    double chi2 = 0;
    for (int i = 0; i < 5; i++) {
        double expected = kept[i].p * DRAWS;
        chi2 += pow(counts[kept[i].id] - expected, 2) / expected;
    }
    if (chi2 > 18.5) fail_msg("chi squared is %.2f", chi2);
}

static void a_draw_depends_on_seed_and_position_only(void **state) {
    (void)state;
    float logits[300];
    for (int i = 0; i < 300; i++) logits[i] = (float)((i * 7919) % 101) / 50;
    tp_candidate scratch[300];
    tp_sampling s = {.temperature = 1, .seed = 1}, other = {.temperature = 1, .seed = 2};
    int32_t forward[64], differ_by_seed = 0, differ_by_place = 0;
    for (int64_t i = 0; i < 64; i++)
        forward[i] = tp_sample(&s, logits, 300, &(tp_sample_context){.position = i}, scratch);
    for (int64_t i = 63; i >= 0; i--) {
        assert_int_equal(tp_sample(&s, logits, 300, &(tp_sample_context){.position = i}, scratch), forward[i]);
        differ_by_seed += tp_sample(&other, logits, 300, &(tp_sample_context){.position = i}, scratch) != forward[i];
        differ_by_place += i > 0 && forward[i] != forward[i - 1];
    }
    assert_true(differ_by_seed > 55 && differ_by_place > 55);
}

/* Logits of broken models: something is chosen, and it is not what is no number. */
static void strange_logits_are_survived(void **state) {
    (void)state;
    const float nan_first[4] = {NAN, 1, 3, NAN}, nothing[3] = {NAN, NAN, NAN}, infinite[3] = {1, INFINITY, 2},
                none[3] = {-INFINITY, -INFINITY, -INFINITY};
    tp_candidate scratch[4];
    tp_sample_context context = {.last = (const int32_t[]){0, 2, 99, -5}, .n_last = 4};
    for (int t = 0; t < 2; t++) {
        tp_sampling s = {.temperature = t, .repeat_penalty = 1.2, .top_p = 0.5, .min_p = 0.1};
        assert_int_equal(tp_sample(&s, nan_first, 4, &context, scratch), 2);
        assert_int_equal(tp_sample(&s, infinite, 3, &context, scratch), 1);
        int32_t id = tp_sample(&s, nothing, 3, &context, scratch);
        assert_true(id >= 0 && id < 3);
        id = tp_sample(&s, none, 3, &context, scratch);
        assert_true(id >= 0 && id < 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_equals_numpy),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(a_draw_depends_on_seed_and_position_only),
        cmocka_unit_test(strange_logits_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
