/* What an encoder reads of a list of texts: hidden states of the sender (kept, as for any bridge), an embedding of each
 * (made once, at the beginning), or bytes. */
#ifndef TP_LATENTWIRE_SOURCE_H
#define TP_LATENTWIRE_SOURCE_H

#include "latentwire/group.h"
#include "train/states.h"

typedef struct tp_latentwire_source tp_latentwire_source;

/* The texts are borrowed. `kind`, `max_bytes` and `path` are for hidden states, as for tp_state_cache_new. NULL on
 * error. `progress` may be NULL. */
tp_latentwire_source *tp_latentwire_source_new(const tp_latentwire_group *group, const tp_example *examples, size_t n,
                                               tp_cache_kind kind, int64_t max_bytes, const char *path,
                                               tp_progress *progress);
void tp_latentwire_source_free(tp_latentwire_source *source); /* takes NULL */

/* Of the texts indices[0 .. n - 1]; all of it lies in the tape's arena. */
tp_latentwire_input tp_latentwire_source_fetch(tp_latentwire_source *source, tp_tape *tape, const int64_t *indices,
                                               int64_t n);

int64_t tp_latentwire_source_truncated(const tp_latentwire_source *source); /* texts that were cut, as far as known */
int64_t tp_latentwire_source_bytes(const tp_latentwire_source *source);     /* that will be held at most */

#endif
