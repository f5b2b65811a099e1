/* The tokens of a vocabulary. See vocab.h. */
#include "text/vocab.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

void tp_vocab_set(tp_vocab *v, int32_t id, const char *bytes, size_t n) {
    while (v->size <= (size_t)id) {
        tp_grow(&v->entry, &v->capacity, v->size, sizeof *v->entry);
        v->entry[v->size++] = (tp_vocab_entry){0};
    }
    v->entry[id] = (tp_vocab_entry){v->bytes.len, (uint32_t)n, (uint32_t)tp_hash64(bytes, n), true};
    tp_str_append(&v->bytes, bytes, n);
    tp_str_append_char(&v->bytes, '\0');
}

static size_t slot_of(const tp_vocab *v, uint32_t hash, const char *bytes, size_t n) {
    size_t at = hash & (v->n_slots - 1);
    for (; v->slots[at] != 0; at = (at + 1) & (v->n_slots - 1)) {
        const tp_vocab_entry *e = &v->entry[v->slots[at] - 1];
        if (e->hash == hash && e->length == n && memcmp(v->bytes.data + e->begin, bytes, n) == 0) break;
    }
    return at;
}

static void resize_slots(tp_vocab *v, size_t wanted) {
    uint32_t *old = v->slots;
    size_t n_old = v->n_slots;
    v->n_slots = 1024;
    while (v->n_slots < 2 * wanted) v->n_slots *= 2;
    v->slots = tp_alloc(v->n_slots * sizeof *v->slots);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] == 0) continue;
        size_t at = v->entry[old[i] - 1].hash & (v->n_slots - 1);
        while (v->slots[at] != 0) at = (at + 1) & (v->n_slots - 1);
        v->slots[at] = old[i];
    }
    tp_free(old);
}

void tp_vocab_reserve(tp_vocab *v, size_t n) {
    if (2 * n > v->n_slots) resize_slots(v, n);
}

bool tp_vocab_index(tp_vocab *v, int32_t id) {
    tp_vocab_reserve(v, v->n_found + 1);
    const tp_vocab_entry *e = &v->entry[id];
    size_t at = slot_of(v, e->hash, v->bytes.data + e->begin, e->length);
    if (v->slots[at] != 0) return v->slots[at] == (uint32_t)id + 1;
    v->slots[at] = (uint32_t)id + 1;
    v->n_found++;
    return true;
}

int32_t tp_vocab_find(const tp_vocab *v, const char *bytes, size_t n) {
    if (v->n_slots == 0) return -1;
    return (int32_t)v->slots[slot_of(v, (uint32_t)tp_hash64(bytes, n), bytes, n)] - 1;
}

bool tp_vocab_has(const tp_vocab *v, int32_t id) {
    return id >= 0 && (size_t)id < v->size && v->entry[id].used;
}

const char *tp_vocab_text(const tp_vocab *v, int32_t id, size_t *n) {
    if (!tp_vocab_has(v, id)) return NULL;
    *n = v->entry[id].length;
    return v->bytes.data + v->entry[id].begin;
}

void tp_vocab_free(tp_vocab *v) {
    tp_str_free(&v->bytes);
    tp_free(v->entry);
    tp_free(v->slots);
    *v = (tp_vocab){0};
}
