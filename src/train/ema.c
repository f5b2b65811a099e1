/* Averages of parameters. See ema.h. */
#include "train/ema.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

tp_ema *tp_ema_new(const tp_params *params, double decay) {
    tp_ema *ema = tp_alloc(sizeof *ema);
    *ema = (tp_ema){params, decay, tp_alloc((size_t)params->total * sizeof(float))};
    tp_ema_restart(ema);
    return ema;
}

void tp_ema_free(tp_ema *ema) {
    if (ema == NULL) return;
    tp_free(ema->values);
    tp_free(ema);
}

void tp_ema_restart(tp_ema *ema) {
    int64_t at = 0;
    for (size_t i = 0; ema && i < ema->params->n; i++) {
        int64_t n = ema->params->items[i]->rows * ema->params->items[i]->cols;
        memcpy(ema->values + at, ema->params->items[i]->data, (size_t)n * sizeof(float));
        at += n;
    }
}

void tp_ema_update(tp_ema *ema, int64_t t) {
    float share = (float)(1.0 - fmin(ema->decay, (double)t / (double)(t + 9)));
    int64_t at = 0;
    for (size_t i = 0; i < ema->params->n; i++) {
        const float *w = ema->params->items[i]->data;
        int64_t n = ema->params->items[i]->rows * ema->params->items[i]->cols;
        float *v = ema->values + at;
#pragma omp parallel for if (n > 1 << 15)
        for (int64_t j = 0; j < n; j++) v[j] += share * (w[j] - v[j]);
        at += n;
    }
}

void tp_ema_swap(tp_ema *ema) {
    int64_t at = 0;
    for (size_t i = 0; ema && i < ema->params->n; i++) {
        float *w = tp_weight_values(ema->params->items[i]);
        int64_t n = ema->params->items[i]->rows * ema->params->items[i]->cols;
        for (int64_t j = 0; j < n; j++) {
            float kept = w[j];
            w[j] = ema->values[at + j];
            ema->values[at + j] = kept;
        }
        at += n;
    }
}
