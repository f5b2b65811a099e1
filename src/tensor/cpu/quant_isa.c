/* The kernels of tensor/quant_kernels.h, written once and compiled once per instruction set.
 *
 * TP_QUANT_ISA names the table. What differs between instruction sets is one step: four neighbouring codes times four
 * activations, summed into a 32-bit number (`dot4`): one instruction with VNNI (of which there are two encodings),
 * three with AVX2. Processors with neither multiply dequantised numbers (matmul.c). */
#include "tensor/quant_kernels.h"

#include "tensor/cpu/quant_codes.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define STRING_(a)  #a
#define STRING(a)   STRING_(a)

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(TP_EMULATE_VNNI)
#define VNNI 1
#else
#define VNNI 0
#endif

/* ---- the step ---- */

TP_INLINE i16x16 pairs(u8x32 a, i8x32 b) { /* a[2i] b[2i] + a[2i+1] b[2i+1], which must fit 16 bits */
    return (i16x16)_mm256_maddubs_epi16((__m256i)a, (__m256i)b);
}

TP_INLINE i32x8 widened(i16x16 a) { /* sums of pairs */
    return (i32x8)_mm256_madd_epi16((__m256i)a, _mm256_set1_epi16(1));
}

/* sum + a[4i] b[4i] + .. + a[4i+3] b[4i+3]. Without VNNI the sums of two must fit 16 bits. */
TP_INLINE i32x8 dot4(i32x8 sum, u8x32 a, i8x32 b) {
#if defined(TP_EMULATE_VNNI) /* for tests: what the instruction does, on a processor without it */
    __m256i low = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_castsi256_si128((__m256i)a)),
                                    _mm256_cvtepi8_epi16(_mm256_castsi256_si128((__m256i)b)));
    __m256i high = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_extracti128_si256((__m256i)a, 1)),
                                     _mm256_cvtepi8_epi16(_mm256_extracti128_si256((__m256i)b, 1)));
    return sum + (i32x8)_mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xd8);
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return (i32x8)_mm256_dpbusd_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif defined(__AVXVNNI__)
    return (i32x8)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#else
    return sum + widened(pairs(a, b));
#endif
}

TP_INLINE float sum_of(f32x8 v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/* A switch from the type to code in which it is a constant. */
#define FOR_TYPE(type, CALL)                                                                                           \
    switch (type) {                                                                                                    \
    case TP_Q4_0:                                                                                                      \
        CALL(TP_Q4_0);                                                                                                 \
        break;                                                                                                         \
    case TP_Q4_1:                                                                                                      \
        CALL(TP_Q4_1);                                                                                                 \
        break;                                                                                                         \
    case TP_Q5_0:                                                                                                      \
        CALL(TP_Q5_0);                                                                                                 \
        break;                                                                                                         \
    case TP_Q5_1:                                                                                                      \
        CALL(TP_Q5_1);                                                                                                 \
        break;                                                                                                         \
    case TP_Q2_K:                                                                                                      \
        CALL(TP_Q2_K);                                                                                                 \
        break;                                                                                                         \
    case TP_Q3_K:                                                                                                      \
        CALL(TP_Q3_K);                                                                                                 \
        break;                                                                                                         \
    case TP_Q4_K:                                                                                                      \
        CALL(TP_Q4_K);                                                                                                 \
        break;                                                                                                         \
    case TP_Q5_K:                                                                                                      \
        CALL(TP_Q5_K);                                                                                                 \
        break;                                                                                                         \
    case TP_Q6_K:                                                                                                      \
        CALL(TP_Q6_K);                                                                                                 \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(TP_Q8_0);                                                                                                 \
        break;                                                                                                         \
    }

/* ---- activations ---- */

/* 32 numbers: their codes, their scale, the sums of the first and the last 16 codes. A NaN or an infinity makes the
 * scale NaN, so that it reaches every product as it would without codes. */
TP_INLINE float quantize_group(const float *x, int8_t *code, int32_t sums[2]) {
    const __m256 sign = _mm256_set1_ps(-0.0f), finite = _mm256_set1_ps(FLT_MAX);
    __m256 v[4], most = _mm256_setzero_ps(), spoilt = _mm256_setzero_ps();
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_loadu_ps(x + 8 * j);
        __m256 size = _mm256_andnot_ps(sign, v[j]);
        most = _mm256_max_ps(most, size);
        spoilt = _mm256_or_ps(spoilt, _mm256_cmp_ps(size, finite, _CMP_NLE_UQ));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float largest = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    __m256i q[4];
    for (int j = 0; j < 4; j++) q[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inverse)); /* to the nearest */
    __m256i first = _mm256_add_epi32(q[0], q[1]), last = _mm256_add_epi32(q[2], q[3]);
    __m256i both = _mm256_hadd_epi32(_mm256_hadd_epi32(first, last), _mm256_setzero_si256());
    __m128i total = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sums[0] = _mm_cvtsi128_si32(total);
    sums[1] = _mm_extract_epi32(total, 1);
    /* packing works in each half of the register: the last step puts the fours into order */
    __m256i words = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    words = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)code, words);
    return _mm256_movemask_ps(spoilt) ? NAN : largest / 127.0f;
}

static void quantize(const tp_codes *to, int64_t i, const float *x, int64_t n) {
    int8_t *code = to->code + i * to->stride;
    float *scale = to->scale + i * (to->stride / 32), *sum32 = to->sum32 + i * (to->stride / 32);
    float *sum16 = to->sum16 + i * (to->stride / 16);
    for (int64_t b = 0; b < n / 32; b++) {
        int32_t sums[2];
        scale[b] = quantize_group(x + 32 * b, code + 32 * b, sums);
        for (int h = 0; h < 2; h++) sum16[2 * b + h] = scale[b] * (float)sums[h];
        sum32[b] = scale[b] * (float)(sums[0] + sums[1]);
    }
    int64_t rest = to->stride - n; /* a multiple of 32 */
    memset(code + n, 0, (size_t)rest);
    memset(scale + n / 32, 0, (size_t)(rest / 32) * sizeof(float));
    memset(sum32 + n / 32, 0, (size_t)(rest / 32) * sizeof(float));
    memset(sum16 + n / 16, 0, (size_t)(rest / 16) * sizeof(float));
}

/* ---- back to f32 ---- */

TP_INLINE void dequantize_group(tp_dtype type, const uint8_t *span, int g, const float *s, const float *m, float *out) {
    u8x32 q = codes(type, span, g);
    uint8_t code[32];
    memcpy(code, &q, sizeof code);
    for (int v = 0; v < 4; v++) {
        int at = group_size(type) == 16 ? 2 * g + v / 2 : g;
        f32x8 x = type == TP_Q8_0 ? signed_bytes(code + 8 * v) * s[at] : unsigned_bytes(code + 8 * v) * s[at] - m[at];
        memcpy(out + 8 * v, &x, sizeof x);
    }
}

TP_INLINE void dequantize_blocks(tp_dtype type, const uint8_t *span, int64_t n, float *out) {
    for (; n > 0; n -= TP_SPAN, span += span_bytes(type), out += TP_SPAN) {
        int groups = n < TP_SPAN ? (int)(n / 32) : 8;
        span_scales k = scales(type, span, groups);
        float s[16], m[16];
        memcpy(s, k.s, sizeof s);
        memcpy(m, k.m, sizeof m);
        if (groups == 8) {
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++) dequantize_group(type, span, g, s, m, out + 32 * g);
        } else if (!is_k(type)) {
            for (int g = 0; g < groups; g++) dequantize_group(type, span, g, s, m, out + 32 * g);
        }
    }
}

static void dequantize(tp_dtype type, const void *blocks, int64_t n, float *out) {
#define CALL(TYPE) dequantize_blocks(TYPE, blocks, n, out)
    FOR_TYPE(type, CALL)
#undef CALL
}

/* ---- a few rows of activations ---- */

/* A weight's rows follow each other in memory; they are asked for so many bytes before they are needed. */
enum { FEW = 2, AHEAD = 2048 };

/* Sums of each of 8 lanes over a group: q times the activations' codes. */
TP_INLINE i32x8 group_dot(tp_dtype type, u8x32 q, i8x32 x) {
    const i32x8 zero = {0};
    if (type != TP_Q8_0) return dot4(zero, q, x);
    /* signed codes: their size times the activations with their sign */
    return dot4(zero, (u8x32)_mm256_abs_epi8((__m256i)q), (i8x32)_mm256_sign_epi8((__m256i)x, (__m256i)q));
}

TP_INLINE f32x8 group_scale(tp_dtype type, const float *scale, int g) {
    if (group_size(type) == 32) return splat(scale[g]);
    f32x8 first = splat(scale[2 * g]), second = splat(scale[2 * g + 1]);
    return __builtin_shufflevector(first, second, 0, 1, 2, 3, 12, 13, 14, 15);
}

/* One span of a weight's row with number `at` on of m rows of activations, the first of them row `first`. */
TP_INLINE void dot_span(tp_dtype type, int m, const uint8_t *span, int groups, const tp_codes *x, int64_t first,
                        int64_t at, f32x8 sum[FEW][2], f32x8 less[FEW]) {
    span_scales k = scales(type, span, groups);
    float scale[FEW][16] __attribute__((aligned(32)));
    for (int i = 0; i < m; i++) {
        int64_t place = (first + i) * x->stride + at;
        f32x8 own = LOAD(f32x8, x->scale + (place >> 5));
        if (group_size(type) == 32) {
            f32x8 both = k.s[0] * own;
            memcpy(scale[i], &both, sizeof both);
            if (has_offset(type)) less[i] += k.m[0] * LOAD(f32x8, x->sum32 + (place >> 5));
        } else {
            const float *sums = x->sum16 + (place >> 4);
            f32x8 low = k.s[0] * __builtin_shufflevector(own, own, 0, 0, 1, 1, 2, 2, 3, 3);
            f32x8 high = k.s[1] * __builtin_shufflevector(own, own, 4, 4, 5, 5, 6, 6, 7, 7);
            memcpy(scale[i], &low, sizeof low);
            memcpy(scale[i] + 8, &high, sizeof high);
            less[i] += k.m[0] * LOAD(f32x8, sums) + k.m[1] * LOAD(f32x8, sums + 8);
        }
    }
    /* through memory, where a broadcast costs a load only: the compiler would shuffle registers */
    if (group_size(type) == 32) __asm__("" : "+m"(scale));
#define GROUP(g)                                                                                                       \
    {                                                                                                                  \
        u8x32 q = codes(type, span, g);                                                                                \
        for (int i = 0; i < m; i++) {                                                                                  \
            i8x32 own = LOAD(i8x32, x->code + (first + i) * x->stride + at + 32 * (g));                                \
            f32x8 product = (f32x8)_mm256_cvtepi32_ps((__m256i)group_dot(type, q, own));                               \
            sum[i][(g) % 2] += product * group_scale(type, scale[i], g);                                               \
        }                                                                                                              \
    }
    if (groups == 8) {
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) GROUP(g)
    } else if (!is_k(type)) {
        for (int g = 0; g < groups; g++) GROUP(g)
    }
#undef GROUP
}

TP_INLINE void dot_row(tp_dtype type, int m, const uint8_t *row, int64_t n, const tp_codes *x, int64_t first,
                       float *y) {
    f32x8 sum[FEW][2] = {0}, less[FEW] = {0};
    int64_t at = 0;
    for (; at + TP_SPAN <= n; at += TP_SPAN, row += span_bytes(type)) {
        for (int64_t line = 0; line < span_bytes(type); line += 64) __builtin_prefetch(row + AHEAD + line);
        dot_span(type, m, row, 8, x, first, at, sum, less);
    }
    if (at < n && !is_k(type)) dot_span(type, m, row, (int)(n - at) / 32, x, first, at, sum, less);
    for (int i = 0; i < m; i++) y[i] = sum_of(sum[i][0] + sum[i][1] - less[i]);
}

static void dot(tp_dtype type, const void *row, int64_t n, const tp_codes *x, int64_t i, int64_t m, float *y) {
#define CALL(TYPE)                                                                                                     \
    if (m == 1)                                                                                                        \
        dot_row(TYPE, 1, row, n, x, i, y);                                                                             \
    else                                                                                                               \
        dot_row(TYPE, 2, row, n, x, i, y)
    FOR_TYPE(type, CALL)
#undef CALL
}

/* ---- many rows of activations ---- */

/* Without VNNI products of 8-bit codes do not fit 16-bit sums of four: they stay signed, and keep their own path. */
TP_INLINE bool is_signed(tp_dtype type) {
    return type == TP_Q8_0 && !VNNI;
}

TP_INLINE void unpack_group(tp_dtype type, const uint8_t *span, int g, int64_t at, int row, tp_panel *panel) {
    u8x32 q = codes(type, span, g);
    if (type == TP_Q8_0 && !is_signed(type)) q ^= 128; /* 128 more, without a sign */
    uint8_t code[32];
    memcpy(code, &q, sizeof code);
    for (int j = 0; j < 8; j++) memcpy(panel->code[8 * at + j][row], code + 4 * j, 4);
}

TP_INLINE void unpack_row(tp_dtype type, const uint8_t *row, int64_t n, int r, tp_panel *panel) {
    const int per_span = TP_SPAN / group_size(type);
    for (int64_t s = 0; s * TP_SPAN < n; s++, row += span_bytes(type)) {
        int groups = n - s * TP_SPAN < TP_SPAN ? (int)(n - s * TP_SPAN) / 32 : 8;
        span_scales k = scales(type, row, groups);
        if (type == TP_Q8_0) k.m[0] = k.s[0] * 128;
        float scale[16], offset[16];
        memcpy(scale, k.s, sizeof scale);
        memcpy(offset, k.m, sizeof offset);
        for (int i = 0; i < per_span; i++) { /* a short span's are zeros; there is room for them */
            panel->scale[s * per_span + i][r] = scale[i];
            panel->offset[s * per_span + i][r] = offset[i];
        }
        if (groups == 8) {
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++) unpack_group(type, row, g, 8 * s + g, r, panel);
        } else if (!is_k(type)) {
            for (int g = 0; g < groups; g++) unpack_group(type, row, g, 8 * s + g, r, panel);
        }
    }
}

static void unpack(tp_dtype type, const void *first_row, int64_t row_bytes, int64_t rows, int64_t from, int64_t n,
                   tp_panel *panel) {
    if (rows < TP_PANEL_ROWS) memset(panel, 0, sizeof *panel); /* rows that are not there: nothing, at scale 0 */
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)first_row + r * row_bytes;
#define CALL(TYPE) unpack_row(TYPE, row + (is_k(TYPE) ? from / 256 : from / 32) * block_bytes(TYPE), n, (int)r, panel)
        FOR_TYPE(type, CALL)
#undef CALL
    }
}

/* So many products of a code with an activation, in pairs, fit a 16-bit sum: 127 * 2 * largest code each. */
TP_INLINE int steps_of(tp_dtype type) {
    return type == TP_Q5_0 || type == TP_Q5_1 || type == TP_Q5_K ? 4 : type == TP_Q6_K ? 2 : 8;
}

TP_INLINE i8x32 four_codes(const int8_t *p) {
    uint32_t four = LOAD(uint32_t, p);
    return (i8x32)(u32x8){four, four, four, four, four, four, four, four};
}

/* Integer products of one group of columns from column `at` of the panel, of rows x, x + stride .. The loops over
 * columns stay loops: unrolled further, the compiler interleaves steps and runs out of registers. */
TP_INLINE void tile_signed(int count, const tp_panel *panel, int64_t at, const int8_t *x, int64_t stride,
                           i32x8 out[TP_TILE_ROWS][2]) {
#pragma GCC unroll 1
    for (int p = 0; p < count / 4; p++) {
        const uint8_t *w = panel->code[at / 4 + p][0];
        __m256i w0 = LOAD(__m256i, w), w1 = LOAD(__m256i, w + 32);
        u8x32 size0 = (u8x32)_mm256_abs_epi8(w0), size1 = (u8x32)_mm256_abs_epi8(w1);
        for (int i = 0; i < TP_TILE_ROWS; i++) {
            __m256i v = (__m256i)four_codes(x + i * stride + 4 * p);
            out[i][0] += widened(pairs(size0, (i8x32)_mm256_sign_epi8(v, w0)));
            out[i][1] += widened(pairs(size1, (i8x32)_mm256_sign_epi8(v, w1)));
        }
    }
}

TP_INLINE void tile_vnni(int count, const tp_panel *panel, int64_t at, const int8_t *x, int64_t stride,
                         i32x8 out[TP_TILE_ROWS][2]) {
#pragma GCC unroll 2
    for (int p = 0; p < count / 4; p++) {
        const uint8_t *w = panel->code[at / 4 + p][0];
        u8x32 w0 = LOAD(u8x32, w), w1 = LOAD(u8x32, w + 32);
        for (int i = 0; i < TP_TILE_ROWS; i++) {
            i8x32 v = four_codes(x + i * stride + 4 * p);
            out[i][0] = dot4(out[i][0], w0, v);
            out[i][1] = dot4(out[i][1], w1, v);
        }
    }
}

/* Sums of up to `steps` products stay in 16 bits before they are widened. */
TP_INLINE void tile_pairs(int steps, int count, const tp_panel *panel, int64_t at, const int8_t *x, int64_t stride,
                          i32x8 out[TP_TILE_ROWS][2]) {
    if (steps > count / 4) steps = count / 4;
    for (int p = 0; p < count / 4; p += steps) {
        i16x16 sum[TP_TILE_ROWS][2] = {0};
#pragma GCC unroll 2
        for (int q = p; q < p + steps; q++) {
            const uint8_t *w = panel->code[at / 4 + q][0];
            u8x32 w0 = LOAD(u8x32, w), w1 = LOAD(u8x32, w + 32);
            for (int i = 0; i < TP_TILE_ROWS; i++) {
                i8x32 v = four_codes(x + i * stride + 4 * q);
                sum[i][0] += pairs(w0, v);
                sum[i][1] += pairs(w1, v);
            }
        }
        for (int i = 0; i < TP_TILE_ROWS; i++)
            for (int h = 0; h < 2; h++) out[i][h] += widened(sum[i][h]);
    }
}

/* The same for two steps, which need not be loops. */
TP_INLINE void tile_two_steps(int count, const tp_panel *panel, int64_t at, const int8_t *x, int64_t stride,
                              i32x8 out[TP_TILE_ROWS][2]) {
#pragma GCC unroll 1
    for (int p = 0; p < count / 4; p += 2) {
        const uint8_t *w = panel->code[at / 4 + p][0];
        u8x32 w00 = LOAD(u8x32, w), w01 = LOAD(u8x32, w + 32), w10 = LOAD(u8x32, w + 64), w11 = LOAD(u8x32, w + 96);
        for (int i = 0; i < TP_TILE_ROWS; i++) {
            i8x32 v0 = four_codes(x + i * stride + 4 * p), v1 = four_codes(x + i * stride + 4 * p + 4);
            out[i][0] += widened(pairs(w00, v0) + pairs(w10, v1));
            out[i][1] += widened(pairs(w01, v0) + pairs(w11, v1));
        }
    }
}

TP_INLINE void tile_integers(tp_dtype type, const tp_panel *panel, int64_t at, const tp_codes *x, int64_t i0,
                             int64_t x_at, i32x8 out[TP_TILE_ROWS][2]) {
    const int count = group_size(type);
    const int8_t *first = x->code + i0 * x->stride + x_at;
    for (int i = 0; i < TP_TILE_ROWS; i++) out[i][0] = out[i][1] = (i32x8){0};
    if (is_signed(type))
        tile_signed(count, panel, at, first, x->stride, out);
    else if (VNNI)
        tile_vnni(count, panel, at, first, x->stride, out);
    else if (steps_of(type) == 2)
        tile_two_steps(count, panel, at, first, x->stride, out);
    else
        tile_pairs(steps_of(type), count, panel, at, first, x->stride, out);
}

TP_INLINE void multiply_tile(tp_dtype type, const tp_panel *panel, int64_t from, int64_t n, const tp_codes *x,
                             int64_t i0, float y[TP_TILE_ROWS][TP_PANEL_ROWS]) {
    const int group = group_size(type);
    const bool offset = type != TP_Q8_0 || VNNI;
    f32x8 sum[TP_TILE_ROWS][2];
    for (int i = 0; i < TP_TILE_ROWS; i++)
        for (int h = 0; h < 2; h++) sum[i][h] = LOAD(f32x8, y[i] + 8 * h);
    for (int64_t at = 0; at < n; at += group) {
        i32x8 products[TP_TILE_ROWS][2];
        tile_integers(type, panel, at, x, i0, from + at, products);
        for (int h = 0; h < 2; h++) {
            f32x8 s = LOAD(f32x8, panel->scale[at / group] + 8 * h), m = LOAD(f32x8, panel->offset[at / group] + 8 * h);
            for (int i = 0; i < TP_TILE_ROWS; i++) {
                int64_t place = (i0 + i) * x->stride + from + at;
                float sums = group == 32 ? x->sum32[place >> 5] : x->sum16[place >> 4];
                sum[i][h] += (f32x8)_mm256_cvtepi32_ps((__m256i)products[i][h]) * (s * x->scale[place >> 5]);
                if (offset) sum[i][h] -= m * sums;
            }
        }
    }
    for (int i = 0; i < TP_TILE_ROWS; i++)
        for (int h = 0; h < 2; h++) memcpy(y[i] + 8 * h, &sum[i][h], sizeof sum[i][h]);
}

static void multiply(tp_dtype type, const tp_panel *panel, int64_t from, int64_t n, const tp_codes *x, int64_t i0,
                     float y[TP_TILE_ROWS][TP_PANEL_ROWS]) {
#define CALL(TYPE) multiply_tile(TYPE, panel, from, n, x, i0, y)
    FOR_TYPE(type, CALL)
#undef CALL
}

const tp_quant_kernels JOIN(tp_quant_kernels_, TP_QUANT_ISA) = {
    .name = STRING(TP_QUANT_ISA),
    .quantize = quantize,
    .dequantize = dequantize,
    .dot = dot,
    .unpack = unpack,
    .multiply = multiply,
};
