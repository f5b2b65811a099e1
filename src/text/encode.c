/* From text to ids: the five stages told in tokenizer_parts.h. */
#include "base/mem.h"
#include "base/str.h"
#include "text/scripts.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <string.h>

typedef struct encoding { /* what one call of tp_tokenizer_encode carries along */
    const tp_tokenizer *t;
    unsigned flags;
    tp_ids *out;
    tp_str text, plain, spare; /* the normalised stretch, its part between added tokens, and where a step writes */
    tp_spans words, cut;
} encoding;

/* ---- BPE of one word ---- */

static void append_unknown(const tp_tokenizer *t, tp_ids *out, size_t word) {
    if (t->unknown < 0) return;
    if (t->fuse_unknown && out->len > word && out->data[out->len - 1] == t->unknown) return;
    tp_ids_append(out, t->unknown);
}

/* A character without a token of its own: its bytes, if all of them have one. `word` is where the word starts in out.
 */
static void append_fallback(const tp_tokenizer *t, const char *bytes, size_t n, tp_ids *out, size_t word) {
    for (size_t i = 0; i < n; i++) {
        if (t->byte_id[(unsigned char)bytes[i]] < 0) {
            append_unknown(t, out, word);
            return;
        }
    }
    for (size_t i = 0; i < n; i++) tp_ids_append(out, t->byte_id[(unsigned char)bytes[i]]);
}

/* The symbols of a word in a vocabulary that writes them by their place in it. One that has no token becomes the bytes
 * it is written with, where those have tokens. */
static void append_placed_symbols(const tp_tokenizer *t, const char *text, size_t n, tp_ids *out) {
    size_t word = out->len;
    tp_str written = {0};
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t code;
        length = t->byte_level ? 1 : tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) length = 1;
        tp_str_clear(&written);
        if (at > 0) tp_str_append(&written, t->continuing.data, t->continuing.len);
        tp_str_append(&written, text + at, length);
        if (at + length == n) tp_str_append(&written, t->ending.data, t->ending.len);
        int32_t id = tp_vocab_find(&t->vocab, written.data, written.len);
        if (id >= 0) {
            tp_ids_append(out, id);
        } else if (t->byte_level) { /* byte_id holds the symbols of plain bytes */
            append_unknown(t, out, word);
        } else {
            append_fallback(t, written.data, written.len, out, word);
        }
    }
    tp_str_free(&written);
}

static void append_symbols(const tp_tokenizer *t, const char *text, size_t n, tp_ids *out) {
    size_t word = out->len;
    if (t->continuing.len + t->ending.len > 0) {
        append_placed_symbols(t, text, n, out);
        return;
    }
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = t->byte_level ? 1 : tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) { /* not a character: a byte */
            append_fallback(t, text + at++, 1, out, word);
            continue;
        }
        int32_t id = tp_tokenizer_symbol(t, text + at, length);
        if (id >= 0) {
            tp_ids_append(out, id);
        } else {
            append_fallback(t, text + at, length, out, word);
        }
        at += length;
    }
}

/* SentencePiece may know a character only as a part of longer pieces. It has an id beyond the vocabulary until here, so
 * that those pieces can be merged; what is left of such ids becomes bytes. */
static void replace_private_ids(const tp_tokenizer *t, tp_ids *out, size_t word) {
    size_t first = word;
    while (first < out->len && out->data[first] < t->size) first++;
    if (first == out->len) return;
    size_t n = out->len - first;
    int32_t *ids = tp_alloc(n * sizeof *ids);
    memcpy(ids, out->data + first, n * sizeof *ids);
    out->len = first;
    for (size_t i = 0; i < n; i++) {
        size_t length = 0;
        const char *bytes = ids[i] < t->size ? NULL : tp_vocab_text(&t->vocab, ids[i], &length);
        if (bytes == NULL) {
            tp_ids_append(out, ids[i]);
        } else {
            append_fallback(t, bytes, length, out, word);
        }
    }
    tp_free(ids);
}

static void merge_word(const tp_tokenizer *t, const char *text, size_t n, tp_ids *out) {
    if (t->whole_words) {
        int32_t id = tp_vocab_find(&t->vocab, text, n);
        if (id >= 0) {
            tp_ids_append(out, id);
            return;
        }
    }
    size_t word = out->len;
    append_symbols(t, text, n, out);
    if (out->len > word) out->len = word + tp_bpe_merge(t->bpe, out->data + word, out->len - word);
    if (t->vocab.size > (size_t)t->size) replace_private_ids(t, out, word);
}

/* ---- Unigram of one word ---- */

static void append_best_pieces(const tp_tokenizer *t, const char *text, size_t n, tp_ids *out) {
    size_t word = out->len, n_pieces;
    tp_unigram_piece *pieces = tp_unigram_cut(&t->unigram, text, n, &n_pieces);
    for (size_t i = 0; i < n_pieces; i++) {
        if (pieces[i].id >= 0) {
            tp_ids_append(out, pieces[i].id);
        } else {
            append_fallback(t, text + pieces[i].begin, pieces[i].end - pieces[i].begin, out, word);
        }
    }
    tp_free(pieces);
}

static void encode_word(const tp_tokenizer *t, const char *text, size_t n, tp_ids *out) {
    switch (t->model) {
    case TP_MODEL_BPE:
        merge_word(t, text, n, out);
        break;
    case TP_MODEL_UNIGRAM:
        append_best_pieces(t, text, n, out);
        break;
    case TP_MODEL_WORDPIECE:
        tp_wordpiece_encode(&t->wordpiece, text, n, out);
        break;
    }
}

/* ---- normalisers ---- */

enum {
    MOST_GROWTH = 64
}; /* one character becomes 18 at most in Unicode; steps that multiply each other can fill memory */

static void swap(tp_str *a, tp_str *b) {
    tp_str other = *a;
    *a = *b;
    *b = other;
}

static tp_status normalize(encoding *e, const char *text, size_t n, bool first) {
    tp_step_place place = {first, (e->flags & TP_TOKENS_NO_PREFIX) != 0, &e->t->verbatim};
    tp_str_clear(&e->text);
    tp_str_append(&e->text, text, n);
    for (size_t i = 0; i < e->t->normalizers.len && e->text.len > 0; i++) { /* nothing stays nothing */
        tp_str_clear(&e->spare);
        TP_TRY(tp_step_rewrite(&e->t->normalizers.data[i], e->text.data, e->text.len, place, &e->spare));
        swap(&e->text, &e->spare);
        if (e->text.len / MOST_GROWTH > n + 1024)
            return tp_fail(TP_ERR_FORMAT, "the normalisers make a text of %zu bytes more than %d times as long", n,
                           MOST_GROWTH);
    }
    return TP_OK;
}

tp_status tp_tokenizer_normalize(const tp_tokenizer *t, const char *text, size_t n, tp_str *out) {
    encoding e = {.t = t};
    tp_status status = normalize(&e, text, n, true);
    tp_str_append(out, e.text.data, e.text.len);
    tp_str_free(&e.text);
    tp_str_free(&e.spare);
    return status;
}

/* ---- pre-tokenizers: words are stretches of a text, which some steps write anew ---- */

static tp_status rewrite_words(encoding *e, const tp_step *step, const char *text, bool first) {
    tp_str_clear(&e->spare);
    e->cut.len = 0;
    for (size_t w = 0; w < e->words.len; w++) {
        tp_span word = e->words.data[w];
        tp_step_place place = {first && word.begin == 0, (e->flags & TP_TOKENS_NO_PREFIX) != 0, NULL};
        size_t begin = e->spare.len;
        TP_TRY(tp_step_rewrite(step, text + word.begin, word.end - word.begin, place, &e->spare));
        tp_spans_append(&e->cut, begin, e->spare.len);
    }
    swap(&e->plain, &e->spare);
    return TP_OK;
}

static tp_status split_words(encoding *e, const tp_step *step, const char *text) {
    e->cut.len = 0;
    for (size_t w = 0; w < e->words.len; w++) {
        if (step->kind == TP_STEP_SCRIPTS)
            tp_scripts_split(text, e->words.data[w], &e->cut);
        else
            TP_TRY(tp_pattern_split(step->pattern, text, e->words.data[w], step->how, step->inverted, &e->cut));
    }
    return TP_OK;
}

static tp_status encode_plain(encoding *e, const char *text, size_t n, bool first) {
    e->words.len = 0;
    tp_spans_append(&e->words, 0, n);
    for (size_t i = 0; i < e->t->pre_tokenizers.len; i++) {
        const tp_step *step = &e->t->pre_tokenizers.data[i];
        if (step->kind == TP_STEP_SPLIT || step->kind == TP_STEP_SCRIPTS) {
            TP_TRY(split_words(e, step, text));
        } else {
            TP_TRY(rewrite_words(e, step, text, first));
            text = e->plain.data;
        }
        tp_spans other = e->words;
        e->words = e->cut;
        e->cut = other;
    }
    for (size_t w = 0; w < e->words.len; w++)
        encode_word(e->t, text + e->words.data[w].begin, e->words.data[w].end - e->words.data[w].begin, e->out);
    return TP_OK;
}

/* ---- added tokens, before and after normalising ---- */

static tp_status encode_stretch(encoding *e, const char *text, size_t n, bool first) {
    if (n == 0) return TP_OK;
    if (e->t->normalizers.len > 0) {
        TP_TRY(normalize(e, text, n, first));
        text = e->text.data;
        n = e->text.len;
    }
    bool specials = (e->flags & TP_TOKENS_PARSE_SPECIAL) != 0;
    size_t at = 0;
    tp_added_match match;
    while (tp_added_find(&e->t->normal_added, text, at, n, specials, &match)) {
        if (match.begin > at) TP_TRY(encode_plain(e, text + at, match.begin - at, first && at == 0));
        tp_ids_append(e->out, match.id);
        at = match.end;
    }
    return at < n ? encode_plain(e, text + at, n - at, first && at == 0) : TP_OK;
}

static tp_status encode_text(encoding *e, const char *text, size_t n) {
    bool specials = (e->flags & TP_TOKENS_PARSE_SPECIAL) != 0;
    size_t at = 0;
    tp_added_match match;
    while (tp_added_find(&e->t->raw_added, text, at, n, specials, &match)) {
        TP_TRY(encode_stretch(e, text + at, match.begin - at, at == 0));
        tp_ids_append(e->out, match.id);
        at = match.end;
    }
    return encode_stretch(e, text + at, n - at, at == 0);
}

tp_status tp_tokenizer_encode(const tp_tokenizer *t, const char *text, size_t n, unsigned flags, tp_ids *out) {
    if (n >= INT32_MAX / 4) /* positions are 32 bits, and normalising may make a text longer */
        return tp_fail(TP_ERR_ARGUMENT, "a text of %zu bytes is too long to encode at once: at most %d bytes are", n,
                       INT32_MAX / 4);
    encoding e = {.t = t, .flags = flags, .out = out};
    size_t before = out->len;
    if (flags & TP_TOKENS_ADD_SPECIAL)
        for (size_t i = 0; i < t->before.len; i++) tp_ids_append(out, t->before.data[i]);
    tp_status status = encode_text(&e, text, n);
    if (flags & TP_TOKENS_ADD_SPECIAL)
        for (size_t i = 0; i < t->after.len; i++) tp_ids_append(out, t->after.data[i]);
    if (status != TP_OK) out->len = before;
    tp_str_free(&e.text);
    tp_str_free(&e.spare);
    tp_str_free(&e.plain);
    tp_spans_free(&e.words);
    tp_spans_free(&e.cut);
    return status;
}
