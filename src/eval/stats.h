/* The statistics of the tables: intervals, paired tests, effect sizes, correction for many comparisons.
 *
 * Methods are compared on the same test rows, so every comparison is paired. Nothing here knows about tasks or models.
 */
#ifndef TP_EVAL_STATS_H
#define TP_EVAL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_interval {
    double low, high;
} tp_interval;

/* Wilson's score interval of a share of k in n (Wilson, JASA 22, 1927); n = 0 gives [0, 1]. Unlike the normal interval
 * it stays inside [0, 1] and holds its level near the ends. `confidence`: 0.95 for the usual one. */
tp_interval tp_wilson(size_t k, size_t n, double confidence);

enum { TP_BOOTSTRAP_RESAMPLES = 10000 };

/* Percentile bootstrap interval of the mean of n values (Efron 1979), from the random stream "bootstrap" of `seed`; n =
 * 0 gives NaN. For the interval of a paired difference, pass the differences. */
tp_interval tp_bootstrap(const double *values, size_t n, size_t resamples, double confidence, uint64_t seed);

/* McNemar's test (Psychometrika 12, 1947) on the discordant pairs: b rows that only the first method gets right, c that
 * only the second does. */
typedef struct tp_mcnemar {
    size_t b, c;
    bool exact;       /* fewer than 25 discordant pairs: the binomial test */
    double statistic; /* chi-square with Edwards' continuity correction; NaN when exact */
    double p;         /* two-sided */
} tp_mcnemar;

tp_mcnemar tp_mcnemar_test(size_t b, size_t c);
/* Counts b and c from the predictions of two methods for n rows; -1 (invalid) is never right. */
tp_mcnemar tp_mcnemar_compare(const int32_t *first, const int32_t *second, const int32_t *truth, size_t n);
/* The two forms by themselves. */
double tp_mcnemar_exact(size_t b, size_t c);
double tp_mcnemar_chi_square(size_t b, size_t c, double *statistic);

/* Student's paired t-test of n pairs, such as the accuracies of two methods over seeds. With fewer than two pairs t and
 * p are NaN; if all differences are equal, p is 1 (no difference) or 0. */
typedef struct tp_paired_t {
    double mean; /* of first - second */
    double t, p; /* p is two-sided */
    double d;    /* Cohen's d of the differences: their mean over their standard deviation (d_z) */
    size_t df;
} tp_paired_t;

tp_paired_t tp_paired_t_test(const double *first, const double *second, size_t n);

/* Cohen's d of two samples with the pooled standard deviation, and Cohen's h of two shares (Cohen 1988). */
double tp_cohen_d(const double *first, size_t n_first, const double *second, size_t n_second);
double tp_cohen_h(double first_share, double second_share);

/* Holm's step-down correction (Scandinavian J. Statistics 6, 1979): adjusted[i] may be compared with the level itself.
 * `adjusted` may be `p`. */
void tp_holm(const double *p, size_t n, double *adjusted);

/* Mean and standard deviation (n - 1) of n values; NaN where undefined. */
double tp_mean(const double *values, size_t n);
double tp_std(const double *values, size_t n);

#endif
