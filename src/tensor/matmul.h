/* Matrix products with weights.
 *
 * All activations are f32, row-major. In TP_MATH_BF16 both operands are rounded to bf16 and summed in f32, on every
 * processor: those without bf16 units get the same products from f32 units. Large products go to oneDNN; products of up
 * to three rows read the weight once, in its storage type, and round nothing.
 *
 * With a block-quantised weight the modes are: TP_MATH_F32, dequantised numbers times f32 activations; TP_MATH_BF16,
 * forward products in integers with activations brought to 8 bits (quant_matmul.h states the bound), gradients as
 * above. No mode keeps a second copy of a large frozen weight: it is converted a tile at a time. */
#ifndef TP_TENSOR_MATMUL_H
#define TP_TENSOR_MATMUL_H

#include "base/mem.h"
#include "tensor/weight.h"

typedef enum tp_math {
    TP_MATH_F32,  /* f32 operands */
    TP_MATH_BF16, /* the fast one: operands rounded to bf16, f32 sums; integers with quantised weights */
} tp_math;

/* y[m, rows] = x[m, cols] W^T. `scratch` is left as it was. */
void tp_matmul(tp_math math, tp_arena *scratch, float *y, const float *x, int64_t m, const tp_weight *w);

/* y[i][m, w[i]->rows] = x W[i]^T for n weights of as many columns: the same numbers as one by one; a few rows are
 * handed out to threads once for all. */
void tp_matmul_group(tp_math math, tp_arena *scratch, float *const *y, const float *x, int64_t m,
                     const tp_weight *const *w, int n);

/* dx[m, cols] += dy[m, rows] W. */
void tp_matmul_input_grad(tp_math math, tp_arena *scratch, float *dx, const float *dy, int64_t m, const tp_weight *w);

/* w->grad[rows, cols] += dy[m, rows]^T x[m, cols]. */
void tp_matmul_weight_grad(tp_math math, tp_arena *scratch, const float *dy, const float *x, int64_t m,
                           const tp_weight *w);

#endif
