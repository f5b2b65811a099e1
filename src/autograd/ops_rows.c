/* Ops that move rows about: embedding lookup, gather, columns, means over sequences, reshaping, parameters as values.
 */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <string.h>

typedef struct {
    const int32_t *ids;
} lookup;

static void embedding_backward(tp_tape *tape, tp_node *node) {
    (void)tape;
    const tp_weight *table = node->weight[0];
    const int32_t *ids = ((lookup *)node->extra)->ids;
    const tp_kernels *cpu = tp_cpu();
    int64_t n = node->out->rows, cols = table->cols;
#pragma omp parallel for if (n * cols > TP_PARALLEL_FROM)
    for (int64_t j = 0; j < cols; j += TP_COLUMN_PIECE) {
        int64_t m = cols - j < TP_COLUMN_PIECE ? cols - j : TP_COLUMN_PIECE;
        for (int64_t i = 0; i < n; i++)
            cpu->axpy(table->grad + ids[i] * cols + j, 1.0f, node->out->grad + i * cols + j, m);
    }
}

tp_var *tp_embedding(tp_tape *tape, const tp_weight *table, const int32_t *ids, int64_t n) {
    tp_var *out = tp_var_new(tape, n, table->cols);
#pragma omp parallel for if (n * table->cols > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        assert(ids[i] >= 0 && ids[i] < table->rows);
        tp_weight_row(table, ids[i], out->data + i * table->cols);
    }
    tp_node *node = tp_record(tape, embedding_backward, out, (tp_var *[3]){0}, (const tp_weight *[2]){table});
    if (node) {
        int32_t *copy = tp_arena_alloc(tape->arena, (size_t)n * sizeof *copy);
        memcpy(copy, ids, (size_t)n * sizeof *copy);
        lookup *l = tp_arena_alloc(tape->arena, sizeof *l);
        l->ids = copy;
        node->extra = l;
    }
    return out;
}

typedef struct {
    tp_var **sources;
    tp_row_ref *which;
} gather;

static void gather_backward(tp_tape *tape, tp_node *node) {
    const gather *g = node->extra;
    const tp_kernels *cpu = tp_cpu();
    int64_t n = node->out->rows, cols = node->out->cols;
    for (int64_t i = 0; i < n; i++) { /* the buffers are made before the threads part */
        tp_var *source = g->sources[g->which[i].source];
        if (source->wants_grad) tp_var_grad(tape, source);
    }
#pragma omp parallel for if (n * cols > TP_PARALLEL_FROM)
    for (int64_t j = 0; j < cols; j += TP_COLUMN_PIECE) {
        int64_t m = cols - j < TP_COLUMN_PIECE ? cols - j : TP_COLUMN_PIECE;
        for (int64_t i = 0; i < n; i++) {
            const tp_var *source = g->sources[g->which[i].source];
            if (source->wants_grad)
                cpu->axpy(source->grad + g->which[i].row * cols + j, 1.0f, node->out->grad + i * cols + j, m);
        }
    }
}

tp_var *tp_gather(tp_tape *tape, tp_var *const *sources, int n_sources, const tp_row_ref *which, int64_t n) {
    assert(n_sources > 0);
    int64_t cols = sources[0]->cols;
    tp_var *out = tp_var_new(tape, n, cols);
#pragma omp parallel for if (n * cols > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        const tp_var *source = sources[which[i].source];
        assert(which[i].source < n_sources && source->cols == cols && which[i].row < source->rows);
        memcpy(out->data + i * cols, source->data + which[i].row * cols, (size_t)cols * sizeof(float));
    }
    tp_var *wanting = NULL; /* tp_record looks at three inputs; here any number may want a gradient */
    for (int s = 0; s < n_sources; s++)
        if (sources[s]->wants_grad) wanting = sources[s];
    tp_node *node = tp_record(tape, gather_backward, out, (tp_var *[3]){wanting}, (const tp_weight *[2]){0});
    if (node) {
        gather *g = tp_arena_alloc(tape->arena, sizeof *g);
        g->sources = tp_arena_alloc(tape->arena, (size_t)n_sources * sizeof *g->sources);
        g->which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *g->which);
        memcpy(g->sources, sources, (size_t)n_sources * sizeof *g->sources);
        memcpy(g->which, which, (size_t)n * sizeof *g->which);
        node->extra = g;
    }
    return out;
}

typedef struct {
    int64_t from, block, stride, n_blocks;
} columns;

static void columns_backward(tp_tape *tape, tp_node *node) {
    const columns *c = node->extra;
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x); /* zeros first: the other columns get theirs from elsewhere */
    const float *dy = node->out->grad;
    const tp_kernels *cpu = tp_cpu();
    int64_t cols = node->out->cols;
#pragma omp parallel for if (node->out->rows * cols > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t b = 0; b < c->n_blocks; b++)
            cpu->axpy(dx + i * x->cols + c->from + b * c->stride, 1.0f, dy + i * cols + b * c->block, c->block);
}

tp_var *tp_columns(tp_tape *tape, tp_var *x, int64_t from, int64_t block, int64_t stride, int64_t n_blocks) {
    assert(from >= 0 && n_blocks > 0 && from + (n_blocks - 1) * stride + block <= x->cols && stride >= block);
    int64_t cols = n_blocks * block;
    tp_var *out = tp_var_new(tape, x->rows, cols);
#pragma omp parallel for if (x->rows * cols > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t b = 0; b < n_blocks; b++)
            memcpy(out->data + i * cols + b * block, x->data + i * x->cols + from + b * stride,
                   (size_t)block * sizeof(float));
    tp_node *node = tp_record(tape, columns_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        columns *c = node->extra = tp_arena_alloc(tape->arena, sizeof *c);
        *c = (columns){from, block, stride, n_blocks};
    }
    return out;
}

static void mean_rows_backward(tp_tape *tape, tp_node *node) {
    const int64_t *offsets = node->extra;
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x);
    for (int64_t s = 0; s < node->out->rows; s++)
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++)
            tp_cpu()->axpy(dx + i * x->cols, 1.0f / (float)(offsets[s + 1] - offsets[s]), node->out->grad + s * x->cols,
                           x->cols);
}

tp_var *tp_mean_rows(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences) {
    tp_var *out = tp_var_new(tape, n_sequences, x->cols);
    memset(out->data, 0, (size_t)(n_sequences * x->cols) * sizeof(float));
    for (int64_t s = 0; s < n_sequences; s++)
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++)
            tp_cpu()->axpy(out->data + s * x->cols, 1.0f / (float)(offsets[s + 1] - offsets[s]), x->data + i * x->cols,
                           x->cols);
    tp_node *node = tp_record(tape, mean_rows_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        int64_t *copy = tp_arena_alloc(tape->arena, (size_t)(n_sequences + 1) * sizeof *copy);
        memcpy(copy, offsets, (size_t)(n_sequences + 1) * sizeof *copy);
        node->extra = copy;
    }
    return out;
}

static void max_rows_backward(tp_tape *tape, tp_node *node) {
    const int64_t *rows = node->extra; /* where each maximum stands */
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x);
    int64_t cols = x->cols;
    for (int64_t i = 0; i < node->out->rows * cols; i++) dx[rows[i] * cols + i % cols] += node->out->grad[i];
}

tp_var *tp_max_rows(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences) {
    tp_var *out = tp_var_new(tape, n_sequences, x->cols);
    int64_t cols = x->cols, *rows = tp_arena_alloc(tape->arena, (size_t)(n_sequences * cols) * sizeof *rows);
    for (int64_t s = 0; s < n_sequences; s++) {
        assert(offsets[s] < offsets[s + 1]);
        for (int64_t j = 0; j < cols; j++) {
            int64_t best = offsets[s];
            for (int64_t i = best + 1; i < offsets[s + 1]; i++)
                if (x->data[i * cols + j] > x->data[best * cols + j]) best = i;
            rows[s * cols + j] = best;
            out->data[s * cols + j] = x->data[best * cols + j];
        }
    }
    tp_node *node = tp_record(tape, max_rows_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = rows;
    return out;
}

static void reshape_backward(tp_tape *tape, tp_node *node) {
    tp_add_to_grad(tape, node->in[0], 1, node->out->grad);
}

tp_var *tp_reshape(tp_tape *tape, tp_var *x, int64_t rows, int64_t cols) {
    assert(rows * cols == x->rows * x->cols);
    tp_var *out = tp_var_wrap(tape, x->data, rows, cols);
    tp_record(tape, reshape_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return out;
}

static void parameter_backward(tp_tape *tape, tp_node *node) {
    (void)tape;
    const tp_weight *w = node->weight[0];
    tp_cpu()->axpy(w->grad, 1.0f, node->out->grad, w->rows * w->cols);
}

tp_var *tp_parameter(tp_tape *tape, const tp_weight *w) {
    tp_var *out = tp_var_new(tape, w->rows, w->cols);
    memcpy(out->data, tp_weight_f32(w, false), (size_t)(w->rows * w->cols) * sizeof(float));
    tp_record(tape, parameter_backward, out, (tp_var *[3]){0}, (const tp_weight *[2]){w});
    return out;
}
