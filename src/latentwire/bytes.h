/* A text as the byte encoder's ids: its bytes, between a begin and an end. */
#ifndef TP_LATENTWIRE_BYTES_H
#define TP_LATENTWIRE_BYTES_H

#include <stddef.h>
#include <stdint.h>

enum { TP_LATENTWIRE_BYTE_BEGIN = 256, TP_LATENTWIRE_BYTE_END, TP_LATENTWIRE_BYTE_IDS };

/* The ids of the first max_bytes bytes, and the two around them: into ids, which has room for max_bytes + 2. */
void tp_latentwire_byte_ids(const char *text, size_t n, int max_bytes, int32_t *ids, int64_t *n_ids);

#endif
