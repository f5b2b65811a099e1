/* Ops that compare rows with rows and end in a scalar: inner products, squared differences, and InfoNCE, where each row
 * has to find its own among all others. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void add_scaled(tp_tape *tape, tp_var *var, float factor, const float *x) {
    if (var->wants_grad) tp_cpu()->axpy(tp_var_grad(tape, var), factor, x, var->rows * var->cols);
}

/* ---- inner product ---- */

static void inner_product_backward(tp_tape *tape, tp_node *node) {
    float factor = *(const float *)node->extra * node->out->grad[0];
    add_scaled(tape, node->in[0], factor, node->in[1]->data);
    add_scaled(tape, node->in[1], factor, node->in[0]->data);
}

tp_var *tp_inner_product(tp_tape *tape, tp_var *a, tp_var *b, float factor) {
    assert(a->rows == b->rows && a->cols == b->cols);
    double sum = 0;
    for (int64_t i = 0; i < a->rows * a->cols; i++) sum += (double)a->data[i] * b->data[i];
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)(factor * sum);
    tp_node *node = tp_record(tape, inner_product_backward, out, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    if (node) {
        float *extra = tp_arena_alloc(tape->arena, sizeof *extra);
        *extra = factor;
        node->extra = extra;
    }
    return out;
}

/* ---- squared difference ---- */

static void mean_square_backward(tp_tape *tape, tp_node *node) {
    tp_var *a = node->in[0], *b = node->in[1];
    float factor = 2.0f * node->out->grad[0] / (float)(a->rows * a->cols);
    add_scaled(tape, a, factor, a->data);
    add_scaled(tape, a, -factor, b->data);
    add_scaled(tape, b, factor, b->data);
    add_scaled(tape, b, -factor, a->data);
}

tp_var *tp_mean_square_difference(tp_tape *tape, tp_var *a, tp_var *b) {
    assert(a->rows == b->rows && a->cols == b->cols && a->rows * a->cols > 0);
    int64_t n = a->rows * a->cols;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += ((double)a->data[i] - b->data[i]) * ((double)a->data[i] - b->data[i]);
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)(sum / (double)n);
    tp_record(tape, mean_square_backward, out, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    return out;
}

/* ---- InfoNCE ---- */

typedef struct {
    float factor;
    float *slopes; /* [queries, keys]: what the loss rises by with each logit */
} info_nce;

static void info_nce_backward(tp_tape *tape, tp_node *node) {
    const info_nce *c = node->extra;
    tp_var *q = node->in[0], *k = node->in[1];
    float factor = c->factor * node->out->grad[0], *dq = q->wants_grad ? tp_var_grad(tape, q) : NULL,
          *dk = k->wants_grad ? tp_var_grad(tape, k) : NULL;
    for (int64_t i = 0; i < q->rows; i++)
        for (int64_t j = 0; j < k->rows; j++) {
            float slope = factor * c->slopes[i * k->rows + j];
            if (slope == 0.0f) continue;
            if (dq) tp_cpu()->axpy(dq + i * q->cols, slope, k->data + j * k->cols, k->cols);
            if (dk) tp_cpu()->axpy(dk + j * k->cols, slope, q->data + i * q->cols, q->cols);
        }
}

/* The logits of a query against all keys become its slopes; returns its loss. */
static double one_query(float *row, const float *positives, int64_t n, int64_t own) {
    double most = -INFINITY, sum = 0, loss = 0;
    for (int64_t j = 0; j < n; j++)
        if (j != own && row[j] > most) most = row[j];
    for (int64_t j = 0; j < n; j++) sum += j == own ? 0 : exp(row[j] - most);
    for (int64_t j = 0; j < n; j++) {
        double log_share = j == own ? 0 : row[j] - most - log(sum);
        loss -= positives[j] * log_share;
        row[j] = j == own ? 0.0f : (float)(exp(log_share) - positives[j]);
    }
    return loss;
}

tp_var *tp_info_nce(tp_tape *tape, tp_var *queries, tp_var *keys, float factor, const float *positives, bool skip_own) {
    assert(queries->cols == keys->cols);
    int64_t n = queries->rows, m = keys->rows, asked = 0;
    info_nce *c = tp_arena_alloc(tape->arena, sizeof *c);
    *c = (info_nce){factor, tp_arena_zalloc(tape->arena, (size_t)(n * m) * sizeof(float))};
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        double total = 0;
        for (int64_t j = 0; j < m; j++) total += positives[i * m + j];
        if (total == 0) continue; /* nothing to be found */
        for (int64_t j = 0; j < m; j++)
            c->slopes[i * m + j] =
                factor * tp_cpu()->dot_f32(queries->data + i * queries->cols, keys->data + j * keys->cols, keys->cols);
        loss += one_query(c->slopes + i * m, positives + i * m, m, skip_own ? i : -1);
        asked++;
    }
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = asked ? (float)(loss / (double)asked) : 0.0f;
    for (int64_t i = 0; i < n * m && asked; i++) c->slopes[i] /= (float)asked;
    tp_node *node = tp_record(tape, info_nce_backward, out, (tp_var *[3]){queries, keys}, (const tp_weight *[2]){0});
    if (node) node->extra = c;
    return out;
}
