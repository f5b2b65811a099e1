/* The vocabulary of a GGUF file as tokenizer.json and tokenizer_config.json, for Hugging Face tokenizers. See
 * hf_export.h. Unigram and WordPiece are in hf_tokenizer_pieces.c.
 *
 * A byte-level BPE ("gpt2") keeps its tokens and merges; the pattern that cuts words is written out. A SentencePiece
 * BPE
 * ("llama") has scores instead of merges: every way to cut a token into two others becomes a merge, those of the
 * highest score first, which is what transformers does when it converts such a tokenizer. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "lm/hf_export.h"
#include "lm/hf_tokenizer_parts.h"
#include "text/patterns.h"

#include <stdlib.h>
#include <string.h>

typedef tp_tokenizer_export export;

int tp_export_type(const export *e, size_t i) {
    return e->v.types ? e->v.types[i] : TP_GGUF_NORMAL;
}

json_t *tp_export_text(const export *e, tp_gguf_text t) {
    json_t *value = json_stringn(t.bytes, t.n);
    if (value) return value;
    return tp_fail_null(TP_ERR_UNSUPPORTED, "%s: a token or merge is not UTF-8, tokenizer.json cannot hold it",
                        tp_gguf_path(e->file));
}

static json_t *vocabulary(const export *e) {
    json_t *out = json_object();
    for (size_t i = 0; i < e->v.n_tokens; i++) {
        json_t *check = tp_export_text(e, e->v.tokens[i]);
        if (check == NULL) {
            json_decref(out);
            return NULL;
        }
        json_decref(check);
        bool seen =
            tp_export_type(e, i) == TP_GGUF_UNUSED || json_object_getn(out, e->v.tokens[i].bytes, e->v.tokens[i].n);
        if (!seen) json_object_setn_new(out, e->v.tokens[i].bytes, e->v.tokens[i].n, json_integer((json_int_t)i));
    }
    return out;
}

static json_t *added_tokens(const export *e) {
    json_t *out = json_array();
    for (size_t i = 0; i < e->v.n_tokens; i++) {
        int type = tp_export_type(e, i);
        if (type != TP_GGUF_CONTROL && type != TP_GGUF_UNKNOWN && type != TP_GGUF_USER_DEFINED) continue;
        json_array_append_new(out, json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                                             tp_export_text(e, e->v.tokens[i]), "single_word", 0, "lstrip", 0, "rstrip",
                                             0, "normalized", 0, "special", type != TP_GGUF_USER_DEFINED));
    }
    return out;
}

/* ---- merges ---- */

static json_t *listed_merges(const export *e) {
    json_t *out = json_array();
    for (size_t i = 0; i < e->v.n_merges; i++) {
        tp_gguf_text m = e->v.merges[i];
        const char *blank = m.n > 1 ? memchr(m.bytes + 1, ' ', m.n - 1) : NULL;
        size_t n = blank ? (size_t)(blank - m.bytes) : 0;
        json_t *left = tp_export_text(e, (tp_gguf_text){m.bytes, n});
        json_t *right = blank ? tp_export_text(e, (tp_gguf_text){blank + 1, m.n - n - 1}) : NULL;
        if (left && right) {
            json_array_append_new(out, json_pack("[o, o]", left, right));
            continue;
        }
        json_decref(left);
        json_decref(right);
        json_decref(out);
        return tp_fail_null(TP_ERR_FORMAT, "%s: merge %zu of `tokenizer.ggml.merges` is no merge of two texts",
                            tp_gguf_path(e->file), i);
    }
    return out;
}

typedef struct {
    float score;
    int32_t left, right, joined;
} merge;

static int by_score(const void *a, const void *b) {
    const merge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->joined != y->joined) return x->joined < y->joined ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

static json_t *merges_by_score(export *e) {
    tp_vocab_reserve(&e->by_text, e->v.n_tokens);
    for (size_t i = 0; i < e->v.n_tokens; i++) {
        int type = tp_export_type(e, i);
        if (type != TP_GGUF_NORMAL && type != TP_GGUF_USER_DEFINED) continue;
        tp_vocab_set(&e->by_text, (int32_t)i, e->v.tokens[i].bytes, e->v.tokens[i].n);
        tp_vocab_index(&e->by_text, (int32_t)i);
    }
    merge *merges = NULL;
    size_t n = 0, capacity = 0;
    for (size_t i = 0; i < e->v.n_tokens; i++) {
        tp_gguf_text t = e->v.tokens[i];
        if (tp_export_type(e, i) != TP_GGUF_NORMAL) continue;
        for (size_t cut = 1; cut < t.n; cut++) {
            int32_t left = tp_vocab_find(&e->by_text, t.bytes, cut);
            int32_t right = left < 0 ? -1 : tp_vocab_find(&e->by_text, t.bytes + cut, t.n - cut);
            if (right < 0) continue;
            tp_grow(&merges, &capacity, n, sizeof *merges);
            merges[n++] = (merge){e->v.scores ? e->v.scores[i] : 0, left, right, (int32_t)i};
        }
    }
    if (n > 1) qsort(merges, n, sizeof *merges, by_score);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_pack("[o, o]", tp_export_text(e, e->v.tokens[merges[i].left]),
                                             tp_export_text(e, e->v.tokens[merges[i].right])));
    tp_free(merges);
    return out;
}

/* ---- the two kinds ---- */

static json_t *byte_level_step(void) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     0);
}

static tp_status fill_byte_level(export *e, json_t *root, json_t *model) {
    const tp_named_patterns *patterns = tp_patterns_find(e->v.pre ? e->v.pre : "default");
    if (patterns == NULL)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: the pre-tokenizer `%.60s` (`tokenizer.ggml.pre`) is not supported",
                       tp_gguf_path(e->file), e->v.pre);
    json_t *steps = json_array(), *merges = listed_merges(e);
    for (int i = 0; i < TP_MOST_PATTERNS && patterns->regex[i]; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                                               patterns->regex[i], "behavior", "Isolated", "invert", 0));
    json_array_append_new(steps, byte_level_step());
    json_object_set_new(root, "normalizer", json_null());
    json_object_set_new(root, "pre_tokenizer", json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps));
    json_object_set_new(root, "decoder", byte_level_step());
    json_object_set_new(model, "unk_token", json_null());
    json_object_set_new(model, "byte_fallback", json_false());
    json_object_set_new(model, "fuse_unk", json_false());
    json_object_set_new(model, "ignore_merges", json_boolean(patterns->whole_words));
    if (merges == NULL) return tp_last_status();
    json_object_set_new(model, "merges", merges);
    return TP_OK;
}

static tp_status fill_written(export *e, json_t *root, json_t *model) {
    const char *blank = "\xE2\x96\x81";
    bool prefix = e->v.add_space_prefix != 0;
    json_t *replace = json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", blank);
    json_t *normalizers = json_array(), *decoders = json_array();
    if (prefix) json_array_append_new(normalizers, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", blank));
    json_array_append_new(normalizers, replace);
    json_array_append_new(
        decoders, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", blank, "content", " "));
    json_array_append_new(decoders, json_pack("{s:s}", "type", "ByteFallback"));
    json_array_append_new(decoders, json_pack("{s:s}", "type", "Fuse"));
    if (prefix)
        json_array_append_new(
            decoders, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    json_object_set_new(root, "normalizer", json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", normalizers));
    json_object_set_new(root, "pre_tokenizer", json_null());
    json_object_set_new(root, "decoder", json_pack("{s:s, s:o}", "type", "Sequence", "decoders", decoders));
    int64_t unknown = e->v.unknown >= 0 ? e->v.unknown : 0;
    bool known = unknown < (int64_t)e->v.n_tokens;
    json_object_set_new(model, "unk_token", known ? tp_export_text(e, e->v.tokens[unknown]) : json_null());
    json_object_set_new(model, "byte_fallback", json_true());
    json_object_set_new(model, "fuse_unk", json_true());
    json_object_set_new(model, "ignore_merges", json_false());
    json_object_set_new(model, "merges", merges_by_score(e));
    return TP_OK;
}

/* ---- what stands around a text ---- */

static json_t *token_text(const export *e, int64_t id) {
    return id >= 0 && id < (int64_t)e->v.n_tokens ? tp_export_text(e, e->v.tokens[id]) : json_null();
}

static void add_around(json_t *list, json_t *specials, const char *name, int32_t id) {
    json_array_append_new(list, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", name, "type_id", 0));
    json_object_set_new(specials, name, json_pack("{s:s, s:[i], s:[s]}", "id", name, "ids", id, "tokens", name));
}

/* What the tokenizer puts around a text: at most one token on each side. */
static json_t *post_processor(const export *e, const tp_tokenizer *t) {
    tp_ids around = {0};
    tp_status status = tp_tokenizer_encode(t, "", 0, TP_TOKENS_ADD_SPECIAL, &around);
    bool both = around.len == 2, front = both || (around.len == 1 && tp_tokenizer_adds_bos(t));
    int32_t before = status == TP_OK && front ? around.data[0] : -1;
    int32_t behind = status == TP_OK && around.len > (size_t)front ? around.data[front] : -1;
    tp_ids_free(&around);
    if (before < 0 && behind < 0) return json_null();
    json_t *specials = json_object(), *single = json_array(), *pair = json_array();
    json_t *first = token_text(e, before), *last = token_text(e, behind), *const lists[] = {single, pair};
    for (int i = 0; i < 2; i++) {
        if (before >= 0) add_around(lists[i], specials, json_string_value(first), before);
        json_array_append_new(lists[i], json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
        if (i == 1) json_array_append_new(pair, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1));
        if (behind >= 0) add_around(lists[i], specials, json_string_value(last), behind);
    }
    json_decref(first);
    json_decref(last);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                     "special_tokens", specials);
}

static json_t *tokenizer_config(const export *e, const tp_tokenizer *t) {
    tp_gguf_fields f = {.file = e->file};
    char *template = tp_gguf_get_text(&f, "tokenizer.chat_template");
    json_t *out = json_pack("{s:b, s:o, s:b, s:o, s:s}", "add_bos_token", tp_tokenizer_adds_bos(t), "bos_token",
                            token_text(e, tp_tokenizer_bos(t)), "clean_up_tokenization_spaces", 0, "eos_token",
                            token_text(e, tp_tokenizer_eos(t)), "tokenizer_class", "PreTrainedTokenizerFast");
    if (template) json_object_set_new(out, "chat_template", json_string(template));
    tp_free(template);
    return out;
}

static tp_status fill_bpe(export *e, json_t *root, json_t *model) {
    static const char *const absent[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 3; i++) json_object_set_new(model, absent[i], json_null());
    TP_TRY(strcmp(e->v.model, "gpt2") == 0 ? fill_byte_level(e, root, model) : fill_written(e, root, model));
    json_t *vocab = vocabulary(e);
    if (vocab) json_object_set_new(model, "vocab", vocab);
    return vocab ? TP_OK : tp_last_status();
}

static tp_status write_both(export *e, const tp_tokenizer *t, const char *folder) {
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:o}", "version", "1.0", "truncation", "padding", "added_tokens", added_tokens(e));
    json_t *model = json_pack("{s:s}", "type", "BPE"), *config = tokenizer_config(e, t);
    tp_status status = strcmp(e->v.model, "t5") == 0     ? tp_export_unigram(e, t, root, model)
                       : strcmp(e->v.model, "bert") == 0 ? tp_export_wordpiece(e, root, model)
                                                         : fill_bpe(e, root, model);
    json_object_set_new(root, "post_processor", post_processor(e, t));
    json_object_set_new(root, "model", model);
    char *path = tp_path_join(folder, "tokenizer.json"), *config_path = tp_path_join(folder, "tokenizer_config.json");
    if (status == TP_OK) status = tp_json_save_file(root, path);
    if (status == TP_OK) status = tp_json_save_file(config, config_path);
    tp_free(path);
    tp_free(config_path);
    json_decref(config);
    json_decref(root);
    return status;
}

tp_status tp_hf_write_tokenizer(const tp_gguf *g, const char *folder) {
    export e = {.file = g};
    TP_TRY(tp_gguf_read_vocab(g, &e.v));
    tp_tokenizer *t = tp_tokenizer_from_gguf_vocab(&e.v, tp_gguf_path(g)); /* also checks every field */
    tp_status status = t ? TP_OK : tp_last_status();
    if (status == TP_OK) status = write_both(&e, t, folder);
    tp_tokenizer_free(t);
    tp_gguf_release_vocab(&e.v);
    tp_vocab_free(&e.by_text);
    return status;
}
