/* Layers: trainable weights and the ops that apply them, named as in a checkpoint ("<name>.weight", "<name>.bias").
 *
 * Each layer is attached to a list of parameters, initialised from the seed's stream of its own name, and applied to a
 * var of the tape. The structs must outlive the parameter list's use. Weights start as normal numbers of variance 1
 * over the number of inputs, so that a layer's output is about as large as its input; gains start at 1, biases at 0. */
#ifndef TP_NN_LAYERS_H
#define TP_NN_LAYERS_H

#include "autograd/ops.h"
#include "nn/params.h"

/* y = x W^T + b */
typedef struct tp_nn_linear {
    tp_weight weight; /* [d_out, d_in] */
    tp_weight bias;   /* [d_out]; absent without bias */
} tp_nn_linear;

void tp_nn_linear_attach(tp_params *params, tp_nn_linear *layer, const char *name, int64_t d_out, int64_t d_in,
                         bool bias, uint64_t seed);
tp_var *tp_nn_linear_apply(tp_tape *tape, const tp_nn_linear *layer, tp_var *x);

/* Layer norm with gain and bias, eps 1e-5. */
typedef struct tp_nn_norm {
    tp_weight weight, bias; /* [d] each */
} tp_nn_norm;

void tp_nn_norm_attach(tp_params *params, tp_nn_norm *layer, const char *name, int64_t d);
tp_var *tp_nn_norm_apply(tp_tape *tape, const tp_nn_norm *layer, tp_var *x);

/* Multi-head attention (Vaswani et al. 2017) without positions or mask: each sequence of x [nq, d] reads the same
 * sequence of context [nk, d_context]. */
typedef struct tp_nn_attention {
    tp_nn_linear q, k, v, o; /* [d, d] each; k and v [d, d_context] */
    int heads;               /* divides d */
} tp_nn_attention;

/* The context as wide as x, no biases. */
void tp_nn_attention_attach(tp_params *params, tp_nn_attention *layer, const char *name, int64_t d, int heads,
                            uint64_t seed);

/* With biases, as BERT has them, over a context of any width. */
void tp_nn_attention_attach_biased(tp_params *params, tp_nn_attention *layer, const char *name, int64_t d,
                                   int64_t d_context, int heads, uint64_t seed);
tp_var *tp_nn_attention_apply(tp_tape *tape, const tp_nn_attention *layer, tp_var *x, tp_var *context,
                              const int64_t *x_offsets, const int64_t *context_offsets, int64_t n_sequences);

/* What the queries of one sequence read: weights [heads, x->rows, context->rows], each row a distribution over the
 * context. tp_nn_attention_apply sums the values by the same weights, but never holds them: these are for looking at.
 */
void tp_nn_attention_weights(tp_tape *tape, const tp_nn_attention *layer, tp_var *x, tp_var *context, float *weights);

/* Scores [n], n > 0, become a distribution, in place. For looking at weights: nothing is recorded. */
void tp_nn_softmax(float *scores, int64_t n);

/* down(gelu(up(x))) */
typedef struct tp_nn_ffn {
    tp_nn_linear up, down; /* [d_ff, d], [d, d_ff] */
} tp_nn_ffn;

void tp_nn_ffn_attach(tp_params *params, tp_nn_ffn *layer, const char *name, int64_t d, int64_t d_ff, uint64_t seed);
tp_var *tp_nn_ffn_apply(tp_tape *tape, const tp_nn_ffn *layer, tp_var *x);

/* A block of a pre-norm transformer that looks both ways: x += attention(norm(x)), x += ffn(norm(x)), with dropout of
 * what is added. Its parts are attached by whoever names them. x [n_total, d]; a row attends to all of its sequence. */
typedef struct tp_nn_block {
    tp_nn_norm norm, ffn_norm;
    tp_nn_attention attention;
    tp_nn_ffn ffn;
} tp_nn_block;

tp_var *tp_nn_block_apply(tp_tape *tape, const tp_nn_block *block, tp_var *x, const int64_t *offsets,
                          int64_t n_sequences, float dropout);

/* (x - mean) / std for every row; mean and std [d], frozen or trainable. */
tp_var *tp_nn_whiten(tp_tape *tape, tp_var *x, const tp_weight *mean, const tp_weight *std);

/* ---- mix.c ---- */

/* A weighted mean of parts: x [n, L * d] holds L parts side by side; row by row sum over l of softmax(scores)[l] times
 * part l, [n, d]. scores [1, L], frozen or trainable. */
tp_var *tp_nn_mix(tp_tape *tape, tp_var *x, const tp_weight *scores);

#endif
