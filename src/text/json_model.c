/* The models of a tokenizer.json: BPE with its merges, Unigram with its scores, WordPiece. */
#include "base/mem.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

#include <math.h>
#include <string.h>

/* ---- vocabulary and merges ---- */

/* Appends the bytes that a text in GPT-2's alphabet stands for; false if a character is not of it (an added token that
 * stands in the vocabulary). */
static bool alphabet_to_bytes(const char *text, size_t n, tp_str *out) {
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        int byte = length > 0 ? tp_char_to_byte(code) : -1;
        if (byte < 0) return false;
        tp_str_append_char(out, (char)byte);
        at += length;
    }
    return true;
}

/* -1 for what is no integer. */
static int64_t id_of(const json_t *value) {
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static tp_status check_id(const tp_json_loading *l, const char *text, int64_t id) {
    if (id < 0 || id > l->largest_id)
        return tp_fail(TP_ERR_FORMAT, "%s: the id of the token `%.100s` is not an integer from 0 to %lld", l->path,
                       text, (long long)l->largest_id);
    if (tp_vocab_has(&l->t->vocab, (int32_t)id))
        return tp_fail(TP_ERR_FORMAT, "%s: the id %d is given to the token `%.100s` and to another one", l->path,
                       (int)id, text);
    return TP_OK;
}

/* A token of a BPE that writes its symbols by their place stands for what is left without that: what goes on loses the
 * prefix, what ends a word gets a blank for the suffix. Without suffixes, and if bytes do not hold the blanks, what
 * goes not on begins a word. */
static void set_placed_piece(tp_tokenizer *t, int32_t id, const char *text, size_t n) {
    size_t before = t->continuing.len, behind = t->ending.len;
    bool goes_on = before > 0 && n > before && memcmp(text, t->continuing.data, before) == 0;
    bool ends = behind > 0 && n > behind && memcmp(text + n - behind, t->ending.data, behind) == 0;
    tp_str piece = {0};
    if (before > 0 && behind == 0 && !goes_on && !t->byte_level) tp_str_append_char(&piece, ' ');
    tp_str_append(&piece, text + (goes_on ? before : 0), n - (goes_on ? before : 0) - (ends ? behind : 0));
    if (ends) tp_str_append_char(&piece, ' ');
    tp_vocab_set(&t->pieces, id, piece.data, piece.len);
    tp_str_free(&piece);
}

static bool is_placed(const tp_tokenizer *t) {
    return t->continuing.len + t->ending.len > 0;
}

static tp_status add_token(tp_json_loading *l, const char *text, size_t n, int64_t given, bool bytes, tp_str *scratch) {
    TP_TRY(check_id(l, text, given));
    tp_tokenizer *t = l->t;
    int32_t id = (int32_t)given;
    tp_str_clear(scratch);
    bool findable = !t->byte_level || alphabet_to_bytes(text, n, scratch);
    if (t->byte_level && findable) {
        tp_vocab_set(&t->vocab, id, scratch->data ? scratch->data : "", scratch->len);
        tp_vocab_set(&t->pieces, id, scratch->data ? scratch->data : "", scratch->len);
    } else {
        tp_vocab_set(&t->vocab, id, text, n);
        tp_tokenizer_set_written_piece(t, id, text, n, bytes);
    }
    if (!findable) tp_vocab_set(&l->odd, id, text, n);
    bool is_byte = bytes && !t->byte_level && tp_byte_token(text, n) >= 0;
    if (is_placed(t) && findable && !is_byte && n > 0)
        set_placed_piece(t, id, t->byte_level ? scratch->data : text, t->byte_level ? scratch->len : n);
    if (tp_vocab_index(findable ? &t->vocab : &l->odd, id)) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s: the token `%.100s` is there twice", l->path, text);
}

/* The halves of a merge, written "a b" or ["a", "b"]. */
static bool merge_halves(const json_t *merge, const char *half[2], size_t length[2]) {
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        for (size_t i = 0; i < 2; i++) {
            half[i] = json_string_value(json_array_get(merge, i));
            length[i] = json_string_length(json_array_get(merge, i));
        }
        return half[0] != NULL && half[1] != NULL;
    }
    if (!json_is_string(merge)) return false;
    const char *text = json_string_value(merge), *end = text + json_string_length(merge), *blank = strchr(text, ' ');
    if (blank == NULL || memchr(blank + 1, ' ', (size_t)(end - blank - 1)) != NULL) return false;
    half[0] = text;
    length[0] = (size_t)(blank - text);
    half[1] = blank + 1;
    length[1] = (size_t)(end - blank - 1);
    return true;
}

static tp_status add_merge(tp_json_loading *l, size_t rank, const char *const half[2], const size_t length[2],
                           tp_str *scratch) {
    size_t middle = 0;
    tp_str_clear(scratch);
    int32_t id[2];
    size_t prefix = l->t->continuing.len;
    for (int i = 0; i < 2; i++) {
        middle = scratch->len;
        bool known = true;
        if (l->t->byte_level) {
            known = alphabet_to_bytes(half[i], length[i], scratch);
        } else {
            tp_str_append(scratch, half[i], length[i]);
        }
        id[i] =
            known && length[i] > 0 ? tp_vocab_find(&l->t->vocab, scratch->data + middle, scratch->len - middle) : -1;
        if (id[i] < 0)
            return tp_fail(TP_ERR_FORMAT, "%s: merge %zu names the token `%.*s`, which is not in the vocabulary",
                           l->path, rank, (int)(length[i] < 100 ? length[i] : 100), half[i]);
    }
    if (prefix > 0) { /* the right half loses what says that it goes on */
        if (scratch->len - middle < prefix || memcmp(scratch->data + middle, l->t->continuing.data, prefix) != 0)
            return tp_fail(TP_ERR_FORMAT,
                           "%s: the second half of merge %zu, `%.*s`, does not begin with "
                           "`model.continuing_subword_prefix`",
                           l->path, rank, (int)(length[1] < 100 ? length[1] : 100), half[1]);
        scratch->len -= prefix;
        memmove(scratch->data + middle, scratch->data + middle + prefix, scratch->len - middle);
    }
    int32_t whole = tp_vocab_find(&l->t->vocab, scratch->data, scratch->len);
    if (whole < 0)
        return tp_fail(TP_ERR_FORMAT, "%s: merge %zu makes the token `%.*s%.*s`, which is not in the vocabulary",
                       l->path, rank, (int)(length[0] < 100 ? length[0] : 100), half[0],
                       (int)(length[1] < 100 ? length[1] : 100), half[1]);
    tp_tokenizer_add_merge(l->t, id[0], id[1], (int32_t)rank, whole);
    return TP_OK;
}

static tp_status read_vocab(tp_json_loading *l, bool byte_fallback, tp_str *scratch) {
    const char *text;
    json_t *value;
    tp_vocab_reserve(&l->t->vocab, l->lists ? l->lists->n_tokens : json_object_size(l->vocab));
    for (size_t i = 0; l->lists && i < l->lists->n_tokens; i++) {
        const tp_json_token *token = &l->lists->token[i];
        TP_TRY(
            add_token(l, l->lists->texts.data + token->text.begin, token->text.n, token->id, byte_fallback, scratch));
    }
    json_object_foreach(l->vocab, text, value) {
        TP_TRY(add_token(l, text, strlen(text), id_of(value), byte_fallback, scratch));
    }
    for (int byte = 0; l->t->byte_level && byte < 256; byte++) {
        char c = (char)byte;
        l->t->byte_id[byte] = tp_vocab_find(&l->t->vocab, &c, 1);
    }
    return TP_OK;
}

static tp_status read_merges(tp_json_loading *l, const json_t *merges, tp_str *scratch) {
    const char *half[2];
    size_t length[2];
    tp_bpe_reserve(l->t->bpe, l->lists ? l->lists->n_merges : json_array_size(merges));
    for (size_t i = 0; l->lists && i < l->lists->n_merges; i++) {
        for (int k = 0; k < 2; k++) {
            half[k] = l->lists->texts.data + l->lists->merge[i].half[k].begin;
            length[k] = l->lists->merge[i].half[k].n;
        }
        TP_TRY(add_merge(l, i, half, length, scratch));
    }
    for (size_t i = 0; i < json_array_size(merges); i++) {
        if (!merge_halves(json_array_get(merges, i), half, length))
            return tp_fail(TP_ERR_FORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", l->path, i);
        TP_TRY(add_merge(l, i, half, length, scratch));
    }
    return TP_OK;
}

static tp_status read_unknown(tp_json_loading *l, const char *text, int32_t *id) {
    *id = text == NULL ? -1 : tp_json_token_id(l, text);
    if (text != NULL && *id < 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `model.unk_token` is `%.100s`, which is not in the vocabulary", l->path,
                       text);
    return TP_OK;
}

/* What a BPE writes before or behind symbols; absent and empty are the same. */
static tp_status read_affix(tp_json_loading *l, tp_json_reader *r, const char *key, tp_str *out) {
    enum { LONGEST = 64 };
    const char *text = tp_json_text(r, key, "");
    size_t n = strlen(text);
    TP_TRY(r->status);
    if (n > LONGEST)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: `model.%s` is %zu bytes long, at most %d are supported", l->path, key,
                       n, LONGEST);
    if (!l->t->byte_level) {
        tp_str_append(out, text, n);
    } else if (!alphabet_to_bytes(text, n, out)) {
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "%s: `model.%s` is `%s`, which is not written in the alphabet of a byte-level BPE", l->path, key,
                       text);
    }
    return TP_OK;
}

static tp_status read_bpe(tp_json_loading *l, tp_json_reader *r) {
    bool byte_fallback = tp_json_bool(r, "byte_fallback", false);
    const char *unknown = tp_json_text(r, "unk_token", NULL);
    l->t->fuse_unknown = tp_json_bool(r, "fuse_unk", false);
    l->t->whole_words = tp_json_bool(r, "ignore_merges", false);
    TP_TRY(read_affix(l, r, "continuing_subword_prefix", &l->t->continuing));
    TP_TRY(read_affix(l, r, "end_of_word_suffix", &l->t->ending));
    if (is_placed(l->t)) tp_bpe_join_anywhere(l->t->bpe);
    if (l->t->continuing.len > 0 && l->t->ending.len == 0 && !l->t->byte_level)
        l->t->words_apart = l->t->adds_prefix = l->t->prefix_first_only = true; /* words are joined by blanks */
    if (tp_json_real(r, "dropout", 0, 0, 1) > 0)
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "%s: `model.dropout` is set: ids that change from call to call are not "
                       "supported",
                       l->path);
    json_t *merges = tp_json_array(r, "merges");
    tp_json_require(r, "merges");
    TP_TRY(r->status);
    tp_str scratch = {0};
    tp_status status = read_vocab(l, byte_fallback, &scratch);
    if (status == TP_OK) status = read_merges(l, merges, &scratch);
    tp_str_free(&scratch);
    TP_TRY(status);
    return read_unknown(l, unknown, &l->t->unknown);
}

/* ---- WordPiece ---- */

/* The decoder joins words with blanks, and takes those before some signs away again. */
static bool joins_what_is_before(const char *text) {
    static const char *const starts[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (tp_starts_with(text, starts[i])) return true;
    return false;
}

static void set_wordpiece(tp_json_loading *l, int32_t id, const char *text, const char *prefix, bool cleanup) {
    tp_str piece = {0};
    if (prefix[0] != '\0' && tp_starts_with(text, prefix)) {
        tp_str_append_text(&piece, text + strlen(prefix));
    } else {
        if (!cleanup || !joins_what_is_before(text)) tp_str_append_char(&piece, ' ');
        tp_str_append_text(&piece, text);
    }
    tp_vocab_set(&l->t->vocab, id, text, strlen(text));
    tp_vocab_index(&l->t->vocab, id);
    tp_vocab_set(&l->t->pieces, id, piece.data ? piece.data : "", piece.len);
    tp_str_free(&piece);
}

static tp_status read_wordpiece(tp_json_loading *l, tp_json_reader *r) {
    tp_tokenizer *t = l->t;
    const char *unknown = tp_json_text(r, "unk_token", "[UNK]"), *text;
    const char *prefix = tp_json_text(r, "continuing_subword_prefix", "##");
    t->wordpiece.most_characters = (size_t)tp_json_int(r, "max_input_chars_per_word", 100, 1, INT32_MAX);
    TP_TRY(r->status);
    bool cleanup = !json_is_false(json_object_get(l->decoder, "cleanup"));
    t->model = TP_MODEL_WORDPIECE;
    t->words_apart = t->adds_prefix = t->prefix_first_only = true;
    t->wordpiece.starting = tp_strdup("");
    t->wordpiece.continuing = tp_strdup(prefix);
    tp_trie_entry *entries = tp_alloc(json_object_size(l->vocab) * sizeof *entries);
    size_t n = 0;
    json_t *value;
    tp_status status = TP_OK;
    tp_vocab_reserve(&t->vocab, json_object_size(l->vocab));
    json_object_foreach(l->vocab, text, value) {
        status = check_id(l, text, id_of(value));
        if (status != TP_OK) break;
        int32_t id = (int32_t)json_integer_value(value);
        set_wordpiece(l, id, text, prefix, cleanup);
        entries[n++] = (tp_trie_entry){text, strlen(text), id};
    }
    if (status == TP_OK) t->wordpiece.trie = tp_trie_new(entries, n);
    tp_free(entries);
    TP_TRY(status);
    return read_unknown(l, unknown, &t->wordpiece.unknown);
}

/* ---- Unigram ---- */

/* The texts of special tokens, which are never pieces of a text. */
static void collect_specials(const tp_json_loading *l, tp_vocab *specials) {
    for (size_t i = 0; i < json_array_size(l->added); i++) {
        const json_t *token = json_array_get(l->added, i);
        const char *content = json_string_value(json_object_get(token, "content"));
        if (content == NULL || !json_is_true(json_object_get(token, "special"))) continue;
        tp_vocab_set(specials, (int32_t)specials->size, content, strlen(content));
        tp_vocab_index(specials, (int32_t)specials->size - 1);
    }
}

static tp_status add_unigram_piece(tp_json_loading *l, size_t i, bool bytes, tp_trie_entry *entry) {
    const json_t *item = json_array_get(l->vocab, i);
    const char *text = json_string_value(json_array_get(item, 0));
    const json_t *score = json_array_get(item, 1);
    if (json_array_size(item) != 2 || text == NULL || !json_is_number(score))
        return tp_fail(TP_ERR_FORMAT, "%s: item %zu of `model.vocab` is not a token and its score", l->path, i);
    size_t n = strlen(text);
    if (n > TP_LONGEST_TOKEN)
        return tp_fail(TP_ERR_FORMAT, "%s: token %zu is %zu bytes long, at most %d are supported", l->path, i, n,
                       TP_LONGEST_TOKEN);
    *entry = (tp_trie_entry){text, n, (int32_t)i};
    l->t->unigram.score[i] = json_number_value(score);
    tp_vocab_set(&l->t->vocab, (int32_t)i, text, n);
    tp_vocab_index(&l->t->vocab, (int32_t)i);
    tp_tokenizer_set_written_piece(l->t, (int32_t)i, text, n, bytes);
    return TP_OK;
}

static tp_status read_unigram(tp_json_loading *l, tp_json_reader *r) {
    tp_tokenizer *t = l->t;
    size_t n = json_array_size(l->vocab), n_entries = 0;
    t->unknown = (int32_t)tp_json_int(r, "unk_id", -1, -1, (int64_t)n - 1);
    bool bytes = tp_json_bool(r, "byte_fallback", false);
    TP_TRY(r->status);
    t->model = TP_MODEL_UNIGRAM;
    t->fuse_unknown = true;
    t->unigram.score = tp_alloc(n * sizeof *t->unigram.score);
    tp_trie_entry *entries = tp_alloc(n * sizeof *entries);
    double least = INFINITY;
    tp_status status = TP_OK;
    tp_vocab specials = {0};
    collect_specials(l, &specials);
    for (size_t i = 0; i < n && status == TP_OK; i++) {
        status = add_unigram_piece(l, i, bytes, &entries[n_entries]);
        if (status != TP_OK) break;
        least = fmin(least, t->unigram.score[i]);
        const tp_trie_entry *e = &entries[n_entries];
        bool special = (int32_t)i == t->unknown || tp_vocab_find(&specials, e->text, e->n) >= 0;
        n_entries += !special && e->n > 0;
    }
    t->unigram.unknown_score = least - TP_UNIGRAM_PENALTY;
    if (status == TP_OK) t->unigram.trie = tp_trie_new(entries, n_entries);
    tp_free(entries);
    tp_vocab_free(&specials);
    return status;
}

/* ---- any of them ---- */

int32_t tp_json_token_id(const tp_json_loading *l, const char *text) {
    if (json_is_array(l->vocab)) return tp_vocab_find(&l->t->vocab, text, strlen(text));
    if (l->lists != NULL) {
        tp_str bytes = {0};
        bool plain = !l->t->byte_level, spelt = !plain && alphabet_to_bytes(text, strlen(text), &bytes);
        int32_t found = plain   ? tp_vocab_find(&l->t->vocab, text, strlen(text))
                        : spelt ? tp_vocab_find(&l->t->vocab, bytes.data ? bytes.data : "", bytes.len)
                                : tp_vocab_find(&l->odd, text, strlen(text));
        tp_str_free(&bytes);
        return found;
    }
    const json_t *id = json_object_get(l->vocab, text);
    return id ? (int32_t)json_integer_value(id) : -1;
}

/* Files of old name no type: a list of tokens and scores is Unigram, and what has merges is BPE. */
static const char *guess_type(const tp_json_reader *r, const json_t *vocab) {
    if (json_is_array(vocab)) return "Unigram";
    return tp_json_has(r, "merges") || !tp_json_has(r, "max_input_chars_per_word") ? "BPE" : "WordPiece";
}

tp_status tp_json_read_model(tp_json_loading *l, json_t *model) {
    tp_json_reader r;
    tp_json_begin(&r, model, l->path);
    snprintf(r.prefix, sizeof r.prefix, "model.");
    tp_json_require(&r, "vocab");
    l->vocab = tp_json_any(&r, "vocab");
    const char *type = tp_json_text(&r, "type", guess_type(&r, l->vocab));
    TP_TRY(r.status);
    bool unigram = strcmp(type, "Unigram") == 0, wordpiece = strcmp(type, "WordPiece") == 0;
    if (!unigram && !wordpiece && strcmp(type, "BPE") != 0)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: `model.type` is %.60s; BPE, Unigram and WordPiece are supported",
                       l->path, type);
    size_t n = l->lists ? l->lists->n_tokens : unigram ? json_array_size(l->vocab) : json_object_size(l->vocab);
    if (l->lists && (unigram || wordpiece)) return tp_fail(TP_ERR_FORMAT, "%s: `model` has merges", l->path);
    if (n == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `model.vocab` is not %s", l->path,
                       unigram ? "a list of tokens and scores" : "an object of tokens and ids");
    n += json_array_size(l->added);
    if (n > TP_MOST_TOKENS)
        return tp_fail(TP_ERR_FORMAT, "%s: %zu tokens are more than the %d supported", l->path, n, TP_MOST_TOKENS);
    l->largest_id = (int64_t)(4 * n + 65535);
    return unigram ? read_unigram(l, &r) : wordpiece ? read_wordpiece(l, &r) : read_bpe(l, &r);
}
