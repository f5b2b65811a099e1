/* Unigram ("t5") and WordPiece ("bert") vocabularies of GGUF files as tokenizer.json, with the pipeline that llama.cpp
 * has around them, as near as the parts of tokenizers come to it. See hf_tokenizer_parts.h. */
#include "base/mem.h"
#include "base/str.h"
#include "lm/hf_tokenizer_parts.h"
#include "text/base64.h"

#include <math.h>
#include <string.h>

static const char BLANK[] = "\xE2\x96\x81"; /* U+2581 */

static bool said(int flag, bool by_default) {
    return flag < 0 ? by_default : flag != 0;
}

/* ---- Unigram ---- */

/* Tokens and scores; a token's place is its id, so only the unused ones at the end can be left out. */
static json_t *scored_tokens(const tp_tokenizer_export *e) {
    size_t n = e->v.n_tokens;
    while (n > 0 && tp_export_type(e, n - 1) == TP_GGUF_UNUSED) n--;
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *text = tp_export_text(e, e->v.tokens[i]);
        if (text == NULL) {
            json_decref(out);
            return NULL;
        }
        double score = (double)e->v.scores[i];
        if (isinf(score)) score = score > 0 ? 1e30 : -1e30; /* JSON has no infinity */
        json_array_append_new(out, json_pack("[o, f]", text, score));
    }
    return out;
}

static json_t *unigram_normalizers(const tp_tokenizer_export *e, bool squeeze) {
    json_t *steps = json_array();
    if (e->v.charsmap && e->v.n_charsmap > 0) {
        tp_str text = {0};
        tp_base64_write(&text, e->v.charsmap, e->v.n_charsmap);
        json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", text.data));
        tp_str_free(&text);
    }
    if (squeeze) {
        json_array_append_new(steps,
                              json_pack("{s:s, s:b, s:b}", "type", "Strip", "strip_left", true, "strip_right", true));
        json_array_append_new(
            steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "Regex", " {2,}", "content", " "));
    }
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
}

static json_t *metaspace(bool prefix) {
    return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", BLANK, "prepend_scheme",
                     prefix ? "always" : "never", "split", true);
}

tp_status tp_export_unigram(const tp_tokenizer_export *e, const tp_tokenizer *t, json_t *root, json_t *model) {
    json_t *vocab = scored_tokens(e);
    if (vocab == NULL) return tp_last_status();
    bool squeeze = said(e->v.remove_extra_whitespaces, false);
    bool prefix = squeeze || said(e->v.add_space_prefix, false);
    int64_t unknown = e->v.unknown >= 0 ? e->v.unknown : 2; /* as when it is read */
    json_object_set_new(root, "normalizer", unigram_normalizers(e, squeeze));
    json_object_set_new(root, "pre_tokenizer", metaspace(prefix));
    json_object_set_new(root, "decoder", metaspace(prefix));
    json_object_set_new(model, "type", json_string("Unigram"));
    json_object_set_new(model, "unk_id",
                        unknown < tp_tokenizer_size(t) ? json_integer((json_int_t)unknown) : json_null());
    json_object_set_new(model, "byte_fallback", json_false());
    json_object_set_new(model, "vocab", vocab);
    return TP_OK;
}

/* ---- WordPiece ---- */

/* What begins a word has U+2581 in front there, what goes on has ## here. */
static json_t *piece_text(const tp_tokenizer_export *e, size_t i) {
    tp_gguf_text t = e->v.tokens[i];
    if (tp_export_type(e, i) != TP_GGUF_NORMAL) return tp_export_text(e, t);
    size_t n = sizeof BLANK - 1;
    if (t.n > n && memcmp(t.bytes, BLANK, n) == 0) return tp_export_text(e, (tp_gguf_text){t.bytes + n, t.n - n});
    char *text = tp_format("##%.*s", (int)t.n, t.bytes);
    json_t *value = tp_export_text(e, (tp_gguf_text){text, strlen(text)});
    tp_free(text);
    return value;
}

tp_status tp_export_wordpiece(const tp_tokenizer_export *e, json_t *root, json_t *model) {
    json_t *vocab = json_object(), *unknown = NULL;
    json_object_set_new(model, "vocab", vocab);
    int64_t unknown_id = e->v.unknown >= 0 ? e->v.unknown : 100; /* as when it is read */
    for (size_t i = 0; i < e->v.n_tokens; i++) {
        if (tp_export_type(e, i) == TP_GGUF_UNUSED) continue;
        json_t *text = piece_text(e, i);
        if (text == NULL) {
            json_decref(unknown);
            return tp_last_status();
        }
        if ((int64_t)i == unknown_id) unknown = json_incref(text);
        bool seen = json_object_get(vocab, json_string_value(text)) != NULL;
        if (!seen) json_object_set_new(vocab, json_string_value(text), json_integer((json_int_t)i));
        json_decref(text);
    }
    bool lowercase = said(e->v.lowercase, true), accents = said(e->v.strip_accents, lowercase);
    json_object_set_new(root, "normalizer",
                        json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", true,
                                  "handle_chinese_chars", true, "strip_accents", accents, "lowercase", lowercase));
    json_object_set_new(root, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
    json_object_set_new(root, "decoder",
                        json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1));
    json_object_set_new(model, "type", json_string("WordPiece"));
    json_object_set_new(model, "unk_token", unknown ? unknown : json_string("[UNK]"));
    json_object_set_new(model, "continuing_subword_prefix", json_string("##"));
    json_object_set_new(model, "max_input_chars_per_word", json_integer(100));
    return TP_OK;
}
