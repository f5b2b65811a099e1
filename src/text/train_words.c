/* From documents to words with counts: the only form of the training text that BPE training looks at.
 *
 * Byte level: the Llama-3 pre-tokenizer cuts the words, so training and encoding see the same ones.
 *
 * SentencePiece: the tokenizer.json we write has no pre-tokenizer (like Llama 2's), so what must not be merged must not
 * be learned: a word here is one blank (written U+2581) at most, then letters, or one digit, or a run of line feeds, or
 * a run of other signs. Digits and line feeds do not even keep the blank. So "▁the", "ing", "1", "..." can become
 * tokens and "the▁", "e.", "12" cannot, which wastes little of a small vocabulary. */
#include "text/train_parts.h"

#include "base/hash.h"
#include "base/mem.h"
#include "text/pretokenize.h"
#include "text/unicode.h"

#include <string.h>

static void grow_slots(tp_counter *c) {
    size_t n_slots = c->n_slots ? 2 * c->n_slots : 4096;
    tp_free(c->slots);
    c->slots = tp_alloc(n_slots * sizeof *c->slots);
    c->n_slots = n_slots;
    for (size_t i = 0; i < c->n; i++) {
        size_t at = c->hash[i] & (n_slots - 1);
        while (c->slots[at] != 0) at = (at + 1) & (n_slots - 1);
        c->slots[at] = (uint32_t)i + 1;
    }
}

size_t tp_counter_add(tp_counter *c, const char *bytes, size_t n, int64_t count) {
    if (2 * (c->n + 1) > c->n_slots) grow_slots(c);
    uint32_t hash = (uint32_t)tp_hash64(bytes, n);
    size_t at = hash & (c->n_slots - 1);
    for (; c->slots[at] != 0; at = (at + 1) & (c->n_slots - 1)) {
        size_t i = c->slots[at] - 1;
        if (c->hash[i] == hash && c->length[i] == n && memcmp(c->bytes.data + c->begin[i], bytes, n) == 0) {
            c->count[i] += count;
            return i;
        }
    }
    size_t capacity = c->capacity;
    tp_grow(&c->begin, &capacity, c->n, sizeof *c->begin);
    capacity = c->capacity;
    tp_grow(&c->length, &capacity, c->n, sizeof *c->length);
    capacity = c->capacity;
    tp_grow(&c->hash, &capacity, c->n, sizeof *c->hash);
    tp_grow(&c->count, &c->capacity, c->n, sizeof *c->count);
    c->begin[c->n] = c->bytes.len;
    c->length[c->n] = (uint32_t)n;
    c->hash[c->n] = hash;
    c->count[c->n] = count;
    tp_str_append(&c->bytes, bytes, n);
    c->slots[at] = (uint32_t)c->n + 1;
    return c->n++;
}

void tp_counter_free(tp_counter *c) {
    tp_str_free(&c->bytes);
    tp_free(c->begin);
    tp_free(c->length);
    tp_free(c->hash);
    tp_free(c->count);
    tp_free(c->slots);
    *c = (tp_counter){0};
}

enum { LONGEST_WORD = 1 << 16 }; /* bytes; a longer "word" is data, not language, and would only cost time */

enum sign { SIGN_BLANK, SIGN_LETTER, SIGN_DIGIT, SIGN_LINE, SIGN_OTHER, SIGN_INVALID };

static const char BLANK[] = "\xE2\x96\x81"; /* U+2581 */

static enum sign sign_of(uint32_t code) {
    if (code == ' ' || code == 0x2581) return SIGN_BLANK;
    if (code == '\n' || code == '\r') return SIGN_LINE;
    if (tp_is_number(code)) return SIGN_DIGIT;
    return tp_is_letter(code) ? SIGN_LETTER : SIGN_OTHER;
}

static void add_word(tp_counter *words, tp_str *word) {
    if (word->len > 0 && word->len <= LONGEST_WORD) tp_counter_add(words, word->data, word->len, 1);
    tp_str_clear(word);
}

static void cut_sentencepiece(const char *text, size_t n, tp_str *word, tp_counter *words) {
    tp_str_append_text(word, BLANK); /* the dummy prefix */
    enum sign before = SIGN_BLANK;
    for (size_t at = 0; at < n;) {
        uint32_t code = 0;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        enum sign sign = length == 0 ? SIGN_INVALID : sign_of(code);
        bool joins = (before == SIGN_BLANK && (sign == SIGN_LETTER || sign == SIGN_OTHER)) ||
                     (before == sign && sign != SIGN_BLANK && sign != SIGN_DIGIT);
        if (!joins) add_word(words, word);
        if (sign == SIGN_BLANK) {
            tp_str_append_text(word, BLANK);
        } else if (sign != SIGN_INVALID) { /* such a byte will be a byte token: nothing to learn */
            tp_str_append(word, text + at, length);
        }
        before = sign;
        at += length ? length : 1;
    }
    add_word(words, word);
}

tp_status tp_count_words(tp_bpe_kind kind, tp_next_document next, void *context, tp_counter *words) {
    tp_pattern *pattern = NULL;
    if (kind == TP_BPE_BYTE_LEVEL) {
        pattern = tp_pattern_compile(TP_PATTERN_LLAMA3, strlen(TP_PATTERN_LLAMA3), "the Llama-3 pattern");
        if (pattern == NULL) return tp_last_status();
    }
    tp_spans spans = {0};
    tp_str word = {0};
    tp_status status = TP_OK;
    const char *text;
    size_t n;
    while (status == TP_OK && next(context, &text, &n)) {
        if (kind == TP_BPE_SENTENCEPIECE) {
            cut_sentencepiece(text, n, &word, words);
            continue;
        }
        spans.len = 0;
        status = tp_pattern_split(pattern, text, (tp_span){0, n}, TP_SPLIT_ISOLATED, false, &spans);
        for (size_t i = 0; i < spans.len && status == TP_OK; i++) {
            size_t length = spans.data[i].end - spans.data[i].begin;
            if (length <= LONGEST_WORD) tp_counter_add(words, text + spans.data[i].begin, length, 1);
        }
    }
    tp_str_free(&word);
    tp_spans_free(&spans);
    tp_pattern_free(pattern);
    return status;
}
