/* A set of byte strings that can be walked. See trie.h. The texts are sorted, so those below one node are a range of
 * them; nodes are made level by level, and each range is cut by its next byte. */
#include "text/trie.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct node {
    int32_t id;
    uint32_t children; /* index of the first */
    uint16_t n_children;
    unsigned char byte;
} node;

struct tp_trie {
    node *nodes;
    size_t n, capacity;
};

static int by_text(const void *a, const void *b) {
    const tp_trie_entry *x = a, *y = b;
    size_t shorter = x->n < y->n ? x->n : y->n;
    int order = shorter > 0 ? memcmp(x->text, y->text, shorter) : 0;
    if (order != 0) return order;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return (x->id < y->id) - (x->id > y->id);
}

typedef struct range { /* the entries below a node, whose texts agree in the first `depth` bytes */
    size_t begin, end, depth;
} range;

tp_trie *tp_trie_new(tp_trie_entry *entries, size_t n) {
    tp_trie *trie = tp_alloc(sizeof *trie);
    range *ranges = NULL;
    size_t n_ranges = 0, ranges_capacity = 0;
    if (n > 0) qsort(entries, n, sizeof *entries, by_text);
    tp_grow(&trie->nodes, &trie->capacity, 0, sizeof *trie->nodes);
    tp_grow(&ranges, &ranges_capacity, 0, sizeof *ranges);
    trie->nodes[trie->n++] = (node){.id = -1};
    ranges[n_ranges++] = (range){0, n, 0};
    for (size_t at = 0; at < trie->n; at++) { /* one range for each node, in the same order */
        range r = ranges[at];
        size_t i = r.begin;
        if (i < r.end && entries[i].n == r.depth) trie->nodes[at].id = entries[i].id;
        while (i < r.end && entries[i].n == r.depth) i++;
        trie->nodes[at].children = (uint32_t)trie->n;
        while (i < r.end) {
            unsigned char byte = (unsigned char)entries[i].text[r.depth];
            size_t end = i;
            while (end < r.end && (unsigned char)entries[end].text[r.depth] == byte) end++;
            tp_grow(&trie->nodes, &trie->capacity, trie->n, sizeof *trie->nodes);
            tp_grow(&ranges, &ranges_capacity, n_ranges, sizeof *ranges);
            trie->nodes[trie->n++] = (node){.id = -1, .byte = byte};
            ranges[n_ranges++] = (range){i, end, r.depth + 1};
            trie->nodes[at].n_children++;
            i = end;
        }
    }
    tp_free(ranges);
    return trie;
}

void tp_trie_free(tp_trie *trie) {
    if (trie == NULL) return;
    tp_free(trie->nodes);
    tp_free(trie);
}

int32_t tp_trie_step(const tp_trie *trie, int32_t at, unsigned char byte) {
    const node *parent = &trie->nodes[at];
    uint32_t lo = parent->children, hi = lo + parent->n_children;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (trie->nodes[middle].byte < byte) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo < parent->children + parent->n_children && trie->nodes[lo].byte == byte ? (int32_t)lo : TP_TRIE_NOWHERE;
}

int32_t tp_trie_id(const tp_trie *trie, int32_t at) {
    return trie->nodes[at].id;
}

int32_t tp_trie_walk(const tp_trie *trie, int32_t at, const char *text, size_t n) {
    for (size_t i = 0; i < n && at != TP_TRIE_NOWHERE; i++) at = tp_trie_step(trie, at, (unsigned char)text[i]);
    return at;
}
