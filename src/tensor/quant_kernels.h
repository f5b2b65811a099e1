/* Kernels on block-quantised weights: the table of inner loops that read the blocks themselves.
 *
 * A number of every block format is s q - m with a small code q and a scale s and offset m that 16 or 32 neighbours
 * share. So one set of kernels serves all formats: codes are multiplied as integers with activations that were
 * themselves brought to 8 bits, a scale for each 32 of them, and what the offsets take away is m times the sum of the
 * activations. An integer product is exact: all instruction sets get the same integers, only the order in which the
 * few f32 terms are added may differ. The exact mode does without: numbers are dequantised and multiplied as f32.
 *
 * Like the table of kernels.h this one is a source compiled once per instruction set and chosen by CPUID. Kernels start
 * no threads and allocate nothing. */
#ifndef TP_TENSOR_QUANT_KERNELS_H
#define TP_TENSOR_QUANT_KERNELS_H

#include "base/dtype.h"

#include <stdint.h>

enum {
    TP_CODES = 32,               /* activations that share a scale */
    TP_SPAN = 256,               /* numbers handled at a time; rows of activations are padded to whole spans */
    TP_PANEL_ROWS = 16,          /* rows of a weight that are unpacked together */
    TP_PANEL_COLS = 2 * TP_SPAN, /* columns of a weight that are unpacked together */
    TP_TILE_ROWS = 4,            /* rows of activations multiplied at a time */
};

/* Activations brought to 8 bits: x is near scale * code, within half a scale; scale = largest of 32 / 127. Each array
 * holds m rows, `stride` codes apart (a multiple of TP_SPAN): spare codes, scales and sums are zero. */
typedef struct tp_codes {
    int64_t stride;
    int8_t *code; /* [m, stride] */
    float *scale; /* [m, stride / 32] */
    float *sum32; /* [m, stride / 32]: the sum of 32 decoded activations */
    float *sum16; /* [m, stride / 16] */
} tp_codes;

/* A piece of a weight, unpacked for many rows of activations: TP_PANEL_ROWS rows, at most TP_PANEL_COLS columns. */
typedef struct tp_panel {
    uint8_t code[TP_PANEL_COLS / 4][TP_PANEL_ROWS][4]; /* q, 4 columns of a row side by side */
    float scale[TP_PANEL_COLS / 16][TP_PANEL_ROWS];    /* s, for each 16 or 32 columns */
    float offset[TP_PANEL_COLS / 16][TP_PANEL_ROWS];   /* m */
} tp_panel __attribute__((aligned(64)));

typedef struct tp_quant_kernels {
    const char *name; /* "avx2", "avxvnni", "avx512vnni" */

    /* A row of n numbers (n a multiple of 32, maybe 0) brought to codes: row i of *to. */
    void (*quantize)(const tp_codes *to, int64_t i, const float *x, int64_t n);

    /* n numbers (whole blocks) as f32: as tp_dequantize_row, number for number. */
    void (*dequantize)(tp_dtype type, const void *blocks, int64_t n, float *out);

    /* y[k] = row i + k of x times a weight's row of n numbers, for k < m; m is 1 or 2. */
    void (*dot)(tp_dtype type, const void *row, int64_t n, const tp_codes *x, int64_t i, int64_t m, float *y);

    /* Columns from .. from + n - 1 (multiples of 32) of `rows` <= TP_PANEL_ROWS rows, `row_bytes` apart. */
    void (*unpack)(tp_dtype type, const void *first_row, int64_t row_bytes, int64_t rows, int64_t from, int64_t n,
                   tp_panel *panel);

    /* y[i][j] += row i0 + i of x times the panel's row j, over the panel's columns (from .. from + n - 1 of x), for
     * TP_TILE_ROWS rows of x, which must be there, and all the panel's. */
    void (*multiply)(tp_dtype type, const tp_panel *panel, int64_t from, int64_t n, const tp_codes *x, int64_t i0,
                     float y[TP_TILE_ROWS][TP_PANEL_ROWS]);
} tp_quant_kernels;

/* The table of this processor (TELEPATHY_ISA asks for a lesser one, as in kernels.h); NULL if it has not even AVX2. */
const tp_quant_kernels *tp_cpu_quant(void);

/* The table of that name, for tests; NULL if this processor (or this build) does not have it. */
const tp_quant_kernels *tp_cpu_quant_named(const char *name);

#endif
