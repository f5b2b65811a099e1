/* The legacy block types: 32 numbers with a scale, or a scale and a minimum. See quant.h.
 *
 * Compiled without fused multiply-add: d * q + m is rounded twice, as in the reference codec. */
#include "tensor/quant.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(tp_block_q4_0) == 18 && sizeof(tp_block_q4_1) == 20 && sizeof(tp_block_q5_0) == 22 &&
                  sizeof(tp_block_q5_1) == 24 && sizeof(tp_block_q8_0) == 34,
              "the blocks are packed as in the file");

static void nibbles(const uint8_t qs[16], int8_t q[TP_QK]) {
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)(qs[i] & 15);
        q[i + 16] = (int8_t)(qs[i] >> 4);
    }
}

static void five_bits(const uint8_t qs[16], const uint8_t qh[4], int8_t q[TP_QK]) {
    nibbles(qs, q);
    for (int i = 0; i < TP_QK; i++) q[i] = (int8_t)(q[i] | (qh[i / 8] >> i % 8 & 1) << 4);
}

static void q4_0(const tp_block_q4_0 *b, float *out) {
    int8_t q[TP_QK];
    nibbles(b->qs, q);
    float d = tp_f16_to_f32(b->d);
    for (int i = 0; i < TP_QK; i++) out[i] = d * (float)(q[i] - 8);
}

static void q4_1(const tp_block_q4_1 *b, float *out) {
    int8_t q[TP_QK];
    nibbles(b->qs, q);
    float d = tp_f16_to_f32(b->d), m = tp_f16_to_f32(b->m);
    for (int i = 0; i < TP_QK; i++) out[i] = d * (float)q[i] + m;
}

static void q5_0(const tp_block_q5_0 *b, float *out) {
    int8_t q[TP_QK];
    five_bits(b->qs, b->qh, q);
    float d = tp_f16_to_f32(b->d);
    for (int i = 0; i < TP_QK; i++) out[i] = d * (float)(q[i] - 16);
}

static void q5_1(const tp_block_q5_1 *b, float *out) {
    int8_t q[TP_QK];
    five_bits(b->qs, b->qh, q);
    float d = tp_f16_to_f32(b->d), m = tp_f16_to_f32(b->m);
    for (int i = 0; i < TP_QK; i++) out[i] = d * (float)q[i] + m;
}

static void q8_0(const tp_block_q8_0 *b, float *out) {
    float d = tp_f16_to_f32(b->d);
    for (int i = 0; i < TP_QK; i++) out[i] = d * (float)b->qs[i];
}

void tp_dequantize_legacy(tp_dtype dtype, const void *blocks, int64_t n, float *out) {
    for (int64_t i = 0; i < n / TP_QK; i++, out += TP_QK) {
        switch (dtype) {
        case TP_Q4_0:
            q4_0((const tp_block_q4_0 *)blocks + i, out);
            break;
        case TP_Q4_1:
            q4_1((const tp_block_q4_1 *)blocks + i, out);
            break;
        case TP_Q5_0:
            q5_0((const tp_block_q5_0 *)blocks + i, out);
            break;
        case TP_Q5_1:
            q5_1((const tp_block_q5_1 *)blocks + i, out);
            break;
        default:
            q8_0((const tp_block_q8_0 *)blocks + i, out);
            break;
        }
    }
}

void tp_dequantize_row(tp_dtype dtype, const void *blocks, int64_t n, float *out) {
    assert(tp_dtype_is_block(dtype) && n % tp_dtype_block(dtype) == 0);
    if (tp_dtype_block(dtype) == TP_QK)
        tp_dequantize_legacy(dtype, blocks, n, out);
    else
        tp_dequantize_k(dtype, blocks, n, out);
}
