/* Reading what all sequences begin with. See prefix.h. */
#include "lm/prefix.h"

#include "lm/decoder.h"

#include <string.h>

bool tp_prefix_possible(const tp_lm *lm) {
    return lm->config.rope_scaling.kind != TP_ROPE_LONG;
}

/* The cache keeps heads apart, [n_kv_heads, rows, d]; rows of all heads are wanted, [rows, n_kv_heads * d]. */
static float *by_rows(const tp_kv_cache *cache, const tp_kv_sequence *held, int64_t n, bool values) {
    int64_t d = cache->head_dim, width = cache->n_kv_heads * d, row = 0;
    float *out = tp_alloc((size_t)(n * width + 1) * sizeof *out);
    for (int i = 0; i < TP_KV_SPANS; row += held->spans[i++].n) {
        const tp_kv_span *span = &held->spans[i];
        const float *from = values ? span->v : span->k;
        for (int64_t h = 0; h < cache->n_kv_heads; h++)
            for (int64_t j = 0; j < span->n; j++)
                memcpy(out + (row + j) * width + h * d, from + (h * span->head_rows + j) * d,
                       (size_t)d * sizeof(float));
    }
    return out;
}

tp_prefix *tp_prefix_new(const tp_lm *lm, tp_math math, const int32_t *ids, int64_t n) {
    tp_kv_cache *cache = tp_kv_cache_new(lm, 1, n);
    if (cache == NULL) return NULL;
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    const int64_t offsets[2] = {0, n}, slot = 0;
    tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
    tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, n), &batch, 0, lm->config.n_layers);
    tp_tape_free(tape);

    tp_prefix *p = tp_alloc(sizeof *p);
    size_t layers = (size_t)lm->config.n_layers;
    *p = (tp_prefix){.length = n, .n_layers = lm->config.n_layers};
    p->held = tp_alloc(layers * sizeof *p->held);
    p->k = tp_alloc(layers * sizeof *p->k);
    p->v = tp_alloc(layers * sizeof *p->v);
    for (int l = 0; l < p->n_layers; l++) {
        tp_kv_sequence held = tp_kv_cache_held(cache, l, 0, n);
        p->held[l] = 0;
        for (int i = 0; i < TP_KV_SPANS; i++) p->held[l] += held.spans[i].n;
        p->k[l] = by_rows(cache, &held, p->held[l], false);
        p->v[l] = by_rows(cache, &held, p->held[l], true);
    }
    tp_kv_cache_free(cache);
    return p;
}

void tp_prefix_free(tp_prefix *p) {
    if (p == NULL) return;
    for (int l = 0; l < p->n_layers; l++) {
        tp_free(p->k[l]);
        tp_free(p->v[l]);
    }
    tp_free(p->held);
    tp_free(p->k);
    tp_free(p->v);
    tp_free(p);
}
