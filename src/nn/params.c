/* Trainable parameters. See params.h. */
#include "nn/params.h"

#include "base/mem.h"
#include "tensor/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void tp_params_attach(tp_params *params, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    size_t bytes = (size_t)(rows * cols) * sizeof(float);
    *w = (tp_weight){.name = tp_strdup(name),
                     .dtype = TP_F32,
                     .rows = rows,
                     .cols = cols,
                     .data = tp_alloc(bytes),
                     .grad = tp_alloc(bytes)};
    tp_grow(&params->items, &params->capacity, params->n, sizeof(tp_weight *));
    params->items[params->n++] = w;
    params->total += rows * cols;
}

void tp_params_append(tp_params *params, const tp_params *more) {
    for (size_t i = 0; i < more->n; i++) {
        tp_grow(&params->items, &params->capacity, params->n, sizeof(tp_weight *));
        params->items[params->n++] = more->items[i];
    }
    params->total += more->total;
}

void tp_params_copy(const tp_params *to, const tp_params *from) {
    for (size_t i = 0; i < to->n; i++)
        memcpy(tp_weight_values(to->items[i]), from->items[i]->data,
               (size_t)(to->items[i]->rows * to->items[i]->cols) * sizeof(float));
}

void tp_params_freeze(const tp_params *params) {
    for (size_t i = 0; i < params->n; i++) {
        tp_free(params->items[i]->grad);
        params->items[i]->grad = NULL;
    }
}

void tp_params_free(tp_params *params) {
    for (size_t i = 0; i < params->n; i++) {
        tp_weight *w = params->items[i];
        tp_free((void *)(uintptr_t)w->name);
        tp_free((void *)(uintptr_t)w->data);
        tp_free(w->grad);
        tp_weight_release(w);
        *w = (tp_weight){0};
    }
    tp_free(params->items);
    *params = (tp_params){0};
}

void tp_weight_init_normal(const tp_weight *w, uint64_t seed, double std) {
    char stream[256];
    snprintf(stream, sizeof stream, "init:%s", w->name);
    tp_rng rng = tp_rng_stream(seed, stream, 0);
    tp_rng_fill_normal(&rng, tp_weight_values(w), (size_t)(w->rows * w->cols), std);
}

void tp_weight_init_value(const tp_weight *w, float value) {
    float *values = tp_weight_values(w);
    for (int64_t i = 0; i < w->rows * w->cols; i++) values[i] = value;
}

void tp_params_zero_grad(const tp_params *params) {
    for (size_t i = 0; i < params->n; i++)
        memset(params->items[i]->grad, 0, (size_t)(params->items[i]->rows * params->items[i]->cols) * sizeof(float));
}

double tp_params_grad_norm(const tp_params *params) {
    double sum = 0;
    for (size_t i = 0; i < params->n; i++)
        sum += tp_cpu()->sum_squares(params->items[i]->grad, params->items[i]->rows * params->items[i]->cols);
    return sqrt(sum);
}
