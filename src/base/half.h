/* Half-precision floats: bfloat16 and IEEE binary16, single numbers. Rows are converted by tensor/convert.h. */
#ifndef TP_BASE_HALF_H
#define TP_BASE_HALF_H

#include <stdint.h>
#include <string.h>

typedef uint16_t tp_bf16;
typedef uint16_t tp_f16;

static inline float tp_bf16_to_f32(tp_bf16 h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; NaN stays a (quiet) NaN. */
static inline tp_bf16 tp_f32_to_bf16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (tp_bf16)(bits >> 16 | 0x40u);
    return (tp_bf16)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline float tp_f16_to_f32(tp_f16 h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1Fu, mantissa = h & 0x3FFu, bits;
    float f;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else { /* zero or subnormal: mantissa * 2^-24, exact in f32 */
        f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    }
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; too large becomes infinity. */
static inline tp_f16 tp_f32_to_f16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (tp_f16)(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) return (tp_f16)(sign | 0x7C00u); /* 65520 and above round to infinity */
    if (magnitude < 0x38800000u) {                                 /* subnormal half: let the FPU round at 2^-24 */
        float m;
        memcpy(&m, &magnitude, sizeof m);
        m += 0.5f; /* the sum's last bit is worth 2^-24 */
        uint32_t sum;
        memcpy(&sum, &m, sizeof sum);
        return (tp_f16)(sign | (sum - 0x3F000000u));
    }
    return (tp_f16)(sign | (magnitude + 0xFFFu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13);
}

#endif
