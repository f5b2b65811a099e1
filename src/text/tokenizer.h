/* Tokenizers: bytes to token ids and back.
 *
 * One opaque type for every kind: byte-level BPE (Llama 3, Qwen2, GPT-2), SentencePiece-style BPE with byte fallback
 * (Llama 2, Mistral, Gemma), Unigram (T5) and WordPiece (BERT). Loaded from a Hugging Face directory, a tokenizer.json,
 * a SentencePiece tokenizer.model, or a tiktoken rank file; gguf_vocab.h makes one from what a GGUF file holds, and
 * docs/tokenizers.md tells what is supported. Text is bytes: it need not be valid UTF-8, and decoding what
 * was encoded gives the same bytes back (SentencePiece kinds add one leading blank and drop it again). Exceptions are
 * the formats' own: a normaliser that composes characters or squeezes blanks, U+2581 in SentencePiece kinds (it is
 * their blank), and vocabularies that lack bytes, where an unknown character becomes the unknown token or, without one,
 * nothing.
 *
 * A tokenizer is immutable after loading and may be used by many threads at once. */
#ifndef TP_TEXT_TOKENIZER_H
#define TP_TEXT_TOKENIZER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_tokenizer tp_tokenizer;

/* A growing list of token ids. Zero-initialise; free with tp_ids_free. */
typedef struct tp_ids {
    int32_t *data;
    size_t len;
    size_t capacity;
} tp_ids;

void tp_ids_append(tp_ids *ids, int32_t id);
void tp_ids_free(tp_ids *ids);

/* The flags of tp_tokenizer_encode and _decode, TP_TOKENS_..., are those of the public interface (telepathy.h). */

/* `model` is what tp_model_path understands: a folder (tokenizer.json, else tokenizer.model, in it) or one such file,
 * or a tiktoken rank file (which needs its pre-tokenizer named by `pattern`: "llama3", "qwen2", "gpt2", "cl100k_base",
 * "o200k_base"; NULL otherwise). NULL on error. */
tp_tokenizer *tp_tokenizer_load(const char *model, const char *pattern);
void tp_tokenizer_free(tp_tokenizer *tokenizer); /* takes NULL */

/* Appends the ids of n bytes of text to *out. */
tp_status tp_tokenizer_encode(const tp_tokenizer *tokenizer, const char *text, size_t n, unsigned flags, tp_ids *out);

/* The bytes of the ids, zero-terminated, owned by the caller; *len (if not NULL) gets their number. Never NULL: an id
 * out of range stands for nothing. */
char *tp_tokenizer_decode(const tp_tokenizer *tokenizer, const int32_t *ids, size_t n, unsigned flags, size_t *len);

/* The bytes one token stands for (special tokens: their written form), borrowed; NULL for an unknown id. */
const char *tp_tokenizer_piece(const tp_tokenizer *tokenizer, int32_t id, size_t *len);

int32_t tp_tokenizer_size(const tp_tokenizer *tokenizer); /* ids run from 0 to size - 1 */
int32_t tp_tokenizer_bos(const tp_tokenizer *tokenizer);  /* -1 if there is none */
int32_t tp_tokenizer_eos(const tp_tokenizer *tokenizer);  /* -1 if there is none */
bool tp_tokenizer_is_special(const tp_tokenizer *tokenizer, int32_t id);
bool tp_tokenizer_adds_bos(const tp_tokenizer *tokenizer);
const char *tp_tokenizer_kind(const tp_tokenizer *tokenizer);        /* "byte-level BPE", "SentencePiece BPE" */
const char *tp_tokenizer_fingerprint(const tp_tokenizer *tokenizer); /* 32 hexadecimal digits */

#endif
