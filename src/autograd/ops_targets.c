/* Losses of logits against more than one right token: which tokens occur (a bag of words), and another model's
 * distribution. Both keep the slope of each logit from the forward pass, where it comes for nothing. */
#include "autograd/ops.h"
#include "autograd/pieces.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void slopes_backward(tp_tape *tape, tp_node *node) {
    tp_add_to_grad(tape, node->in[0], node->out->grad[0], node->extra);
}

static tp_var *scalar_with_slopes(tp_tape *tape, tp_var *logits, double loss, float *slopes) {
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)loss;
    tp_node *node = tp_record(tape, slopes_backward, out, (tp_var *[3]){logits}, (const tp_weight *[2]){0});
    if (node) node->extra = slopes;
    return out;
}

tp_var *tp_bag_cross_entropy(tp_tape *tape, tp_var *logits, const int32_t *const *ids, const int64_t *n_ids) {
    int64_t n = logits->rows, v = logits->cols;
    float *slopes = tp_arena_zalloc(tape->arena, (size_t)(n * v) * sizeof(float));
    double *losses = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *losses), scale = 1.0 / (double)(n * v);
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < n_ids[i]; t++) {
            assert(ids[i][t] >= 0 && ids[i][t] < v);
            slopes[i * v + ids[i][t]] = 1; /* the targets, for now */
        }
#pragma omp parallel for if (n * v > 1 << 14)
    for (int64_t i = 0; i < n; i++) {
        losses[i] = 0;
        for (int64_t j = i * v; j < (i + 1) * v; j++) {
            double x = logits->data[j], e = exp(-fabs(x)); /* log(1 + e^x) without overflow */
            losses[i] += fmax(x, 0) + log1p(e) - (slopes[j] != 0 ? x : 0);
            slopes[j] = (float)(((x >= 0 ? 1 / (1 + e) : e / (1 + e)) - (slopes[j] != 0)) * scale);
        }
    }
    double loss = 0;
    for (int64_t i = 0; i < n; i++) loss += losses[i];
    return scalar_with_slopes(tape, logits, loss * scale, slopes);
}

/* log sum exp(x / temperature) of a row */
static double log_sum(const float *x, int64_t n, double temperature) {
    double most = x[0], sum = 0;
    for (int64_t j = 1; j < n; j++) most = fmax(most, x[j]);
    for (int64_t j = 0; j < n; j++) sum += exp((x[j] - most) / temperature);
    return log(sum) + most / temperature;
}

tp_var *tp_distillation(tp_tape *tape, tp_var *logits, const tp_var *teacher, const float *weights,
                        double temperature) {
    assert(logits->rows == teacher->rows && logits->cols == teacher->cols);
    int64_t n = logits->rows, v = logits->cols;
    float *slopes = tp_arena_zalloc(tape->arena, (size_t)(n * v) * sizeof(float));
    double *losses = tp_arena_zalloc(tape->arena, (size_t)(n + 1) * sizeof *losses), total = 0, loss = 0;
    for (int64_t i = 0; i < n; i++) total += weights[i];
#pragma omp parallel for if (n * v > 1 << 14)
    for (int64_t i = 0; i < n; i++) {
        if (weights[i] == 0.0f) continue;
        const float *x = logits->data + i * v, *t = teacher->data + i * v;
        double own = log_sum(x, v, temperature), theirs = log_sum(t, v, temperature), share = weights[i] / total;
        for (int64_t j = 0; j < v; j++) {
            double log_q = x[j] / temperature - own, log_p = t[j] / temperature - theirs, p = exp(log_p);
            losses[i] += p * (log_p - log_q) * share * temperature * temperature;
            slopes[i * v + j] = (float)((exp(log_q) - p) * share * temperature);
        }
    }
    for (int64_t i = 0; i < n; i++) loss += losses[i];
    return scalar_with_slopes(tape, logits, loss, slopes);
}
