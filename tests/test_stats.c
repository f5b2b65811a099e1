/* eval/stats: against SciPy's values (tests/fixtures/stats.json), closed forms and published examples. */
#include "check.h"

#include "base/json.h"
#include "eval/stats.h"

#include <math.h>

static void near_to(double found, double expected, double tolerance, const char *what) {
    if (!(fabs(found - expected) <= tolerance * fmax(fabs(expected), 1e-300) || fabs(found - expected) < 1e-15))
        fail_msg("%s: %.17g found, %.17g expected", what, found, expected);
}

static json_t *reference(const char *section) {
    static json_t *all;
    if (all == NULL) all = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/stats.json");
    check_not_null(all);
    json_t *list = json_object_get(all, section);
    assert_true(json_array_size(list) > 3);
    return list;
}

static double number(json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("the fixture lacks `%s`", key);
    return json_number_value(value);
}

static void wilson_agrees_with_scipy(void **state) {
    (void)state;
    size_t i;
    json_t *c;
    json_array_foreach(reference("wilson"), i, c) {
        tp_interval w = tp_wilson((size_t)number(c, "k"), (size_t)number(c, "n"), 0.95);
        near_to(w.low, number(c, "low"), 1e-9, "low");
        near_to(w.high, number(c, "high"), 1e-9, "high");
    }
    tp_interval none = tp_wilson(0, 0, 0.95);
    assert_true(none.low == 0 && none.high == 1);
    tp_interval narrow = tp_wilson(5, 10, 0.5), wide = tp_wilson(5, 10, 0.99);
    assert_true(narrow.low > wide.low && narrow.high < wide.high);
}

static void mcnemar_agrees_with_scipy(void **state) {
    (void)state;
    size_t i;
    json_t *c;
    double statistic;
    json_array_foreach(reference("mcnemar_exact"), i, c)
        near_to(tp_mcnemar_exact((size_t)number(c, "b"), (size_t)number(c, "c")), number(c, "p"), 1e-9, "exact p");
    json_array_foreach(reference("mcnemar_chi2"), i, c) {
        double p = tp_mcnemar_chi_square((size_t)number(c, "b"), (size_t)number(c, "c"), &statistic);
        near_to(p, number(c, "p"), 1e-9, "chi-square p");
        near_to(statistic, number(c, "statistic"), 1e-12, "statistic");
    }
    assert_true(tp_mcnemar_test(10, 14).exact);
    assert_true(isnan(tp_mcnemar_test(10, 14).statistic));
    assert_false(tp_mcnemar_test(10, 15).exact);
    const int32_t truth[] = {0, 1, 2, 0, 1}, first[] = {0, 1, 2, -1, 0}, second[] = {0, 0, -1, 0, 0};
    tp_mcnemar m = tp_mcnemar_compare(first, second, truth, 5);
    assert_int_equal(m.b, 2);
    assert_int_equal(m.c, 1);
    near_to(m.p, 1, 1e-12, "p of 2 against 1");
}

static void holm_agrees_with_statsmodels(void **state) {
    (void)state;
    size_t i, k;
    json_t *c, *value;
    json_array_foreach(reference("holm"), i, c) {
        double p[16], adjusted[16];
        json_array_foreach(json_object_get(c, "p"), k, value) p[k] = json_number_value(value);
        size_t n = json_array_size(json_object_get(c, "p"));
        tp_holm(p, n, adjusted);
        json_array_foreach(json_object_get(c, "adjusted"), k, value)
            near_to(adjusted[k], json_number_value(value), 1e-12, "adjusted");
        tp_holm(p, n, p); /* in place */
        assert_memory_equal(p, adjusted, n * sizeof *p);
    }
}

static void paired_t_gives_known_values(void **state) {
    (void)state;
    /* Student's own sleep data (Biometrika 6, 1908): t = -4.0621, df = 9, p = 0.002833 */
    const double drug1[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
    const double drug2[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    tp_paired_t t = tp_paired_t_test(drug1, drug2, 10);
    near_to(t.mean, -1.58, 1e-12, "mean");
    near_to(t.t, -4.0621, 1e-5, "t");
    near_to(t.p, 0.002833, 1e-4, "p");
    near_to(t.d, t.t / sqrt(10), 1e-12, "d");
    assert_int_equal(t.df, 9);
    /* one degree of freedom is Cauchy's distribution: p = 1 - 2 / pi * atan(t) */
    const double a[] = {3, 5}, b[] = {1, 2};
    t = tp_paired_t_test(a, b, 2);
    near_to(t.t, 5, 1e-12, "t");
    near_to(t.p, 1 - 2 / M_PI * atan(5), 1e-10, "p");
    assert_true(isnan(tp_paired_t_test(a, b, 1).p));
    assert_true(isnan(tp_paired_t_test(a, b, 0).mean));
    assert_true(tp_paired_t_test(a, a, 2).p == 1);
    const double shifted[] = {2, 4};
    assert_true(tp_paired_t_test(a, shifted, 2).p == 0);
}

static void effect_sizes_give_known_values(void **state) {
    (void)state;
    const double a[] = {1, 2, 3, 4}, b[] = {3, 4, 5, 6};
    near_to(tp_cohen_d(a, 4, b, 4), -2 / sqrt(5.0 / 3), 1e-12, "d");
    near_to(tp_cohen_h(0.5, 0.25), M_PI / 6, 1e-12, "h");
    near_to(tp_cohen_h(1, 0), M_PI, 1e-12, "h");
    assert_true(isnan(tp_cohen_d(a, 1, b, 4)));
    near_to(tp_std(a, 4), sqrt(5.0 / 3), 1e-12, "std");
    assert_true(isnan(tp_std(a, 1)) && isnan(tp_mean(a, 0)));
}

static void bootstrap_finds_the_spread_of_the_mean(void **state) {
    (void)state;
    enum { N = 400 };
    double values[N];
    for (int i = 0; i < N; i++) values[i] = i < 320;
    tp_interval boot = tp_bootstrap(values, N, TP_BOOTSTRAP_RESAMPLES, 0.95, 1);
    double se = sqrt(0.8 * 0.2 / N); /* of the mean; the normal interval is close at this size */
    assert_true(fabs(boot.low - (0.8 - 1.96 * se)) < 0.005);
    assert_true(fabs(boot.high - (0.8 + 1.96 * se)) < 0.005);
    tp_interval again = tp_bootstrap(values, N, TP_BOOTSTRAP_RESAMPLES, 0.95, 1);
    assert_true(boot.low == again.low && boot.high == again.high);
    const double same[] = {2.5, 2.5, 2.5};
    boot = tp_bootstrap(same, 3, 100, 0.95, 1);
    assert_true(boot.low == 2.5 && boot.high == 2.5);
    assert_true(isnan(tp_bootstrap(same, 0, 100, 0.95, 1).low));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson_agrees_with_scipy),       cmocka_unit_test(mcnemar_agrees_with_scipy),
        cmocka_unit_test(holm_agrees_with_statsmodels),   cmocka_unit_test(paired_t_gives_known_values),
        cmocka_unit_test(effect_sizes_give_known_values), cmocka_unit_test(bootstrap_finds_the_spread_of_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
