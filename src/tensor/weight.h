/* Weights: matrices and vectors of parameters, frozen or trainable.
 *
 * A frozen weight stays where it is, in its file's type (usually memory-mapped); a form better suited to the products
 * is made at most once, when first needed. A trainable weight is f32, owned by whoever trains it, and has a gradient
 * buffer: that buffer being there is what makes it trainable. The decoder does not know the difference. */
#ifndef TP_TENSOR_WEIGHT_H
#define TP_TENSOR_WEIGHT_H

#include "base/dtype.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tp_weight {
    const char *name; /* as in the checkpoint; borrowed */
    tp_dtype dtype;   /* TP_F32, TP_BF16, TP_F16 or, frozen matrices only, a block type */
    int64_t rows;     /* a linear layer's outputs; 1 for a vector */
    int64_t cols;     /* a linear layer's inputs; the length of a vector */
    const void *data; /* [rows, cols], row-major; of a block type each row is a whole number of blocks */
    float *grad;      /* [rows, cols], summed into by backward passes; NULL: frozen */
    float *wide;      /* a frozen weight's lazily made f32 form; owned, see tp_weight_f32 */
    void *packed[2];  /* a frozen bf16 weight in oneDNN's order, for y = x W^T and dx = dy W; owned, see matmul.c */
    float *rounded;   /* a frozen f32 weight's lazily made form rounded to bf16 numbers; owned */
} tp_weight;

static inline bool tp_weight_present(const tp_weight *w) {
    return w->data != NULL;
}

/* The weight as f32 numbers [rows, cols]: its own data if it is f32, else a copy made on first use and kept. With
 * `round_bf16` (frozen weights only) the numbers are rounded to bf16. Safe from several threads. Not for large weights
 * of a block type: the copy would be several times the weight; products take those row by row. */
const float *tp_weight_f32(const tp_weight *w, bool round_bf16);

/* n numbers of row i from column `at` on, as f32 into out [n]; of a block type both are whole blocks. */
void tp_weight_part(const tp_weight *w, int64_t i, int64_t at, int64_t n, float *out);

/* Row i as f32 numbers into out [cols]. */
void tp_weight_row(const tp_weight *w, int64_t i, float *out);

/* Frees the forms made on demand, not the data. */
void tp_weight_release(tp_weight *w);

#endif
