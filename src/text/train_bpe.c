/* Choosing the merges: byte-pair encoding (Sennrich, Haddow and Birch, "Neural machine translation of rare words with
 * subword units", ACL 2016), on words with counts.
 *
 * The most frequent pair of neighbouring tokens becomes a token, again and again. Counting all pairs anew for each
 * merge would cost hours; instead each pair remembers the words it was seen in, and a merge touches only those. The
 * next best pair comes from a heap whose entries may be out of date: a pair whose count rose is entered again, an entry
 * that is too high is corrected when it surfaces. */
#include "text/train_bpe.h"

#include "base/hash.h"
#include "base/mem.h"
#include "text/train_parts.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum {
    LONGEST_TOKEN = 16, /* characters (bytes for the byte level): longer ones are names and rulers, not language */
    MOST_VOCABULARY = 1 << 20,
};
static const double COVERAGE =
    0.9995; /* share of all characters that get a token of their own, as SentencePiece has it */

typedef struct pair {
    int32_t left, right;
    int64_t count;
    uint32_t *words; /* indices; a word may be named twice or no longer hold the pair */
    size_t n_words, capacity;
} pair;

typedef struct heap_entry {
    int64_t count; /* when the entry was made */
    uint32_t pair;
} heap_entry;

typedef struct word {
    size_t begin; /* into symbols */
    uint32_t n;
    int64_t count;
} word;

typedef struct trainer {
    tp_bpe_result result;
    tp_counter known;     /* the tokens' texts; numbers are token ids */
    uint32_t *characters; /* per token */
    size_t token_capacity, merge_capacity;
    int32_t *symbols;
    word *words;
    size_t n_words;
    pair *pairs;
    size_t n_pairs, pair_capacity;
    uint32_t *slots; /* open addressing by (left, right): index + 1 */
    size_t n_slots;
    heap_entry *heap;
    size_t n_heap, heap_capacity;
    uint32_t *raised; /* pairs whose count rose in the current merge */
    size_t n_raised, raised_capacity;
} trainer;

/* ---- pairs ---- */

static size_t pair_slot(const trainer *t, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9E3779B97F4A7C15u; /* Fibonacci hashing: Knuth, TAOCP 3, 6.4 */
    size_t at = (size_t)(key >> 20) & (t->n_slots - 1);
    while (t->slots[at] != 0) {
        const pair *p = &t->pairs[t->slots[at] - 1];
        if (p->left == left && p->right == right) break;
        at = (at + 1) & (t->n_slots - 1);
    }
    return at;
}

static pair *pair_of(trainer *t, int32_t left, int32_t right) {
    if (2 * (t->n_pairs + 1) > t->n_slots) {
        tp_free(t->slots);
        t->n_slots = t->n_slots ? 2 * t->n_slots : 1 << 16;
        t->slots = tp_alloc(t->n_slots * sizeof *t->slots);
        for (size_t i = 0; i < t->n_pairs; i++)
            t->slots[pair_slot(t, t->pairs[i].left, t->pairs[i].right)] = (uint32_t)i + 1;
    }
    size_t at = pair_slot(t, left, right);
    if (t->slots[at] == 0) {
        tp_grow(&t->pairs, &t->pair_capacity, t->n_pairs, sizeof *t->pairs);
        t->pairs[t->n_pairs] = (pair){.left = left, .right = right};
        t->slots[at] = (uint32_t)++t->n_pairs;
    }
    return &t->pairs[t->slots[at] - 1];
}

static void pair_add(trainer *t, int32_t left, int32_t right, int64_t count, uint32_t in_word) {
    pair *p = pair_of(t, left, right);
    p->count += count;
    uint32_t index = (uint32_t)(p - t->pairs);
    if (t->n_raised == 0 || t->raised[t->n_raised - 1] != index) {
        tp_grow(&t->raised, &t->raised_capacity, t->n_raised, sizeof *t->raised);
        t->raised[t->n_raised++] = index;
    }
    if (p->n_words > 0 && p->words[p->n_words - 1] == in_word) return;
    tp_grow(&p->words, &p->capacity, p->n_words, sizeof *p->words);
    p->words[p->n_words++] = in_word;
}

/* ---- the heap ---- */

static int compare_tokens(const trainer *t, int32_t a, int32_t b) {
    uint32_t na = t->result.length[a], nb = t->result.length[b];
    int order = memcmp(t->result.token[a], t->result.token[b], na < nb ? na : nb);
    return order != 0 ? order : (na > nb) - (na < nb);
}

/* Whether a comes before b: more frequent, then earlier in byte order, so that nothing depends on hashing. */
static bool better(const trainer *t, heap_entry a, heap_entry b) {
    if (a.count != b.count) return a.count > b.count;
    if (a.pair == b.pair) return false;
    int order = compare_tokens(t, t->pairs[a.pair].left, t->pairs[b.pair].left);
    if (order == 0) order = compare_tokens(t, t->pairs[a.pair].right, t->pairs[b.pair].right);
    return order != 0 ? order < 0 : a.pair < b.pair;
}

static void heap_push(trainer *t, uint32_t pair_index) {
    const pair *p = &t->pairs[pair_index];
    if (p->count <= 0 || t->characters[p->left] + t->characters[p->right] > LONGEST_TOKEN) return;
    tp_grow(&t->heap, &t->heap_capacity, t->n_heap, sizeof *t->heap);
    heap_entry e = {p->count, pair_index};
    size_t at = t->n_heap++;
    for (; at > 0 && better(t, e, t->heap[(at - 1) / 2]); at = (at - 1) / 2) t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = e;
}

static heap_entry heap_pop(trainer *t) {
    heap_entry top = t->heap[0], last = t->heap[--t->n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->n_heap) break;
        if (child + 1 < t->n_heap && better(t, t->heap[child + 1], t->heap[child])) child++;
        if (!better(t, t->heap[child], last)) break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return top;
}

/* ---- tokens ---- */

static int32_t token_add(trainer *t, const char *bytes, size_t n, uint32_t characters) {
    tp_bpe_result *r = &t->result;
    size_t i = tp_counter_add(&t->known, bytes, n, 1), capacity = t->token_capacity;
    if (i < (size_t)r->n_tokens) return (int32_t)i;
    tp_grow(&r->token, &capacity, i, sizeof *r->token);
    capacity = t->token_capacity;
    tp_grow(&r->length, &capacity, i, sizeof *r->length);
    tp_grow(&t->characters, &t->token_capacity, i, sizeof *t->characters);
    r->token[i] = tp_strndup(bytes, n);
    r->length[i] = (uint32_t)n;
    t->characters[i] = characters;
    return r->n_tokens++;
}

/* "ab" + "c" and "a" + "bc" are two merges to the same token. */
static int32_t token_join(trainer *t, int32_t left, int32_t right) {
    tp_bpe_result *r = &t->result;
    tp_str joined = {0};
    tp_str_append(&joined, r->token[left], r->length[left]);
    tp_str_append(&joined, r->token[right], r->length[right]);
    tp_grow(&r->merge, &t->merge_capacity, (size_t)r->n_merges, sizeof *r->merge);
    r->merge[r->n_merges][0] = left;
    r->merge[r->n_merges++][1] = right;
    int32_t token = token_add(t, joined.data, joined.len, t->characters[left] + t->characters[right]);
    tp_str_free(&joined);
    return token;
}

/* ---- the alphabet, and words as symbols ---- */

typedef struct character {
    uint32_t code;
    int64_t count;
} character;

static int by_count(const void *a, const void *b) {
    const character *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->code > y->code) - (x->code < y->code);
}

enum { CODES = 0x110000 };

/* The most frequent characters, until they cover COVERAGE of the text. symbol_of[code] gets token + 1. */
static void choose_characters(trainer *t, const tp_counter *words, int32_t *symbol_of) {
    character *all = tp_alloc(CODES * sizeof *all);
    int64_t total = 0, covered = 0;
    for (size_t i = 0; i < words->n; i++) {
        const char *bytes = words->bytes.data + words->begin[i];
        for (size_t at = 0; at < words->length[i];) {
            uint32_t code = 0;
            at += tp_utf8_decode(bytes + at, words->length[i] - at, &code); /* words hold valid characters only */
            all[code].count += words->count[i];
            total += words->count[i];
        }
    }
    for (uint32_t code = 0; code < CODES; code++) all[code].code = code;
    all[0x2581].count += all[0x2581].count == 0; /* the blank belongs to every such vocabulary */
    qsort(all, CODES, sizeof *all, by_count);
    for (size_t i = 0; i < CODES && all[i].count > 0 && ((double)covered < COVERAGE * (double)total || i == 0); i++) {
        char bytes[4];
        size_t n = tp_utf8_encode(all[i].code, bytes);
        symbol_of[all[i].code] = token_add(t, bytes, n, 1) + 1;
        covered += all[i].count;
    }
    if (symbol_of[0x2581] == 0) symbol_of[0x2581] = token_add(t, "\xE2\x96\x81", 3, 1) + 1;
    tp_free(all);
}

/* Starts the word list: every stretch of two or more known symbols is a word. */
static void add_symbols(trainer *t, const int32_t *symbols, size_t n, size_t begin, int64_t count) {
    if (n < 2) return;
    memcpy(t->symbols + begin, symbols, n * sizeof *symbols);
    t->words[t->n_words++] = (word){begin, (uint32_t)n, count};
}

static void build_words(trainer *t, tp_bpe_kind kind, const tp_counter *words) {
    int32_t *symbol_of = tp_alloc(CODES * sizeof *symbol_of);
    if (kind == TP_BPE_SENTENCEPIECE) {
        choose_characters(t, words, symbol_of);
    } else { /* in the order of GPT-2's alphabet, as in every published byte-level vocabulary */
        for (uint32_t code = 0; code < 512; code++) {
            int byte = tp_char_to_byte(code);
            char c = (char)byte;
            if (byte >= 0) symbol_of[byte] = token_add(t, &c, 1, 1) + 1;
        }
    }
    t->symbols = tp_alloc((words->bytes.len + 1) * sizeof *t->symbols);
    t->words = tp_alloc((words->bytes.len / 2 + 1) * sizeof *t->words); /* two symbols at least in each */
    size_t used = 0;
    int32_t *run = tp_alloc((words->bytes.len + 1) * sizeof *run);
    for (size_t i = 0; i < words->n; i++) {
        const char *bytes = words->bytes.data + words->begin[i];
        size_t n = 0;
        for (size_t at = 0; at < words->length[i];) {
            uint32_t code = (unsigned char)bytes[at];
            at += kind == TP_BPE_BYTE_LEVEL ? 1 : tp_utf8_decode(bytes + at, words->length[i] - at, &code);
            if (symbol_of[code] != 0) {
                run[n++] = symbol_of[code] - 1;
            } else { /* it will be bytes, and nothing merges with them */
                add_symbols(t, run, n, used, words->count[i]);
                used += n;
                n = 0;
            }
        }
        add_symbols(t, run, n, used, words->count[i]);
        used += n;
    }
    tp_free(run);
    tp_free(symbol_of);
}

/* ---- merging ---- */

/* Replaces the pair in one word, counting what comes and goes. */
static void merge_in_word(trainer *t, uint32_t index, int32_t left, int32_t right, int32_t joined) {
    word *w = &t->words[index];
    int32_t *s = t->symbols + w->begin;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        if (i + 1 >= w->n || s[i] != left || s[i + 1] != right) {
            s[kept++] = s[i];
            continue;
        }
        if (kept > 0) { /* s[kept - 1] is the neighbour as it stands now */
            pair_of(t, s[kept - 1], left)->count -= w->count;
            pair_add(t, s[kept - 1], joined, w->count, index);
        }
        if (i + 2 < w->n) {
            pair_of(t, right, s[i + 2])->count -= w->count;
            pair_add(t, joined, s[i + 2], w->count, index);
        }
        s[kept++] = joined;
        i++;
    }
    w->n = kept;
}

/* The pair itself needs no counting down: it is gone for good (and is spoilt by the counts of overlaps as in "aaa"). */
static void merge_pair(trainer *t, uint32_t index) {
    t->n_raised = 0;
    pair p = t->pairs[index];
    t->pairs[index].words = NULL;
    int32_t joined = token_join(t, p.left, p.right);
    for (size_t i = 0; i < p.n_words; i++) merge_in_word(t, p.words[i], p.left, p.right, joined);
    tp_free(p.words);
    p = t->pairs[index]; /* pairs may have been moved, or this one seen again in passing */
    tp_free(p.words);
    t->pairs[index].words = NULL;
    t->pairs[index].n_words = t->pairs[index].capacity = 0;
    t->pairs[index].count = 0;
    for (size_t i = 0; i < t->n_raised; i++) heap_push(t, t->raised[i]);
}

static void choose_merges(trainer *t, int32_t n_tokens) {
    for (size_t i = 0; i < t->n_words; i++) {
        const word *w = &t->words[i];
        for (uint32_t k = 0; k + 1 < w->n; k++)
            pair_add(t, t->symbols[w->begin + k], t->symbols[w->begin + k + 1], w->count, (uint32_t)i);
    }
    for (size_t i = 0; i < t->n_pairs; i++) heap_push(t, (uint32_t)i);
    while (t->result.n_tokens < n_tokens && t->n_heap > 0) {
        heap_entry e = heap_pop(t);
        if (t->pairs[e.pair].count == e.count) {
            merge_pair(t, e.pair);
        } else {
            heap_push(t, e.pair);
        }
    }
}

static void trainer_free(trainer *t) {
    for (int32_t i = 0; i < t->result.n_tokens; i++) tp_free(t->result.token[i]);
    tp_free(t->result.token);
    tp_free(t->result.length);
    tp_free(t->result.merge);
    tp_free(t->characters);
    tp_free(t->symbols);
    tp_free(t->words);
    for (size_t i = 0; i < t->n_pairs; i++) tp_free(t->pairs[i].words);
    tp_free(t->pairs);
    tp_free(t->slots);
    tp_free(t->heap);
    tp_free(t->raised);
    tp_counter_free(&t->known);
}

static tp_status train(trainer *t, tp_bpe_kind kind, int32_t vocab_size, const tp_counter *words, const char *folder) {
    if (words->n == 0) return tp_fail(TP_ERR_ARGUMENT, "cannot train a tokenizer: the training text is empty");
    int32_t specials = kind == TP_BPE_BYTE_LEVEL ? TP_BYTE_LEVEL_SPECIALS : TP_SENTENCEPIECE_SPECIALS;
    build_words(t, kind, words);
    if (t->result.n_tokens + specials > vocab_size)
        return tp_fail(TP_ERR_ARGUMENT,
                       "a vocabulary of %d tokens is too small: specials, bytes and frequent characters are %d",
                       vocab_size, t->result.n_tokens + specials);
    choose_merges(t, vocab_size - specials);
    if (t->result.n_tokens + specials < vocab_size)
        return tp_fail(TP_ERR_ARGUMENT, "the training text gives only %d tokens, %d were asked for",
                       t->result.n_tokens + specials, vocab_size);
    return tp_bpe_write(kind, &t->result, folder);
}

tp_status tp_bpe_train(tp_bpe_kind kind, int32_t vocab_size, tp_next_document next, void *context, const char *folder) {
    if (vocab_size > MOST_VOCABULARY)
        return tp_fail(TP_ERR_ARGUMENT, "a vocabulary of %d tokens was asked for, at most %d can be trained",
                       vocab_size, MOST_VOCABULARY);
    tp_counter words = {0};
    trainer t = {0};
    tp_status status = tp_count_words(kind, next, context, &words);
    if (status == TP_OK) status = train(&t, kind, vocab_size, &words, folder);
    trainer_free(&t);
    tp_counter_free(&words);
    return status;
}
