/* Unigram: of all ways to cut a text into pieces, the one whose scores (log probabilities) have the largest sum; found
 * by dynamic programming, one character after the other (the Viterbi algorithm; T. Kudo, "Subword Regularization",
 * 2018). A character that is no piece may stand for itself as unknown, at a price below every piece. */
#ifndef TP_TEXT_UNIGRAM_H
#define TP_TEXT_UNIGRAM_H

#include "text/tokenizer.h"
#include "text/trie.h"

enum { TP_UNIGRAM_PENALTY = 10 }; /* how far below the lowest score an unknown character is */

typedef struct tp_unigram {
    tp_trie *trie;
    double *score; /* [largest id + 1] */
    double unknown_score;
    bool single; /* sums are rounded to single precision, as SentencePiece's are; which of two close ones wins can
                    depend on it */
} tp_unigram;

void tp_unigram_free(tp_unigram *u); /* the content, not u itself */

/* What the best way consists of: pieces (id >= 0), and single characters without one (id -1). */
typedef struct tp_unigram_piece {
    int32_t id;
    uint32_t begin, end; /* bytes of the text */
} tp_unigram_piece;

/* The pieces in order, *n_pieces of them; free with tp_free. n is below 2^32. */
tp_unigram_piece *tp_unigram_cut(const tp_unigram *u, const char *text, size_t n, size_t *n_pieces);

#endif
