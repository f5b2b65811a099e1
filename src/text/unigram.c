/* Unigram. See unigram.h. */
#include "text/unigram.h"

#include "base/mem.h"
#include "text/unicode.h"

typedef struct best { /* the best way to cut text[0..this position) */
    double sum;
    int32_t id;     /* of its last piece, -1: an unknown character */
    uint32_t begin; /* where that one starts; UNREACHED if there is no way yet */
} best;

static const uint32_t UNREACHED = UINT32_MAX;

void tp_unigram_free(tp_unigram *u) {
    tp_trie_free(u->trie);
    tp_free(u->score);
    *u = (tp_unigram){0};
}

static void improve(const tp_unigram *u, best *ways, size_t begin, size_t end, int32_t id, double score) {
    double sum = ways[begin].sum + score;
    if (u->single) sum = (double)((float)ways[begin].sum + (float)score);
    if (ways[end].begin == UNREACHED || sum > ways[end].sum) ways[end] = (best){sum, id, (uint32_t)begin};
}

tp_unigram_piece *tp_unigram_cut(const tp_unigram *u, const char *text, size_t n, size_t *n_pieces) {
    best *ways = tp_alloc((n + 1) * sizeof *ways);
    for (size_t i = 1; i <= n; i++) ways[i].begin = UNREACHED;
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t code;
        length = tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) length = 1;
        int32_t node = TP_TRIE_ROOT;
        bool stands_alone = false;
        for (size_t end = at; end < n;) {
            node = tp_trie_step(u->trie, node, (unsigned char)text[end++]);
            if (node == TP_TRIE_NOWHERE) break;
            int32_t id = tp_trie_id(u->trie, node);
            if (id < 0) continue;
            improve(u, ways, at, end, id, u->score[id]);
            stands_alone = stands_alone || end - at == length;
        }
        if (!stands_alone) improve(u, ways, at, at + length, -1, u->unknown_score);
    }
    size_t count = 0;
    for (size_t at = n; at > 0; at = ways[at].begin) count++;
    tp_unigram_piece *pieces = tp_alloc((count + 1) * sizeof *pieces);
    *n_pieces = count;
    for (size_t at = n; at > 0; at = ways[at].begin)
        pieces[--count] = (tp_unigram_piece){ways[at].id, ways[at].begin, (uint32_t)at};
    tp_free(ways);
    return pieces;
}
