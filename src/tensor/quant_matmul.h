/* y = x W^T with a block-quantised weight, in integers: the fast mode of such products (matmul.h chooses).
 *
 * Each row of x is brought to 8 bits once, a scale for each 32 numbers, as the formats' own reference does. A number of
 * x moves by at most half a scale, which is 1/254 of the largest of its 32: so y moves by at most the sum over those
 * groups of max|x| / 254 * sum|w|, and as roundings go both ways by far less. The codes of the weight are exact. */
#ifndef TP_TENSOR_QUANT_MATMUL_H
#define TP_TENSOR_QUANT_MATMUL_H

#include "base/mem.h"
#include "tensor/quant_kernels.h"
#include "tensor/weight.h"

/* y[m, rows] = x[m, cols] W^T, with a table of quant_kernels.h and w of a block type. `scratch` is left as it was. */
void tp_quant_matmul(const tp_quant_kernels *kernels, tp_arena *scratch, float *y, const float *x, int64_t m,
                     const tp_weight *w);

#endif
