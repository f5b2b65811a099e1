/* Intervals and tests. See stats.h for what each is and where it comes from; the distributions are GSL's. */
#include "eval/stats.h"

#include "base/mem.h"
#include "base/rng.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_FOR_CHI_SQUARE = 25 };

tp_interval tp_wilson(size_t k, size_t n, double confidence) {
    if (n == 0) return (tp_interval){0, 1};
    double z = gsl_cdf_ugaussian_Qinv(0.5 * (1 - confidence)), count = (double)n, share = (double)k / count;
    double middle = share + z * z / (2 * count), scale = 1 + z * z / count;
    double half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count));
    /* at the ends one bound is 0 or 1 exactly; rounding must not move it */
    return (tp_interval){k == 0 ? 0 : (middle - half) / scale, k == n ? 1 : (middle + half) / scale};
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

tp_interval tp_bootstrap(const double *values, size_t n, size_t resamples, double confidence, uint64_t seed) {
    if (n == 0 || resamples == 0) return (tp_interval){NAN, NAN};
    double *means = tp_alloc(resamples * sizeof *means);
    tp_rng rng = tp_rng_stream(seed, "bootstrap", 0);
    for (size_t r = 0; r < resamples; r++) {
        double sum = 0;
        /* a product's high half instead of a remainder: uneven by less than n / 2^32, and several times faster */
        for (size_t i = 0; i < n; i++) sum += values[(uint64_t)tp_rng_u32(&rng) * n >> 32];
        means[r] = sum / (double)n;
    }
    qsort(means, resamples, sizeof *means, by_value);
    double tail = 0.5 * (1 - confidence);
    tp_interval out = {gsl_stats_quantile_from_sorted_data(means, 1, resamples, tail),
                       gsl_stats_quantile_from_sorted_data(means, 1, resamples, 1 - tail)};
    tp_free(means);
    return out;
}

/* ---- McNemar ---- */

double tp_mcnemar_exact(size_t b, size_t c) {
    size_t least = b < c ? b : c;
    if (b == c) return 1; /* also 0, 0; twice the tail would count the middle term twice */
    double p = 2 * gsl_cdf_binomial_P((unsigned)least, 0.5, (unsigned)(b + c));
    return p < 1 ? p : 1;
}

double tp_mcnemar_chi_square(size_t b, size_t c, double *statistic) {
    double difference = fabs((double)b - (double)c) - 1; /* Edwards' correction */
    *statistic = b + c == 0 || difference <= 0 ? 0 : difference * difference / (double)(b + c);
    return gsl_cdf_chisq_Q(*statistic, 1);
}

tp_mcnemar tp_mcnemar_test(size_t b, size_t c) {
    tp_mcnemar out = {.b = b, .c = c, .exact = b + c < FEWEST_FOR_CHI_SQUARE, .statistic = NAN};
    out.p = out.exact ? tp_mcnemar_exact(b, c) : tp_mcnemar_chi_square(b, c, &out.statistic);
    return out;
}

tp_mcnemar tp_mcnemar_compare(const int32_t *first, const int32_t *second, const int32_t *truth, size_t n) {
    size_t b = 0, c = 0;
    for (size_t i = 0; i < n; i++) {
        bool right1 = first[i] == truth[i], right2 = second[i] == truth[i];
        b += right1 && !right2;
        c += right2 && !right1;
    }
    return tp_mcnemar_test(b, c);
}

/* ---- means ---- */

double tp_mean(const double *values, size_t n) {
    return n == 0 ? NAN : gsl_stats_mean(values, 1, n);
}

double tp_std(const double *values, size_t n) {
    return n < 2 ? NAN : gsl_stats_sd(values, 1, n);
}

tp_paired_t tp_paired_t_test(const double *first, const double *second, size_t n) {
    tp_paired_t out = {.mean = NAN, .t = NAN, .p = NAN, .d = NAN, .df = n ? n - 1 : 0};
    if (n == 0) return out;
    double *differences = tp_alloc(n * sizeof *differences);
    for (size_t i = 0; i < n; i++) differences[i] = first[i] - second[i];
    double std = tp_std(differences, n);
    out.mean = tp_mean(differences, n);
    tp_free(differences);
    if (n < 2) return out;
    out.d = std > 0 ? out.mean / std : out.mean == 0 ? 0 : copysign(INFINITY, out.mean);
    out.t = out.d * sqrt((double)n);
    out.p = isinf(out.t) ? 0 : 2 * gsl_cdf_tdist_Q(fabs(out.t), (double)out.df);
    return out;
}

double tp_cohen_d(const double *first, size_t n_first, const double *second, size_t n_second) {
    if (n_first < 2 || n_second < 2) return NAN;
    double v1 = gsl_stats_variance(first, 1, n_first), v2 = gsl_stats_variance(second, 1, n_second);
    double pooled = ((double)(n_first - 1) * v1 + (double)(n_second - 1) * v2) / (double)(n_first + n_second - 2);
    double difference = tp_mean(first, n_first) - tp_mean(second, n_second);
    return pooled > 0 ? difference / sqrt(pooled) : difference == 0 ? 0 : copysign(INFINITY, difference);
}

double tp_cohen_h(double first_share, double second_share) {
    return 2 * asin(sqrt(first_share)) - 2 * asin(sqrt(second_share));
}

/* ---- many comparisons ---- */

typedef struct ranked {
    double p;
    size_t place;
} ranked;

static int by_p(const void *a, const void *b) {
    return by_value(&((const ranked *)a)->p, &((const ranked *)b)->p);
}

void tp_holm(const double *p, size_t n, double *adjusted) {
    ranked *order = tp_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (ranked){p[i], i};
    qsort(order, n, sizeof *order, by_p);
    double largest = 0; /* adjusted values never fall again on the way up */
    for (size_t i = 0; i < n; i++) {
        double value = order[i].p * (double)(n - i);
        largest = fmax(largest, value < 1 ? value : 1);
        adjusted[order[i].place] = largest;
    }
    tp_free(order);
}
