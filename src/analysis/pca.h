/* Principal components: where points lie along the few directions in which they differ most (Pearson 1901). */
#ifndef TP_ANALYSIS_PCA_H
#define TP_ANALYSIS_PCA_H

#include <stddef.h>

/* The places of n points x [n, d] along the first k principal axes, into points [n, k], and each axis's share of the
 * variance, into explained [k] (zeros where the points differ in fewer directions than k). An axis's sign is such that
 * the point farthest from the middle lies on its positive side. Deterministic. */
void tp_pca(const float *x, size_t n, size_t d, size_t k, double *points, double *explained);

#endif
