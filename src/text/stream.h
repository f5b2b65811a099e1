/* A text that comes in pieces, let through as soon as it is decided.
 *
 * Tokens are bytes: a character may come in several of them, and so may a text at which generation is to stop. What
 * could yet become either is held back. What comes out is valid UTF-8: bytes that can be part of no character any more
 * become U+FFFD (one for each longest beginning of a character, as Unicode recommends and Python does). */
#ifndef TP_TEXT_STREAM_H
#define TP_TEXT_STREAM_H

#include "base/str.h"

#include <stdint.h>

typedef struct tp_text_stream {
    const char *const *stops; /* [n_stops], none of them empty; borrowed */
    int64_t n_stops;
    bool stopped; /* a stop text came: nothing more comes out */
    tp_str held;  /* undecided bytes */
} tp_text_stream;

/* Takes n bytes more and appends to *out what is decided by them. */
void tp_text_stream_add(tp_text_stream *stream, const char *bytes, size_t n, tp_str *out);

/* Nothing more comes: appends what was held back for a stop text. A character cut off in its middle is left out. Frees
 * what the stream holds. */
void tp_text_stream_end(tp_text_stream *stream, tp_str *out);

#endif
