/* The merge engine. See bpe.h.
 *
 * Whole documents come in as one word where a tokenizer has no pre-tokenizer, so three things keep this fast. A bitmap
 * of symbol pairs that some merge joins at: where two neighbours are not in it, no merge will ever cross, and the text
 * is cut there (exactly, since merges on both sides do not touch each other). Short stretches are merged by
 * looking for the least rank again and again, which beats any clever structure at that size. Long ones use a heap of
 * (rank, position) whose stale entries are known by a rank that is no longer the position's. */
#include "text/bpe.h"

#include "base/mem.h"

#include <string.h>

enum {
    NO_RANK = INT32_MAX,
    SHORT = 40, /* symbols */
    JUNCTION_BITS = 19,
};

typedef struct entry {
    uint64_t key; /* left << 32 | right; NO_KEY is an empty slot */
    int32_t rank, joined;
} entry;

static const uint64_t NO_KEY = UINT64_MAX;

struct tp_bpe {
    entry *slots;
    size_t n_slots, n; /* slots: a power of two */
    int shift;
    uint64_t junctions[(1 << JUNCTION_BITS) / 64];
};

/* Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of a product are well mixed. */
static uint64_t mix(uint64_t key) {
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
}

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static const entry *find(const tp_bpe *bpe, int32_t left, int32_t right) {
    uint64_t key = pair_key(left, right);
    size_t at = mix(key) >> bpe->shift;
    while (bpe->slots[at].key != key && bpe->slots[at].key != NO_KEY) at = (at + 1) & (bpe->n_slots - 1);
    return &bpe->slots[at];
}

static void resize(tp_bpe *bpe, int bits) {
    entry *old = bpe->slots;
    size_t n_old = bpe->n_slots;
    bpe->n_slots = (size_t)1 << bits;
    bpe->shift = 64 - bits;
    bpe->slots = tp_alloc(bpe->n_slots * sizeof *bpe->slots);
    for (size_t i = 0; i < bpe->n_slots; i++) bpe->slots[i].key = NO_KEY;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].key == NO_KEY) continue;
        size_t at = mix(old[i].key) >> bpe->shift;
        while (bpe->slots[at].key != NO_KEY) at = (at + 1) & (bpe->n_slots - 1);
        bpe->slots[at] = old[i];
    }
    tp_free(old);
}

tp_bpe *tp_bpe_new(void) {
    tp_bpe *bpe = tp_alloc(sizeof *bpe);
    resize(bpe, 12);
    return bpe;
}

void tp_bpe_reserve(tp_bpe *bpe, size_t n) {
    int bits = 64 - bpe->shift;
    while (bits < 40 && (size_t)1 << bits < 2 * n) bits++;
    if (bits > 64 - bpe->shift) resize(bpe, bits);
}

void tp_bpe_free(tp_bpe *bpe) {
    if (bpe == NULL) return;
    tp_free(bpe->slots);
    tp_free(bpe);
}

static uint64_t junction_of(int32_t last, int32_t first) {
    return mix(pair_key(last, first)) >> (64 - JUNCTION_BITS);
}

static bool may_join(const tp_bpe *bpe, int32_t last, int32_t first) {
    uint64_t bit = junction_of(last, first);
    return bpe->junctions[bit / 64] >> (bit % 64) & 1;
}

void tp_bpe_add(tp_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t joined, int32_t last, int32_t first) {
    tp_bpe_reserve(bpe, bpe->n + 1);
    entry *e = &bpe->slots[find(bpe, left, right) - bpe->slots];
    if (e->key != NO_KEY && e->rank <= rank) return;
    bpe->n += e->key == NO_KEY;
    *e = (entry){pair_key(left, right), rank, joined};
    uint64_t bit = junction_of(last, first);
    bpe->junctions[bit / 64] |= (uint64_t)1 << (bit % 64);
}

size_t tp_bpe_size(const tp_bpe *bpe) {
    return bpe->n;
}

void tp_bpe_join_anywhere(tp_bpe *bpe) {
    memset(bpe->junctions, 0xFF, sizeof bpe->junctions);
}

/* The pair that starts at a position. */
typedef struct candidate {
    int32_t rank, joined;
} candidate;

static candidate candidate_of(const tp_bpe *bpe, int32_t left, int32_t right) {
    const entry *e = find(bpe, left, right);
    return e->key == NO_KEY ? (candidate){NO_RANK, -1} : (candidate){e->rank, e->joined};
}

static size_t merge_short(const tp_bpe *bpe, int32_t *symbols, size_t n) {
    candidate c[SHORT]; /* c[i] joins symbols i and i + 1 */
    for (size_t i = 0; i + 1 < n; i++) c[i] = candidate_of(bpe, symbols[i], symbols[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (c[i].rank < c[best].rank) best = i;
        if (c[best].rank == NO_RANK) break;
        symbols[best] = c[best].joined;
        n--;
        memmove(symbols + best + 1, symbols + best + 2, (n - best - 1) * sizeof *symbols);
        if (best + 1 < n) memmove(c + best, c + best + 1, (n - 1 - best) * sizeof *c);
        if (best > 0) c[best - 1] = candidate_of(bpe, symbols[best - 1], symbols[best]);
        if (best + 1 < n) c[best] = candidate_of(bpe, symbols[best], symbols[best + 1]);
    }
    return n;
}

/* ---- long stretches: a linked list of symbols, and a binary heap ---- */

typedef struct node {
    candidate next_pair; /* rank NO_RANK if this node and its successor do not merge, or if it is gone */
    uint32_t next, previous;
} node;

typedef struct heap {
    uint64_t *item; /* rank << 32 | position: the least is the best, and the leftmost of its rank */
    size_t n, capacity;
} heap;

static void heap_push(heap *h, int32_t rank, uint32_t position) {
    if (rank == NO_RANK) return;
    tp_grow(&h->item, &h->capacity, h->n, sizeof *h->item);
    uint64_t item = (uint64_t)(uint32_t)rank << 32 | position;
    size_t at = h->n++;
    for (; at > 0 && item < h->item[(at - 1) / 2]; at = (at - 1) / 2) h->item[at] = h->item[(at - 1) / 2];
    h->item[at] = item;
}

static uint64_t heap_pop(heap *h) {
    uint64_t top = h->item[0], last = h->item[--h->n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->item[child + 1] < h->item[child]) child++;
        if (last <= h->item[child]) break;
        h->item[at] = h->item[child];
    }
    h->item[at] = last;
    return top;
}

static size_t merge_long(const tp_bpe *bpe, int32_t *symbols, size_t n) {
    node *nodes = tp_alloc(n * sizeof *nodes);
    heap h = {0};
    const uint32_t none = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        nodes[i].previous = i > 0 ? (uint32_t)i - 1 : none;
        nodes[i].next = i + 1 < n ? (uint32_t)i + 1 : none;
        nodes[i].next_pair = i + 1 < n ? candidate_of(bpe, symbols[i], symbols[i + 1]) : (candidate){NO_RANK, -1};
        heap_push(&h, nodes[i].next_pair.rank, (uint32_t)i);
    }
    while (h.n > 0) {
        uint64_t item = heap_pop(&h);
        uint32_t at = (uint32_t)item;
        node *left = &nodes[at];
        if (left->next_pair.rank != (int32_t)(item >> 32)) continue; /* the pair is no longer what it was */
        symbols[at] = left->next_pair.joined;
        node *right = &nodes[left->next];
        right->next_pair.rank = NO_RANK;
        left->next = right->next;
        if (left->next != none) {
            nodes[left->next].previous = at;
            left->next_pair = candidate_of(bpe, symbols[at], symbols[left->next]);
            heap_push(&h, left->next_pair.rank, at);
        } else {
            left->next_pair.rank = NO_RANK;
        }
        if (left->previous != none) {
            node *before = &nodes[left->previous];
            before->next_pair = candidate_of(bpe, symbols[left->previous], symbols[at]);
            heap_push(&h, before->next_pair.rank, left->previous);
        }
    }
    size_t kept = 0;
    for (uint32_t at = 0; at != none; at = nodes[at].next) symbols[kept++] = symbols[at];
    tp_free(nodes);
    tp_free(h.item);
    return kept;
}

size_t tp_bpe_merge(const tp_bpe *bpe, int32_t *symbols, size_t n) {
    size_t kept = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && may_join(bpe, symbols[end - 1], symbols[end]);) end++;
        size_t length = end - begin;
        if (length > 1)
            length =
                length <= SHORT ? merge_short(bpe, symbols + begin, length) : merge_long(bpe, symbols + begin, length);
        if (kept != begin) memmove(symbols + kept, symbols + begin, length * sizeof *symbols);
        kept += length;
    }
    return kept;
}
