/* Means and deviations of hidden states and embeddings. See calibration.h. */
#include "bridge/calibration.h"

#include "base/mem.h"

#include <math.h>

enum { MOST_ROWS = 50000 };

static const double smallest_std = 1e-6;

tp_moments *tp_moments_new(int64_t d) {
    tp_moments *moments = tp_alloc(sizeof *moments);
    *moments = (tp_moments){
        .d = d, .mean = tp_alloc((size_t)d * sizeof *moments->mean), .m2 = tp_alloc((size_t)d * sizeof *moments->m2)};
    return moments;
}

void tp_moments_free(tp_moments *moments) {
    if (moments == NULL) return;
    tp_free(moments->mean);
    tp_free(moments->m2);
    tp_free(moments);
}

void tp_moments_add(tp_moments *moments, const float *rows, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + i * moments->d;
        double share = 1.0 / (double)++moments->n;
        for (int64_t j = 0; j < moments->d; j++) {
            double before = row[j] - moments->mean[j];
            moments->mean[j] += before * share;
            moments->m2[j] += before * (row[j] - moments->mean[j]);
        }
    }
}

static void take(const tp_moments *moments, float **mean, float **std) {
    *mean = tp_alloc((size_t)moments->d * sizeof(float));
    *std = tp_alloc((size_t)moments->d * sizeof(float));
    for (int64_t j = 0; j < moments->d; j++) {
        (*mean)[j] = (float)moments->mean[j];
        double variance = moments->n > 1 ? moments->m2[j] / (double)(moments->n - 1) : 0;
        (*std)[j] = (float)fmax(sqrt(variance), smallest_std);
    }
}

tp_calibration *tp_calibration_of(const tp_moments *source, const tp_moments *target, double target_rms) {
    tp_calibration *c = tp_alloc(sizeof *c);
    *c = (tp_calibration){.d_source = source->d,
                          .d_target = target->d,
                          .n_source = source->n,
                          .n_target = target->n,
                          .target_rms = (float)target_rms};
    take(source, &c->source_mean, &c->source_std);
    take(target, &c->target_mean, &c->target_std);
    return c;
}

tp_calibration *tp_calibration_new(const tp_moments *source, const tp_weight *embedding, double scale) {
    int64_t n = embedding->rows < MOST_ROWS ? embedding->rows : MOST_ROWS;
    tp_moments *target = tp_moments_new(embedding->cols);
    float *row = tp_alloc((size_t)embedding->cols * sizeof(float));
    double rms = 0;
    for (int64_t i = 0; i < n; i++) {
        tp_weight_row(embedding, i * embedding->rows / n, row);
        for (int64_t j = 0; scale > 0 && j < embedding->cols; j++) row[j] *= (float)scale;
        tp_moments_add(target, row, 1);
        double square = 0;
        for (int64_t j = 0; j < embedding->cols; j++) square += (double)row[j] * row[j];
        rms += sqrt(square / (double)embedding->cols);
    }
    tp_free(row);
    tp_calibration *c = tp_calibration_of(source, target, rms / (double)n);
    tp_moments_free(target);
    return c;
}

void tp_calibration_free(tp_calibration *c) {
    if (c == NULL) return;
    tp_free(c->source_mean);
    tp_free(c->source_std);
    tp_free(c->target_mean);
    tp_free(c->target_std);
    tp_free(c);
}
