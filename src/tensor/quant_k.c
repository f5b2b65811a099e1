/* The k-quants: super-blocks of 256 numbers whose groups have scales of four to eight bits. See quant.h.
 *
 * Compiled without fused multiply-add; the scale of a group is rounded to f32 before it meets q, as in the reference
 * codec. */
#include "tensor/quant.h"

#include <assert.h>

static_assert(sizeof(tp_block_q2_k) == 84 && sizeof(tp_block_q3_k) == 110 && sizeof(tp_block_q4_k) == 144 &&
                  sizeof(tp_block_q5_k) == 176 && sizeof(tp_block_q6_k) == 210,
              "the blocks are packed as in the file");

void tp_q4_k_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
    for (int i = 0; i < 4; i++) { /* bytes 0-3 scales 0-3, 4-7 minima 0-3, their top bits the tops of 4-7 */
        scales[i] = packed[i] & 63;
        mins[i] = packed[i + 4] & 63;
        scales[i + 4] = (uint8_t)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        mins[i + 4] = (uint8_t)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

void tp_q3_k_scales(const uint8_t packed[12], int8_t scales[16]) {
    for (int i = 0; i < 16; i++) { /* low four bits in bytes 0-7, high two in bytes 8-11 */
        int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
        int high = packed[8 + i % 4] >> 2 * (i / 4) & 3;
        scales[i] = (int8_t)((low | high << 4) - 32);
    }
}

/* The two bits of number i of 256 in 64 bytes. */
static int two_bits(const uint8_t qs[64], int i) {
    return qs[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3;
}

static void q2_k(const tp_block_q2_k *b, float *out) {
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    for (int g = 0; g < 16; g++) {
        float scale = d * (float)(b->scales[g] & 15), min = dmin * (float)(b->scales[g] >> 4);
        for (int i = 16 * g; i < 16 * g + 16; i++) out[i] = scale * (float)two_bits(b->qs, i) - min;
    }
}

static void q3_k(const tp_block_q3_k *b, float *out) {
    float d = tp_f16_to_f32(b->d);
    int8_t scales[16];
    tp_q3_k_scales(b->scales, scales);
    for (int g = 0; g < 16; g++) {
        float scale = d * (float)scales[g];
        for (int i = 16 * g; i < 16 * g + 16; i++) {
            int high = b->hmask[i % 32] >> i / 32 & 1;
            out[i] = scale * (float)(two_bits(b->qs, i) + 4 * high - 4);
        }
    }
}

static void q4_k(const tp_block_q4_k *b, float *out) {
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    uint8_t scales[8], mins[8];
    tp_q4_k_scales(b->scales, scales, mins);
    for (int g = 0; g < 8; g++) {
        float scale = d * (float)scales[g], min = dmin * (float)mins[g];
        for (int i = 0; i < 32; i++) {
            int q = b->qs[g / 2 * 32 + i] >> 4 * (g % 2) & 15;
            out[32 * g + i] = scale * (float)q - min;
        }
    }
}

static void q5_k(const tp_block_q5_k *b, float *out) {
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    uint8_t scales[8], mins[8];
    tp_q4_k_scales(b->scales, scales, mins);
    for (int g = 0; g < 8; g++) {
        float scale = d * (float)scales[g], min = dmin * (float)mins[g];
        for (int i = 0; i < 32; i++) {
            int q = (b->qs[g / 2 * 32 + i] >> 4 * (g % 2) & 15) | (b->qh[i] >> g & 1) << 4;
            out[32 * g + i] = scale * (float)q - min;
        }
    }
}

static void q6_k(const tp_block_q6_k *b, float *out) {
    float d = tp_f16_to_f32(b->d);
    for (int g = 0; g < 16; g++) {
        float scale = d * (float)b->scales[g];
        for (int i = 16 * g; i < 16 * g + 16; i++) {
            int half = i / 128, s = i / 32 % 4;
            int low = b->ql[64 * half + 32 * (s % 2) + i % 32] >> 4 * (s / 2) & 15;
            int high = b->qh[32 * half + i % 32] >> 2 * s & 3;
            out[i] = scale * (float)((low | high << 4) - 32);
        }
    }
}

void tp_dequantize_k(tp_dtype dtype, const void *blocks, int64_t n, float *out) {
    for (int64_t i = 0; i < n / TP_QK_K; i++, out += TP_QK_K) {
        switch (dtype) {
        case TP_Q2_K:
            q2_k((const tp_block_q2_k *)blocks + i, out);
            break;
        case TP_Q3_K:
            q3_k((const tp_block_q3_k *)blocks + i, out);
            break;
        case TP_Q4_K:
            q4_k((const tp_block_q4_k *)blocks + i, out);
            break;
        case TP_Q5_K:
            q5_k((const tp_block_q5_k *)blocks + i, out);
            break;
        default:
            q6_k((const tp_block_q6_k *)blocks + i, out);
            break;
        }
    }
}
