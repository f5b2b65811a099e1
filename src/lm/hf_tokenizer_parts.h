/* What the writers of tokenizer.json share; private to them. hf_tokenizer.c reads the vocabulary of a GGUF file and
 * writes BPE, hf_tokenizer_pieces.c writes Unigram and WordPiece. */
#ifndef TP_LM_HF_TOKENIZER_PARTS_H
#define TP_LM_HF_TOKENIZER_PARTS_H

#include "lm/gguf_model.h"
#include "text/vocab.h"

#include <jansson.h>

typedef struct tp_tokenizer_export {
    const tp_gguf *file;
    tp_gguf_vocab v;
    tp_vocab by_text; /* of the tokens that merging may make */
} tp_tokenizer_export;

/* A token's type, "normal" where the file has none. */
int tp_export_type(const tp_tokenizer_export *e, size_t i);

/* The text as JSON; NULL with an error for text that is not UTF-8, which JSON cannot hold. */
json_t *tp_export_text(const tp_tokenizer_export *e, tp_gguf_text t);

/* Each fills what is particular to its kind: the steps into `root`, the vocabulary and all else into `model`. */
tp_status tp_export_unigram(const tp_tokenizer_export *e, const tp_tokenizer *t, json_t *root, json_t *model);
tp_status tp_export_wordpiece(const tp_tokenizer_export *e, json_t *root, json_t *model);

#endif
