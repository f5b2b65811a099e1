/* What the parts of the reader of tokenizer.json share; private to this folder. tokenizer_json.c reads the file,
 * json_model.c its model, json_steps.c its normalisers and pre-tokenizers. */
#ifndef TP_TEXT_TOKENIZER_JSON_H
#define TP_TEXT_TOKENIZER_JSON_H

#include "base/json.h"
#include "text/json_lists.h"
#include "text/tokenizer_parts.h"

typedef struct tp_json_loading {
    tp_tokenizer *t;
    const char *path;
    json_t *vocab;              /* an object of tokens and ids, or an array of tokens and scores (Unigram) */
    const tp_json_lists *lists; /* a BPE's vocabulary and merges, where they were read in the quick way; else NULL */
    tp_vocab odd;               /* byte-level: tokens not written in GPT-2's alphabet, as written */
    const json_t *added;        /* `added_tokens`, NULL if there is none */
    const json_t *decoder;
    int64_t
        largest_id; /* that the file may use: ids may have gaps, but a file does not choose how much memory we take */
} tp_json_loading;

tp_status tp_json_read_model(tp_json_loading *l, json_t *model);
/* The id of a token by what it is written as; -1 if the model does not have it. */
int32_t tp_json_token_id(const tp_json_loading *l, const char *text);

tp_status tp_json_read_normalizer(tp_json_loading *l, json_t *value);
tp_status tp_json_read_pre_tokenizer(tp_json_loading *l, json_t *value);
/* Whether a ByteLevel is among the pre-tokenizers: it decides what the vocabulary's strings mean. */
bool tp_json_has_byte_level(const json_t *pre_tokenizer);

/* The sentence about a part that is not supported, unless an earlier error stands. */
tp_status tp_json_unsupported(const tp_json_reader *r, const char *what, const char *type);

#endif
