/* Matrix products with weights: which library or kernel serves which. See matmul.h. */
#include "tensor/matmul.h"

#include "tensor/cpu/onednn.h"
#include "tensor/kernels.h"
#include "tensor/quant.h"
#include "tensor/quant_matmul.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to so many rows, a product is bound by reading the weight: our dot products read it in its storage type. */
enum { FEW_ROWS = 3 };

/* C[m,n] (+)= op(A) op(B), row-major, through oneDNN; rows of A, B and C are lda, ldb and ldc apart. Its only failure
 * is a wrong argument, a mistake of ours. */
static void sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                  int64_t ldb, float beta, float *c, int64_t ldc) {
    if (m == 0 || n == 0) return;
    dnnl_status_t status = dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc);
    if (status != dnnl_success) {
        fprintf(stderr, "telepathy: oneDNN refused a product of %lld x %lld x %lld (status %d)\n", (long long)m,
                (long long)n, (long long)k, (int)status);
        abort();
    }
}

/* x rounded to bf16 numbers, in scratch memory; x itself in f32 mode. */
static const float *operand(tp_math math, tp_arena *scratch, const float *x, int64_t n) {
    if (math == TP_MATH_F32) return x;
    float *rounded = tp_arena_alloc(scratch, (size_t)n * sizeof(float));
    const tp_kernels *cpu = tp_cpu();
    enum { CHUNK = 1 << 14 };
#pragma omp parallel for if (n > 4 * CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) cpu->round_bf16(rounded + i, x + i, n - i < CHUNK ? n - i : CHUNK);
    return rounded;
}

/* The same for an operand [m, cols] of which oneDNN reads columns, since m is what is summed over: rows that lie whole
 * pages apart share a few sets of the cache, which halves its speed (as the left one, a vocabulary of 4096 over 256
 * columns: 31 against 59 GFLOP/s; as the right one, docs/speed.md). Those are spread. */
static const float *summed_rows(tp_math math, tp_arena *scratch, const float *x, int64_t m, int64_t cols,
                                int64_t *stride) {
    enum { PAGE = 1024, LINE = 16 }; /* numbers */
    *stride = cols;
    if (cols % PAGE != 0) return operand(math, scratch, x, m * cols);
    *stride = cols + LINE;
    float *spread = tp_arena_alloc(scratch, (size_t)(m * *stride) * sizeof(float));
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for
    for (int64_t i = 0; i < m; i++)
        if (math == TP_MATH_F32)
            memcpy(spread + i * *stride, x + i * cols, (size_t)cols * sizeof(float));
        else
            cpu->round_bf16(spread + i * *stride, x + i * cols, cols);
    return spread;
}

static const float *weight_operand(tp_math math, tp_arena *scratch, const tp_weight *w) {
    if (w->grad) return operand(math, scratch, w->data, w->rows * w->cols); /* it changes from step to step */
    return tp_weight_f32(w, math == TP_MATH_BF16);
}

/* Output j of w for each of the m rows. */
static void one_output(float *y, const float *x, int64_t m, const tp_weight *w, int64_t j) {
    const tp_kernels *cpu = tp_cpu();
    for (int64_t i = 0; i < m; i++) {
        const float *row = x + i * w->cols;
        const uint16_t *half = (const uint16_t *)w->data + j * w->cols;
        float *out = y + i * w->rows + j;
        if (w->dtype == TP_F32)
            *out = cpu->dot_f32(row, (const float *)w->data + j * w->cols, w->cols);
        else
            *out = w->dtype == TP_BF16 ? cpu->dot_bf16(row, half, w->cols) : cpu->dot_f16(row, half, w->cols);
    }
}

/* The outputs of n weights, of plain types and as many columns, lie in one row of work: handing work to threads costs
 * as much as a small product. Memory bounds this, so that rounding operands would gain nothing: both modes are exact
 * here. Threads take what comes next: of two halves the one on the slower core would be waited for (docs/speed.md). */
static void few_rows(float *const *y, const float *x, int64_t m, const tp_weight *const *w, int n) {
    enum { PARTS = 32 };
    int64_t outputs = 0;
    for (int i = 0; i < n; i++) outputs += w[i]->rows;
#pragma omp parallel for schedule(dynamic, outputs / PARTS + 1) if (outputs * w[0]->cols > 1 << 15)
    for (int64_t o = 0; o < outputs; o++) {
        int i = 0;
        int64_t j = o;
        while (j >= w[i]->rows) j -= w[i++]->rows;
        one_output(y[i], x, m, w[i], j);
    }
}

/* ---- bf16 units: AVX-512 and later ----
 *
 * Activations are converted to bf16 once per product. Row counts of ragged batches change every step, and a primitive
 * is made per shape: rows are rounded up (the spare ones are zeros) so that a few primitives serve all. */

/* Rows; numbers in a weight worth packing. A larger weight is taken as it is, which costs a few per cent of a product
 * with many rows: its packed form would be a second copy. */
enum { ROW_STEP = 32, PACK_FROM = 1 << 14, PACK_TO = 1 << 22 };

static int64_t round_up(int64_t m) {
    return (m + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
}

/* [round_up(m), cols] as bf16, zeros behind the m rows. */
static uint16_t *to_bf16(tp_arena *scratch, const float *x, int64_t m, int64_t cols) {
    int64_t n = m * cols, all = round_up(m) * cols;
    uint16_t *out = tp_arena_alloc(scratch, (size_t)all * sizeof *out);
    const tp_kernels *cpu = tp_cpu();
    enum { CHUNK = 1 << 14 };
#pragma omp parallel for if (n > 4 * CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) cpu->f32_to_bf16(out + i, x + i, n - i < CHUNK ? n - i : CHUNK);
    memset(out + n, 0, (size_t)(all - n) * sizeof *out);
    return out;
}

/* The weight as the product's B: packed if it is frozen bf16 and of middling size, else its bf16 numbers in plain
 * order. */
static const void *bf16_weight(tp_arena *scratch, const tp_weight *w, tp_product *p, int which) {
    if (w->dtype != TP_BF16) return to_bf16(scratch, tp_weight_f32(w, false), w->rows, w->cols);
    if (w->rows * w->cols < PACK_FROM || w->rows * w->cols > PACK_TO) return w->data;
    tp_weight *owner = (tp_weight *)(uintptr_t)w; /* packed forms are a cache: logically const */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    void *packed = __atomic_load_n(&owner->packed[which], __ATOMIC_ACQUIRE);
    if (packed == NULL) {
        pthread_mutex_lock(&lock);
        packed = owner->packed[which];
        if (packed == NULL) {
            packed = tp_onednn_pack(p, w->data);
            __atomic_store_n(&owner->packed[which], packed, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&lock);
    }
    p->b_packed = packed != NULL;
    return packed ? packed : w->data;
}

/* C += or = A B with m rounded up; C has room for m rows only, so the last, incomplete block goes through scratch. */
static bool bf16_product(tp_arena *scratch, tp_product p, const uint16_t *a, const void *b, float *c) {
    int64_t m = p.m, whole = m / ROW_STEP * ROW_STEP;
    p.m = whole;
    if (whole > 0 && !tp_onednn_product(&p, a, b, c)) return false;
    if (whole == m) return true;
    float *rest = tp_arena_alloc(scratch, (size_t)(ROW_STEP * p.n) * sizeof *rest);
    size_t bytes = (size_t)((m - whole) * p.n) * sizeof *rest;
    p.m = ROW_STEP;
    if (p.accumulate) {
        memcpy(rest, c + whole * p.n, bytes);
        memset(rest + (m - whole) * p.n, 0, (size_t)((ROW_STEP - (m - whole)) * p.n) * sizeof *rest);
    }
    if (!tp_onednn_product(&p, a + whole * p.k, b, rest)) return false;
    memcpy(c + whole * p.n, rest, bytes);
    return true;
}

static bool native_bf16(tp_math math) {
    return math == TP_MATH_BF16 && tp_onednn_has_bf16();
}

/* ---- frozen weights that are not what the product needs: block types, other formats, unrounded numbers ----
 *
 * A few rows of the weight at a time become f32 numbers in scratch memory and meet all of the left operand: there is
 * never an f32 copy of a large weight. */

enum { KEEP_NUMBERS = 1 << 20, KEEP_COLS = 2047, TILE_NUMBERS = 1 << 19, CHUNK_NUMBERS = 1024 };

/* Is the weight used tile by tile? Small frozen ones of plain types keep a converted copy (tp_weight_f32) instead, but
 * not in wide models: there the small ones (k and v) are a small part of the work, and together 128 MiB at the shape of
 * Llama-3.2-1B. */
static bool in_tiles(tp_math math, const tp_weight *w) {
    if (tp_dtype_is_block(w->dtype)) return true;
    if (w->grad || (w->rows * w->cols <= KEEP_NUMBERS && w->cols <= KEEP_COLS)) return false;
    return math == TP_MATH_BF16 || w->dtype != TP_F32;
}

static int64_t tile_rows(const tp_weight *w) {
    int64_t rows = TILE_NUMBERS / w->cols;
    return rows < 1 ? 1 : rows > w->rows ? w->rows : rows;
}

/* n numbers of row j from column `at` on (both whole blocks), rounded to bf16 if the mode asks for that. */
static void as_f32(tp_math math, const tp_weight *w, int64_t j, int64_t at, int64_t n, float *out) {
    tp_weight_part(w, j, at, n, out);
    if (math == TP_MATH_BF16 && w->dtype != TP_BF16) tp_cpu()->round_bf16(out, out, n);
}

static void fill_tile(tp_math math, const tp_weight *w, int64_t from, int64_t n, float *tile) {
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) as_f32(math, w, from + i, 0, w->cols, tile + i * w->cols);
}

static void dequantised_few_rows(tp_math math, float *y, const float *x, int64_t m, const tp_weight *w) {
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for if (w->rows * w->cols > 1 << 15)
    for (int64_t j = 0; j < w->rows; j++) {
        float numbers[CHUNK_NUMBERS], sums[FEW_ROWS] = {0};
        for (int64_t at = 0; at < w->cols; at += CHUNK_NUMBERS) {
            int64_t n = w->cols - at < CHUNK_NUMBERS ? w->cols - at : CHUNK_NUMBERS;
            as_f32(math, w, j, at, n, numbers);
            for (int64_t i = 0; i < m; i++) sums[i] += cpu->dot_f32(x + i * w->cols + at, numbers, n);
        }
        for (int64_t i = 0; i < m; i++) y[i * w->rows + j] = sums[i];
    }
}

static void tiled_matmul(tp_math math, tp_arena *scratch, float *y, const float *x, int64_t m, const tp_weight *w) {
    const float *left = operand(math, scratch, x, m * w->cols);
    int64_t step = tile_rows(w);
    float *tile = tp_arena_alloc(scratch, (size_t)(step * w->cols) * sizeof(float));
    for (int64_t from = 0; from < w->rows; from += step) {
        int64_t n = w->rows - from < step ? w->rows - from : step;
        fill_tile(math, w, from, n, tile);
        sgemm('N', 'T', m, n, w->cols, left, w->cols, tile, w->cols, 0.0f, y + from, w->rows);
    }
}

/* Columns of dx one group after the other, so that a group's sums stay in the cache until they are complete: tiles of
 * whole rows would write and read all of dx for each of them (half the peak instead of five sixths, docs/speed.md). */
static void tiled_input_grad(tp_math math, tp_arena *scratch, float *dx, const float *dy, int64_t m,
                             const tp_weight *w) {
    enum { GROUP = 256 }; /* whole blocks of every type */
    const float *left = operand(math, scratch, dy, m * w->rows);
    int64_t step = TILE_NUMBERS / GROUP < w->rows ? TILE_NUMBERS / GROUP : w->rows;
    float *tile = tp_arena_alloc(scratch, (size_t)(step * GROUP) * sizeof(float));
    for (int64_t at = 0; at < w->cols; at += GROUP) {
        int64_t width = w->cols - at < GROUP ? w->cols - at : GROUP;
        for (int64_t from = 0; from < w->rows; from += step) {
            int64_t n = w->rows - from < step ? w->rows - from : step;
#pragma omp parallel for
            for (int64_t i = 0; i < n; i++) as_f32(math, w, from + i, at, width, tile + i * width);
            sgemm('N', 'N', m, width, n, left + from, w->rows, tile, width, 1.0f, dx + at, w->cols);
        }
    }
}

/* ---- the three products ---- */

static bool in_bf16_units(tp_math math, const tp_weight *w) {
    return native_bf16(math) && (w->dtype == TP_BF16 || !in_tiles(math, w));
}

void tp_matmul(tp_math math, tp_arena *scratch, float *y, const float *x, int64_t m, const tp_weight *w) {
    if (m == 0) return;
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    const tp_quant_kernels *quant = math == TP_MATH_BF16 && tp_dtype_is_block(w->dtype) ? tp_cpu_quant() : NULL;
    if (quant) {
        tp_quant_matmul(quant, scratch, y, x, m, w);
    } else if (m <= FEW_ROWS && tp_dtype_is_block(w->dtype)) {
        dequantised_few_rows(math, y, operand(math, scratch, x, m * w->cols), m, w);
    } else if (m <= FEW_ROWS) {
        few_rows(&y, x, m, &w, 1);
    } else {
        tp_product p = {.m = m, .n = w->rows, .k = w->cols, .bf16 = true, .b_transposed = true};
        bool done = false;
        if (in_bf16_units(math, w)) {
            const uint16_t *left = to_bf16(scratch, x, m, w->cols);
            const void *right = bf16_weight(scratch, w, &p, 0); /* sets p.b_packed: before p is copied */
            done = bf16_product(scratch, p, left, right, y);
        }
        if (!done && in_tiles(math, w))
            tiled_matmul(math, scratch, y, x, m, w);
        else if (!done)
            sgemm('N', 'T', m, w->rows, w->cols, operand(math, scratch, x, m * w->cols), w->cols,
                  weight_operand(math, scratch, w), w->cols, 0.0f, y, w->rows);
    }
    tp_arena_release(scratch, mark);
}

void tp_matmul_group(tp_math math, tp_arena *scratch, float *const *y, const float *x, int64_t m,
                     const tp_weight *const *w, int n) {
    bool together = 0 < m && m <= FEW_ROWS;
    for (int i = 0; i < n; i++) together = together && !tp_dtype_is_block(w[i]->dtype);
    if (together) few_rows(y, x, m, w, n);
    for (int i = 0; i < n && !together; i++) tp_matmul(math, scratch, y[i], x, m, w[i]);
}

void tp_matmul_input_grad(tp_math math, tp_arena *scratch, float *dx, const float *dy, int64_t m, const tp_weight *w) {
    if (m == 0) return;
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    tp_product p = {.m = m, .n = w->cols, .k = w->rows, .bf16 = true, .accumulate = true};
    bool done = false;
    if (in_bf16_units(math, w)) {
        const uint16_t *left = to_bf16(scratch, dy, m, w->rows);
        const void *right = bf16_weight(scratch, w, &p, 1); /* sets p.b_packed: before p is copied */
        done = bf16_product(scratch, p, left, right, dx);
    }
    if (!done && in_tiles(math, w))
        tiled_input_grad(math, scratch, dx, dy, m, w);
    else if (!done)
        sgemm('N', 'N', m, w->cols, w->rows, operand(math, scratch, dy, m * w->rows), w->rows,
              weight_operand(math, scratch, w), w->cols, 1.0f, dx, w->cols);
    tp_arena_release(scratch, mark);
}

void tp_matmul_weight_grad(tp_math math, tp_arena *scratch, const float *dy, const float *x, int64_t m,
                           const tp_weight *w) {
    if (m == 0) return;
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    /* m is what is summed over here: spare rows are zeros and add nothing */
    tp_product p = {
        .m = w->rows, .n = w->cols, .k = round_up(m), .bf16 = true, .a_transposed = true, .accumulate = true};
    bool done = native_bf16(math) &&
                tp_onednn_product(&p, to_bf16(scratch, dy, m, w->rows), to_bf16(scratch, x, m, w->cols), w->grad);
    if (!done) {
        int64_t lda, ldb;
        const float *left = summed_rows(math, scratch, dy, m, w->rows, &lda);
        const float *right = summed_rows(math, scratch, x, m, w->cols, &ldb);
        sgemm('T', 'N', w->rows, w->cols, m, left, lda, right, ldb, 1.0f, w->grad, w->cols);
    }
    tp_arena_release(scratch, mark);
}
