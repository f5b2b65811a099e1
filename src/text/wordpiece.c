/* WordPiece. See wordpiece.h. */
#include "text/wordpiece.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <string.h>

void tp_wordpiece_free(tp_wordpiece *w) {
    tp_trie_free(w->trie);
    tp_free(w->starting);
    tp_free(w->continuing);
    *w = (tp_wordpiece){0};
}

/* The bytes of the longest piece that text starts with and its id, going on from a node; 0 if there is none. */
static size_t longest_piece(const tp_trie *trie, int32_t node, const char *text, size_t n, int32_t *id) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        node = tp_trie_step(trie, node, (unsigned char)text[i]);
        if (node == TP_TRIE_NOWHERE) break;
        if (tp_trie_id(trie, node) < 0) continue;
        found = i + 1;
        *id = tp_trie_id(trie, node);
    }
    return found;
}

static size_t count_characters(const char *text, size_t n) {
    size_t count = 0;
    for (size_t at = 0; at < n; count++) {
        uint32_t code;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        at += length ? length : 1;
    }
    return count;
}

void tp_wordpiece_encode(const tp_wordpiece *w, const char *word, size_t n, tp_ids *out) {
    size_t begin = out->len, at = 0;
    bool fits = w->most_characters == 0 || count_characters(word, n) <= w->most_characters;
    int32_t start = tp_trie_walk(w->trie, TP_TRIE_ROOT, w->starting, strlen(w->starting));
    int32_t inside = tp_trie_walk(w->trie, TP_TRIE_ROOT, w->continuing, strlen(w->continuing));
    while (fits && at < n) {
        int32_t node = at == 0 ? start : inside, id = -1;
        size_t length = node == TP_TRIE_NOWHERE ? 0 : longest_piece(w->trie, node, word + at, n - at, &id);
        fits = length > 0;
        if (fits) tp_ids_append(out, id);
        at += length;
    }
    if (fits) return;
    out->len = begin;
    if (w->unknown >= 0) tp_ids_append(out, w->unknown);
}
