/* Ridge regression with many targets. See linear_map.h.
 *
 * The normal equations W (G + l2) = B, with G = Z'Z / n and B = Y'Z / n, are solved by a Cholesky factorisation in
 * blocks, whose work is products of the engine in f32, and improved once by the solution for what is left over. The
 * penalty keeps G + l2 well enough conditioned for that. (The exact solution of tensor/affine.h in f64 is for maps
 * between models: it takes minutes where, as here, inputs are thousands, targets hundreds, and several penalties are
 * tried.) */
#include "analysis/linear_map.h"

#include "base/mem.h"
#include "tensor/matmul.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 2048, COLUMNS = 96 }; /* rows at a time; columns of the factor at a time */

static tp_weight as_weight(float *numbers, size_t rows, size_t cols) {
    return (tp_weight){.name = "map", /* has a gradient, so nothing made of it is kept */
                       .dtype = TP_F32,
                       .rows = (int64_t)rows,
                       .cols = (int64_t)cols,
                       .data = numbers,
                       .grad = numbers};
}

static tp_status measure(tp_linear_map *m, const float *x, const float *y, size_t n) {
    double *sum = tp_alloc(m->d * sizeof *sum), *square = tp_alloc(m->d * sizeof *square);
    double *target = tp_alloc(m->n_targets * sizeof *target);
    tp_status status = TP_OK;
    for (size_t i = 0; i < n && status == TP_OK; i++)
        for (size_t k = 0; k < m->d; k++) {
            if (!isfinite(x[i * m->d + k]))
                status =
                    tp_fail(TP_ERR_ARGUMENT, "row %zu for the linear map holds %g at %zu; finite numbers were expected",
                            i, (double)x[i * m->d + k], k);
            sum[k] += (double)x[i * m->d + k];
        }
    for (size_t k = 0; k < m->d; k++) m->mean[k] = (float)(sum[k] / (double)n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m->d; k++) {
            double away = (double)x[i * m->d + k] - (double)m->mean[k];
            square[k] += away * away;
        }
        for (size_t t = 0; t < m->n_targets; t++) target[t] += (double)y[i * m->n_targets + t];
    }
    for (size_t k = 0; k < m->d; k++) {
        double std = sqrt(square[k] / (double)n);
        m->scale[k] = std > 1e-6 * fabs((double)m->mean[k]) && std > 1e-20 ? (float)(1 / std) : 0;
    }
    for (size_t t = 0; t < m->n_targets; t++) m->bias[t] = (float)(target[t] / (double)n);
    tp_free(sum);
    tp_free(square);
    tp_free(target);
    return status;
}

static void standardise(const tp_linear_map *m, const float *x, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m->d; k++) out[i * m->d + k] = (x[i * m->d + k] - m->mean[k]) * m->scale[k];
}

/* gram [d, d] = Z'Z / n and right [n_targets, d] = (Y - bias)'Z / n. */
static void normal_equations(const tp_linear_map *m, const float *x, const float *y, size_t n, tp_arena *scratch,
                             float *gram, float *right) {
    float *rows = tp_alloc(BLOCK * m->d * sizeof *rows), *targets = tp_alloc(BLOCK * m->n_targets * sizeof *targets);
    tp_weight g = as_weight(gram, m->d, m->d), b = as_weight(right, m->n_targets, m->d);
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t some = n - start < BLOCK ? n - start : BLOCK;
        standardise(m, x + start * m->d, some, rows);
        for (size_t i = 0; i < some; i++)
            for (size_t t = 0; t < m->n_targets; t++)
                targets[i * m->n_targets + t] = y[(start + i) * m->n_targets + t] - m->bias[t];
        tp_matmul_weight_grad(TP_MATH_F32, scratch, rows, rows, (int64_t)some, &g);
        tp_matmul_weight_grad(TP_MATH_F32, scratch, targets, rows, (int64_t)some, &b);
    }
    for (size_t k = 0; k < m->d * m->d; k++) gram[k] /= (float)n;
    for (size_t k = 0; k < m->n_targets * m->d; k++) right[k] /= (float)n;
    tp_free(rows);
    tp_free(targets);
}

/* ---- solving ---- */

/* Part of a matrix with rows of `stride` numbers: rows [n], columns at .. at + width - 1, packed. */
static float *pack(const float *rows, size_t n, size_t stride, size_t at, size_t width) {
    float *out = tp_alloc((n * width + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) memcpy(out + i * width, rows + i * stride + at, width * sizeof *out);
    return out;
}

/* rows [n, stride], columns at .. at + width - 1, less x [n, k] w [width, k]^T. */
static void subtract_product(float *rows, size_t n, size_t stride, size_t at, size_t width, const float *x, float *w,
                             size_t k, tp_arena *scratch) {
    if (n == 0 || k == 0) return;
    float *product = tp_alloc(n * width * sizeof *product);
    tp_weight weight = as_weight(w, width, k);
    tp_matmul(TP_MATH_F32, scratch, product, x, (int64_t)n, &weight);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < width; c++) rows[i * stride + at + c] -= product[i * width + c];
    tp_free(product);
}

/* row[at ..] becomes the x with x L' = row[at ..], L the lower triangle of the block at (at, at) of `factor`. */
static void solve_forward(const float *factor, size_t d, size_t at, size_t width, float *row) {
    for (size_t c = 0; c < width; c++) {
        const float *l = factor + (at + c) * d + at;
        double value = (double)row[at + c];
        for (size_t t = 0; t < c; t++) value -= (double)l[t] * (double)row[at + t];
        row[at + c] = (float)(value / (double)l[c]);
    }
}

/* The same for x L = row[at ..]. */
static void solve_backward(const float *factor, size_t d, size_t at, size_t width, float *row) {
    for (size_t c = width; c-- > 0;) {
        double value = (double)row[at + c];
        for (size_t t = c + 1; t < width; t++) value -= (double)factor[(at + t) * d + at + c] * (double)row[at + t];
        row[at + c] = (float)(value / (double)factor[(at + c) * d + at + c]);
    }
}

/* The lower triangle of a symmetric block in place; false if it is not positive definite. */
static bool factor_block(float *a, size_t d, size_t at, size_t width) {
    for (size_t c = 0; c < width; c++) {
        float *l = a + (at + c) * d + at;
        for (size_t t = 0; t <= c; t++) {
            const float *other = a + (at + t) * d + at;
            double value = (double)l[t];
            for (size_t k = 0; k < t; k++) value -= (double)l[k] * (double)other[k];
            if (t == c && !(value > 0)) return false;
            l[t] = (float)(t < c ? value / (double)other[t] : sqrt(value));
        }
    }
    return true;
}

/* a [d, d] becomes L with a = L L'; what stands above the diagonal is left as it was. */
static bool factorise(float *a, size_t d, tp_arena *scratch) {
    for (size_t at = 0; at < d; at += COLUMNS) {
        size_t width = d - at < COLUMNS ? d - at : COLUMNS;
        float *before = pack(a + at * d, d - at, d, 0, at); /* [d - at, at]; its first rows are the block's own */
        subtract_product(a + at * d, d - at, d, at, width, before, before, at, scratch);
        tp_free(before);
        if (!factor_block(a, d, at, width)) return false;
        for (size_t i = at + width; i < d; i++) solve_forward(a, d, at, width, a + i * d);
    }
    return true;
}

/* rows [n, d] become the W with W L L' = rows. */
static void solve_rows(const float *factor, size_t d, float *rows, size_t n, tp_arena *scratch) {
    for (size_t at = 0; at < d; at += COLUMNS) {
        size_t width = d - at < COLUMNS ? d - at : COLUMNS;
        float *done = pack(rows, n, d, 0, at), *l = pack(factor + at * d, width, d, 0, at);
        subtract_product(rows, n, d, at, width, done, l, at, scratch);
        tp_free(done);
        tp_free(l);
        for (size_t i = 0; i < n; i++) solve_forward(factor, d, at, width, rows + i * d);
    }
    for (size_t end = d; end > 0;) {
        size_t width = end % COLUMNS ? end % COLUMNS : COLUMNS, at = end - width, rest = d - end;
        float *done = pack(rows, n, d, end, rest), *l = tp_alloc((rest * width + 1) * sizeof *l);
        for (size_t t = 0; t < rest; t++) /* turned: [width, rest] */
            for (size_t c = 0; c < width; c++) l[c * rest + t] = factor[(end + t) * d + at + c];
        subtract_product(rows, n, d, at, width, done, l, rest, scratch);
        tp_free(done);
        tp_free(l);
        for (size_t i = 0; i < n; i++) solve_backward(factor, d, at, width, rows + i * d);
        end = at;
    }
}

static double norm(const float *a, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)a[i];
    return sqrt(sum);
}

/* left [n_targets, d] = right - W (gram + l2); returns the largest size of a row relative to that of `right`. */
static double left_over(const tp_linear_map *m, float *gram, const float *right, float *left, tp_arena *scratch) {
    tp_weight g = as_weight(gram, m->d, m->d);
    double most = 0;
    tp_matmul(TP_MATH_F32, scratch, left, m->weights, (int64_t)m->n_targets, &g);
    for (size_t t = 0; t < m->n_targets; t++) {
        const float *w = m->weights + t * m->d, *b = right + t * m->d;
        float *r = left + t * m->d;
        for (size_t k = 0; k < m->d; k++) r[k] = b[k] - r[k] - (float)m->l2 * w[k];
        double size = norm(b, m->d);
        if (size > 0) most = fmax(most, norm(r, m->d) / size);
    }
    return most;
}

static tp_status solve(tp_linear_map *m, float *gram, const float *right, tp_arena *scratch) {
    size_t d = m->d, size = m->n_targets * d;
    float *factor = tp_try_alloc(d * d, sizeof *factor);
    if (factor == NULL) return tp_last_status();
    memcpy(factor, gram, d * d * sizeof *factor);
    for (size_t k = 0; k < d; k++) factor[k * d + k] += (float)m->l2;
    if (!factorise(factor, d, scratch)) {
        tp_free(factor);
        return tp_fail(TP_ERR_ARGUMENT,
                       "a linear map of %zu inputs has no solution in f32 with the penalty %g; a larger "
                       "one was expected",
                       d, m->l2);
    }
    float *left = tp_alloc(size * sizeof *left);
    memcpy(m->weights, right, size * sizeof *right);
    solve_rows(factor, d, m->weights, m->n_targets, scratch);
    left_over(m, gram, right, left, scratch);
    solve_rows(factor, d, left, m->n_targets, scratch);
    for (size_t k = 0; k < size; k++) m->weights[k] += left[k];
    m->residual = left_over(m, gram, right, left, scratch);
    tp_free(left);
    tp_free(factor);
    return TP_OK;
}

tp_status tp_linear_map_fit(const float *x, const float *y, size_t n, size_t d, size_t n_targets, double l2,
                            tp_linear_map **out) {
    *out = NULL;
    if (n == 0 || d == 0 || n_targets == 0)
        return tp_fail(TP_ERR_ARGUMENT, "a linear map wants rows, inputs and targets: %zu, %zu and %zu were given", n,
                       d, n_targets);
    tp_linear_map *m = tp_alloc(sizeof *m);
    *m = (tp_linear_map){.d = d,
                         .n_targets = n_targets,
                         .l2 = l2,
                         .mean = tp_alloc(d * sizeof(float)),
                         .scale = tp_alloc(d * sizeof(float)),
                         .weights = tp_alloc(n_targets * d * sizeof(float)),
                         .bias = tp_alloc(n_targets * sizeof(float))};
    float *gram = tp_try_alloc(d * d, sizeof *gram), *right = tp_alloc(n_targets * d * sizeof *right);
    tp_arena *scratch = tp_arena_new();
    tp_status status = gram ? measure(m, x, y, n) : tp_last_status();
    if (status == TP_OK) {
        normal_equations(m, x, y, n, scratch, gram, right);
        status = solve(m, gram, right, scratch);
    }
    tp_arena_free(scratch);
    tp_free(gram);
    tp_free(right);
    if (status == TP_OK)
        *out = m;
    else
        tp_linear_map_free(m);
    return status;
}

void tp_linear_map_apply(const tp_linear_map *m, const float *x, size_t n, float *out) {
    tp_arena *scratch = tp_arena_new();
    float *rows = tp_alloc(BLOCK * m->d * sizeof *rows);
    tp_weight w = as_weight(m->weights, m->n_targets, m->d);
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t some = n - start < BLOCK ? n - start : BLOCK;
        float *block = out + start * m->n_targets;
        standardise(m, x + start * m->d, some, rows);
        tp_matmul(TP_MATH_F32, scratch, block, rows, (int64_t)some, &w);
        for (size_t i = 0; i < some; i++)
            for (size_t t = 0; t < m->n_targets; t++) block[i * m->n_targets + t] += m->bias[t];
    }
    tp_free(rows);
    tp_arena_free(scratch);
}

void tp_linear_map_free(tp_linear_map *map) {
    if (map == NULL) return;
    tp_free(map->mean);
    tp_free(map->scale);
    tp_free(map->weights);
    tp_free(map->bias);
    tp_free(map);
}
