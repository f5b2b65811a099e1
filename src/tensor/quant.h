/* Block-quantised weights: what the blocks of GGUF files look like to the byte, and what numbers they stand for.
 *
 * A row of n numbers is n / 32 (legacy types) or n / 256 (k-quants) blocks end to end. Each holds small integers q and
 * the scales that make numbers of them: value = d * q (+ m). The layouts are those of ggml (ggml-common.h) and are part
 * of the file format; what a block decodes to is defined by the reference codec `gguf.quants`, in f32, each operation
 * rounded, and the functions here give the same bits. Scales are binary16; everything is little-endian.
 *
 * Here are the exact, simple functions, which faster kernels are tested against. */
#ifndef TP_TENSOR_QUANT_H
#define TP_TENSOR_QUANT_H

#include "base/dtype.h"
#include "base/half.h"

#include <stdint.h>

enum { TP_QK = 32, TP_QK_K = 256 }; /* numbers in a legacy block, and in a k-quant's super-block */

/* ---- legacy types: one scale, or scale and minimum, for 32 numbers ----
 * Nibble i < 16 of qs is number i, the high nibble of the same byte number i + 16. */

typedef struct tp_block_q4_0 { /* d * (q - 8) */
    tp_f16 d;
    uint8_t qs[16];
} tp_block_q4_0;

typedef struct tp_block_q4_1 { /* d * q + m */
    tp_f16 d, m;
    uint8_t qs[16];
} tp_block_q4_1;

typedef struct tp_block_q5_0 { /* d * (q - 16); bit i of qh is the fifth bit of number i */
    tp_f16 d;
    uint8_t qh[4];
    uint8_t qs[16];
} tp_block_q5_0;

typedef struct tp_block_q5_1 { /* d * q + m */
    tp_f16 d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} tp_block_q5_1;

typedef struct tp_block_q8_0 { /* d * q */
    tp_f16 d;
    int8_t qs[32];
} tp_block_q8_0;

/* ---- k-quants: 256 numbers in groups of 16 or 32, whose scales are small integers themselves ---- */

typedef struct tp_block_q2_k { /* groups of 16: d * scale * q - dmin * min, scale and min of 4 bits */
    uint8_t scales[16];        /* low nibble the scale, high nibble the minimum */
    uint8_t qs[64];            /* number 128 h + 32 s + i: bits 2 s of byte 32 h + i */
    tp_f16 d, dmin;
} tp_block_q2_k;

typedef struct tp_block_q3_k { /* groups of 16: d * (scale - 32) * (q - 4) */
    uint8_t hmask[32];         /* number 32 b + i: its third bit is bit b of byte i */
    uint8_t qs[64];            /* its low two bits, as in q2_k */
    uint8_t scales[12];        /* sixteen of 6 bits, see tp_q3_k_scales */
    tp_f16 d;
} tp_block_q3_k;

typedef struct tp_block_q4_k { /* groups of 32: d * scale * q - dmin * min */
    tp_f16 d, dmin;
    uint8_t scales[12]; /* eight scales and eight minima of 6 bits, see tp_q4_k_scales */
    uint8_t qs[128];    /* number 64 h + i: low nibble of byte 32 h + i; 64 h + 32 + i: its high nibble */
} tp_block_q4_k;

typedef struct tp_block_q5_k { /* as q4_k, with a fifth bit */
    tp_f16 d, dmin;
    uint8_t scales[12];
    uint8_t qh[32]; /* number 32 g + i: its fifth bit is bit g of byte i */
    uint8_t qs[128];
} tp_block_q5_k;

typedef struct tp_block_q6_k { /* groups of 16: d * scale * (q - 32) */
    uint8_t ql[128];           /* number 128 h + 32 s + i: nibble s / 2 of byte 64 h + 32 (s % 2) + i */
    uint8_t qh[64];            /* and its high two bits: bits 2 s of byte 32 h + i */
    int8_t scales[16];
    tp_f16 d;
} tp_block_q6_k;

/* The eight scales and eight minima (0 to 63) of a q4_k or q5_k block. */
void tp_q4_k_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]);

/* The sixteen scales of a q3_k block, 32 taken off (-32 to 31). */
void tp_q3_k_scales(const uint8_t packed[12], int8_t scales[16]);

/* The n numbers (a whole number of blocks) of a row of blocks as f32. `blocks` needs alignment for tp_f16 only. dtype
 * is a block type: anything else is a mistake of the caller. */
void tp_dequantize_row(tp_dtype dtype, const void *blocks, int64_t n, float *out);

/* The two halves of tp_dequantize_row. */
void tp_dequantize_legacy(tp_dtype dtype, const void *blocks, int64_t n, float *out);
void tp_dequantize_k(tp_dtype dtype, const void *blocks, int64_t n, float *out);

/* The other way: n finite numbers into blocks. The legacy types come out as the reference codec makes them, byte for
 * byte; the k-quants by a fit of our own (quantize_k.c). Numbers that are not finite give blocks without meaning. */
void tp_quantize_row(tp_dtype dtype, const float *x, int64_t n, void *blocks);
void tp_quantize_k(tp_dtype dtype, const float *x, int64_t n, void *blocks); /* its part for k-quants */

#endif
