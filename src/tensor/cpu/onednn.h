/* oneDNN's matrix product, behind one function. This is the only place that knows the library's two C APIs (2.x in
 * Debian 12, 3.x later). */
#ifndef TP_TENSOR_CPU_ONEDNN_H
#define TP_TENSOR_CPU_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* C[m, n] = op(A)[m, k] op(B)[k, n], or C += that. Row-major; a transposed operand is stored as [k, m] (or [n, k]). C
 * is f32; A and B are both f32 or both bf16. */
typedef struct tp_product {
    int64_t m, n, k;
    bool bf16;
    bool a_transposed, b_transposed;
    bool accumulate;
    bool b_packed; /* B is what tp_onednn_pack made */
} tp_product;

/* True if the processor multiplies bf16 numbers natively, so that bf16 operands are worth having. */
bool tp_onednn_has_bf16(void);

/* False if the library has no such product on this processor (bf16 without AVX-512): nothing is written then.
 * Primitives are made once per shape and kept; safe from several threads. */
bool tp_onednn_product(const tp_product *product, const void *a, const void *b, float *c);

/* B in the order that the library likes best for this product, 64-byte aligned, owned by the caller (free); NULL if the
 * plain order is as good, or if the library cannot. The order does not depend on m: one packed B serves all. */
void *tp_onednn_pack(const tp_product *product, const void *b);

#endif
