/* Matrix products with weights: which library or kernel serves which. See matmul.h. */
#include "tensor/matmul.h"

#include "tensor/kernels.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

/* Up to so many rows, a product is bound by reading the weight: our dot products read it in its storage type. */
enum { FEW_ROWS = 3 };

/* C[m,n] (+)= op(A) op(B), row-major, through oneDNN. Its only failure is a wrong argument, a mistake of ours. */
static void sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    if (m == 0 || n == 0) return;
    dnnl_status_t status = dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, ta == 'N' ? k : m, b, tb == 'N' ? n : k, beta, c, n);
    if (status != dnnl_success) {
        fprintf(stderr, "telepathy: oneDNN refused a product of %lld x %lld x %lld (status %d)\n", (long long)m,
                (long long)n, (long long)k, (int)status);
        abort();
    }
}

/* x rounded to bf16 numbers, in scratch memory; x itself in f32 mode. */
static const float *operand(tp_math math, tp_arena *scratch, const float *x, int64_t n) {
    if (math == TP_MATH_F32) return x;
    float *rounded = tp_arena_alloc(scratch, (size_t)n * sizeof(float));
    const tp_kernels *cpu = tp_cpu();
    enum { CHUNK = 1 << 14 };
#pragma omp parallel for if (n > 4 * CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) cpu->round_bf16(rounded + i, x + i, n - i < CHUNK ? n - i : CHUNK);
    return rounded;
}

static const float *weight_operand(tp_math math, tp_arena *scratch, const tp_weight *w) {
    if (w->grad) return operand(math, scratch, w->data, w->rows * w->cols); /* it changes from step to step */
    return tp_weight_f32(w, math == TP_MATH_BF16);
}

static void few_rows(float *y, const float *x, int64_t m, const tp_weight *w) {
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for if (w->rows * w->cols > 1 << 15)
    for (int64_t j = 0; j < w->rows; j++)
        for (int64_t i = 0; i < m; i++) {
            const float *row = x + i * w->cols;
            float *out = y + i * w->rows + j;
            if (w->dtype == TP_F32)
                *out = cpu->dot_f32(row, (const float *)w->data + j * w->cols, w->cols);
            else if (w->dtype == TP_BF16)
                *out = cpu->dot_bf16(row, (const uint16_t *)w->data + j * w->cols, w->cols);
            else
                *out = cpu->dot_f16(row, (const uint16_t *)w->data + j * w->cols, w->cols);
        }
}

void tp_matmul(tp_math math, tp_arena *scratch, float *y, const float *x, int64_t m, const tp_weight *w) {
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    const float *left = operand(math, scratch, x, m * w->cols);
    if (m <= FEW_ROWS && (math == TP_MATH_F32 || w->dtype == TP_BF16))
        few_rows(y, left, m, w);
    else
        sgemm('N', 'T', m, w->rows, w->cols, left, weight_operand(math, scratch, w), 0.0f, y);
    tp_arena_release(scratch, mark);
}

void tp_matmul_input_grad(tp_math math, tp_arena *scratch, float *dx, const float *dy, int64_t m, const tp_weight *w) {
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    const float *left = operand(math, scratch, dy, m * w->rows);
    sgemm('N', 'N', m, w->cols, w->rows, left, weight_operand(math, scratch, w), 1.0f, dx);
    tp_arena_release(scratch, mark);
}

void tp_matmul_weight_grad(tp_math math, tp_arena *scratch, const float *dy, const float *x, int64_t m,
                           const tp_weight *w) {
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    const float *left = operand(math, scratch, dy, m * w->rows), *right = operand(math, scratch, x, m * w->cols);
    sgemm('T', 'N', w->rows, w->cols, m, left, right, 1.0f, w->grad);
    tp_arena_release(scratch, mark);
}
