/* AdamW (Loshchilov and Hutter 2019). See optimizer.h. */
#include "train/optimizer.h"

#include "base/mem.h"
#include "tensor/kernels.h"

#include <math.h>

tp_adamw *tp_adamw_new(const tp_params *params, const tp_adamw_options *options) {
    tp_adamw *a = tp_alloc(sizeof *a);
    a->options = *options;
    a->params = params;
    a->m = tp_alloc((size_t)params->total * sizeof(float));
    a->v = tp_alloc((size_t)params->total * sizeof(float));
    if (options->ema > 0) a->ema = tp_ema_new(params, options->ema);
    return a;
}

void tp_adamw_free(tp_adamw *adamw) {
    if (adamw == NULL) return;
    tp_free(adamw->m);
    tp_free(adamw->v);
    tp_ema_free(adamw->ema);
    tp_free(adamw);
}

double tp_adamw_step(tp_adamw *a, double lr, double grad_scale) {
    const tp_adamw_options *o = &a->options;
    double norm = tp_params_grad_norm(a->params) * grad_scale;
    if (isfinite(norm)) {
        double scale = o->clip > 0 && norm > o->clip ? grad_scale * o->clip / norm : grad_scale;
        a->t++;
        float step_size = (float)(lr / (1.0 - pow(o->beta1, (double)a->t)));
        float correction2 = (float)(1.0 / sqrt(1.0 - pow(o->beta2, (double)a->t)));
        const tp_kernels *cpu = tp_cpu();
        int64_t at = 0;
        for (size_t i = 0; i < a->params->n; i++) {
            const tp_weight *w = a->params->items[i];
            int64_t n = w->rows * w->cols;
            float decay = w->rows > 1 ? (float)(1.0 - lr * o->weight_decay) : 1.0f;
            float *values = tp_weight_values(w);
            enum { PIECE = 1 << 14 };
#pragma omp parallel for if (n > 2 * PIECE)
            for (int64_t j = 0; j < n; j += PIECE)
                cpu->adamw(values + j, a->m + at + j, a->v + at + j, w->grad + j, (float)scale, step_size, decay,
                           (float)o->beta1, (float)o->beta2, (float)o->eps, correction2, n - j < PIECE ? n - j : PIECE);
            at += n;
        }
        if (a->ema) tp_ema_update(a->ema, a->t);
    }
    tp_params_zero_grad(a->params);
    return norm;
}

double tp_cosine_lr(double lr, double min_ratio, int64_t step, int64_t warmup, int64_t total) {
    if (step < warmup) return lr * (double)(step + 1) / (double)warmup;
    if (step >= total) return lr * min_ratio;
    double done = (double)(step - warmup) / (double)(total - warmup);
    return lr * (min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + cos(3.14159265358979323846 * done)));
}
