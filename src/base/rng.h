/* Counter-based random numbers in named streams.
 *
 * A stream is keyed by (seed, name, step); its n-th number is a pure function of the key and n (Philox4x32-10: Salmon,
 * Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). So data order, initialisation,
 * dropout and noise do not depend on each other, on the number of threads, or on whether a run was resumed: there is
 * no generator state to save. */
#ifndef TP_BASE_RNG_H
#define TP_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct tp_rng {
    uint32_t key[2];
    uint32_t counter[4]; /* [0..1]: the number's index / 4; [2..3]: the step */
    uint32_t block[4];
    int left; /* numbers of `block` not handed out yet */
} tp_rng;

/* The stream `name` of `seed` at `step` (use 0 where there is no step). */
tp_rng tp_rng_stream(uint64_t seed, const char *name, uint64_t step);

uint32_t tp_rng_u32(tp_rng *rng);
uint64_t tp_rng_below(tp_rng *rng, uint64_t n); /* uniform in 0..n-1, without bias; n > 0 */
double tp_rng_uniform(tp_rng *rng);             /* in [0, 1), 53 bits */
double tp_rng_normal(tp_rng *rng);              /* mean 0, variance 1 */
void tp_rng_fill_normal(tp_rng *rng, float *out, size_t n, double std);
void tp_rng_shuffle(tp_rng *rng, int64_t *items, size_t n); /* Fisher-Yates */

#endif
