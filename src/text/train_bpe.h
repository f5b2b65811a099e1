/* Training BPE vocabularies, as `telepathy tokenizer` does. The result is a normal Hugging Face tokenizer.json with its
 * tokenizer_config.json, which the `tokenizers` library reads and encodes the same with. */
#ifndef TP_TEXT_TRAIN_BPE_H
#define TP_TEXT_TRAIN_BPE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tp_bpe_kind {
    TP_BPE_BYTE_LEVEL,    /* 256 byte symbols, Llama-3 pre-tokenizer; BOS <|begin_of_text|>, EOS <|end_of_text|> */
    TP_BPE_SENTENCEPIECE, /* blanks become U+2581, byte fallback; <unk>, <s>, </s> */
} tp_bpe_kind;

/* Gives the next document of the training text; false at the end. The bytes stay valid until the next call. */
typedef bool (*tp_next_document)(void *context, const char **text, size_t *n);

/* Trains `vocab_size` tokens (specials and bytes included) and writes tokenizer.json, tokenizer_config.json and
 * special_tokens_map.json into `folder` (which exists). Deterministic: ties go to the pair seen first in byte order. */
tp_status tp_bpe_train(tp_bpe_kind kind, int32_t vocab_size, tp_next_document next, void *context, const char *folder);

#endif
