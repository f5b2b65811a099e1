/* What families of bridges that work with learned queries share.
 *
 * M queries, the same for every text, read its states and become its soft tokens. Perceiver and latent chain of thought
 * do it with one kind of block: cross-attention to the states, self-attention among the queries, a feed-forward layer,
 * each pre-normed and added to what was there. */
#ifndef TP_BRIDGE_RESAMPLE_H
#define TP_BRIDGE_RESAMPLE_H

#include "bridge/bridge.h"
#include "nn/layers.h"

/* TP_OK if `bridge.width` is a multiple of `bridge.heads`; else a sentence. */
tp_status tp_check_heads(const tp_bridge_recipe *recipe);

/* "blocks.<i>.<part>", in `name`. */
const char *tp_block_name(char name[64], int i, const char *part);

/* Offsets of n sequences of `each` rows, [n + 1], in the tape's arena. */
const int64_t *tp_even_offsets(tp_tape *tape, int64_t each, int64_t n);

/* The queries [M, d] once for each sequence, [n_sequences * M, d]. */
tp_var *tp_repeat_queries(tp_tape *tape, const tp_weight *queries, int64_t n_sequences);

/* The rows of several vars, each with `each` rows for every sequence, sequence by sequence: those of the first var, of
 * the second, ... [n_sequences * n_vars * each, d]. */
tp_var *tp_join_rows(tp_tape *tape, tp_var *const *vars, int n_vars, int64_t each);

/* family->attention of a family whose forward pass can hand out what it reads: runs it over the one sequence x. */
typedef tp_var *(*tp_reading_forward)(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                                      int64_t n_sequences, float *read);
void tp_read_one(tp_reading_forward forward, tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights);

/* ---- the ends ---- */

/* What stands before and behind the blocks. */
typedef struct tp_resample_ends {
    tp_weight queries;        /* [n_queries, d_b] */
    tp_nn_linear input_proj;  /* [d_b, d_source] */
    tp_nn_norm final_norm;    /* [d_b] */
    tp_nn_linear output_proj; /* [d_target, d_b] */
} tp_resample_ends;

int64_t tp_resample_ends_count(const tp_bridge_recipe *recipe, int64_t n_queries, int64_t d_source, int64_t d_target);

/* Attached before the blocks (queries, input_proj) and behind them (final_norm, output_proj). */
void tp_resample_begin(tp_bridge *bridge, tp_resample_ends *ends, int64_t n_queries, uint64_t seed);
void tp_resample_end(tp_bridge *bridge, tp_resample_ends *ends, uint64_t seed);

/* Soft tokens [n, d_target] from what has become of the queries, x [n, d_b]. */
tp_var *tp_resample_output(tp_tape *tape, const tp_resample_ends *ends, tp_var *x);

/* ---- the block ---- */

typedef struct tp_resample_block {
    struct {
        tp_nn_norm norm_q, norm_kv;
        tp_nn_attention attention;
    } cross;
    struct {
        tp_nn_norm norm;
        tp_nn_attention attention;
    } self;
    struct {
        tp_nn_norm norm;
        tp_nn_ffn layer;
    } ffn;
} tp_resample_block;

int64_t tp_resample_block_count(const tp_bridge_recipe *recipe); /* numbers in one */

/* Block i of a bridge, under the names blocks.<i>.cross, .self, .ffn. */
void tp_resample_block_attach(tp_params *params, tp_resample_block *block, int i, const tp_bridge_recipe *recipe,
                              uint64_t seed);

/* The rows of a batch that a block works on. */
typedef struct tp_resample_rows {
    int64_t n_sequences;
    const int64_t *own;     /* [n_sequences + 1]: where each sequence's queries are */
    const int64_t *offsets; /* [n_sequences + 1]: and its states */
    tp_var *const *earlier; /* [n_earlier], each shaped like x: what self-attention reads beside x */
    int n_earlier;
    float *read; /* NULL, or gets the weights of the cross-attention of the only sequence: [heads, M, n] */
} tp_resample_rows;

/* x [n_sequences * M, width], states [n_total, width]. */
tp_var *tp_resample_block_apply(tp_tape *tape, const tp_resample_block *block, const tp_bridge_recipe *recipe,
                                tp_var *x, tp_var *states, const tp_resample_rows *rows);

#endif
