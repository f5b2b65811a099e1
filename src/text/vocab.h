/* A numbered list of byte strings with a way back from string to number: the tokens of a vocabulary. */
#ifndef TP_TEXT_VOCAB_H
#define TP_TEXT_VOCAB_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_vocab_entry {
    size_t begin; /* into bytes */
    uint32_t length;
    uint32_t hash;
    bool used;
} tp_vocab_entry;

typedef struct tp_vocab { /* zero-initialise; free with tp_vocab_free */
    tp_str bytes;
    tp_vocab_entry *entry; /* [size], by id */
    size_t size, capacity; /* one more than the largest id in use */
    uint32_t *slots;       /* open addressing: id + 1, 0 is empty */
    size_t n_slots, n_found;
} tp_vocab;

/* Makes room for n texts to be found, which saves making it again and again. */
void tp_vocab_reserve(tp_vocab *v, size_t n);
/* Gives `id` its text, replacing an earlier one. */
void tp_vocab_set(tp_vocab *v, int32_t id, const char *bytes, size_t n);
/* Lets tp_vocab_find see `id`, unless its text is already found as another id: then false. */
bool tp_vocab_index(tp_vocab *v, int32_t id);
int32_t tp_vocab_find(const tp_vocab *v, const char *bytes, size_t n); /* -1 if there is none */
bool tp_vocab_has(const tp_vocab *v, int32_t id);
const char *tp_vocab_text(const tp_vocab *v, int32_t id, size_t *n); /* NULL for an id without a text */
void tp_vocab_free(tp_vocab *v);

#endif
