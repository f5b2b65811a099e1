/* Principal components by subspace iteration. See pca.h.
 *
 * Of the two matrices that know the axes, the covariance [d, d] and the products of the points [n, n], the smaller is
 * made; its largest eigenvectors come from orthogonal iteration with a few vectors to spare and a Rayleigh-Ritz step
 * (Parlett 1980, chapter 14), which tells apart axes of nearly the same variance too. A full decomposition would cost
 * minutes where this takes a second. */
#include "analysis/pca.h"

#include "base/mem.h"
#include "base/rng.h"

#include <gsl/gsl_eigen.h>
#include <math.h>
#include <string.h>

enum { SPARE = 8, MOST_ROUNDS = 3000 };
static const double small_enough = 1e-11; /* residual of an eigenvector, relative to the largest eigenvalue */

/* z[s, b] = S q[s, b] */
static void apply(const double *matrix, const double *q, size_t s, size_t b, double *z) {
    memset(z, 0, s * b * sizeof *z);
    for (size_t i = 0; i < s; i++)
        for (size_t j = 0; j < s; j++) {
            double factor = matrix[i * s + j];
            for (size_t c = 0; c < b; c++) z[i * b + c] += factor * q[j * b + c];
        }
}

static double column_dot(const double *a, size_t i, const double *b, size_t j, size_t s, size_t width) {
    double sum = 0;
    for (size_t r = 0; r < s; r++) sum += a[r * width + i] * b[r * width + j];
    return sum;
}

/* Makes the columns orthonormal (Gram-Schmidt, twice for rounding). One that depends on those before becomes zeros. */
static void orthonormalise(double *q, size_t s, size_t b) {
    for (size_t c = 0; c < b; c++) {
        double before = sqrt(column_dot(q, c, q, c, s, b));
        for (int twice = 0; twice < 2; twice++)
            for (size_t o = 0; o < c; o++) {
                double overlap = column_dot(q, o, q, c, s, b);
                for (size_t r = 0; r < s; r++) q[r * b + c] -= overlap * q[r * b + o];
            }
        double length = sqrt(column_dot(q, c, q, c, s, b)), factor = length > 1e-12 * before ? 1 / length : 0;
        for (size_t r = 0; r < s; r++) q[r * b + c] *= factor;
    }
}

/* The eigenvectors of q' S q, largest eigenvalue first, into turn [b, b] (a column each) and values [b]. */
static void ritz(const double *q, const double *z, size_t s, size_t b, double *turn, double *values) {
    gsl_matrix *small = gsl_matrix_alloc(b, b), *vectors = gsl_matrix_alloc(b, b);
    gsl_vector *eigen = gsl_vector_alloc(b);
    gsl_eigen_symmv_workspace *work = gsl_eigen_symmv_alloc(b);
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j <= i; j++) {
            double value = column_dot(q, i, z, j, s, b);
            gsl_matrix_set(small, i, j, value);
            gsl_matrix_set(small, j, i, value);
        }
    gsl_eigen_symmv(small, eigen, vectors, work);
    gsl_eigen_symmv_sort(eigen, vectors, GSL_EIGEN_SORT_VAL_DESC);
    for (size_t i = 0; i < b; i++) {
        values[i] = gsl_vector_get(eigen, i);
        for (size_t j = 0; j < b; j++) turn[i * b + j] = gsl_matrix_get(vectors, i, j);
    }
    gsl_eigen_symmv_free(work);
    gsl_vector_free(eigen);
    gsl_matrix_free(vectors);
    gsl_matrix_free(small);
}

/* out[s, b] = in[s, b] turn[b, b] */
static void combine(const double *in, const double *turn, size_t s, size_t b, double *out) {
    memset(out, 0, s * b * sizeof *out);
    for (size_t r = 0; r < s; r++)
        for (size_t i = 0; i < b; i++)
            for (size_t j = 0; j < b; j++) out[r * b + j] += in[r * b + i] * turn[i * b + j];
}

/* How far the first k columns are from eigenvectors, at most: |S v - value v|. */
static double residual(const double *q, const double *z, const double *values, size_t s, size_t b, size_t k) {
    double most = 0;
    for (size_t c = 0; c < k; c++) {
        double sum = 0;
        for (size_t r = 0; r < s; r++) {
            double off = z[r * b + c] - values[c] * q[r * b + c];
            sum += off * off;
        }
        most = fmax(most, sqrt(sum));
    }
    return most;
}

/* The k largest eigenvalues of the symmetric matrix [s, s] and their vectors, columns of vectors [s, b], b >= k. */
static void largest_eigenvectors(const double *matrix, size_t s, size_t b, size_t k, double *vectors, double *values) {
    double *z = tp_alloc(s * b * sizeof *z), *next = tp_alloc(s * b * sizeof *next);
    double *turn = tp_alloc(b * b * sizeof *turn);
    tp_rng rng = tp_rng_stream(0, "pca", 0);
    for (size_t i = 0; i < s * b; i++) vectors[i] = tp_rng_normal(&rng);
    orthonormalise(vectors, s, b);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        apply(matrix, vectors, s, b, z);
        ritz(vectors, z, s, b, turn, values);
        combine(vectors, turn, s, b, next);
        memcpy(vectors, next, s * b * sizeof *next);
        combine(z, turn, s, b, next); /* S times the new vectors */
        if (residual(vectors, next, values, s, b, k) <= small_enough * fabs(values[0])) break;
        memcpy(vectors, next, s * b * sizeof *next);
        orthonormalise(vectors, s, b);
    }
    tp_free(z);
    tp_free(next);
    tp_free(turn);
}

static void centre(const float *x, size_t n, size_t d, double *out) {
    for (size_t k = 0; k < d; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += (double)x[i * d + k];
        for (size_t i = 0; i < n; i++) out[i * d + k] = (double)x[i * d + k] - sum / (double)n;
    }
}

/* Products of rows, [n, n] of x [n, d]. */
static void row_products(const double *x, size_t n, size_t d, double *out) {
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++) sum += x[i * d + k] * x[j * d + k];
            out[i * n + j] = out[j * n + i] = sum;
        }
}

/* Products of columns, [d, d]. */
static void column_products(const double *x, size_t n, size_t d, double *out) {
    memset(out, 0, d * d * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++) out[a * d + b] += x[i * d + a] * x[i * d + b];
}

/* Turns axis c around if the point farthest out lies on its negative side. */
static void fix_sign(double *points, size_t n, size_t k, size_t c) {
    size_t far = 0;
    for (size_t i = 1; i < n; i++)
        if (fabs(points[i * k + c]) > fabs(points[far * k + c])) far = i;
    for (size_t i = 0; points[far * k + c] < 0 && i < n; i++)
        if (i != far) points[i * k + c] = -points[i * k + c];
    points[far * k + c] = fabs(points[far * k + c]);
}

void tp_pca(const float *x, size_t n, size_t d, size_t k, double *points, double *explained) {
    memset(points, 0, n * k * sizeof *points);
    memset(explained, 0, k * sizeof *explained);
    if (n < 2 || d == 0) return;
    size_t s = n < d ? n : d, b = k + SPARE < s ? k + SPARE : s, found = k < b ? k : b;
    double *centred = tp_alloc(n * d * sizeof *centred), *matrix = tp_alloc(s * s * sizeof *matrix);
    double *vectors = tp_alloc(s * b * sizeof *vectors), *values = tp_alloc(b * sizeof *values), total = 0;
    centre(x, n, d, centred);
    if (n < d)
        row_products(centred, n, d, matrix);
    else
        column_products(centred, n, d, matrix);
    for (size_t i = 0; i < s; i++) total += matrix[i * s + i];
    if (total > 0) largest_eigenvectors(matrix, s, b, found, vectors, values);
    for (size_t c = 0; total > 0 && c < found; c++) {
        if (!(values[c] > 1e-14 * total)) break; /* no more directions */
        explained[c] = values[c] / total;
        for (size_t i = 0; i < n; i++) {
            double place = 0;
            for (size_t j = 0; n >= d && j < d; j++) place += centred[i * d + j] * vectors[j * b + c];
            points[i * k + c] = n < d ? sqrt(values[c]) * vectors[i * b + c] : place;
        }
        fix_sign(points, n, k, c);
    }
    tp_free(centred);
    tp_free(matrix);
    tp_free(vectors);
    tp_free(values);
}
