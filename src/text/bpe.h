/* The merge engine: joins neighbouring tokens, the best-ranked pair first, until no pair has a rank. */
#ifndef TP_TEXT_BPE_H
#define TP_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_bpe tp_bpe; /* immutable once all merges are in */

tp_bpe *tp_bpe_new(void);
void tp_bpe_free(tp_bpe *bpe); /* takes NULL */

/* Makes room for n pairs, which saves making it again and again. */
void tp_bpe_reserve(tp_bpe *bpe, size_t n);

/* Says that `left` followed by `right` becomes `joined`; lower ranks are merged first. A pair that is there already
 * keeps its lower rank. `last` is the last symbol that `left` was made of and `first` the first one of `right`, where
 * symbols are the tokens a text is cut into before any merging: two symbols that were never named here cannot be merged
 * across, and the engine uses that. */
void tp_bpe_add(tp_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t joined, int32_t last, int32_t first);
size_t tp_bpe_size(const tp_bpe *bpe); /* number of pairs */

/* For merges whose symbols at the junction are not known: any two neighbours may turn out to join. */
void tp_bpe_join_anywhere(tp_bpe *bpe);

/* Merges the n symbols in place and returns how many tokens are left. Of equal ranks the leftmost goes first.
 * O(n log n) for any input. */
size_t tp_bpe_merge(const tp_bpe *bpe, int32_t *symbols, size_t n);

#endif
