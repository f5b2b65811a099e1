/* What the writers of vocabularies into GGUF files share; private to them. gguf_vocab_write.c reads a folder's
 * tokenizer.json and writes BPE, gguf_vocab_pieces.c writes Unigram and WordPiece. */
#ifndef TP_LM_GGUF_VOCAB_PARTS_H
#define TP_LM_GGUF_VOCAB_PARTS_H

#include "lm/gguf_pairs.h"
#include "text/tokenizer.h"

typedef struct tp_vocab_export {
    tp_gguf_pairs *pairs;
    const char *path; /* of tokenizer.json */
    json_t *root, *model;
    const tp_tokenizer *tokenizer; /* as this program reads the same folder */
    size_t n;                      /* tokens, as many as the model has rows */
    const char **texts;            /* [n], and their bytes, types and scores */
    size_t *bytes;
    int32_t *types;
    float *scores;
    tp_arena *arena; /* texts that are not the file's own */
} tp_vocab_export;

/* Each puts what is particular to its kind, and may change texts, types and scores, which are written afterwards. */
tp_status tp_gguf_put_unigram(tp_vocab_export *e);
tp_status tp_gguf_put_wordpiece(tp_vocab_export *e);

#endif
