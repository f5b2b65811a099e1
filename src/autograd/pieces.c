/* Sums that several ops need in their backward passes. See pieces.h. */
#include "autograd/pieces.h"

#include "tensor/kernels.h"

void tp_add_to_grad(tp_tape *tape, tp_var *var, float factor, const float *dy) {
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, var, &fresh);
    const tp_kernels *cpu = tp_cpu();
    int64_t n = var->rows * var->cols;
    TP_FOR_PIECES(i, m, n) {
        tp_clear_fresh(dx + i, m, fresh);
        cpu->axpy(dx + i, factor, dy + i, m);
    }
}

float *tp_parts_new(tp_tape *tape, int64_t cols) {
    return tp_arena_zalloc(tape->arena, (size_t)(TP_PARTS * cols) * sizeof(float));
}

void tp_parts_add(const float *parts, int64_t cols, float *out) {
    for (int part = 0; part < TP_PARTS; part++) tp_cpu()->axpy(out, 1, parts + part * cols, cols);
}

void tp_add_columns(tp_tape *tape, float *out, const float *x, int64_t rows, int64_t cols) {
    const tp_kernels *cpu = tp_cpu();
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    float *parts = tp_parts_new(tape, cols);
#pragma omp parallel for if (rows * cols > TP_PARALLEL_FROM)
    for (int part = 0; part < TP_PARTS; part++)
        for (int64_t i = tp_part_begin(rows, part); i < tp_part_begin(rows, part + 1); i++)
            cpu->axpy(parts + part * cols, 1, x + i * cols, cols);
    tp_parts_add(parts, cols, out);
    tp_arena_release(tape->arena, mark);
}
