/* From a GGUF's vocabulary to a tokenizer. See gguf_vocab.h.
 *
 * llama.cpp finds added tokens (control, user-defined, unknown) in a text before anything else is done to it, so all of
 * them are matched on the raw text here, and each stretch between them is a text of its own (in "llama" with a blank of
 * its own in front). */
#include "text/gguf_vocab.h"

#include "base/mem.h"
#include "text/patterns.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct loading {
    const tp_gguf_vocab *v;
    tp_tokenizer *t;
    const char *path;
} loading;

void tp_gguf_vocab_init(tp_gguf_vocab *vocab) {
    *vocab = (tp_gguf_vocab){.bos = -1, .eos = -1, .unknown = -1, .separator = -1, .padding = -1, .cls = -1};
    vocab->add_bos = vocab->add_eos = vocab->add_space_prefix = -1;
    vocab->remove_extra_whitespaces = vocab->lowercase = vocab->strip_accents = -1;
}

static int type_of(const loading *l, size_t i) {
    return l->v->types == NULL ? TP_GGUF_NORMAL : l->v->types[i];
}

static float score_of(const loading *l, size_t i) {
    return l->v->scores == NULL ? 0.0f : l->v->scores[i];
}

static bool said(int value, bool otherwise) {
    return value < 0 ? otherwise : value != 0;
}

/* An id that the file gives, or the model's default; -1 where neither is in the vocabulary. */
static int32_t id_or(const loading *l, int64_t given, int32_t otherwise) {
    if (given >= 0 && given < l->t->size) return (int32_t)given;
    return otherwise < l->t->size ? otherwise : -1;
}

/* ---- tokens ---- */

static bool alphabet_to_bytes(tp_gguf_text text, tp_str *out) {
    tp_str_clear(out);
    for (size_t at = 0; at < text.n;) {
        uint32_t code;
        size_t length = tp_utf8_decode(text.bytes + at, text.n - at, &code);
        int byte = length > 0 ? tp_char_to_byte(code) : -1;
        if (byte < 0) return false;
        tp_str_append_char(out, (char)byte);
        at += length;
    }
    return true;
}

static tp_status check_tokens(const loading *l) {
    const tp_gguf_vocab *v = l->v;
    if (v->n_tokens == 0) return tp_fail(TP_ERR_FORMAT, "%s: `tokenizer.ggml.tokens` is empty", l->path);
    if (v->n_tokens > TP_MOST_TOKENS)
        return tp_fail(TP_ERR_FORMAT, "%s: `tokenizer.ggml.tokens` has %zu tokens, at most %d are supported", l->path,
                       v->n_tokens, TP_MOST_TOKENS);
    for (size_t i = 0; i < v->n_tokens; i++) {
        if (v->tokens[i].n > TP_LONGEST_TOKEN)
            return tp_fail(TP_ERR_FORMAT, "%s: token %zu of `tokenizer.ggml.tokens` is %zu bytes long, at most %d are",
                           l->path, i, v->tokens[i].n, TP_LONGEST_TOKEN);
        if (isnan(score_of(l, i)))
            return tp_fail(TP_ERR_FORMAT, "%s: the score of token %zu in `tokenizer.ggml.scores` is not a number",
                           l->path, i);
        int type = type_of(l, i);
        if (type < TP_GGUF_UNDEFINED || type > TP_GGUF_BYTE)
            return tp_fail(TP_ERR_FORMAT, "%s: token %zu has the type %d in `tokenizer.ggml.token_type`, 0 to %d exist",
                           l->path, i, type, TP_GGUF_BYTE);
    }
    return TP_OK;
}

static void set_written(loading *l, size_t i, tp_gguf_text text) {
    tp_vocab_set(&l->t->vocab, (int32_t)i, text.bytes, text.n);
    tp_tokenizer_set_written_piece(l->t, (int32_t)i, text.bytes, text.n, type_of(l, i) == TP_GGUF_BYTE);
}

/* Fills vocab and pieces; tokens found in a text before anything else become added tokens. */
static void add_tokens(loading *l) {
    tp_tokenizer *t = l->t;
    tp_str bytes = {0};
    for (size_t i = 0; i < l->v->n_tokens; i++) {
        tp_gguf_text text = l->v->tokens[i];
        int type = type_of(l, i);
        tp_added_token token = {.id = (int32_t)i, .special = type == TP_GGUF_CONTROL || type == TP_GGUF_UNKNOWN};
        bool raw = token.special || (t->byte_level && type == TP_GGUF_USER_DEFINED);
        if (raw) {
            tp_vocab_set(&t->vocab, (int32_t)i, text.bytes, text.n);
            tp_vocab_set(&t->pieces, (int32_t)i, text.bytes, text.n);
        } else if (t->byte_level && alphabet_to_bytes(text, &bytes)) {
            tp_vocab_set(&t->vocab, (int32_t)i, bytes.data ? bytes.data : "", bytes.len);
            tp_vocab_set(&t->pieces, (int32_t)i, bytes.data ? bytes.data : "", bytes.len);
        } else {
            set_written(l, i, text);
        }
        if (token.special) tp_ids_append(&t->specials, (int32_t)i);
        if (token.special || type == TP_GGUF_USER_DEFINED) tp_added_put(&t->raw_added, text.bytes, text.n, token);
    }
    tp_str_free(&bytes);
    tp_added_finish(&t->raw_added);
    t->size = (int32_t)l->v->n_tokens;
}

/* Of tokens with the same text the last is found. */
static void index_tokens(loading *l, bool specials_too) {
    tp_vocab_reserve(&l->t->vocab, l->v->n_tokens);
    for (size_t i = l->v->n_tokens; i-- > 0;) {
        int type = type_of(l, i);
        if (specials_too || (type != TP_GGUF_CONTROL && type != TP_GGUF_UNKNOWN))
            tp_vocab_index(&l->t->vocab, (int32_t)i);
    }
}

static void put_around(loading *l, bool bos_by_default, bool eos_by_default) {
    tp_tokenizer *t = l->t;
    if (said(l->v->add_bos, bos_by_default) && t->bos >= 0) tp_ids_append(&t->before, t->bos);
    if (said(l->v->add_eos, eos_by_default) && t->eos >= 0) tp_ids_append(&t->after, t->eos);
}

/* ---- "llama": SentencePiece's BPE ---- */

static void add_blank_steps(loading *l, bool prefix) {
    tp_steps *steps = &l->t->normalizers;
    if (prefix) tp_steps_add(steps, TP_STEP_PREPEND)->to = tp_strdup(TP_BLANK);
    tp_step *step = tp_steps_add(steps, TP_STEP_REPLACE);
    step->from = tp_strdup(" ");
    step->to = tp_strdup(TP_BLANK);
    l->t->adds_prefix = prefix;
}

static tp_status build_spm(loading *l) {
    tp_tokenizer *t = l->t;
    if (l->v->scores == NULL) return tp_fail(TP_ERR_FORMAT, "%s has no `tokenizer.ggml.scores`", l->path);
    add_tokens(l);
    index_tokens(l, true);
    for (int byte = 0; byte < 256; byte++) {
        char name[8], c = (char)byte;
        snprintf(name, sizeof name, "<0x%02X>", byte);
        t->byte_id[byte] = tp_vocab_find(&t->vocab, name, 6);
        if (t->byte_id[byte] < 0) t->byte_id[byte] = tp_vocab_find(&t->vocab, &c, 1);
    }
    tp_scored_piece *scored = tp_alloc(l->v->n_tokens * sizeof *scored);
    size_t n = 0;
    for (size_t i = 0; i < l->v->n_tokens; i++) /* of two with the same text, the one that is found */
        if (tp_vocab_find(&t->vocab, l->v->tokens[i].bytes, l->v->tokens[i].n) == (int32_t)i)
            scored[n++] = (tp_scored_piece){(int32_t)i, score_of(l, i)};
    tp_tokenizer_merge_by_score(t, scored, n);
    tp_free(scored);
    add_blank_steps(l, said(l->v->add_space_prefix, true));
    t->fuse_unknown = true;
    t->bos = id_or(l, l->v->bos, 1);
    t->eos = id_or(l, l->v->eos, 2);
    t->unknown = id_or(l, l->v->unknown, 0);
    put_around(l, true, false);
    return TP_OK;
}

/* ---- "gpt2": byte-level BPE ---- */

static int32_t find_half(loading *l, tp_gguf_text half, tp_str *bytes, tp_str *whole) {
    if (!alphabet_to_bytes(half, bytes) || bytes->len == 0) return -1;
    tp_str_append(whole, bytes->data, bytes->len);
    return tp_vocab_find(&l->t->vocab, bytes->data, bytes->len);
}

static tp_status add_merges(loading *l) {
    tp_str bytes = {0}, whole = {0};
    tp_status status = TP_OK;
    tp_bpe_reserve(l->t->bpe, l->v->n_merges);
    for (size_t i = 0; i < l->v->n_merges && status == TP_OK; i++) {
        tp_gguf_text m = l->v->merges[i];
        const char *blank = m.n > 1 ? memchr(m.bytes + 1, ' ', m.n - 1) : NULL;
        size_t n = blank ? (size_t)(blank - m.bytes) : 0;
        tp_str_clear(&whole);
        int32_t left = blank ? find_half(l, (tp_gguf_text){m.bytes, n}, &bytes, &whole) : -1;
        int32_t right = blank ? find_half(l, (tp_gguf_text){blank + 1, m.n - n - 1}, &bytes, &whole) : -1;
        int32_t joined = left >= 0 && right >= 0 ? tp_vocab_find(&l->t->vocab, whole.data, whole.len) : -1;
        if (joined >= 0) {
            tp_tokenizer_add_merge(l->t, left, right, (int32_t)i, joined);
        } else {
            status = tp_fail(TP_ERR_FORMAT,
                             "%s: merge %zu in `tokenizer.ggml.merges`, `%.*s`, is not two tokens of the vocabulary "
                             "that make a third",
                             l->path, i, (int)(m.n < 100 ? m.n : 100), m.bytes);
        }
    }
    tp_str_free(&bytes);
    tp_str_free(&whole);
    return status;
}

static tp_status add_patterns(loading *l, const tp_named_patterns *patterns) {
    for (int i = 0; i < TP_MOST_PATTERNS && patterns->regex[i] != NULL; i++) {
        tp_pattern *compiled = tp_pattern_compile(patterns->regex[i], strlen(patterns->regex[i]), l->path);
        if (compiled == NULL) return tp_last_status();
        tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SPLIT);
        step->pattern = compiled;
        step->how = TP_SPLIT_ISOLATED;
    }
    return TP_OK;
}

static tp_status build_bpe(loading *l) {
    tp_tokenizer *t = l->t;
    const tp_named_patterns *patterns = tp_patterns_find(l->v->pre ? l->v->pre : "default");
    if (patterns == NULL) {
        tp_str list = {0};
        tp_patterns_list(&list);
        tp_status status = tp_fail(
            TP_ERR_UNSUPPORTED, "%s: the pre-tokenizer `%.60s` (`tokenizer.ggml.pre`) is not supported; known are %s",
            l->path, l->v->pre, list.data);
        tp_str_free(&list);
        return status;
    }
    if (l->v->n_merges == 0) return tp_fail(TP_ERR_FORMAT, "%s has no `tokenizer.ggml.merges`", l->path);
    t->byte_level = true;
    t->whole_words = patterns->whole_words;
    add_tokens(l);
    index_tokens(l, false);
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        t->byte_id[byte] = tp_vocab_find(&t->vocab, &c, 1);
    }
    TP_TRY(add_merges(l));
    TP_TRY(add_patterns(l, patterns));
    t->bos = id_or(l, l->v->bos, -1);
    t->eos = id_or(l, l->v->eos, -1);
    put_around(l, patterns->adds_bos, false);
    return TP_OK;
}

/* ---- "bert": WordPiece, whose pieces that start a word have U+2581 in front ---- */

/* Like BertNormalizer and BertPreTokenizer, but white space that is a control character parts words, and all marks are
 * accents. */
static tp_status add_bert_steps(loading *l) {
    tp_steps *steps = &l->t->normalizers;
    bool lowercase = said(l->v->lowercase, true), accents = said(l->v->strip_accents, lowercase);
    tp_step *white = tp_steps_add(steps, TP_STEP_REPLACE_PATTERN);
    white->to = tp_strdup(" ");
    white->pattern = tp_pattern_compile("\\s", 2, l->path);
    if (white->pattern == NULL) return tp_last_status();
    tp_steps_add(steps, TP_STEP_CLEAN);
    tp_steps_add(steps, TP_STEP_CHINESE);
    if (accents) tp_steps_add(steps, TP_STEP_FORM)->form = TP_NFD;
    if (accents) tp_steps_add(steps, TP_STEP_STRIP_MARKS);
    if (lowercase) tp_steps_add(steps, TP_STEP_LOWERCASE);
    static const struct {
        const char *regex;
        tp_split how;
    } splits[] = {{"\\s", TP_SPLIT_GAPS}, {"[\\p{P}!-/:-@\\[-`{-~]", TP_SPLIT_ISOLATED}};
    for (int i = 0; i < 2; i++) {
        tp_pattern *pattern = tp_pattern_compile(splits[i].regex, strlen(splits[i].regex), l->path);
        if (pattern == NULL) return tp_last_status();
        tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SPLIT);
        step->pattern = pattern;
        step->how = splits[i].how;
    }
    return TP_OK;
}

static tp_status build_wpm(loading *l) {
    tp_tokenizer *t = l->t;
    t->model = TP_MODEL_WORDPIECE;
    t->words_apart = t->adds_prefix = t->prefix_first_only = true;
    add_tokens(l);
    index_tokens(l, true);
    tp_trie_entry *entries = tp_alloc(l->v->n_tokens * sizeof *entries);
    for (size_t i = 0; i < l->v->n_tokens; i++)
        entries[i] = (tp_trie_entry){l->v->tokens[i].bytes, l->v->tokens[i].n, (int32_t)i};
    t->wordpiece.trie = tp_trie_new(entries, l->v->n_tokens);
    tp_free(entries);
    t->wordpiece.starting = tp_strdup(TP_BLANK);
    t->wordpiece.continuing = tp_strdup("");
    TP_TRY(add_bert_steps(l));
    int32_t separator = id_or(l, l->v->separator, 102);
    t->bos = id_or(l, l->v->bos >= 0 ? l->v->bos : l->v->cls, 101);
    t->eos = l->v->eos >= 0 ? id_or(l, l->v->eos, -1) : separator;
    t->unknown = t->wordpiece.unknown = id_or(l, l->v->unknown, 100);
    if (t->bos >= 0) tp_ids_append(&t->before, t->bos); /* llama.cpp puts both whatever add_bos says */
    if (separator >= 0) tp_ids_append(&t->after, separator);
    return TP_OK;
}

/* ---- "t5": Unigram ---- */

static tp_status add_charsmap(loading *l) {
    if (l->v->charsmap == NULL || l->v->n_charsmap == 0) return TP_OK;
    tp_charsmap *map = tp_charsmap_new(l->v->charsmap, l->v->n_charsmap, l->path);
    if (map == NULL) return tp_last_status();
    tp_steps_add(&l->t->normalizers, TP_STEP_CHARSMAP)->charsmap = map;
    return TP_OK;
}

static void set_unigram(loading *l) {
    tp_unigram *u = &l->t->unigram;
    size_t n = 0;
    tp_trie_entry *entries = tp_alloc(l->v->n_tokens * sizeof *entries);
    u->score = tp_alloc(l->v->n_tokens * sizeof *u->score);
    float least = FLT_MAX;
    for (size_t i = 0; i < l->v->n_tokens; i++) {
        int type = type_of(l, i);
        if (type == TP_GGUF_NORMAL) least = fminf(least, score_of(l, i));
        u->score[i] = type == TP_GGUF_USER_DEFINED ? 0.0 : (double)score_of(l, i);
        if ((type == TP_GGUF_NORMAL || type == TP_GGUF_USER_DEFINED || type == TP_GGUF_UNUSED) && l->v->tokens[i].n > 0)
            entries[n++] = (tp_trie_entry){l->v->tokens[i].bytes, l->v->tokens[i].n, (int32_t)i};
    }
    u->unknown_score = (double)(least - (float)TP_UNIGRAM_PENALTY);
    u->trie = tp_trie_new(entries, n);
    tp_free(entries);
}

static tp_status build_ugm(loading *l) {
    tp_tokenizer *t = l->t;
    if (l->v->scores == NULL) return tp_fail(TP_ERR_FORMAT, "%s has no `tokenizer.ggml.scores`", l->path);
    t->model = TP_MODEL_UNIGRAM;
    add_tokens(l);
    index_tokens(l, true);
    set_unigram(l);
    for (int byte = 0; byte < 256; byte++) t->byte_id[byte] = -1; /* an unknown character is unknown, not bytes */
    TP_TRY(add_charsmap(l));
    bool squeeze = said(l->v->remove_extra_whitespaces, false);
    if (squeeze) tp_steps_add(&t->normalizers, TP_STEP_SQUEEZE);
    add_blank_steps(l, squeeze || said(l->v->add_space_prefix, false));
    t->fuse_unknown = true;
    t->bos = id_or(l, l->v->bos, -1);
    t->eos = id_or(l, l->v->eos, 1);
    t->unknown = id_or(l, l->v->unknown, 2);
    put_around(l, false, true);
    return TP_OK;
}

/* ---- all of them ---- */

static tp_status build(loading *l) {
    if (l->v->model == NULL) return tp_fail(TP_ERR_FORMAT, "%s has no `tokenizer.ggml.model`", l->path);
    TP_TRY(check_tokens(l));
    if (strcmp(l->v->model, "llama") == 0) return build_spm(l);
    if (strcmp(l->v->model, "gpt2") == 0) return build_bpe(l);
    if (strcmp(l->v->model, "bert") == 0) return build_wpm(l);
    if (strcmp(l->v->model, "t5") == 0) return build_ugm(l);
    return tp_fail(TP_ERR_UNSUPPORTED,
                   "%s: the tokenizer `%.60s` (`tokenizer.ggml.model`) is not supported; llama, gpt2, bert and t5 are",
                   l->path, l->v->model);
}

static void add_text_to_hash(tp_hash *h, tp_gguf_text text) {
    tp_hash_add(h, &text.n, sizeof text.n);
    tp_hash_add(h, text.bytes, text.n);
}

static void finish(loading *l) {
    const tp_gguf_vocab *v = l->v;
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, v->model);
    tp_hash_add_text(h, v->pre ? v->pre : "");
    for (size_t i = 0; i < v->n_tokens; i++) add_text_to_hash(h, v->tokens[i]);
    for (size_t i = 0; i < v->n_merges; i++) add_text_to_hash(h, v->merges[i]);
    if (v->types) tp_hash_add(h, v->types, v->n_tokens * sizeof *v->types);
    if (v->scores) tp_hash_add(h, v->scores, v->n_tokens * sizeof *v->scores);
    tp_tokenizer_finish(l->t, h);
}

tp_tokenizer *tp_tokenizer_from_gguf_vocab(const tp_gguf_vocab *vocab, const char *path) {
    loading l = {vocab, tp_tokenizer_new(), path};
    if (build(&l) == TP_OK) {
        finish(&l);
        return l.t;
    }
    tp_tokenizer_free(l.t);
    return NULL;
}
