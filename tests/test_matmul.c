/* Products with weights (tensor/matmul.h) against naive double-precision ones: every type of weight, frozen and
 * trainable, few rows (our dot products) and many (oneDNN), in both kinds of arithmetic. In bf16 mode the oracle is the
 * naive product of operands rounded to bf16 (but for few rows): what is left is the error of f32 sums. Also what
 * weight.h promises. */
#include "check.h"

#include "base/half.h"
#include "base/rng.h"
#include "tensor/kernels.h"
#include "tensor/matmul.h"

#include <math.h>
#include <omp.h>

/* A weight of random numbers in its storage type, and the same numbers in f32. */
typedef struct {
    tp_weight w;
    float *values;
} fixture;

static fixture weight_of(tp_rng *rng, tp_dtype dtype, bool trainable, int64_t rows, int64_t cols) {
    int64_t n = rows * cols;
    float *values = malloc((size_t)n * sizeof *values);
    uint16_t *halves = malloc((size_t)n * sizeof *halves);
    tp_rng_fill_normal(rng, values, (size_t)n, 1);
    for (int64_t i = 0; i < n && dtype != TP_F32; i++) {
        halves[i] = dtype == TP_BF16 ? tp_f32_to_bf16(values[i]) : tp_f32_to_f16(values[i]);
        values[i] = dtype == TP_BF16 ? tp_bf16_to_f32(halves[i]) : tp_f16_to_f32(halves[i]);
    }
    fixture f = {{.name = "w", .dtype = dtype, .rows = rows, .cols = cols}, values};
    if (dtype == TP_F32) {
        f.w.data = memcpy(malloc((size_t)n * sizeof *values), values, (size_t)n * sizeof *values);
        free(halves);
    } else {
        f.w.data = halves;
    }
    if (trainable) {
        f.w.grad = malloc((size_t)n * sizeof(float));
        tp_rng_fill_normal(rng, f.w.grad, (size_t)n, 1);
    }
    return f;
}

static void fixture_free(fixture *f) {
    tp_weight_release(&f->w);
    free((void *)(uintptr_t)f->w.data);
    free(f->w.grad);
    free(f->values);
}

static float *normal(tp_rng *rng, int64_t n) {
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    tp_rng_fill_normal(rng, x, (size_t)n, 1);
    return x;
}

/* The operand that the oracle takes: x, or a copy rounded to bf16. To be freed. */
static float *operand(tp_math math, const float *x, int64_t n) {
    float *copy = memcpy(malloc((size_t)(n > 0 ? n : 1) * sizeof *copy), x, (size_t)n * sizeof *copy);
    for (int64_t i = 0; i < n && math == TP_MATH_BF16; i++) copy[i] = tp_bf16_to_f32(tp_f32_to_bf16(x[i]));
    return copy;
}

/* c[m,n] = before + sum over p of a(i, p) b(p, j), whose elements stand at the given strides. */
static void check_product(const char *what, tp_math math, int64_t m, int64_t n, int64_t k, const float *a,
                          int64_t a_row, int64_t a_col, const float *b, int64_t b_row, int64_t b_col,
                          const float *before, const float *c) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = before ? before[i * n + j] : 0, size = fabs(sum);
            for (int64_t p = 0; p < k; p++) {
                double term = (double)a[i * a_row + p * a_col] * b[p * b_row + j * b_col];
                sum += term;
                size += fabs(term);
            }
            if (!(fabs(c[i * n + j] - sum) <= 5e-7 * size))
                fail_msg("%s, %s, %lld x %lld x %lld: element (%lld, %lld) is %.9g, expected %.9g", what,
                         math == TP_MATH_F32 ? "f32" : "bf16", (long long)m, (long long)n, (long long)k, (long long)i,
                         (long long)j, c[i * n + j], sum);
        }
}

static void one_weight(tp_math math, tp_dtype dtype, bool trainable, int64_t m, int64_t rows, int64_t cols) {
    tp_rng rng = tp_rng_stream(11, "matmul", (uint64_t)(m * 1000 + rows));
    tp_arena *scratch = tp_arena_new();
    tp_arena_alloc(scratch, 100);
    tp_arena_mark mark = tp_arena_get_mark(scratch);
    fixture f = weight_of(&rng, dtype, trainable, rows, cols);
    float *x = normal(&rng, m * cols), *dy = normal(&rng, m * rows), *dx = normal(&rng, m * cols);
    float *y = malloc((size_t)(m * rows + 1) * sizeof *y), *before = malloc((size_t)(m * cols + 1) * sizeof *before);
    for (int64_t i = 0; i <= m * rows; i++) y[i] = NAN; /* overwritten, not added to */
    memcpy(before, dx, (size_t)(m * cols) * sizeof *dx);
    float *rx = operand(math, x, m * cols), *rdy = operand(math, dy, m * rows);
    float *rw = operand(math, f.values, rows * cols);

    tp_matmul(math, scratch, y, x, m, &f.w);
    if (m <= 3) /* a few rows round nothing */
        check_product("x W^T", math, m, rows, cols, x, cols, 1, f.values, 1, cols, NULL, y);
    else
        check_product("x W^T", math, m, rows, cols, rx, cols, 1, rw, 1, cols, NULL, y);
    assert_true(isnan(y[m * rows]));
    tp_matmul_input_grad(math, scratch, dx, dy, m, &f.w);
    check_product("dy W", math, m, cols, rows, rdy, rows, 1, rw, cols, 1, before, dx);
    if (trainable) {
        float *grad = memcpy(malloc((size_t)(rows * cols) * sizeof *grad), f.w.grad, (size_t)(rows * cols) * 4);
        tp_matmul_weight_grad(math, scratch, dy, x, m, &f.w);
        check_product("dy^T x", math, rows, cols, m, rdy, 1, rows, rx, cols, 1, grad, f.w.grad);
        free(grad);
        assert_null(f.w.wide); /* a trainable weight changes: no form of it is kept */
        assert_null(f.w.rounded);
    } else {
        assert_null(f.w.grad);
        if (rows * cols > 1 << 20) { /* a large weight is never held twice */
            assert_null(f.w.wide);
            assert_null(f.w.rounded);
        }
    }
    tp_arena_mark after = tp_arena_get_mark(scratch);
    assert_true(after.block == mark.block && after.used == mark.used);
    free(rx);
    free(rdy);
    free(rw);
    free(x);
    free(dy);
    free(dx);
    free(y);
    free(before);
    fixture_free(&f);
    tp_arena_free(scratch);
}

static void large_frozen_weights_are_converted_in_tiles(void **state) {
    (void)state;
    static const tp_dtype dtypes[] = {TP_F32, TP_BF16, TP_F16};
    for (size_t t = 0; t < 3; t++)
        for (int math = TP_MATH_F32; math <= TP_MATH_BF16; math++) {
            one_weight((tp_math)math, dtypes[t], false, 2, 1030, 1029);
            one_weight((tp_math)math, dtypes[t], false, 4, 2100, 1029); /* tiles, the last not whole */
        }
}

static void products_match_the_naive_ones(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1},    {5, 7},    {1, 40},    {40, 1},  {48, 64},
                                        {130, 33}, {70, 300}, {257, 129}, {1024, 3}};
    static const int64_t batches[] = {0, 1, 2, 3, 4, 5, 17, 64, 130};
    static const struct {
        tp_dtype dtype;
        bool trainable;
    } kinds[] = {{TP_F32, false}, {TP_BF16, false}, {TP_F16, false}, {TP_F32, true}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
            for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
                for (int math = TP_MATH_F32; math <= TP_MATH_BF16; math++)
                    one_weight((tp_math)math, kinds[k].dtype, kinds[k].trainable, batches[b], shapes[s][0],
                               shapes[s][1]);
}

/* A weight long enough for the few-rows product to be shared out among threads. */
static void few_rows_use_all_threads_and_agree(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        omp_set_num_threads(threads);
        one_weight(TP_MATH_F32, TP_BF16, false, 2, 300, 200);
        one_weight(TP_MATH_F32, TP_F32, true, 3, 300, 200);
    }
}

/* Several weights at once give the bits of each alone, for few rows and many, one thread and two, mixed types. */
static void groups_give_the_same_bits(void **state) {
    (void)state;
    tp_rng rng = tp_rng_stream(12, "groups", 0);
    enum { COLS = 130, ROWS = 7, MOST = 400 };
    fixture f[3] = {weight_of(&rng, TP_F32, false, MOST, COLS), weight_of(&rng, TP_BF16, false, 1, COLS),
                    weight_of(&rng, TP_F16, false, 77, COLS)};
    const tp_weight *w[3] = {&f[0].w, &f[1].w, &f[2].w};
    float *x = normal(&rng, ROWS * COLS);
    tp_arena *scratch = tp_arena_new();
    for (int threads = 1; threads <= 2; threads++)
        for (int math = TP_MATH_F32; math <= TP_MATH_BF16; math++)
            for (int64_t m = 0; m <= ROWS; m++) {
                omp_set_num_threads(threads);
                float *y[3], *alone = normal(&rng, ROWS * MOST);
                for (int i = 0; i < 3; i++) y[i] = normal(&rng, ROWS * MOST);
                tp_matmul_group((tp_math)math, scratch, y, x, m, w, 3);
                for (int i = 0; i < 3; i++) {
                    tp_matmul((tp_math)math, scratch, alone, x, m, w[i]);
                    assert_memory_equal(y[i], alone, (size_t)(m * w[i]->rows) * sizeof(float));
                    free(y[i]);
                }
                free(alone);
            }
    tp_arena_free(scratch);
    free(x);
    for (int i = 0; i < 3; i++) fixture_free(&f[i]);
}

static void forms_are_made_once_and_rows_are_read(void **state) {
    (void)state;
    static const tp_dtype dtypes[] = {TP_F32, TP_BF16, TP_F16};
    for (int d = 0; d < 3; d++) {
        tp_rng rng = tp_rng_stream(11, "forms", 0);
        fixture f = weight_of(&rng, dtypes[d], false, 30, 17);
        const float *wide[2], *narrow[2];
#pragma omp parallel for num_threads(2)
        for (int i = 0; i < 2; i++) {
            wide[i] = tp_weight_f32(&f.w, false);
            narrow[i] = tp_weight_f32(&f.w, true);
        }
        assert_ptr_equal(wide[0], wide[1]);
        assert_ptr_equal(narrow[0], narrow[1]);
        for (int i = 0; i < 30 * 17; i++) {
            assert_true(wide[0][i] == f.values[i]);
            assert_true(narrow[0][i] == tp_bf16_to_f32(tp_f32_to_bf16(f.values[i])));
        }
        if (dtypes[d] == TP_F32) assert_ptr_equal(wide[0], f.w.data); /* f32 stays where it is */
        if (dtypes[d] == TP_BF16) assert_ptr_equal(wide[0], narrow[0]);
        float row[17 + 1];
        row[17] = 42;
        for (int i = 0; i < 30; i++) {
            tp_weight_row(&f.w, i, row);
            for (int j = 0; j < 17; j++) assert_true(row[j] == f.values[i * 17 + j]);
        }
        assert_true(row[17] == 42);
        fixture_free(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_the_naive_ones),
        cmocka_unit_test(large_frozen_weights_are_converted_in_tiles),
        cmocka_unit_test(few_rows_use_all_threads_and_agree),
        cmocka_unit_test(groups_give_the_same_bits),
        cmocka_unit_test(forms_are_made_once_and_rows_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
