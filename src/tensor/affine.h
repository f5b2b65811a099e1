/* Linear algebra of what needs no gradient descent: principal components and ridge regression.
 *
 * Products of many rows are summed in f32 within blocks by the engine's matrix product, and in f64 beyond; what is
 * solved is solved in f64 by GSL. Rows are centred first, so that sums stay small. */
#ifndef TP_TENSOR_AFFINE_H
#define TP_TENSOR_AFFINE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* out = (x - mean) W^T + offset, for rows. */
typedef struct tp_affine {
    size_t d_in, d_out;
    float *mean;    /* [d_in] */
    float *offset;  /* [d_out] */
    float *weights; /* [d_out, d_in] */
} tp_affine;

void tp_affine_apply(const tp_affine *map, const float *x, size_t n, float *out); /* [n, d_out] */
void tp_affine_free(tp_affine *map);                                              /* frees what is in it */

/* The means of m stretches of rows [n, d], one behind the other: out [m, d]. Fewer rows than stretches stand in several
 * of them. */
void tp_stretch_means(const float *rows, int64_t n, int64_t d, int m, float *out);

/* The principal components of x [n, d]: the map gives the coordinates of a row along the leading directions, in falling
 * order of variance; its offset is 0. There are as few as hold `share` of the variance, at most `most`, and at least
 * one. *held (may be NULL) gets the share they hold. Each direction points to where its largest entry is positive. An
 * error if the rows do not vary, or hold a number that is not finite. The work grows with the cube of the smaller of n
 * and d: give as many rows as that allows. */
tp_status tp_pca_fit(const float *x, size_t n, size_t d, double share, size_t most, tp_affine *out, double *held);

/* Ridge regression of y [n, d_out] on x [n, d_in], in closed form (Hoerl and Kennard, Technometrics 12, 1970):
 *
 *     minimise  mean over rows of |W (x - mean x) - (y - mean y)|^2  +  penalty * v * |W|^2
 *
 * with v the mean variance of an input, so that a penalty means the same for inputs of any size. The sums over rows are
 * made once, for as many penalties as are tried. */
typedef struct tp_ridge tp_ridge;
tp_ridge *tp_ridge_new(const float *x, const float *y, size_t n, size_t d_in, size_t d_out); /* NULL on error */
void tp_ridge_free(tp_ridge *ridge);                                                         /* takes NULL */

/* The map for one penalty (> 0). An error if the equations have no solution in f64. */
tp_status tp_ridge_solve(const tp_ridge *ridge, double penalty, tp_affine *out);

#endif
