/* The vocabulary inside a GGUF file, as a plain struct: whoever reads the file (lm/) fills it in, and a tokenizer is
 * made from it here, with llama.cpp's meaning of every field (keys "tokenizer.ggml.*"; the kinds are those of
 * llama-vocab.cpp: SPM, BPE, WPM, UGM). */
#ifndef TP_TEXT_GGUF_VOCAB_H
#define TP_TEXT_GGUF_VOCAB_H

#include "text/tokenizer.h"

typedef struct tp_gguf_text { /* a GGUF string: any bytes, no zero behind them */
    const char *bytes;
    size_t n;
} tp_gguf_text;

typedef enum tp_gguf_token_type { /* the numbers of tokenizer.ggml.token_type */
                                  TP_GGUF_UNDEFINED = 0,
                                  TP_GGUF_NORMAL = 1,
                                  TP_GGUF_UNKNOWN = 2,
                                  TP_GGUF_CONTROL = 3,
                                  TP_GGUF_USER_DEFINED = 4,
                                  TP_GGUF_UNUSED = 5,
                                  TP_GGUF_BYTE = 6,
} tp_gguf_token_type;

/* Start with tp_gguf_vocab_init, which sets every field to "the file does not say". All pointers are borrowed and need
 * to live during tp_tokenizer_from_gguf_vocab only. */
typedef struct tp_gguf_vocab {
    const char *model;          /* .model: "llama" (SPM), "gpt2" (BPE), "bert" (WPM) or "t5" (UGM) */
    const char *pre;            /* .pre: which pattern cuts words, "gpt2" only; NULL is "default" */
    const tp_gguf_text *tokens; /* .tokens [n_tokens] */
    size_t n_tokens;
    const int32_t *types; /* .token_type [n_tokens]; NULL: all are normal */
    const float *scores;  /* .scores [n_tokens]; NULL: all are 0 ("llama" and "t5" need them) */
    const tp_gguf_text *merges;
    size_t n_merges; /* .merges, "left right": "gpt2" needs them */
    /* .bos_token_id, .eos_token_id, .unknown_token_id, .seperator_token_id, .padding_token_id, .cls_token_id: -1 where
     * the file does not say; each model then has its own default. */
    int64_t bos, eos, unknown, separator, padding, cls;
    /* .add_bos_token, .add_eos_token, .add_space_prefix, .remove_extra_whitespaces, and .normalizer.lowercase and
     * .normalizer.strip_accents of "bert": 0 or 1, -1 where the file does not say. */
    int add_bos, add_eos, add_space_prefix, remove_extra_whitespaces, lowercase, strip_accents;
    const void *charsmap; /* .precompiled_charsmap, "t5"; NULL if there is none */
    size_t n_charsmap;
} tp_gguf_vocab;

void tp_gguf_vocab_init(tp_gguf_vocab *vocab);

/* A tokenizer of its own, free with tp_tokenizer_free. NULL on error: the sentence starts with `path`, and for an
 * unknown pre-tokenizer it lists the known ones. */
tp_tokenizer *tp_tokenizer_from_gguf_vocab(const tp_gguf_vocab *vocab, const char *path);

#endif
