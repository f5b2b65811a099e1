/* WordPiece: a word becomes the longest piece that it starts with, then the longest that the rest starts with, and so
 * on; if that comes to an end before the word does, all of it is one unknown token. Pieces that start a word and those
 * that continue one are told apart by a prefix of theirs ("##" in BERT, U+2581 the other way round in GGUF files). */
#ifndef TP_TEXT_WORDPIECE_H
#define TP_TEXT_WORDPIECE_H

#include "text/tokenizer.h"
#include "text/trie.h"

typedef struct tp_wordpiece {
    tp_trie *trie;
    char *starting, *continuing; /* prefixes, zero-terminated */
    size_t most_characters;      /* a longer word is unknown; 0: no bound */
    int32_t unknown;
} tp_wordpiece;

void tp_wordpiece_free(tp_wordpiece *w); /* the content, not w itself */
void tp_wordpiece_encode(const tp_wordpiece *w, const char *word, size_t n, tp_ids *out);

#endif
