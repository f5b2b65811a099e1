/* A sender's hidden states: how a text becomes them, and the cache that keeps them.
 *
 * The sender is frozen, so the states of a text never change: they are computed when first needed and kept, within a
 * bound, in memory or on disk; what does not fit is computed again each time. Each text is run by itself on one thread
 * (texts go in parallel), so its states do not depend on what else is in the batch: a resumed run sees the same bits.
 *
 * On disk each text's states stand beside their hash. What a crash left half-written, or what was damaged since, is
 * found when the file is opened again, and computed anew. */
#ifndef TP_TRAIN_STATES_H
#define TP_TRAIN_STATES_H

#include "bridge/tap.h"
#include "data/task.h"

typedef struct tp_state_cache tp_state_cache;

/* The states of a list of texts. Nothing is computed yet, but all texts are tokenised. With kind "disk" the states live
 * in the file `path`, which is used again if it is of the same sender, layer, prompt and texts, and made anew if not
 * (always, if the sender has no fingerprint to tell it by). Memory keeps as many texts as fit into max_bytes; a file
 * that would be larger is an error. NULL on error. The tap (but not what it points to) and the texts are copied as far
 * as needed. */
tp_state_cache *tp_state_cache_new(const tp_tap *tap, const tp_example *examples, size_t n, tp_cache_kind kind,
                                   int64_t max_bytes, const char *path);
void tp_state_cache_free(tp_state_cache *cache); /* takes NULL */

/* The states of the texts indices[0 .. n - 1], end to end, as a var of the tape; *offsets ([n + 1], in the tape's
 * arena) says where each begins. */
tp_var *tp_state_cache_fetch(tp_state_cache *cache, tp_tape *tape, const int64_t *indices, int64_t n,
                             const int64_t **offsets);

/* The tokens of text `index`, as the sender reads them, one for each of its states; they live as long as the cache. */
const int32_t *tp_state_cache_ids(const tp_state_cache *cache, int64_t index);

typedef struct tp_state_cache_info {
    int64_t n_texts, n_tokens, n_truncated;
    int64_t n_kept;     /* texts whose states are held now */
    int64_t n_computed; /* times a sender was run on a text */
    int64_t bytes;      /* of the states held now */
    int64_t most_bytes; /* that will ever be held: in memory, or the size of the file */
} tp_state_cache_info;

tp_state_cache_info tp_state_cache_describe(const tp_state_cache *cache);

#endif
