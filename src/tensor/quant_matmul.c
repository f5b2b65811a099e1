/* Integer products with block-quantised weights over threads. See quant_matmul.h.
 *
 * A few rows read the weight once, straight from its blocks: memory bounds them. For many rows a panel of the weight
 * (16 rows, 512 columns) is unpacked into the first cache and meets all rows before the next: unpacking is then a few
 * per cent. Threads split the weight's rows. */
#include "tensor/quant_matmul.h"

#include <stdbool.h>
#include <string.h>

enum { FEW_ROWS = 3 };

static int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* The activations as codes, in scratch memory; rows up to a multiple of a tile's are zeros. */
static tp_codes codes_of(const tp_quant_kernels *k, tp_arena *scratch, const float *x, int64_t m, int64_t cols,
                         int64_t rows) {
    tp_codes c = {.stride = round_up(cols, TP_SPAN)};
    size_t n = (size_t)(rows * c.stride);
    c.code = tp_arena_alloc(scratch, n);
    c.scale = tp_arena_alloc(scratch, n / 32 * sizeof(float));
    c.sum32 = tp_arena_alloc(scratch, n / 32 * sizeof(float));
    c.sum16 = tp_arena_alloc(scratch, n / 16 * sizeof(float));
#pragma omp parallel for if (m * cols > 1 << 16)
    for (int64_t i = 0; i < rows; i++) k->quantize(&c, i, x + i * cols, i < m ? cols : 0);
    return c;
}

static void few_rows(const tp_quant_kernels *k, float *y, const tp_codes *x, int64_t m, const tp_weight *w,
                     int64_t row_bytes) {
#pragma omp parallel for if (w->rows * w->cols > 1 << 15)
    for (int64_t j = 0; j < w->rows; j++) {
        const unsigned char *row = (const unsigned char *)w->data + j * row_bytes;
        for (int64_t i = 0; i < m; i += 2) {
            float two[2];
            int64_t n = m - i < 2 ? 1 : 2;
            k->dot(w->dtype, row, w->cols, x, i, n, two);
            for (int64_t a = 0; a < n; a++) y[(i + a) * w->rows + j] = two[a];
        }
    }
}

/* All of x with the weight's rows j .. j + n - 1, n <= TP_PANEL_ROWS. */
static void one_panel(const tp_quant_kernels *k, tp_panel *panel, float *y, const tp_codes *x, int64_t m,
                      const tp_weight *w, int64_t row_bytes, int64_t j, int64_t n) {
    size_t bytes = (size_t)n * sizeof(float);
    for (int64_t from = 0; from < w->cols; from += TP_PANEL_COLS) {
        int64_t cols = w->cols - from < TP_PANEL_COLS ? w->cols - from : TP_PANEL_COLS;
        k->unpack(w->dtype, (const unsigned char *)w->data + j * row_bytes, row_bytes, n, from, cols, panel);
        for (int64_t i = 0; i < m; i += TP_TILE_ROWS) {
            int64_t rows = m - i < TP_TILE_ROWS ? m - i : TP_TILE_ROWS;
            float tile[TP_TILE_ROWS][TP_PANEL_ROWS] __attribute__((aligned(64))) = {{0}};
            if (from > 0)
                for (int64_t a = 0; a < rows; a++) memcpy(tile[a], y + (i + a) * w->rows + j, bytes);
            k->multiply(w->dtype, panel, from, cols, x, i, tile);
            for (int64_t a = 0; a < rows; a++) memcpy(y + (i + a) * w->rows + j, tile[a], bytes);
        }
    }
}

void tp_quant_matmul(const tp_quant_kernels *kernels, tp_arena *scratch, float *y, const float *x, int64_t m,
                     const tp_weight *w) {
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    size_t row_bytes = 0;
    tp_dtype_bytes(w->dtype, w->cols, &row_bytes);
    bool few = m <= FEW_ROWS;
    int64_t rows = few ? m : round_up(m, TP_TILE_ROWS);
    tp_codes codes = codes_of(kernels, scratch, x, m, w->cols, rows);
    if (few) {
        few_rows(kernels, y, &codes, m, w, (int64_t)row_bytes);
    } else {
        int64_t panels = (w->rows + TP_PANEL_ROWS - 1) / TP_PANEL_ROWS;
#pragma omp parallel if (m * w->rows * w->cols > 1 << 18)
        {
            tp_panel panel;
#pragma omp for
            for (int64_t p = 0; p < panels; p++) {
                int64_t j = p * TP_PANEL_ROWS, n = w->rows - j < TP_PANEL_ROWS ? w->rows - j : TP_PANEL_ROWS;
                one_panel(kernels, &panel, y, &codes, m, w, (int64_t)row_bytes, j, n);
            }
        }
    }
    tp_arena_release(scratch, mark);
}
