/* eval/logistic: the optimum has zero gradient by finite differences of a loss written down again here, a one-input
 * problem has its known solution, and predictions are right where classes are apart. */
#include "check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "eval/logistic.h"

#include <math.h>

/* The loss as the header states it, in plain double precision. */
static double plain_loss(const tp_logistic *m, const double *weights, const double *bias, const float *x,
                         const int32_t *y, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0, right = 0;
        for (int32_t c = 0; c < m->n_classes; c++) {
            double logit = bias[c];
            for (size_t k = 0; k < m->d; k++)
                logit += weights[(size_t)c * m->d + k] * ((double)x[i * m->d + k] - (double)m->mean[k]) *
                         (double)m->scale[k];
            sum += exp(logit);
            if (c == y[i]) right = logit;
        }
        total += log(sum) - right;
    }
    total /= (double)n;
    for (size_t k = 0; k < (size_t)m->n_classes * m->d; k++) total += 0.5 * m->l2 * weights[k] * weights[k];
    return total;
}

enum { N = 300, D = 4, C = 3 };

/* Three overlapping clouds; the inputs differ in place and size, as those of hidden states do. */
static void make_clouds(float *x, int32_t *y, size_t n, double apart, uint64_t seed) {
    tp_rng rng = tp_rng_stream(seed, "clouds", 0);
    for (size_t i = 0; i < n; i++) {
        y[i] = (int32_t)(i % C);
        for (size_t k = 0; k < D; k++) {
            double value = tp_rng_normal(&rng) + apart * ((int32_t)k == y[i]);
            x[i * D + k] =
                (float)(k == 3 ? 7 : value * pow(10, (double)k) + 100 * (double)k); /* the last is constant */
        }
    }
}

static void the_optimum_has_no_slope(void **state) {
    (void)state;
    float x[N * D];
    int32_t y[N];
    make_clouds(x, y, N, 1, 1);
    for (double l2 = 1e-3; l2 < 1; l2 *= 30) {
        tp_logistic *m;
        check_ok(tp_logistic_fit(x, y, N, D, C, l2, &m));
        assert_true(m->gradient <= 1e-5);
        double weights[C * D], bias[C];
        for (int k = 0; k < C * D; k++) weights[k] = (double)m->weights[k];
        for (int c = 0; c < C; c++) bias[c] = (double)m->bias[c];
        double at = plain_loss(m, weights, bias, x, y, N);
        assert_true(fabs(at - m->loss) < 1e-6);
        for (int k = 0; k < C * D + C; k++) {
            double *p = k < C * D ? &weights[k] : &bias[k - C * D], old = *p;
            *p = old + 1e-4;
            double up = plain_loss(m, weights, bias, x, y, N);
            *p = old - 1e-4;
            double down = plain_loss(m, weights, bias, x, y, N);
            *p = old;
            if (fabs(up - down) / 2e-4 > 3e-5) fail_msg("parameter %d has slope %g", k, (up - down) / 2e-4);
            assert_true(up + down - 2 * at >= -1e-12); /* and it is a minimum */
        }
        tp_logistic_free(m);
    }
}

/* One input of +1 or -1, right in 3 of 4: without penalty the odds are 3, so w1 - w0 = log 3 (standardised is the
 * same). */
static void one_input_has_its_closed_form(void **state) {
    (void)state;
    const float x[] = {1, 1, 1, 1, -1, -1, -1, -1};
    const int32_t y[] = {1, 1, 1, 0, 0, 0, 0, 1};
    tp_logistic *m;
    check_ok(tp_logistic_fit(x, y, 8, 1, 2, 0, &m));
    assert_true(fabs((double)(m->weights[1] - m->weights[0]) - log(3)) < 1e-4);
    assert_true(fabs((double)(m->bias[1] - m->bias[0])) < 1e-4);
    assert_true(fabs(m->loss - (log(4) - 0.75 * log(3))) < 1e-6); /* entropy of 3 to 1 */
    tp_logistic_free(m);
    /* inputs that say nothing: the bias learns the shares */
    const float same[] = {5, 5, 5, 5};
    const int32_t shares[] = {0, 0, 0, 1};
    check_ok(tp_logistic_fit(same, shares, 4, 1, 2, 1e-3, &m));
    assert_true(fabs((double)(m->bias[0] - m->bias[1]) - log(3)) < 1e-3);
    assert_true(m->scale[0] == 0);
    tp_logistic_free(m);
}

static void classes_apart_are_told_apart(void **state) {
    (void)state;
    enum { MANY = 5000 }; /* more than one block, and not a whole number of them */
    float *x = tp_alloc(MANY * D * sizeof *x);
    int32_t *y = tp_alloc(MANY * sizeof *y), *predicted = tp_alloc(MANY * sizeof *predicted);
    make_clouds(x, y, MANY, 12, 2);
    tp_logistic *m;
    check_ok(tp_logistic_fit(x, y, 4000, D, C, 1e-4, &m));
    tp_logistic_predict(m, x, MANY, predicted);
    assert_memory_equal(predicted, y, MANY * sizeof *y);
    tp_logistic_free(m);
    make_clouds(x, y, MANY, 2, 3);
    check_ok(tp_logistic_fit_best(x, y, 3000, 1000, D, C, &m));
    tp_logistic_predict(m, x + 4000 * D, 1000, predicted);
    int right = 0;
    for (int i = 0; i < 1000; i++) right += predicted[i] == y[4000 + i];
    assert_true(right > 800); /* the best rule possible gets about 85 % */
    tp_logistic_free(m);
    check_ok(tp_logistic_fit_best(x, y, 3000, 0, D, C, &m));
    assert_true(m->l2 == 1e-3);
    tp_logistic_free(m);
    tp_free(x);
    tp_free(y);
    tp_free(predicted);
}

/* Labels that are noise, few rows, many inputs: the strongest penalty is the right choice. */
static void noise_gets_the_strongest_penalty(void **state) {
    (void)state;
    enum { ROWS = 60, INPUTS = 40, VALID = 2000 };
    float *x = tp_alloc((ROWS + VALID) * INPUTS * sizeof *x);
    int32_t *y = tp_alloc((ROWS + VALID) * sizeof *y);
    tp_rng rng = tp_rng_stream(4, "noise", 0);
    for (size_t i = 0; i < (ROWS + VALID) * INPUTS; i++) x[i] = (float)tp_rng_normal(&rng);
    for (size_t i = 0; i < ROWS + VALID; i++) y[i] = x[i * INPUTS] + 2 * tp_rng_normal(&rng) > 0;
    tp_logistic *m;
    check_ok(tp_logistic_fit_best(x, y, ROWS, VALID, INPUTS, 2, &m));
    assert_true(m->l2 >= 1e-2);
    tp_logistic_free(m);
    tp_free(x);
    tp_free(y);
}

static void bad_rows_are_named(void **state) {
    (void)state;
    float x[] = {1, 2, 3, NAN};
    int32_t y[] = {0, 1};
    tp_logistic *m;
    assert_int_equal(tp_logistic_fit(x, y, 2, 2, 2, 1, &m), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "row 1 for the probe holds nan at 1"));
    assert_null(m);
    x[3] = 4;
    y[1] = 2;
    assert_int_equal(tp_logistic_fit(x, y, 2, 2, 2, 1, &m), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "row 1 for the probe has label 2; 0 to 1 was expected"));
    assert_int_equal(tp_logistic_fit(x, y, 0, 2, 2, 1, &m), TP_ERR_ARGUMENT);
    assert_int_equal(tp_logistic_fit_best(x, y, 2, 0, 2, 2, &m), TP_ERR_ARGUMENT);
    tp_logistic_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum_has_no_slope),     cmocka_unit_test(one_input_has_its_closed_form),
        cmocka_unit_test(classes_apart_are_told_apart), cmocka_unit_test(noise_gets_the_strongest_penalty),
        cmocka_unit_test(bad_rows_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
