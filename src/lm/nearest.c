/* Nearest vocabulary tokens. See nearest.h. */
#include "lm/nearest.h"

#include "base/mem.h"
#include "tensor/matmul.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 512 }; /* tokens compared at once */

tp_vocabulary tp_vocabulary_of(const tp_lm *lm) {
    int64_t d = lm->config.d_model, n = lm->config.vocab_size;
    tp_vocabulary v = {.lm = lm, .mean = tp_alloc((size_t)d * sizeof(double)), .rms_low = INFINITY};
    float *row = tp_alloc((size_t)d * sizeof *row);
    double sum = 0, sum_of_squares = 0;
    for (int64_t id = 0; id < n; id++) {
        double square = 0;
        tp_lm_embedding_row(lm, id, row);
        for (int64_t k = 0; k < d; k++) {
            v.mean[k] += (double)row[k] / (double)n;
            square += (double)row[k] * row[k];
        }
        double rms = sqrt(square / (double)d);
        sum += rms;
        sum_of_squares += rms * rms;
        v.rms_low = fmin(v.rms_low, rms);
        v.rms_high = fmax(v.rms_high, rms);
    }
    v.rms_mean = sum / (double)n;
    v.rms_std = n > 1 ? sqrt(fmax(0, (sum_of_squares - sum * v.rms_mean) / (double)(n - 1))) : 0;
    tp_free(row);
    return v;
}

void tp_vocabulary_free(tp_vocabulary *vocabulary) {
    tp_free(vocabulary->mean);
    *vocabulary = (tp_vocabulary){0};
}

/* The row less the mean, if wanted, of length 1 (zeros stay zeros). */
static void unit(const tp_vocabulary *v, const float *row, bool centred, float *out) {
    int64_t d = v->lm->config.d_model;
    double square = 0;
    for (int64_t k = 0; k < d; k++) {
        double value = (double)row[k] - (centred ? v->mean[k] : 0);
        out[k] = (float)value;
        square += value * value;
    }
    double factor = square > 0 ? 1 / sqrt(square) : 0;
    for (int64_t k = 0; k < d; k++) out[k] = (float)((double)out[k] * factor);
}

/* Puts a token into a list of the k best. */
static void insert(int32_t id, double cosine, int k, int32_t *ids, double *cosines) {
    int at = k;
    while (at > 0 && cosine > cosines[at - 1]) at--;
    if (at == k) return;
    memmove(ids + at + 1, ids + at, (size_t)(k - at - 1) * sizeof *ids);
    memmove(cosines + at + 1, cosines + at, (size_t)(k - at - 1) * sizeof *cosines);
    ids[at] = id;
    cosines[at] = cosine;
}

void tp_vocabulary_nearest(const tp_vocabulary *v, const float *rows, int64_t n, bool centred, int k, int32_t *ids,
                           double *cosines) {
    int64_t d = v->lm->config.d_model, size = v->lm->config.vocab_size;
    float *wanted = tp_alloc((size_t)(n * d) * sizeof *wanted), *row = tp_alloc((size_t)d * sizeof *row);
    float *block = tp_alloc((size_t)(BLOCK * d) * sizeof *block),
          *found = tp_alloc((size_t)(n * BLOCK) * sizeof *found);
    tp_arena *scratch = tp_arena_new();
    for (int64_t i = 0; i < n; i++) unit(v, rows + i * d, centred, wanted + i * d);
    for (int64_t i = 0; i < n * k; i++) ids[i] = -1, cosines[i] = -INFINITY;
    for (int64_t from = 0; from < size; from += BLOCK) {
        int64_t some = size - from < BLOCK ? size - from : BLOCK;
        for (int64_t t = 0; t < some; t++) {
            tp_lm_embedding_row(v->lm, from + t, row);
            unit(v, row, centred, block + t * d);
        }
        tp_weight w = {.name = "vocabulary", /* has a gradient, so nothing made of it is kept */
                       .dtype = TP_F32,
                       .rows = some,
                       .cols = d,
                       .data = block,
                       .grad = block};
        tp_matmul(TP_MATH_F32, scratch, found, wanted, n, &w);
        for (int64_t i = 0; i < n; i++)
            for (int64_t t = 0; t < some; t++)
                insert((int32_t)(from + t), (double)found[i * some + t], k, ids + i * k, cosines + i * k);
    }
    tp_arena_free(scratch);
    tp_free(wanted);
    tp_free(row);
    tp_free(block);
    tp_free(found);
}
