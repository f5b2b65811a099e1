/* Linear layers: the one op that meets matrix products. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>

static void linear_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *w = node->weight[0], *bias = node->weight[1];
    const float *dy = node->out->grad;
    int64_t n = x->rows;
    if (x->wants_grad) tp_matmul_input_grad(tape->math, tape->arena, tp_var_grad(tape, x), dy, n, w);
    if (w->grad) tp_matmul_weight_grad(tape->math, tape->arena, dy, x->data, n, w);
    if (bias && bias->grad) tp_add_columns(tape, bias->grad, dy, n, w->rows);
}

static void finish(tp_tape *tape, tp_var *x, const tp_weight *w, const tp_weight *bias, tp_var *y) {
    if (bias) {
        const float *b = tp_weight_f32(bias, false);
#pragma omp parallel for if (y->rows * y->cols > TP_PARALLEL_FROM)
        for (int64_t i = 0; i < y->rows; i++) tp_cpu()->axpy(y->data + i * y->cols, 1.0f, b, y->cols);
    }
    tp_record(tape, linear_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){w, bias});
}

void tp_linear_group(tp_tape *tape, tp_var *x, const tp_weight *const *w, const tp_weight *const *bias, int n,
                     tp_var **out) {
    enum { MOST = 4 };
    float *data[MOST] = {NULL};
    assert(n <= MOST);
    for (int i = 0; i < n; i++) {
        assert(x->cols == w[i]->cols && (bias[i] == NULL || bias[i]->cols == w[i]->rows));
        out[i] = tp_var_new(tape, x->rows, w[i]->rows);
        data[i] = out[i]->data;
    }
    tp_matmul_group(tape->math, tape->arena, data, x->data, x->rows, w, n);
    for (int i = 0; i < n; i++) finish(tape, x, w[i], bias[i], out[i]);
}

tp_var *tp_linear(tp_tape *tape, tp_var *x, const tp_weight *w, const tp_weight *bias) {
    tp_var *y;
    tp_linear_group(tape, x, &w, &bias, 1, &y);
    return y;
}
