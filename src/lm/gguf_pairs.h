/* Metadata of a GGUF file in the making: a growing list whose keys and values live in one arena. */
#ifndef TP_LM_GGUF_PAIRS_H
#define TP_LM_GGUF_PAIRS_H

#include "base/mem.h"
#include "lm/config.h"
#include "lm/gguf.h"

#include <jansson.h>

typedef struct tp_gguf_pairs { /* zero-initialise; free with tp_gguf_pairs_free */
    tp_gguf_pair *items;
    size_t n, capacity;
    tp_arena *arena;
} tp_gguf_pairs;

/* Everything is copied. Texts in arrays may hold any bytes. */
void tp_gguf_put_text(tp_gguf_pairs *p, const char *key, const char *text);
void tp_gguf_put_u32(tp_gguf_pairs *p, const char *key, uint32_t value);
void tp_gguf_put_f32(tp_gguf_pairs *p, const char *key, double value);
void tp_gguf_put_bool(tp_gguf_pairs *p, const char *key, bool value);
void tp_gguf_put_numbers(tp_gguf_pairs *p, const char *key, tp_gguf_type type, const void *numbers, uint64_t n);
void tp_gguf_put_texts(tp_gguf_pairs *p, const char *key, const char *const *texts, const size_t *bytes, uint64_t n);
/* A pair of another file as it is; it replaces nothing. */
void tp_gguf_put_value(tp_gguf_pairs *p, const tp_gguf_value *value);
void tp_gguf_pairs_free(tp_gguf_pairs *p);

/* The configuration as llama.cpp's converter writes it (gguf_config_write.c). `name` is `general.name`. */
tp_status tp_gguf_put_config(tp_gguf_pairs *p, const tp_lm_config *config, const char *name);

/* The tokenizer of a Hugging Face folder, from its tokenizer.json and tokenizer_config.json (gguf_vocab_write.c): BPE,
 * byte-level ("gpt2") or with U+2581 for blanks ("llama"), Unigram ("t5"), WordPiece ("bert"). */
struct tp_tokenizer;
tp_status tp_gguf_put_tokenizer(tp_gguf_pairs *p, const char *folder, const struct tp_tokenizer *tokenizer,
                                int vocab_size);

#endif
