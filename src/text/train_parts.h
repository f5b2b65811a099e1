/* The three parts of BPE training, private to this folder: counting words (train_words.c), choosing merges
 * (train_bpe.c), writing the result (train_write.c). */
#ifndef TP_TEXT_TRAIN_PARTS_H
#define TP_TEXT_TRAIN_PARTS_H

#include "base/str.h"
#include "text/train_bpe.h"

/* Distinct byte strings, numbered in the order they were first seen, with counts. */
typedef struct tp_counter {
    tp_str bytes;  /* all strings behind each other */
    size_t *begin; /* [n], into bytes */
    uint32_t *length;
    uint32_t *hash;
    int64_t *count;
    size_t n, capacity;
    uint32_t *slots; /* open addressing, index + 1, 0 is empty */
    size_t n_slots;
} tp_counter;

size_t tp_counter_add(tp_counter *c, const char *bytes, size_t n, int64_t count); /* returns the string's number */
void tp_counter_free(tp_counter *c);

/* Reads every document and counts the words its tokenizer would see (see train_words.c for where they are cut). */
tp_status tp_count_words(tp_bpe_kind kind, tp_next_document next, void *context, tp_counter *words);

/* A vocabulary in the making. Tokens are written as in tokenizer.json but in plain bytes: byte-level tokens are the
 * bytes themselves, SentencePiece tokens are UTF-8 with U+2581 for a blank. */
typedef struct tp_bpe_result {
    char **token;
    uint32_t *length;
    int32_t n_tokens;
    int32_t (*merge)[2]; /* [n_merges]: two tokens that join to one; the best first */
    int32_t n_merges;    /* now and then two merges give the same token */
} tp_bpe_result;

enum { TP_BYTE_LEVEL_SPECIALS = 2, TP_SENTENCEPIECE_SPECIALS = 3 + 256 }; /* tokens that are not trained */

/* Writes the three files of a Hugging Face tokenizer. */
tp_status tp_bpe_write(tp_bpe_kind kind, const tp_bpe_result *result, const char *folder);

#endif
