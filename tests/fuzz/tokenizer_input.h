/* What must hold of any tokenizer that a file was read as: ids in range, decoding that ends, the same twice. */
#ifndef TP_TESTS_FUZZ_TOKENIZER_INPUT_H
#define TP_TESTS_FUZZ_TOKENIZER_INPUT_H

#include "base/mem.h"
#include "memory_file.h"
#include "text/tokenizer.h"

#include <string.h>

static inline void try_text(const tp_tokenizer *t, const char *text, size_t n, unsigned flags) {
    tp_ids ids = {0}, again = {0};
    if (tp_tokenizer_encode(t, text, n, flags, &ids) != TP_OK) {
        must(ids.len == 0 && strlen(tp_last_error()) > 10);
        return;
    }
    for (size_t i = 0; i < ids.len; i++) must(ids.data[i] >= 0 && ids.data[i] < tp_tokenizer_size(t));
    must(tp_tokenizer_encode(t, text, n, flags, &again) == TP_OK && again.len == ids.len);
    must(ids.len == 0 || memcmp(ids.data, again.data, ids.len * sizeof *ids.data) == 0);
    size_t length;
    char *back = tp_tokenizer_decode(t, ids.data, ids.len, flags, &length);
    must(back != NULL && back[length] == '\0');
    tp_free(back);
    tp_ids_free(&ids);
    tp_ids_free(&again);
}

static inline void try_tokenizer(tp_tokenizer *t, const char *path, const char *text, size_t n) {
    if (t == NULL) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), path) != NULL);
        return;
    }
    static const char fixed[] = "The <s> \xE2\x96\x81walk  12\n\xF0\x9F\x98\x80 e\xCC\x81\xFF ab </s>";
    for (unsigned flags = 0; flags < 16; flags += 5) {
        try_text(t, text, n, flags);
        try_text(t, fixed, sizeof fixed - 1, flags);
    }
    must(tp_tokenizer_bos(t) < tp_tokenizer_size(t) && tp_tokenizer_eos(t) < tp_tokenizer_size(t));
    must(strlen(tp_tokenizer_fingerprint(t)) == 32);
    tp_tokenizer_free(t);
}

#endif
