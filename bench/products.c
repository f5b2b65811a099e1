/* How near products with frozen weights of each type come to what the machine can do.
 *
 *     build/bench_products [rows=14336] [columns=4096] [type]
 *
 * One row of activations is bound by reading the weight: GB/s of its bytes, and the share of what a plain loop reads
 * from memory around it. 128 and 512 rows are bound by arithmetic: Gop/s (two per weight and row), and the ratio to
 * what oneDNN's f32 product of that size does. The backward product dx = dy W at 128 rows likewise. The weight is
 * random: speed does not depend on the numbers. With one thread processor time is counted, so that other programs
 * disturb less. */
#include "memory.h"

#include "base/half.h"
#include "base/rng.h"
#include "tensor/kernels.h"
#include "tensor/matmul.h"
#include "tensor/quant_kernels.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 512, RUNS = 5 };

static int64_t rows = 14336, cols = 4096;
static float *x, *y;
static tp_arena *scratch;

static tp_weight random_weight(tp_dtype dtype) {
    size_t bytes;
    tp_dtype_bytes(dtype, rows * cols, &bytes);
    unsigned char *data = aligned_alloc(64, (bytes + 127) / 64 * 64);
    tp_rng rng = tp_rng_stream(1, "weights", 0);
    if (dtype == TP_F32)
        for (int64_t i = 0; i < rows * cols; i++) ((float *)(void *)data)[i] = (float)(i % 251) * 1e-3f;
    else /* bytes below 60: small positive halves, hence no infinities in scales either */
        for (size_t i = 0; i < bytes; i++)
            data[i] = i % 4096 < 8 ? (unsigned char)tp_rng_below(&rng, 60) : (unsigned char)(i * 7 % 59);
    return (tp_weight){.name = "w", .dtype = dtype, .rows = rows, .cols = cols, .data = data};
}

/* Seconds of the fastest run. */
static double forward(tp_math math, int64_t m, const tp_weight *w) {
    double best = 1e30;
    for (int r = 0; r <= (m > 1 ? 2 : RUNS); r++) {
        double start = undisturbed_now();
        tp_matmul(math, scratch, y, x, m, w);
        double took = undisturbed_now() - start;
        if (took < best) best = took;
    }
    return best;
}

static double backward(int64_t m, const tp_weight *w) {
    double best = 1e30;
    for (int r = 0; r < 2; r++) {
        double start = undisturbed_now();
        tp_matmul_input_grad(TP_MATH_BF16, scratch, x, y, m, w);
        double took = undisturbed_now() - start;
        if (took < best) best = took;
    }
    return best;
}

int main(int argc, char **argv) {
    if (argc > 1) rows = atoll(argv[1]);
    if (argc > 2) cols = atoll(argv[2]);
    if (rows < 1 || cols < 256 || cols % 256) {
        fprintf(stderr, "usage: %s [rows] [columns, a multiple of 256] [type]\n", argv[0]);
        return 2;
    }
    static const tp_dtype types[] = {TP_F32,  TP_F16,  TP_BF16, TP_Q8_0, TP_Q4_0, TP_Q4_1, TP_Q5_0,
                                     TP_Q5_1, TP_Q2_K, TP_Q3_K, TP_Q4_K, TP_Q5_K, TP_Q6_K};
    scratch = tp_arena_new();
    size_t most = (size_t)(MANY * (rows > cols ? rows : cols));
    x = tp_alloc(most * sizeof *x);
    y = tp_alloc(most * sizeof *y);
    for (size_t i = 0; i < most; i++) x[i] = (float)(i * 7919 % 1013) / 500 - 1, y[i] = x[i] * 1e-3f;
    printf("%lld x %lld, %d threads, tables %s and %s\n", (long long)rows, (long long)cols, omp_get_max_threads(),
           tp_cpu()->name, tp_cpu_quant() ? tp_cpu_quant()->name : "none");
    double ops = 2.0 * (double)rows * (double)cols, reference = 0;
    tp_weight plain = random_weight(TP_F32);
    reference = 128 * ops / forward(TP_MATH_F32, 128, &plain) * 1e-9;
    printf("memory %.1f GB/s, oneDNN f32 %.1f GFLOP/s\n", memory_read_rate(), reference);
    printf("%-6s %9s %7s %9s %7s %9s %7s %9s\n", "type", "1: GB/s", "share", "128: Gop", "ratio", "512: Gop", "ratio",
           "dx: Gop");
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        if (argc > 3 && strcmp(argv[3], tp_dtype_name(types[t])) != 0) continue;
        tp_weight w = types[t] == TP_F32 ? plain : random_weight(types[t]);
        tp_math math = types[t] == TP_F32 ? TP_MATH_F32 : TP_MATH_BF16;
        size_t bytes;
        tp_dtype_bytes(types[t], rows * cols, &bytes);
        double memory = memory_read_rate(), one = (double)bytes / forward(math, 1, &w) * 1e-9;
        double some = 128 * ops / forward(math, 128, &w) * 1e-9, many = 512 * ops / forward(math, 512, &w) * 1e-9;
        double back = 128 * ops / backward(128, &w) * 1e-9;
        printf("%-6s %9.1f %6.0f%% %9.1f %7.2f %9.1f %7.2f %9.1f\n", tp_dtype_name(types[t]), one, 100 * one / memory,
               some, some / reference, many, many / reference, back);
        fflush(stdout);
        tp_weight_release(&w);
        if (types[t] != TP_F32) free((void *)(uintptr_t)w.data);
    }
    return 0;
}
