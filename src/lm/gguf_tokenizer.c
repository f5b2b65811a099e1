/* The vocabulary inside a GGUF file: from metadata to the plain struct that text/ makes a tokenizer of. See
 * gguf_model.h.
 */
#include "base/mem.h"
#include "lm/gguf_model.h"

#include <string.h>

/* An array of texts as pointers into the file; NULL if there is none. */
static tp_gguf_text *texts(tp_gguf_fields *f, const char *key, size_t *n) {
    const tp_gguf_value *v = tp_gguf_get_array(f, key, TP_GGUF_TEXT);
    *n = 0;
    if (v == NULL) return NULL;
    tp_gguf_text *out = tp_try_alloc((size_t)v->n, sizeof *out);
    if (out == NULL) {
        f->status = tp_fail_context("reading %s", tp_gguf_path(f->file));
        return NULL;
    }
    for (size_t at = 0; *n < v->n; (*n)++) out[*n].bytes = tp_gguf_next_text(v, &at, &out[*n].n);
    return out;
}

/* An array of numbers, one for each of the n tokens, copied to where C can read it; NULL if there is none. */
static void *numbers(tp_gguf_fields *f, const char *key, tp_gguf_type type, size_t n, size_t size) {
    const tp_gguf_value *v = tp_gguf_get_array(f, key, type);
    if (v == NULL) return NULL;
    if (v->n != n) {
        f->status = tp_fail(TP_ERR_FORMAT, "%s: `%s` has %llu elements, `tokenizer.ggml.tokens` has %zu",
                            tp_gguf_path(f->file), key, (unsigned long long)v->n, n);
        return NULL;
    }
    void *out = tp_try_alloc(n, size);
    if (out == NULL) {
        f->status = tp_fail_context("reading %s", tp_gguf_path(f->file));
        return NULL;
    }
    return memcpy(out, v->data, n * size);
}

static int64_t id(tp_gguf_fields *f, const char *key) {
    return tp_gguf_get_whole(f, key, -1, 0, UINT32_MAX);
}

static int flag(tp_gguf_fields *f, const char *key) {
    return tp_gguf_find(f->file, key) ? tp_gguf_get_bool(f, key, false) : -1;
}

static void read_ids_and_flags(tp_gguf_fields *f, tp_gguf_vocab *v) {
    v->bos = id(f, "tokenizer.ggml.bos_token_id");
    v->eos = id(f, "tokenizer.ggml.eos_token_id");
    v->unknown = id(f, "tokenizer.ggml.unknown_token_id");
    v->separator = id(f, "tokenizer.ggml.seperator_token_id"); /* so spelt in the format */
    v->padding = id(f, "tokenizer.ggml.padding_token_id");
    v->cls = id(f, "tokenizer.ggml.cls_token_id");
    v->add_bos = flag(f, "tokenizer.ggml.add_bos_token");
    v->add_eos = flag(f, "tokenizer.ggml.add_eos_token");
    v->add_space_prefix = flag(f, "tokenizer.ggml.add_space_prefix");
    v->remove_extra_whitespaces = flag(f, "tokenizer.ggml.remove_extra_whitespaces");
    v->lowercase = flag(f, "tokenizer.ggml.normalizer.lowercase");
    v->strip_accents = flag(f, "tokenizer.ggml.normalizer.strip_accents");
}

tp_status tp_gguf_read_vocab(const tp_gguf *g, tp_gguf_vocab *v) {
    tp_gguf_fields f = {.file = g};
    tp_gguf_vocab_init(v);
    tp_gguf_require(&f, "tokenizer.ggml.model");
    tp_gguf_require(&f, "tokenizer.ggml.tokens");
    v->model = tp_gguf_get_text(&f, "tokenizer.ggml.model");
    v->pre = tp_gguf_get_text(&f, "tokenizer.ggml.pre");
    v->tokens = texts(&f, "tokenizer.ggml.tokens", &v->n_tokens);
    v->merges = texts(&f, "tokenizer.ggml.merges", &v->n_merges);
    v->types = numbers(&f, "tokenizer.ggml.token_type", TP_GGUF_I32, v->n_tokens, sizeof *v->types);
    v->scores = numbers(&f, "tokenizer.ggml.scores", TP_GGUF_F32, v->n_tokens, sizeof *v->scores);
    read_ids_and_flags(&f, v);
    const tp_gguf_value *charsmap = tp_gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    if (charsmap && charsmap->is_array && (charsmap->type == TP_GGUF_U8 || charsmap->type == TP_GGUF_I8))
        v->charsmap = charsmap->data, v->n_charsmap = charsmap->n_bytes;
    if (f.status != TP_OK) tp_gguf_release_vocab(v);
    return f.status;
}

void tp_gguf_release_vocab(tp_gguf_vocab *v) {
    const void *const owned[] = {v->model, v->pre, v->tokens, v->merges, v->types, v->scores};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) tp_free((void *)(uintptr_t)owned[i]);
    tp_gguf_vocab_init(v);
}

tp_tokenizer *tp_gguf_tokenizer(const tp_gguf *g) {
    tp_gguf_vocab v;
    if (tp_gguf_read_vocab(g, &v) != TP_OK) return NULL;
    tp_tokenizer *tokenizer = tp_tokenizer_from_gguf_vocab(&v, tp_gguf_path(g));
    tp_gguf_release_vocab(&v);
    return tokenizer;
}
