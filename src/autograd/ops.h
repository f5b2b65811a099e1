/* The ops of the tape: a few dozen, each with its forward and its backward side by side in one file.
 *
 * Every function computes its result on the tape and returns it; nothing fails (shapes that do not fit are mistakes of
 * the caller and stop at an assertion). Inputs are never changed. Weights may be frozen or trainable. */
#ifndef TP_AUTOGRAD_OPS_H
#define TP_AUTOGRAD_OPS_H

#include "autograd/tape.h"

/* ---- ops_linear.c ---- */

/* y[n, out] = x[n, in] W[out, in]^T + b[out]; bias may be NULL. */
tp_var *tp_linear(tp_tape *tape, tp_var *x, const tp_weight *w, const tp_weight *bias);

/* out[i] = x W[i]^T + b[i] for n layers (at most 4) that read the same x; bias[i] may be NULL. */
void tp_linear_group(tp_tape *tape, tp_var *x, const tp_weight *const *w, const tp_weight *const *bias, int n,
                     tp_var **out);

/* ---- ops_elementwise.c ---- */

tp_var *tp_add(tp_tape *tape, tp_var *a, tp_var *b);                 /* a + b, same shape */
tp_var *tp_mul(tp_tape *tape, tp_var *a, tp_var *b);                 /* a * b, same shape */
tp_var *tp_scale(tp_tape *tape, tp_var *x, float factor);            /* factor * x */
tp_var *tp_add_row(tp_tape *tape, tp_var *x, const tp_weight *b);    /* x + b for every row; b [1, cols] */
tp_var *tp_mul_row(tp_tape *tape, tp_var *x, const tp_weight *g);    /* x * g for every row; g [1, cols] */
tp_var *tp_mul_scalar(tp_tape *tape, tp_var *x, const tp_weight *s); /* x * s; s [1, 1] */
tp_var *tp_gelu(tp_tape *tape, tp_var *x);                           /* x Phi(x), exact */
tp_var *tp_gelu_tanh(tp_tape *tape, tp_var *x); /* its approximation x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)) */
tp_var *tp_tanh(tp_tape *tape, tp_var *x);
tp_var *tp_softcap(tp_tape *tape, tp_var *x, float cap);      /* cap * tanh(x / cap) */
tp_var *tp_silu_mul(tp_tape *tape, tp_var *gate, tp_var *up); /* silu(gate) * up (Shazeer 2020, SwiGLU) */
/* Zeroes each number with probability p and divides the others by 1 - p. The mask depends on (seed, step, call). */
tp_var *tp_dropout(tp_tape *tape, tp_var *x, float p);

/* x itself; on the way back its gradient is multiplied by the factor. */
tp_var *tp_scale_gradient(tp_tape *tape, tp_var *x, float factor);

/* ---- ops_norm.c ---- */

/* x / sqrt(mean(x^2) + eps) * g per row (Zhang and Sennrich 2019); g may be NULL. */
tp_var *tp_rms_norm(tp_tape *tape, tp_var *x, const tp_weight *g, float eps);
/* (x - mean) / sqrt(var + eps) * g + b per row (Ba et al. 2016); g and b may be NULL. */
tp_var *tp_layer_norm(tp_tape *tape, tp_var *x, const tp_weight *g, const tp_weight *b, float eps);

/* ---- ops_rope.c ---- */

/* The sines and cosines by which the rows of a batch turn: made once, used by every layer. */
typedef struct tp_rotation {
    int64_t rows, pairs;
    bool adjacent;        /* pairs are elements 2i and 2i + 1; false: i and i + pairs */
    float *cosine, *sine; /* [rows, pairs] */
} tp_rotation;

tp_rotation *tp_rotation_new(tp_tape *tape, int64_t rows, int64_t pairs, bool adjacent); /* in the tape's arena */

/* Rows from .. to - 1 turn pair i by positions[row] * inv_freq[i]; sines and cosines are multiplied by `amplitude`. */
void tp_rotation_set(tp_tape *tape, tp_rotation *r, int64_t from, int64_t to, const int32_t *positions,
                     const float *inv_freq, float amplitude);

/* Rotary position embedding (Su et al. 2021): in each of n_heads heads of a row, the leading 2 * pairs elements turn
 * pair by pair; the others stay. x [rows, n_heads * d]. */
tp_var *tp_rope(tp_tape *tape, tp_var *x, int n_heads, const tp_rotation *r);

/* ---- ops_attention.c ---- */

typedef struct tp_attention_spec {
    int n_heads;
    int n_kv_heads; /* heads i with equal i / (n_heads / n_kv_heads) share keys and values */
    int head_dim;
    float scale;   /* usually 1 / sqrt(head_dim) */
    bool causal;   /* query i of a sequence sees keys up to its own place; the last query stands at the last key */
    int window;    /* with causal: only the last `window` keys, its own included; 0: all */
    float softcap; /* scaled scores become cap * tanh(score / cap) before the softmax; 0: left alone */
} tp_attention_spec;

/* Softmax attention within sequences. q [nq, n_heads * d]; k, v [nk, n_kv_heads * d]; sequence s owns the rows
 * q_offsets[s] .. q_offsets[s + 1] - 1 of q and likewise of k and v. A query without any key, or of no sequence, gives
 * zeros. Offsets ([n_sequences + 1]) must outlive the step. */
tp_var *tp_attention(tp_tape *tape, tp_var *q, tp_var *k, tp_var *v, const int64_t *q_offsets, const int64_t *k_offsets,
                     int64_t n_sequences, const tp_attention_spec *spec);

/* The same where the keys of sequence s are the rows k_begins[s] .. k_ends[s] - 1, wherever those lie (a cache). Where
 * k or v wants a gradient no two sequences may share a row. */
tp_var *tp_attention_spans(tp_tape *tape, tp_var *q, tp_var *k, tp_var *v, const int64_t *q_offsets,
                           const int64_t *k_begins, const int64_t *k_ends, int64_t n_sequences,
                           const tp_attention_spec *spec);

/* A sequence's keys and values in a cache: stretches of rows in the order of their positions (a ring that has wrapped
 * has two, rows not put into it yet are another, and what it goes on from comes before). Row r of head h begins at
 * number (h * head_rows + r) * head_dim of k and of v; its scales, of int8 rows only, are number h * head_rows + r. */
typedef struct tp_kv_span {
    const void *k, *v;
    const float *k_scales, *v_scales;
    int64_t head_rows, n;
} tp_kv_span;

enum { TP_KV_SPANS = 7 };

typedef struct tp_kv_sequence {
    tp_kv_span spans[TP_KV_SPANS]; /* those behind the last have n = 0 */
} tp_kv_sequence;

/* Attention of q [nq, n_heads * d] over cached rows of a type (f32, f16, bf16, i8): keys[s] are sequence s's, the last
 * of which stands at its last query. Rows are read in their type. The tape must be frozen: nothing is recorded. */
tp_var *tp_attention_cached(tp_tape *tape, tp_var *q, const int64_t *q_offsets, const tp_kv_sequence *keys,
                            tp_dtype type, int64_t n_sequences, const tp_attention_spec *spec);

/* ---- ops_rows.c ---- */

/* Rows of a table by id: out[i] = table[ids[i]]. ids are in range (checked by whoever made them). */
tp_var *tp_embedding(tp_tape *tape, const tp_weight *table, const int32_t *ids, int64_t n);

/* The rows of several vars of equal width in a new order: out[i] = sources[which[i].source] row which[i].row. A row may
 * be taken many times or never. This is how layouts, batches and selections are built. */
typedef struct tp_row_ref {
    int32_t source;
    int64_t row;
} tp_row_ref;
tp_var *tp_gather(tp_tape *tape, tp_var *const *sources, int n_sources, const tp_row_ref *which, int64_t n);

/* Some columns of every row: n_blocks blocks of `block` columns, the first at column `from`, each `stride` columns
 * behind the one before. This is how a fused projection comes apart. Returns [rows, n_blocks * block]. */
tp_var *tp_columns(tp_tape *tape, tp_var *x, int64_t from, int64_t block, int64_t stride, int64_t n_blocks);

/* The mean of each sequence's rows: [n_sequences, cols]. */
tp_var *tp_mean_rows(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences);

/* The largest number of each column in each sequence's rows: [n_sequences, cols]. No sequence may be empty. */
tp_var *tp_max_rows(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences);

/* The same numbers as another shape. */
tp_var *tp_reshape(tp_tape *tape, tp_var *x, int64_t rows, int64_t cols);

/* A trainable (or frozen) weight as a var [rows, cols]. */
tp_var *tp_parameter(tp_tape *tape, const tp_weight *w);

/* ---- ops_loss.c ---- */

/* Weighted mean cross-entropy in nats, [1, 1]: sum_i w_i * -log softmax(logits[i])[targets[i]] / sum_i w_i. weights
 * NULL: all ones. If nll is not NULL it gets each row's own -log probability ([n], in the arena). */
tp_var *tp_cross_entropy(tp_tape *tape, tp_var *logits, const int32_t *targets, const float *weights,
                         const float **nll);

/* The mean over the n (n - 1) ordered pairs of different rows of their cosine; 0 for fewer than two rows. */
tp_var *tp_mean_cosine(tp_tape *tape, tp_var *x);

/* The weighted sum of scalars. */
tp_var *tp_weighted_sum(tp_tape *tape, tp_var *const *terms, const float *weights, int n);

/* ---- ops_compare.c ---- */

tp_var *tp_inner_product(tp_tape *tape, tp_var *a, tp_var *b, float factor); /* factor * sum of a * b, same shape */
tp_var *tp_mean_square_difference(tp_tape *tape, tp_var *a, tp_var *b);      /* mean of (a - b)^2, same shape */

/* InfoNCE (van den Oord et al. 2018): with the logits factor * <query i, key j>, the mean over queries of sum_j
 * positives[i, j] * -log softmax_j. positives [queries, keys] sums to 1 in each row; a row of zeros has nothing to find
 * and does not count. skip_own: key i is not among those that query i is compared with. */
tp_var *tp_info_nce(tp_tape *tape, tp_var *queries, tp_var *keys, float factor, const float *positives, bool skip_own);

/* ---- ops_targets.c ---- */

/* Mean binary cross-entropy of all logits [n, v], in nats, against which of the v tokens stand among ids[i][0 ..
 * n_ids[i] - 1]. */
tp_var *tp_bag_cross_entropy(tp_tape *tape, tp_var *logits, const int32_t *const *ids, const int64_t *n_ids);

/* temperature^2 * KL(softmax(teacher / temperature) || softmax(logits / temperature)) (Hinton et al. 2015), in nats,
 * the mean over rows weighted by weights [n] (not all 0). No gradient goes to the teacher. */
tp_var *tp_distillation(tp_tape *tape, tp_var *logits, const tp_var *teacher, const float *weights, double temperature);

/* ---- ops_quantise.c ---- */

/* The numbers `values` in the place of x, and the gradient handed back to x as if they were x's (the straight-through
 * estimator, Bengio et al. 2013). */
tp_var *tp_straight_through(tp_tape *tape, tp_var *x, const float *values);

/* log(mean over columns of the variance of each + eps), [1, 1]; variances over rows - 1, of which there are some. */
tp_var *tp_log_variance(tp_tape *tape, tp_var *x, float eps);

/* How evenly codes [k, d], k > 1, are used by x [n, d]: each row chooses them with probabilities softmax(-|x_i - c_j|^2
 * / temperature); the entropy of their mean over rows as a share of log k, [1, 1]. 0: all rows choose one. */
tp_var *tp_code_entropy(tp_tape *tape, tp_var *x, tp_var *codes, float temperature);

#endif
