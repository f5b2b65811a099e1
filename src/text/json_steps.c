/* The normalisers and pre-tokenizers of a tokenizer.json become steps (steps.h), one for one or a few each. */
#include "base/mem.h"
#include "text/base64.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

#include <string.h>

tp_status tp_json_unsupported(const tp_json_reader *r, const char *what, const char *type) {
    return r->status != TP_OK ? r->status
                              : tp_fail(TP_ERR_UNSUPPORTED, "%s: the %s `%.60s` is not supported", r->file, what, type);
}

/* Every sign is quoted; letters, digits and what is beyond ASCII must not be. */
static tp_pattern *compile_literal(const char *literal, const char *path) {
    tp_str quoted = {0};
    for (const char *c = literal; *c != '\0'; c++) {
        if (tp_is_punctuation((unsigned char)*c) && (unsigned char)*c < 0x80) tp_str_append_char(&quoted, '\\');
        tp_str_append_char(&quoted, *c);
    }
    tp_pattern *pattern = tp_pattern_compile(quoted.data ? quoted.data : "", quoted.len, path);
    tp_str_free(&quoted);
    return pattern;
}

/* ---- normalisers ---- */

/* What a step writes in place of little must be short: a file does not get to choose how long texts become. */
static tp_status check_written(const tp_json_reader *r, const char *text) {
    enum { LONGEST = 128 };
    if (r->status != TP_OK || strlen(text) <= LONGEST) return r->status;
    return tp_fail(TP_ERR_UNSUPPORTED, "%s: a normaliser writes a text of %zu bytes, at most %d are supported", r->file,
                   strlen(text), LONGEST);
}

static tp_status add_replace(tp_json_loading *l, tp_json_reader *r) {
    tp_json_reader pattern;
    tp_json_object(r, "pattern", &pattern);
    const char *from = tp_json_text(&pattern, "String", NULL), *regex = tp_json_text(&pattern, "Regex", NULL);
    const char *to = tp_json_text(r, "content", "");
    tp_json_end_object(r, &pattern, true);
    TP_TRY(check_written(r, to));
    if ((from == NULL) == (regex == NULL))
        return tp_fail(TP_ERR_FORMAT, "%s: a Replace has neither `Regex` nor `String`, or both", l->path);
    if (from != NULL && from[0] == '\0') return tp_json_unsupported(r, "normalizer", "Replace of an empty text");
    tp_step *step = tp_steps_add(&l->t->normalizers, regex ? TP_STEP_REPLACE_PATTERN : TP_STEP_REPLACE);
    step->from = tp_strdup(from);
    step->to = tp_strdup(to);
    if (regex != NULL && (step->pattern = tp_pattern_compile(regex, strlen(regex), l->path)) == NULL)
        return tp_last_status();
    return TP_OK;
}

static tp_status add_bert_normalizer(tp_json_loading *l, tp_json_reader *r) {
    tp_steps *steps = &l->t->normalizers;
    bool clean = tp_json_bool(r, "clean_text", true), chinese = tp_json_bool(r, "handle_chinese_chars", true);
    bool lowercase = tp_json_bool(r, "lowercase", true);
    bool accents = tp_json_any(r, "strip_accents") ? tp_json_bool(r, "strip_accents", false) : lowercase;
    if (clean) tp_steps_add(steps, TP_STEP_CLEAN);
    if (chinese) tp_steps_add(steps, TP_STEP_CHINESE);
    if (accents) tp_steps_add(steps, TP_STEP_ACCENTS);
    if (lowercase) tp_steps_add(steps, TP_STEP_LOWERCASE);
    return r->status;
}

static tp_status add_charsmap(tp_json_loading *l, tp_json_reader *r) {
    const char *text = tp_json_text(r, "precompiled_charsmap", "");
    TP_TRY(r->status);
    if (text[0] == '\0') return TP_OK;
    tp_str blob = {0};
    tp_charsmap *map = NULL;
    tp_status status = TP_OK;
    if (!tp_base64_append(&blob, text, strlen(text)))
        status = tp_fail(TP_ERR_FORMAT, "%s: `precompiled_charsmap` is not base64", l->path);
    if (status == TP_OK && (map = tp_charsmap_new(blob.data, blob.len, l->path)) == NULL) status = tp_last_status();
    if (map != NULL) tp_steps_add(&l->t->normalizers, TP_STEP_CHARSMAP_GRAPHEMES)->charsmap = map;
    tp_str_free(&blob);
    return status;
}

/* Those without options. */
static bool add_simple_normalizer(tp_json_loading *l, const char *type) {
    static const struct {
        const char *type;
        tp_step_kind kind;
        tp_unicode_form form;
    } simple[] = {{"NFC", TP_STEP_FORM, TP_NFC},           {"NFD", TP_STEP_FORM, TP_NFD},
                  {"NFKC", TP_STEP_FORM, TP_NFKC},         {"NFKD", TP_STEP_FORM, TP_NFKD},
                  {"Lowercase", TP_STEP_LOWERCASE, 0},     {"Nmt", TP_STEP_NMT, 0},
                  {"StripAccents", TP_STEP_STRIP_MARKS, 0}};
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++) {
        if (strcmp(type, simple[i].type) != 0) continue;
        tp_steps_add(&l->t->normalizers, simple[i].kind)->form = simple[i].form;
        return true;
    }
    return false;
}

tp_status tp_json_read_normalizer(tp_json_loading *l, json_t *value) {
    if (value == NULL || json_is_null(value)) return TP_OK;
    tp_json_reader r;
    tp_json_begin(&r, value, l->path);
    tp_json_require(&r, "type");
    const char *type = tp_json_text(&r, "type", "");
    if (strcmp(type, "Sequence") == 0) {
        json_t *all = tp_json_array(&r, "normalizers");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(tp_json_read_normalizer(l, json_array_get(all, i)));
        return r.status;
    }
    if (add_simple_normalizer(l, type)) return r.status;
    if (strcmp(type, "Replace") == 0) return add_replace(l, &r);
    if (strcmp(type, "BertNormalizer") == 0) return add_bert_normalizer(l, &r);
    if (strcmp(type, "Precompiled") == 0) return add_charsmap(l, &r);
    if (strcmp(type, "Strip") == 0) {
        if (tp_json_bool(&r, "strip_left", true)) tp_steps_add(&l->t->normalizers, TP_STEP_STRIP_LEFT);
        if (tp_json_bool(&r, "strip_right", true)) tp_steps_add(&l->t->normalizers, TP_STEP_STRIP_RIGHT);
        return r.status;
    }
    if (strcmp(type, "Prepend") == 0) {
        const char *prepend = tp_json_text(&r, "prepend", TP_BLANK);
        TP_TRY(check_written(&r, prepend));
        tp_steps_add(&l->t->normalizers, TP_STEP_PREPEND)->to = tp_strdup(prepend);
        if (strcmp(prepend, TP_BLANK) == 0 || strcmp(prepend, " ") == 0) l->t->adds_prefix = true;
        return r.status;
    }
    return tp_json_unsupported(&r, "normalizer", type);
}

/* ---- pre-tokenizers ---- */

static tp_status add_split(tp_json_loading *l, const char *regex, tp_split how, bool inverted) {
    tp_pattern *pattern = tp_pattern_compile(regex, strlen(regex), l->path);
    if (pattern == NULL) return tp_last_status();
    tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SPLIT);
    step->pattern = pattern;
    step->how = how;
    step->inverted = inverted;
    return TP_OK;
}

static tp_split read_behavior(tp_json_reader *r) {
    static const char *const names[] = {"Isolated",       "Removed",    "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous", NULL};
    static const tp_split how[] = {TP_SPLIT_ISOLATED, TP_SPLIT_GAPS, TP_SPLIT_WITH_PREVIOUS, TP_SPLIT_WITH_NEXT,
                                   TP_SPLIT_CONTIGUOUS};
    return how[tp_json_choice(r, "behavior", 0, names)];
}

static tp_status add_split_step(tp_json_loading *l, tp_json_reader *r) {
    tp_json_reader inner;
    tp_json_object(r, "pattern", &inner);
    const char *regex = tp_json_text(&inner, "Regex", NULL), *literal = tp_json_text(&inner, "String", NULL);
    tp_split how = read_behavior(r);
    bool invert = tp_json_bool(r, "invert", false);
    tp_json_end_object(r, &inner, true);
    TP_TRY(r->status);
    if ((regex == NULL) == (literal == NULL))
        return tp_fail(TP_ERR_FORMAT, "%s: a Split has neither `Regex` nor `String`, or both", l->path);
    if (regex != NULL) return add_split(l, regex, how, invert);
    tp_pattern *pattern = compile_literal(literal, l->path);
    if (pattern == NULL) return tp_last_status();
    tp_step *step = tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SPLIT);
    step->pattern = pattern;
    step->how = how;
    step->inverted = invert;
    return TP_OK;
}

static tp_status add_metaspace(tp_json_loading *l, tp_json_reader *r) {
    static const char *const schemes[] = {"always", "first", "never", NULL};
    const char *blank = tp_json_text(r, "replacement", TP_BLANK);
    bool old = tp_json_bool(r, "add_prefix_space", true);
    int scheme = tp_json_choice(r, "prepend_scheme", old ? 0 : 2, schemes);
    bool split = tp_json_bool(r, "split", true);
    TP_TRY(r->status);
    if (strcmp(blank, TP_BLANK) != 0) return tp_json_unsupported(r, "Metaspace replacement", blank);
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
    return split ? add_split(l, TP_BLANK, TP_SPLIT_WITH_NEXT, false) : TP_OK;
}

static tp_status add_byte_level(tp_json_loading *l, tp_json_reader *r) {
    bool prefix = tp_json_bool(r, "add_prefix_space", true), regex = tp_json_bool(r, "use_regex", true);
    TP_TRY(r->status);
    if (prefix) tp_steps_add(&l->t->pre_tokenizers, TP_STEP_PREFIX)->to = tp_strdup(" ");
    return regex ? add_split(l, TP_PATTERN_GPT2, TP_SPLIT_ISOLATED, false) : TP_OK;
}

static const char PUNCTUATION[] = "[\\p{P}!-/:-@\\[-`{-~]";

static tp_status add_pre_tokenizer(tp_json_loading *l, json_t *value, bool last) {
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
    if (strcmp(type, "ByteLevel") == 0)
        return last ? add_byte_level(l, &r) : tp_json_unsupported(&r, "pre-tokenizer", "ByteLevel before another one");
    if (strcmp(type, "Digits") == 0) {
        bool single = tp_json_bool(&r, "individual_digits", false);
        return r.status == TP_OK ? add_split(l, single ? "\\p{N}" : "\\p{N}+", TP_SPLIT_ISOLATED, false) : r.status;
    }
    if (strcmp(type, "Punctuation") == 0) {
        tp_split how = read_behavior(&r);
        return r.status == TP_OK ? add_split(l, PUNCTUATION, how, false) : r.status;
    }
    if (strcmp(type, "Whitespace") == 0) return add_split(l, "\\w+|[^\\w\\s]+", TP_SPLIT_GAPS, true);
    if (strcmp(type, "WhitespaceSplit") == 0) return add_split(l, "\\s", TP_SPLIT_GAPS, false);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        TP_TRY(add_split(l, "\\s", TP_SPLIT_GAPS, false));
        return add_split(l, PUNCTUATION, TP_SPLIT_ISOLATED, false);
    }
    if (strcmp(type, "UnicodeScripts") == 0) {
        tp_steps_add(&l->t->pre_tokenizers, TP_STEP_SCRIPTS);
        return r.status;
    }
    return tp_json_unsupported(&r, "pre-tokenizer", type);
}

tp_status tp_json_read_pre_tokenizer(tp_json_loading *l, json_t *value) {
    return add_pre_tokenizer(l, value, true);
}

bool tp_json_has_byte_level(const json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type != NULL && strcmp(type, "ByteLevel") == 0) return true;
    const json_t *all = json_object_get(value, "pretokenizers");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (tp_json_has_byte_level(json_array_get(all, i))) return true;
    return false;
}
