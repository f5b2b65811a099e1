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

/* Rows of a batch: where they stand in their sequences, and how they turn. */
typedef struct {
    const int64_t *offsets;         /* [n_sequences + 1]: the last rows of each sequence, or all */
    int32_t *positions;             /* [n]: of each row in its sequence */
    tp_rotation *rotation, *window; /* of layers that see all tokens, and of those with a window; NULL: none */
} row_set;

/* Positions of sequence s that were read before, and those before its first own row. */
static int64_t read_before(const tp_batch *batch, int64_t s) {
    if (batch->cache) return batch->cache->lengths[batch->slots[s]];
    return batch->prefix ? batch->prefix->length : 0;
}

static int64_t past(const tp_batch *batch, int64_t s) {
    return read_before(batch, s) + (batch->injected ? batch->n_injected : 0);
}

static row_set place_rows(tp_tape *tape, const tp_batch *batch, const int64_t *offsets) {
    int64_t n = offsets[batch->n_sequences];
    row_set r = {.offsets = offsets, .positions = tp_arena_zalloc(tape->arena, (size_t)n * sizeof(int32_t))};
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t end = past(batch, s) + batch->offsets[s + 1] - batch->offsets[s];
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++) r.positions[i] = (int32_t)(end - offsets[s + 1] + i);
    }
    return r;
}

bool tp_lm_turns_long(const tp_lm_config *c, int64_t length) {
    return c->rope_scaling.kind == TP_ROPE_LONG && length > c->rope_scaling.original_max_position_embeddings;
}

/* The angles of the rows, made once for all layers. */
static void find_rotations(tp_tape *tape, const tp_lm *lm, const tp_batch *batch, row_set *r) {
    const tp_lm_config *c = &lm->config;
    int64_t n = r->offsets[batch->n_sequences], pairs = tp_lm_config_rotary_pairs(c);
    if (pairs == 0) return;
    float amplitude = c->rope_scaling.attention_factor > 0 ? (float)c->rope_scaling.attention_factor : 1.0f;
    r->rotation = r->window = tp_rotation_new(tape, n, pairs, c->rope_adjacent);
    if (lm->inv_freq[TP_FREQUENCIES_LONG] == NULL)
        tp_rotation_set(tape, r->rotation, 0, n, r->positions, lm->inv_freq[TP_FREQUENCIES_USUAL], amplitude);
    for (int64_t s = 0; lm->inv_freq[TP_FREQUENCIES_LONG] && s < batch->n_sequences; s++) {
        int64_t length = batch->cache ? batch->cache->positions : batch->offsets[s + 1] - batch->offsets[s];
        bool goes_far = tp_lm_turns_long(c, length);
        tp_rotation_set(tape, r->rotation, r->offsets[s], r->offsets[s + 1], r->positions,
                        lm->inv_freq[goes_far ? TP_FREQUENCIES_LONG : TP_FREQUENCIES_USUAL], amplitude);
    }
    if (lm->inv_freq[TP_FREQUENCIES_LOCAL] == NULL) return;
    r->window = tp_rotation_new(tape, n, pairs, c->rope_adjacent);
    tp_rotation_set(tape, r->window, 0, n, r->positions, lm->inv_freq[TP_FREQUENCIES_LOCAL], 1);
}

/* Of x, which has a row for each of `all`, the rows of `some`: the last ones of each sequence. */
static tp_var *last_rows(tp_tape *tape, tp_var *x, int64_t n_sequences, const int64_t *all, const int64_t *some) {
    if (all == some) return x;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)(some[n_sequences] + 1) * sizeof *which);
    for (int64_t s = 0; s < n_sequences; s++)
        for (int64_t i = some[s]; i < some[s + 1]; i++)
            which[i] = (tp_row_ref){.source = 0, .row = all[s + 1] - some[s + 1] + i};
    return tp_gather(tape, &x, 1, which, some[n_sequences]);
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

/* Queries of the wanted rows, keys and values of all: [n, n_heads * head_dim], [n, n_kv_heads * head_dim]. */
static void project(tp_tape *tape, const tp_lm_config *c, const tp_layer *y, tp_var *n, int64_t n_sequences,
                    const int64_t *all, const int64_t *wanted, tp_var *out[3]) {
    if (c->qkv_layout == TP_QKV_APART) {
        const tp_weight *w[3] = {&y->q, &y->k, &y->v};
        const tp_weight *bias[3] = {optional(&y->q_bias), optional(&y->k_bias), optional(&y->v_bias)};
        int apart = wanted != all; /* the queries have an input of their own */
        if (apart) out[0] = tp_linear(tape, last_rows(tape, n, n_sequences, all, wanted), w[0], bias[0]);
        tp_linear_group(tape, n, w + apart, bias + apart, 3 - apart, out + apart);
        return;
    }
    tp_var *fused = tp_linear(tape, n, &y->qkv, optional(&y->qkv_bias));
    int64_t d = c->head_dim, q = c->n_heads * d, kv = c->n_kv_heads * d;
    const int64_t begins[3] = {0, q, q + kv}, widths[3] = {q, kv, kv};
    for (int i = 0; i < 3; i++)
        out[i] = c->qkv_layout == TP_QKV_PER_HEAD ? tp_columns(tape, fused, i * d, d, 3 * d, c->n_heads)
                                                  : tp_columns(tape, fused, begins[i], widths[i], widths[i], 1);
    out[0] = last_rows(tape, out[0], n_sequences, all, wanted);
}

/* Where the injected rows stand: right before the sequences' own. */
static row_set place_injected(tp_tape *tape, const tp_batch *batch) {
    int64_t n = batch->n_sequences, m = batch->n_injected;
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    row_set r = {.offsets = offsets, .positions = tp_arena_zalloc(tape->arena, (size_t)(n * m + 1) * sizeof(int32_t))};
    for (int64_t s = 0; s <= n; s++) offsets[s] = s * m;
    for (int64_t i = 0; i < n * m; i++) r.positions[i] = (int32_t)(read_before(batch, i / m) + i % m);
    return r;
}

/* A layer's injected keys or values, [n_sequences * n_injected, n_kv_heads * head_dim]. */
static tp_var *injected_part(tp_tape *tape, const tp_lm_config *c, const tp_batch *batch, int layer, bool values) {
    int64_t width = (int64_t)c->n_kv_heads * c->head_dim;
    return tp_columns(tape, batch->injected, (2 * layer + values) * width, width, width, 1);
}

/* Where each sequence's keys begin when n_held and the injected ones stand before its own, [n_sequences + 1]. */
static int64_t *longer_offsets(tp_tape *tape, const tp_batch *batch, int64_t n_held) {
    int64_t *longer = tp_arena_alloc(tape->arena, (size_t)(batch->n_sequences + 1) * sizeof *longer);
    for (int64_t s = 0; s <= batch->n_sequences; s++)
        longer[s] = batch->offsets[s] + s * (n_held + (batch->injected ? batch->n_injected : 0));
    return longer;
}

/* Each sequence's rows with the prefix's n_held before them, and between both its own of `injected` (NULL: none). */
static tp_var *behind(tp_tape *tape, float *held, int64_t n_held, tp_var *injected, tp_var *x, const tp_batch *batch) {
    int64_t n = batch->n_sequences, m = injected ? batch->n_injected : 0, row = 0;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)(x->rows + n * (n_held + m)) * sizeof *which);
    for (int64_t s = 0; s < n; s++) {
        for (int64_t i = 0; i < n_held; i++) which[row++] = (tp_row_ref){.source = 1, .row = i};
        for (int64_t i = s * m; i < (s + 1) * m; i++) which[row++] = (tp_row_ref){.source = 2, .row = i};
        for (int64_t i = batch->offsets[s]; i < batch->offsets[s + 1]; i++) which[row++] = (tp_row_ref){0, i};
    }
    tp_var *sources[3] = {x, n_held > 0 ? tp_var_wrap(tape, held, n_held, x->cols) : x, injected ? injected : x};
    return tp_gather(tape, sources, 3, which, row);
}

/* The wanted rows' queries against all keys: in the cache, behind the prefix, injected, or their own. */
static tp_var *attend(tp_tape *tape, int layer, tp_var *q, tp_var *k, tp_var *v, tp_var *const injected[2],
                      const tp_batch *batch, const int64_t *wanted, const tp_attention_spec *spec) {
    int64_t n = batch->n_sequences, n_held = batch->prefix ? batch->prefix->held[layer] : 0;
    const int64_t *offsets = batch->offsets;
    if (batch->prefix || batch->injected) {
        const tp_prefix *p = batch->prefix;
        offsets = longer_offsets(tape, batch, n_held);
        k = behind(tape, p ? p->k[layer] : NULL, n_held, injected[0], k, batch);
        v = behind(tape, p ? p->v[layer] : NULL, n_held, injected[1], v, batch);
    }
    if (batch->cache)
        return tp_kv_cache_attend(tape, batch->cache, layer, q, k, v, wanted, offsets, batch->slots, n, spec);
    return tp_attention(tape, q, k, v, wanted, offsets, n, spec);
}

static tp_var *attention(tp_tape *tape, const tp_lm *lm, int layer, tp_var *n, const tp_batch *batch,
                         const row_set *all, const row_set *wanted, const row_set *between) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    tp_var *qkv[3], *injected[2] = {NULL, NULL};
    project(tape, c, y, n, batch->n_sequences, all->offsets, wanted->offsets, qkv);
    tp_var *q = qkv[0], *k = qkv[1], *v = qkv[2];
    if (batch->adapter) {
        tp_var *wanted_n = last_rows(tape, n, batch->n_sequences, all->offsets, wanted->offsets);
        q = tp_adapter_queries(tape, batch->adapter, layer, wanted_n, q);
        v = tp_adapter_values(tape, batch->adapter, layer, n, v);
    }
    if (c->qk_norm) {
        q = normalised_heads(tape, c, q, &y->q_norm);
        k = normalised_heads(tape, c, k, &y->k_norm);
    }
    int window = tp_lm_config_window(c, layer);
    if (batch->look) batch->look(batch->look_context, layer, k, v);
    for (int values = 0; batch->injected && values < 2; values++)
        injected[values] = injected_part(tape, c, batch, layer, values);
    if (all->rotation) {
        q = tp_rope(tape, q, c->n_heads, window > 0 ? wanted->window : wanted->rotation);
        k = tp_rope(tape, k, c->n_kv_heads, window > 0 ? all->window : all->rotation);
        if (batch->injected)
            injected[0] = tp_rope(tape, injected[0], c->n_kv_heads, window > 0 ? between->window : between->rotation);
    }
    tp_attention_spec spec = {.n_heads = c->n_heads,
                              .n_kv_heads = c->n_kv_heads,
                              .head_dim = c->head_dim,
                              .scale = c->query_scale > 0 ? (float)c->query_scale : 1.0f / sqrtf((float)c->head_dim),
                              .causal = true,
                              .window = window,
                              .softcap = (float)c->attention_softcap};
    tp_var *a = attend(tape, layer, q, k, v, injected, batch, wanted->offsets, &spec);
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

/* x has a row for each of `all`, the result one for each of `wanted`; `between` are the injected rows. */
static tp_var *block(tp_tape *tape, const tp_lm *lm, int layer, tp_var *x, const tp_batch *batch, const row_set *all,
                     const row_set *wanted, const row_set *between) {
    const tp_lm_config *c = &lm->config;
    const tp_layer *y = &lm->layers[layer];
    tp_var *n = normalised(tape, c, x, &y->attn_norm, &y->attn_norm_bias);
    tp_var *a = attention(tape, lm, layer, n, batch, all, wanted, between);
    x = last_rows(tape, x, batch->n_sequences, all->offsets, wanted->offsets);
    tp_var *h = tp_add(tape, x, a);
    tp_var *m = normalised(tape, c, c->parallel_residual ? x : h, &y->ffn_norm, &y->ffn_norm_bias);
    return tp_add(tape, h, feed_forward(tape, c, y, m));
}

tp_var *tp_lm_blocks(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch, int from, int to) {
    assert(x->rows == batch->offsets[batch->n_sequences] && 0 <= from && from <= to && to <= lm->config.n_layers);
    assert(batch->cache == NULL || (tape->frozen && batch->prefix == NULL)); /* the cache is not on the tape */
    if (batch->cache) tp_crowd_adapt(x->rows == 1); /* one row's products are dot products of our own */
    row_set all = place_rows(tape, batch, batch->offsets), wanted = all, between = {NULL, NULL, NULL, NULL};
    if (batch->injected) {
        assert(batch->injected->rows == batch->n_sequences * batch->n_injected &&
               batch->injected->cols == tp_lm_kv_width(&lm->config) && lm->inv_freq[TP_FREQUENCIES_LONG] == NULL);
        between = place_injected(tape, batch);
        find_rotations(tape, lm, batch, &between);
    }
    if (batch->wanted) wanted = place_rows(tape, batch, batch->wanted);
    if (to > from) find_rotations(tape, lm, batch, &all);
    if (to > from && batch->wanted)
        find_rotations(tape, lm, batch, &wanted);
    else if (to > from)
        wanted = all;
    if (to > from && from == 0 && lm->config.positions == TP_POSITION_LEARNED)
        x = tp_add(tape, x, tp_embedding(tape, &lm->positions, all.positions, x->rows));
    tp_var *kept = tape->frozen && to > from ? tp_var_new(tape, x->rows, x->cols) : NULL;
    for (int l = from; l < to; l++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        x = block(tape, lm, l, x, batch, &all, l + 1 < to ? &all : &wanted, &between);
        x = tp_tape_keep(tape, mark, kept, x);
    }
    if (batch->cache)
        tp_kv_cache_advance(batch->cache, batch->injected ? longer_offsets(tape, batch, 0) : batch->offsets,
                            batch->slots, batch->n_sequences);
    return to > from ? x : last_rows(tape, x, batch->n_sequences, all.offsets, wanted.offsets);
}

tp_var *tp_lm_logits(tp_tape *tape, const tp_lm *lm, tp_var *hidden) {
    const tp_lm_config *c = &lm->config;
    tp_var *n = normalised(tape, c, hidden, &lm->final_norm, &lm->final_norm_bias);
    tp_var *logits = tp_linear(tape, n, c->tie_word_embeddings ? &lm->embed : &lm->head, NULL);
    return c->final_softcap > 0 ? tp_softcap(tape, logits, (float)c->final_softcap) : logits;
}
