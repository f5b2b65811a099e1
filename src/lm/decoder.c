/* The decoder's forward pass and its cache. See decoder.h.
 *
 * One block (Touvron et al. 2023, and all the Llama family since):  h = x + O attention(rope(Q n), rope(K n), V n) with
 * n = rms_norm(x);  out = h + down(silu(gate m) * up m) with m = rms_norm(h). */
#include "lm/decoder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

tp_kv_cache *tp_kv_cache_new(const tp_lm *lm, int64_t n_slots, int64_t capacity) {
    const tp_lm_config *c = &lm->config;
    tp_kv_cache *cache = tp_alloc(sizeof *cache);
    *cache = (tp_kv_cache){.n_layers = (int)c->n_layers,
                           .n_slots = n_slots,
                           .capacity = capacity,
                           .kv_dim = (int64_t)c->n_kv_heads * c->head_dim};
    size_t numbers = (size_t)(n_slots * capacity * cache->kv_dim) * (size_t)c->n_layers;
    cache->lengths = tp_alloc((size_t)n_slots * sizeof(int64_t));
    cache->k = tp_try_alloc(numbers, sizeof(float));
    cache->v = tp_try_alloc(numbers, sizeof(float));
    if (cache->k && cache->v) return cache;
    tp_kv_cache_free(cache);
    return NULL;
}

void tp_kv_cache_free(tp_kv_cache *cache) {
    if (cache == NULL) return;
    tp_free(cache->lengths);
    tp_free(cache->k);
    tp_free(cache->v);
    tp_free(cache);
}

static float *cache_rows(const tp_kv_cache *cache, float *base, int layer, int64_t slot) {
    return base + ((int64_t)layer * cache->n_slots + slot) * cache->capacity * cache->kv_dim;
}

void tp_kv_cache_copy(tp_kv_cache *cache, int64_t from, int64_t to) {
    size_t bytes = (size_t)(cache->lengths[from] * cache->kv_dim) * sizeof(float);
    for (int l = 0; l < cache->n_layers; l++) {
        memcpy(cache_rows(cache, cache->k, l, to), cache_rows(cache, cache->k, l, from), bytes);
        memcpy(cache_rows(cache, cache->v, l, to), cache_rows(cache, cache->v, l, from), bytes);
    }
    cache->lengths[to] = cache->lengths[from];
}

tp_var *tp_lm_embed(tp_tape *tape, const tp_lm *lm, const int32_t *ids, int64_t n) {
    return tp_embedding(tape, &lm->embed, ids, n);
}

/* Where the keys of each sequence are. */
typedef struct {
    int32_t *positions;         /* [n]: of each row in its sequence */
    int64_t *k_begins, *k_ends; /* with a cache: rows of the cached keys */
} places;

static places find_places(tp_tape *tape, const tp_batch *batch) {
    int64_t n = batch->offsets[batch->n_sequences];
    places p = {.positions = tp_arena_alloc(tape->arena, (size_t)n * sizeof(int32_t))};
    p.k_begins = tp_arena_alloc(tape->arena, (size_t)batch->n_sequences * sizeof(int64_t));
    p.k_ends = tp_arena_alloc(tape->arena, (size_t)batch->n_sequences * sizeof(int64_t));
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t past = batch->cache ? batch->cache->lengths[batch->slots[s]] : 0;
        int64_t length = batch->offsets[s + 1] - batch->offsets[s];
        for (int64_t i = 0; i < length; i++) p.positions[batch->offsets[s] + i] = (int32_t)(past + i);
        p.k_begins[s] = batch->cache ? batch->slots[s] * batch->cache->capacity : batch->offsets[s];
        p.k_ends[s] = p.k_begins[s] + past + length;
    }
    return p;
}

/* Appends the new rows to the cache and returns the cached rows of this layer as a var. */
static tp_var *cached(tp_tape *tape, const tp_batch *batch, const places *p, float *base, int layer,
                      const tp_var *rows) {
    tp_kv_cache *cache = batch->cache;
    float *all = cache_rows(cache, base, layer, 0);
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t n = batch->offsets[s + 1] - batch->offsets[s];
        assert(p->k_ends[s] - p->k_begins[s] <= cache->capacity);
        memcpy(all + (p->k_ends[s] - n) * cache->kv_dim, rows->data + batch->offsets[s] * cache->kv_dim,
               (size_t)(n * cache->kv_dim) * sizeof(float));
    }
    return tp_var_wrap(tape, all, cache->n_slots * cache->capacity, cache->kv_dim);
}

static const tp_weight *optional(const tp_weight *w) {
    return tp_weight_present(w) ? w : NULL;
}

static tp_var *block(tp_tape *tape, const tp_lm *lm, int layer, tp_var *x, const tp_batch *batch, const places *p) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    float eps = (float)c->norm_eps;

    tp_var *n = tp_rms_norm(tape, x, &y->attn_norm, eps);
    tp_var *q = tp_linear(tape, n, &y->q, optional(&y->q_bias)); /* [n, n_heads * head_dim] */
    tp_var *k = tp_linear(tape, n, &y->k, optional(&y->k_bias)); /* [n, n_kv_heads * head_dim] */
    tp_var *v = tp_linear(tape, n, &y->v, optional(&y->v_bias));
    q = tp_rope(tape, q, c->n_heads, p->positions, lm->inv_freq);
    k = tp_rope(tape, k, c->n_kv_heads, p->positions, lm->inv_freq);
    if (batch->cache) {
        k = cached(tape, batch, p, batch->cache->k, layer, k);
        v = cached(tape, batch, p, batch->cache->v, layer, v);
    }
    tp_attention_spec spec = {.n_heads = c->n_heads,
                              .n_kv_heads = c->n_kv_heads,
                              .head_dim = c->head_dim,
                              .scale = 1.0f / sqrtf((float)c->head_dim),
                              .causal = true,
                              .window = tp_lm_config_window(c, layer)};
    tp_var *a = tp_attention_spans(tape, q, k, v, batch->offsets, p->k_begins, p->k_ends, batch->n_sequences, &spec);
    x = tp_add(tape, x, tp_linear(tape, a, &y->o, optional(&y->o_bias)));

    tp_var *m = tp_rms_norm(tape, x, &y->ffn_norm, eps);
    tp_var *hidden = tp_silu_mul(tape, tp_linear(tape, m, &y->gate, NULL), tp_linear(tape, m, &y->up, NULL));
    return tp_add(tape, x, tp_linear(tape, hidden, &y->down, NULL));
}

tp_var *tp_lm_blocks(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch, int from, int to) {
    assert(x->rows == batch->offsets[batch->n_sequences] && 0 <= from && from <= to && to <= lm->config.n_layers);
    assert(batch->cache == NULL || tape->frozen); /* the cache is not on the tape */
    places p = find_places(tape, batch);
    for (int l = from; l < to; l++) x = block(tape, lm, l, x, batch, &p);
    if (batch->cache)
        for (int64_t s = 0; s < batch->n_sequences; s++)
            batch->cache->lengths[batch->slots[s]] += batch->offsets[s + 1] - batch->offsets[s];
    return x;
}

tp_var *tp_lm_logits(tp_tape *tape, const tp_lm *lm, tp_var *hidden) {
    tp_var *n = tp_rms_norm(tape, hidden, &lm->final_norm, (float)lm->config.norm_eps);
    return tp_linear(tape, n, lm->config.tie_word_embeddings ? &lm->embed : &lm->head, NULL);
}
