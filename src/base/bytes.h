/* Integers in files: little-endian, of any size and at any address. */
#ifndef TP_BASE_BYTES_H
#define TP_BASE_BYTES_H

#include <stdint.h>

/* The lowest n bytes (at most 8) of the value, lowest first. */
static inline void tp_put_le(unsigned char *at, uint64_t value, int n) {
    for (int i = 0; i < n; i++) at[i] = (unsigned char)(value >> 8 * i);
}

static inline uint64_t tp_get_le(const unsigned char *at, int n) {
    uint64_t value = 0;
    for (int i = 0; i < n; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

#endif
