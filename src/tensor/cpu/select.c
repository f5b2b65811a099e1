/* Which kernel table this processor gets: the best it can run, or a lesser one asked for by TELEPATHY_ISA. */
#include "tensor/kernels.h"

#include <stdlib.h>
#include <string.h>

extern const tp_kernels tp_kernels_scalar;
#if defined(__x86_64__)
#include <cpuid.h>

extern const tp_kernels tp_kernels_avx2, tp_kernels_avx512;

/* The AVX2 table also reads f16 by hardware; not every compiler's __builtin_cpu_supports knows that feature. */
static int has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

const tp_kernels *tp_cpu_named(const char *name) {
    if (strcmp(name, "scalar") == 0) return &tp_kernels_scalar;
#if defined(__x86_64__)
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        return &tp_kernels_avx2;
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_f16c())
        return &tp_kernels_avx512;
#endif
    return NULL;
}

static const tp_kernels *choose(void) {
    const char *asked = getenv("TELEPATHY_ISA");
    const tp_kernels *table = asked ? tp_cpu_named(asked) : NULL;
    if (table == NULL) table = tp_cpu_named("avx512");
    if (table == NULL) table = tp_cpu_named("avx2");
    return table ? table : &tp_kernels_scalar;
}

const tp_kernels *tp_cpu(void) {
    static const tp_kernels *chosen; /* the same value whoever writes it first */
    const tp_kernels *table = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);
    if (table == NULL) {
        table = choose();
        __atomic_store_n(&chosen, table, __ATOMIC_RELEASE);
    }
    return table;
}
