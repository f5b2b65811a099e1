/* The block of a diffusion transformer (DiT: Peebles and Xie 2023) for bridges.
 *
 * A condition c, one row for each sequence, shifts, scales and gates what the block does to that sequence's tokens
 * (adaptive layer norm). The gates begin at 0, so that a new block passes its tokens on as they are ("AdaLN-zero").
 * Where the tokens also read the sender's states, a cross-attention that is not gated stands between the two halves:
 *
 *     shift1, scale1, gate1, shift2, scale2, gate2 = W silu(c) + b
 *     x += gate1 * self(LN(x) (1 + scale1) + shift1)
 *     x += cross(LN(x), states)
 *     x += gate2 * ffn(LN(x) (1 + scale2) + shift2)              LN without gain and bias */
#ifndef TP_BRIDGE_DIT_H
#define TP_BRIDGE_DIT_H

#include "bridge/resample.h"

typedef struct tp_dit_block {
    tp_nn_linear modulation; /* [6 d, d] */
    tp_nn_attention self, cross;
    tp_nn_ffn ffn;
    bool reads; /* has a cross-attention */
} tp_dit_block;

int64_t tp_dit_block_count(const tp_bridge_recipe *recipe, bool reads); /* numbers in one */

/* Block i of a bridge, under the names blocks.<i>.modulation, .self, .cross, .ffn. */
void tp_dit_block_attach(tp_params *params, tp_dit_block *block, int i, const tp_bridge_recipe *recipe, bool reads,
                         uint64_t seed);

/* Keys and values of the states for one block: the same at every step of a sampler. */
typedef struct tp_dit_memory {
    tp_var *k, *v; /* [n_total, d] */
} tp_dit_memory;
tp_dit_memory tp_dit_remember(tp_tape *tape, const tp_dit_block *block, tp_var *states);

/* The rows of a batch. */
typedef struct tp_dit_rows {
    int64_t n_sequences, each;   /* `each` tokens for every sequence */
    const int64_t *own;          /* [n_sequences + 1]: where each sequence's tokens are */
    const int64_t *offsets;      /* [n_sequences + 1]: and its states */
    const tp_dit_memory *memory; /* of this block; NULL for one that does not read */
} tp_dit_rows;

/* x [n_sequences * each, d], condition [n_sequences, d] behind its silu. */
tp_var *tp_dit_block_apply(tp_tape *tape, const tp_dit_block *block, double dropout, tp_var *x, tp_var *condition,
                           const tp_dit_rows *rows);

tp_var *tp_dit_silu(tp_tape *tape, tp_var *x);

/* LN(x) (1 + scale) + shift, with shift and scale the parts `part` and `part` + 1 of each sequence's modulation
 * [n_sequences, parts * d]. */
tp_var *tp_dit_modulate(tp_tape *tape, tp_var *x, tp_var *modulation, int part, const tp_dit_rows *rows);

#endif
