/* A slot of a cache as a file: what a model has read, so that another process goes on from there. docs/kv-file.md gives
 * every byte. A file belongs to one model (by its fingerprint) and one type of cache; capacity may differ. */
#ifndef TP_LM_KV_FILE_H
#define TP_LM_KV_FILE_H

#include "lm/kv_cache.h"

/* Writes the slot atomically. ids [length]: the token at each position, -1 where a row of numbers was fed. last
 * [d_model]: hidden state n_layers of the last position, NULL if that is not known. A model without a fingerprint (not
 * loaded from a file) and an empty slot are refused. */
tp_status tp_kv_file_save(const char *path, const tp_lm *lm, const tp_kv_cache *cache, int64_t slot, const int32_t *ids,
                          const float *last);

/* Reads such a file into the slot, in place of what was there; ids [capacity] and last [d_model] get what was saved,
 * *has_last whether `last` did. Everything is checked before anything is changed; nothing is allocated. */
tp_status tp_kv_file_load(const char *path, const tp_lm *lm, tp_kv_cache *cache, int64_t slot, int32_t *ids,
                          float *last, bool *has_last);

#endif
