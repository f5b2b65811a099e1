/* Row normalisations: root mean square (Zhang and Sennrich 2019) and layer norm (Ba, Kiros and Hinton 2016). They
 * differ in whether the mean is taken off first; the formulas stand with the kernels (tensor/kernels.h, norm). */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>

typedef struct {
    bool centred;
    tp_row_moments *moments; /* of each row */
} norm;

static void norm_backward(tp_tape *tape, tp_node *node) {
    const norm *c = node->extra;
    tp_var *x = node->in[0];
    const tp_weight *g = node->weight[0], *b = node->weight[1];
    const float *gain = g ? tp_weight_f32(g, false) : NULL, *dy = node->out->grad;
    const tp_kernels *cpu = tp_cpu();
    int64_t d = x->cols;
    bool fresh = false;
    float *dx = x->wants_grad ? tp_var_grad_fresh(tape, x, &fresh) : NULL;
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    float *gains = g && g->grad ? tp_parts_new(tape, d) : NULL, *biases = b && b->grad ? tp_parts_new(tape, d) : NULL;
#pragma omp parallel for if (x->rows * d > TP_PARALLEL_FROM)
    for (int part = 0; part < TP_PARTS; part++)
        for (int64_t i = tp_part_begin(x->rows, part); i < tp_part_begin(x->rows, part + 1); i++) {
            if (dx) tp_clear_fresh(dx + i * d, d, fresh);
            cpu->norm_grad(dx ? dx + i * d : NULL, gains ? gains + part * d : NULL, biases ? biases + part * d : NULL,
                           dy + i * d, x->data + i * d, gain, c->moments[i], c->centred, d);
        }
    if (gains) tp_parts_add(gains, d, g->grad);
    if (biases) tp_parts_add(biases, d, b->grad);
    tp_arena_release(tape->arena, mark);
}

static tp_var *normalise(tp_tape *tape, tp_var *x, const tp_weight *g, const tp_weight *b, bool centred, float eps) {
    assert((g == NULL || g->rows * g->cols == x->cols) && (b == NULL || b->rows * b->cols == x->cols));
    const float *gain = g ? tp_weight_f32(g, false) : NULL, *bias = b ? tp_weight_f32(b, false) : NULL;
    int64_t d = x->cols;
    tp_var *y = tp_var_new(tape, x->rows, d);
    tp_row_moments *moments = tp_arena_alloc(tape->arena, (size_t)x->rows * sizeof *moments);
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for if (x->rows * d > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++)
        moments[i] = cpu->norm(y->data + i * d, x->data + i * d, gain, bias, centred, eps, d);
    tp_node *node = tp_record(tape, norm_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){g, b});
    if (node) {
        norm *c = node->extra = tp_arena_alloc(tape->arena, sizeof *c);
        *c = (norm){centred, moments};
    }
    return y;
}

tp_var *tp_rms_norm(tp_tape *tape, tp_var *x, const tp_weight *g, float eps) {
    return normalise(tape, x, g, NULL, false, eps);
}

tp_var *tp_layer_norm(tp_tape *tape, tp_var *x, const tp_weight *g, const tp_weight *b, float eps) {
    return normalise(tape, x, g, b, true, eps);
}
