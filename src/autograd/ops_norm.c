/* Row normalisations: root mean square (Zhang and Sennrich 2019) and layer norm (Ba, Kiros and Hinton 2016). */
#include "autograd/ops.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>

enum { PARALLEL_FROM = 1 << 14 }; /* numbers */

/* With xhat = x r (r = 1/rms), y = xhat g:  dx = r (dy g - xhat mean(dy g xhat)),  dg = sum over rows of dy xhat. */
static void rms_norm_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *g = node->weight[0];
    const float *gain = g ? tp_weight_f32(g, false) : NULL, *inverse = node->extra, *dy = node->out->grad;
    int64_t d = x->cols;
    if (x->wants_grad) {
        float *dx = tp_var_grad(tape, x);
#pragma omp parallel for if (x->rows * d > PARALLEL_FROM)
        for (int64_t i = 0; i < x->rows; i++) {
            const float *xi = x->data + i * d, *dyi = dy + i * d;
            float *dxi = dx + i * d, r = inverse[i];
            double sum = 0;
            for (int64_t j = 0; j < d; j++) sum += (double)(gain ? dyi[j] * gain[j] : dyi[j]) * xi[j];
            float mean = (float)(sum / (double)d) * r * r * r;
            for (int64_t j = 0; j < d; j++) dxi[j] += r * (gain ? dyi[j] * gain[j] : dyi[j]) - mean * xi[j];
        }
    }
    if (g && g->grad)
        for (int64_t i = 0; i < x->rows; i++)
            for (int64_t j = 0; j < d; j++) g->grad[j] += dy[i * d + j] * x->data[i * d + j] * inverse[i];
}

tp_var *tp_rms_norm(tp_tape *tape, tp_var *x, const tp_weight *g, float eps) {
    assert(g == NULL || g->rows * g->cols == x->cols);
    const float *gain = g ? tp_weight_f32(g, false) : NULL;
    int64_t d = x->cols;
    tp_var *y = tp_var_new(tape, x->rows, d);
    float *inverse = tp_arena_alloc(tape->arena, (size_t)x->rows * sizeof(float)); /* 1/rms of each row */
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for if (x->rows * d > PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++) {
        const float *xi = x->data + i * d;
        float r = (float)(1.0 / sqrt(cpu->sum_squares(xi, d) / (double)d + eps)), *yi = y->data + i * d;
        for (int64_t j = 0; j < d; j++) yi[j] = gain ? xi[j] * r * gain[j] : xi[j] * r;
        inverse[i] = r;
    }
    tp_node *node = tp_record(tape, rms_norm_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){g});
    if (node) node->extra = inverse;
    return y;
}

typedef struct {
    float mean, inverse; /* of one row; inverse = 1/sqrt(var + eps) */
} moments;

/* With e = dy g:  dx = r (e - mean(e) - xhat mean(e xhat)). */
static void layer_norm_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *g = node->weight[0], *b = node->weight[1];
    const float *gain = g ? tp_weight_f32(g, false) : NULL, *dy = node->out->grad;
    const moments *stats = node->extra;
    int64_t d = x->cols;
    float *dx = x->wants_grad ? tp_var_grad(tape, x) : NULL;
#pragma omp parallel for if (x->rows * d > PARALLEL_FROM)
    for (int64_t i = 0; i < (dx ? x->rows : 0); i++) {
        const float *xi = x->data + i * d, *dyi = dy + i * d;
        float r = stats[i].inverse, mean = stats[i].mean;
        double sum = 0, sum_xhat = 0;
        for (int64_t j = 0; j < d; j++) {
            float e = gain ? dyi[j] * gain[j] : dyi[j];
            sum += e;
            sum_xhat += (double)e * (xi[j] - mean) * r;
        }
        float m0 = (float)(sum / (double)d), m1 = (float)(sum_xhat / (double)d);
        for (int64_t j = 0; j < d; j++) {
            float e = gain ? dyi[j] * gain[j] : dyi[j];
            dx[i * d + j] += r * (e - m0 - (xi[j] - mean) * r * m1);
        }
    }
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < d; j++) {
            float e = dy[i * d + j];
            if (g && g->grad) g->grad[j] += e * (x->data[i * d + j] - stats[i].mean) * stats[i].inverse;
            if (b && b->grad) b->grad[j] += e;
        }
}

tp_var *tp_layer_norm(tp_tape *tape, tp_var *x, const tp_weight *g, const tp_weight *b, float eps) {
    assert((g == NULL || g->rows * g->cols == x->cols) && (b == NULL || b->rows * b->cols == x->cols));
    const float *gain = g ? tp_weight_f32(g, false) : NULL, *bias = b ? tp_weight_f32(b, false) : NULL;
    int64_t d = x->cols;
    tp_var *y = tp_var_new(tape, x->rows, d);
    moments *stats = tp_arena_alloc(tape->arena, (size_t)x->rows * sizeof *stats);
#pragma omp parallel for if (x->rows * d > PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++) {
        const float *xi = x->data + i * d;
        double sum = 0, square = 0;
        for (int64_t j = 0; j < d; j++) sum += xi[j];
        double mean = sum / (double)d;
        for (int64_t j = 0; j < d; j++) square += (xi[j] - mean) * (xi[j] - mean);
        stats[i] = (moments){(float)mean, (float)(1.0 / sqrt(square / (double)d + eps))};
        for (int64_t j = 0; j < d; j++) {
            float xhat = (xi[j] - stats[i].mean) * stats[i].inverse;
            y->data[i * d + j] = (gain ? xhat * gain[j] : xhat) + (bias ? bias[j] : 0.0f);
        }
    }
    tp_node *node = tp_record(tape, layer_norm_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){g, b});
    if (node) node->extra = stats;
    return y;
}
