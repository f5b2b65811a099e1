/* Ops that treat every number alike: sums, products, activations, dropout. */
#include "autograd/ops.h"
#include "tensor/kernels.h"

#include <assert.h>

/* Elementwise work is split into pieces that fit the first-level cache; small inputs stay on one thread. */
enum { PIECE = 4096, PARALLEL_FROM = 1 << 15 };

#define FOR_PIECES(i, m, n)                                                                                            \
    _Pragma("omp parallel for if (n > PARALLEL_FROM)") for (int64_t i = 0; i < (n);                                    \
                                                            i += PIECE) for (int64_t m =                               \
                                                                                 (n)-i < PIECE ? (n)-i : PIECE;        \
                                                                             m > 0; m = 0)

static int64_t count(const tp_var *x) {
    return x->rows * x->cols;
}

/* y[i] += factor * x[i] */
static void add_scaled(float *y, float factor, const float *x, int64_t n) {
    const tp_kernels *cpu = tp_cpu();
    FOR_PIECES(i, m, n) cpu->axpy(y + i, factor, x + i, m);
}

static void add_backward(tp_tape *tape, tp_node *node) {
    for (int i = 0; i < 2; i++)
        if (node->in[i]->wants_grad) add_scaled(tp_var_grad(tape, node->in[i]), 1, node->out->grad, count(node->out));
}

tp_var *tp_add(tp_tape *tape, tp_var *a, tp_var *b) {
    assert(a->rows == b->rows && a->cols == b->cols);
    tp_var *y = tp_var_new(tape, a->rows, a->cols);
    const float *pa = a->data, *pb = b->data;
    float *py = y->data;
    int64_t n = count(y);
    FOR_PIECES(i, m, n) for (int64_t j = i; j < i + m; j++) py[j] = pa[j] + pb[j];
    tp_record(tape, add_backward, y, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    return y;
}

static void mul_backward(tp_tape *tape, tp_node *node) {
    const float *dy = node->out->grad;
    for (int side = 0; side < 2; side++) {
        tp_var *x = node->in[side], *other = node->in[1 - side];
        if (!x->wants_grad) continue;
        float *dx = tp_var_grad(tape, x);
        for (int64_t i = 0; i < count(x); i++) dx[i] += dy[i] * other->data[i];
    }
}

tp_var *tp_mul(tp_tape *tape, tp_var *a, tp_var *b) {
    assert(a->rows == b->rows && a->cols == b->cols);
    tp_var *y = tp_var_new(tape, a->rows, a->cols);
    for (int64_t i = 0; i < count(y); i++) y->data[i] = a->data[i] * b->data[i];
    tp_record(tape, mul_backward, y, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    return y;
}

static void scale_backward(tp_tape *tape, tp_node *node) {
    add_scaled(tp_var_grad(tape, node->in[0]), *(float *)node->extra, node->out->grad, count(node->out));
}

tp_var *tp_scale(tp_tape *tape, tp_var *x, float factor) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    for (int64_t i = 0; i < count(y); i++) y->data[i] = factor * x->data[i];
    tp_node *node = tp_record(tape, scale_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        node->extra = tp_arena_alloc(tape->arena, sizeof(float));
        *(float *)node->extra = factor;
    }
    return y;
}

static void add_row_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    if (x->wants_grad) add_scaled(tp_var_grad(tape, x), 1, node->out->grad, count(x));
    if (node->weight[0]->grad)
        for (int64_t i = 0; i < x->rows; i++)
            add_scaled(node->weight[0]->grad, 1, node->out->grad + i * x->cols, x->cols);
}

tp_var *tp_add_row(tp_tape *tape, tp_var *x, const tp_weight *b) {
    assert(b->rows * b->cols == x->cols);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const float *row = tp_weight_f32(b, false);
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < x->cols; j++) y->data[i * x->cols + j] = x->data[i * x->cols + j] + row[j];
    tp_record(tape, add_row_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){b});
    return y;
}

static void mul_row_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *g = node->weight[0];
    const float *row = tp_weight_f32(g, false);
    float *dx = x->wants_grad ? tp_var_grad(tape, x) : NULL;
    for (int64_t i = 0; i < x->rows; i++) {
        const float *dy = node->out->grad + i * x->cols, *xi = x->data + i * x->cols;
        for (int64_t j = 0; dx && j < x->cols; j++) dx[i * x->cols + j] += dy[j] * row[j];
        for (int64_t j = 0; g->grad && j < x->cols; j++) g->grad[j] += dy[j] * xi[j];
    }
}

tp_var *tp_mul_row(tp_tape *tape, tp_var *x, const tp_weight *g) {
    assert(g->rows * g->cols == x->cols);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const float *row = tp_weight_f32(g, false);
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < x->cols; j++) y->data[i * x->cols + j] = x->data[i * x->cols + j] * row[j];
    tp_record(tape, mul_row_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){g});
    return y;
}

static void mul_scalar_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *s = node->weight[0];
    const float *dy = node->out->grad;
    if (x->wants_grad) add_scaled(tp_var_grad(tape, x), tp_weight_f32(s, false)[0], dy, count(x));
    if (s->grad) {
        double sum = 0;
        for (int64_t i = 0; i < count(x); i++) sum += (double)dy[i] * x->data[i];
        s->grad[0] += (float)sum;
    }
}

tp_var *tp_mul_scalar(tp_tape *tape, tp_var *x, const tp_weight *s) {
    assert(s->rows * s->cols == 1);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    float factor = tp_weight_f32(s, false)[0];
    for (int64_t i = 0; i < count(x); i++) y->data[i] = factor * x->data[i];
    tp_record(tape, mul_scalar_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){s});
    return y;
}

static void gelu_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    FOR_PIECES(i, m, n) cpu->gelu_grad(dx + i, node->out->grad + i, x->data + i, m);
}

tp_var *tp_gelu(tp_tape *tape, tp_var *x) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    FOR_PIECES(i, m, n) cpu->gelu(y->data + i, x->data + i, m);
    tp_record(tape, gelu_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

static void tanh_backward(tp_tape *tape, tp_node *node) {
    const tp_var *y = node->out;
    float *dx = tp_var_grad(tape, node->in[0]);
    for (int64_t i = 0; i < count(y); i++) dx[i] += y->grad[i] * (1.0f - y->data[i] * y->data[i]);
}

tp_var *tp_tanh(tp_tape *tape, tp_var *x) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    tp_cpu()->tanh(y->data, x->data, count(x));
    tp_record(tape, tanh_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

static void silu_mul_backward(tp_tape *tape, tp_node *node) {
    tp_var *gate = node->in[0], *up = node->in[1];
    float *d_gate = gate->wants_grad ? tp_var_grad(tape, gate) : NULL;
    float *d_up = up->wants_grad ? tp_var_grad(tape, up) : NULL;
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(gate);
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    float *unwanted = d_gate && d_up ? NULL : tp_arena_zalloc(tape->arena, (size_t)n * sizeof(float));
    if (d_gate == NULL) d_gate = unwanted; /* the kernel makes both; a frozen one is thrown away */
    if (d_up == NULL) d_up = unwanted;
    FOR_PIECES(i, m, n)
    cpu->silu_mul_grad(d_gate + i, d_up + i, node->out->grad + i, gate->data + i, up->data + i, m);
    tp_arena_release(tape->arena, mark);
}

tp_var *tp_silu_mul(tp_tape *tape, tp_var *gate, tp_var *up) {
    assert(gate->rows == up->rows && gate->cols == up->cols);
    tp_var *y = tp_var_new(tape, gate->rows, gate->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(y);
    FOR_PIECES(i, m, n) cpu->silu_mul(y->data + i, gate->data + i, up->data + i, m);
    tp_record(tape, silu_mul_backward, y, (tp_var *[3]){gate, up}, (const tp_weight *[2]){0});
    return y;
}

static void dropout_backward(tp_tape *tape, tp_node *node) {
    const float *mask = node->extra;
    float *dx = tp_var_grad(tape, node->in[0]);
    for (int64_t i = 0; i < count(node->out); i++) dx[i] += mask[i] * node->out->grad[i];
}

tp_var *tp_dropout(tp_tape *tape, tp_var *x, float p) {
    if (p <= 0 || tape->frozen) return x;
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    int64_t n = count(x);
    float *mask = tp_arena_alloc(tape->arena, (size_t)n * sizeof(float));
    tp_rng rng = tp_rng_stream(tape->seed ^ tape->n_masks++ << 32, "dropout", tape->step);
    uint32_t limit = (uint32_t)(p * 4294967296.0);
    for (int64_t i = 0; i < n; i++) {
        mask[i] = tp_rng_u32(&rng) < limit ? 0.0f : 1.0f / (1.0f - p);
        y->data[i] = x->data[i] * mask[i];
    }
    tp_node *node = tp_record(tape, dropout_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = mask;
    return y;
}
