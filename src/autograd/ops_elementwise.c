/* Ops that treat every number alike: sums, products, activations, dropout. All are bound by memory: each pass goes over
 * its numbers once, in pieces (pieces.h). */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>

static int64_t count(const tp_var *x) {
    return x->rows * x->cols;
}

static void add_backward(tp_tape *tape, tp_node *node) {
    for (int i = 0; i < 2; i++)
        if (node->in[i]->wants_grad) tp_add_to_grad(tape, node->in[i], 1, node->out->grad);
}

tp_var *tp_add(tp_tape *tape, tp_var *a, tp_var *b) {
    assert(a->rows == b->rows && a->cols == b->cols);
    tp_var *y = tp_var_new(tape, a->rows, a->cols);
    const float *pa = a->data, *pb = b->data;
    float *py = y->data;
    int64_t n = count(y);
    TP_FOR_PIECES(i, m, n) for (int64_t j = i; j < i + m; j++) py[j] = pa[j] + pb[j];
    tp_record(tape, add_backward, y, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    return y;
}

/* x's gradient += dy * factors, number by number */
static void add_product_to_grad(tp_tape *tape, tp_var *x, const float *dy, const float *factors) {
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, x, &fresh);
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        for (int64_t j = i; j < i + m; j++) dx[j] += dy[j] * factors[j];
    }
}

static void mul_backward(tp_tape *tape, tp_node *node) {
    for (int side = 0; side < 2; side++)
        if (node->in[side]->wants_grad)
            add_product_to_grad(tape, node->in[side], node->out->grad, node->in[1 - side]->data);
}

tp_var *tp_mul(tp_tape *tape, tp_var *a, tp_var *b) {
    assert(a->rows == b->rows && a->cols == b->cols);
    tp_var *y = tp_var_new(tape, a->rows, a->cols);
    const float *pa = a->data, *pb = b->data;
    float *py = y->data;
    int64_t n = count(y);
    TP_FOR_PIECES(i, m, n) for (int64_t j = i; j < i + m; j++) py[j] = pa[j] * pb[j];
    tp_record(tape, mul_backward, y, (tp_var *[3]){a, b}, (const tp_weight *[2]){0});
    return y;
}

/* y = factor * x as a new var */
static tp_var *scaled(tp_tape *tape, const tp_var *x, float factor) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const float *px = x->data;
    float *py = y->data;
    int64_t n = count(y);
    TP_FOR_PIECES(i, m, n) for (int64_t j = i; j < i + m; j++) py[j] = factor * px[j];
    return y;
}

static void scale_backward(tp_tape *tape, tp_node *node) {
    tp_add_to_grad(tape, node->in[0], *(float *)node->extra, node->out->grad);
}

tp_var *tp_scale(tp_tape *tape, tp_var *x, float factor) {
    tp_var *y = scaled(tape, x, factor);
    tp_node *node = tp_record(tape, scale_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        node->extra = tp_arena_alloc(tape->arena, sizeof(float));
        *(float *)node->extra = factor;
    }
    return y;
}

static void mul_scalar_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *s = node->weight[0];
    const float *dy = node->out->grad;
    if (x->wants_grad) tp_add_to_grad(tape, x, tp_weight_f32(s, false)[0], dy);
    if (s->grad) {
        const tp_kernels *cpu = tp_cpu();
        double sum = 0;
        for (int64_t i = 0, n = count(x); i < n; i += TP_PIECE)
            sum += cpu->dot_f32(dy + i, x->data + i, n - i < TP_PIECE ? n - i : TP_PIECE);
        s->grad[0] += (float)sum;
    }
}

tp_var *tp_mul_scalar(tp_tape *tape, tp_var *x, const tp_weight *s) {
    assert(s->rows * s->cols == 1);
    tp_var *y = scaled(tape, x, tp_weight_f32(s, false)[0]);
    tp_record(tape, mul_scalar_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){s});
    return y;
}

/* ---- a vector for every row ---- */

static void add_row_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    if (x->wants_grad) tp_add_to_grad(tape, x, 1, node->out->grad);
    if (node->weight[0]->grad) tp_add_columns(tape, node->weight[0]->grad, node->out->grad, x->rows, x->cols);
}

tp_var *tp_add_row(tp_tape *tape, tp_var *x, const tp_weight *b) {
    assert(b->rows * b->cols == x->cols);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const float *row = tp_weight_f32(b, false);
    int64_t d = x->cols;
#pragma omp parallel for if (count(x) > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < d; j++) y->data[i * d + j] = x->data[i * d + j] + row[j];
    tp_record(tape, add_row_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){b});
    return y;
}

static void mul_row_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_weight *g = node->weight[0];
    const float *row = tp_weight_f32(g, false), *dy = node->out->grad;
    int64_t d = x->cols;
    bool fresh = false;
    float *dx = x->wants_grad ? tp_var_grad_fresh(tape, x, &fresh) : NULL;
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    float *parts = g->grad ? tp_parts_new(tape, d) : NULL;
#pragma omp parallel for if (count(x) > TP_PARALLEL_FROM)
    for (int part = 0; part < TP_PARTS; part++)
        for (int64_t i = tp_part_begin(x->rows, part); i < tp_part_begin(x->rows, part + 1); i++) {
            const float *dyi = dy + i * d, *xi = x->data + i * d;
            if (dx) tp_clear_fresh(dx + i * d, d, fresh);
            for (int64_t j = 0; dx && j < d; j++) dx[i * d + j] += dyi[j] * row[j];
            for (int64_t j = 0; parts && j < d; j++) parts[part * d + j] += dyi[j] * xi[j];
        }
    if (parts) tp_parts_add(parts, d, g->grad);
    tp_arena_release(tape->arena, mark);
}

tp_var *tp_mul_row(tp_tape *tape, tp_var *x, const tp_weight *g) {
    assert(g->rows * g->cols == x->cols);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const float *row = tp_weight_f32(g, false);
    int64_t d = x->cols;
#pragma omp parallel for if (count(x) > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < d; j++) y->data[i * d + j] = x->data[i * d + j] * row[j];
    tp_record(tape, mul_row_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){g});
    return y;
}

/* ---- activations ---- */

static void gelu_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, x, &fresh);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        cpu->gelu_grad(dx + i, node->out->grad + i, x->data + i, m);
    }
}

tp_var *tp_gelu(tp_tape *tape, tp_var *x) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) cpu->gelu(y->data + i, x->data + i, m);
    tp_record(tape, gelu_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

static void gelu_tanh_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, x, &fresh);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        cpu->gelu_tanh_grad(dx + i, node->out->grad + i, x->data + i, m);
    }
}

tp_var *tp_gelu_tanh(tp_tape *tape, tp_var *x) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) cpu->gelu_tanh(y->data + i, x->data + i, m);
    tp_record(tape, gelu_tanh_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

static void tanh_backward(tp_tape *tape, tp_node *node) {
    const float *y = node->out->data, *dy = node->out->grad;
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, node->in[0], &fresh);
    int64_t n = count(node->out);
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        for (int64_t j = i; j < i + m; j++) dx[j] += dy[j] * (1.0f - y[j] * y[j]);
    }
}

tp_var *tp_tanh(tp_tape *tape, tp_var *x) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(x);
    TP_FOR_PIECES(i, m, n) cpu->tanh(y->data + i, x->data + i, m);
    tp_record(tape, tanh_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

static void softcap_backward(tp_tape *tape, tp_node *node) {
    const float *y = node->out->data, *dy = node->out->grad, inverse = 1.0f / *(float *)node->extra;
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, node->in[0], &fresh);
    int64_t n = count(node->out);
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        for (int64_t j = i; j < i + m; j++) {
            float t = y[j] * inverse;
            dx[j] += dy[j] * (1.0f - t * t);
        }
    }
}

tp_var *tp_softcap(tp_tape *tape, tp_var *x, float cap) {
    assert(cap > 0);
    tp_var *y = scaled(tape, x, 1.0f / cap);
    const tp_kernels *cpu = tp_cpu();
    float *py = y->data;
    int64_t n = count(y);
    TP_FOR_PIECES(i, m, n) {
        cpu->tanh(py + i, py + i, m);
        for (int64_t j = i; j < i + m; j++) py[j] *= cap;
    }
    tp_node *node = tp_record(tape, softcap_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        node->extra = tp_arena_alloc(tape->arena, sizeof(float));
        *(float *)node->extra = cap;
    }
    return y;
}

static void silu_mul_backward(tp_tape *tape, tp_node *node) {
    tp_var *in[2] = {node->in[0], node->in[1]}; /* gate, up */
    float *d[2];
    bool fresh[2] = {false, false};
    for (int i = 0; i < 2; i++) d[i] = in[i]->wants_grad ? tp_var_grad_fresh(tape, in[i], &fresh[i]) : NULL;
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(in[0]);
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    for (int i = 0; i < 2; i++) /* the kernel makes both; a frozen one is thrown away */
        if (d[i] == NULL) d[i] = tp_arena_zalloc(tape->arena, (size_t)n * sizeof(float));
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(d[0] + i, m, fresh[0]);
        tp_clear_fresh(d[1] + i, m, fresh[1]);
        cpu->silu_mul_grad(d[0] + i, d[1] + i, node->out->grad + i, in[0]->data + i, in[1]->data + i, m);
    }
    tp_arena_release(tape->arena, mark);
}

tp_var *tp_silu_mul(tp_tape *tape, tp_var *gate, tp_var *up) {
    assert(gate->rows == up->rows && gate->cols == up->cols);
    tp_var *y = tp_var_new(tape, gate->rows, gate->cols);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = count(y);
    TP_FOR_PIECES(i, m, n) cpu->silu_mul(y->data + i, gate->data + i, up->data + i, m);
    tp_record(tape, silu_mul_backward, y, (tp_var *[3]){gate, up}, (const tp_weight *[2]){0});
    return y;
}

/* ---- dropout ---- */

static void dropout_backward(tp_tape *tape, tp_node *node) {
    add_product_to_grad(tape, node->in[0], node->out->grad, node->extra);
}

tp_var *tp_dropout(tp_tape *tape, tp_var *x, float p) {
    if (p <= 0 || tape->frozen) return x;
    assert(p < 1);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    int64_t n = count(x);
    float *mask = tp_arena_alloc(tape->arena, (size_t)n * sizeof(float));
    const tp_rng stream = tp_rng_stream(tape->seed ^ tape->n_masks++ << 32, "dropout", tape->step);
    uint32_t limit = (uint32_t)(p * 4294967296.0);
    TP_FOR_PIECES(i, m, n) {
        tp_rng rng = stream; /* its i-th number on, whoever comes here first */
        rng.counter[0] = (uint32_t)(i / 4);
        rng.counter[1] = (uint32_t)(i / 4 >> 32);
        for (int64_t j = i; j < i + m; j++) {
            mask[j] = tp_rng_u32(&rng) < limit ? 0.0f : 1.0f / (1.0f - p);
            y->data[j] = x->data[j] * mask[j];
        }
    }
    tp_node *node = tp_record(tape, dropout_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = mask;
    return y;
}

static void scale_gradient_backward(tp_tape *tape, tp_node *node) {
    tp_add_to_grad(tape, node->in[0], *(const float *)node->extra, node->out->grad);
}

tp_var *tp_scale_gradient(tp_tape *tape, tp_var *x, float factor) {
    if (factor == 1.0f) return x;
    tp_var *out = tp_var_wrap(tape, x->data, x->rows, x->cols);
    tp_node *node = tp_record(tape, scale_gradient_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        float *extra = tp_arena_alloc(tape->arena, sizeof *extra);
        *extra = factor;
        node->extra = extra;
    }
    return out;
}
