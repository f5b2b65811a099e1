/* A learned mean of several parts of a row, such as the states of several layers of one model: as ELMo mixes the layers
 * of its language model (Peters et al. 2018, equation 1, without its common factor). See layers.h. */
#include "nn/layers.h"

#include "tensor/kernels.h"

#include <assert.h>
#include <string.h>

/* With y = sum_l w_l x_l and w = softmax(s):  dx_l = w_l dy,  ds_l = w_l (g_l - sum_k w_k g_k)  where g_l = dy . x_l.
 */
static void mix_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *scores = node->weight[0];
    const float *w = node->extra, *dy = node->out->grad;
    const tp_kernels *cpu = tp_cpu();
    int64_t n_parts = scores->cols, d = node->out->cols;
    float *dx = x->wants_grad ? tp_var_grad(tape, x) : NULL;
    double *along = tp_arena_zalloc(tape->arena, (size_t)n_parts * sizeof *along), mean = 0;
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t l = 0; l < n_parts; l++) {
            int64_t at = i * x->cols + l * d;
            if (dx) cpu->axpy(dx + at, w[l], dy + i * d, d);
            if (scores->grad) along[l] += (double)cpu->dot_f32(dy + i * d, x->data + at, d);
        }
    for (int64_t l = 0; l < n_parts; l++) mean += (double)w[l] * along[l];
    for (int64_t l = 0; scores->grad && l < n_parts; l++) scores->grad[l] += (float)((double)w[l] * (along[l] - mean));
}

tp_var *tp_nn_mix(tp_tape *tape, tp_var *x, const tp_weight *scores) {
    int64_t n_parts = scores->cols, d = x->cols / n_parts;
    assert(scores->rows == 1 && x->cols == d * n_parts);
    float *w = tp_arena_alloc(tape->arena, (size_t)n_parts * sizeof *w);
    memcpy(w, tp_weight_f32(scores, false), (size_t)n_parts * sizeof *w);
    tp_nn_softmax(w, n_parts);
    tp_var *y = tp_var_new(tape, x->rows, d);
    memset(y->data, 0, (size_t)(y->rows * d) * sizeof *y->data);
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t l = 0; l < n_parts; l++) tp_cpu()->axpy(y->data + i * d, w[l], x->data + i * x->cols + l * d, d);
    tp_node *node = tp_record(tape, mix_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){scores});
    if (node) node->extra = w;
    return y;
}
