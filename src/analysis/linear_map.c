/* Ridge regression by conjugate gradients. See linear_map.h.
 *
 * The normal equations W (G + l2) = B, with G = Z'Z / n and B = Y'Z / n, are solved for all targets together: each step
 * is one product of the engine, [n_targets, d] times [d, d]. The penalty keeps G + l2 well enough
 * conditioned for f32 (Hestenes and Stiefel 1952). The exact solution of eval/affine.h is for maps between models: its
 * factorisation in f64 takes minutes where, as here, inputs are thousands, targets hundreds, and penalties are tried.
 */
#include "analysis/linear_map.h"

#include "base/mem.h"
#include "tensor/matmul.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 2048, MOST_STEPS = 400 };
static const double small_enough = 1e-6; /* residual relative to the right-hand side, of every target */

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

static double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Solves W (gram + l2) = right from W = 0, a target a row; `right` becomes the residual. */
static void solve(tp_linear_map *m, float *gram, float *right, tp_arena *scratch) {
    size_t d = m->d, size = m->n_targets * d;
    float *direction = tp_alloc(size * sizeof *direction), *image = tp_alloc(size * sizeof *image);
    double *square = tp_alloc(m->n_targets * sizeof *square), *first = tp_alloc(m->n_targets * sizeof *first);
    tp_weight g = as_weight(gram, d, d);
    for (size_t t = 0; t < m->n_targets; t++) first[t] = square[t] = dot(right + t * d, right + t * d, d);
    memcpy(direction, right, size * sizeof *right);
    m->residual = 1;
    for (m->n_steps = 0; m->n_steps < MOST_STEPS && m->residual > small_enough; m->n_steps++) {
        tp_matmul(TP_MATH_F32, scratch, image, direction, (int64_t)m->n_targets, &g);
        m->residual = 0;
        for (size_t t = 0; t < m->n_targets; t++) {
            float *p = direction + t * d, *q = image + t * d, *r = right + t * d, *w = m->weights + t * d;
            if (square[t] <= small_enough * small_enough * first[t]) continue; /* this one is done */
            for (size_t k = 0; k < d; k++) q[k] += (float)m->l2 * p[k];
            float step = (float)(square[t] / dot(p, q, d));
            for (size_t k = 0; k < d; k++) w[k] += step * p[k], r[k] -= step * q[k];
            double next = dot(r, r, d);
            float keep = (float)(next / square[t]);
            for (size_t k = 0; k < d; k++) p[k] = r[k] + keep * p[k];
            square[t] = next;
            m->residual = fmax(m->residual, sqrt(next / first[t]));
        }
    }
    tp_free(direction);
    tp_free(image);
    tp_free(square);
    tp_free(first);
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
        solve(m, gram, right, scratch);
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
