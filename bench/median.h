/* The middle of some measurements. */
#ifndef TP_BENCH_MEDIAN_H
#define TP_BENCH_MEDIAN_H

#include <stdlib.h>

static inline int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the n > 0 values; of an even number the upper of both in the middle. */
static inline double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
}

#endif
