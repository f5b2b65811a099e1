/* Finding added tokens in a text. See added.h.
 *
 * The tokens are sorted, so those that start with the bytes read so far are neighbours: from each position a range of
 * candidates is narrowed byte by byte. Positions whose byte starts no token, nearly all of them, cost one look-up. */
#include "text/added.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

void tp_added_put(tp_added *a, const char *text, size_t n, tp_added_token properties) {
    if (n == 0) return;
    tp_grow(&a->token, &a->capacity, a->n, sizeof *a->token);
    properties.text = tp_strndup(text, n);
    properties.length = n;
    a->token[a->n++] = properties;
}

static int by_text(const void *a, const void *b) {
    const tp_added_token *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    if (order != 0) return order;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void tp_added_finish(tp_added *a) {
    if (a->n > 0) qsort(a->token, a->n, sizeof *a->token, by_text);
    uint32_t i = 0;
    for (int byte = 0; byte < 256; byte++) {
        a->start[byte] = i;
        while (i < a->n && (unsigned char)a->token[i].text[0] == byte) i++;
    }
    a->start[256] = i;
}

void tp_added_free(tp_added *a) {
    for (size_t i = 0; i < a->n; i++) tp_free(a->token[i].text);
    tp_free(a->token);
    *a = (tp_added){0};
}

static bool stands_alone(const char *text, size_t begin, size_t end, size_t n) {
    uint32_t code;
    if (tp_utf8_decode_before(text, begin, &code) > 0 && tp_is_word(code)) return false;
    return tp_utf8_decode(text + end, n - end, &code) == 0 || !tp_is_word(code);
}

/* The byte of token i at `depth`, -1 behind its end (which sorts first, as in by_text). */
static int byte_at(const tp_added *a, size_t i, size_t depth) {
    return depth < a->token[i].length ? (unsigned char)a->token[i].text[depth] : -1;
}

/* First token in lo..hi whose byte at `depth` is at least `byte`. */
static size_t lower_bound(const tp_added *a, size_t lo, size_t hi, size_t depth, int byte) {
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (byte_at(a, middle, depth) < byte) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo;
}

/* The longest token that starts exactly at text[at]; NULL if none does. */
static const tp_added_token *longest_at(const tp_added *a, const char *text, size_t at, size_t n, bool specials) {
    unsigned char byte = (unsigned char)text[at];
    size_t lo = a->start[byte], hi = a->start[byte + 1];
    const tp_added_token *best = NULL;
    for (size_t depth = 1; lo < hi; depth++) {
        for (; lo < hi && a->token[lo].length == depth; lo++) { /* complete: texts that end here come first */
            const tp_added_token *t = &a->token[lo];
            if ((specials || !t->special) && (!t->single_word || stands_alone(text, at, at + depth, n))) best = t;
        }
        if (at + depth >= n) break;
        int next = (unsigned char)text[at + depth];
        lo = lower_bound(a, lo, hi, depth, next);
        hi = lower_bound(a, lo, hi, depth, next + 1);
    }
    return best;
}

size_t tp_added_at(const tp_added *a, const char *text, size_t at, size_t n) {
    const tp_added_token *t = a->n > 0 ? longest_at(a, text, at, n, true) : NULL;
    return t ? t->length : 0;
}

bool tp_added_find(const tp_added *a, const char *text, size_t from, size_t n, bool specials, tp_added_match *match) {
    if (a->n == 0) return false;
    for (size_t at = from; at < n; at++) {
        unsigned char byte = (unsigned char)text[at];
        if (a->start[byte] == a->start[byte + 1]) continue;
        const tp_added_token *t = longest_at(a, text, at, n, specials);
        if (t == NULL) continue;
        *match = (tp_added_match){at, at + t->length, t->id};
        uint32_t code;
        size_t length;
        while (t->strip_left && match->begin > from &&
               (length = tp_utf8_decode_before(text, match->begin, &code)) > 0 && length <= match->begin - from &&
               tp_is_white(code))
            match->begin -= length;
        while (t->strip_right && (length = tp_utf8_decode(text + match->end, n - match->end, &code)) > 0 &&
               tp_is_white(code))
            match->end += length;
        return true;
    }
    return false;
}
