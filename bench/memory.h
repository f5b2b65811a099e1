/* What a plain loop of all threads reads from memory that no cache holds: what decoding is measured against. */
#ifndef TP_BENCH_MEMORY_H
#define TP_BENCH_MEMORY_H

#include "undisturbed.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GB/s of the fastest of some runs over the same 128 MiB. */
static inline double memory_read_rate(void) {
    enum { WORDS = 1 << 24, TIMES = 5 };
    static uint64_t *words;
    if (words == NULL) {
        words = aligned_alloc(64, WORDS * sizeof *words);
        memset(words, 1, WORDS * sizeof *words);
    }
    double best = 1e30;
    uint64_t sum = 0;
    for (int r = 0; r < TIMES; r++) {
        double start = undisturbed_now();
#pragma omp parallel for reduction(+ : sum)
        for (int64_t i = 0; i < WORDS; i += 8)
            sum += (words[i] ^ words[i + 1]) + (words[i + 2] ^ words[i + 3]) + (words[i + 4] ^ words[i + 5]) +
                   (words[i + 6] ^ words[i + 7]);
        double took = undisturbed_now() - start;
        if (took < best) best = took;
    }
    if (sum == 1) puts("never"); /* keeps the loop */
    return WORDS * sizeof *words / best * 1e-9;
}

#endif
