/* The kernel table: every inner loop of ours that is worth a vector unit.
 *
 * One source (cpu/kernels_isa.c) is compiled once per instruction set (portable scalar, AVX2, AVX-512) and the best
 * table the processor can run is chosen once, by CPUID. Large matrix products are not here: they go to oneDNN
 * (matmul.h). Kernels take plain pointers and sizes, touch no global state and start no threads; callers split the
 * work. */
#ifndef TP_TENSOR_KERNELS_H
#define TP_TENSOR_KERNELS_H

#include "base/dtype.h"

#include <stdint.h>

typedef struct tp_row_moments {
    float mean, inverse;
} tp_row_moments;

typedef struct tp_kernels {
    const char *name; /* "scalar", "avx2", "avx512" */

    /* Dot products of n numbers, the second operand in its storage type. */
    float (*dot_f32)(const float *x, const float *w, int64_t n);
    float (*dot_bf16)(const float *x, const uint16_t *w, int64_t n);
    float (*dot_f16)(const float *x, const uint16_t *w, int64_t n);

    /* Conversions of n numbers. round_bf16: to the nearest bf16 number, kept as f32 (out may be in). */
    void (*bf16_to_f32)(float *out, const uint16_t *in, int64_t n);
    void (*f16_to_f32)(float *out, const uint16_t *in, int64_t n);
    void (*f32_to_bf16)(uint16_t *out, const float *in, int64_t n);
    void (*round_bf16)(float *out, const float *in, int64_t n);

    /* Small products with leading dimensions, for attention: C[m,n] += A[m,k] B[k,n], and C[m,n] += A[k,m]^T B[k,n]. */
    void (*gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                 int64_t ldc);
    void (*gemm_at)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                    int64_t ldc);

    /* Attention over rows of one key head as a cache stores them: n rows of d numbers, one behind another, as f32, f16,
     * bf16 or int8; scales [n] of int8 rows, NULL for other types. For `heads` queries [heads, d]:
     *   scores[h * stride + j] = q[h] . row[j]      out[h] += sum over j of p[h * stride + j] row[j]   (out [heads, d])
     * kv_read gives rows as f32. kv_write stores one row of n numbers, rounded to nearest: f16 beyond +-65504 becomes
     * that; an int8 row gets *scale = max |x| / 127, so that no number is off by more than half of it. */
    void (*kv_scores)(tp_dtype type, float *scores, int64_t stride, const float *q, int64_t heads, const void *rows,
                      const float *scales, int64_t n, int64_t d);
    void (*kv_sums)(tp_dtype type, float *out, const float *p, int64_t stride, int64_t heads, const void *rows,
                    const float *scales, int64_t n, int64_t d);
    void (*kv_read)(tp_dtype type, float *out, const void *rows, const float *scales, int64_t n, int64_t d);
    void (*kv_write)(tp_dtype type, void *row, float *scale, const float *in, int64_t n);

    /* y += a x; the sum of squares is taken in double precision. */
    void (*axpy)(float *y, float a, const float *x, int64_t n);
    double (*sum_squares)(const float *x, int64_t n);

    /* Softmax in two passes: the row's maximum (0 for an empty row), then x[i] = exp(x[i] - max), returning their sum.
     */
    float (*max)(const float *x, int64_t n);
    float (*exp_sum)(float *x, float max, int64_t n);
    /* The gradient of a row's scores from that of its probabilities p: d = p (d - both), both = sum of p d. */
    void (*softmax_grad)(float *d, const float *p, float both, int64_t n);

    /* Activations and their gradients (dx += ...). gelu is the exact one (erf). */
    void (*silu_mul)(float *out, const float *gate, const float *up, int64_t n);
    void (*silu_mul_grad)(float *d_gate, float *d_up, const float *d_out, const float *gate, const float *up,
                          int64_t n);
    void (*gelu)(float *out, const float *x, int64_t n);
    void (*gelu_grad)(float *dx, const float *d_out, const float *x, int64_t n);
    void (*gelu_tanh)(float *out, const float *x, int64_t n); /* the approximation with tanh */
    void (*gelu_tanh_grad)(float *dx, const float *d_out, const float *x, int64_t n);
    void (*tanh)(float *out, const float *x, int64_t n); /* out may be x */

    /* Sine and cosine of angles below some million. */
    void (*sine_cosine)(float *sine, float *cosine, const float *angle, int64_t n);

    /* A row's norm: out = (x - mean) * inverse * gain + bias, with inverse = 1 / sqrt(mean((x - mean)^2) + eps), and
     * mean = 0 if not centred. Its gradients (dx += ..., sums over rows for gain and bias). NULL: absent, not wanted.
     */
    tp_row_moments (*norm)(float *out, const float *x, const float *gain, const float *bias, int centred, float eps,
                           int64_t n);
    void (*norm_grad)(float *dx, float *d_gain, float *d_bias, const float *dy, const float *x, const float *gain,
                      tp_row_moments moments, int centred, int64_t n);

    /* AdamW on n parameters (Loshchilov and Hutter 2019): w = w * decay - step_size * m / (sqrt(v) * correction2 +
     * eps). */
    void (*adamw)(float *w, float *m, float *v, const float *grad, float grad_scale, float step_size, float decay,
                  float beta1, float beta2, float eps, float correction2, int64_t n);
} tp_kernels;

/* The table of this processor. TELEPATHY_ISA=scalar|avx2|avx512 in the environment asks for a lesser one. */
const tp_kernels *tp_cpu(void);

/* The table of that name, for tests; NULL if this processor (or this build) does not have it. */
const tp_kernels *tp_cpu_named(const char *name);

#endif
