/* The cache of keys and values: what a decoder remembers of the sequences it has read.
 *
 * Each slot holds one sequence. Numbers are stored as f32, f16, bf16 or int8 (a scale per row and head), and attention
 * reads them as they are. A layer with a sliding window keeps the last `window` positions only, in a ring; all others
 * keep every position. Room for the whole capacity is reserved as address space, and memory is touched row by row as
 * the sequence grows. What each type costs in accuracy stands in docs/kv-cache.md.
 *
 * A cache may stand behind another one: its slots then go on from slots of that one, without copies. So a question that
 * is asked with many answers is kept once, and what stands before all questions is kept once for all of them. */
#ifndef TP_LM_KV_CACHE_H
#define TP_LM_KV_CACHE_H

#include "autograd/ops.h"
#include "lm/model.h"

/* Where a layer's rows are, in bytes from the slot's beginning: of k and v [n_kv_heads, rows, head_dim], and of the
 * scales [n_kv_heads, rows] of each (int8 only). Position p stands in row p % rows. */
typedef struct tp_kv_layer {
    int64_t window; /* 0: it sees all positions */
    int64_t rows;   /* the cache's capacity, or the window if that is smaller: then it is a ring */
    size_t k, v, k_scales, v_scales;
} tp_kv_layer;

typedef struct tp_kv_cache {
    tp_dtype type;
    int n_layers, n_kv_heads, head_dim;
    int64_t n_slots, capacity; /* capacity: positions per slot, without those it goes on from */
    int64_t positions; /* that sequences may reach, here or in caches behind this one: decides LongRoPE's factors */
    int64_t *lengths;  /* [n_slots]: positions held, begins included; shortened by tp_kv_cache_rewind only */
    int64_t *reached;  /* [n_slots]: the most positions since the slot was empty, which rings have dropped by */
    const struct tp_kv_cache *base; /* NULL: all slots begin at position 0; borrowed */
    int64_t *base_slots;            /* [n_slots]: the slot of the base that this one goes on from */
    int64_t *begins;     /* [n_slots]: the first position that is held here: 0, or what the base's slot held */
    tp_kv_layer *layers; /* [n_layers] */
    size_t slot_bytes;
    unsigned char *bytes; /* [n_slots, slot_bytes] */
} tp_kv_cache;

/* An empty cache, f32 or of the type. NULL (with an error) if the type is none of the four, if the address space cannot
 * be had, or if positions are learned and there are fewer than `capacity`. */
tp_kv_cache *tp_kv_cache_new(const tp_lm *lm, int64_t n_slots, int64_t capacity);
tp_kv_cache *tp_kv_cache_new_typed(const tp_lm *lm, tp_dtype type, int64_t n_slots, int64_t capacity);
void tp_kv_cache_free(tp_kv_cache *cache); /* takes NULL */

/* An error if positions are learned and there are fewer than n. */
tp_status tp_kv_cache_reaches(const tp_lm *lm, int64_t n);

/* A cache of the base's type, whose slots go on from those of the base (borrowed). NULL as above; how far sequences may
 * go in all is for the caller to check (tp_kv_cache_reaches). */
tp_kv_cache *tp_kv_cache_new_behind(const tp_lm *lm, const tp_kv_cache *base, int64_t n_slots, int64_t capacity);

/* The slot forgets what it holds and goes on from that slot of the base, which must keep its positions meanwhile: it
 * may grow, unless a layer is a ring. */
void tp_kv_cache_go_on(tp_kv_cache *cache, int64_t slot, int64_t base_slot);

/* Bytes of one slot when it is full, at most INT64_MAX. */
int64_t tp_kv_cache_slot_bytes(const tp_lm *lm, tp_dtype type, int64_t capacity);

void tp_kv_cache_copy(tp_kv_cache *cache, int64_t from, int64_t to); /* slot `to` becomes what `from` is */

/* The slot forgets all positions from `length` (at most its length, and no fewer than its base's, or 0: it goes on from
 * nothing) on. False, and nothing happens, if a ring has
 * dropped positions that the next token would have to see; emptying it (length 0) always works. */
bool tp_kv_cache_rewind(tp_kv_cache *cache, int64_t slot, int64_t length);

/* One layer's attention: the new rows' keys and values k, v [n, n_kv_heads * head_dim] are put into the cache behind
 * what is there, and queries q [n_q, n_heads * head_dim] read both. Sequence s owns rows offsets[s] .. offsets[s + 1] -
 * 1 of k and v, rows q_offsets[s] .. of q (its last positions), and slot slots[s], which must have room. The tape is
 * frozen. Lengths stay: they grow when all layers are done, by tp_kv_cache_advance. */
tp_var *tp_kv_cache_attend(tp_tape *tape, tp_kv_cache *cache, int layer, tp_var *q, const tp_var *k, const tp_var *v,
                           const int64_t *q_offsets, const int64_t *offsets, const int64_t *slots, int64_t n_sequences,
                           const tp_attention_spec *spec);
void tp_kv_cache_advance(tp_kv_cache *cache, const int64_t *offsets, const int64_t *slots, int64_t n_sequences);

/* The rows of a slot's layer, of a cache without a base, that the next token would see: all positions, or the last
 * window - 1; in the order of positions, in 1 or 2 stretches. For saving and restoring. */
tp_kv_sequence tp_kv_cache_held(const tp_kv_cache *cache, int layer, int64_t slot, int64_t length);

/* The slot now holds `length` positions, whose rows were written to where tp_kv_cache_held says. */
void tp_kv_cache_restored(tp_kv_cache *cache, int64_t slot, int64_t length);

#endif
