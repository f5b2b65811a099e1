/* A set of byte strings that can be walked byte by byte: which pieces start here, and how long are they? Immutable once
 * built; the children of a node lie side by side, so a node takes twelve bytes. */
#ifndef TP_TEXT_TRIE_H
#define TP_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

typedef struct tp_trie_entry {
    const char *text; /* borrowed while building */
    size_t n;
    int32_t id;
} tp_trie_entry;

typedef struct tp_trie tp_trie;

/* Changes the order of the entries. Of entries with the same text the largest id stays. */
tp_trie *tp_trie_new(tp_trie_entry *entries, size_t n);
void tp_trie_free(tp_trie *trie); /* takes NULL */

enum { TP_TRIE_ROOT = 0, TP_TRIE_NOWHERE = -1 };

int32_t tp_trie_step(const tp_trie *trie, int32_t node, unsigned char byte); /* TP_TRIE_NOWHERE if there is none */
int32_t tp_trie_id(const tp_trie *trie, int32_t node);                       /* -1 if no text ends at this node */
int32_t tp_trie_walk(const tp_trie *trie, int32_t node, const char *text, size_t n);

#endif
