/* Fills a tp_gguf_vocab from a GGUF file with nothing but the format's description, so that the tests of vocabularies
 * stand apart from the reader in lm/. It trusts the file. */
#ifndef TP_TESTS_GGUF_VOCAB_FILE_H
#define TP_TESTS_GGUF_VOCAB_FILE_H

#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/gguf_vocab.h"

typedef struct gguf_file {
    char *bytes;
    const char *at;
    tp_gguf_vocab vocab;
    void *owned[8];
    int n_owned;
} gguf_file;

static inline uint64_t gguf_number(gguf_file *f, size_t n) {
    uint64_t value = 0;
    memcpy(&value, f->at, n);
    f->at += n;
    return value;
}

static inline tp_gguf_text gguf_string(gguf_file *f) {
    tp_gguf_text text = {.n = gguf_number(f, 8)};
    text.bytes = f->at;
    f->at += text.n;
    return text;
}

static inline void *gguf_own(gguf_file *f, size_t n) {
    return f->owned[f->n_owned++] = tp_alloc(n);
}

static inline const char *gguf_c_text(gguf_file *f, tp_gguf_text text) {
    return memcpy(gguf_own(f, text.n + 1), text.bytes, text.n);
}

enum { GGUF_STRING = 8, GGUF_ARRAY = 9 };

static inline void gguf_take_array(gguf_file *f, const char *key) {
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t type = gguf_number(f, 4), n = gguf_number(f, 8);
    if (type == GGUF_STRING) {
        tp_gguf_text *texts = tp_alloc(n * sizeof *texts);
        for (uint64_t i = 0; i < n; i++) texts[i] = gguf_string(f);
        bool tokens = strcmp(key, "tokenizer.ggml.tokens") == 0, merges = strcmp(key, "tokenizer.ggml.merges") == 0;
        if (tokens) f->vocab.tokens = texts, f->vocab.n_tokens = n;
        if (merges) f->vocab.merges = texts, f->vocab.n_merges = n;
        if (tokens || merges) f->owned[f->n_owned++] = texts;
        if (!tokens && !merges) tp_free(texts);
        return;
    }
    void *copy = NULL;
    bool scores = strcmp(key, "tokenizer.ggml.scores") == 0, types = strcmp(key, "tokenizer.ggml.token_type") == 0;
    bool charsmap = strcmp(key, "tokenizer.ggml.precompiled_charsmap") == 0;
    if (scores || types || charsmap) copy = memcpy(gguf_own(f, n * sizes[type]), f->at, n * sizes[type]);
    if (scores) f->vocab.scores = copy;
    if (types) f->vocab.types = copy;
    if (charsmap) f->vocab.charsmap = copy, f->vocab.n_charsmap = n;
    f->at += n * sizes[type];
}

static inline void gguf_take_number(gguf_file *f, const char *key, uint64_t value) {
    tp_gguf_vocab *v = &f->vocab;
    const struct {
        const char *key;
        int64_t *id;
        int *flag;
    } fields[] = {{"bos_token_id", &v->bos, NULL},
                  {"eos_token_id", &v->eos, NULL},
                  {"unknown_token_id", &v->unknown, NULL},
                  {"seperator_token_id", &v->separator, NULL},
                  {"padding_token_id", &v->padding, NULL},
                  {"cls_token_id", &v->cls, NULL},
                  {"add_bos_token", NULL, &v->add_bos},
                  {"add_eos_token", NULL, &v->add_eos},
                  {"add_space_prefix", NULL, &v->add_space_prefix},
                  {"remove_extra_whitespaces", NULL, &v->remove_extra_whitespaces},
                  {"normalizer.lowercase", NULL, &v->lowercase},
                  {"normalizer.strip_accents", NULL, &v->strip_accents}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strncmp(key, "tokenizer.ggml.", 15) != 0 || strcmp(key + 15, fields[i].key) != 0) continue;
        if (fields[i].id) *fields[i].id = (int64_t)value;
        if (fields[i].flag) *fields[i].flag = (int)value;
    }
}

/* Free with gguf_file_free. */
static inline gguf_file *gguf_file_open(const char *path) {
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    gguf_file *f = tp_alloc(sizeof *f);
    tp_gguf_vocab_init(&f->vocab);
    check_ok(tp_read_file(path, 0, &f->bytes, &(size_t){0}));
    assert_memory_equal(f->bytes, "GGUF\3\0\0\0", 8);
    f->at = f->bytes + 16;
    for (uint64_t n = gguf_number(f, 8); n > 0; n--) {
        char key[256] = {0};
        tp_gguf_text name = gguf_string(f);
        memcpy(key, name.bytes, name.n < 255 ? name.n : 255);
        uint64_t type = gguf_number(f, 4);
        if (type == GGUF_ARRAY) {
            gguf_take_array(f, key);
        } else if (type == GGUF_STRING) {
            tp_gguf_text text = gguf_string(f);
            if (strcmp(key, "tokenizer.ggml.model") == 0) f->vocab.model = gguf_c_text(f, text);
            if (strcmp(key, "tokenizer.ggml.pre") == 0) f->vocab.pre = gguf_c_text(f, text);
        } else {
            gguf_take_number(f, key, gguf_number(f, sizes[type]));
        }
    }
    return f;
}

static inline void gguf_file_free(gguf_file *f) {
    for (int i = 0; i < f->n_owned; i++) tp_free(f->owned[i]);
    tp_free(f->bytes);
    tp_free(f);
}

static inline tp_tokenizer *load_gguf_vocab(const char *path) {
    gguf_file *f = gguf_file_open(path);
    tp_tokenizer *t = tp_tokenizer_from_gguf_vocab(&f->vocab, path);
    gguf_file_free(f);
    return t;
}

#endif
