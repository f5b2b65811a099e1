/* The decoder's forward pass. See decoder.h.
 *
 * One block of Llama (Touvron et al. 2023):  h = x + O attention(rope(Q n), rope(K n), V n) with n = norm(x);
 * out = h + down(silu(gate m) * up m) with m = norm(h). What other families do differently are fields of the
 * configuration: more norms or others, biases, fused projections, another activation, no gate, positions from a table,
 * both halves reading x. */
#include "lm/decoder.h"

#include "base/crowd.h"

#include <assert.h>
#include <math.h>
#include <string.h>

tp_var *tp_lm_embed(tp_tape *tape, const tp_lm *lm, const int32_t *ids, int64_t n) {
    tp_var *rows = tp_embedding(tape, &lm->embed, ids, n);
    return lm->config.embedding_scale > 0 ? tp_scale(tape, rows, (float)lm->config.embedding_scale) : rows;
}

/* Where the rows of a batch stand, and how they turn. */
typedef struct {
    int32_t *positions;             /* [n]: of each row in its sequence */
    tp_rotation *rotation, *window; /* of layers that see all tokens, and of those with a window; NULL: none */
} places;

static places find_places(tp_tape *tape, const tp_batch *batch) {
    int64_t n = batch->offsets[batch->n_sequences];
    places p = {.positions = tp_arena_zalloc(tape->arena, (size_t)n * sizeof(int32_t))};
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t past = batch->cache ? batch->cache->lengths[batch->slots[s]] : 0;
        for (int64_t i = batch->offsets[s]; i < batch->offsets[s + 1]; i++)
            p.positions[i] = (int32_t)(past + i - batch->offsets[s]);
    }
    return p;
}

bool tp_lm_turns_long(const tp_lm_config *c, int64_t length) {
    return c->rope_scaling.kind == TP_ROPE_LONG && length > c->rope_scaling.original_max_position_embeddings;
}

/* The angles of all rows, made once for all layers. */
static void find_rotations(tp_tape *tape, const tp_lm *lm, const tp_batch *batch, places *p) {
    const tp_lm_config *c = &lm->config;
    int64_t n = batch->offsets[batch->n_sequences], pairs = tp_lm_config_rotary_pairs(c);
    if (pairs == 0) return;
    float amplitude = c->rope_scaling.attention_factor > 0 ? (float)c->rope_scaling.attention_factor : 1.0f;
    p->rotation = p->window = tp_rotation_new(tape, n, pairs, c->rope_adjacent);
    if (lm->inv_freq[TP_FREQUENCIES_LONG] == NULL)
        tp_rotation_set(tape, p->rotation, 0, n, p->positions, lm->inv_freq[TP_FREQUENCIES_USUAL], amplitude);
    for (int64_t s = 0; lm->inv_freq[TP_FREQUENCIES_LONG] && s < batch->n_sequences; s++) {
        int64_t from = batch->offsets[s], to = batch->offsets[s + 1];
        bool goes_far = tp_lm_turns_long(c, batch->cache ? batch->cache->capacity : to - from);
        tp_rotation_set(tape, p->rotation, from, to, p->positions,
                        lm->inv_freq[goes_far ? TP_FREQUENCIES_LONG : TP_FREQUENCIES_USUAL], amplitude);
    }
    if (lm->inv_freq[TP_FREQUENCIES_LOCAL] == NULL) return;
    p->window = tp_rotation_new(tape, n, pairs, c->rope_adjacent);
    tp_rotation_set(tape, p->window, 0, n, p->positions, lm->inv_freq[TP_FREQUENCIES_LOCAL], 1);
}

static const tp_weight *optional(const tp_weight *w) {
    return tp_weight_present(w) ? w : NULL;
}

static tp_var *normalised(tp_tape *tape, const tp_lm_config *c, tp_var *x, const tp_weight *gain,
                          const tp_weight *bias) {
    float eps = (float)c->norm_eps;
    return c->norm == TP_NORM_LAYER ? tp_layer_norm(tape, x, gain, optional(bias), eps)
                                    : tp_rms_norm(tape, x, gain, eps);
}

/* Each head's rows by their root mean square. */
static tp_var *normalised_heads(tp_tape *tape, const tp_lm_config *c, tp_var *x, const tp_weight *gain) {
    int64_t rows = x->rows, cols = x->cols;
    tp_var *heads = tp_reshape(tape, x, rows * cols / c->head_dim, c->head_dim);
    return tp_reshape(tape, tp_rms_norm(tape, heads, gain, (float)c->norm_eps), rows, cols);
}

/* Queries [n, n_heads * head_dim], keys and values [n, n_kv_heads * head_dim]. */
static void project(tp_tape *tape, const tp_lm_config *c, const tp_layer *y, tp_var *n, tp_var *out[3]) {
    if (c->qkv_layout == TP_QKV_APART) {
        const tp_weight *w[3] = {&y->q, &y->k, &y->v};
        const tp_weight *bias[3] = {optional(&y->q_bias), optional(&y->k_bias), optional(&y->v_bias)};
        tp_linear_group(tape, n, w, bias, 3, out);
        return;
    }
    tp_var *all = tp_linear(tape, n, &y->qkv, optional(&y->qkv_bias));
    int64_t d = c->head_dim, q = c->n_heads * d, kv = c->n_kv_heads * d;
    const int64_t begins[3] = {0, q, q + kv}, widths[3] = {q, kv, kv};
    for (int i = 0; i < 3; i++)
        out[i] = c->qkv_layout == TP_QKV_PER_HEAD ? tp_columns(tape, all, i * d, d, 3 * d, c->n_heads)
                                                  : tp_columns(tape, all, begins[i], widths[i], widths[i], 1);
}

static tp_var *attention(tp_tape *tape, const tp_lm *lm, int layer, tp_var *n, const tp_batch *batch, const places *p) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    tp_var *qkv[3];
    project(tape, c, y, n, qkv);
    tp_var *q = qkv[0], *k = qkv[1], *v = qkv[2];
    if (c->qk_norm) {
        q = normalised_heads(tape, c, q, &y->q_norm);
        k = normalised_heads(tape, c, k, &y->k_norm);
    }
    int window = tp_lm_config_window(c, layer);
    const tp_rotation *rotation = window > 0 ? p->window : p->rotation;
    if (rotation) {
        q = tp_rope(tape, q, c->n_heads, rotation);
        k = tp_rope(tape, k, c->n_kv_heads, rotation);
    }
    tp_attention_spec spec = {.n_heads = c->n_heads,
                              .n_kv_heads = c->n_kv_heads,
                              .head_dim = c->head_dim,
                              .scale = c->query_scale > 0 ? (float)c->query_scale : 1.0f / sqrtf((float)c->head_dim),
                              .causal = true,
                              .window = window,
                              .softcap = (float)c->attention_softcap};
    const int64_t *offsets = batch->offsets;
    tp_var *a = batch->cache ? tp_kv_cache_attend(tape, batch->cache, layer, q, k, v, offsets, batch->slots,
                                                  batch->n_sequences, &spec)
                             : tp_attention(tape, q, k, v, offsets, offsets, batch->n_sequences, &spec);
    a = tp_linear(tape, a, &y->o, optional(&y->o_bias));
    return c->post_norms ? normalised(tape, c, a, &y->attn_post_norm, NULL) : a;
}

static tp_var *activated(tp_tape *tape, tp_activation kind, tp_var *x) {
    return kind == TP_ACT_GELU ? tp_gelu(tape, x) : tp_gelu_tanh(tape, x);
}

static tp_var *feed_forward(tp_tape *tape, const tp_lm_config *c, const tp_layer *y, tp_var *m) {
    tp_var *up, *gate = NULL;
    if (c->fused_gate_up) {
        tp_var *both = tp_linear(tape, m, &y->gate_up, NULL);
        gate = tp_columns(tape, both, 0, c->d_ff, c->d_ff, 1);
        up = tp_columns(tape, both, c->d_ff, c->d_ff, c->d_ff, 1);
    } else if (c->plain_ffn) {
        up = tp_linear(tape, m, &y->up, optional(&y->up_bias));
    } else {
        const tp_weight *w[2] = {&y->gate, &y->up}, *bias[2] = {optional(&y->gate_bias), optional(&y->up_bias)};
        tp_var *both[2];
        tp_linear_group(tape, m, w, bias, 2, both);
        gate = both[0], up = both[1];
    }
    tp_var *hidden;
    if (gate == NULL)
        hidden = activated(tape, c->activation, up);
    else if (c->activation == TP_ACT_SILU)
        hidden = tp_silu_mul(tape, gate, up);
    else
        hidden = tp_mul(tape, activated(tape, c->activation, gate), up);
    tp_var *f = tp_linear(tape, hidden, &y->down, optional(&y->down_bias));
    return c->post_norms ? normalised(tape, c, f, &y->ffn_post_norm, NULL) : f;
}

static tp_var *block(tp_tape *tape, const tp_lm *lm, int layer, tp_var *x, const tp_batch *batch, const places *p) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    tp_var *a = attention(tape, lm, layer, normalised(tape, c, x, &y->attn_norm, &y->attn_norm_bias), batch, p);
    tp_var *h = tp_add(tape, x, a);
    tp_var *m = normalised(tape, c, c->parallel_residual ? x : h, &y->ffn_norm, &y->ffn_norm_bias);
    return tp_add(tape, h, feed_forward(tape, c, y, m));
}

tp_var *tp_lm_blocks(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch, int from, int to) {
    assert(x->rows == batch->offsets[batch->n_sequences] && 0 <= from && from <= to && to <= lm->config.n_layers);
    assert(batch->cache == NULL || tape->frozen);   /* the cache is not on the tape */
    if (batch->cache) tp_crowd_adapt(x->rows == 1); /* one row's products are dot products of our own */
    places p = find_places(tape, batch);
    if (to > from) find_rotations(tape, lm, batch, &p);
    if (to > from && from == 0 && lm->config.positions == TP_POSITION_LEARNED)
        x = tp_add(tape, x, tp_embedding(tape, &lm->positions, p.positions, x->rows));
    /* Where nothing will be asked of a layer's inner values again, their memory serves the next layer. */
    tp_var *kept = tape->frozen && to > from ? tp_var_new(tape, x->rows, x->cols) : NULL;
    for (int l = from; l < to; l++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        x = block(tape, lm, l, x, batch, &p);
        if (kept == NULL) continue;
        memcpy(kept->data, x->data, (size_t)(x->rows * x->cols) * sizeof(float));
        tp_arena_release(tape->arena, mark);
        x = kept;
    }
    if (batch->cache) tp_kv_cache_advance(batch->cache, batch->offsets, batch->slots, batch->n_sequences);
    return x;
}

tp_var *tp_lm_logits(tp_tape *tape, const tp_lm *lm, tp_var *hidden) {
    const tp_lm_config *c = &lm->config;
    tp_var *n = normalised(tape, c, hidden, &lm->final_norm, &lm->final_norm_bias);
    tp_var *logits = tp_linear(tape, n, c->tie_word_embeddings ? &lm->embed : &lm->head, NULL);
    return c->final_softcap > 0 ? tp_softcap(tape, logits, (float)c->final_softcap) : logits;
}
