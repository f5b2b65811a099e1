/* A clock for measurements that other programs disturb as little as can be: with one thread its own processor time,
 * else the clock on the wall. */
#ifndef TP_BENCH_UNDISTURBED_H
#define TP_BENCH_UNDISTURBED_H

#include "base/clock.h"

#include <omp.h>
#include <time.h>

/* Seconds since some moment. */
static inline double undisturbed_now(void) {
    if (omp_get_max_threads() > 1) return tp_now();
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
