/* libFuzzer: any rank file is either refused with a sentence or read as a tokenizer that gives back every byte it was
 * given. All 256 bytes are put in front of each input, as ranks 0 to 255, because without them nothing is accepted; the
 * input itself, and a text after its last line, follow. */
#include "base/str.h"
#include "tokenizer_input.h"

static void put_base64(tp_str *out, unsigned char byte) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    tp_str_appendf(out, "%c%c==", digits[byte >> 2], digits[byte << 4 & 63]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"llama3", "qwen2", "gpt2", "cl100k_base", "o200k_base", NULL};
    tp_str file = {0};
    for (int byte = 0; byte < 256; byte++) {
        put_base64(&file, (unsigned char)byte);
        tp_str_appendf(&file, " %d\n", byte);
    }
    const char *name = names[size % 6];
    const char *path = memory_file(file.data, file.len, data, size);
    tp_tokenizer *t = tp_tokenizer_load(path, name);
    if (t != NULL) { /* byte-level: nothing is lost */
        tp_ids ids = {0};
        if (tp_tokenizer_encode(t, (const char *)data, size, TP_TOKENS_PLAIN, &ids) == TP_OK) {
            size_t length;
            char *back = tp_tokenizer_decode(t, ids.data, ids.len, TP_TOKENS_PLAIN, &length);
            must(length == size && (size == 0 || memcmp(back, data, size) == 0));
            tp_free(back);
        }
        tp_ids_free(&ids);
    }
    try_tokenizer(t, path, (const char *)data, size);
    path = memory_file(data, size, NULL, 0);
    if (size > 0 && data[0] != '{') try_tokenizer(tp_tokenizer_load(path, name), path, "a b", 3);
    tp_str_free(&file);
    return 0;
}
