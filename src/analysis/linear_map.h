/* Ridge regression with many targets: the linear map that says what a vector tells of each of them.
 *
 * Inputs are standardised with the mean and standard deviation of the rows fitted, targets centred. Minimised is
 *     1 / n * |Y - (Z W^T + b)|^2  +  l2 * |W|^2
 * over all targets at once. */
#ifndef TP_ANALYSIS_LINEAR_MAP_H
#define TP_ANALYSIS_LINEAR_MAP_H

#include "base/error.h"

#include <stddef.h>

typedef struct tp_linear_map {
    size_t d, n_targets;
    double l2;
    float *mean, *scale; /* [d]; an input is (x - mean) * scale; scale is 0 where the fitted rows do not vary */
    float *weights;      /* [n_targets, d], of standardised inputs */
    float *bias;         /* [n_targets] */
    double residual;     /* of the equations solved: the largest over targets, relative to the right-hand side */
} tp_linear_map;

/* Fits y [n, n_targets] on x [n, d]; l2 > 0. A number of x that is not finite is an error that names the row, and
 * so is a penalty too small for the equations to be solved in f32. Free *out with tp_linear_map_free. */
tp_status tp_linear_map_fit(const float *x, const float *y, size_t n, size_t d, size_t n_targets, double l2,
                            tp_linear_map **out);

/* The targets of each row of x [n, d] into out [n, n_targets]. */
void tp_linear_map_apply(const tp_linear_map *map, const float *x, size_t n, float *out);

void tp_linear_map_free(tp_linear_map *map); /* takes NULL */

#endif
