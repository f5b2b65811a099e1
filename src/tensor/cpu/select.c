/* Which kernel tables this processor gets: the best it can run, or lesser ones asked for by TELEPATHY_ISA. */
#include "tensor/kernels.h"
#include "tensor/quant_kernels.h"

#include <stdlib.h>
#include <string.h>

extern const tp_kernels tp_kernels_scalar;
#if defined(__x86_64__)
#include <cpuid.h>

extern const tp_kernels tp_kernels_avx2, tp_kernels_avx512;
extern const tp_quant_kernels tp_quant_kernels_avx2, tp_quant_kernels_avxvnni, tp_quant_kernels_avx512vnni;

/* The AVX2 table also reads f16 by hardware; not every compiler's __builtin_cpu_supports knows that feature. */
static int has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* VNNI in the encoding of AVX, which AVX-512's does not imply: leaf 7, subleaf 1. */
static int has_avxvnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
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

const tp_quant_kernels *tp_cpu_quant_named(const char *name) {
#if defined(__x86_64__)
    int avx2 = tp_cpu_named("avx2") != NULL;
    if (avx2 && strcmp(name, "avx2") == 0) return &tp_quant_kernels_avx2;
    if (avx2 && strcmp(name, "avxvnni") == 0 && has_avxvnni()) return &tp_quant_kernels_avxvnni;
    if (avx2 && strcmp(name, "avx512vnni") == 0 && tp_cpu_named("avx512") && __builtin_cpu_supports("avx512vnni"))
        return &tp_quant_kernels_avx512vnni;
#endif
    return NULL;
}

static const tp_quant_kernels *choose_quant(void) {
    static const char *const best_first[] = {"avx512vnni", "avxvnni", "avx2"};
    const char *asked = getenv("TELEPATHY_ISA");
    if (asked && strcmp(asked, "scalar") == 0) return NULL;
    if (asked && strcmp(asked, "avx2") == 0) return tp_cpu_quant_named("avx2");
    for (int i = 0; i < 3; i++) {
        const tp_quant_kernels *table = tp_cpu_quant_named(best_first[i]);
        if (table) return table;
    }
    return NULL;
}

const tp_quant_kernels *tp_cpu_quant(void) {
    static int chosen; /* 0: not yet; the same values whoever writes them first */
    static const tp_quant_kernels *table;
    if (!__atomic_load_n(&chosen, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&table, choose_quant(), __ATOMIC_RELAXED);
        __atomic_store_n(&chosen, 1, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&table, __ATOMIC_RELAXED);
}
