/* Trainable parameters: named f32 weights with gradients, as an optimiser and a checkpoint want them. */
#ifndef TP_NN_PARAMS_H
#define TP_NN_PARAMS_H

#include "base/rng.h"
#include "tensor/weight.h"

#include <stddef.h>

/* A list of weights that are trained together. It owns their numbers, gradients and names; the tp_weight structs belong
 * to whoever attached them (a bridge, a decoder) and must outlive the list's use. */
typedef struct tp_params {
    tp_weight **items; /* in the order of attaching, which is the order in files */
    size_t n;
    size_t capacity;
    int64_t total; /* numbers in all */
} tp_params;

/* Makes *w a trainable weight of zeros with a gradient of zeros. */
void tp_params_attach(tp_params *params, tp_weight *w, const char *name, int64_t rows, int64_t cols);
/* Lists another list's weights too, for an optimiser over both. They stay the other's: of the list that was appended
 * to, only `items` is freed, with tp_free. */
void tp_params_append(tp_params *params, const tp_params *more);
void tp_params_copy(const tp_params *to, const tp_params *from); /* the numbers, between lists of the same shapes */
void tp_params_free(tp_params *params);                          /* what attach made; the weights become empty */

/* From now on the weights are frozen: their gradients are freed, and products may keep a packed form of each. */
void tp_params_freeze(const tp_params *params);

/* Normal numbers with this standard deviation from the stream "init:<name>" of the seed; or one value everywhere. */
void tp_weight_init_normal(const tp_weight *w, uint64_t seed, double std);
void tp_weight_init_value(const tp_weight *w, float value);

void tp_params_zero_grad(const tp_params *params);
double tp_params_grad_norm(const tp_params *params); /* L2 over all gradients */

static inline float *tp_weight_values(const tp_weight *w) { /* of a trainable weight */
    return (float *)(uintptr_t)w->data;
}

#endif
