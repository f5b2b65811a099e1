/* Entity transfer and output diversity. See text_scores.h.
 *
 * A text is cut into words: runs of letters (with apostrophes and hyphens inside) or numbers. Each is of one kind, and
 * its lower case goes into a set of that kind, so that "Paris, Paris" is one name. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/text_lines.h"
#include "eval/text_scores.h"
#include "text/unicode.h"

#include <string.h>

enum { LEAST_NOUN = 4 }; /* letters: shorter words are mostly function words */

/* ---- sets of words ---- */

typedef struct word_set {
    tp_str bytes;                              /* each with a zero byte behind it */
    size_t *starts, *table, n, capacity, mask; /* table: index + 1, 0 where empty */
} word_set;

static size_t slot_of(const word_set *s, const char *word) {
    size_t slot = (size_t)tp_hash64(word, strlen(word)) & s->mask;
    while (s->table[slot] && strcmp(s->bytes.data + s->starts[s->table[slot] - 1], word) != 0)
        slot = (slot + 1) & s->mask;
    return slot;
}

static bool has_word(const word_set *s, const char *word) {
    return s->table && s->table[slot_of(s, word)] != 0;
}

static void add_word(word_set *s, const char *word) {
    if (s->table == NULL || 2 * (s->n + 1) > s->mask) {
        s->mask = s->table ? 2 * s->mask + 1 : 63;
        tp_free(s->table);
        s->table = tp_alloc((s->mask + 1) * sizeof *s->table);
        for (size_t i = 0; i < s->n; i++) s->table[slot_of(s, s->bytes.data + s->starts[i])] = i + 1;
    }
    size_t slot = slot_of(s, word);
    if (s->table[slot]) return;
    tp_grow(&s->starts, &s->capacity, s->n, sizeof *s->starts);
    s->starts[s->n++] = s->bytes.len;
    tp_str_append(&s->bytes, word, strlen(word) + 1);
    s->table[slot] = s->n;
}

static void free_set(word_set *s) {
    tp_str_free(&s->bytes);
    tp_free(s->starts);
    tp_free(s->table);
}

/* ---- words ---- */

typedef enum word_kind { OTHER, NUMBER, NAME, NOUN, N_KINDS } word_kind;

/* The commonest words of four letters and more that name nothing. */
static bool is_function_word(const char *word) {
    static const char *const list[] = {
        "about",   "above",   "after",   "again",    "against", "almost",   "also",       "although", "always",
        "among",   "another", "because", "been",     "before",  "behind",   "being",      "below",    "between",
        "both",    "cannot",  "could",   "does",     "doing",   "done",     "down",       "during",   "each",
        "either",  "else",    "even",    "ever",     "every",   "everyone", "everything", "from",     "have",
        "having",  "here",    "hers",    "herself",  "himself", "however",  "into",       "itself",   "just",
        "less",    "like",    "many",    "maybe",    "might",   "mine",     "more",       "most",     "much",
        "must",    "myself",  "neither", "never",    "nobody",  "none",     "nothing",    "often",    "once",
        "only",    "other",   "others",  "ours",     "over",    "perhaps",  "quite",      "rather",   "same",
        "several", "shall",   "should",  "since",    "some",    "someone",  "something",  "still",    "such",
        "than",    "that",    "their",   "theirs",   "them",    "then",     "there",      "these",    "they",
        "this",    "those",   "though",  "through",  "thus",    "together", "toward",     "towards",  "under",
        "unless",  "until",   "upon",    "very",     "well",    "were",     "what",       "when",     "where",
        "whether", "which",   "while",   "whom",     "whose",   "will",     "with",       "within",   "without",
        "would",   "your",    "yours",   "yourself", NULL};
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], word) == 0) return true;
    return false;
}

typedef struct words {
    const char *text;
    size_t n, at;
    bool sentence_begins;
    tp_str lower; /* the word in lower case */
    word_kind kind;
} words;

/* Whether the mark at `at` stands inside a word or number: don't, 1,234.5, well-known. */
static bool is_inside(const words *w, size_t at, bool number) {
    char c = w->text[at];
    uint32_t code;
    bool mark = number ? c == ',' || c == '.' : c == '\'' || c == '-';
    if (!mark || tp_utf8_decode(w->text + at + 1, w->n - at - 1, &code) == 0) return false;
    return number ? code < 0x80 && tp_is_number(code) : tp_is_letter(code);
}

static bool ends_sentence(uint32_t code) {
    return code == '.' || code == '!' || code == '?' || code == ':' || code == '\n' || code == '"' || code == 0x201C;
}

static size_t count_letters(const tp_str *word) {
    size_t n = 0;
    for (size_t i = 0; i < word->len; i++) n += ((unsigned char)word->data[i] & 0xC0) != 0x80;
    return n;
}

static word_kind kind_of(const words *w, bool number, bool capital, bool begins) {
    if (number) return NUMBER;
    if (capital) return begins || count_letters(&w->lower) < 2 ? OTHER : NAME; /* "I" is no name */
    return count_letters(&w->lower) >= LEAST_NOUN && !is_function_word(w->lower.data) ? NOUN : OTHER;
}

static bool next_word(words *w) {
    tp_str_clear(&w->lower);
    uint32_t code = 0, first = 0;
    size_t step;
    for (; w->at < w->n; w->at += step ? step : 1) {
        step = tp_utf8_decode(w->text + w->at, w->n - w->at, &code);
        if (step && (tp_is_letter(code) || tp_is_number(code))) break;
        if (step && ends_sentence(code)) w->sentence_begins = true;
    }
    if (w->at >= w->n) return false;
    first = code;
    bool number = tp_is_number(first);
    while (w->at < w->n) {
        step = tp_utf8_decode(w->text + w->at, w->n - w->at, &code);
        if (step == 0 || !(tp_is_letter(code) || tp_is_number(code) || is_inside(w, w->at, number))) break;
        tp_utf8_append_lower(&w->lower, code);
        w->at += step;
    }
    tp_str lower_first = {0};
    tp_utf8_append_lower(&lower_first, first);
    uint32_t lowered;
    tp_utf8_decode(lower_first.data, lower_first.len, &lowered);
    tp_str_free(&lower_first);
    w->kind = kind_of(w, number, lowered != first, w->sentence_begins);
    w->sentence_begins = false;
    return true;
}

static words begin_words(const char *text, size_t n) {
    return (words){.text = text, .n = n, .sentence_begins = true};
}

void tp_score_entities(const char *from, size_t n_from, const char *to, size_t n_to, tp_entity_transfer *sum) {
    word_set named[N_KINDS] = {0}, there = {0};
    words w = begin_words(to, n_to);
    while (next_word(&w)) add_word(&there, w.lower.data);
    tp_str_free(&w.lower);
    w = begin_words(from, n_from);
    while (next_word(&w)) add_word(&named[w.kind], w.lower.data);
    tp_str_free(&w.lower);
    tp_entity_count *counts[N_KINDS] = {[NUMBER] = &sum->numbers, [NAME] = &sum->names, [NOUN] = &sum->nouns};
    for (int kind = NUMBER; kind < N_KINDS; kind++) {
        counts[kind]->named += (int64_t)named[kind].n;
        for (size_t i = 0; i < named[kind].n; i++)
            counts[kind]->found += has_word(&there, named[kind].bytes.data + named[kind].starts[i]);
    }
    for (int kind = 0; kind < N_KINDS; kind++) free_set(&named[kind]);
    free_set(&there);
}

double tp_score_diversity(const char *const *outputs, size_t n) {
    word_set different = {0};
    for (size_t i = 0; i < n; i++) {
        const char *output = outputs[i];
        size_t length = strlen(output);
        tp_trim(&output, &length);
        char *trimmed = tp_strndup(output, length);
        add_word(&different, trimmed);
        tp_free(trimmed);
    }
    double share = n ? (double)different.n / (double)n : 0;
    free_set(&different);
    return share;
}
