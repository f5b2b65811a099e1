/* Block-quantised weights (tensor/quant.h): what every type decodes to, bit for bit against the reference codec
 * `gguf.quants` (tests/fixtures/quants.safetensors, made by tools/reference/quants.py), and the products with such
 * weights, forward and backward, against naive ones in double precision and against central differences. */
#include "check.h"

#include "autograd/ops.h"
#include "base/rng.h"
#include "lm/safetensors.h"
#include "tensor/matmul.h"
#include "tensor/quant.h"
#include "tensor/quant_kernels.h"

#include <math.h>

static tp_safetensors *reference;

static int open_reference(void **state) {
    (void)state;
    reference = tp_safetensors_open(TP_SOURCE_DIR "/tests/fixtures/quants.safetensors");
    if (reference == NULL) fprintf(stderr, "%s\n", tp_last_error());
    return reference ? 0 : -1;
}

static int close_reference(void **state) {
    (void)state;
    tp_safetensors_close(reference);
    return 0;
}

static const tp_st_tensor *tensor_of(tp_dtype dtype, const char *what) {
    char name[40];
    snprintf(name, sizeof name, "%s.%s", tp_dtype_name(dtype), what);
    const tp_st_tensor *t = tp_safetensors_find(reference, name);
    check_not_null(t);
    return t;
}

static float *normal(tp_rng *rng, int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    tp_rng_fill_normal(rng, x, (size_t)n, 1);
    return x;
}

static void test_decodes_as_the_reference(void **state) {
    (void)state;
    for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++) {
        const tp_st_tensor *blocks = tensor_of(type, "blocks"), *values = tensor_of(type, "values");
        int64_t n = values->shape[0] * values->shape[1];
        size_t bytes;
        assert_true(tp_dtype_bytes(type, n, &bytes));
        assert_int_equal(bytes, blocks->n_bytes);
        float *out = malloc((size_t)n * sizeof *out);
        tp_dequantize_row(type, blocks->data, n, out);
        for (int64_t i = 0; i < n; i++)
            if (memcmp(&out[i], (const float *)values->data + i, sizeof *out) != 0)
                fail_msg("%s: number %lld decodes to %a, the reference to %a", tp_dtype_name(type), (long long)i,
                         (double)out[i], (double)((const float *)values->data)[i]);
        free(out);
    }
}

static void test_packs_as_the_reference(void **state) {
    (void)state;
    const tp_st_tensor *input = tp_safetensors_find(reference, "input");
    check_not_null(input);
    int64_t n = input->shape[0] * input->shape[1];
    for (int type = TP_Q4_0; type <= TP_Q8_0; type++) {
        const tp_st_tensor *packed = tensor_of(type, "packed");
        unsigned char *out = malloc(packed->n_bytes);
        tp_quantize_row(type, input->data, n, out);
        size_t size = packed->n_bytes / (size_t)packed->shape[0];
        for (int64_t i = 0; i < packed->shape[0]; i++)
            if (memcmp(out + (size_t)i * size, (const char *)packed->data + (size_t)i * size, size) != 0)
                fail_msg("%s: row %lld is packed otherwise than by the reference", tp_dtype_name(type), (long long)i);
        free(out);
    }
}

/* How near quantised normal numbers are to what they were, and extremes that must not break the fit. The bounds are a
 * little above what was measured; llama.cpp's quantiser has 0.294, 0.152, 0.0716, 0.0361 and 0.0177 on these numbers.
 */
static void test_k_quants_are_near(void **state) {
    (void)state;
    const struct {
        tp_dtype dtype;
        double most; /* relative root mean square error on normal numbers */
    } types[] = {{TP_Q2_K, 0.28}, {TP_Q3_K, 0.15}, {TP_Q4_K, 0.074}, {TP_Q5_K, 0.0365}, {TP_Q6_K, 0.0178}};
    enum { N = 256 * 64 };
    tp_rng rng = tp_rng_stream(5, "k-quants", 0);
    float *x = normal(&rng, N), *out = malloc(N * sizeof *out);
    unsigned char *blocks = malloc(N * 2);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        tp_quantize_row(types[t].dtype, x, N, blocks);
        tp_dequantize_row(types[t].dtype, blocks, N, out);
        double error = 0, all = 0;
        for (int i = 0; i < N; i++)
            error += ((double)out[i] - x[i]) * ((double)out[i] - x[i]), all += (double)x[i] * x[i];
        error = sqrt(error / all);
        if (!(error <= types[t].most)) fail_msg("%s: relative error %g", tp_dtype_name(types[t].dtype), error);

        float special[4][256] = {{0}}; /* zeros; one spike; all negative; all equal */
        special[1][77] = -12;
        for (int i = 0; i < 256; i++) special[2][i] = -1 - fabsf(x[i]), special[3][i] = 2.5f;
        for (int s = 0; s < 4; s++) {
            tp_quantize_row(types[t].dtype, special[s], 256, blocks);
            tp_dequantize_row(types[t].dtype, blocks, 256, out);
            double wrong = 0, size = 1e-12;
            for (int i = 0; i < 256; i++) {
                wrong = fmax(wrong, fabs((double)out[i] - special[s][i]));
                size = fmax(size, fabs((double)special[s][i]));
            }
            double allowed = s == 0 ? 0 : s == 2 ? 0.35 * size : 0.02 * size;
            if (!(wrong <= allowed))
                fail_msg("%s: special row %d is off by %g of %g", tp_dtype_name(types[t].dtype), s, wrong, size);
        }
    }
    free(x), free(out), free(blocks);
}

static void test_sizes(void **state) {
    (void)state;
    size_t bytes;
    assert_int_equal(tp_dtype_block(TP_F32), 1);
    assert_int_equal(tp_dtype_block(TP_Q4_0), 32);
    assert_int_equal(tp_dtype_block(TP_Q6_K), 256);
    assert_int_equal(tp_dtype_block(TP_UNKNOWN), 0);
    assert_int_equal(tp_dtype_block((tp_dtype)40), 0); /* between the ranges */
    assert_int_equal(tp_dtype_size(TP_Q8_0), 0);
    assert_false(tp_dtype_bytes(TP_Q8_0, 33, &bytes));
    assert_false(tp_dtype_bytes(TP_Q4_K, 32, &bytes));
    assert_false(tp_dtype_bytes(TP_Q8_0, INT64_MIN, &bytes));
    assert_true(tp_dtype_bytes(TP_Q8_0, 0, &bytes) && bytes == 0);
    assert_false(tp_dtype_bytes(TP_F64, INT64_MAX, &bytes));
    assert_int_equal(tp_dtype_from_name("q4_k"), TP_Q4_K);
    assert_int_equal(tp_dtype_from_name("Q5_1"), TP_Q5_1);
    assert_int_equal(tp_dtype_from_name("unknown"), TP_UNKNOWN);
    assert_string_equal(tp_dtype_name((tp_dtype)40), "unknown");
}

/* A weight [rows, cols] made of the fixture's blocks with usual scales, over and over, so that sums stay of a size. */
static tp_weight weight_of(tp_dtype dtype, int64_t rows, int64_t cols, unsigned char **data) {
    const tp_st_tensor *blocks = tensor_of(dtype, "blocks");
    size_t size = blocks->n_bytes / (size_t)blocks->shape[0], bytes;
    assert_true(tp_dtype_bytes(dtype, rows * cols, &bytes));
    *data = malloc(bytes);
    enum { EXTREMES = 10 };
    size_t usual = (size_t)blocks->shape[0] - EXTREMES;
    for (size_t i = 0; i < bytes / size; i++)
        memcpy(*data + i * size, (const unsigned char *)blocks->data + (EXTREMES + i * 5 % usual) * size, size);
    return (tp_weight){.name = "w", .dtype = dtype, .rows = rows, .cols = cols, .data = *data};
}

static float *decoded(const tp_weight *w) {
    float *values = malloc((size_t)(w->rows * w->cols) * sizeof *values);
    for (int64_t i = 0; i < w->rows; i++) tp_weight_row(w, i, values + i * w->cols);
    return values;
}

static float rounded(tp_math math, float x) {
    return math == TP_MATH_BF16 ? tp_bf16_to_f32(tp_f32_to_bf16(x)) : x;
}

/* By how much bringing x to 8 bits may move x times w: half a scale, max|x| / 254 of each 32, for each number. */
static double coded_bound(const float *x, const float *w, int64_t cols) {
    double bound = 0;
    for (int64_t g = 0; g < cols; g += 32) {
        double most = 0, size = 0;
        for (int64_t k = g; k < g + 32; k++) most = fmax(most, fabs((double)x[k])), size += fabs((double)w[k]);
        bound += most / 254 * size;
    }
    return bound;
}

/* y = x W^T and dx += dy W, within what f32 sums lose: 2e-5 of the sum of the products' sizes. The forward product of
 * the fast mode multiplies codes, where the processor has kernels for that: then within their bound of the exact one.
 */
static void check_products(tp_dtype dtype, tp_math math, int64_t m, int64_t rows, int64_t cols) {
    tp_rng rng = tp_rng_stream(7, "products", (uint64_t)m);
    unsigned char *data;
    tp_weight w = weight_of(dtype, rows, cols, &data);
    float *v = decoded(&w), *x = normal(&rng, m * cols), *dy = normal(&rng, m * rows), *dx = normal(&rng, m * cols);
    float *y = malloc((size_t)(m * rows) * sizeof *y), *before = malloc((size_t)(m * cols) * sizeof *before);
    memcpy(before, dx, (size_t)(m * cols) * sizeof *dx);
    tp_arena *scratch = tp_arena_new();
    tp_matmul(math, scratch, y, x, m, &w);
    tp_matmul_input_grad(math, scratch, dx, dy, m, &w);
    assert_null(w.wide); /* no f32 copy of the weight was made */
    assert_null(w.rounded);
    bool coded = math == TP_MATH_BF16 && tp_cpu_quant();
    tp_math kept = coded ? TP_MATH_F32 : math;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < rows; j++) {
            double sum = 0, size = 1e-3;
            for (int64_t k = 0; k < cols; k++) {
                double product = (double)rounded(kept, x[i * cols + k]) * rounded(kept, v[j * cols + k]);
                sum += product, size += fabs(product);
            }
            double bound = coded ? coded_bound(x + i * cols, v + j * cols, cols) : 0;
            if (!(fabs(y[i * rows + j] - sum) <= 2e-5 * size + bound))
                fail_msg("%s, m %lld: y[%lld,%lld] = %g, expected %g", tp_dtype_name(dtype), (long long)m, (long long)i,
                         (long long)j, (double)y[i * rows + j], sum);
        }
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < cols; k++) {
            double sum = before[i * cols + k], size = 1e-3 + fabs(sum);
            for (int64_t j = 0; j < rows; j++) {
                double product = (double)rounded(math, dy[i * rows + j]) * rounded(math, v[j * cols + k]);
                sum += product, size += fabs(product);
            }
            if (!(fabs(dx[i * cols + k] - sum) <= 2e-5 * size))
                fail_msg("%s, m %lld: dx[%lld,%lld] = %g, expected %g", tp_dtype_name(dtype), (long long)m,
                         (long long)i, (long long)k, (double)dx[i * cols + k], sum);
        }
    tp_arena_free(scratch);
    tp_weight_release(&w);
    free(data), free(v), free(x), free(dy), free(dx), free(y), free(before);
}

static void test_products(void **state) {
    (void)state;
    for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++)
        for (int math = TP_MATH_F32; math <= TP_MATH_BF16; math++) {
            check_products(type, math, 1, 19, 512);
            check_products(type, math, 3, 40, 1280); /* the last chunk of a row is not whole */
            check_products(type, math, 5, 37, 256);
            check_products(type, math, 9, 1030, 256); /* more than one tile, the last not whole */
        }
}

/* The gradient that the tape gives the input, against (f(x + h) - f(x - h)) / 2 h of f = sum of tanh(x W^T) c. */
static double loss(const tp_weight *w, const float *x, int64_t m, const float *c, float *grad) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *in = tp_var_leaf(tape, x, m, w->cols);
    tp_var *y = tp_tanh(tape, tp_linear(tape, in, w, NULL));
    double sum = 0; /* in double precision, for the differences */
    for (int64_t i = 0; i < m * w->rows; i++) sum += (double)y->data[i] * c[i];
    if (grad) {
        tp_weight weight = {.name = "c", .dtype = TP_F32, .rows = 1, .cols = m * w->rows, .data = c};
        tp_backward(tape, tp_linear(tape, tp_reshape(tape, y, 1, m * w->rows), &weight, NULL), 1);
        memcpy(grad, in->grad, (size_t)(m * w->cols) * sizeof *grad);
        tp_weight_release(&weight);
    }
    tp_tape_free(tape);
    return sum;
}

static void test_central_differences(void **state) {
    (void)state;
    const int64_t m = 2, rows = 6, cols = 256;
    for (int type = TP_BLOCK_TYPES; type < TP_END_BLOCK_TYPES; type++) {
        tp_rng rng = tp_rng_stream(3, "differences", (uint64_t)type);
        unsigned char *data;
        tp_weight w = weight_of(type, rows, cols, &data);
        float *v = decoded(&w), *x = normal(&rng, m * cols), *c = normal(&rng, m * rows);
        double size = 0;
        for (int64_t i = 0; i < rows * cols; i++) size += (double)v[i] * v[i];
        size = sqrt(size / (double)rows); /* x W^T is so large: brought to 1, where tanh is curved but not flat */
        for (int64_t i = 0; i < m * cols; i++) x[i] /= (float)size;
        float *grad = malloc((size_t)(m * cols) * sizeof *grad);
        loss(&w, x, m, c, grad);
        double largest = 0;
        for (int64_t i = 0; i < m * cols; i++) largest = fmax(largest, fabs(grad[i]));
        assert_true(largest > 0);
        for (int64_t i = 0; i < m * cols; i += 7) {
            float h = (float)(1e-2 / size * sqrt((double)cols)), kept = x[i];
            x[i] = kept + h;
            double up = loss(&w, x, m, c, NULL), above = x[i];
            x[i] = kept - h;
            double down = loss(&w, x, m, c, NULL), below = x[i];
            x[i] = kept;
            double slope = (up - down) / (above - below);
            if (!(fabs(slope - grad[i]) <= 1e-2 * largest))
                fail_msg("%s: d loss / d x[%lld] = %g, central differences give %g", tp_dtype_name(type), (long long)i,
                         (double)grad[i], slope);
        }
        free(data), free(v), free(x), free(c), free(grad);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_as_the_reference),
        cmocka_unit_test(test_packs_as_the_reference),
        cmocka_unit_test(test_k_quants_are_near),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_central_differences),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
