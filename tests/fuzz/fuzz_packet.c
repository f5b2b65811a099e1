/* libFuzzer: any bytes are either refused with a sentence or read as a packet of finite numbers. Inputs are tried as
 * they are and, with a header and a checksum that fit, as the numbers of a packet: the first seldom get past either. */
#include "base/hash.h"
#include "base/mem.h"
#include "memory_file.h"
#include "wire/packet.h"

#include <math.h>
#include <string.h>

static void try_packet(const unsigned char *bytes, size_t n) {
    unsigned char *exact = malloc(n ? n : 1); /* so that a byte read beyond the end is seen */
    must(exact != NULL);
    memcpy(exact, bytes, n);
    tp_packet_info info;
    float *soft = NULL;
    if (tp_packet_decode(exact, n, "packet", &info, &soft) != TP_OK) {
        must(soft == NULL && strstr(tp_last_error(), "packet") != NULL);
        free(exact);
        return;
    }
    for (int64_t i = 0; i < info.n_tokens * info.width; i++) must(isfinite(soft[i]));
    unsigned char *again;
    size_t m;
    must(tp_packet_encode(soft, &info, &again, &m) == TP_OK && m == n);
    must(info.dtype == TP_I8 || memcmp(again, exact, n) == 0); /* what can be read is written as it was */
    tp_free(again);
    tp_free(soft);
    free(exact);
}

/* The bytes as the fingerprints and numbers of a packet whose type and width its first two bytes choose. */
static void try_numbers(const uint8_t *data, size_t size) {
    static const unsigned char start[] = {'T', 'P', 'S', 'T', 1, 0};
    static const size_t sizes[] = {4, 2, 2, 1};
    if (size < 2 + 32) return;
    unsigned type = data[0] % 4, width = 1 + data[1] % 16;
    size_t row = width * sizes[type] + (type == 3 ? 4 : 0), rows = (size - 2 - 32) / row;
    if (rows == 0) return;
    size_t n = 48 + rows * row + 8;
    unsigned char *packet = tp_alloc(n);
    memcpy(packet, start, sizeof start);
    packet[6] = (unsigned char)(type + 1);
    for (int i = 0; i < 4; i++) packet[8 + i] = (unsigned char)(rows >> 8 * i);
    packet[12] = (unsigned char)width;
    memcpy(packet + 16, data + 2, 32 + rows * row);
    uint64_t sum = tp_hash64(packet, n - 8);
    for (int i = 0; i < 8; i++) packet[n - 8 + (size_t)i] = (unsigned char)(sum >> 8 * i);
    try_packet(packet, n);
    tp_free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_packet(data, size);
    try_numbers(data, size);
    return 0;
}
