/* Altering texts. See alter.h. */
#include "analysis/alter.h"

#include "analysis/synonyms.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { TRIES = 20 }; /* other texts looked at for a word */
enum { TYPOS, SYNONYMS, ORDER, FOREIGN, NEGATION, CONTRADICTION, PARAPHRASE };

const tp_alteration tp_alterations[] = {
    [TYPOS] = {"typos", "share of words with a slip of the keyboard", {0.1, 0.3, 0.6}, 3, true},
    [SYNONYMS] = {"synonyms", "share of words replaced, of those the table knows", {0.5, 1}, 2, true},
    [ORDER] = {"word order", "share of words that change places", {0.25, 0.5, 1}, 3, true},
    [FOREIGN] = {"random words", "words of other texts put in, for each word of its own", {0.25, 0.5, 1}, 3, true},
    [NEGATION] = {"negation", "1: the first verb that can be; 2: all of them", {1, 2}, 2, false},
    [CONTRADICTION] = {"contradiction",
                       "1: a sentence denies it; 2, 3: half, all of a text of another label follows",
                       {1, 2, 3},
                       3,
                       false},
    [PARAPHRASE] = {"paraphrase", "1: a short frame; 2: a long one", {1, 2}, 2, true},
    {0},
};

/* ---- words ---- */

typedef struct words {
    char **items; /* with their punctuation; owned */
    size_t n, capacity;
} words;

static void add_word(words *w, const char *text, size_t n) {
    tp_grow(&w->items, &w->capacity, w->n, sizeof *w->items);
    w->items[w->n++] = tp_strndup(text, n);
}

static words split(const char *text, size_t n) {
    words out = {0};
    for (size_t i = 0; i < n;) {
        size_t begin = i;
        while (i < n && !isspace((unsigned char)text[i])) i++;
        if (i > begin) add_word(&out, text + begin, i - begin);
        while (i < n && isspace((unsigned char)text[i])) i++;
    }
    return out;
}

static void free_words(words *w) {
    for (size_t i = 0; i < w->n; i++) tp_free(w->items[i]);
    tp_free(w->items);
    *w = (words){0};
}

/* Frees the words. */
static char *join(words *w) {
    tp_str out = {0};
    for (size_t i = 0; i < w->n; i++) tp_str_appendf(&out, "%s%s", i ? " " : "", w->items[i]);
    free_words(w);
    return tp_str_take(&out);
}

static bool is_letter(char c) {
    return (unsigned char)c < 0x80 && isalpha((unsigned char)c);
}

/* The letters of a word between its punctuation: begin and count (0: it has none). */
static size_t core_of(const char *word, size_t *begin) {
    size_t n = strlen(word), b = 0;
    while (b < n && !is_letter(word[b])) b++;
    while (n > b && !is_letter(word[n - 1])) n--;
    *begin = b;
    return n - b;
}

/* Puts n letters in place of the core, with the capital it began with. */
static void replace_core(char **word, size_t begin, size_t count, const char *by, size_t n) {
    tp_str out = {0};
    bool capital = count > 0 && isupper((unsigned char)(*word)[begin]);
    tp_str_append(&out, *word, begin);
    size_t at = out.len;
    tp_str_append(&out, by, n);
    if (capital && n > 0) out.data[at] = (char)toupper((unsigned char)out.data[at]);
    tp_str_append_text(&out, *word + begin + count);
    tp_free(*word);
    *word = tp_str_take(&out);
}

/* A share of n things as a count: rounded, but at least one of a positive share. */
static size_t count_of(double share, size_t n) {
    size_t count = (size_t)lround(share * (double)n);
    return n == 0 ? 0 : count == 0 ? 1 : count > n ? n : count;
}

/* The numbers 0 .. n - 1 in random order; the caller frees them. */
static int64_t *random_order(tp_rng *rng, size_t n) {
    int64_t *order = tp_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (int64_t)i;
    tp_rng_shuffle(rng, order, n);
    return order;
}

/* ---- typos ---- */

/* A letter beside this one on an English keyboard. */
static char neighbour(tp_rng *rng, char c) {
    static const char *const rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm"};
    char low = (char)tolower((unsigned char)c);
    for (int r = 0; r < 3; r++) {
        const char *at = strchr(rows[r], low);
        if (at == NULL) continue;
        bool right = at == rows[r] || (at[1] && tp_rng_below(rng, 2));
        char other = right ? at[1] : at[-1];
        return isupper((unsigned char)c) ? (char)toupper((unsigned char)other) : other;
    }
    return c;
}

/* One slip in a word of two letters at least: two letters swapped, one left out, doubled, or its neighbour hit. */
static void slip(tp_rng *rng, char **word) {
    size_t begin, n = core_of(*word, &begin);
    tp_str out = {0};
    tp_str_append(&out, *word + begin, n);
    size_t at = (size_t)tp_rng_below(rng, n - 1);
    switch (tp_rng_below(rng, 4)) {
    case 0: {
        char c = out.data[at];
        out.data[at] = out.data[at + 1];
        out.data[at + 1] = c;
        break;
    }
    case 1:
        memmove(out.data + at, out.data + at + 1, out.len - at); /* the zero byte too */
        out.len--;
        break;
    case 2:
        tp_str_append_char(&out, ' ');
        memmove(out.data + at + 1, out.data + at, out.len - 1 - at);
        break;
    default:
        out.data[at] = neighbour(rng, out.data[at]);
    }
    replace_core(word, begin, n, out.data, out.len);
    tp_str_free(&out);
}

static void add_typos(tp_rng *rng, words *w, double share) {
    int64_t *order = random_order(rng, w->n);
    size_t wanted = count_of(share, w->n), done = 0, begin;
    for (size_t i = 0; i < w->n && done < wanted; i++) {
        if (core_of(w->items[order[i]], &begin) < 2) continue;
        slip(rng, &w->items[order[i]]);
        done++;
    }
    tp_free(order);
}

/* ---- synonyms ---- */

static const char *synonym_of(const char *word, size_t *begin, size_t *n) {
    char low[32];
    *n = core_of(word, begin);
    if (*n == 0 || *n >= sizeof low) return NULL;
    for (size_t i = 0; i < *n; i++) low[i] = (char)tolower((unsigned char)word[*begin + i]);
    return tp_synonym(low, *n);
}

static void use_synonyms(tp_rng *rng, words *w, double share) {
    int64_t *order = random_order(rng, w->n);
    size_t begin, n, known = 0, done = 0;
    for (size_t i = 0; i < w->n; i++) known += synonym_of(w->items[i], &begin, &n) != NULL;
    size_t wanted = count_of(share, known);
    for (size_t i = 0; i < w->n && done < wanted; i++) {
        const char *other = synonym_of(w->items[order[i]], &begin, &n);
        if (other == NULL) continue;
        replace_core(&w->items[order[i]], begin, n, other, strlen(other));
        done++;
    }
    tp_free(order);
}

/* ---- order ---- */

/* Some words are taken out and put back, in a random order, into the places that became free. */
static void change_order(tp_rng *rng, words *w, double share) {
    size_t moved = count_of(share, w->n);
    if (moved < 2) moved = w->n < 2 ? w->n : 2;
    int64_t *order = random_order(rng, w->n);
    for (size_t i = moved; i > 1; i--) { /* a cycle through the places (Sattolo 1986): none keeps its own */
        size_t j = (size_t)tp_rng_below(rng, i - 1);
        char *word = w->items[order[i - 1]];
        w->items[order[i - 1]] = w->items[order[j]];
        w->items[order[j]] = word;
    }
    tp_free(order);
}

/* ---- words of other texts ---- */

/* A random word of a random other text; NULL if none of some has any. */
static char *borrow(tp_rng *rng, const tp_dataset *set, size_t row) {
    char *word = NULL;
    for (int tries = 0; tries < TRIES && word == NULL && set->n > 1; tries++) {
        size_t other = (row + 1 + (size_t)tp_rng_below(rng, set->n - 1)) % set->n;
        words w = split(set->examples[other].text, set->examples[other].len);
        if (w.n > 0) word = tp_strdup(w.items[tp_rng_below(rng, w.n)]);
        free_words(&w);
    }
    return word;
}

static void add_foreign(tp_rng *rng, words *w, const tp_dataset *set, size_t row, double share) {
    for (size_t left = count_of(share, w->n); left > 0; left--) {
        char *word = borrow(rng, set, row);
        if (word == NULL) continue;
        size_t at = (size_t)tp_rng_below(rng, w->n + 1);
        tp_grow(&w->items, &w->capacity, w->n, sizeof *w->items);
        memmove(w->items + at + 1, w->items + at, (w->n - at) * sizeof *w->items);
        w->items[at] = word;
        w->n++;
    }
}

/* ---- negation ---- */

static bool is_one_of(const char *word, const char *const *list) {
    size_t begin, n = core_of(word, &begin);
    for (; *list; list++)
        if (strlen(*list) == n && strncasecmp(word + begin, *list, n) == 0) return true;
    return false;
}

static bool can_be_negated(const char *word) {
    static const char *const verbs[] = {"is",     "are",   "was",  "were",  "do",    "does", "did",
                                        "can",    "could", "will", "would", "shall", "may",  "might",
                                        "should", "must",  "has",  "have",  "had",   NULL};
    return is_one_of(word, verbs);
}

/* `not` behind the first verb that takes it, or behind all; a `not` that stands there already goes. Without such a verb
 * the whole is denied. */
static void negate(words *w, bool all) {
    static const char *const nots[] = {"not", NULL};
    bool done = false;
    for (size_t i = 0; i < w->n && (all || !done); i++) {
        if (!can_be_negated(w->items[i])) continue;
        done = true;
        if (i + 1 < w->n && is_one_of(w->items[i + 1], nots)) {
            tp_free(w->items[i + 1]);
            memmove(w->items + i + 1, w->items + i + 2, (w->n - i - 2) * sizeof *w->items);
            w->n--;
            continue;
        }
        tp_grow(&w->items, &w->capacity, w->n, sizeof *w->items);
        memmove(w->items + i + 2, w->items + i + 1, (w->n - i - 1) * sizeof *w->items);
        w->items[i + 1] = tp_strdup("not");
        w->n++;
        i++;
    }
    if (done) return;
    words denied = split("It is not true that", 19);
    for (size_t i = 0; i < w->n; i++) add_word(&denied, w->items[i], strlen(w->items[i]));
    free_words(w);
    *w = denied;
}

/* ---- contradiction and paraphrase ---- */

/* A text of another label, from a random place on; NULL if all are of one. */
static const tp_example *opposite(tp_rng *rng, const tp_dataset *set, size_t row) {
    size_t start = (size_t)tp_rng_below(rng, set->n);
    for (size_t k = 0; k < set->n; k++) {
        const tp_example *e = &set->examples[(start + k) % set->n];
        if (e->label != set->examples[row].label) return e;
    }
    return NULL;
}

static char *contradict(tp_rng *rng, const tp_dataset *set, size_t row, double strength) {
    static const char *const denials[] = {"But the opposite is true.", "In fact nothing of this is so.",
                                          "None of this is right, though."};
    const tp_example *own = &set->examples[row], *other = strength > 1 ? opposite(rng, set, row) : NULL;
    if (other == NULL) return tp_format("%s %s", own->text, denials[tp_rng_below(rng, 3)]);
    words w = split(other->text, other->len);
    size_t kept = strength < 3 ? (w.n + 1) / 2 : w.n;
    while (w.n > kept) tp_free(w.items[--w.n]);
    char *rest = join(&w), *out = tp_format("%s On the other hand, %s", own->text, rest);
    tp_free(rest);
    return out;
}

static char *paraphrase(tp_rng *rng, const tp_example *e, bool wordy) {
    static const char *const frames[2][3][2] = {
        {{"Somebody wrote: ", ""}, {"In short, ", ""}, {"It has been said: ", ""}},
        {{"I came across this the other day and would like to pass it on as it stood there: ", " That was all of it."},
         {"What follows is the text that I was given, word for word, without anything left out: ", " So it ended."},
         {"Let me put before you what was written down by someone else some time ago: ", " Those were the words."}}};
    const char *const *frame = frames[wordy][tp_rng_below(rng, 3)];
    return tp_format("%s%s%s", frame[0], e->text, frame[1]);
}

char *tp_alter_text(const tp_dataset *set, size_t row, int kind, double strength, uint64_t seed) {
    const tp_example *e = &set->examples[row];
    char *stream = tp_format("alter %s %g", tp_alterations[kind].name, strength);
    tp_rng rng = tp_rng_stream(seed, stream, row);
    tp_free(stream);
    if (kind == CONTRADICTION) return contradict(&rng, set, row, strength);
    if (kind == PARAPHRASE) return paraphrase(&rng, e, strength > 1);
    words w = split(e->text, e->len);
    switch (kind) {
    case TYPOS:
        add_typos(&rng, &w, strength);
        break;
    case SYNONYMS:
        use_synonyms(&rng, &w, strength);
        break;
    case ORDER:
        change_order(&rng, &w, strength);
        break;
    case FOREIGN:
        add_foreign(&rng, &w, set, row, strength);
        break;
    case NEGATION:
        negate(&w, strength > 1);
    }
    return join(&w);
}
