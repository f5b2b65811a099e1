/* libFuzzer: any bytes are either refused with a sentence or read as a SentencePiece model that encodes and decodes any
 * text. Each input is tried as a whole file, and as a list of pieces with a model around them: kind, a character map
 * of the input's own bytes, and the flags of the normaliser. */
#include "base/str.h"
#include "tokenizer_input.h"

static void put_varint(tp_str *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) tp_str_append_char(out, (char)(value | 0x80));
    tp_str_append_char(out, (char)value);
}

static void put_bytes(tp_str *out, uint32_t number, const void *bytes, size_t n) {
    put_varint(out, number << 3 | 2);
    put_varint(out, n);
    tp_str_append(out, bytes, n);
}

static void put_number(tp_str *out, uint32_t number, uint64_t value) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

static void put_piece(tp_str *out, const char *text, size_t n, float score, unsigned type) {
    tp_str piece = {0};
    put_bytes(&piece, 1, text, n);
    put_varint(&piece, 2 << 3 | 5);
    tp_str_append(&piece, &score, 4);
    put_number(&piece, 3, type);
    put_bytes(out, 1, piece.data, piece.len);
    tp_str_free(&piece);
}

/* Flags, length of the character map; then pieces: length and type in one byte, a score, the text. The rest is text to
 * encode. */
static void try_composed(const uint8_t *data, size_t size) {
    if (size < 4) return;
    unsigned flags = data[0];
    size_t n_map = data[1] < size - 2 ? data[1] : size - 2, at = 2 + n_map;
    tp_str file = {0}, spec = {0}, map = {0};
    put_piece(&file, "<unk>", 5, 0, 2);
    put_piece(&file, "\xE2\x96\x81", 3, -1, 1);
    for (int i = 0; i < 30 && at + 2 < size; i++) {
        size_t n = 1 + data[at] % 8;
        unsigned type = 1 + (data[at] >> 3) % 6;
        if (n > size - at - 2) break;
        put_piece(&file, (const char *)data + at + 2, n, -(float)data[at + 1] / 8, type);
        at += 2 + n;
    }
    put_number(&spec, 3, 1 + flags % 2);
    put_number(&spec, 35, flags >> 1 & 1);
    put_bytes(&file, 2, spec.data, spec.len);
    tp_str_clear(&spec);
    if (n_map > 8) {
        uint32_t units = (uint32_t)(n_map - 4) / 4 * 4;
        tp_str_append(&map, &units, 4);
        tp_str_append(&map, data + 2, n_map);
        tp_str_append(&map, "a\0bc\0", 5);
        put_bytes(&spec, 2, map.data, map.len);
    }
    put_number(&spec, 3, flags >> 2 & 1);
    put_number(&spec, 4, flags >> 3 & 1);
    put_number(&spec, 5, flags >> 4 & 1);
    put_bytes(&file, 3, spec.data, spec.len);
    const char *path = memory_file(file.data, file.len, NULL, 0);
    try_tokenizer(tp_tokenizer_load(path, NULL), path, (const char *)data + at, size - at);
    tp_str_free(&file);
    tp_str_free(&spec);
    tp_str_free(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = memory_file(data, size, NULL, 0);
    if (size == 0 || data[0] != '{') try_tokenizer(tp_tokenizer_load(path, "qwen2"), path, (const char *)data, size);
    try_composed(data, size);
    return 0;
}
