/* A text that comes in pieces. See stream.h. */
#include "text/stream.h"

#include "text/unicode.h"

#include <string.h>

/* Bytes at text[0..n) that are the beginning of a character but not all of it; 0 if no more bytes could make them one.
 * At most 3. */
static size_t beginning(const char *text, size_t n) {
    if (n == 0) return 0;
    unsigned char lead = (unsigned char)text[0];
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2, got = 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    if (n > 1) { /* the second byte rules out overlong forms, surrogates and what lies above U+10FFFF */
        unsigned char second = (unsigned char)text[1],
                      low = lead == 0xE0   ? 0xA0
                            : lead == 0xF0 ? 0x90
                                           : 0x80,
                      high = lead == 0xED   ? 0x9F
                             : lead == 0xF4 ? 0x8F
                                            : 0xBF;
        if (second < low || second > high) return 1;
        got = 2;
    }
    while (got < n && got < length && ((unsigned char)text[got] & 0xC0) == 0x80) got++;
    return got;
}

/* Appends text[0..n) to out, repaired; returns the bytes used, which lack only the beginning of a character at the end.
 */
static size_t let_through(const char *text, size_t n, tp_str *out) {
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        if (length > 0) {
            tp_str_append(out, text + at, length);
        } else {
            length = beginning(text + at, n - at);
            if (length > 0 && at + length == n) return at;
            tp_str_append_text(out, "\xEF\xBF\xBD");
            if (length == 0) length = 1;
        }
        at += length;
    }
    return n;
}

/* Where the first stop text begins in the held bytes, their number if there is none. */
static size_t find_stop(const tp_text_stream *s) {
    size_t first = s->held.len;
    for (int64_t i = 0; i < s->n_stops && s->held.len > 0; i++) {
        const char *found = memmem(s->held.data, s->held.len, s->stops[i], strlen(s->stops[i]));
        if (found && (size_t)(found - s->held.data) < first) first = (size_t)(found - s->held.data);
    }
    return first;
}

/* How many of the last held bytes may be the beginning of a stop text. */
static size_t undecided(const tp_text_stream *s) {
    size_t most = 0;
    for (int64_t i = 0; i < s->n_stops; i++) {
        size_t n = strlen(s->stops[i]) - 1;
        if (n > s->held.len) n = s->held.len;
        while (n > most && memcmp(s->held.data + s->held.len - n, s->stops[i], n) != 0) n--;
        if (n > most) most = n;
    }
    return most;
}

void tp_text_stream_add(tp_text_stream *s, const char *bytes, size_t n, tp_str *out) {
    if (s->stopped || n == 0) return;
    tp_str_append(&s->held, bytes, n);
    size_t stop = find_stop(s);
    s->stopped = stop < s->held.len;
    size_t used = let_through(s->held.data, s->stopped ? stop : s->held.len - undecided(s), out);
    size_t rest = s->stopped ? 0 : s->held.len - used;
    memmove(s->held.data, s->held.data + used, rest);
    s->held.len = rest;
}

void tp_text_stream_end(tp_text_stream *s, tp_str *out) {
    if (s->held.len > 0) let_through(s->held.data, s->held.len, out);
    tp_str_free(&s->held);
    s->held = (tp_str){0};
}
