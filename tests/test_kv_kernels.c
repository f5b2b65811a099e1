/* The kernels that read and write rows of a cache, in every table of this processor and every type, against
 * double-precision oracles written here. Buffers are fenced with NaN (numbers) or a pattern (bytes). */
#include "check.h"

#include "base/half.h"
#include "base/rng.h"
#include "tensor/kernels.h"

#include <math.h>
#include <stdbool.h>

static const tp_dtype types[] = {TP_F32, TP_F16, TP_BF16, TP_I8};
static const char *const tables[] = {"scalar", "avx2", "avx512"};
enum { FENCE = 36, MOST = 150 * 130 };

static _Alignas(64) unsigned char bytes[FENCE + MOST * 4 + FENCE]; /* rows, aligned as their numbers and no more */
static float scales[200], wide[MOST], read_back[FENCE + MOST + FENCE];

/* Fills n rows of d numbers in the type with the library's own scalar rounding; wide gets what they stand for. */
static unsigned char *make_rows(tp_dtype type, int64_t n, int64_t d, tp_rng *rng) {
    unsigned char *rows = bytes + FENCE;
    memset(bytes, 0xFF, sizeof bytes); /* NaN as f32, f16 and bf16 */
    for (int64_t j = 0; j < n; j++) scales[j] = (float)(0.01 + tp_rng_uniform(rng));
    for (int64_t i = 0; i < n * d; i++) {
        float x = (float)tp_rng_normal(rng);
        uint16_t half = type == TP_F16 ? tp_f32_to_f16(x) : tp_f32_to_bf16(x);
        int8_t small = (int8_t)((int)tp_rng_below(rng, 255) - 127);
        if (type == TP_F32) memcpy(rows + 4 * i, &x, 4);
        if (type == TP_F16 || type == TP_BF16) memcpy(rows + 2 * i, &half, 2);
        if (type == TP_I8) memcpy(rows + i, &small, 1);
        wide[i] = type == TP_F32    ? x
                  : type == TP_F16  ? tp_f16_to_f32(half)
                  : type == TP_BF16 ? tp_bf16_to_f32(half)
                                    : small * scales[i / d];
    }
    return rows;
}

static void reading(const tp_kernels *k, tp_dtype type, int64_t n, int64_t d, int64_t heads, tp_rng *rng) {
    const unsigned char *rows = make_rows(type, n, d, rng);
    const float *s = type == TP_I8 ? scales : NULL;
    int64_t stride = n + 5;
    float *q = malloc((size_t)(heads * d) * 4), *out = malloc((size_t)(heads * d) * 4);
    float *scores = malloc((size_t)(heads * stride) * 4), *p = malloc((size_t)(heads * stride) * 4);
    for (int64_t i = 0; i < heads * d; i++) q[i] = (float)tp_rng_normal(rng), out[i] = (float)tp_rng_normal(rng);
    for (int64_t i = 0; i < heads * stride; i++)
        scores[i] = NAN, p[i] = i % stride < n ? (float)tp_rng_uniform(rng) : NAN;
    float *before = malloc((size_t)(heads * d) * 4);
    memcpy(before, out, (size_t)(heads * d) * 4);
    k->kv_scores(type, scores, stride, q, heads, rows, s, n, d);
    k->kv_sums(type, out, p, stride, heads, rows, s, n, d);
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t j = 0; j < stride; j++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; j < n && i < d; i++) {
                sum += (double)q[h * d + i] * wide[j * d + i];
                size += fabs((double)q[h * d + i] * wide[j * d + i]);
            }
            float found = scores[h * stride + j];
            if (j >= n ? !isnan(found) : !(fabs(found - sum) <= 1e-6 * size))
                fail_msg("%s kv_scores, type %d, n %d, d %d: %g, not %g", k->name, (int)type, (int)n, (int)d, found,
                         sum);
        }
        for (int64_t i = 0; i < d; i++) {
            double sum = before[h * d + i], size = fabs(sum);
            for (int64_t j = 0; j < n; j++) {
                sum += (double)p[h * stride + j] * wide[j * d + i];
                size += fabs((double)p[h * stride + j] * wide[j * d + i]);
            }
            if (!(fabs(out[h * d + i] - sum) <= 2e-6 * size))
                fail_msg("%s kv_sums, type %d, n %d, d %d: %g, not %g", k->name, (int)type, (int)n, (int)d,
                         out[h * d + i], sum);
        }
    }
    for (size_t i = 0; i < sizeof read_back / 4; i++) read_back[i] = NAN;
    k->kv_read(type, read_back + FENCE, rows, s, n, d);
    assert_memory_equal(read_back + FENCE, wide, (size_t)(n * d) * 4);
    assert_true(isnan(read_back[FENCE - 1]) && isnan(read_back[FENCE + n * d]));
    free(q), free(out), free(scores), free(p), free(before);
}

/* One row written: each number is the nearest of its type, and nothing beside the row changes. */
static void writing(const tp_kernels *k, tp_dtype type, int64_t n, double size, tp_rng *rng) {
    float in[150], scale = -1, most = 0;
    size_t each = tp_dtype_size(type);
    for (int64_t i = 0; i < n; i++) {
        in[i] = (float)(size * tp_rng_normal(rng));
        if (fabsf(in[i]) > most) most = fabsf(in[i]);
    }
    memset(bytes, 0x5A, sizeof bytes);
    k->kv_write(type, bytes + FENCE, &scale, in, n);
    for (int i = 0; i < FENCE; i++)
        assert_true(bytes[i] == 0x5A && bytes[FENCE + (size_t)n * each + (size_t)i] == 0x5A);
    if (type != TP_I8) assert_true(scale == -1);
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        int8_t small;
        memcpy(&half, bytes + FENCE + 2 * i, 2);
        memcpy(&small, bytes + FENCE + i, 1);
        if (type == TP_F32) assert_memory_equal(bytes + FENCE + 4 * i, in + i, 4);
        if (type == TP_BF16) assert_int_equal(half, tp_f32_to_bf16(in[i]));
        if (type == TP_F16)
            assert_int_equal(half, fabsf(in[i]) > 65504 ? (in[i] > 0 ? 0x7BFF : 0xFBFF) : tp_f32_to_f16(in[i]));
        if (type == TP_I8) { /* the bound that docs/kv-cache.md states */
            assert_true(fabsf(scale - most / 127) <= 1e-6f * scale);
            assert_true(fabs((double)small * scale - in[i]) <= (0.5 + 1e-4) * scale && abs(small) <= 127);
            if (fabsf(in[i]) == most && most > 0) assert_int_equal(abs(small), 127);
        }
    }
}

static void every_table_and_type(void **state) {
    (void)state;
    static const int64_t lengths[] = {0, 1, 2, 3, 4, 5, 63, 64, 65, 149},
                         widths[] = {2, 4, 6, 12, 16, 20, 48, 64, 80, 128};
    static const int64_t head_counts[] = {1, 2, 3, 4, 5, 8};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const tp_kernels *k = tp_cpu_named(tables[t]);
        if (k == NULL) {
            fprintf(stderr, "SKIPPED: this processor has no %s; its cache kernels did not run\n", tables[t]);
            continue;
        }
        tp_rng rng = tp_rng_stream(3, "kv kernels", 0);
        for (size_t y = 0; y < sizeof types / sizeof *types; y++) {
            for (size_t a = 0; a < sizeof lengths / sizeof *lengths; a++)
                for (size_t b = 0; b < sizeof widths / sizeof *widths; b++)
                    reading(k, types[y], lengths[a], widths[b], head_counts[(a + b) % 6], &rng);
            for (int64_t n = 1; n < 150; n++)
                for (double size = 1e-6; size < 1e6; size *= 1e3) writing(k, types[y], n, size, &rng);
        }
    }
}

/* Zeros stay zeros (and no scale divides by them), f16 stops at its largest number, NaN is not hidden. */
static void extreme_rows(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const tp_kernels *k = tp_cpu_named(tables[t]);
        if (k == NULL) continue;
        float zeros[20] = {0}, tiny[20], huge[20], out[20], scale = -1;
        for (int i = 0; i < 20; i++) tiny[i] = 1e-39f * (float)i, huge[i] = i % 2 ? 1e30f : -INFINITY;
        k->kv_write(TP_I8, bytes, &scale, zeros, 20);
        k->kv_read(TP_I8, out, bytes, &scale, 1, 20);
        assert_memory_equal(out, zeros, sizeof zeros);
        k->kv_write(TP_I8, bytes, &scale, tiny, 20);
        k->kv_read(TP_I8, out, bytes, &scale, 1, 20);
        for (int i = 0; i < 20; i++) assert_true(fabsf(out[i]) <= 2e-38f);
        k->kv_write(TP_F16, bytes, NULL, huge, 20);
        k->kv_read(TP_F16, out, bytes, NULL, 1, 20);
        for (int i = 0; i < 20; i++) assert_true(out[i] == (i % 2 ? 65504.0f : -65504.0f));
        huge[3] = huge[18] = NAN;
        k->kv_write(TP_F16, bytes, NULL, huge, 20);
        k->kv_read(TP_F16, out, bytes, NULL, 1, 20);
        assert_true(isnan(out[3]) && isnan(out[18]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_and_type),
        cmocka_unit_test(extreme_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
