/* The kernels of tensor/kernels.h, written once and compiled once per instruction set.
 *
 * TP_ISA names the table (scalar, avx2, avx512). Loops are plain C that the compiler vectorises under that file's flags
 * (CMakeLists.txt); only the register-tiled product uses vector types, because its speed is all in register reuse.
 * exp, erf and tanh are short polynomials of our own so that they vectorise; tests hold them close to libm. */
#include "tensor/kernels.h"

#include "base/half.h"

#include <math.h>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define STRING_(a)  #a
#define STRING(a)   STRING_(a)

#if defined(__AVX512F__)
enum { VL = 16 };
#elif defined(__AVX2__)
enum { VL = 8 };
#else
enum { VL = 4 };
#endif
typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));

/* ---- dot products and conversions ---- */

/* Four vectors of partial sums hide the latency of the additions; the tail is added one by one. */
#define DOT_BODY(LOAD)                                                                                                 \
    enum { STEP = 4 * VL };                                                                                            \
    float sums[STEP] = {0};                                                                                            \
    int64_t i = 0;                                                                                                     \
    for (; i + STEP <= n; i += STEP)                                                                                   \
        for (int j = 0; j < STEP; j++) sums[j] += x[i + j] * LOAD(w[i + j]);                                           \
    for (int half = STEP / 2; half > 0; half /= 2)                                                                     \
        for (int j = 0; j < half; j++) sums[j] += sums[j + half];                                                      \
    float sum = sums[0];                                                                                               \
    for (; i < n; i++) sum += x[i] * LOAD(w[i]);                                                                       \
    return sum

#define SAME(v) (v)

static float dot_f32(const float *x, const float *w, int64_t n) {
    DOT_BODY(SAME);
}

static float dot_bf16(const float *x, const uint16_t *w, int64_t n) {
    DOT_BODY(tp_bf16_to_f32);
}

static void bf16_to_f32(float *restrict out, const uint16_t *restrict in, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = tp_bf16_to_f32(in[i]);
}

static void f16_to_f32(float *restrict out, const uint16_t *restrict in, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + i))));
#endif
    for (; i < n; i++) out[i] = tp_f16_to_f32(in[i]);
}

static float dot_f16(const float *x, const uint16_t *w, int64_t n) {
    enum { CHUNK = 256 };
    float wide[CHUNK], sum = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        f16_to_f32(wide, w + i, m);
        sum += dot_f32(x + i, wide, m);
    }
    return sum;
}

/* As tp_f32_to_bf16, without branches. */
static inline uint32_t bf16_bits(uint32_t bits) {
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    uint32_t nan = bits >> 16 | 0x40u;
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded;
}

static void f32_to_bf16(uint16_t *restrict out, const float *restrict in, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, in + i, 4);
        out[i] = (uint16_t)bf16_bits(bits);
    }
}

static void round_bf16(float *out, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, in + i, 4);
        bits = bf16_bits(bits) << 16;
        memcpy(out + i, &bits, 4);
    }
}

/* ---- small matrix products ---- */

static inline vec load(const float *p) {
    return *(const vec *)p;
}

/* A tile of `rows` x `vectors` vectors of C in registers. Element p of row i of A stands at a[i * sa + p * sp]: sp = 1
 * for A as stored, sa = 1 for A transposed. rows and vectors are constants after inlining. */
static inline __attribute__((always_inline)) void tile(int rows, int vectors, int64_t k, const float *a, int64_t sa,
                                                       int64_t sp, const float *b, int64_t ldb, float *c, int64_t ldc) {
    vec acc[4][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) acc[i][j] = load(c + i * ldc + j * VL);
    for (int64_t p = 0; p < k; p++) {
        vec b0 = load(b + p * ldb), b1 = vectors > 1 ? load(b + p * ldb + VL) : b0;
        for (int i = 0; i < rows; i++) {
            float x = a[i * sa + p * sp];
            acc[i][0] += x * b0;
            if (vectors > 1) acc[i][1] += x * b1;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) *(vec *)(c + i * ldc + j * VL) = acc[i][j];
}

static inline __attribute__((always_inline)) void row_block(int rows, int64_t n, int64_t k, const float *a, int64_t sa,
                                                            int64_t sp, const float *b, int64_t ldb, float *c,
                                                            int64_t ldc) {
    int64_t j = 0;
    for (; j + 2 * VL <= n; j += 2 * VL) tile(rows, 2, k, a, sa, sp, b + j, ldb, c + j, ldc);
    for (; j + VL <= n; j += VL) tile(rows, 1, k, a, sa, sp, b + j, ldb, c + j, ldc);
    for (; j < n; j++)
        for (int i = 0; i < rows; i++) {
            float sum = c[i * ldc + j];
            for (int64_t p = 0; p < k; p++) sum += a[i * sa + p * sp] * b[p * ldb + j];
            c[i * ldc + j] = sum;
        }
}

static inline __attribute__((always_inline)) void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t sa,
                                                          int64_t sp, const float *b, int64_t ldb, float *c,
                                                          int64_t ldc) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) row_block(4, n, k, a + i * sa, sa, sp, b, ldb, c + i * ldc, ldc);
    switch (m - i) {
    case 3:
        row_block(3, n, k, a + i * sa, sa, sp, b, ldb, c + i * ldc, ldc);
        break;
    case 2:
        row_block(2, n, k, a + i * sa, sa, sp, b, ldb, c + i * ldc, ldc);
        break;
    case 1:
        row_block(1, n, k, a + i * sa, sa, sp, b, ldb, c + i * ldc, ldc);
        break;
    default:
        break;
    }
}

static void gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                 int64_t ldc) {
    product(m, n, k, a, lda, 1, b, ldb, c, ldc);
}

static void gemm_at(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                    int64_t ldc) {
    product(m, n, k, a, 1, lda, b, ldb, c, ldc);
}

/* ---- sums ---- */

static void axpy(float *restrict y, float a, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static double sum_squares(const float *x, int64_t n) {
    double sums[VL] = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        for (int j = 0; j < VL; j++) sums[j] += (double)x[i + j] * x[i + j];
    for (int half = VL / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sums[j] += sums[j + half];
    double sum = sums[0];
    for (; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

static float max(const float *x, int64_t n) {
    if (n == 0) return 0;
    float best[VL];
    for (int j = 0; j < VL; j++) best[j] = x[0];
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        for (int j = 0; j < VL; j++) best[j] = x[i + j] > best[j] ? x[i + j] : best[j];
    float m = best[0];
    for (int j = 1; j < VL; j++) m = best[j] > m ? best[j] : m;
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

/* ---- elementary functions ---- */

/* exp by 2^n times a polynomial on [-ln2/2, ln2/2] (Cephes' coefficients for expf). NaN stays NaN. */
static inline float exp_f32(float x) {
    float limited = x > 88.37f ? 88.37f : x < -87.33f ? -87.33f : x;
    float shifted = limited * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float whole = shifted - 12582912.0f;
    float r = limited - whole * 0.693359375f - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits - 0x4B400000u + 127u) << 23; /* 2^whole */
    float power;
    memcpy(&power, &bits, 4);
    float y = x < -87.33f ? 0.0f : p * power;
    return x == x ? y : x;
}

/* Sums of a few dozen vectors, added up in double precision: in one long f32 sum of a row with one large and thousands
 * of tiny numbers the roundings would all lean the same way. */
static float exp_sum(float *x, float row_max, int64_t n) {
    enum { PART = 32 * VL };
    double total = 0;
    for (int64_t start = 0; start < n; start += PART) {
        int64_t end = n - start < PART ? n : start + PART, i = start;
        float sums[VL] = {0}, sum = 0;
        for (; i + VL <= end; i += VL)
            for (int j = 0; j < VL; j++) {
                float e = exp_f32(x[i + j] - row_max);
                x[i + j] = e;
                sums[j] += e;
            }
        for (int j = 0; j < VL; j++) sum += sums[j];
        for (; i < end; i++) sum += x[i] = exp_f32(x[i] - row_max);
        total += sum;
    }
    return (float)total;
}

static inline float sigmoid(float x) {
    return 1.0f / (1.0f + exp_f32(-x));
}

static void silu_mul(float *restrict out, const float *restrict gate, const float *restrict up, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

static void silu_mul_grad(float *restrict d_gate, float *restrict d_up, const float *restrict d_out,
                          const float *restrict gate, const float *restrict up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float s = sigmoid(gate[i]), silu = gate[i] * s;
        d_up[i] += d_out[i] * silu;
        d_gate[i] += d_out[i] * up[i] * (s + silu * (1.0f - s));
    }
}

/* The normal distribution function (Abramowitz and Stegun, formula 7.1.26: |error of erf| < 1.5e-7) and its density. */
static inline float normal_cdf(float x, float *density) {
    float z = (x < 0 ? -x : x) * 0.70710678118654752f;
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float e = exp_f32(-z * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float tail = 0.5f * p * t * e;
    *density = 0.39894228040143268f * e;
    return x < 0 ? tail : 1.0f - tail;
}

static void gelu(float *restrict out, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float density;
        out[i] = x[i] * normal_cdf(x[i], &density);
    }
}

static void gelu_grad(float *restrict dx, const float *restrict d_out, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float density, cdf = normal_cdf(x[i], &density);
        dx[i] += d_out[i] * (cdf + x[i] * density);
    }
}

static void tanh_f32(float *restrict out, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], square = v * v;
        float e = exp_f32(-2.0f * (v < 0 ? -v : v)), large = (1.0f - e) / (1.0f + e);
        large = v < 0 ? -large : large;
        /* near zero the quotient cancels: the odd series instead */
        float small = v * (1.0f + square * (-0.33333333f + square * (0.13333333f + square * -0.05396825f)));
        out[i] = square < 0.04f ? small : large;
    }
}

/* ---- the optimiser ---- */

static void adamw(float *restrict w, float *restrict m, float *restrict v, const float *restrict grad, float grad_scale,
                  float step_size, float decay, float beta1, float beta2, float eps, float correction2, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * grad_scale;
        m[i] = beta1 * m[i] + (1.0f - beta1) * g;
        v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
        float denominator = sqrtf(v[i]) * correction2 + eps;
        w[i] = w[i] * decay - step_size * m[i] / denominator;
    }
}

const tp_kernels JOIN(tp_kernels_, TP_ISA) = {
    .name = STRING(TP_ISA),
    .dot_f32 = dot_f32,
    .dot_bf16 = dot_bf16,
    .dot_f16 = dot_f16,
    .bf16_to_f32 = bf16_to_f32,
    .f16_to_f32 = f16_to_f32,
    .f32_to_bf16 = f32_to_bf16,
    .round_bf16 = round_bf16,
    .gemm = gemm,
    .gemm_at = gemm_at,
    .axpy = axpy,
    .sum_squares = sum_squares,
    .max = max,
    .exp_sum = exp_sum,
    .silu_mul = silu_mul,
    .silu_mul_grad = silu_mul_grad,
    .gelu = gelu,
    .gelu_grad = gelu_grad,
    .tanh = tanh_f32,
    .adamw = adamw,
};
