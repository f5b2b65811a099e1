/* Every kernel of every table this processor can run, against naive double-precision oracles written here.
 *
 * Numbers stand in buffers whose pointers are not aligned and which are fenced with NaN on both sides: a kernel that
 * reads beyond its end spoils its own result, one that writes beyond it breaks the fence. Tolerances are stated beside
 * each comparison, in units of what was summed, so that a dropped tail, a wrong factor or lost precision fails. */
#include "check.h"

#include "base/half.h"
#include "base/rng.h"
#include "tensor/kernels.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

enum { FENCE = 67, LONGEST = 5003, MAX_BUFFERS = 16 };

static const int64_t long_lengths[] = {255, 256, 257, 1000, 4096, LONGEST};

/* ---- fenced buffers ---- */

typedef struct {
    float *base;
    int64_t n;
} buffer;

static buffer buffers[MAX_BUFFERS];
static int n_buffers;

/* n numbers at an odd address (in floats) between two fences, normal with deviation `std`; 0: zeros. */
static float *numbers(tp_rng *rng, int64_t n, double std) {
    assert_true(n_buffers < MAX_BUFFERS);
    float *base = malloc((size_t)(n + 2 * FENCE) * sizeof *base);
    for (int64_t i = 0; i < n + 2 * FENCE; i++) base[i] = NAN;
    for (int64_t i = 0; i < n; i++) base[FENCE + i] = std > 0 ? (float)(std * tp_rng_normal(rng)) : 0;
    buffers[n_buffers++] = (buffer){base, n};
    return base + FENCE;
}

/* Checks the fences of all buffers and frees them. */
static void end_buffers(const char *what, int64_t n) {
    for (int b = 0; b < n_buffers; b++) {
        for (int64_t i = 0; i < FENCE; i++)
            if (!isnan(buffers[b].base[i]) || !isnan(buffers[b].base[FENCE + buffers[b].n + i]))
                fail_msg("%s of length %lld writes outside its buffer", what, (long long)n);
        free(buffers[b].base);
    }
    n_buffers = 0;
}

static void near(const char *table, const char *what, int64_t n, int64_t i, double found, double expected,
                 double tolerance) {
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s %s, length %lld, element %lld: %.9g, expected %.9g within %.3g", table, what, (long long)n,
                 (long long)i, found, expected, tolerance);
}

/* Runs `test` for each table of this processor and each length: all short ones, then some long ones. */
typedef void (*length_test)(const tp_kernels *k, int64_t n, tp_rng *rng);

static const char *const table_names[] = {"scalar", "avx2", "avx512"};

static void for_tables_and_lengths(const char *what, length_test test) {
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        if (k == NULL) {
            fprintf(stderr, "SKIPPED: this processor has no %s; its %s did not run\n", table_names[t], what);
            continue;
        }
        tp_rng rng = tp_rng_stream(7, what, 0);
        for (int64_t n = 0; n <= 70; n++) {
            test(k, n, &rng);
            end_buffers(what, n);
        }
        for (size_t i = 0; i < sizeof long_lengths / sizeof *long_lengths; i++) {
            test(k, long_lengths[i], &rng);
            end_buffers(what, long_lengths[i]);
        }
    }
}

/* ---- dot products, sums ---- */

static void one_dot(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *x = numbers(rng, n, 1), *w = numbers(rng, n, 1);
    uint16_t *b = malloc((size_t)(n + 9) * 2), *h = malloc((size_t)(n + 9) * 2);
    for (int64_t i = 0; i < n + 9; i++) b[i] = h[i] = 0x7FFF; /* NaN in either type */
    double sum = 0, sum_bf16 = 0, sum_f16 = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        b[i + 1] = tp_f32_to_bf16(w[i]);
        h[i + 1] = tp_f32_to_f16(w[i]);
        sum += (double)x[i] * w[i];
        sum_bf16 += (double)x[i] * tp_bf16_to_f32(b[i + 1]);
        sum_f16 += (double)x[i] * tp_f16_to_f32(h[i + 1]);
        size += fabs((double)x[i] * w[i]);
    }
    /* At least 16 partial sums: of n numbers each takes n / 16 roundings of half a unit, seldom in one direction. */
    near(k->name, "dot_f32", n, 0, k->dot_f32(x, w, n), sum, 3e-7 * size);
    near(k->name, "dot_bf16", n, 0, k->dot_bf16(x, b + 1, n), sum_bf16, 3e-7 * size);
    near(k->name, "dot_f16", n, 0, k->dot_f16(x, h + 1, n), sum_f16, 3e-7 * size);
    free(b);
    free(h);
}

static void dot_products_are_exact_to_rounding(void **state) {
    (void)state;
    for_tables_and_lengths("dot", one_dot);
}

static void one_sum(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *x = numbers(rng, n, 1), *y = numbers(rng, n, 1), *before = numbers(rng, n, 0);
    double squares = 0, most = n > 0 ? -INFINITY : 0;
    if (n > 0) memcpy(before, y, (size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        squares += (double)x[i] * x[i];
        most = x[i] > most ? x[i] : most;
    }
    near(k->name, "sum_squares", n, 0, k->sum_squares(x, n), squares, 1e-14 * squares);
    near(k->name, "max", n, 0, k->max(x, n), most, 0);
    for (int64_t i = 0; i < n && n <= 70; i++) { /* wherever the maximum stands */
        float kept = x[i];
        x[i] = 100;
        near(k->name, "max", n, i, k->max(x, n), 100, 0);
        x[i] = kept - 100;
    }
    k->axpy(y, -1.7f, x, n);
    for (int64_t i = 0; i < n; i++) {
        double expected = before[i] - (double)1.7f * x[i];
        near(k->name, "axpy", n, i, y[i], expected, 1.2e-7 * (fabs(before[i]) + fabs(1.7 * x[i])));
    }
}

static void sums_maxima_and_axpy_reach_every_element(void **state) {
    (void)state;
    for_tables_and_lengths("sum", one_sum);
}

/* ---- conversions ---- */

/* The value of a half by its definition: sign, exponent, mantissa. */
static double half_value(unsigned bits, int mantissa_bits, int bias, int largest) {
    int exponent = (int)(bits >> mantissa_bits) & largest, mantissa = (int)bits & ((1 << mantissa_bits) - 1);
    double size;
    if (exponent == largest)
        size = mantissa ? NAN : INFINITY;
    else if (exponent == 0)
        size = ldexp(mantissa, 1 - bias - mantissa_bits);
    else
        size = ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
    return bits & 0x8000u ? -size : size;
}

static bool same_number(float a, double b) {
    return isnan(b) ? isnan(a) != 0 : (double)a == b && !signbit(a) == !signbit(b);
}

static uint16_t all_halves[65536];

static void every_half_is_read_right(const tp_kernels *k) {
    static float wide[65536 + 2];
    for (unsigned i = 0; i < 65536; i++) all_halves[i] = (uint16_t)i;
    wide[0] = wide[65537] = 42;
    k->bf16_to_f32(wide + 1, all_halves, 65536);
    for (unsigned i = 0; i < 65536; i++)
        if (!same_number(wide[i + 1], half_value(i, 7, 127, 255))) fail_msg("%s: bf16 %04x", k->name, i);
    k->f16_to_f32(wide + 1, all_halves, 65536);
    for (unsigned i = 0; i < 65536; i++)
        if (!same_number(wide[i + 1], half_value(i, 10, 15, 31))) fail_msg("%s: f16 %04x", k->name, i);
    assert_true(wide[0] == 42 && wide[65537] == 42);
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Between each bf16 number and the next: just below the middle, the middle, just above it. */
static void rounding_to_bf16_is_to_nearest_even(const tp_kernels *k) {
    for (uint32_t low = 0; low < 65536; low++) {
        uint32_t high = low + 1;
        bool nan = (low & 0x7FFFu) > 0x7F80u, infinite = (low & 0x7FFFu) == 0x7F80u;
        float in[5] = {float_of(low << 16), float_of(low << 16 | 0x7FFFu), float_of(low << 16 | 0x8000u),
                       float_of(low << 16 | 0x8001u), float_of(low << 16 | 0xFFFFu)};
        uint32_t expected[5] = {low, low, low & 1u ? high : low, high, high};
        uint16_t out[5];
        float rounded[5];
        memcpy(rounded, in, sizeof in);
        k->f32_to_bf16(out, in, 5);
        k->round_bf16(rounded, rounded, 5);
        for (int i = 0; i < 5; i++) {
            bool is_nan = nan || (infinite && i > 0); /* infinity with any mantissa bit is not a number either */
            if (is_nan ? (out[i] & 0x7FFFu) <= 0x7F80u || !isnan(rounded[i])
                       : out[i] != expected[i] || !same_number(rounded[i], tp_bf16_to_f32((uint16_t)expected[i])))
                fail_msg("%s: rounding case %d of bf16 %04x gives %04x", k->name, i, low, out[i]);
        }
    }
}

static void one_conversion(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *x = numbers(rng, n, 100), *wide = numbers(rng, n, 0), *rounded = numbers(rng, n, 0);
    uint16_t *halves = malloc((size_t)(n + 2) * 2);
    for (int64_t i = 0; i < n + 2; i++) halves[i] = 0xABCD;
    k->f32_to_bf16(halves + 1, x, n);
    k->round_bf16(rounded, x, n);
    k->bf16_to_f32(wide, halves + 1, n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(halves[i + 1], tp_f32_to_bf16(x[i]));
        assert_true(wide[i] == rounded[i] && wide[i] == tp_bf16_to_f32(halves[i + 1]));
    }
    assert_true(halves[0] == 0xABCD && halves[n + 1] == 0xABCD);
    for (int64_t i = 0; i < n; i++) halves[i + 1] = tp_f32_to_f16(x[i]);
    k->f16_to_f32(wide, halves + 1, n);
    for (int64_t i = 0; i < n; i++) assert_true(wide[i] == tp_f16_to_f32(halves[i + 1]));
    free(halves);
}

static void conversions_are_exact(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        if (k == NULL) continue;
        every_half_is_read_right(k);
        rounding_to_bf16_is_to_nearest_even(k);
    }
    for_tables_and_lengths("conversion", one_conversion);
}

/* ---- small products ---- */

static void one_product(const tp_kernels *k, int64_t m, int64_t n, int64_t depth, bool turned, tp_rng *rng) {
    int64_t a_rows = turned ? depth : m, a_cols = turned ? m : depth;
    int64_t lda = a_cols + 3, ldb = n + 5, ldc = n + 7;
    float *a = numbers(rng, a_rows * lda, 1), *b = numbers(rng, depth * ldb, 1), *c = numbers(rng, m * ldc, 1);
    float *before = numbers(rng, m * ldc, 0);
    for (int64_t i = 0; i < a_rows; i++) /* what lies between the rows must not be read ... */
        for (int64_t j = a_cols; j < lda; j++) a[i * lda + j] = NAN;
    for (int64_t i = 0; i < depth; i++)
        for (int64_t j = n; j < ldb; j++) b[i * ldb + j] = NAN;
    if (m > 0) memcpy(before, c, (size_t)(m * ldc) * sizeof *c);
    (turned ? k->gemm_at : k->gemm)(m, n, depth, a, lda, b, ldb, c, ldc);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc; j++) {
            double expected = before[i * ldc + j], size = fabs(expected);
            for (int64_t p = 0; p < depth && j < n; p++) {
                double term = (double)(turned ? a[p * lda + i] : a[i * lda + p]) * b[p * ldb + j];
                expected += term;
                size += fabs(term);
            }
            /* ... nor written; one running sum, of at most 300 terms */
            near(k->name, turned ? "gemm_at" : "gemm", n, i * ldc + j, c[i * ldc + j], expected,
                 j < n ? 5e-7 * size : 0);
        }
    end_buffers(turned ? "gemm_at" : "gemm", n);
}

static void small_products_match_the_naive_ones(void **state) {
    (void)state;
    static const int64_t depths[] = {0, 1, 2, 7, 32};
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        tp_rng rng = tp_rng_stream(7, "product", 0);
        for (int turned = 0; k && turned < 2; turned++) {
            for (int64_t m = 0; m <= 9; m++)
                for (int64_t n = 0; n <= 70; n++) one_product(k, m, n, depths[(m + n) % 5], turned, &rng);
            one_product(k, 33, 257, 300, turned, &rng);
        }
    }
}

/* ---- elementary functions ---- */

/* In units of the result's last place, against libm in double precision. */
static double error_in_ulp(float found, double expected) {
    return fabs(found - expected) / (fabs(expected) * 0x1p-23 + 0x1p-149);
}

static void exp_is_within_two_ulp(void **state) {
    (void)state;
    enum { STEPS = 200000 };
    float *x = malloc(STEPS * sizeof *x), *y = malloc(STEPS * sizeof *y);
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        if (k == NULL) continue;
        for (int i = 0; i < STEPS; i++) x[i] = y[i] = (float)(-87.33 + (88.36 + 87.33) * i / (STEPS - 1));
        k->exp_sum(y, 0, STEPS);
        for (int i = 0; i < STEPS; i++)
            if (!(error_in_ulp(y[i], exp(x[i])) <= 2)) fail_msg("%s: exp(%.9g) = %.9g", k->name, x[i], y[i]);
        /* Outside: zero below (less than any normal number), the largest power above; NaN stays NaN. */
        float ends[] = {-87.34f, -1000, -FLT_MAX, -INFINITY, 0, -0.0f, 1e-30f, 89, FLT_MAX, INFINITY, NAN, -NAN};
        float out[12];
        for (int shift = 0; shift < 12; shift++) { /* each in the vector part and in the tail */
            for (int i = 0; i < 12; i++) out[i] = ends[(i + shift) % 12];
            k->exp_sum(out, 0, 12);
            for (int i = 0; i < 12; i++) {
                float in = ends[(i + shift) % 12];
                if (isnan(in))
                    assert_true(isnan(out[i]));
                else if (in < -87)
                    assert_true(out[i] == 0);
                else if (in > 88)
                    assert_true(out[i] > 2.3e38f);
                else
                    assert_true(out[i] == 1);
            }
        }
    }
    free(x);
    free(y);
}

static void one_softmax(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *x = numbers(rng, n, 5), *in = numbers(rng, n, 0);
    if (n > 3) x[n / 2] = -INFINITY;
    if (n > 0) memcpy(in, x, (size_t)n * sizeof *x);
    float most = k->max(x, n);
    double sum = 0;
    float found = k->exp_sum(x, most, n);
    for (int64_t i = 0; i < n; i++) {
        double expected = exp((double)(in[i] - most));
        near(k->name, "exp_sum element", n, i, x[i], expected, 2.4e-7 * expected + FLT_MIN);
        sum += expected;
    }
    near(k->name, "exp_sum", n, 0, found, sum, 5e-7 * sum);
}

static void one_softmax_grad(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *d = numbers(rng, n, 1), *p = numbers(rng, n, 1), *before = numbers(rng, n, 0);
    if (n > 0) memcpy(before, d, (size_t)n * sizeof *d);
    k->softmax_grad(d, p, 0.7f, n);
    for (int64_t i = 0; i < n; i++) {
        double expected = p[i] * ((double)before[i] - 0.7f);
        near(k->name, "softmax_grad", n, i, d[i], expected, 1.5e-7 * fabs(p[i]) * (fabs(before[i]) + 1));
    }
}

static void softmax_sums_every_element(void **state) {
    (void)state;
    for_tables_and_lengths("softmax", one_softmax);
    for_tables_and_lengths("softmax_grad", one_softmax_grad);
}

static double sigmoid_of(double x) {
    return 1 / (1 + exp(-x));
}

/* Random numbers with some that are large, tiny or zero. */
static float *wild(tp_rng *rng, int64_t n) {
    static const float special[] = {0, -0.0f, 1e-6f, -1e-6f, 0.2f, -0.2f, 9, -9, 30, -30, 300, -300, 1e-20f};
    float *x = numbers(rng, n, 2);
    for (int64_t i = 0; i < n; i += 3) x[i] = special[tp_rng_below(rng, sizeof special / sizeof *special)];
    return x;
}

static void one_activation(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *x = wild(rng, n), *up = numbers(rng, n, 1), *d = numbers(rng, n, 1), *out = numbers(rng, n, 0);
    float *dx = numbers(rng, n, 1), *d_up = numbers(rng, n, 1), *dx0 = numbers(rng, n, 0), *d_up0 = numbers(rng, n, 0);
    if (n > 0) memcpy(dx0, dx, (size_t)n * sizeof *dx);
    if (n > 0) memcpy(d_up0, d_up, (size_t)n * sizeof *d_up);
    k->silu_mul(out, x, up, n);
    k->silu_mul_grad(dx, d_up, d, x, up, n);
    for (int64_t i = 0; i < n; i++) {
        double s = sigmoid_of(x[i]), silu = x[i] * s, du = d[i] * silu,
               dg = (double)d[i] * up[i] * (s + silu * (1 - s));
        near(k->name, "silu_mul", n, i, out[i], silu * up[i], 5e-7 * fabs(silu * up[i]) + 1e-35);
        near(k->name, "silu_mul_grad up", n, i, d_up[i], d_up0[i] + du, 5e-7 * (fabs(du) + fabs(d_up0[i])));
        near(k->name, "silu_mul_grad gate", n, i, dx[i], dx0[i] + dg,
             5e-7 * (fabs((double)d[i] * up[i]) + fabs(dx0[i])));
    }
    if (n > 0) memcpy(dx, dx0, (size_t)n * sizeof *dx);
    k->gelu(out, x, n);
    k->gelu_grad(dx, d, x, n);
    for (int64_t i = 0; i < n; i++) {
        double cdf = 0.5 * erfc(-x[i] / sqrt(2)), density = exp(-0.5 * x[i] * x[i]) / sqrt(2 * M_PI);
        double slope = d[i] * (cdf + x[i] * density);
        /* erf's formula is good to 1.5e-7 and its evaluation to about as much; gelu has half of that, times |x| */
        near(k->name, "gelu", n, i, out[i], x[i] * cdf, 3e-7 * fabs(x[i]));
        near(k->name, "gelu_grad", n, i, dx[i], dx0[i] + slope, 4e-7 * fabs(d[i]) + 1.2e-7 * fabs(dx0[i]));
    }
    k->tanh(out, x, n);
    for (int64_t i = 0; i < n; i++) near(k->name, "tanh", n, i, out[i], tanh(x[i]), 4e-7 * fabs(tanh(x[i])));
}

static void activations_and_their_gradients_match_libm(void **state) {
    (void)state;
    for_tables_and_lengths("activation", one_activation);
}

static void infinities_and_nan_pass_through_activations(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        if (k == NULL) continue;
        float in[20], out[20], ones[20];
        for (int i = 0; i < 20; i++) in[i] = i % 3 == 0 ? INFINITY : i % 3 == 1 ? -INFINITY : NAN;
        for (int i = 0; i < 20; i++) ones[i] = 1;
        k->tanh(out, in, 20);
        for (int i = 0; i < 20; i++) assert_true(i % 3 == 2 ? isnan(out[i]) : out[i] == (i % 3 == 0 ? 1.0f : -1.0f));
        k->gelu(out, in, 20);
        for (int i = 0; i < 20; i++) assert_true(i % 3 == 2 ? isnan(out[i]) : i % 3 == 1 || out[i] == INFINITY);
        k->silu_mul(out, in, ones, 20);
        for (int i = 0; i < 20; i++) assert_true(i % 3 == 2 ? isnan(out[i]) : i % 3 == 1 || out[i] == INFINITY);
        for (int i = 0; i < 20; i++) { /* one NaN anywhere reaches the softmax's sum */
            for (int j = 0; j < 20; j++) out[j] = j == i ? NAN : (float)j;
            assert_true(isnan(k->exp_sum(out, k->max(out, 20), 20)));
        }
    }
}

static void one_sine_cosine(const tp_kernels *k, int64_t n, tp_rng *rng) {
    float *angle = numbers(rng, n, 1), *s = numbers(rng, n, 0), *c = numbers(rng, n, 0);
    for (int64_t i = 0; i < n; i++) angle[i] *= i % 3 == 0 ? 1.0f : i % 3 == 1 ? 100.0f : 1e6f;
    for (int64_t i = 0; i < n && i < 40; i++) /* around the ends of quarter turns, of either sign */
        angle[i] = nextafterf((float)((double)(i / 2 - 10) * M_PI_2 / 2), i % 2 ? 1e9f : -1e9f);
    k->sine_cosine(s, c, angle, n);
    for (int64_t i = 0; i < n; i++) { /* half a unit of the result, and 1e-10 where that is nearly zero */
        near(k->name, "sine", n, i, s[i], sin(angle[i]), 0.6e-7 * fabs(sin(angle[i])) + 2e-9);
        near(k->name, "cosine", n, i, c[i], cos(angle[i]), 0.6e-7 * fabs(cos(angle[i])) + 2e-9);
    }
}

static void sine_and_cosine_match_libm(void **state) {
    (void)state;
    for_tables_and_lengths("sine_cosine", one_sine_cosine);
}

/* ---- norms ---- */

/* One row with each choice of what is present: bit 0 gain, 1 bias, 2 dx, 3 d_gain, 4 d_bias, 5 centred. */
static void one_norm(const tp_kernels *k, int64_t n, tp_rng *rng) {
    for (unsigned choice = 0; choice<64; choice += n> 70 ? 9 : 1) {
        float *x = numbers(rng, n, 1), *gain = numbers(rng, n, 1), *bias = numbers(rng, n, 1), *dy = numbers(rng, n, 1);
        float *out = numbers(rng, n, 0), *dx = numbers(rng, n, 0), *dg = numbers(rng, n, 0), *db = numbers(rng, n, 0);
        bool g = choice & 1, centred = choice & 32;
        const float eps = 1e-2f;
        double mean = 0, square = 0, e = 0, e_xhat = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            x[i] += 3; /* much of a mean, as there is in real hidden states */
            dx[i] = dg[i] = db[i] = 1;
            mean += centred ? (double)x[i] / (double)n : 0;
        }
        for (int64_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
        double r = 1 / sqrt(square + (double)eps);
        for (int64_t i = 0; i < n; i++) {
            double upstream = dy[i] * (g ? (double)gain[i] : 1);
            e += centred ? upstream / (double)n : 0;
            e_xhat += upstream * (x[i] - mean) * r / (double)n;
            size += fabs(upstream) / (double)n;
        }
        tp_row_moments m = k->norm(out, x, g ? gain : NULL, choice & 2 ? bias : NULL, centred, eps, n);
        if (n > 0) near(k->name, "norm mean", n, 0, m.mean, mean, 1e-7 * fabs(mean));
        if (n > 0) near(k->name, "norm inverse", n, 0, m.inverse, r, 1e-6 * r);
        k->norm_grad(choice & 4 ? dx : NULL, choice & 8 ? dg : NULL, choice & 16 ? db : NULL, dy, x, g ? gain : NULL, m,
                     centred, n);
        for (int64_t i = 0; i < n; i++) {
            double xhat = (x[i] - mean) * r, factor = g ? gain[i] : 1, shift = choice & 2 ? bias[i] : 0;
            near(k->name, "norm", n, i, out[i], xhat * factor + shift, 1e-6 * (4 * r * fabs(factor) + fabs(shift)));
            near(k->name, "norm dx", n, i, dx[i], choice & 4 ? 1 + r * (dy[i] * factor - e - xhat * e_xhat) : 1,
                 1e-6 * (1 + r * (fabs(dy[i] * factor) + (1 + 4 * r) * size)));
            near(k->name, "norm d_gain", n, i, dg[i], choice & 8 ? 1 + dy[i] * xhat : 1,
                 1e-6 * (1 + 4 * r * fabs(dy[i])));
            near(k->name, "norm d_bias", n, i, db[i], choice & 16 ? 1 + (double)dy[i] : 1, 3e-7 * (1 + fabs(dy[i])));
        }
        end_buffers("norm", n);
    }
}

static void norms_and_their_gradients_follow_the_formula(void **state) {
    (void)state;
    for_tables_and_lengths("norm", one_norm);
}

/* ---- the optimiser ---- */

static void one_adamw(const tp_kernels *k, int64_t n, tp_rng *rng) {
    const float scale = 0.5f, step = 1e-2f, decay = 0.999f, b1 = 0.9f, b2 = 0.95f, eps = 1e-6f, correction = 1.3f;
    float *w = numbers(rng, n, 1), *m = numbers(rng, n, 0.1), *v = numbers(rng, n, 0.1), *g = numbers(rng, n, 0.1);
    float *w0 = numbers(rng, n, 0), *m0 = numbers(rng, n, 0), *v0 = numbers(rng, n, 0);
    for (int64_t i = 0; i < n; i++) {
        v[i] = i % 5 ? v[i] * v[i] : 0;
        if (i % 7 == 0) g[i] = 0;
        w0[i] = w[i];
        m0[i] = m[i];
        v0[i] = v[i];
    }
    k->adamw(w, m, v, g, scale, step, decay, b1, b2, eps, correction, n);
    for (int64_t i = 0; i < n; i++) {
        double grad = (double)g[i] * scale, first = b1 * (double)m0[i] + (1 - (double)b1) * grad;
        double second = b2 * (double)v0[i] + (1 - (double)b2) * grad * grad;
        double update = step * first / (sqrt(second) * correction + eps);
        near(k->name, "adamw m", n, i, m[i], first, 3e-7 * (fabs(m0[i]) + fabs(grad)));
        near(k->name, "adamw v", n, i, v[i], second, 5e-7 * (v0[i] + grad * grad));
        near(k->name, "adamw w", n, i, w[i], w0[i] * (double)decay - update,
             1.5e-7 * fabs(w0[i]) + step * 3e-6 * (fabs(m0[i]) + fabs(grad)) / (sqrt(second) * correction + eps));
    }
}

static void adamw_follows_the_formula(void **state) {
    (void)state;
    for_tables_and_lengths("adamw", one_adamw);
}

/* ---- the choice of a table ---- */

static void tables_are_found_by_name(void **state) {
    (void)state;
    assert_non_null(tp_cpu_named("scalar"));
    assert_null(tp_cpu_named("mmx"));
    for (size_t t = 0; t < sizeof table_names / sizeof *table_names; t++) {
        const tp_kernels *k = tp_cpu_named(table_names[t]);
        if (k) assert_string_equal(k->name, table_names[t]);
    }
    assert_ptr_equal(tp_cpu(), tp_cpu_named(tp_cpu()->name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_found_by_name),
        cmocka_unit_test(dot_products_are_exact_to_rounding),
        cmocka_unit_test(sums_maxima_and_axpy_reach_every_element),
        cmocka_unit_test(conversions_are_exact),
        cmocka_unit_test(small_products_match_the_naive_ones),
        cmocka_unit_test(exp_is_within_two_ulp),
        cmocka_unit_test(softmax_sums_every_element),
        cmocka_unit_test(activations_and_their_gradients_match_libm),
        cmocka_unit_test(infinities_and_nan_pass_through_activations),
        cmocka_unit_test(sine_and_cosine_match_libm),
        cmocka_unit_test(norms_and_their_gradients_follow_the_formula),
        cmocka_unit_test(adamw_follows_the_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
