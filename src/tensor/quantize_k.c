/* Numbers into k-quants. The format says what a block decodes to, not how its integers are chosen. Here each group's
 * scale (and minimum) is the weighted least-squares fit to the group's numbers over a few trial roundings; the groups'
 * scales are then rounded themselves, and the integers chosen once more under the scales as they are stored. Large
 * numbers weigh more, since they meet large activations' share of the sums. See quant.h. */
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

enum { TRIALS = 6 }; /* on each side of the plain rounding */

static int nearest(float v, int least, int most) {
    if (!(v > (float)least)) return least; /* NaN too */
    return v < (float)most ? (int)lrintf(v) : most;
}

static void weigh(const float *x, int n, float *w) {
    float squares = 0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    float rms = sqrtf(squares / (float)n);
    for (int i = 0; i < n; i++) w[i] = rms + fabsf(x[i]);
}

/* scale >= 0 and *min >= 0 such that x is near scale * q - *min with q from 0 to most. */
static float fit_with_minimum(const float *x, int n, int most, float *min) {
    float w[32], low = 0, high = x[0];
    weigh(x, n, w);
    for (int i = 0; i < n; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    *min = -low;
    if (!(high > low)) return 0;
    float best_scale = (high - low) / (float)most, best_error = INFINITY;
    for (int trial = -TRIALS; trial <= TRIALS; trial++) {
        float per = ((float)most + 0.15f * (float)trial) / (high - low);
        double sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0, sxx = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)nearest((x[i] - low) * per, 0, most), wi = w[i];
            sw += wi, sq += wi * q, sqq += wi * q * q, sx += wi * x[i], sxq += wi * q * x[i], sxx += wi * x[i] * x[i];
        }
        double det = sw * sqq - sq * sq;
        if (!(det > 0)) continue;
        double scale = (sw * sxq - sx * sq) / det, offset = (sqq * sx - sq * sxq) / det;
        if (offset > 0) offset = 0, scale = sxq / sqq; /* a minimum above 0 cannot be stored */
        double error = sxx + scale * scale * sqq + offset * offset * sw - 2 * scale * sxq - 2 * offset * sx +
                       2 * scale * offset * sq;
        if (scale > 0 && error < best_error) {
            best_error = (float)error;
            best_scale = (float)scale;
            *min = (float)-offset;
        }
    }
    return best_scale;
}

/* A scale of either sign such that x is near scale * q with q from -half to half - 1. */
static float fit_symmetric(const float *x, int n, int half) {
    float w[32], far = 0;
    weigh(x, n, w);
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(far)) far = x[i];
    if (far == 0 || !isfinite(far)) return 0;
    float best_scale = far / (float)-half;
    double best_gain = -1;
    for (int trial = -TRIALS; trial <= TRIALS; trial++) {
        float per = ((float)-half + 0.15f * (float)trial) / far;
        double sqq = 0, sxq = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)nearest(x[i] * per, -half, half - 1);
            sqq += w[i] * q * q, sxq += w[i] * q * x[i];
        }
        if (sqq > 0 && sxq * sxq / sqq > best_gain) { /* what the fit explains of the sum of squares */
            best_gain = sxq * sxq / sqq;
            best_scale = (float)(sxq / sqq);
        }
    }
    return best_scale;
}

static float largest(const float *x, int n) {
    float found = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > found) found = x[i];
    return found;
}

/* Scales and minima of n groups of `width` as integers up to `most_scale`, in units *d and *dmin that are stored. */
static void fit_groups(const float *x, int n, int width, int most, int most_scale, tp_f16 *d, tp_f16 *dmin,
                       uint8_t *scales, uint8_t *mins) {
    float scale[16], min[16];
    for (int g = 0; g < n; g++) scale[g] = fit_with_minimum(x + g * width, width, most, &min[g]);
    *d = tp_f32_to_f16(largest(scale, n) / (float)most_scale);
    *dmin = tp_f32_to_f16(largest(min, n) / (float)most_scale);
    float stored = tp_f16_to_f32(*d), stored_min = tp_f16_to_f32(*dmin);
    for (int g = 0; g < n; g++) {
        scales[g] = (uint8_t)(stored > 0 ? nearest(scale[g] / stored, 0, most_scale) : 0);
        mins[g] = (uint8_t)(stored_min > 0 ? nearest(min[g] / stored_min, 0, most_scale) : 0);
    }
}

/* The integers of one group under its stored scale and minimum. */
static void round_group(const float *x, int n, float scale, float min, int least, int most, int8_t *q) {
    for (int i = 0; i < n; i++) q[i] = (int8_t)(scale != 0 ? nearest((x[i] + min) / scale, least, most) : 0);
}

/* The signed scales of 16 groups of 16 as integers of `half` to each side. */
static void fit_symmetric_groups(const float *x, int half, int half_scale, tp_f16 *d, int8_t scales[16], int8_t *q) {
    float scale[16], far = 0;
    for (int g = 0; g < 16; g++) {
        scale[g] = fit_symmetric(x + 16 * g, 16, half);
        if (fabsf(scale[g]) > fabsf(far)) far = scale[g];
    }
    *d = tp_f32_to_f16(far / (float)-half_scale);
    float stored = tp_f16_to_f32(*d);
    for (int g = 0; g < 16; g++) {
        scales[g] = (int8_t)(stored != 0 ? nearest(scale[g] / stored, -half_scale, half_scale - 1) : 0);
        round_group(x + 16 * g, 16, stored * (float)scales[g], 0, -half, half - 1, q + 16 * g);
    }
}

/* ---- packing ---- */

static void pack_two_bits(const int8_t q[TP_QK_K], uint8_t qs[64]) {
    memset(qs, 0, 64);
    for (int i = 0; i < TP_QK_K; i++) {
        uint8_t *byte = &qs[i / 128 * 32 + i % 32];
        *byte = (uint8_t)(*byte | (q[i] & 3) << 2 * (i / 32 % 4));
    }
}

static void pack_q4_scales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]) {
    for (int i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scales[i] | scales[i + 4] >> 4 << 6);
        packed[i + 4] = (uint8_t)(mins[i] | mins[i + 4] >> 4 << 6);
        packed[i + 8] = (uint8_t)((scales[i + 4] & 15) | (mins[i + 4] & 15) << 4);
    }
}

static void pack_four_bits(const int8_t q[TP_QK_K], uint8_t qs[128]) {
    for (int h = 0; h < 4; h++)
        for (int i = 0; i < 32; i++) qs[32 * h + i] = (uint8_t)((q[64 * h + i] & 15) | (q[64 * h + 32 + i] & 15) << 4);
}

/* ---- the types ---- */

static void q2_k(const float *x, tp_block_q2_k *b) {
    uint8_t scales[16], mins[16];
    int8_t q[TP_QK_K];
    fit_groups(x, 16, 16, 3, 15, &b->d, &b->dmin, scales, mins);
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    for (int g = 0; g < 16; g++) {
        round_group(x + 16 * g, 16, d * (float)scales[g], dmin * (float)mins[g], 0, 3, q + 16 * g);
        b->scales[g] = (uint8_t)(scales[g] | mins[g] << 4);
    }
    pack_two_bits(q, b->qs);
}

static void q3_k(const float *x, tp_block_q3_k *b) {
    int8_t scales[16], q[TP_QK_K];
    fit_symmetric_groups(x, 4, 32, &b->d, scales, q);
    memset(b->hmask, 0, sizeof b->hmask);
    for (int i = 0; i < TP_QK_K; i++) {
        q[i] = (int8_t)(q[i] + 4);
        b->hmask[i % 32] = (uint8_t)(b->hmask[i % 32] | q[i] >> 2 << i / 32);
    }
    pack_two_bits(q, b->qs);
    memset(b->scales, 0, sizeof b->scales);
    for (int i = 0; i < 16; i++) {
        int s = scales[i] + 32;
        b->scales[i % 8] = (uint8_t)(b->scales[i % 8] | (s & 15) << 4 * (i / 8));
        b->scales[8 + i % 4] = (uint8_t)(b->scales[8 + i % 4] | s >> 4 << 2 * (i / 4));
    }
}

static void q4_k(const float *x, tp_block_q4_k *b) {
    uint8_t scales[8], mins[8];
    int8_t q[TP_QK_K];
    fit_groups(x, 8, 32, 15, 63, &b->d, &b->dmin, scales, mins);
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    for (int g = 0; g < 8; g++)
        round_group(x + 32 * g, 32, d * (float)scales[g], dmin * (float)mins[g], 0, 15, q + 32 * g);
    pack_q4_scales(scales, mins, b->scales);
    pack_four_bits(q, b->qs);
}

static void q5_k(const float *x, tp_block_q5_k *b) {
    uint8_t scales[8], mins[8];
    int8_t q[TP_QK_K];
    fit_groups(x, 8, 32, 31, 63, &b->d, &b->dmin, scales, mins);
    float d = tp_f16_to_f32(b->d), dmin = tp_f16_to_f32(b->dmin);
    for (int g = 0; g < 8; g++)
        round_group(x + 32 * g, 32, d * (float)scales[g], dmin * (float)mins[g], 0, 31, q + 32 * g);
    pack_q4_scales(scales, mins, b->scales);
    pack_four_bits(q, b->qs);
    memset(b->qh, 0, sizeof b->qh);
    for (int i = 0; i < TP_QK_K; i++) b->qh[i % 32] = (uint8_t)(b->qh[i % 32] | (q[i] >> 4 & 1) << i / 32);
}

static void q6_k(const float *x, tp_block_q6_k *b) {
    int8_t q[TP_QK_K];
    fit_symmetric_groups(x, 32, 128, &b->d, b->scales, q);
    memset(b->ql, 0, sizeof b->ql);
    memset(b->qh, 0, sizeof b->qh);
    for (int i = 0; i < TP_QK_K; i++) {
        int v = q[i] + 32, half = i / 128, s = i / 32 % 4;
        uint8_t *low = &b->ql[64 * half + 32 * (s % 2) + i % 32], *high = &b->qh[32 * half + i % 32];
        *low = (uint8_t)(*low | (v & 15) << 4 * (s / 2));
        *high = (uint8_t)(*high | v >> 4 << 2 * s);
    }
}

void tp_quantize_k(tp_dtype dtype, const float *x, int64_t n, void *blocks) {
    for (int64_t i = 0; i < n / TP_QK_K; i++, x += TP_QK_K) {
        switch (dtype) {
        case TP_Q2_K:
            q2_k(x, (tp_block_q2_k *)blocks + i);
            break;
        case TP_Q3_K:
            q3_k(x, (tp_block_q3_k *)blocks + i);
            break;
        case TP_Q4_K:
            q4_k(x, (tp_block_q4_k *)blocks + i);
            break;
        case TP_Q5_K:
            q5_k(x, (tp_block_q5_k *)blocks + i);
            break;
        default:
            q6_k(x, (tp_block_q6_k *)blocks + i);
            break;
        }
    }
}
