/* The decoder's forward pass. See decoder.h.
 *
 * One block (Touvron et al. 2023, and all the Llama family since):  h = x + O attention(rope(Q n), rope(K n), V n) with
 * n = rms_norm(x);  out = h + down(silu(gate m) * up m) with m = rms_norm(h). */
#include "lm/decoder.h"

#include "base/crowd.h"

#include <assert.h>
#include <math.h>
#include <string.h>

tp_var *tp_lm_embed(tp_tape *tape, const tp_lm *lm, const int32_t *ids, int64_t n) {
    return tp_embedding(tape, &lm->embed, ids, n);
}

/* Where each row stands in its sequence, [n]. */
static int32_t *positions_of(tp_tape *tape, const tp_batch *batch) {
    int64_t n = batch->offsets[batch->n_sequences];
    int32_t *positions = tp_arena_alloc(tape->arena, (size_t)n * sizeof(int32_t));
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t past = batch->cache ? batch->cache->lengths[batch->slots[s]] : 0;
        for (int64_t i = batch->offsets[s]; i < batch->offsets[s + 1]; i++)
            positions[i] = (int32_t)(past + i - batch->offsets[s]);
    }
    return positions;
}

static const tp_weight *optional(const tp_weight *w) {
    return tp_weight_present(w) ? w : NULL;
}

static tp_var *block(tp_tape *tape, const tp_lm *lm, int layer, tp_var *x, const tp_batch *batch,
                     const int32_t *positions) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    float eps = (float)c->norm_eps;

    tp_var *n = tp_rms_norm(tape, x, &y->attn_norm, eps);
    tp_var *q = tp_linear(tape, n, &y->q, optional(&y->q_bias)); /* [n, n_heads * head_dim] */
    tp_var *k = tp_linear(tape, n, &y->k, optional(&y->k_bias)); /* [n, n_kv_heads * head_dim] */
    tp_var *v = tp_linear(tape, n, &y->v, optional(&y->v_bias));
    q = tp_rope(tape, q, c->n_heads, positions, lm->inv_freq);
    k = tp_rope(tape, k, c->n_kv_heads, positions, lm->inv_freq);
    tp_attention_spec spec = {.n_heads = c->n_heads,
                              .n_kv_heads = c->n_kv_heads,
                              .head_dim = c->head_dim,
                              .scale = 1.0f / sqrtf((float)c->head_dim),
                              .causal = true,
                              .window = tp_lm_config_window(c, layer)};
    const int64_t *offsets = batch->offsets;
    tp_var *a = batch->cache ? tp_kv_cache_attend(tape, batch->cache, layer, q, k, v, offsets, batch->slots,
                                                  batch->n_sequences, &spec)
                             : tp_attention(tape, q, k, v, offsets, offsets, batch->n_sequences, &spec);
    x = tp_add(tape, x, tp_linear(tape, a, &y->o, optional(&y->o_bias)));

    tp_var *m = tp_rms_norm(tape, x, &y->ffn_norm, eps);
    tp_var *hidden = tp_silu_mul(tape, tp_linear(tape, m, &y->gate, NULL), tp_linear(tape, m, &y->up, NULL));
    return tp_add(tape, x, tp_linear(tape, hidden, &y->down, NULL));
}

tp_var *tp_lm_blocks(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch, int from, int to) {
    assert(x->rows == batch->offsets[batch->n_sequences] && 0 <= from && from <= to && to <= lm->config.n_layers);
    assert(batch->cache == NULL || tape->frozen); /* the cache is not on the tape */
    if (batch->cache) tp_crowd_adapt();
    const int32_t *positions = positions_of(tape, batch);
    /* What a frozen layer made is not needed behind it: one layer's activations at a time, in memory that stays warm.
     */
    tp_var *kept = tape->frozen ? tp_var_new(tape, x->rows, x->cols) : NULL;
    for (int l = from; l < to; l++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        tp_var *y = block(tape, lm, l, x, batch, positions);
        if (kept) {
            memcpy(kept->data, y->data, (size_t)(y->rows * y->cols) * sizeof(float));
            tp_arena_release(tape->arena, mark);
        }
        x = kept ? kept : y;
    }
    if (batch->cache) tp_kv_cache_advance(batch->cache, batch->offsets, batch->slots, batch->n_sequences);
    return x;
}

tp_var *tp_lm_logits(tp_tape *tape, const tp_lm *lm, tp_var *hidden) {
    tp_var *n = tp_rms_norm(tape, hidden, &lm->final_norm, (float)lm->config.norm_eps);
    return tp_linear(tape, n, lm->config.tie_word_embeddings ? &lm->embed : &lm->head, NULL);
}
