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
typedef int32_t mask __attribute__((vector_size(VL * 4)));
typedef uint32_t words __attribute__((vector_size(VL * 4)));
typedef uint16_t halves __attribute__((vector_size(VL * 2), aligned(2), may_alias));

static inline vec load(const float *p) {
    return *(const vec *)p;
}

static inline vec load_bf16(const uint16_t *p) {
    return (vec)(__builtin_convertvector(*(const halves *)p, words) << 16);
}

static inline float sum_of(vec v) {
    float sums[VL];
    memcpy(sums, &v, sizeof v);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sums[j] += sums[j + half];
    return sums[0];
}

/* ---- dot products and conversions ---- */

/* Weights are asked for so long before they are needed: the processor's own prefetcher stops at the end of each page,
 * and the rows of a weight follow each other in memory. */
enum { AHEAD = 2048, LINE = 64 };

/* Four vectors of partial sums hide the latency of the additions; the tail is added one by one. */
#define DOT_BODY(LOAD_VECTOR, LOAD)                                                                                    \
    vec acc[4] = {0};                                                                                                  \
    int64_t i = 0;                                                                                                     \
    for (; i + 4 * VL <= n; i += 4 * VL) {                                                                             \
        for (size_t at = 0; at < 4 * VL * sizeof *w; at += LINE)                                                       \
            __builtin_prefetch((const char *)(w + i) + AHEAD + at);                                                    \
        for (int j = 0; j < 4; j++) acc[j] += load(x + i + j * VL) * LOAD_VECTOR(w + i + j * VL);                      \
    }                                                                                                                  \
    for (; i + VL <= n; i += VL) acc[0] += load(x + i) * LOAD_VECTOR(w + i);                                           \
    float sum = sum_of((acc[0] + acc[1]) + (acc[2] + acc[3]));                                                         \
    for (; i < n; i++) sum += x[i] * LOAD(w[i]);                                                                       \
    return sum

#define SAME(v) (v)

static float dot_f32(const float *x, const float *w, int64_t n) {
    DOT_BODY(load, SAME);
}

static float dot_bf16(const float *x, const uint16_t *w, int64_t n) {
    DOT_BODY(load_bf16, tp_bf16_to_f32);
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

/* As tp_f32_to_bf16, without branches. */
static inline uint32_t bf16_bits(uint32_t bits) {
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    uint32_t nan = bits >> 16 | 0x40u;
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded;
}

#if defined(__AVX512F__)
static inline vec load_f16(const uint16_t *p) {
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
#elif defined(__F16C__)
static inline vec load_f16(const uint16_t *p) {
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
#else
static inline vec load_f16(const uint16_t *p) {
    vec v;
    for (int i = 0; i < VL; i++) v[i] = tp_f16_to_f32(p[i]);
    return v;
}
#endif

static float dot_f16(const float *x, const uint16_t *w, int64_t n) {
    DOT_BODY(load_f16, tp_f16_to_f32);
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

enum { TILE_ROWS = 6 }; /* 12 sums, 2 vectors of B and 1 number of A: 15 of 16 registers */

/* A tile of `rows` x `vectors` vectors of C in registers. Element p of row i of A stands at a[i * sa + p * sp]: sp = 1
 * for A as stored, sa = 1 for A transposed. rows and vectors are constants after inlining. */
static inline __attribute__((always_inline)) void tile(int rows, int vectors, int64_t k, const float *a, int64_t sa,
                                                       int64_t sp, const float *b, int64_t ldb, float *c, int64_t ldc) {
    vec acc[TILE_ROWS][2];
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
#define ROWS(COUNT) row_block(COUNT, n, k, a + i * sa, sa, sp, b, ldb, c + i * ldc, ldc)
    for (; i + TILE_ROWS <= m; i += TILE_ROWS) ROWS(TILE_ROWS);
    switch (m - i) {
    case 5:
        ROWS(5);
        break;
    case 4:
        ROWS(4);
        break;
    case 3:
        ROWS(3);
        break;
    case 2:
        ROWS(2);
        break;
    case 1:
        ROWS(1);
        break;
    default:
        break;
    }
#undef ROWS
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

static inline vec larger(vec a, vec b) {
    mask m = a > b;
    return (vec)(((mask)a & m) | ((mask)b & ~m));
}

static float max(const float *x, int64_t n) {
    if (n == 0) return 0;
    float most = x[0];
    int64_t i = 0;
    if (n >= 4 * VL) {
        vec best[4] = {load(x), load(x + VL), load(x + 2 * VL), load(x + 3 * VL)};
        for (i = 4 * VL; i + 4 * VL <= n; i += 4 * VL)
            for (int j = 0; j < 4; j++) best[j] = larger(load(x + i + j * VL), best[j]);
        for (; i + VL <= n; i += VL) best[0] = larger(load(x + i), best[0]);
        best[0] = larger(larger(best[0], best[1]), larger(best[2], best[3]));
        for (int j = 0; j < VL; j++) most = best[0][j] > most ? best[0][j] : most;
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* ---- elementary functions ---- */

/* Runs CALL for whole vectors at i (m = VL numbers, a constant there) and once more for the m that remain. */
#define IN_VECTORS(CALL)                                                                                               \
    do {                                                                                                               \
        int64_t i = 0, m = VL;                                                                                         \
        for (; i + VL <= n; i += VL) CALL;                                                                             \
        m = n - i;                                                                                                     \
        if (m > 0) CALL;                                                                                               \
    } while (0)
#define INLINE static inline __attribute__((always_inline))

/* m numbers at p, the other lanes 0. Written out, because compilers make slow string copies of short memcpys. */
INLINE vec take(const float *p, int64_t m) {
    if (m == VL) return load(p);
    vec v = {0};
#pragma GCC unroll 16
    for (int j = 0; j < VL; j++)
        if (j < m) v[j] = p[j];
    return v;
}

INLINE void put(float *p, vec v, int64_t m) {
    if (m == VL) {
        *(vec *)p = v;
        return;
    }
#pragma GCC unroll 16
    for (int j = 0; j < VL; j++)
        if (j < m) p[j] = v[j];
}

INLINE vec choose(mask m, vec a, vec b) {
    return (vec)(((mask)a & m) | ((mask)b & ~m));
}

INLINE vec absolute(vec x) {
    return (vec)((mask)x & 0x7FFFFFFF);
}

/* exp by 2^n times a polynomial on [-ln2/2, ln2/2] (Cephes' coefficients for expf). Below -87.33 it is 0, above 88.37
 * what it is there; NaN stays NaN, because no comparison holds for it. */
INLINE vec exp_vec(vec x) {
    vec zero = {0}, low = zero - 87.33f, high = zero + 88.37f;
    vec limited = choose(x > high, high, x);
    limited = choose(limited < low, low, limited);
    vec shifted = limited * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    vec whole = shifted - 12582912.0f;
    vec r = limited - whole * 0.693359375f - whole * -2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vec power = (vec)(((words)shifted - (0x4B400000u - 127u)) << 23); /* 2^whole */
    return choose(x < low, zero, p * power);
}

/* The sum is taken in parts of a few dozen vectors, added up in double precision: in one long f32 sum of a row with one
 * large and thousands of tiny numbers the roundings would all lean the same way. */
static float exp_sum(float *x, float row_max, int64_t n) {
    enum { PART = 32 * VL };
    double total = 0;
    int64_t i = 0;
    while (i + VL <= n) {
        int64_t end = n - i < PART ? n : i + PART;
        vec sums = {0};
        for (; i + VL <= end; i += VL) {
            vec e = exp_vec(load(x + i) - row_max);
            *(vec *)(x + i) = e;
            sums += e;
        }
        total += sum_of(sums);
    }
    if (i < n) {
        put(x + i, exp_vec(take(x + i, n - i) - row_max), n - i);
        for (; i < n; i++) total += x[i];
    }
    return (float)total;
}

static void softmax_grad(float *restrict d, const float *restrict p, float both, int64_t n) {
    for (int64_t i = 0; i < n; i++) d[i] = p[i] * (d[i] - both);
}

INLINE vec sigmoid(vec x) {
    return 1.0f / (1.0f + exp_vec(-x));
}

INLINE void silu_mul_at(float *out, const float *gate, const float *up, int64_t m) {
    vec g = take(gate, m);
    put(out, g * sigmoid(g) * take(up, m), m);
}

static void silu_mul(float *restrict out, const float *restrict gate, const float *restrict up, int64_t n) {
    IN_VECTORS(silu_mul_at(out + i, gate + i, up + i, m));
}

INLINE void silu_mul_grad_at(float *d_gate, float *d_up, const float *d_out, const float *gate, const float *up,
                             int64_t m) {
    vec g = take(gate, m), d = take(d_out, m), s = sigmoid(g), silu = g * s;
    put(d_up, take(d_up, m) + d * silu, m);
    put(d_gate, take(d_gate, m) + d * take(up, m) * (s + silu * (1.0f - s)), m);
}

static void silu_mul_grad(float *restrict d_gate, float *restrict d_up, const float *restrict d_out,
                          const float *restrict gate, const float *restrict up, int64_t n) {
    IN_VECTORS(silu_mul_grad_at(d_gate + i, d_up + i, d_out + i, gate + i, up + i, m));
}

/* The normal distribution function (Abramowitz and Stegun, formula 7.1.26: |error of erf| < 1.5e-7) and its density. */
INLINE vec normal_cdf(vec x, vec *density) {
    vec z = absolute(x) * 0.70710678118654752f;
    vec t = 1.0f / (1.0f + 0.3275911f * z);
    vec e = exp_vec(-z * z);
    vec p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vec tail = 0.5f * p * t * e;
    *density = 0.39894228040143268f * e;
    return choose(x < 0.0f, tail, 1.0f - tail);
}

INLINE void gelu_at(float *out, const float *x, int64_t m) {
    vec v = take(x, m), density;
    put(out, v * normal_cdf(v, &density), m);
}

static void gelu(float *restrict out, const float *restrict x, int64_t n) {
    IN_VECTORS(gelu_at(out + i, x + i, m));
}

INLINE void gelu_grad_at(float *dx, const float *d_out, const float *x, int64_t m) {
    vec v = take(x, m), density, cdf = normal_cdf(v, &density);
    put(dx, take(dx, m) + take(d_out, m) * (cdf + v * density), m);
}

static void gelu_grad(float *restrict dx, const float *restrict d_out, const float *restrict x, int64_t n) {
    IN_VECTORS(gelu_grad_at(dx + i, d_out + i, x + i, m));
}

/* 0.5 (1 + tanh(u)) is sigmoid(2 u), here with u = sqrt(2/pi) (x + 0.044715 x^3); its slope is s (1 - s) 2 u'. */
INLINE void gelu_tanh_at(float *out, const float *x, int64_t m) {
    vec v = take(x, m);
    put(out, v * sigmoid(v * (1.5957691216057308f + 0.071354816272f * v * v)), m);
}

static void gelu_tanh(float *restrict out, const float *restrict x, int64_t n) {
    IN_VECTORS(gelu_tanh_at(out + i, x + i, m));
}

INLINE void gelu_tanh_grad_at(float *dx, const float *d_out, const float *x, int64_t m) {
    vec v = take(x, m), square = v * v, s = sigmoid(v * (1.5957691216057308f + 0.071354816272f * square));
    vec slope = s + v * s * (1.0f - s) * (1.5957691216057308f + 0.214064448816f * square);
    put(dx, take(dx, m) + take(d_out, m) * slope, m);
}

static void gelu_tanh_grad(float *restrict dx, const float *restrict d_out, const float *restrict x, int64_t n) {
    IN_VECTORS(gelu_tanh_grad_at(dx + i, d_out + i, x + i, m));
}

INLINE void tanh_at(float *out, const float *x, int64_t m) {
    vec v = take(x, m), square = v * v, e = exp_vec(-2.0f * absolute(v)), large = (1.0f - e) / (1.0f + e);
    large = choose(v < 0.0f, -large, large);
    /* near zero the quotient cancels: the odd series instead */
    vec small = v * (1.0f + square * (-0.33333333f + square * (0.13333333f + square * -0.05396825f)));
    put(out, choose(square < 0.04f, small, large), m);
}

static void tanh_f32(float *out, const float *x, int64_t n) {
    IN_VECTORS(tanh_at(out + i, x + i, m));
}

/* The angle is reduced to [-pi/4, pi/4] in double precision (good to 1e-10 for angles of some million), then Taylor's
 * series, whose next terms are below 1e-9 there; the quarter turn decides which of the two is which, and the signs. */
static void sine_cosine(float *restrict sine, float *restrict cosine, const float *restrict angle, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double shifted = (double)angle[i] * 0.63661977236758134 + 6755399441055744.0; /* 1.5 * 2^52 */
        double r = (double)angle[i] - (shifted - 6755399441055744.0) * 1.5707963267948966, q = r * r;
        double s = r + r * q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880))));
        double c = 1 + q * (-0.5 + q * (1.0 / 24 + q * (-1.0 / 720 + q * (1.0 / 40320 - q * (1.0 / 3628800)))));
        uint64_t quarter, bits_s, bits_c;
        memcpy(&quarter, &shifted, 8);
        memcpy(&bits_s, &s, 8);
        memcpy(&bits_c, &c, 8);
        uint64_t swap = 0 - (quarter & 1), difference = (bits_s ^ bits_c) & swap;
        bits_s ^= difference ^ (quarter & 2) << 62; /* signs: sine turns in quarters 2 and 3, cosine in 1 and 2 */
        bits_c ^= difference ^ ((quarter + 1) & 2) << 62;
        memcpy(&s, &bits_s, 8);
        memcpy(&c, &bits_c, 8);
        sine[i] = (float)s;
        cosine[i] = (float)c;
    }
}

/* ---- norms of one row ---- */

/* sum of (x - shift)^power, power 1 or 2, in double precision */
INLINE double power_sum(int power, const float *x, float shift, int64_t n) {
    double sums[VL] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        for (int j = 0; j < VL; j++) {
            double v = (double)x[i + j] - shift;
            sums[j] += power == 2 ? v * v : v;
        }
    for (int j = 0; j < VL; j++) sum += sums[j];
    for (; i < n; i++) sum += power == 2 ? ((double)x[i] - shift) * ((double)x[i] - shift) : (double)x[i] - shift;
    return sum;
}

static tp_row_moments norm(float *restrict out, const float *restrict x, const float *restrict gain,
                           const float *restrict bias, int centred, float eps, int64_t n) {
    float mean = centred ? (float)(power_sum(1, x, 0, n) / (double)n) : 0;
    tp_row_moments m = {mean, (float)(1.0 / sqrt(power_sum(2, x, mean, n) / (double)n + eps))};
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] - m.mean) * m.inverse;
    if (gain)
        for (int64_t i = 0; i < n; i++) out[i] *= gain[i];
    if (bias)
        for (int64_t i = 0; i < n; i++) out[i] += bias[i];
    return m;
}

/* With e = dy gain:  dx = r (e - mean(e) - xhat mean(e xhat)); without a mean in the norm, none of e either. */
INLINE void norm_dx(float *restrict dx, const float *restrict dy, const float *restrict x, const float *restrict gain,
                    tp_row_moments m, int centred, int64_t n) {
    vec sums = {0}, sums_x = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec e = load(dy + i);
        if (gain) e *= load(gain + i);
        sums += e;
        sums_x += e * (load(x + i) - m.mean);
    }
    float sum = sum_of(sums), sum_x = sum_of(sums_x);
    for (; i < n; i++) {
        float e = gain ? dy[i] * gain[i] : dy[i];
        sum += e;
        sum_x += e * (x[i] - m.mean);
    }
    float along = sum_x / (float)n * m.inverse * m.inverse, mean_e = centred ? sum / (float)n : 0;
    for (i = 0; i < n; i++) dx[i] += m.inverse * ((gain ? dy[i] * gain[i] : dy[i]) - mean_e - (x[i] - m.mean) * along);
}

static void norm_grad(float *restrict dx, float *restrict d_gain, float *restrict d_bias, const float *restrict dy,
                      const float *restrict x, const float *restrict gain, tp_row_moments m, int centred, int64_t n) {
    if (dx && gain) norm_dx(dx, dy, x, gain, m, centred, n);
    if (dx && !gain) norm_dx(dx, dy, x, NULL, m, centred, n);
    if (d_gain)
        for (int64_t i = 0; i < n; i++) d_gain[i] += dy[i] * (x[i] - m.mean) * m.inverse;
    if (d_bias)
        for (int64_t i = 0; i < n; i++) d_bias[i] += dy[i];
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

#include "tensor/cpu/kv_isa.h"

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
    .kv_scores = kv_scores,
    .kv_sums = kv_sums,
    .kv_read = kv_read,
    .kv_write = kv_write,
    .axpy = axpy,
    .sum_squares = sum_squares,
    .max = max,
    .exp_sum = exp_sum,
    .softmax_grad = softmax_grad,
    .silu_mul = silu_mul,
    .silu_mul_grad = silu_mul_grad,
    .gelu = gelu,
    .gelu_grad = gelu_grad,
    .gelu_tanh = gelu_tanh,
    .gelu_tanh_grad = gelu_tanh_grad,
    .tanh = tanh_f32,
    .sine_cosine = sine_cosine,
    .norm = norm,
    .norm_grad = norm_grad,
    .adamw = adamw,
};
