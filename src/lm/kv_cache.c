/* Storage of keys and values, rings of sliding windows, and attention over them. See kv_cache.h.
 *
 * Rows of one head lie one behind another, so that a decode step reads each head's rows as one stream. */
#include "lm/kv_cache.h"

#include "base/mem.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <string.h>

static bool is_cache_type(tp_dtype type) {
    return type == TP_F32 || type == TP_F16 || type == TP_BF16 || type == TP_I8;
}

/* ---- layout ---- */

/* Takes n items of `size` bytes from the slot, on a cache line of their own; false on overflow. */
static bool place(size_t *slot_bytes, int64_t n, size_t size, size_t *at) {
    size_t bytes;
    *at = *slot_bytes;
    return !__builtin_mul_overflow((size_t)n, size, &bytes) && !__builtin_add_overflow(bytes, TP_ALIGN - 1, &bytes) &&
           !__builtin_add_overflow(*slot_bytes, bytes / TP_ALIGN * TP_ALIGN, slot_bytes);
}

/* The layers' places (NULL: only their size) of one slot. False if the sizes overflow. */
static bool lay_out(const tp_lm_config *c, tp_dtype type, int64_t capacity, tp_kv_layer *layers, size_t *slot_bytes) {
    *slot_bytes = 0;
    for (int l = 0; l < c->n_layers; l++) {
        int window = tp_lm_config_window(c, l);
        tp_kv_layer y = {.window = window, .rows = window > 0 && window < capacity ? window : capacity};
        int64_t rows, numbers;
        if (__builtin_mul_overflow(y.rows, c->n_kv_heads, &rows)) return false;
        if (__builtin_mul_overflow(rows, c->head_dim, &numbers)) return false;
        if (!place(slot_bytes, numbers, tp_dtype_size(type), &y.k)) return false;
        if (!place(slot_bytes, numbers, tp_dtype_size(type), &y.v)) return false;
        if (type == TP_I8 && !place(slot_bytes, rows, sizeof(float), &y.k_scales)) return false;
        if (type == TP_I8 && !place(slot_bytes, rows, sizeof(float), &y.v_scales)) return false;
        if (layers) layers[l] = y;
    }
    return *slot_bytes <= INT64_MAX;
}

int64_t tp_kv_cache_slot_bytes(const tp_lm *lm, tp_dtype type, int64_t capacity) {
    size_t bytes;
    return lay_out(&lm->config, type, capacity, NULL, &bytes) ? (int64_t)bytes : INT64_MAX;
}

tp_status tp_kv_cache_reaches(const tp_lm *lm, int64_t n) {
    const tp_lm_config *c = &lm->config;
    if (c->positions != TP_POSITION_LEARNED || n <= c->max_position_embeddings) return TP_OK;
    return tp_fail(TP_ERR_ARGUMENT, "%lld positions are asked for, this model has learned %d", (long long)n,
                   c->max_position_embeddings);
}

static tp_kv_cache *new_cache(const tp_lm *lm, tp_dtype type, const tp_kv_cache *base, int64_t n_slots,
                              int64_t capacity) {
    const tp_lm_config *c = &lm->config;
    int64_t before = 0; /* positions of all caches that this one stands behind */
    for (const tp_kv_cache *b = base; b; b = b->base) before += b->capacity;
    if (!is_cache_type(type))
        return tp_fail_null(TP_ERR_ARGUMENT, "a cache of keys and values stores f32, f16, bf16 or i8, not %s",
                            tp_dtype_name(type));
    if (base == NULL && tp_kv_cache_reaches(lm, capacity) != TP_OK) return NULL;
    tp_kv_cache *cache = tp_alloc(sizeof *cache);
    *cache = (tp_kv_cache){.type = type,
                           .n_layers = c->n_layers,
                           .n_kv_heads = c->n_kv_heads,
                           .head_dim = c->head_dim,
                           .n_slots = n_slots,
                           .capacity = capacity,
                           .positions = before + capacity,
                           .base = base};
    if (base && base->positions > cache->positions) cache->positions = base->positions;
    int64_t **const numbers[] = {&cache->lengths, &cache->reached, &cache->base_slots, &cache->begins};
    for (int i = 0; i < 4; i++) *numbers[i] = tp_alloc((size_t)n_slots * sizeof(int64_t));
    cache->layers = tp_alloc((size_t)c->n_layers * sizeof *cache->layers);
    size_t bytes;
    if (!lay_out(c, type, capacity, cache->layers, &cache->slot_bytes) ||
        __builtin_mul_overflow(cache->slot_bytes, (size_t)n_slots, &bytes))
        tp_fail(TP_ERR_MEMORY, "a cache of %lld sequences of %lld positions does not fit any memory",
                (long long)n_slots, (long long)capacity);
    else
        cache->bytes = tp_reserve(bytes);
    if (cache->bytes) return cache;
    tp_kv_cache_free(cache);
    return NULL;
}

tp_kv_cache *tp_kv_cache_new_typed(const tp_lm *lm, tp_dtype type, int64_t n_slots, int64_t capacity) {
    return new_cache(lm, type, NULL, n_slots, capacity);
}

tp_kv_cache *tp_kv_cache_new_behind(const tp_lm *lm, const tp_kv_cache *base, int64_t n_slots, int64_t capacity) {
    return new_cache(lm, base->type, base, n_slots, capacity);
}

tp_kv_cache *tp_kv_cache_new(const tp_lm *lm, int64_t n_slots, int64_t capacity) {
    return tp_kv_cache_new_typed(lm, TP_F32, n_slots, capacity);
}

void tp_kv_cache_free(tp_kv_cache *cache) {
    if (cache == NULL) return;
    tp_unreserve(cache->bytes, cache->slot_bytes * (size_t)cache->n_slots);
    tp_free(cache->lengths);
    tp_free(cache->reached);
    tp_free(cache->base_slots);
    tp_free(cache->begins);
    tp_free(cache->layers);
    tp_free(cache);
}

/* ---- whole slots ---- */

static unsigned char *slot_at(const tp_kv_cache *cache, int64_t slot) {
    return cache->bytes + (size_t)slot * cache->slot_bytes;
}

void tp_kv_cache_copy(tp_kv_cache *cache, int64_t from, int64_t to) {
    unsigned char *a = slot_at(cache, from), *b = slot_at(cache, to);
    size_t row = (size_t)cache->head_dim * tp_dtype_size(cache->type);
    for (int l = 0; l < cache->n_layers; l++) {
        const tp_kv_layer *y = &cache->layers[l];
        int64_t n = cache->reached[from] - cache->begins[from];
        if (n > y->rows) n = y->rows;
        for (int64_t h = 0; h < cache->n_kv_heads; h++) {
            size_t at = (size_t)(h * y->rows);
            memcpy(b + y->k + at * row, a + y->k + at * row, (size_t)n * row);
            memcpy(b + y->v + at * row, a + y->v + at * row, (size_t)n * row);
            if (cache->type != TP_I8) continue;
            memcpy(b + y->k_scales + at * 4, a + y->k_scales + at * 4, (size_t)n * 4);
            memcpy(b + y->v_scales + at * 4, a + y->v_scales + at * 4, (size_t)n * 4);
        }
    }
    cache->lengths[to] = cache->lengths[from];
    cache->reached[to] = cache->reached[from];
    cache->base_slots[to] = cache->base_slots[from];
    cache->begins[to] = cache->begins[from];
}

void tp_kv_cache_go_on(tp_kv_cache *cache, int64_t slot, int64_t base_slot) {
    cache->base_slots[slot] = base_slot;
    cache->begins[slot] = cache->lengths[slot] = cache->reached[slot] = cache->base->lengths[base_slot];
}

bool tp_kv_cache_rewind(tp_kv_cache *cache, int64_t slot, int64_t length) {
    if (length == 0) cache->begins[slot] = 0;
    assert(cache->begins[slot] <= length && length <= cache->lengths[slot]);
    int64_t reached = cache->reached[slot] - cache->begins[slot], own = length - cache->begins[slot];
    bool dropped = false; /* anything at all */
    for (int l = 0; l < cache->n_layers && own > 0 && length < cache->lengths[slot]; l++) {
        int64_t rows = cache->layers[l].rows;
        if (cache->layers[l].window != rows || reached <= rows) continue;
        dropped = true;
        int64_t first_seen = own + 1 > rows ? own + 1 - rows : 0; /* by the next token, its window is the ring */
        if (first_seen < reached - rows) return false;
    }
    if (!dropped && length < cache->lengths[slot]) cache->reached[slot] = length;
    cache->lengths[slot] = length;
    return true;
}

void tp_kv_cache_advance(tp_kv_cache *cache, const int64_t *offsets, const int64_t *slots, int64_t n_sequences) {
    for (int64_t s = 0; s < n_sequences; s++) {
        int64_t *length = &cache->lengths[slots[s]], *reached = &cache->reached[slots[s]];
        *length += offsets[s + 1] - offsets[s];
        if (*length > *reached) *reached = *length;
    }
}

/* ---- rows ---- */

/* A stretch of rows that may be written: a part of a slot's layer, or rows waiting to be put there. */
typedef struct {
    unsigned char *k, *v;
    float *k_scales, *v_scales; /* NULL but for int8 */
    int64_t head_rows;
} rows;

static rows layer_rows(const tp_kv_cache *cache, int layer, int64_t slot) {
    const tp_kv_layer *y = &cache->layers[layer];
    unsigned char *at = slot_at(cache, slot);
    bool scaled = cache->type == TP_I8;
    return (rows){.k = at + y->k,
                  .v = at + y->v,
                  .k_scales = scaled ? (float *)(void *)(at + y->k_scales) : NULL,
                  .v_scales = scaled ? (float *)(void *)(at + y->v_scales) : NULL,
                  .head_rows = y->rows};
}

static tp_kv_span span_of(const tp_kv_cache *cache, const rows *r, int64_t from, int64_t n) {
    size_t at = (size_t)(from * cache->head_dim) * tp_dtype_size(cache->type);
    return (tp_kv_span){.k = r->k + at,
                        .v = r->v + at,
                        .k_scales = r->k_scales ? r->k_scales + from : NULL,
                        .v_scales = r->v_scales ? r->v_scales + from : NULL,
                        .head_rows = r->head_rows,
                        .n = n};
}

/* The n of the slot's own rows before `end`, which the layer holds. */
static tp_kv_sequence last_rows(const tp_kv_cache *cache, int layer, int64_t slot, int64_t end, int64_t n) {
    rows r = layer_rows(cache, layer, slot);
    int64_t from = (end - n) % r.head_rows, first = n < r.head_rows - from ? n : r.head_rows - from;
    tp_kv_sequence s = {.spans = {span_of(cache, &r, from, first)}};
    if (n > first) s.spans[1] = span_of(cache, &r, 0, n - first);
    return s;
}

tp_kv_sequence tp_kv_cache_held(const tp_kv_cache *cache, int layer, int64_t slot, int64_t length) {
    assert(cache->begins[slot] == 0);
    int64_t window = cache->layers[layer].window; /* the next token's own row counts too */
    return last_rows(cache, layer, slot, length, window > 0 && length > window - 1 ? window - 1 : length);
}

void tp_kv_cache_restored(tp_kv_cache *cache, int64_t slot, int64_t length) {
    bool whole = true; /* a ring holds one position less than it would after reading */
    for (int l = 0; l < cache->n_layers; l++)
        if (cache->layers[l].window > 0 && length >= cache->layers[l].window) whole = false;
    cache->lengths[slot] = length;
    cache->reached[slot] = whole ? length : length + 1;
}

/* Writes rows of f32 numbers [n, n_kv_heads * head_dim] as rows `to` .. of each head. */
static void write_rows(const tp_kv_cache *cache, const rows *r, int64_t to, const float *k, const float *v, int64_t n) {
    const tp_kernels *cpu = tp_cpu();
    int64_t d = cache->head_dim, width = cache->n_kv_heads * d;
    size_t bytes = (size_t)d * tp_dtype_size(cache->type);
    for (int64_t h = 0; h < cache->n_kv_heads; h++)
        for (int64_t i = 0; i < n; i++) {
            size_t row = (size_t)(h * r->head_rows + to + i);
            float *k_scale = r->k_scales ? r->k_scales + row : NULL, *v_scale = r->v_scales ? r->v_scales + row : NULL;
            cpu->kv_write(cache->type, r->k + row * bytes, k_scale, k + i * width + h * d, d);
            cpu->kv_write(cache->type, r->v + row * bytes, v_scale, v + i * width + h * d, d);
        }
}

/* Room for n rows of each head that a ring cannot take before they were read. */
static rows waiting_rows(tp_tape *tape, const tp_kv_cache *cache, int64_t n) {
    size_t heads_rows = (size_t)(n * cache->n_kv_heads);
    size_t bytes = heads_rows * (size_t)cache->head_dim * tp_dtype_size(cache->type);
    rows r = {.k = tp_arena_alloc(tape->arena, bytes), .v = tp_arena_alloc(tape->arena, bytes), .head_rows = n};
    if (cache->type == TP_I8) {
        r.k_scales = tp_arena_alloc(tape->arena, heads_rows * sizeof(float));
        r.v_scales = tp_arena_alloc(tape->arena, heads_rows * sizeof(float));
    }
    return r;
}

/* ---- attention ---- */

static int count_spans(const tp_kv_sequence *s) {
    int n = 0;
    while (n < TP_KV_SPANS && s->spans[n].n > 0) n++;
    return n;
}

/* Puts the base's rows, of whose slot the first `end` positions count, before those of the sequence. */
static void put_base_before(const tp_kv_cache *base, int layer, int64_t slot, int64_t end, tp_kv_sequence *keys) {
    int64_t own = end - base->begins[slot], ring = base->layers[layer].rows;
    if (own > 0) {
        tp_kv_sequence before = last_rows(base, layer, slot, own, own < ring ? own : ring);
        int n = count_spans(&before), behind = count_spans(keys);
        assert(n + behind <= TP_KV_SPANS);
        memmove(keys->spans + n, keys->spans, (size_t)behind * sizeof keys->spans[0]);
        memcpy(keys->spans, before.spans, (size_t)n * sizeof keys->spans[0]);
    }
    if (base->begins[slot] > 0 && own <= ring)
        put_base_before(base->base, layer, base->base_slots[slot], base->begins[slot], keys);
}

/* Puts a sequence's new rows where its queries find them, and says where all its keys are. True if they only wait: the
 * ring still holds positions that the first of the new queries sees. */
static bool place_rows(tp_tape *tape, tp_kv_cache *cache, int layer, int64_t slot, const float *k, const float *v,
                       int64_t n, tp_kv_sequence *keys) {
    int64_t begin = cache->begins[slot], past = cache->lengths[slot] - begin, ring = cache->layers[layer].rows;
    assert(past + n <= cache->capacity);
    bool waits = n > 1 && past + n > ring;
    rows r = waits ? waiting_rows(tape, cache, n) : layer_rows(cache, layer, slot);
    write_rows(cache, &r, waits ? 0 : past % ring, k, v, n);
    if (waits) {
        *keys = last_rows(cache, layer, slot, past, past < ring ? past : ring - 1);
        keys->spans[count_spans(keys)] = span_of(cache, &r, 0, n);
    } else {
        *keys = last_rows(cache, layer, slot, past + n, past + n < ring ? past + n : ring);
    }
    bool all = waits ? past < ring : past + n <= ring; /* of the own rows are there: those before them count, too */
    if (begin > 0 && all) put_base_before(cache->base, layer, cache->base_slots[slot], begin, keys);
    return waits;
}

/* The last of the waiting rows go into the ring. */
static void settle_rows(tp_kv_cache *cache, int layer, int64_t slot, const tp_kv_span *waiting) {
    rows r = layer_rows(cache, layer, slot);
    int64_t n = waiting->n, past = cache->lengths[slot] - cache->begins[slot];
    size_t bytes = (size_t)cache->head_dim * tp_dtype_size(cache->type);
    for (int64_t h = 0; h < cache->n_kv_heads; h++)
        for (int64_t i = n > r.head_rows ? n - r.head_rows : 0; i < n; i++) {
            size_t to = (size_t)(h * r.head_rows + (past + i) % r.head_rows), from = (size_t)(h * n + i);
            memcpy(r.k + to * bytes, (const unsigned char *)waiting->k + from * bytes, bytes);
            memcpy(r.v + to * bytes, (const unsigned char *)waiting->v + from * bytes, bytes);
            if (r.k_scales == NULL) continue;
            r.k_scales[to] = waiting->k_scales[from];
            r.v_scales[to] = waiting->v_scales[from];
        }
}

tp_var *tp_kv_cache_attend(tp_tape *tape, tp_kv_cache *cache, int layer, tp_var *q, const tp_var *k, const tp_var *v,
                           const int64_t *q_offsets, const int64_t *offsets, const int64_t *slots, int64_t n_sequences,
                           const tp_attention_spec *spec) {
    assert(tape->frozen && k->cols == (int64_t)cache->n_kv_heads * cache->head_dim && v->cols == k->cols);
    tp_kv_sequence *keys = tp_arena_alloc(tape->arena, (size_t)n_sequences * sizeof *keys);
    bool *waits = tp_arena_zalloc(tape->arena, (size_t)n_sequences * sizeof *waits);
    for (int64_t s = 0; s < n_sequences; s++) {
        int64_t n = offsets[s + 1] - offsets[s], at = offsets[s] * k->cols;
        keys[s] = (tp_kv_sequence){0};
        if (n > 0) waits[s] = place_rows(tape, cache, layer, slots[s], k->data + at, v->data + at, n, &keys[s]);
    }
    tp_var *out = tp_attention_cached(tape, q, q_offsets, keys, cache->type, n_sequences, spec);
    for (int64_t s = 0; s < n_sequences; s++)
        if (waits[s]) settle_rows(cache, layer, slots[s], &keys[s].spans[count_spans(&keys[s]) - 1]);
    return out;
}
