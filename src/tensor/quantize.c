/* Numbers into blocks: the legacy types, in f32 and with the rounding of the reference codec `gguf.quants`, so that the
 * same row gives the same bytes. See quant.h; the k-quants are in quantize_k.c.
 *
 * Compiled without fused multiply-add. */
#include "tensor/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The whole part of v, from 0 to most; NaN gives 0. */
static int cut(float v, int most) {
    return v > 0 ? v < (float)most ? (int)v : most : 0;
}

/* 1 / d; 0 where d is 0, or so small that the inverse is no number. */
static float inverse(float d) {
    float i = 1.0f / d;
    return isfinite(i) ? i : 0.0f;
}

/* The first of the numbers farthest from 0. */
static float farthest(const float *x) {
    float found = x[0];
    for (int i = 1; i < TP_QK; i++)
        if (fabsf(x[i]) > fabsf(found)) found = x[i];
    return found;
}

static void bounds(const float *x, float *min, float *max) {
    *min = *max = x[0];
    for (int i = 1; i < TP_QK; i++) {
        if (x[i] < *min) *min = x[i];
        if (x[i] > *max) *max = x[i];
    }
}

static void pack_nibbles(const uint8_t q[TP_QK], uint8_t qs[16]) {
    for (int i = 0; i < 16; i++) qs[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t q[TP_QK], uint8_t qh[4]) {
    memset(qh, 0, 4);
    for (int i = 0; i < TP_QK; i++) qh[i / 8] = (uint8_t)(qh[i / 8] | q[i] >> 4 << i % 8);
}

/* d * (q - half): the number farthest from 0 becomes q = 0. */
static float symmetric(const float *x, int half, uint8_t q[TP_QK]) {
    float d = farthest(x) / (float)-half, id = inverse(d);
    for (int i = 0; i < TP_QK; i++) q[i] = (uint8_t)cut(x[i] * id + ((float)half + 0.5f), 2 * half - 1);
    return d;
}

/* d * q + m: the least number becomes q = 0, the largest q = most. */
static float with_minimum(const float *x, int most, float *m, uint8_t q[TP_QK]) {
    float max;
    bounds(x, m, &max);
    float d = (max - *m) / (float)most, id = inverse(d);
    for (int i = 0; i < TP_QK; i++) q[i] = (uint8_t)cut((x[i] - *m) * id + 0.5f, most);
    return d;
}

static void q4_0(const float *x, tp_block_q4_0 *b) {
    uint8_t q[TP_QK];
    b->d = tp_f32_to_f16(symmetric(x, 8, q));
    pack_nibbles(q, b->qs);
}

static void q4_1(const float *x, tp_block_q4_1 *b) {
    uint8_t q[TP_QK];
    float m;
    b->d = tp_f32_to_f16(with_minimum(x, 15, &m, q));
    b->m = tp_f32_to_f16(m);
    pack_nibbles(q, b->qs);
}

static void q5_0(const float *x, tp_block_q5_0 *b) {
    uint8_t q[TP_QK];
    b->d = tp_f32_to_f16(symmetric(x, 16, q));
    pack_fifth_bits(q, b->qh);
    pack_nibbles(q, b->qs);
}

static void q5_1(const float *x, tp_block_q5_1 *b) {
    uint8_t q[TP_QK];
    float m;
    b->d = tp_f32_to_f16(with_minimum(x, 31, &m, q));
    b->m = tp_f32_to_f16(m);
    pack_fifth_bits(q, b->qh);
    pack_nibbles(q, b->qs);
}

static void q8_0(const float *x, tp_block_q8_0 *b) {
    float d = fabsf(farthest(x)) / 127.0f, id = inverse(d);
    for (int i = 0; i < TP_QK; i++) {
        float v = roundf(x[i] * id);
        b->qs[i] = (int8_t)(v > 127.0f ? 127 : v > -127.0f ? (int)v : v == v ? -127 : 0);
    }
    b->d = tp_f32_to_f16(d);
}

static void quantize_legacy(tp_dtype dtype, const float *x, int64_t n, void *blocks) {
    for (int64_t i = 0; i < n / TP_QK; i++, x += TP_QK) {
        switch (dtype) {
        case TP_Q4_0:
            q4_0(x, (tp_block_q4_0 *)blocks + i);
            break;
        case TP_Q4_1:
            q4_1(x, (tp_block_q4_1 *)blocks + i);
            break;
        case TP_Q5_0:
            q5_0(x, (tp_block_q5_0 *)blocks + i);
            break;
        case TP_Q5_1:
            q5_1(x, (tp_block_q5_1 *)blocks + i);
            break;
        default:
            q8_0(x, (tp_block_q8_0 *)blocks + i);
            break;
        }
    }
}

void tp_quantize_row(tp_dtype dtype, const float *x, int64_t n, void *blocks) {
    assert(tp_dtype_is_block(dtype) && n % tp_dtype_block(dtype) == 0);
    if (tp_dtype_block(dtype) == TP_QK)
        quantize_legacy(dtype, x, n, blocks);
    else
        tp_quantize_k(dtype, x, n, blocks);
}
