/* libFuzzer: any bytes are either refused with a sentence that names the file, or opened as an array whose every byte
 * can be read. Each input is tried as a whole file, and as a header with the magic put in front and as many data bytes
 * behind as its first byte says. */
#include "base/npy.h"
#include "memory_file.h"

#include <string.h>

static void try_file(const char *path, size_t file_size) {
    tp_npy a;
    if (tp_npy_open(path, &a) != TP_OK) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), path) != NULL && a.data == NULL);
        return;
    }
    size_t n_bytes, sum = 0;
    must(tp_dtype_bytes(a.dtype, a.n, &n_bytes) && n_bytes < file_size);
    must((uintptr_t)a.data % tp_dtype_size(a.dtype) == 0);
    for (size_t i = 0; i < n_bytes; i++) sum += ((const unsigned char *)a.data)[i]; /* AddressSanitizer is watching */
    int64_t n = 1;
    for (int d = 0; d < a.n_dims; d++) n = a.shape[d] == 0 ? 0 : n * (n ? a.shape[d] : 0);
    must(n == a.n && sum <= 255 * n_bytes);
    tp_npy_close(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_file(memory_file(data, size, NULL, 0), size);
    if (size == 0 || size > 8192) return 0;
    static unsigned char file[10 + 8192 + 255];
    size_t n = size - 1;
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (unsigned char)n;
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + 10, data + 1, n);
    try_file(memory_file(file, 10 + n + data[0], NULL, 0), 10 + n + data[0]);
    return 0;
}
