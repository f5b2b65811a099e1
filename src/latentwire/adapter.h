/* The adapter of a receiver: rows of Z become soft tokens of its width.
 *
 * Two forms (docs/latentwire.md). With s a learned scale that starts at 1:
 *     tanh   tanh(3 s W LN(z)) / 3
 *     mlp    W z + down(dropout(gelu(up(LN(z)))))
 * Then, if asked for, the whole packet is multiplied by one number such that its RMS is that of the receiver's
 * embeddings. */
#ifndef TP_LATENTWIRE_ADAPTER_H
#define TP_LATENTWIRE_ADAPTER_H

#include "latentwire/latentwire.h"
#include "nn/layers.h"

struct tp_latentwire_head {
    tp_nn_norm norm;   /* [d_z] */
    tp_nn_linear map;  /* [d_receiver, d_z]: W */
    tp_weight scale;   /* [1]: s; absent in an MLP */
    tp_nn_linear up;   /* [hidden, d_z]; absent without an MLP */
    tp_nn_linear down; /* [d_receiver, hidden] */
    tp_weight rms;     /* [1]: of the receiver's embeddings; frozen */
};

/* Attaches the adapter of one receiver to wire->params and wire->constants, named "adapters.<receiver>...". */
void tp_latentwire_head_attach(tp_latentwire *wire, int receiver, int64_t d_receiver, float rms, uint64_t seed);

/* rows [n * M, d_z] -> [n * M, d_receiver], n packets. */
tp_var *tp_latentwire_head_apply(tp_tape *tape, const tp_latentwire *wire, int receiver, tp_var *rows, int64_t n);

#endif
