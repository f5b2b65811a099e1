/* The integer kernels for quantised weights (tensor/quant_kernels.h), every table this processor can run, against the
 * scalar codec and double precision. The VNNI tables' source is compiled here once more with the one instruction
 * written out, so that all but that instruction is proven on processors without it.
 *
 * Rows of weights are random bytes with sensible scales, every code and scale pattern that a file can hold; they stand
 * at the very end of an allocation, so that the sanitiser sees a read beyond them. */
#include "check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/matmul.h"
#include "tensor/quant.h"
#include "tensor/quant_kernels.h"

#include <math.h>

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define TP_QUANT_ISA    emulated
#define TP_EMULATE_VNNI 1
#include "tensor/cpu/quant_isa.c"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

static const tp_quant_kernels *tables[4];
static int n_tables;

static int find_tables(void **state) {
    (void)state;
    const char *names[] = {"avx2", "avxvnni", "avx512vnni"};
    for (int i = 0; i < 3; i++) {
        const tp_quant_kernels *table = tp_cpu_quant_named(names[i]);
        if (table)
            tables[n_tables++] = table;
        else
            fprintf(stderr, "SKIPPED: this processor has no %s; that table did not run\n", names[i]);
    }
#if defined(__x86_64__)
    if (tp_cpu_quant_named("avx2")) tables[n_tables++] = &tp_quant_kernels_emulated;
#endif
    return 0;
}

/* Where the binary16 scales of a block stand. */
static void scale_places(tp_dtype dtype, int places[2]) {
    static const int at[TP_END_BLOCK_TYPES - TP_BLOCK_TYPES][2] = {
        [TP_Q4_0 - TP_BLOCK_TYPES] = {0, -1},   [TP_Q4_1 - TP_BLOCK_TYPES] = {0, 2},
        [TP_Q5_0 - TP_BLOCK_TYPES] = {0, -1},   [TP_Q5_1 - TP_BLOCK_TYPES] = {0, 2},
        [TP_Q8_0 - TP_BLOCK_TYPES] = {0, -1},   [TP_Q2_K - TP_BLOCK_TYPES] = {80, 82},
        [TP_Q3_K - TP_BLOCK_TYPES] = {108, -1}, [TP_Q4_K - TP_BLOCK_TYPES] = {0, 2},
        [TP_Q5_K - TP_BLOCK_TYPES] = {0, 2},    [TP_Q6_K - TP_BLOCK_TYPES] = {208, -1},
    };
    memcpy(places, at[dtype - TP_BLOCK_TYPES], 2 * sizeof(int));
}

typedef struct {
    unsigned char *data;
    size_t row_bytes;
    float *values; /* [rows, cols] */
} weight;

/* `fill` < 0: random bytes; else every byte is that one. */
static weight make_weight(tp_rng *rng, tp_dtype dtype, int64_t rows, int64_t cols, int fill) {
    weight w = {0};
    size_t block;
    int places[2];
    assert_true(tp_dtype_bytes(dtype, cols, &w.row_bytes));
    assert_true(tp_dtype_bytes(dtype, tp_dtype_block(dtype), &block));
    scale_places(dtype, places);
    w.data = malloc((size_t)rows * w.row_bytes);
    for (size_t i = 0; i < (size_t)rows * w.row_bytes; i++)
        w.data[i] = fill < 0 ? (unsigned char)tp_rng_below(rng, 256) : (unsigned char)fill;
    for (size_t b = 0; b < (size_t)rows * w.row_bytes / block; b++)
        for (int p = 0; p < 2; p++) {
            tp_f16 h = tp_f32_to_f16((float)(0.02 * tp_rng_normal(rng)));
            if (places[p] >= 0) memcpy(w.data + b * block + places[p], &h, sizeof h);
        }
    w.values = malloc((size_t)(rows * cols) * sizeof(float));
    for (int64_t i = 0; i < rows; i++)
        tp_dequantize_row(dtype, w.data + (size_t)i * w.row_bytes, cols, w.values + i * cols);
    return w;
}

static void free_weight(weight *w) {
    free(w->data);
    free(w->values);
}

static tp_codes make_codes(const tp_quant_kernels *k, const float *x, int64_t m, int64_t cols) {
    tp_codes c = {.stride = (cols + TP_SPAN - 1) / TP_SPAN * TP_SPAN};
    size_t n = (size_t)(m * c.stride);
    c.code = malloc(n);
    c.scale = malloc(n / 8);
    c.sum32 = malloc(n / 8);
    c.sum16 = malloc(n / 4);
    for (int64_t i = 0; i < m; i++) k->quantize(&c, i, x + i * cols, cols);
    return c;
}

static void free_codes(tp_codes *c) {
    free(c->code), free(c->scale), free(c->sum32), free(c->sum16);
}

static double decoded(const tp_codes *c, int64_t i, int64_t j) {
    return (double)c->code[i * c->stride + j] * c->scale[(i * c->stride + j) / 32];
}

static float *normal(tp_rng *rng, int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    tp_rng_fill_normal(rng, x, (size_t)n, 1);
    return x;
}

static void test_quantize(void **state) {
    (void)state;
    enum { N = 288 };
    for (int t = 0; t < n_tables; t++) {
        tp_rng rng = tp_rng_stream(1, "quantize", 0);
        float *x = normal(&rng, N);
        for (int j = 32; j < 64; j++) x[j] = 0;                       /* a group of zeros */
        for (int j = 64; j < 96; j++) x[j] *= 1e-30f;                 /* one of very small numbers */
        for (int j = 96; j < 128; j++) x[j] = j % 2 ? 3e30f : -3e30f; /* and of very large ones */
        tp_codes c = make_codes(tables[t], x, 1, N);
        assert_int_equal(c.stride, 512);
        for (int64_t g = 0; g < c.stride / 32; g++) {
            double most = 0, sums[2] = {0};
            for (int64_t j = 32 * g; j < 32 * g + 32; j++) {
                if (j < N) most = fmax(most, fabs((double)x[j]));
                sums[j % 32 / 16] += decoded(&c, 0, j);
                double off = fabs(decoded(&c, 0, j) - (j < N ? (double)x[j] : 0));
                if (!(off <= c.scale[g] * 0.50001)) fail_msg("number %lld is off by %g", (long long)j, off);
                assert_true(c.code[j] >= -127);
            }
            assert_true(fabs(c.scale[g] - most / 127) <= 1e-7 * most);
            double near = 1e-5 * most;
            assert_true(fabs(c.sum16[2 * g] - sums[0]) <= near && fabs(c.sum16[2 * g + 1] - sums[1]) <= near);
            assert_true(fabs(c.sum32[g] - sums[0] - sums[1]) <= near);
        }
        free_codes(&c);
        x[100] = NAN, x[200] = INFINITY; /* neither may vanish */
        c = make_codes(tables[t], x, 1, N);
        assert_true(isnan(c.scale[3]) && isnan(c.scale[6]) && !isnan(c.scale[4]));
        free_codes(&c);
        free(x);
    }
}

static void test_dequantize(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++)
            for (int64_t n = tp_dtype_block(type); n <= 1024; n += tp_dtype_block(type)) {
                tp_rng rng = tp_rng_stream(2, "dequantize", (uint64_t)(type * 4096 + n));
                weight w = make_weight(&rng, type, 1, n, -1);
                float *out = malloc((size_t)n * sizeof *out);
                tables[t]->dequantize(type, w.data, n, out);
                for (int64_t i = 0; i < n; i++)
                    if (out[i] != w.values[i])
                        fail_msg("%s %s: number %lld is %a, not %a", tables[t]->name, tp_dtype_name(type), (long long)i,
                                 (double)out[i], (double)w.values[i]);
                free(out);
                free_weight(&w);
            }
}

/* Row i of the activations' codes times row j of the weight, and how large what was summed is. */
static double expected(const tp_codes *c, int64_t i, const weight *w, int64_t j, int64_t cols, double *size) {
    double sum = 0;
    *size = 1e-30;
    for (int64_t k = 0; k < cols; k++) {
        double product = decoded(c, i, k) * w->values[j * cols + k];
        sum += product;
        /* what the kernels sum is larger than the numbers: codes before the offset is taken off */
        *size += fabs(product) + fabs(decoded(c, i, k)) * 0.02 * 32;
    }
    return sum;
}

static void check_near(const tp_quant_kernels *k, int type, const char *what, int64_t cols, double found, double sum,
                       double size) {
    if (!(fabs(found - sum) <= 3e-6 * size))
        fail_msg("%s %s of %s, %lld columns: %.9g, expected %.9g within %.2g", k->name, what, tp_dtype_name(type),
                 (long long)cols, found, sum, 3e-6 * size);
}

static void check_products(const tp_quant_kernels *k, int type, int64_t cols, int fill, bool extreme) {
    enum { M = 8 };
    tp_rng rng = tp_rng_stream(3, "products", (uint64_t)(type * 8192 + cols));
    float *x = normal(&rng, M * cols);
    if (extreme) /* the largest codes, of one sign or alternating: 16-bit sums must hold them */
        for (int64_t i = 0; i < M * cols; i++) x[i] = i / cols % 2 ? 1 : i % 4 < 2 ? 1 : -1;
    weight w = make_weight(&rng, type, TP_PANEL_ROWS, cols, fill);
    tp_codes c = make_codes(k, x, M, cols);
    double size = 0;
    for (int64_t j = 0; j < TP_PANEL_ROWS; j += 5)
        for (int64_t i = 0; i < 5; i++) {
            float y[3] = {0, 0, -5};
            int64_t m = 1 + i % 2;
            k->dot(type, w.data + (size_t)j * w.row_bytes, cols, &c, i, m, y);
            for (int64_t a = 0; a < m; a++) {
                double sum = expected(&c, i + a, &w, j, cols, &size);
                check_near(k, type, "dot", cols, y[a], sum, size);
            }
            assert_true(y[2] == -5);
        }
    tp_panel *panel = aligned_alloc(64, (sizeof *panel + 63) / 64 * 64);
    for (int64_t rows = TP_PANEL_ROWS; rows > 0; rows -= 5) {
        memset(panel, 0x5a, sizeof *panel);
        float y[TP_TILE_ROWS][TP_PANEL_ROWS];
        for (int i = 0; i < TP_TILE_ROWS; i++)
            for (int j = 0; j < TP_PANEL_ROWS; j++) y[i][j] = 0.25f;
        for (int64_t from = 0; from < cols; from += TP_PANEL_COLS) {
            int64_t n = cols - from < TP_PANEL_COLS ? cols - from : TP_PANEL_COLS;
            const unsigned char *last = w.data + (size_t)(TP_PANEL_ROWS - rows) * w.row_bytes;
            k->unpack(type, last, (int64_t)w.row_bytes, rows, from, n, panel);
            k->multiply(type, panel, from, n, &c, 4, y);
        }
        for (int64_t i = 0; i < TP_TILE_ROWS; i++)
            for (int64_t j = 0; j < TP_PANEL_ROWS; j++) {
                double sum = 0;
                size = 0;
                if (j < rows) sum = expected(&c, 4 + i, &w, TP_PANEL_ROWS - rows + j, cols, &size);
                check_near(k, type, "tile", cols, y[i][j], sum + 0.25, size + 0.25);
            }
    }
    free(panel);
    free_codes(&c);
    free_weight(&w);
    free(x);
}

static void test_products(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++) {
            int64_t block = tp_dtype_block(type);
            for (int64_t cols = block; cols <= 3 * TP_SPAN; cols += block)
                check_products(tables[t], type, cols, -1, false);
            check_products(tables[t], type, 1024 + block, -1, false); /* three panels, the last not whole */
            check_products(tables[t], type, 768, 0xff, true);         /* the largest codes */
            check_products(tables[t], type, 768, 0x7f, true);
            check_products(tables[t], type, 768, 0x80, true);
        }
}

/* The product as the decoder asks for it: within the stated bound of the exact one, at every number of rows; and the
 * same rows whichever path they took. */
static void test_matmul_keeps_its_bound(void **state) {
    (void)state;
    const int64_t row_counts[] = {1, 2, 3, 4, 7, 33}, rows = 37;
    tp_arena *scratch = tp_arena_new();
    for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++)
        for (size_t r = 0; r < sizeof row_counts / sizeof *row_counts; r++) {
            int64_t m = row_counts[r], cols = 768;
            tp_rng rng = tp_rng_stream(4, "bound", (uint64_t)type);
            weight w = make_weight(&rng, type, rows, cols, -1);
            tp_weight as_weight = {.dtype = type, .rows = rows, .cols = cols, .data = w.data};
            float *x = normal(&rng, m * cols), *y = malloc((size_t)(m * rows) * sizeof *y);
            tp_matmul(TP_MATH_BF16, scratch, y, x, m, &as_weight);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < rows; j++) {
                    double sum = 0, bound = 0;
                    for (int64_t g = 0; g < cols; g += 32) {
                        double most = 0, size = 0;
                        for (int64_t k = g; k < g + 32; k++) {
                            sum += (double)x[i * cols + k] * w.values[j * cols + k];
                            most = fmax(most, fabs((double)x[i * cols + k]));
                            size += fabs((double)w.values[j * cols + k]);
                        }
                        bound += most / 254 * size;
                    }
                    if (!(fabs(y[i * rows + j] - sum) <= bound * 1.01))
                        fail_msg("%s, %lld rows: y[%lld,%lld] is off by %g, the bound is %g", tp_dtype_name(type),
                                 (long long)m, (long long)i, (long long)j, fabs(y[i * rows + j] - sum), bound);
                }
            free(x), free(y);
            free_weight(&w);
        }
    tp_arena_free(scratch);
}

static void test_tables_are_found_by_name(void **state) {
    (void)state;
    assert_null(tp_cpu_quant_named("mmx"));
    for (int t = 0; t < n_tables; t++)
        if (tp_cpu_quant_named(tables[t]->name)) assert_ptr_equal(tp_cpu_quant_named(tables[t]->name), tables[t]);
    if (tp_cpu_quant()) assert_ptr_equal(tp_cpu_quant(), tp_cpu_quant_named(tp_cpu_quant()->name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_found_by_name),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_dequantize),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_matmul_keeps_its_bound),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
