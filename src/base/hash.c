/* XXH3 behind three functions. See hash.h. */
#include "base/hash.h"

#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* for the size of the state */
#include <xxhash.h>

struct tp_hash {
    XXH3_state_t state;
};

tp_hash *tp_hash_new(void) {
    XXH3_state_t *state = XXH3_createState(); /* the state wants 64-byte alignment: let the library allocate it */
    XXH3_128bits_reset(state);
    return (tp_hash *)state;
}

void tp_hash_add(tp_hash *h, const void *bytes, size_t n) {
    XXH3_128bits_update(&h->state, bytes, n);
}

void tp_hash_add_text(tp_hash *h, const char *text) {
    tp_hash_add(h, text, strlen(text) + 1);
}

void tp_hash_end(tp_hash *h, char hex[33]) {
    XXH128_hash_t value = XXH3_128bits_digest(&h->state);
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)value.high64, (unsigned long long)value.low64);
    XXH3_freeState(&h->state);
}

bool tp_hash_to_bytes(const char *hex, unsigned char bytes[16]) {
    if (strlen(hex) != 32 || strspn(hex, "0123456789abcdef") != 32) return false;
    for (int i = 0; i < 32; i++) {
        int digit = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
        bytes[i / 2] = (unsigned char)(i % 2 ? bytes[i / 2] | digit : digit << 4);
    }
    return true;
}

void tp_hash_from_bytes(const unsigned char bytes[16], char hex[33]) {
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

uint64_t tp_hash64(const void *bytes, size_t n) {
    return XXH3_64bits(bytes, n);
}
