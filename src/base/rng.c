/* Philox4x32-10 and what is drawn from it. See rng.h. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

static void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k[1],
                            (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u; /* the Weyl constants of the paper */
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

tp_rng tp_rng_stream(uint64_t seed, const char *name, uint64_t step) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a of the name, mixed with the seed */
    for (const char *p = name; *p; p++) hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    hash ^= seed * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    return (tp_rng){.key = {(uint32_t)hash, (uint32_t)(hash >> 32)},
                    .counter = {0, 0, (uint32_t)step, (uint32_t)(step >> 32)}};
}

uint32_t tp_rng_u32(tp_rng *rng) {
    if (rng->left == 0) {
        philox_block(rng->counter, rng->key, rng->block);
        if (++rng->counter[0] == 0) rng->counter[1]++;
        rng->left = 4;
    }
    return rng->block[--rng->left];
}

static uint64_t next_u64(tp_rng *rng) {
    uint64_t high = tp_rng_u32(rng);
    return high << 32 | tp_rng_u32(rng);
}

uint64_t tp_rng_below(tp_rng *rng, uint64_t n) {
    uint64_t reject = (0 - n) % n; /* 2^64 mod n: the first so many values would be drawn once too often */
    uint64_t x;
    do x = next_u64(rng);
    while (x < reject);
    return x % n;
}

double tp_rng_uniform(tp_rng *rng) {
    return (double)(next_u64(rng) >> 11) * 0x1p-53;
}

double tp_rng_normal(tp_rng *rng) {
    /* Box-Muller, one of the pair: simple, and a number depends only on its place in the stream. */
    double u = 1.0 - tp_rng_uniform(rng); /* in (0, 1] */
    double v = tp_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void tp_rng_fill_normal(tp_rng *rng, float *out, size_t n, double std) {
    for (size_t i = 0; i < n; i++) out[i] = (float)(std * tp_rng_normal(rng));
}

void tp_rng_shuffle(tp_rng *rng, int64_t *items, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)tp_rng_below(rng, i);
        int64_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
