/* The codes and scales of block-quantised rows, in vectors: what all kernels of quant_isa.c begin with.
 *
 * A span is 256 numbers of a row: eight blocks of the formats with blocks of 32, one block of the others. Group g of a
 * span is its numbers 32 g .. 32 g + 31. The layouts are those of tensor/quant.h, whose scalar codec is what tests hold
 * these functions against. Everything is for AVX2 and later, and inlined with constant type and group. */
#ifndef TP_TENSOR_CPU_QUANT_CODES_H
#define TP_TENSOR_CPU_QUANT_CODES_H

#include "base/half.h"
#include "tensor/quant.h"

#include <immintrin.h>

#define TP_INLINE static inline __attribute__((always_inline))

typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef int8_t i8x32 __attribute__((vector_size(32)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef int16_t i16x16 __attribute__((vector_size(32)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef float f32x8 __attribute__((vector_size(32)));

#define LOAD(type, from)                                                                                               \
    __extension__({                                                                                                    \
        type loaded_;                                                                                                  \
        memcpy(&loaded_, (from), sizeof loaded_);                                                                      \
        loaded_;                                                                                                       \
    })

TP_INLINE f32x8 splat(float x) {
    return (f32x8){x, x, x, x, x, x, x, x};
}

TP_INLINE float half_at(const uint8_t *p) {
    uint16_t h = LOAD(uint16_t, p);
    return _cvtsh_ss(h);
}

/* Eight f16 numbers, `step` bytes apart. */
TP_INLINE f32x8 halves_at(const uint8_t *p, int step) {
    typedef uint16_t u16x8 __attribute__((vector_size(16)));
    u16x8 h = {LOAD(uint16_t, p),
               LOAD(uint16_t, p + step),
               LOAD(uint16_t, p + 2 * step),
               LOAD(uint16_t, p + 3 * step),
               LOAD(uint16_t, p + 4 * step),
               LOAD(uint16_t, p + 5 * step),
               LOAD(uint16_t, p + 6 * step),
               LOAD(uint16_t, p + 7 * step)};
    return (f32x8)_mm256_cvtph_ps((__m128i)h);
}

/* Eight bytes as numbers. The compiler's own conversion of short vectors goes element by element. */
TP_INLINE f32x8 unsigned_bytes(const void *p) {
    return (f32x8)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p)));
}

TP_INLINE f32x8 signed_bytes(const void *p) {
    return (f32x8)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}

/* ---- codes ---- */

TP_INLINE u8x32 shifted(u8x32 v, int bits) { /* stray bits come in from the neighbour: mask them */
    return (u8x32)((u16x16)v >> bits);
}

/* 16 bytes: their low halves, then their high ones. */
TP_INLINE u8x32 nibbles(const uint8_t *p) {
    __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return (u8x32)_mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)) & 15;
}

/* 32 bits as bytes 16 or 0. */
TP_INLINE u8x32 fifth_bits(const uint8_t *p) {
    uint32_t bits = LOAD(uint32_t, p);
    u8x32 all = (u8x32)(u32x8){bits, bits, bits, bits, bits, bits, bits, bits};
    u8x32 spread = __builtin_shufflevector(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18, 18, 18,
                                           18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
    const u8x32 bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                       1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    return (u8x32)((spread & bit) == bit) & 16;
}

/* Bits `from` and above of 32 bytes, moved to bit `to`; mask says which of them are kept there. */
TP_INLINE u8x32 moved(const uint8_t *p, int from, int to, uint8_t mask) {
    u16x16 v = (u16x16)LOAD(u8x32, p);
    return (u8x32)(from > to ? v >> (from - to) : v << (to - from)) & mask;
}

TP_INLINE u8x32 codes(tp_dtype type, const uint8_t *span, int g) {
    switch (type) {
    case TP_Q4_0:
        return nibbles(span + 18 * g + 2);
    case TP_Q4_1:
        return nibbles(span + 20 * g + 4);
    case TP_Q5_0:
        return nibbles(span + 22 * g + 6) | fifth_bits(span + 22 * g + 2);
    case TP_Q5_1:
        return nibbles(span + 24 * g + 8) | fifth_bits(span + 24 * g + 4);
    case TP_Q2_K:
        return shifted(LOAD(u8x32, span + 16 + 32 * (g / 4)), 2 * (g % 4)) & 3;
    case TP_Q3_K:
        return (shifted(LOAD(u8x32, span + 32 + 32 * (g / 4)), 2 * (g % 4)) & 3) | moved(span, g, 2, 4);
    case TP_Q4_K:
        return shifted(LOAD(u8x32, span + 16 + 32 * (g / 2)), 4 * (g % 2)) & 15;
    case TP_Q5_K:
        return (shifted(LOAD(u8x32, span + 48 + 32 * (g / 2)), 4 * (g % 2)) & 15) | moved(span + 16, g, 4, 16);
    case TP_Q6_K:
        return (shifted(LOAD(u8x32, span + 64 * (g / 4) + 32 * (g % 2)), g % 4 / 2 * 4) & 15) |
               moved(span + 128 + 32 * (g / 4), 2 * (g % 4), 4, 48);
    default: /* TP_Q8_0: signed */
        return LOAD(u8x32, span + 34 * g + 2);
    }
}

/* ---- scales ---- */

/* Of a span's groups of 32 (s[0], m[0] only) or of 16. */
typedef struct {
    f32x8 s[2], m[2];
} span_scales;

TP_INLINE int group_size(tp_dtype type) {
    return type == TP_Q2_K || type == TP_Q3_K || type == TP_Q6_K ? 16 : 32;
}

TP_INLINE int has_offset(tp_dtype type) {
    return type != TP_Q8_0;
}

TP_INLINE int block_bytes(tp_dtype type) {
    switch (type) {
    case TP_Q4_0:
        return 18;
    case TP_Q4_1:
        return 20;
    case TP_Q5_0:
        return 22;
    case TP_Q5_1:
        return 24;
    case TP_Q2_K:
        return 84;
    case TP_Q3_K:
        return 110;
    case TP_Q4_K:
        return 144;
    case TP_Q5_K:
        return 176;
    case TP_Q6_K:
        return 210;
    default:
        return 34;
    }
}

TP_INLINE int is_k(tp_dtype type) { /* blocks of 256 */
    return type == TP_Q2_K || type == TP_Q3_K || type == TP_Q4_K || type == TP_Q5_K || type == TP_Q6_K;
}

TP_INLINE int64_t span_bytes(tp_dtype type) {
    return is_k(type) ? block_bytes(type) : 8 * block_bytes(type);
}

TP_INLINE f32x8 numbers_of(uint32_t first, uint32_t second) { /* eight bytes */
    uint64_t both = (uint64_t)second << 32 | first;
    return unsigned_bytes(&both);
}

/* The six-bit scales and offsets of Q4_K and Q5_K. */
TP_INLINE span_scales six_bit_scales(const uint8_t *span) {
    const uint32_t six = 0x3f3f3f3fu, four = 0x0f0f0f0fu, two = 0x03030303u;
    uint32_t a = LOAD(uint32_t, span + 4), b = LOAD(uint32_t, span + 8), c = LOAD(uint32_t, span + 12);
    span_scales out;
    out.s[0] = numbers_of(a & six, (c & four) | (a >> 6 & two) << 4) * half_at(span);
    out.m[0] = numbers_of(b & six, (c >> 4 & four) | (b >> 6 & two) << 4) * half_at(span + 2);
    return out;
}

TP_INLINE span_scales q3_scales(const uint8_t *span) {
    const uint32_t four = 0x0f0f0f0fu, two = 0x03030303u;
    const uint8_t *p = span + 96;
    uint32_t a = LOAD(uint32_t, p), b = LOAD(uint32_t, p + 4), c = LOAD(uint32_t, p + 8);
    float d = half_at(span + 108);
    span_scales out;
    out.s[0] = (numbers_of((a & four) | (c & two) << 4, (b & four) | (c >> 2 & two) << 4) - 32) * d;
    out.s[1] = (numbers_of((a >> 4 & four) | (c >> 4 & two) << 4, (b >> 4 & four) | (c >> 6 & two) << 4) - 32) * d;
    for (int i = 0; i < 2; i++) out.m[i] = out.s[i] * 4;
    return out;
}

TP_INLINE span_scales q2_scales(const uint8_t *span) {
    const uint64_t four = 0x0f0f0f0f0f0f0f0fu;
    float d = half_at(span + 80), dmin = half_at(span + 82);
    span_scales out;
    for (int i = 0; i < 2; i++) {
        uint64_t both = LOAD(uint64_t, span + 8 * i), low = both & four, high = both >> 4 & four;
        out.s[i] = unsigned_bytes(&low) * d;
        out.m[i] = unsigned_bytes(&high) * dmin;
    }
    return out;
}

TP_INLINE span_scales q6_scales(const uint8_t *span) {
    float d = half_at(span + 208);
    span_scales out;
    for (int i = 0; i < 2; i++) {
        out.s[i] = signed_bytes(span + 192 + 8 * i) * d;
        out.m[i] = out.s[i] * 32;
    }
    return out;
}

/* The first n groups' scales; the others are zero. n < 8 at the end of a row, in the formats with blocks of 32. */
TP_INLINE span_scales scales(tp_dtype type, const uint8_t *span, int n) {
    int step = block_bytes(type);
    span_scales out = {0};
    switch (type) {
    case TP_Q2_K:
        return q2_scales(span);
    case TP_Q3_K:
        return q3_scales(span);
    case TP_Q4_K:
    case TP_Q5_K:
        return six_bit_scales(span);
    case TP_Q6_K:
        return q6_scales(span);
    default:
        break;
    }
    int with_m = type == TP_Q4_1 || type == TP_Q5_1;
    if (n == 8) {
        out.s[0] = halves_at(span, step);
        if (with_m) out.m[0] = -halves_at(span + 2, step);
    } else {
        for (int i = 0; i < n; i++) {
            out.s[0][i] = half_at(span + i * step);
            if (with_m) out.m[0][i] = -half_at(span + i * step + 2);
        }
    }
    if (type == TP_Q4_0) out.m[0] = out.s[0] * 8;
    if (type == TP_Q5_0) out.m[0] = out.s[0] * 16;
    return out;
}

#endif
