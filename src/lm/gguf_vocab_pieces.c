/* Unigram and WordPiece vocabularies as metadata of a GGUF file ("t5" and "bert"), with llama.cpp's meaning of every
 * field. See gguf_vocab_parts.h.
 *
 * There the pipeline around these two models is fixed but for a few switches, so a tokenizer.json whose pipeline is
 * another one is refused by the part that GGUF cannot say: the file would cut texts in other places. */
#include "lm/gguf_vocab_parts.h"
#include "text/base64.h"
#include "text/gguf_vocab.h"

#include <math.h>
#include <string.h>

static const char BLANK[] = "\xE2\x96\x81"; /* U+2581 */

static tp_status cannot_say(const tp_vocab_export *e, const char *kind, const char *what, const char *found) {
    return tp_fail(TP_ERR_UNSUPPORTED, "%s: a GGUF file has no way to say that a %s tokenizer %s `%.60s`", e->path,
                   kind, what, found ? found : "null");
}

static const char *type_of(const json_t *step) {
    return json_string_value(json_object_get(step, "type"));
}

static bool is_type(const json_t *step, const char *type) {
    const char *own = type_of(step);
    return own != NULL && strcmp(own, type) == 0;
}

static bool flag(const json_t *step, const char *key, bool otherwise) {
    const json_t *value = json_object_get(step, key);
    return value == NULL || json_is_null(value) ? otherwise : json_is_true(value);
}

/* ---- Unigram ---- */

typedef struct {
    bool prefix, squeeze; /* a blank in front; no blanks at the ends, single ones between */
    bool splits_at_white; /* white space parts words before anything else is done */
    tp_str charsmap;
} pipeline;

/* The normalisers that "t5" has: SentencePiece's character map, blanks merged or cut off at the ends, blanks and a
 * first one written as U+2581. */
static tp_status read_normalizer(tp_vocab_export *e, const json_t *step, pipeline *p) {
    if (step == NULL || json_is_null(step)) return TP_OK;
    if (is_type(step, "Sequence")) {
        const json_t *all = json_object_get(step, "normalizers");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(read_normalizer(e, json_array_get(all, i), p));
        return TP_OK;
    }
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    const char *content = json_string_value(json_object_get(step, "content"));
    bool blank = content && (strcmp(content, " ") == 0 || strcmp(content, BLANK) == 0);
    if (is_type(step, "Precompiled") && p->charsmap.len == 0) {
        const char *map = json_string_value(json_object_get(step, "precompiled_charsmap"));
        if (map == NULL || tp_base64_append(&p->charsmap, map, strlen(map))) return TP_OK;
        return tp_fail(TP_ERR_FORMAT, "%s: `precompiled_charsmap` is not base64", e->path);
    }
    if (is_type(step, "Replace") && regex && strcmp(regex, " {2,}") == 0 && blank) {
        p->squeeze = true;
        return TP_OK;
    }
    if (is_type(step, "Replace") && literal && strcmp(literal, " ") == 0 && blank) return TP_OK;
    if (is_type(step, "Strip")) return TP_OK; /* merging blanks cuts them off at the ends, too */
    if (is_type(step, "Prepend")) {
        p->prefix = true;
        return TP_OK;
    }
    return cannot_say(e, "Unigram", "normalises texts by", type_of(step));
}

static tp_status read_pre_tokenizer(tp_vocab_export *e, const json_t *step, pipeline *p) {
    if (step == NULL || json_is_null(step)) return TP_OK;
    if (is_type(step, "Sequence")) {
        const json_t *all = json_object_get(step, "pretokenizers");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(read_pre_tokenizer(e, json_array_get(all, i), p));
        return TP_OK;
    }
    if (is_type(step, "WhitespaceSplit")) {
        p->squeeze = p->splits_at_white = true;
        return TP_OK;
    }
    if (is_type(step, "Metaspace")) {
        const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
        bool never = scheme ? strcmp(scheme, "never") == 0 : !flag(step, "add_prefix_space", true);
        p->prefix = p->prefix || !never;
        return TP_OK;
    }
    return cannot_say(e, "Unigram", "cuts words by", type_of(step));
}

static tp_status put_pipeline(tp_vocab_export *e, pipeline *p) {
    TP_TRY(read_normalizer(e, json_object_get(e->root, "normalizer"), p));
    TP_TRY(read_pre_tokenizer(e, json_object_get(e->root, "pre_tokenizer"), p));
    if (p->splits_at_white && p->charsmap.len == 0) /* without a map that makes blanks of them, tabs would stay */
        return cannot_say(e, "Unigram", "without a character map cuts words by", "WhitespaceSplit");
    tp_gguf_put_bool(e->pairs, "tokenizer.ggml.add_space_prefix", p->prefix);
    tp_gguf_put_bool(e->pairs, "tokenizer.ggml.remove_extra_whitespaces", p->squeeze);
    if (p->charsmap.len > 0)
        tp_gguf_put_numbers(e->pairs, "tokenizer.ggml.precompiled_charsmap", TP_GGUF_U8, p->charsmap.data,
                            p->charsmap.len);
    return TP_OK;
}

tp_status tp_gguf_put_unigram(tp_vocab_export *e) {
    const json_t *vocab = json_object_get(e->model, "vocab"), *unknown = json_object_get(e->model, "unk_id");
    if (flag(e->model, "byte_fallback", false))
        return cannot_say(e, "Unigram", "writes unknown characters by", "byte_fallback");
    for (size_t i = 0; i < json_array_size(vocab); i++)
        e->scores[i] = (float)json_number_value(json_array_get(json_array_get(vocab, i), 1));
    if (json_is_integer(unknown) && json_integer_value(unknown) >= 0 &&
        json_integer_value(unknown) < (json_int_t)e->n) {
        e->types[json_integer_value(unknown)] = TP_GGUF_UNKNOWN;
        tp_gguf_put_u32(e->pairs, "tokenizer.ggml.unknown_token_id", (uint32_t)json_integer_value(unknown));
    }
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.model", "t5");
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.pre", "default");
    tp_gguf_put_numbers(e->pairs, "tokenizer.ggml.scores", TP_GGUF_F32, e->scores, e->n);
    pipeline p = {0};
    tp_status status = put_pipeline(e, &p);
    tp_str_free(&p.charsmap);
    return status;
}

/* ---- WordPiece ---- */

/* GGUF marks pieces that begin a word by U+2581, the others by nothing; the file has it the other way round. */
static void turn_prefixes(tp_vocab_export *e) {
    for (size_t i = 0; i < e->n; i++) {
        if (e->types[i] != TP_GGUF_NORMAL) continue;
        if (e->bytes[i] > 2 && memcmp(e->texts[i], "##", 2) == 0) {
            e->texts[i] += 2;
            e->bytes[i] -= 2;
            continue;
        }
        char *text = tp_arena_alloc(e->arena, e->bytes[i] + sizeof BLANK);
        memcpy(text, BLANK, sizeof BLANK - 1);
        memcpy(text + sizeof BLANK - 1, e->texts[i], e->bytes[i]);
        e->texts[i] = text;
        e->bytes[i] += sizeof BLANK - 1;
    }
}

/* The ids that go around every text, whatever flags say: exactly one on each side. */
static tp_status put_around(tp_vocab_export *e) {
    tp_ids around = {0};
    TP_TRY(tp_tokenizer_encode(e->tokenizer, "", 0, TP_TOKENS_ADD_SPECIAL, &around));
    bool two = around.len == 2;
    if (two) {
        tp_gguf_put_u32(e->pairs, "tokenizer.ggml.bos_token_id",
                        (uint32_t)around.data[0]); /* what llama.cpp asks for */
        tp_gguf_put_u32(e->pairs, "tokenizer.ggml.cls_token_id", (uint32_t)around.data[0]);
        tp_gguf_put_u32(e->pairs, "tokenizer.ggml.seperator_token_id", (uint32_t)around.data[1]); /* so spelt there */
    }
    size_t n = around.len;
    tp_ids_free(&around);
    if (two) return TP_OK;
    return tp_fail(TP_ERR_UNSUPPORTED,
                   "%s: a WordPiece tokenizer in a GGUF file puts one token before a text and one behind it; this one "
                   "puts %zu around it",
                   e->path, n);
}

tp_status tp_gguf_put_wordpiece(tp_vocab_export *e) {
    const json_t *normalizer = json_object_get(e->root, "normalizer");
    const json_t *pre = json_object_get(e->root, "pre_tokenizer");
    const char *prefix = json_string_value(json_object_get(e->model, "continuing_subword_prefix"));
    const char *unknown = json_string_value(json_object_get(e->model, "unk_token"));
    if (!is_type(normalizer, "BertNormalizer"))
        return cannot_say(e, "WordPiece", "normalises texts by", type_of(normalizer));
    if (!flag(normalizer, "clean_text", true) || !flag(normalizer, "handle_chinese_chars", true))
        return cannot_say(e, "WordPiece", "does without", "clean_text or handle_chinese_chars");
    if (!is_type(pre, "BertPreTokenizer")) return cannot_say(e, "WordPiece", "cuts words by", type_of(pre));
    if (prefix && strcmp(prefix, "##") != 0) return cannot_say(e, "WordPiece", "marks pieces inside words by", prefix);
    bool lowercase = flag(normalizer, "lowercase", true);
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.model", "bert");
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.pre", "default");
    tp_gguf_put_bool(e->pairs, "tokenizer.ggml.normalizer.lowercase", lowercase);
    tp_gguf_put_bool(e->pairs, "tokenizer.ggml.normalizer.strip_accents", flag(normalizer, "strip_accents", lowercase));
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->texts[i], unknown ? unknown : "[UNK]") == 0) {
            e->types[i] = TP_GGUF_CONTROL; /* as llama.cpp's converter has it */
            tp_gguf_put_u32(e->pairs, "tokenizer.ggml.unknown_token_id", (uint32_t)i);
        }
    turn_prefixes(e);
    return put_around(e);
}
