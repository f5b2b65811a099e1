/* Reading Hugging Face's tokenizer.json, as far as BPE decoders use it.
 *
 * The file describes a pipeline in pieces that could be combined freely. What the model families use is accepted; all
 * else is refused by name, because a tokenizer that is almost right spoils everything quietly. The decoder section is
 * not needed: what a token stands for follows from the pipeline. */
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <string.h>

typedef struct loading {
    tp_tokenizer *t;
    const char *path;
    json_t *vocab;
    int64_t largest_id;
} loading;

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

static tp_status add_token(loading *l, const char *text, size_t n, const json_t *value, bool bytes, tp_str *scratch) {
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > l->largest_id)
        return tp_fail(TP_ERR_FORMAT, "%s: the id of the token `%.100s` is not an integer from 0 to %lld", l->path,
                       text, (long long)l->largest_id);
    tp_tokenizer *t = l->t;
    int32_t id = (int32_t)json_integer_value(value);
    if (tp_vocab_has(&t->vocab, id))
        return tp_fail(TP_ERR_FORMAT, "%s: the id %d is given to the token `%.100s` and to another one", l->path, id,
                       text);
    tp_str_clear(scratch);
    bool findable = !t->byte_level || alphabet_to_bytes(text, n, scratch);
    if (t->byte_level && findable) {
        tp_vocab_set(&t->vocab, id, scratch->data ? scratch->data : "", scratch->len);
        tp_vocab_set(&t->pieces, id, scratch->data ? scratch->data : "", scratch->len);
    } else {
        tp_vocab_set(&t->vocab, id, text, n);
        tp_tokenizer_set_written_piece(t, id, text, n, bytes);
    }
    if (findable) tp_vocab_index(&t->vocab, id); /* JSON keys are unique and the alphabet is one to one */
    return TP_OK;
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

static tp_status add_merge(loading *l, size_t rank, const json_t *merge, tp_str *scratch) {
    const char *half[2];
    size_t length[2], middle = 0;
    if (!merge_halves(merge, half, length))
        return tp_fail(TP_ERR_FORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", l->path, rank);
    tp_str_clear(scratch);
    int32_t id[2];
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
    int32_t whole = tp_vocab_find(&l->t->vocab, scratch->data, scratch->len);
    if (whole < 0)
        return tp_fail(TP_ERR_FORMAT, "%s: merge %zu makes the token `%.*s%.*s`, which is not in the vocabulary",
                       l->path, rank, (int)(length[0] < 100 ? length[0] : 100), half[0],
                       (int)(length[1] < 100 ? length[1] : 100), half[1]);
    tp_tokenizer_add_merge(l->t, id[0], id[1], (int32_t)rank, whole);
    return TP_OK;
}

static tp_status read_vocab(loading *l, bool byte_fallback, tp_str *scratch) {
    const char *text;
    json_t *value;
    tp_vocab_reserve(&l->t->vocab, json_object_size(l->vocab));
    json_object_foreach(l->vocab, text, value) {
        TP_TRY(add_token(l, text, strlen(text), value, byte_fallback, scratch));
    }
    for (int byte = 0; l->t->byte_level && byte < 256; byte++) {
        char c = (char)byte;
        l->t->byte_id[byte] = tp_vocab_find(&l->t->vocab, &c, 1);
    }
    return TP_OK;
}

static tp_status read_merges(loading *l, const json_t *merges, tp_str *scratch) {
    tp_bpe_reserve(l->t->bpe, json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges); i++) TP_TRY(add_merge(l, i, json_array_get(merges, i), scratch));
    return TP_OK;
}

static tp_status read_model(loading *l, json_t *model, size_t n_added) {
    tp_json_reader r;
    tp_json_begin(&r, model, l->path);
    snprintf(r.prefix, sizeof r.prefix, "model.");
    const char *type = tp_json_text(&r, "type", "BPE");
    if (r.status == TP_OK && strcmp(type, "BPE") != 0)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: `model.type` is %.60s, only BPE is supported", l->path, type);
    bool byte_fallback = tp_json_bool(&r, "byte_fallback", false);
    const char *unknown = tp_json_text(&r, "unk_token", NULL);
    l->t->fuse_unknown = tp_json_bool(&r, "fuse_unk", false);
    l->t->whole_words = tp_json_bool(&r, "ignore_merges", false);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++)
        if (tp_json_text(&r, affixes[i], "")[0] != '\0')
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: `model.%s` is set, which is not supported", l->path, affixes[i]);
    json_t *merges = tp_json_array(&r, "merges");
    tp_json_require(&r, "vocab");
    tp_json_require(&r, "merges");
    l->vocab = tp_json_any(&r, "vocab");
    TP_TRY(r.status);
    if (!json_is_object(l->vocab) || json_object_size(l->vocab) == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `model.vocab` is not an object of tokens and ids", l->path);
    /* Ids may have gaps, but a file does not get to choose how much memory we take. */
    size_t n = json_object_size(l->vocab) + n_added;
    if (n > TP_MOST_TOKENS)
        return tp_fail(TP_ERR_FORMAT, "%s: %zu tokens are more than the %d supported", l->path, n, TP_MOST_TOKENS);
    l->largest_id = (int64_t)(4 * n + 65535);
    tp_str scratch = {0};
    tp_status status = read_vocab(l, byte_fallback, &scratch);
    if (status == TP_OK) status = read_merges(l, merges, &scratch);
    tp_str_free(&scratch);
    TP_TRY(status);
    if (unknown != NULL) {
        const json_t *id = json_object_get(l->vocab, unknown);
        if (id == NULL)
            return tp_fail(TP_ERR_FORMAT, "%s: `model.unk_token` is `%.100s`, which is not in the vocabulary", l->path,
                           unknown);
        l->t->unknown = (int32_t)json_integer_value(id);
    }
    return TP_OK;
}

/* ---- normaliser and pre-tokenizer ---- */

static tp_status unsupported(const tp_json_reader *r, const char *what, const char *type) {
    return r->status != TP_OK ? r->status
                              : tp_fail(TP_ERR_UNSUPPORTED, "%s: the %s `%.60s` is not supported", r->file, what, type);
}

static tp_status add_normalizer(loading *l, json_t *value) {
    if (value == NULL || json_is_null(value)) return TP_OK;
    tp_json_reader r, pattern;
    tp_json_begin(&r, value, l->path);
    tp_json_require(&r, "type");
    const char *type = tp_json_text(&r, "type", "");
    if (strcmp(type, "Sequence") == 0) {
        json_t *all = tp_json_array(&r, "normalizers");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(add_normalizer(l, json_array_get(all, i)));
    } else if (strcmp(type, "NFC") == 0) {
        tp_steps_add(&l->t->normalizers, TP_STEP_NFC);
    } else if (strcmp(type, "Prepend") == 0) {
        const char *prepend = tp_json_text(&r, "prepend", TP_BLANK);
        tp_steps_add(&l->t->normalizers, TP_STEP_PREPEND)->to = tp_strdup(prepend);
        if (strcmp(prepend, TP_BLANK) == 0 || strcmp(prepend, " ") == 0) l->t->adds_prefix = true;
    } else if (strcmp(type, "Replace") == 0) {
        tp_json_object(&r, "pattern", &pattern);
        const char *from = tp_json_text(&pattern, "String", "");
        const char *to = tp_json_text(&r, "content", "");
        tp_json_end_object(&r, &pattern, true);
        if (r.status == TP_OK && from[0] == '\0') return unsupported(&r, "normalizer", "Replace of an empty text");
        tp_step *step = tp_steps_add(&l->t->normalizers, TP_STEP_REPLACE);
        step->from = tp_strdup(from);
        step->to = tp_strdup(to);
    } else {
        return unsupported(&r, "normalizer", type);
    }
    return r.status;
}

static tp_status add_split(loading *l, const char *regex, size_t n, tp_split how) {
    tp_pattern *pattern = tp_pattern_compile(regex, n, l->path);
    if (pattern == NULL) return tp_last_status();
    tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SPLIT);
    step->pattern = pattern;
    step->how = how;
    return TP_OK;
}

static tp_status add_split_step(loading *l, tp_json_reader *r) {
    static const char *const behaviors[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", NULL};
    static const tp_split how[] = {TP_SPLIT_ISOLATED, TP_SPLIT_GAPS, TP_SPLIT_WITH_PREVIOUS, TP_SPLIT_WITH_NEXT};
    tp_json_reader pattern;
    tp_json_object(r, "pattern", &pattern);
    const char *regex = tp_json_text(&pattern, "Regex", NULL), *literal = tp_json_text(&pattern, "String", NULL);
    int behavior = tp_json_choice(r, "behavior", 0, behaviors);
    bool invert = tp_json_bool(r, "invert", false);
    tp_json_end_object(r, &pattern, true);
    TP_TRY(r->status);
    if ((regex == NULL) == (literal == NULL))
        return tp_fail(TP_ERR_FORMAT, "%s: a Split has neither `Regex` nor `String`, or both", l->path);
    if (invert && behavior > 1) return unsupported(r, "pre-tokenizer", "Split, inverted and merging");
    tp_split split = invert && behavior == 1 ? TP_SPLIT_MATCHES : how[behavior];
    if (regex != NULL) return add_split(l, regex, strlen(regex), split);
    tp_str quoted = {0};
    for (const char *c = literal; *c != '\0'; c++) { /* every sign is quoted; letters and digits must not be */
        if ((unsigned char)*c < 0x80 && !tp_is_letter((unsigned char)*c) && !tp_is_number((unsigned char)*c))
            tp_str_append_char(&quoted, '\\');
        tp_str_append_char(&quoted, *c);
    }
    tp_status status = add_split(l, quoted.data ? quoted.data : "", quoted.len, split);
    tp_str_free(&quoted);
    return status;
}

static tp_status add_metaspace(loading *l, tp_json_reader *r) {
    static const char *const schemes[] = {"always", "first", "never", NULL};
    const char *blank = tp_json_text(r, "replacement", TP_BLANK);
    bool old = tp_json_bool(r, "add_prefix_space", true);
    int scheme = tp_json_choice(r, "prepend_scheme", old ? 0 : 2, schemes);
    bool split = tp_json_bool(r, "split", true);
    TP_TRY(r->status);
    if (strcmp(blank, TP_BLANK) != 0) return unsupported(r, "Metaspace replacement", blank);
    if (l->t->pre_tokenizers.len > 0) return unsupported(r, "pre-tokenizer", "Metaspace behind another one");
    tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_REPLACE);
    step->from = tp_strdup(" ");
    step->to = tp_strdup(TP_BLANK);
    if (scheme != 2) {
        step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_PREFIX);
        step->to = tp_strdup(TP_BLANK);
        step->first_only = scheme == 1;
        l->t->adds_prefix = true;
        l->t->prefix_first_only = scheme == 1;
    }
    return split ? add_split(l, TP_BLANK, 3, TP_SPLIT_WITH_NEXT) : TP_OK;
}

static tp_status add_byte_level(loading *l, tp_json_reader *r) {
    bool prefix = tp_json_bool(r, "add_prefix_space", true), regex = tp_json_bool(r, "use_regex", true);
    TP_TRY(r->status);
    if (prefix) {
        if (l->t->pre_tokenizers.len > 0)
            return unsupported(r, "pre-tokenizer", "ByteLevel with a prefix behind another");
        tp_steps_add(&l->t->pre_tokenizers, TP_STEP_PREFIX)->to = tp_strdup(" ");
    }
    return regex ? add_split(l, TP_PATTERN_GPT2, strlen(TP_PATTERN_GPT2), TP_SPLIT_ISOLATED) : TP_OK;
}

static tp_status add_pre_tokenizer(loading *l, json_t *value, bool last) {
    if (value == NULL || json_is_null(value)) return TP_OK;
    tp_json_reader r;
    tp_json_begin(&r, value, l->path);
    tp_json_require(&r, "type");
    const char *type = tp_json_text(&r, "type", "");
    if (strcmp(type, "Sequence") == 0) {
        json_t *all = tp_json_array(&r, "pretokenizers");
        size_t n = json_array_size(all);
        for (size_t i = 0; i < n; i++) TP_TRY(add_pre_tokenizer(l, json_array_get(all, i), last && i + 1 == n));
        return r.status;
    }
    if (strcmp(type, "Split") == 0) return add_split_step(l, &r);
    if (strcmp(type, "Metaspace") == 0) return add_metaspace(l, &r);
    if (strcmp(type, "Digits") == 0) {
        const char *digits = tp_json_bool(&r, "individual_digits", false) ? "\\p{N}" : "\\p{N}+";
        return r.status == TP_OK ? add_split(l, digits, strlen(digits), TP_SPLIT_ISOLATED) : r.status;
    }
    if (strcmp(type, "ByteLevel") == 0)
        return last ? add_byte_level(l, &r) : unsupported(&r, "pre-tokenizer", "ByteLevel before another one");
    return unsupported(&r, "pre-tokenizer", type);
}

/* Whether a ByteLevel is among the pre-tokenizers: it decides what the vocabulary's strings mean. */
static bool has_byte_level(const json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type != NULL && strcmp(type, "ByteLevel") == 0) return true;
    const json_t *all = json_object_get(value, "pretokenizers");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (has_byte_level(json_array_get(all, i))) return true;
    return false;
}

/* ---- added tokens, and what goes around a text ---- */

static tp_status add_added_token(loading *l, json_t *value) {
    tp_tokenizer *t = l->t;
    tp_json_reader r;
    tp_json_begin(&r, value, l->path);
    snprintf(r.prefix, sizeof r.prefix, "added_tokens.");
    tp_json_require(&r, "id");
    tp_json_require(&r, "content");
    int32_t id = (int32_t)tp_json_int(&r, "id", 0, 0, l->largest_id);
    const char *content = tp_json_text(&r, "content", "");
    tp_added_token token = {.id = id, .special = tp_json_bool(&r, "special", false)};
    token.single_word = tp_json_bool(&r, "single_word", false);
    token.strip_left = tp_json_bool(&r, "lstrip", false);
    token.strip_right = tp_json_bool(&r, "rstrip", false);
    bool normalized = tp_json_bool(&r, "normalized", !token.special);
    TP_TRY(r.status);
    const json_t *known = json_object_get(l->vocab, content);
    if (known != NULL ? json_integer_value(known) != id : tp_vocab_has(&t->pieces, id))
        return tp_fail(TP_ERR_FORMAT, "%s: the added token `%.100s` has the id %d, but the vocabulary has %s", l->path,
                       content, id, known != NULL ? "it under another" : "another token there");
    size_t n = strlen(content);
    if (known == NULL || token.special)
        tp_vocab_set(&t->pieces, id, content, n); /* as written, not as bytes or blanks */
    if (token.special) tp_ids_append(&t->specials, id);
    if (normalized && t->normalizers.len > 0) {
        tp_str text = {0};
        tp_tokenizer_normalize(t, content, n, &text);
        tp_added_put(&t->normal_added, text.data, text.len, token);
        tp_str_free(&text);
    } else {
        tp_added_put(&t->raw_added, content, n, token);
    }
    return TP_OK;
}

static tp_status template_ids(loading *l, const json_t *post, const char *name, tp_ids *out) {
    const json_t *ids = json_object_get(json_object_get(json_object_get(post, "special_tokens"), name), "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id >= l->t->size)
            return tp_fail(TP_ERR_FORMAT, "%s: the post-processor's special token `%.100s` has an id outside 0..%d",
                           l->path, name, l->t->size - 1);
        tp_ids_append(out, (int32_t)id);
    }
    if (json_array_size(ids) == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: the post-processor names the special token `%.100s` without ids", l->path,
                       name);
    return TP_OK;
}

static tp_status read_post_processor(loading *l, json_t *post) {
    if (post == NULL || json_is_null(post)) return TP_OK;
    tp_json_reader r;
    tp_json_begin(&r, post, l->path);
    tp_json_require(&r, "type");
    const char *type = tp_json_text(&r, "type", "");
    if (strcmp(type, "ByteLevel") == 0) return r.status; /* concerns offsets only */
    if (strcmp(type, "Sequence") == 0) {
        json_t *all = tp_json_array(&r, "processors");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(read_post_processor(l, json_array_get(all, i)));
        return r.status;
    }
    if (strcmp(type, "TemplateProcessing") != 0) return unsupported(&r, "post-processor", type);
    const json_t *single = tp_json_array(&r, "single");
    TP_TRY(r.status);
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const char *name = json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
        if (name != NULL) {
            TP_TRY(template_ids(l, post, name, behind ? &l->t->after : &l->t->before));
        } else if (json_object_get(item, "Sequence") != NULL && !behind) {
            behind = true;
        } else {
            return tp_fail(TP_ERR_FORMAT, "%s: the post-processor's template is not special tokens around one text",
                           l->path);
        }
    }
    return TP_OK;
}

static tp_status read_root(loading *l, json_t *root) {
    tp_json_reader r;
    tp_json_begin(&r, root, l->path);
    json_t *pre = tp_json_any(&r, "pre_tokenizer"), *added = tp_json_array(&r, "added_tokens");
    tp_json_require(&r, "model");
    TP_TRY(r.status);
    l->t->byte_level = has_byte_level(pre);
    TP_TRY(read_model(l, tp_json_any(&r, "model"), json_array_size(added)));
    TP_TRY(add_normalizer(l, tp_json_any(&r, "normalizer")));
    TP_TRY(add_pre_tokenizer(l, pre, true));
    for (size_t i = 0; i < json_array_size(added); i++) TP_TRY(add_added_token(l, json_array_get(added, i)));
    tp_added_finish(&l->t->raw_added);
    tp_added_finish(&l->t->normal_added);
    l->t->size = (int32_t)l->t->pieces.size;
    return read_post_processor(l, tp_json_any(&r, "post_processor"));
}

tp_status tp_tokenizer_read_json(tp_tokenizer *t, const char *bytes, size_t n, const char *path) {
    json_t *root = tp_json_load_bytes(bytes, n, path);
    if (root == NULL) return tp_last_status();
    loading l = {.t = t, .path = path};
    tp_status status = read_root(&l, root);
    json_decref(root);
    return status;
}
