/* BPE without a list of merges: two neighbours may be joined when their text together is a piece, the piece with the
 * highest score first. Every way to cut each piece into two others gives the same as pairs with ranks, and pieces of
 * equal score have equal ranks. */
#include "base/mem.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <stdlib.h>

static int by_score(const void *a, const void *b) {
    const tp_scored_piece *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

/* Characters that stand in longer pieces only get ids behind the vocabulary, so that pairs can name them. */
static void add_private_ids(tp_tokenizer *t, int32_t id) {
    size_t n;
    const char *borrowed = tp_vocab_text(&t->vocab, id, &n);
    char *text = tp_strndup(borrowed, n); /* adding to the vocabulary may move its texts */
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t code;
        length = tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) {
            length = 1; /* a stray byte never is a symbol */
        } else if (tp_vocab_find(&t->vocab, text + at, length) < 0) {
            int32_t private = (int32_t)t->vocab.size;
            tp_vocab_set(&t->vocab, private, text + at, length);
            tp_vocab_index(&t->vocab, private);
        }
    }
    tp_free(text);
}

void tp_tokenizer_merge_by_score(tp_tokenizer *t, tp_scored_piece *pieces, size_t n) {
    for (size_t i = 0; i < n; i++) add_private_ids(t, pieces[i].id);
    if (n > 0) qsort(pieces, n, sizeof *pieces, by_score);
    int32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && pieces[i].score < pieces[i - 1].score) rank++;
        tp_tokenizer_add_splits(t, pieces[i].id, rank);
    }
}
