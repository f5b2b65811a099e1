/* N-gram counting with a hashed vocabulary. See tfidf.h.
 *
 * The vocabulary knows an n-gram by 64 bits of hash alone: among a million n-grams a chance collision has odds of one
 * in thirty million, and would merge two features. That keeps AG News' million n-grams in 16 MB. */
#include "eval/tfidf.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTEST_GRAM = 2, LONGEST_GRAM = 5 };

struct tp_tfidf {
    uint64_t *keys;    /* [mask + 1] hash of the n-gram, 0 where empty */
    uint32_t *indices; /* [mask + 1] */
    size_t mask, size;
    /* per n-gram, [capacity], by index */
    float *idf;      /* 0: not in the fitted texts */
    uint32_t *place; /* where it stands in the text being counted */
    bool *is_word;
    size_t capacity;
    tp_gram_count *found; /* of the text being counted */
    size_t n_found, found_capacity;
    tp_str lower, gram;
};

tp_tfidf *tp_tfidf_new(void) {
    tp_tfidf *t = tp_alloc(sizeof *t);
    t->mask = (1 << 16) - 1;
    t->keys = tp_alloc((t->mask + 1) * sizeof *t->keys);
    t->indices = tp_alloc((t->mask + 1) * sizeof *t->indices);
    return t;
}

void tp_tfidf_free(tp_tfidf *t) {
    if (t == NULL) return;
    tp_free(t->keys);
    tp_free(t->indices);
    tp_free(t->idf);
    tp_free(t->place);
    tp_free(t->is_word);
    tp_free(t->found);
    tp_str_free(&t->lower);
    tp_str_free(&t->gram);
    tp_free(t);
}

size_t tp_tfidf_size(const tp_tfidf *tfidf) {
    return tfidf->size;
}

static size_t slot_of(const tp_tfidf *t, uint64_t key) {
    size_t slot = (size_t)key & t->mask;
    while (t->keys[slot] != 0 && t->keys[slot] != key) slot = (slot + 1) & t->mask;
    return slot;
}

static void double_table(tp_tfidf *t) {
    uint64_t *keys = t->keys;
    uint32_t *indices = t->indices;
    size_t old = t->mask + 1;
    t->mask = 2 * old - 1;
    t->keys = tp_alloc(2 * old * sizeof *t->keys);
    t->indices = tp_alloc(2 * old * sizeof *t->indices);
    for (size_t i = 0; i < old; i++) {
        if (keys[i] == 0) continue;
        size_t slot = slot_of(t, keys[i]);
        t->keys[slot] = keys[i];
        t->indices[slot] = indices[i];
    }
    tp_free(keys);
    tp_free(indices);
}

static uint32_t new_index(tp_tfidf *t, bool is_word) {
    size_t index = ++t->size, before = t->capacity;
    if (index >= before) { /* three arrays of one capacity */
        size_t wanted = before < 1024 ? 1024 : 2 * before;
        t->idf = tp_realloc(t->idf, wanted * sizeof *t->idf);
        t->place = tp_realloc(t->place, wanted * sizeof *t->place);
        t->is_word = tp_realloc(t->is_word, wanted * sizeof *t->is_word);
        t->capacity = wanted;
    }
    t->idf[index] = 0;
    t->place[index] = UINT32_MAX;
    t->is_word[index] = is_word;
    return (uint32_t)index;
}

static void add_gram(tp_tfidf *t, const char *bytes, size_t n, bool is_word, bool grow) {
    uint64_t key = tp_hash64(bytes, n) + (is_word ? 0x9E3779B97F4A7C15u : 0); /* "he" the word is not "he" in "the" */
    if (key == 0) key = 1;
    size_t slot = slot_of(t, key);
    uint32_t index = t->indices[slot];
    if (t->keys[slot] == 0) {
        if (!grow) return;
        index = new_index(t, is_word);
        t->keys[slot] = key;
        t->indices[slot] = index;
        if (t->size > t->mask / 2) double_table(t);
    }
    uint32_t place = t->place[index]; /* of an earlier text, unless the entry there says otherwise */
    if (place < t->n_found && t->found[place].index == index) {
        t->found[place].count++;
        return;
    }
    t->place[index] = (uint32_t)t->n_found;
    tp_grow(&t->found, &t->found_capacity, t->n_found, sizeof *t->found);
    t->found[t->n_found++] = (tp_gram_count){index, 1};
}

static bool in_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void add_word_grams(tp_tfidf *t, const char *text, size_t n, bool grow) {
    size_t previous = 0, previous_end = 0; /* the word before; empty at first */
    for (size_t at = 0; at < n;) {
        if (!in_word(text[at])) {
            at++;
            continue;
        }
        size_t end = at;
        while (end < n && in_word(text[end])) end++;

        add_gram(t, text + at, end - at, true, grow);
        if (previous_end > previous) {
            tp_str_clear(&t->gram);
            tp_str_append(&t->gram, text + previous, previous_end - previous);
            tp_str_append_char(&t->gram, ' ');
            tp_str_append(&t->gram, text + at, end - at);
            add_gram(t, t->gram.data, t->gram.len, true, grow);
        }
        previous = at;
        previous_end = end;
        at = end;
    }
}

/* Where the character after the one at `at` begins (UTF-8; a stray byte is a character by itself). */
static size_t next_character(const char *p, size_t n, size_t at) {
    for (at++; at < n && ((unsigned char)p[at] & 0xC0) == 0x80;) at++;
    return at;
}

static void add_character_grams(tp_tfidf *t, const char *text, size_t n, bool grow) {
    for (size_t at = 0; at < n;) {
        if (isspace((unsigned char)text[at])) {
            at++;
            continue;
        }
        size_t end = at;
        while (end < n && !isspace((unsigned char)text[end])) end++;
        tp_str_clear(&t->gram);
        tp_str_append_char(&t->gram, ' ');
        tp_str_append(&t->gram, text + at, end - at);
        tp_str_append_char(&t->gram, ' ');
        const char *word = t->gram.data;
        size_t length = t->gram.len;
        for (size_t start = 0; start < length; start = next_character(word, length, start)) {
            size_t stop = start;
            for (int k = 1; k <= LONGEST_GRAM && stop < length; k++) {
                stop = next_character(word, length, stop);
                if (k >= SHORTEST_GRAM) add_gram(t, word + start, stop - start, false, grow);
            }
        }
        at = end;
    }
}

static int by_index(const void *a, const void *b) {
    uint32_t x = ((const tp_gram_count *)a)->index, y = ((const tp_gram_count *)b)->index;
    return (x > y) - (x < y);
}

tp_gram_count *tp_tfidf_count(tp_tfidf *t, const char *text, size_t n, bool grow) {
    tp_str_clear(&t->lower);
    tp_str_append(&t->lower, text, n);
    for (size_t i = 0; i < n; i++) t->lower.data[i] = (char)tolower((unsigned char)t->lower.data[i]);
    t->n_found = 0;
    add_word_grams(t, t->lower.data, n, grow);
    add_character_grams(t, t->lower.data, n, grow);
    qsort(t->found, t->n_found, sizeof *t->found, by_index);
    tp_gram_count *out = tp_alloc((t->n_found + 1) * sizeof *out); /* zeroed: the end mark stands */
    if (t->n_found > 0) memcpy(out, t->found, t->n_found * sizeof *out);
    return out;
}

void tp_tfidf_fit(tp_tfidf *t, tp_gram_count *const *texts, size_t n) {
    uint32_t *df = tp_alloc((t->size + 1) * sizeof *df);
    for (size_t i = 0; i < n; i++)
        for (const tp_gram_count *g = texts[i]; g->index; g++) df[g->index]++;
    for (size_t k = 1; k <= t->size; k++) t->idf[k] = df[k] ? (float)(log((1.0 + (double)n) / (1.0 + df[k])) + 1) : 0;
    tp_free(df);
}

struct feature_node *tp_tfidf_vector(const tp_tfidf *t, const tp_gram_count *text) {
    double square[2] = {0, 0};
    size_t n = 0;
    for (const tp_gram_count *g = text; g->index; g++) n += t->idf[g->index] > 0;
    struct feature_node *out = tp_alloc((n + 2) * sizeof *out), *x = out;
    for (const tp_gram_count *g = text; g->index; g++) {
        if (!(t->idf[g->index] > 0)) continue;
        double value = (1 + log(g->count)) * (double)t->idf[g->index];
        square[t->is_word[g->index]] += value * value;
        *x++ = (struct feature_node){(int)g->index, value};
    }
    double scale[2];
    for (int part = 0; part < 2; part++) scale[part] = square[part] > 0 ? 1 / sqrt(square[part]) : 0;
    for (x = out; x < out + n; x++) x->value *= scale[t->is_word[x->index]];
    out[n] = (struct feature_node){(int)t->size + 1, 1};
    out[n + 1] = (struct feature_node){-1, 0};
    return out;
}
