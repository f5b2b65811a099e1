/* libFuzzer: any bytes are either refused with a sentence or opened with everything a caller relies on in place; and
 * what opens is then asked for its configuration, its tokenizer and as a whole model, which may refuse it too.
 *
 * Each input is tried as a whole file, and as what follows a sound front whose counts are its first two bytes. The
 * seeds (tests/fuzz/seeds/gguf) are whole little models. */
#include "lm/gguf_model.h"
#include "lm/model.h"
#include "memory_file.h"

#include <string.h>

static void must_have_a_sentence(const char *path) {
    must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), path) != NULL);
}

static size_t read_values(const tp_gguf *g) {
    size_t sum = 0;
    for (size_t i = 0; i < tp_gguf_n_values(g); i++) {
        const tp_gguf_value *v = tp_gguf_value_at(g, i);
        must(i == 0 || strcmp(tp_gguf_value_at(g, i - 1)->key, v->key) < 0);
        must(tp_gguf_find(g, v->key) == v);
        size_t at = 0, len = 0;
        uint64_t texts = 0;
        for (const char *t; (t = tp_gguf_next_text(v, &at, &len)) != NULL; texts++)
            for (size_t k = 0; k < len; k++) sum += (unsigned char)t[k]; /* AddressSanitizer is watching */
        must(v->type != TP_GGUF_TEXT || texts == v->n);
        if (v->type == TP_GGUF_TEXT) continue;
        for (uint64_t k = 0; k < v->n; k++) sum += (size_t)tp_gguf_whole(v, k) + (tp_gguf_real(v, k) > 0);
    }
    return sum;
}

static size_t read_tensors(const tp_gguf *g, size_t file_size) {
    size_t total = 0, sum = 0;
    for (size_t i = 0; i < tp_gguf_count(g); i++) {
        const tp_st_tensor *t = tp_gguf_get(g, i);
        const unsigned char *bytes = t->data;
        for (size_t k = 0; k < t->n_bytes; k++) sum += bytes[k];
        total += t->n_bytes;
        must(i == 0 || strcmp(tp_gguf_get(g, i - 1)->name, t->name) < 0);
        if (t->dtype == TP_UNKNOWN) continue;
        must((uintptr_t)t->data % 8 == 0);
        int64_t n = 1;
        size_t expected;
        for (int d = 0; d < t->n_dims; d++) n *= t->shape[d];
        must(tp_dtype_bytes(t->dtype, n, &expected) && expected == t->n_bytes);
    }
    must(total < file_size || file_size == 0);
    return sum;
}

static volatile size_t sum; /* of all that can be read, so that it is */

static void try_file(const char *path, size_t file_size) {
    tp_gguf *g = tp_gguf_open(path);
    if (g == NULL) {
        must_have_a_sentence(path);
        return;
    }
    sum = read_values(g) + read_tensors(g, file_size);
    tp_lm_config config;
    if (tp_lm_config_from_gguf(g, &config) != TP_OK) must_have_a_sentence(path);
    tp_tokenizer *tokenizer = tp_gguf_tokenizer(g);
    if (tokenizer == NULL) must_have_a_sentence(path);
    if (tokenizer) {
        tp_ids ids = {0};
        tp_status status = tp_tokenizer_encode(tokenizer, "a b\xC3\xA9\xFF 12", 9, 0, &ids);
        if (status == TP_OK) tp_free(tp_tokenizer_decode(tokenizer, ids.data, ids.len, 0, NULL));
        tp_ids_free(&ids);
    }
    tp_tokenizer_free(tokenizer);
    tp_gguf_close(g);
    tp_lm *lm = tp_lm_load(path, false);
    if (lm == NULL) must_have_a_sentence(path);
    tp_lm_free(lm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_file(memory_file(data, size, NULL, 0), size);
    if (size < 2) return 0;
    uint8_t front[24] = {'G', 'G', 'U', 'F', 3};
    front[8] = data[0] % 8;
    front[16] = data[1] % 32;
    try_file(memory_file(front, sizeof front, data + 2, size - 2), sizeof front + size - 2);
    return 0;
}
