/* libFuzzer: any bytes are either refused with a sentence or opened with everything a caller relies on in place.
 *
 * Each input is tried three ways: as a whole file; as a header whose length is put in front of it (guessing the length
 * is hard), its first byte being the number of data bytes behind; and as instructions to compose a header that is
 * nearly right, which is what gets past the JSON parser to the checks between tensors. */
#include "base/str.h"
#include "lm/safetensors.h"
#include "memory_file.h"

#include <string.h>

static void try_file(const char *path, size_t file_size) {
    tp_safetensors *st = tp_safetensors_open(path);
    if (st == NULL) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), path) != NULL);
        return;
    }
    size_t total = 0, sum = 0;
    for (size_t i = 0; i < tp_safetensors_count(st); i++) {
        const tp_st_tensor *t = tp_safetensors_get(st, i);
        const unsigned char *bytes = t->data;
        for (size_t k = 0; k < t->n_bytes; k++) sum += bytes[k]; /* AddressSanitizer is watching */
        total += t->n_bytes;
        must(i == 0 || strcmp(tp_safetensors_get(st, i - 1)->name, t->name) < 0);
        must((tp_safetensors_find(st, t->name) == t) == (t->dtype != TP_UNKNOWN));
        size_t size = tp_dtype_size(t->dtype);
        if (size == 0) continue;
        must((uintptr_t)t->data % size == 0);
        size_t n = size;
        for (int d = 0; d < t->n_dims; d++) n *= (size_t)t->shape[d];
        must(n == t->n_bytes);
    }
    must(total < file_size && sum <= 255 * total);
    tp_safetensors_metadata(st, "format");
    tp_safetensors_close(st);
}

static void try_header(const char *header, size_t n, size_t n_data) {
    static unsigned char file[8 + 65536 + 4096];
    uint64_t length = n < 65536 ? n : 65536;
    memset(file, 7, sizeof file);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    try_file(memory_file(file, 8 + length + n_data, NULL, 0), 8 + length + n_data);
}

/* Six bytes a tensor: name, dtype, two dimensions, and how far begin and end are from where they belong. */
static void try_composed(const uint8_t *data, size_t size) {
    static const char *const dtypes[] = {"F32", "F16", "BF16", "U8", "I64", "BOOL", "F8_E4M3", "f32"};
    static const size_t sizes[] = {4, 2, 2, 1, 8, 1, 1, 4};
    static const long long dims[] = {0, 1, 2, 3, 4, 5, 8, -1, 1LL << 31, 1LL << 32, 1LL << 62, INT64_MAX};
    tp_str header = {0};
    long long reached = 0;
    for (size_t at = 0; at + 6 <= size && at < 60; at += 6) {
        const uint8_t *b = data + at;
        long long rows = dims[b[2] % (b[2] < 240 ? 7 : 12)], columns = dims[b[3] % (b[3] < 240 ? 7 : 12)];
        long long begin = reached + (b[4] < 230 ? 0 : b[4] - 243);
        unsigned long long bytes = (unsigned long long)rows * (unsigned long long)columns * sizes[b[1] % 8];
        long long end = begin + (long long)(bytes % 400) + (b[5] < 230 ? 0 : b[5] - 243);
        tp_str_appendf(&header, "%s\"%c\":{\"dtype\":\"%s\",\"shape\":[%lld,%lld],\"data_offsets\":[%lld,%lld]}",
                       at ? "," : "{", 'a' + b[0] % 26, dtypes[b[1] % 8], rows, columns, begin, end);
        reached = end;
    }
    if (size > 0 && data[0] >= 128)
        tp_str_appendf(&header, "%s\"__metadata__\":{\"k%d\":\"v\",\"k%d\":\"\"}", header.len ? "," : "{", data[0] % 8,
                       data[size - 1] % 8);
    tp_str_append_text(&header, header.len ? "}" : "{}");
    try_header(header.data, header.len, reached < 0 || reached > 4096 ? 0 : (size_t)reached);
    tp_str_free(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_file(memory_file(data, size, NULL, 0), size);
    if (size > 0) try_header((const char *)data + 1, size - 1, data[0]);
    try_composed(data, size);
    return 0;
}
