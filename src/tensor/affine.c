/* Principal components and ridge regression. See affine.h. */
#include "tensor/affine.h"

#include "base/mem.h"
#include "tensor/matmul.h"

#include <gsl/gsl_eigen.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 2048 };

void tp_affine_free(tp_affine *map) {
    tp_free(map->mean);
    tp_free(map->offset);
    tp_free(map->weights);
    *map = (tp_affine){0};
}

static tp_affine new_map(size_t d_in, size_t d_out) {
    return (tp_affine){.d_in = d_in,
                       .d_out = d_out,
                       .mean = tp_alloc(d_in * sizeof(float)),
                       .offset = tp_alloc(d_out * sizeof(float)),
                       .weights = tp_alloc(d_in * d_out * sizeof(float))};
}

void tp_affine_apply(const tp_affine *m, const float *x, size_t n, float *out) {
    tp_arena *scratch = tp_arena_new();
    tp_weight w = {.name = "linear map",
                   .dtype = TP_F32,
                   .rows = (int64_t)m->d_out,
                   .cols = (int64_t)m->d_in,
                   .data = m->weights,
                   .grad = m->weights}; /* has a gradient, so nothing made of it is kept */
    float *rows = tp_arena_alloc(scratch, BLOCK * m->d_in * sizeof *rows);
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t some = n - from < BLOCK ? n - from : BLOCK;
        for (size_t i = 0; i < some; i++)
            for (size_t k = 0; k < m->d_in; k++) rows[i * m->d_in + k] = x[(from + i) * m->d_in + k] - m->mean[k];
        tp_matmul(TP_MATH_F32, scratch, out + from * m->d_out, rows, (int64_t)some, &w);
        for (size_t i = 0; i < some; i++)
            for (size_t k = 0; k < m->d_out; k++) out[(from + i) * m->d_out + k] += m->offset[k];
    }
    tp_arena_free(scratch);
}

void tp_stretch_means(const float *rows, int64_t n, int64_t d, int m, float *out) {
    for (int j = 0; j < m; j++) {
        int64_t begin = j * n / m, end = (j + 1) * n / m;
        if (end == begin) end = begin + 1;
        for (int64_t k = 0; k < d; k++) {
            double sum = 0;
            for (int64_t i = begin; i < end; i++) sum += (double)rows[i * d + k];
            out[j * d + k] = (float)(sum / (double)(end - begin));
        }
    }
}

/* ---- sums over rows ---- */

static tp_status find_mean(const char *what, const float *x, size_t n, size_t d, float *mean) {
    double *sums = tp_alloc(d * sizeof *sums);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < d; k++) sums[k] += (double)x[i * d + k];
    tp_status status = TP_OK;
    for (size_t k = 0; k < d; k++) {
        mean[k] = (float)(sums[k] / (double)n);
        if (!isfinite(mean[k]) && status == TP_OK)
            status = tp_fail(TP_ERR_ARGUMENT, "column %zu of the %s holds a number that is not finite", k, what);
    }
    tp_free(sums);
    return status;
}

/* sums [d_y, d_x] = mean over rows of (y - mean y)^T (x - mean x), in f64. */
static void mean_products(const float *x, const float *mean_x, size_t d_x, const float *y, const float *mean_y,
                          size_t d_y, size_t n, double *sums) {
    tp_arena *scratch = tp_arena_new();
    float *rows_x = tp_arena_alloc(scratch, BLOCK * d_x * sizeof *rows_x);
    float *rows_y = tp_arena_alloc(scratch, BLOCK * d_y * sizeof *rows_y);
    float *part = tp_arena_alloc(scratch, d_x * d_y * sizeof *part);
    tp_weight w = {
        .name = "products", .dtype = TP_F32, .rows = (int64_t)d_y, .cols = (int64_t)d_x, .data = part, .grad = part};
    memset(sums, 0, d_x * d_y * sizeof *sums);
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t some = n - from < BLOCK ? n - from : BLOCK;
        for (size_t i = 0; i < some; i++) {
            for (size_t k = 0; k < d_x; k++) rows_x[i * d_x + k] = x[(from + i) * d_x + k] - mean_x[k];
            for (size_t k = 0; k < d_y; k++) rows_y[i * d_y + k] = y[(from + i) * d_y + k] - mean_y[k];
        }
        memset(part, 0, d_x * d_y * sizeof *part);
        tp_matmul_weight_grad(TP_MATH_F32, scratch, rows_y, rows_x, (int64_t)some, &w);
        for (size_t k = 0; k < d_x * d_y; k++) sums[k] += (double)part[k] / (double)n;
    }
    tp_arena_free(scratch);
}

/* ---- principal components ---- */

/* Eigenvalues and vectors (columns) of a symmetric [side, side], largest first; `matrix` is destroyed. */
static tp_status eigen(double *matrix, size_t side, gsl_vector **values, gsl_matrix **vectors) {
    gsl_matrix_view view = gsl_matrix_view_array(matrix, side, side);
    gsl_eigen_symmv_workspace *work = gsl_eigen_symmv_alloc(side);
    *values = gsl_vector_alloc(side);
    *vectors = gsl_matrix_alloc(side, side);
    gsl_error_handler_t *callers = gsl_set_error_handler_off(); /* GSL's own would end the program */
    int code = gsl_eigen_symmv(&view.matrix, *values, *vectors, work);
    gsl_set_error_handler(callers);
    gsl_eigen_symmv_sort(*values, *vectors, GSL_EIGEN_SORT_VAL_DESC);
    gsl_eigen_symmv_free(work);
    return code == GSL_SUCCESS
               ? TP_OK
               : tp_fail(TP_ERR_ARGUMENT, "the principal components of %zu directions were not found: %s", side,
                         gsl_strerror(code));
}

/* How many leading values hold the share of their sum; *held gets what they hold. */
static size_t count_components(const gsl_vector *values, double share, size_t most, double *held) {
    double total = 0, sum = 0;
    for (size_t k = 0; k < values->size; k++) total += fmax(gsl_vector_get(values, k), 0);
    size_t n = 0;
    while (n < values->size && n < most && (n == 0 || sum < share * total)) {
        double value = gsl_vector_get(values, n);
        if (n > 0 && value <= 1e-12 * total) break; /* nothing but rounding is left */
        sum += value;
        n++;
    }
    *held = total > 0 ? sum / total : 0;
    return n;
}

/* Sets row k of the map to a direction (any length): scaled to length 1, its largest entry positive. */
static void set_direction(tp_affine *map, size_t k, const double *direction) {
    double norm = 0, largest = 0;
    for (size_t j = 0; j < map->d_in; j++) {
        norm += direction[j] * direction[j];
        if (fabs(direction[j]) > fabs(largest)) largest = direction[j];
    }
    double factor = norm > 0 ? copysign(1 / sqrt(norm), largest) : 0;
    for (size_t j = 0; j < map->d_in; j++) map->weights[k * map->d_in + j] = (float)(direction[j] * factor);
}

/* The products of all pairs of centred rows, [n, n]. */
static void row_products(const float *x, const float *mean, size_t n, size_t d, double *out) {
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++)
                sum += ((double)x[i * d + k] - (double)mean[k]) * ((double)x[j * d + k] - (double)mean[k]);
            out[i * n + j] = out[j * n + i] = sum;
        }
}

tp_status tp_pca_fit(const float *x, size_t n, size_t d, double share, size_t most, tp_affine *out, double *held) {
    float *mean = tp_alloc(d * sizeof *mean);
    bool by_rows = n < d; /* then the rows' own products have the same eigenvalues, and there are fewer of them */
    size_t side = by_rows ? n : d;
    double *matrix = tp_try_alloc(side * side, sizeof *matrix), part;
    tp_status status = matrix ? find_mean("rows", x, n, d, mean) : tp_last_status();
    gsl_vector *values = NULL;
    gsl_matrix *vectors = NULL;
    *out = (tp_affine){0};
    if (status == TP_OK && by_rows) row_products(x, mean, n, d, matrix);
    if (status == TP_OK && !by_rows) mean_products(x, mean, d, x, mean, d, n, matrix);
    if (status == TP_OK) status = eigen(matrix, side, &values, &vectors);
    if (status == TP_OK && !(gsl_vector_get(values, 0) > 0))
        status = tp_fail(TP_ERR_ARGUMENT, "%zu equal rows have no principal components", n);
    if (status == TP_OK) {
        size_t n_kept = count_components(values, share, most, held ? held : &part);
        double *direction = tp_alloc(d * sizeof *direction);
        *out = new_map(d, n_kept);
        memcpy(out->mean, mean, d * sizeof *mean);
        for (size_t k = 0; k < n_kept; k++) {
            memset(direction, 0, d * sizeof *direction);
            for (size_t j = 0; j < side; j++) {
                double weight = gsl_matrix_get(vectors, j, k);
                if (!by_rows) direction[j] = weight;
                for (size_t c = 0; by_rows && c < d; c++)
                    direction[c] += weight * ((double)x[j * d + c] - (double)mean[c]);
            }
            set_direction(out, k, direction);
        }
        tp_free(direction);
    }
    if (values) gsl_vector_free(values);
    if (vectors) gsl_matrix_free(vectors);
    tp_free(matrix);
    tp_free(mean);
    return status;
}

/* ---- ridge regression ---- */

struct tp_ridge {
    size_t d_in, d_out;
    float *mean_in, *mean_out;
    double *inputs; /* [d_in, d_in]: mean products of the inputs */
    double *cross;  /* [d_out, d_in]: of outputs and inputs */
    double variance;
};

tp_ridge *tp_ridge_new(const float *x, const float *y, size_t n, size_t d_in, size_t d_out) {
    tp_ridge *r = tp_alloc(sizeof *r);
    *r = (tp_ridge){.d_in = d_in,
                    .d_out = d_out,
                    .mean_in = tp_alloc(d_in * sizeof(float)),
                    .mean_out = tp_alloc(d_out * sizeof(float)),
                    .inputs = tp_try_alloc(d_in * d_in, sizeof(double)),
                    .cross = tp_try_alloc(d_in * d_out, sizeof(double))};
    tp_status status = r->inputs && r->cross ? TP_OK : tp_last_status();
    if (status == TP_OK && n == 0) status = tp_fail(TP_ERR_ARGUMENT, "ridge regression needs rows to fit, found none");
    if (status == TP_OK) status = find_mean("inputs", x, n, d_in, r->mean_in);
    if (status == TP_OK) status = find_mean("outputs", y, n, d_out, r->mean_out);
    if (status != TP_OK) {
        tp_ridge_free(r);
        return NULL;
    }
    mean_products(x, r->mean_in, d_in, x, r->mean_in, d_in, n, r->inputs);
    mean_products(x, r->mean_in, d_in, y, r->mean_out, d_out, n, r->cross);
    for (size_t k = 0; k < d_in; k++) r->variance += r->inputs[k * d_in + k] / (double)d_in;
    return r;
}

void tp_ridge_free(tp_ridge *r) {
    if (r == NULL) return;
    tp_free(r->mean_in);
    tp_free(r->mean_out);
    tp_free(r->inputs);
    tp_free(r->cross);
    tp_free(r);
}

tp_status tp_ridge_solve(const tp_ridge *r, double penalty, tp_affine *out) {
    size_t d = r->d_in;
    *out = (tp_affine){0};
    double *equations = tp_try_alloc(d * d, sizeof *equations);
    if (equations == NULL) return tp_last_status();
    memcpy(equations, r->inputs, d * d * sizeof *equations);
    for (size_t k = 0; k < d; k++) equations[k * d + k] += penalty * r->variance;
    gsl_matrix_view matrix = gsl_matrix_view_array(equations, d, d);
    gsl_error_handler_t *callers = gsl_set_error_handler_off();
    int code = gsl_linalg_cholesky_decomp1(&matrix.matrix);
    gsl_set_error_handler(callers);
    if (code != GSL_SUCCESS) {
        tp_free(equations);
        return tp_fail(TP_ERR_ARGUMENT, "ridge regression on %zu inputs with penalty %g has no solution: %s", d,
                       penalty, gsl_strerror(code));
    }
    *out = new_map(d, r->d_out);
    memcpy(out->mean, r->mean_in, d * sizeof *out->mean);
    memcpy(out->offset, r->mean_out, r->d_out * sizeof *out->offset);
    double *solution = tp_alloc(d * sizeof *solution);
    for (size_t o = 0; o < r->d_out; o++) {
        memcpy(solution, r->cross + o * d, d * sizeof *solution);
        gsl_vector_view vector = gsl_vector_view_array(solution, d);
        gsl_linalg_cholesky_svx(&matrix.matrix, &vector.vector);
        for (size_t k = 0; k < d; k++) out->weights[o * d + k] = (float)solution[k];
    }
    tp_free(solution);
    tp_free(equations);
    return TP_OK;
}
