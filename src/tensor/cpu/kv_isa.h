/* Kernels for rows of keys and values in a cache's storage type: a part of kernels_isa.c, which includes it once.
 *
 * Rows of one key head lie one behind another, d numbers each. A decode step has a few queries and thousands of rows:
 * reading the rows is all that costs, so each is read once, in its type, and widened in registers for all queries that
 * share the head. The type is a constant in every inner loop: one body, four compiled forms. */

typedef int8_t small_bytes __attribute__((vector_size(VL), aligned(1), may_alias));

INLINE vec load_i8(const int8_t *p) {
#if defined(__AVX512F__)
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
#elif defined(__AVX2__)
    return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
#else
    return __builtin_convertvector(*(const small_bytes *)p, vec);
#endif
}

/* VL numbers from index `at`, and one number: without an int8 row's scale. */
INLINE vec kv_vector(tp_dtype type, const void *rows, int64_t at) {
    if (type == TP_F16) return load_f16((const uint16_t *)rows + at);
    if (type == TP_BF16) return load_bf16((const uint16_t *)rows + at);
    if (type == TP_I8) return load_i8((const int8_t *)rows + at);
    return load((const float *)rows + at);
}

INLINE float kv_number(tp_dtype type, const void *rows, int64_t at) {
    if (type == TP_F16) return tp_f16_to_f32(((const uint16_t *)rows)[at]);
    if (type == TP_BF16) return tp_bf16_to_f32(((const uint16_t *)rows)[at]);
    if (type == TP_I8) return (float)((const int8_t *)rows)[at];
    return ((const float *)rows)[at];
}

/* Calls CALL once with TYPE a constant. */
#define FOR_KV_TYPE(type, CALL)                                                                                        \
    switch (type) {                                                                                                    \
    case TP_F16:                                                                                                       \
        CALL(TP_F16);                                                                                                  \
        break;                                                                                                         \
    case TP_BF16:                                                                                                      \
        CALL(TP_BF16);                                                                                                 \
        break;                                                                                                         \
    case TP_I8:                                                                                                        \
        CALL(TP_I8);                                                                                                   \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(TP_F32);                                                                                                  \
        break;                                                                                                         \
    }

/* ---- scores ---- */

enum { KV_HEADS = 2, KV_KEYS = 4 }; /* 8 sums, 4 rows and 2 queries: 14 of 16 registers */

INLINE void score_tile(tp_dtype type, int heads, int keys, float *scores, int64_t stride, const float *q,
                       const void *rows, const float *scales, int64_t j, int64_t d) {
    vec acc[KV_HEADS][KV_KEYS] = {0};
    int64_t i = 0;
    for (; i + VL <= d; i += VL)
        for (int k = 0; k < keys; k++) {
            vec row = kv_vector(type, rows, (j + k) * d + i);
            for (int h = 0; h < heads; h++) acc[h][k] += load(q + h * d + i) * row;
        }
    for (int h = 0; h < heads; h++)
        for (int k = 0; k < keys; k++) {
            float sum = sum_of(acc[h][k]);
            for (int64_t t = i; t < d; t++) sum += q[h * d + t] * kv_number(type, rows, (j + k) * d + t);
            scores[h * stride + j + k] = type == TP_I8 ? sum * scales[j + k] : sum;
        }
}

INLINE void score_rows(tp_dtype type, int heads, float *scores, int64_t stride, const float *q, const void *rows,
                       const float *scales, int64_t n, int64_t d) {
    int64_t j = 0;
    for (; j + KV_KEYS <= n; j += KV_KEYS) score_tile(type, heads, KV_KEYS, scores, stride, q, rows, scales, j, d);
    for (; j < n; j++) score_tile(type, heads, 1, scores, stride, q, rows, scales, j, d);
}

INLINE void score_heads(tp_dtype type, float *scores, int64_t stride, const float *q, int64_t heads, const void *rows,
                        const float *scales, int64_t n, int64_t d) {
    int64_t h = 0;
    for (; h + KV_HEADS <= heads; h += KV_HEADS)
        score_rows(type, KV_HEADS, scores + h * stride, stride, q + h * d, rows, scales, n, d);
    for (; h < heads; h++) score_rows(type, 1, scores + h * stride, stride, q + h * d, rows, scales, n, d);
}

static void kv_scores(tp_dtype type, float *scores, int64_t stride, const float *q, int64_t heads, const void *rows,
                      const float *scales, int64_t n, int64_t d) {
#define CALL(TYPE) score_heads(TYPE, scores, stride, q, heads, rows, scales, n, d)
    FOR_KV_TYPE(type, CALL)
#undef CALL
}

/* ---- weighted sums ---- */

enum { SUM_HEADS = 4, SUM_ROWS = 64 }; /* so many rows stay in the first-level cache while their columns are summed */

/* `vectors` vectors of columns from i on, for the rows of one chunk. */
INLINE void sum_tile(tp_dtype type, int heads, int vectors, float *out, const float *w, int64_t stride,
                     const void *rows, int64_t n, int64_t d, int64_t i) {
    vec acc[SUM_HEADS][2];
    for (int h = 0; h < heads; h++)
        for (int x = 0; x < vectors; x++) acc[h][x] = load(out + h * d + i + x * VL);
    for (int64_t j = 0; j < n; j++)
        for (int x = 0; x < vectors; x++) {
            vec row = kv_vector(type, rows, j * d + i + x * VL);
            for (int h = 0; h < heads; h++) acc[h][x] += w[h * stride + j] * row;
        }
    for (int h = 0; h < heads; h++)
        for (int x = 0; x < vectors; x++) *(vec *)(out + h * d + i + x * VL) = acc[h][x];
}

INLINE void sum_chunk(tp_dtype type, int heads, float *out, const float *w, int64_t stride, const void *rows, int64_t n,
                      int64_t d) {
    int64_t i = 0;
    for (; i + 2 * VL <= d; i += 2 * VL) sum_tile(type, heads, 2, out, w, stride, rows, n, d, i);
    for (; i + VL <= d; i += VL) sum_tile(type, heads, 1, out, w, stride, rows, n, d, i);
    for (; i < d; i++)
        for (int h = 0; h < heads; h++) {
            float sum = out[h * d + i];
            for (int64_t j = 0; j < n; j++) sum += w[h * stride + j] * kv_number(type, rows, j * d + i);
            out[h * d + i] = sum;
        }
}

INLINE void sum_heads(tp_dtype type, int heads, float *out, const float *p, int64_t stride, const void *rows,
                      const float *scales, int64_t n, int64_t d) {
    static const int sizes[] = {[TP_F32] = 4, [TP_F16] = 2, [TP_BF16] = 2, [TP_I8] = 1};
    for (int64_t j = 0; j < n; j += SUM_ROWS) {
        int64_t m = n - j < SUM_ROWS ? n - j : SUM_ROWS;
        const void *chunk = (const char *)rows + j * d * sizes[type];
        if (type == TP_I8) { /* a row's scale goes into its weight */
            float w[SUM_HEADS * SUM_ROWS];
            for (int h = 0; h < heads; h++)
                for (int64_t t = 0; t < m; t++) w[h * SUM_ROWS + t] = p[h * stride + j + t] * scales[j + t];
            sum_chunk(type, heads, out, w, SUM_ROWS, chunk, m, d);
        } else {
            sum_chunk(type, heads, out, p + j, stride, chunk, m, d);
        }
    }
}

INLINE void sum_all(tp_dtype type, float *out, const float *p, int64_t stride, int64_t heads, const void *rows,
                    const float *scales, int64_t n, int64_t d) {
    int64_t h = 0;
    for (; h + SUM_HEADS <= heads; h += SUM_HEADS)
        sum_heads(type, SUM_HEADS, out + h * d, p + h * stride, stride, rows, scales, n, d);
    for (; h < heads; h++) sum_heads(type, 1, out + h * d, p + h * stride, stride, rows, scales, n, d);
}

static void kv_sums(tp_dtype type, float *out, const float *p, int64_t stride, int64_t heads, const void *rows,
                    const float *scales, int64_t n, int64_t d){
#define CALL(TYPE) sum_all(TYPE, out, p, stride, heads, rows, scales, n, d)
    FOR_KV_TYPE(type, CALL)
#undef CALL
}

/* ---- into the cache and out of it ---- */

INLINE void read_rows(tp_dtype type, float *restrict out, const void *rows, const float *scales, int64_t n, int64_t d) {
    for (int64_t j = 0; j < n; j++) {
        float scale = type == TP_I8 ? scales[j] : 1;
        int64_t i = 0;
        for (; i + VL <= d; i += VL) {
            vec row = kv_vector(type, rows, j * d + i);
            *(vec *)(out + j * d + i) = row * scale; /* by 1: the same number */
        }
        for (; i < d; i++) out[j * d + i] = kv_number(type, rows, j * d + i) * scale;
    }
}

static void kv_read(tp_dtype type, float *restrict out, const void *rows, const float *scales, int64_t n, int64_t d) {
#define CALL(TYPE) read_rows(TYPE, out, rows, scales, n, d)
    FOR_KV_TYPE(type, CALL)
#undef CALL
}

/* f16 ends at 65504: what is larger stays that, since an infinite key would make every score that meets it useless. */
static void write_f16(uint16_t *out, const float *in, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(in + i), most = _mm256_set1_ps(65504.0f);
        x = _mm256_max_ps(_mm256_set1_ps(-65504.0f), _mm256_min_ps(most, x)); /* in this order NaN stays */
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
#endif
    for (; i < n; i++) {
        float x = in[i] > 65504.0f ? 65504.0f : in[i];
        out[i] = tp_f32_to_f16(x < -65504.0f ? -65504.0f : x);
    }
}

/* x is nearest to scale * q with scale = max |x| / 127. */
static float write_i8(int8_t *out, const float *in, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float x = fabsf(in[i]);
        most = x > most ? x : most;
    }
    float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
    if (inverse > 3e38f) inverse = 0; /* numbers this small (below 4e-37) are kept as zeros */
    for (int64_t i = 0; i < n; i++) {
        float shifted = in[i] * inverse + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
        int32_t bits;
        memcpy(&bits, &shifted, 4);
        out[i] = (int8_t)(bits - 0x4B400000);
    }
    return inverse > 0 ? scale : 0;
}

static void kv_write(tp_dtype type, void *row, float *scale, const float *in, int64_t n) {
    if (type == TP_F16)
        write_f16(row, in, n);
    else if (type == TP_BF16)
        f32_to_bf16(row, in, n);
    else if (type == TP_I8)
        *scale = write_i8(row, in, n);
    else
        memcpy(row, in, (size_t)n * sizeof(float));
}
