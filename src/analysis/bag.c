/* Words and the texts they stand in. See bag.h. */
#include "analysis/bag.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_TEXTS = 3, SHARE = 10 }; /* in at most one text of so many */

static bool in_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* The next word from *at on, in lower case; false at the end. */
static bool next_word(const char *text, size_t n, size_t *at, tp_str *word) {
    size_t i = *at;
    while (i < n && !in_word(text[i])) i++;
    tp_str_clear(word);
    for (; i < n && in_word(text[i]); i++) {
        unsigned char c = (unsigned char)text[i];
        tp_str_append_char(word, c < 0x80 ? (char)tolower(c) : (char)c);
    }
    *at = i;
    return word->len > 0;
}

/* A word of a text. */
typedef struct occurrence {
    const char *word;
    size_t text;
} occurrence;

static int by_word(const void *a, const void *b) {
    const occurrence *x = a, *y = b;
    int order = strcmp(x->word, y->word);
    return order ? order : (x->text > y->text) - (x->text < y->text);
}

/* A word and the texts it stands in. */
typedef struct entry {
    const char *word;
    size_t texts;
} entry;

static int by_texts(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->texts != y->texts) return x->texts > y->texts ? -1 : 1;
    return strcmp(x->word, y->word);
}

/* All words of all texts, sorted. */
static occurrence *collect(const tp_example *texts, size_t n, tp_arena *arena, size_t *count) {
    occurrence *all = NULL;
    size_t capacity = 0;
    tp_str word = {0};
    *count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; next_word(texts[i].text, texts[i].len, &at, &word);) {
            tp_grow(&all, &capacity, *count, sizeof *all);
            all[(*count)++] = (occurrence){tp_arena_strdup(arena, word.data), i};
        }
    tp_str_free(&word);
    if (*count > 0) qsort(all, *count, sizeof *all, by_word);
    return all;
}

/* Each word that stands in neither too few texts nor too many, the most frequent first. */
static entry *count_texts(const occurrence *all, size_t count, size_t n_texts, size_t *n_entries) {
    entry *entries = tp_alloc(count * sizeof *entries);
    *n_entries = 0;
    for (size_t i = 0; i < count;) {
        size_t texts = 0, first = i;
        for (; i < count && strcmp(all[i].word, all[first].word) == 0; i++)
            texts += i == first || all[i].text != all[i - 1].text;
        if (texts >= FEWEST_TEXTS && texts * SHARE <= n_texts)
            entries[(*n_entries)++] = (entry){all[first].word, texts};
    }
    if (*n_entries > 0) qsort(entries, *n_entries, sizeof *entries, by_texts);
    return entries;
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const occurrence *)a)->word, ((const occurrence *)b)->word);
}

tp_bag *tp_bag_new(const tp_example *texts, size_t n, size_t most) {
    tp_bag *bag = tp_alloc(sizeof *bag);
    tp_arena *all_words = tp_arena_new(), *arena = tp_arena_new();
    size_t count, n_entries;
    occurrence *all = collect(texts, n, all_words, &count);
    entry *entries = count_texts(all, count, n, &n_entries);
    bag->n = n_entries < most ? n_entries : most;
    bag->memory = arena;
    bag->words = tp_arena_alloc(arena, bag->n * sizeof *bag->words);
    bag->texts = tp_arena_alloc(arena, bag->n * sizeof *bag->texts);
    bag->sorted = tp_arena_alloc(arena, bag->n * sizeof *bag->sorted);
    occurrence *order = tp_alloc(bag->n * sizeof *order);
    for (size_t i = 0; i < bag->n; i++) {
        bag->words[i] = tp_arena_strdup(arena, entries[i].word);
        bag->texts[i] = entries[i].texts;
        order[i] = (occurrence){bag->words[i], i};
    }
    if (bag->n > 0) qsort(order, bag->n, sizeof *order, by_text);
    for (size_t i = 0; i < bag->n; i++) bag->sorted[i] = order[i].text;
    tp_free(order);
    tp_free(entries);
    tp_free(all);
    tp_arena_free(all_words);
    return bag;
}

void tp_bag_free(tp_bag *bag) {
    if (bag == NULL) return;
    tp_arena_free(bag->memory);
    tp_free(bag);
}

/* The word's place in the bag; bag->n if it is not there. */
static size_t find(const tp_bag *bag, const char *word) {
    size_t low = 0, high = bag->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(bag->words[bag->sorted[middle]], word);
        if (order == 0) return bag->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return bag->n;
}

size_t tp_bag_mark(const tp_bag *bag, const char *text, size_t n, float *marks) {
    tp_str word = {0};
    size_t found = 0;
    memset(marks, 0, bag->n * sizeof *marks);
    for (size_t at = 0; next_word(text, n, &at, &word);) {
        size_t place = find(bag, word.data);
        if (place == bag->n || marks[place] == 1) continue;
        marks[place] = 1;
        found++;
    }
    tp_str_free(&word);
    return found;
}
