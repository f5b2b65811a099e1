/* What all sequences of a batch begin with, read once: keys and values of a few tokens in every layer.
 *
 * A bridge is trained with a layout such as "{bos}{primer}{soft}": every example of every step begins with the same
 * tokens, whose states depend on nothing that is trained. They are computed once and kept; the examples' own rows
 * attend to them (tp_batch.prefix), and no gradient goes back to them, because nobody would read it. */
#ifndef TP_LM_PREFIX_H
#define TP_LM_PREFIX_H

#include "lm/model.h"
#include "tensor/matmul.h"

typedef struct tp_prefix {
    int64_t length; /* tokens */
    int n_layers;
    int64_t *held;  /* [n_layers]: rows kept, the last ones: all, or one less than the layer's window */
    float **k, **v; /* [n_layers][held, n_kv_heads * head_dim], keys turned to their positions */
} tp_prefix;

/* Whether sequences of this model may share what they begin with: not where the angles of the first positions depend on
 * how long the text becomes (LongRoPE). */
bool tp_prefix_possible(const tp_lm *lm);

/* Reads n tokens. NULL on error (positions are learned, and fewer than n). */
tp_prefix *tp_prefix_new(const tp_lm *lm, tp_math math, const int32_t *ids, int64_t n);
void tp_prefix_free(tp_prefix *prefix); /* takes NULL */

#endif
