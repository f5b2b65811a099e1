/* The tokenizer of a Hugging Face folder as metadata of a GGUF file, with llama.cpp's meaning of every field. See
 * gguf_pairs.h.
 *
 * A byte-level BPE ("gpt2") is carried over exactly: tokens as written, merges, and the name of the pattern that cuts
 * words, which must be one that llama.cpp has. A BPE over U+2581 ("llama") has scores there instead of merges: a token
 * gets minus the rank of the first merge that makes it, which is how such tokenizers came about in the first place.
 * Unigram and WordPiece are in gguf_vocab_pieces.c. */
#include "base/file.h"
#include "base/json.h"
#include "lm/gguf_vocab_parts.h"
#include "lm/small_json.h"
#include "text/gguf_vocab.h"
#include "text/patterns.h"

#include <string.h>

enum { MAX_TOKENIZER = 256 << 20 };

typedef tp_vocab_export export;

static bool mentions(json_t *value, const char *type) {
    if (value == NULL || json_is_null(value)) return false;
    const char *own = json_string_value(json_object_get(value, "type"));
    if (own && strcmp(own, type) == 0) return true;
    const char *const lists[] = {"pretokenizers", "normalizers", "decoders", "processors"};
    for (int i = 0; i < 4; i++) {
        size_t at;
        json_t *item;
        json_array_foreach(json_object_get(value, lists[i]), at, item) if (mentions(item, type)) return true;
    }
    return false;
}

/* The regular expression of the first Split, NULL if there is none. */
static const char *split_pattern(json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type && strcmp(type, "Split") == 0)
        return json_string_value(json_object_get(json_object_get(value, "pattern"), "Regex"));
    size_t at;
    json_t *item;
    json_array_foreach(json_object_get(value, "pretokenizers"), at, item) {
        const char *found = split_pattern(item);
        if (found) return found;
    }
    return NULL;
}

static void set_token(export *e, int64_t id, const char *text, size_t n, int type) {
    e->texts[id] = text;
    e->bytes[id] = n;
    e->types[id] = type;
}

static bool is_byte_level(const export *e) {
    return mentions(json_object_get(e->root, "pre_tokenizer"), "ByteLevel");
}

static bool is_model(const export *e, const char *wanted) {
    const char *type = json_string_value(json_object_get(e->model, "type"));
    if (type == NULL) type = json_is_array(json_object_get(e->model, "vocab")) ? "Unigram" : "BPE"; /* old files */
    return strcmp(type, wanted) == 0;
}

static tp_status add_token(export *e, const char *text, int64_t id) {
    if (id < 0 || id >= (int64_t)e->n)
        return tp_fail(TP_ERR_FORMAT, "%s: the token `%.60s` has an id outside the model's %zu rows", e->path, text,
                       e->n);
    bool written = is_model(e, "BPE") && !is_byte_level(e);
    bool byte = written && strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
    set_token(e, id, text, strlen(text), byte ? TP_GGUF_BYTE : TP_GGUF_NORMAL);
    return TP_OK;
}

static tp_status read_tokens(export *e) {
    json_t *vocab = json_object_get(e->model, "vocab"), *token;
    const char *text;
    size_t at;
    json_object_foreach(vocab, text, token)
        TP_TRY(add_token(e, text, json_is_integer(token) ? json_integer_value(token) : -1));
    json_array_foreach(vocab, at, token) TP_TRY(add_token(e, json_string_value(json_array_get(token, 0)), (int64_t)at));
    json_array_foreach(json_object_get(e->root, "added_tokens"), at, token) {
        json_t *content = json_object_get(token, "content");
        int64_t id = json_integer_value(json_object_get(token, "id"));
        if (!json_is_string(content) || id < 0 || id >= (int64_t)e->n)
            return tp_fail(TP_ERR_FORMAT, "%s: `added_tokens[%zu]` has an id outside the model's %zu rows", e->path, at,
                           e->n);
        int type = json_is_true(json_object_get(token, "special")) ? TP_GGUF_CONTROL : TP_GGUF_USER_DEFINED;
        set_token(e, id, json_string_value(content), json_string_length(content), type);
    }
    for (size_t i = 0; i < e->n; i++) {
        if (e->texts[i]) continue; /* others are rows of the embedding that no text leads to */
        char *name = tp_arena_alloc(e->arena, 32);
        set_token(e, (int64_t)i, name, (size_t)snprintf(name, 32, "[PAD%zu]", i), TP_GGUF_UNUSED);
    }
    return TP_OK;
}

/* Merge i as "left right", which is how old files have it; new ones have two texts. */
static tp_status merge_text(const export *e, json_t *merges, size_t i, char **out) {
    json_t *merge = json_array_get(merges, i);
    const char *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));
    *out = json_is_string(merge) ? tp_strdup(json_string_value(merge))
           : left && right       ? tp_format("%s %s", left, right)
                                 : NULL;
    return *out ? TP_OK : tp_fail(TP_ERR_FORMAT, "%s: `model.merges[%zu]` is no merge of two texts", e->path, i);
}

static tp_status put_merges(const export *e, json_t *merges) {
    size_t n = json_array_size(merges), *bytes = tp_alloc((n + 1) * sizeof *bytes);
    char **texts = tp_alloc((n + 1) * sizeof *texts);
    tp_status status = TP_OK;
    for (size_t i = 0; i < n && status == TP_OK; i++) {
        status = merge_text(e, merges, i, &texts[i]);
        if (status == TP_OK) bytes[i] = strlen(texts[i]);
    }
    if (status == TP_OK) tp_gguf_put_texts(e->pairs, "tokenizer.ggml.merges", (const char *const *)texts, bytes, n);
    for (size_t i = 0; i < n; i++) tp_free(texts[i]);
    tp_free(texts);
    tp_free(bytes);
    return status;
}

/* The rank of the first merge that makes each token, negated; tokens that no merge makes come behind all of them. */
static tp_status score_by_merges(export *e, json_t *merges) {
    size_t n = json_array_size(merges);
    json_t *vocab = json_object_get(e->model, "vocab");
    for (size_t i = 0; i < e->n; i++) e->scores[i] = -(float)(n + i);
    for (size_t i = n; i-- > 0;) { /* backwards: the first is written last */
        char *text;
        TP_TRY(merge_text(e, merges, i, &text));
        char *blank = strchr(text + (text[0] != '\0'), ' ');
        if (blank) memmove(blank, blank + 1, strlen(blank));
        json_t *id = json_object_get(vocab, text);
        if (id) e->scores[json_integer_value(id)] = -(float)i;
        tp_free(text);
    }
    return TP_OK;
}

/* llama.cpp's name of a pattern: of several with the same one, that which also takes whole words if this one does. */
static const char *pattern_name(const char *regex, bool whole_words) {
    static const char *const names[] = {"llama-bpe", "smaug-bpe", "qwen2", "gpt-2", "gpt-4o", "tekken"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const tp_named_patterns *p = tp_patterns_find(names[i]);
        if (p == NULL || p->regex[1] != NULL || strcmp(p->regex[0], regex) != 0) continue;
        if (found == NULL || p->whole_words == whole_words) found = names[i];
    }
    return found;
}

static tp_status put_byte_level(export *e) {
    json_t *pre = json_object_get(e->root, "pre_tokenizer");
    const char *regex = split_pattern(pre);
    bool whole_words = json_is_true(json_object_get(e->model, "ignore_merges"));
    const char *name = regex ? pattern_name(regex, whole_words) : "gpt-2";
    if (name == NULL)
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "%s: its pre-tokenizer cuts words by `%.80s`, a pattern that llama.cpp has no name for", e->path,
                       regex);
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.model", "gpt2");
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.pre", name);
    return put_merges(e, json_object_get(e->model, "merges"));
}

static void put_unknown(export *e) {
    const char *unknown = json_string_value(json_object_get(e->model, "unk_token"));
    for (size_t i = 0; unknown && i < e->n; i++)
        if (strcmp(unknown, e->texts[i]) == 0) {
            e->types[i] = TP_GGUF_UNKNOWN;
            tp_gguf_put_u32(e->pairs, "tokenizer.ggml.unknown_token_id", (uint32_t)i);
        }
}

static tp_status put_written(export *e) {
    put_unknown(e);
    TP_TRY(score_by_merges(e, json_object_get(e->model, "merges")));
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.model", "llama");
    tp_gguf_put_text(e->pairs, "tokenizer.ggml.pre", "default");
    tp_gguf_put_numbers(e->pairs, "tokenizer.ggml.scores", TP_GGUF_F32, e->scores, e->n);
    json_t *normalizer = json_object_get(e->root, "normalizer"), *pre = json_object_get(e->root, "pre_tokenizer");
    const char *scheme = json_string_value(json_object_get(pre, "prepend_scheme"));
    bool metaspace = mentions(pre, "Metaspace") && (scheme == NULL || strcmp(scheme, "never") != 0);
    tp_gguf_put_bool(e->pairs, "tokenizer.ggml.add_space_prefix", mentions(normalizer, "Prepend") || metaspace);
    return TP_OK;
}

static tp_status put_bpe(export *e) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const char *affix = json_string_value(json_object_get(e->model, affixes[i]));
        if (affix && affix[0] != '\0')
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: `model.%s` of a BPE is set, which a GGUF file has no way to say",
                           e->path, affixes[i]);
    }
    return is_byte_level(e) ? put_byte_level(e) : put_written(e);
}

static tp_status put_all(export *e) {
    TP_TRY(read_tokens(e));
    TP_TRY(is_model(e, "Unigram")     ? tp_gguf_put_unigram(e)
           : is_model(e, "WordPiece") ? tp_gguf_put_wordpiece(e)
                                      : put_bpe(e));
    tp_gguf_put_texts(e->pairs, "tokenizer.ggml.tokens", e->texts, e->bytes, e->n);
    tp_gguf_put_numbers(e->pairs, "tokenizer.ggml.token_type", TP_GGUF_I32, e->types, e->n);
    return TP_OK;
}

static bool ends_with_eos(const tp_tokenizer *t) {
    tp_ids around = {0};
    tp_status status = tp_tokenizer_encode(t, "", 0, TP_TOKENS_ADD_SPECIAL, &around);
    size_t before = tp_tokenizer_adds_bos(t);
    bool ends = status == TP_OK && around.len > before && around.data[around.len - 1] == tp_tokenizer_eos(t);
    tp_ids_free(&around);
    return ends;
}

/* Which ids are special, and the chat template. */
static void put_specials(export *e, const char *folder) {
    tp_gguf_pairs *p = e->pairs;
    const tp_tokenizer *t = e->tokenizer;
    if (tp_tokenizer_bos(t) >= 0 && !is_model(e, "WordPiece"))
        tp_gguf_put_u32(p, "tokenizer.ggml.bos_token_id", (uint32_t)tp_tokenizer_bos(t));
    if (tp_tokenizer_eos(t) >= 0) tp_gguf_put_u32(p, "tokenizer.ggml.eos_token_id", (uint32_t)tp_tokenizer_eos(t));
    tp_gguf_put_bool(p, "tokenizer.ggml.add_bos_token", tp_tokenizer_adds_bos(t));
    tp_gguf_put_bool(p, "tokenizer.ggml.add_eos_token", ends_with_eos(t));
    char *path = tp_path_join(folder, "tokenizer_config.json");
    json_t *config = tp_path_exists(path) ? tp_small_json_load(path, MAX_TOKENIZER) : NULL;
    const char *template = json_string_value(json_object_get(config, "chat_template"));
    if (template) tp_gguf_put_text(p, "tokenizer.chat_template", template);
    json_decref(config);
    tp_free(path);
}

tp_status tp_gguf_put_tokenizer(tp_gguf_pairs *p, const char *folder, const tp_tokenizer *tokenizer, int vocab_size) {
    char *path = tp_path_join(folder, "tokenizer.json");
    export e = {.pairs = p, .path = path, .tokenizer = tokenizer, .n = (size_t)vocab_size, .arena = tp_arena_new()};
    e.root = tp_small_json_load(path, MAX_TOKENIZER);
    tp_status status = e.root ? TP_OK : tp_last_status();
    if (status == TP_OK) {
        e.model = json_object_get(e.root, "model");
        e.texts = tp_alloc(e.n * sizeof *e.texts);
        e.bytes = tp_alloc(e.n * sizeof *e.bytes);
        e.types = tp_alloc(e.n * sizeof *e.types);
        e.scores = tp_alloc(e.n * sizeof *e.scores);
        status = put_all(&e);
    }
    if (status == TP_OK) put_specials(&e, folder);
    tp_free(e.texts), tp_free(e.bytes), tp_free(e.types), tp_free(e.scores);
    tp_arena_free(e.arena);
    json_decref(e.root);
    tp_free(path);
    return status;
}
