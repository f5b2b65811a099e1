/* Adapters: tanh with a scale, or a residual MLP; and calibration. See adapter.h. */
#include "latentwire/adapter.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

static const float gain = 3; /* SPEC 5: tanh(3 x) / 3 is x where x is small, and at most a third */

static const char *part_name(char name[64], int receiver, const char *part) {
    snprintf(name, 64, "adapters.%d.%s", receiver, part);
    return name;
}

void tp_latentwire_head_attach(tp_latentwire *wire, int receiver, int64_t d_receiver, float rms, uint64_t seed) {
    tp_latentwire_head *h = &wire->heads[receiver];
    tp_params *params = &wire->params;
    int64_t d = wire->recipe.width, hidden = wire->recipe.hidden;
    char name[64];
    tp_nn_norm_attach(params, &h->norm, part_name(name, receiver, "norm"), d);
    tp_nn_linear_attach(params, &h->map, part_name(name, receiver, "map"), d_receiver, d, false, seed);
    if (wire->recipe.adapter == TP_LATENTWIRE_TANH) {
        /* outputs of variance 1 would leave tanh(3 x) saturated, and with it most gradients */
        tp_weight_init_normal(&h->map.weight, seed, 1 / (gain * sqrt((double)d)));
        tp_params_attach(params, &h->scale, part_name(name, receiver, "scale"), 1, 1);
        tp_weight_init_value(&h->scale, 1);
    } else {
        tp_nn_linear_attach(params, &h->up, part_name(name, receiver, "up"), hidden, d, true, seed);
        tp_nn_linear_attach(params, &h->down, part_name(name, receiver, "down"), d_receiver, hidden, true, seed);
    }
    tp_params_attach(&wire->constants, &h->rms, part_name(name, receiver, "rms"), 1, 1);
    tp_weight_init_value(&h->rms, rms);
}

/* Each packet times one number, so that the RMS over all its M * d numbers is the receiver's. */
static tp_var *calibrate(tp_tape *tape, tp_var *x, int64_t n, float rms) {
    int64_t rows = x->rows, cols = x->cols;
    tp_var *packets = tp_rms_norm(tape, tp_reshape(tape, x, n, rows / n * cols), NULL, 1e-12f);
    return tp_reshape(tape, tp_scale(tape, packets, rms), rows, cols);
}

tp_var *tp_latentwire_head_apply(tp_tape *tape, const tp_latentwire *wire, int receiver, tp_var *rows, int64_t n) {
    const tp_latentwire_head *h = &wire->heads[receiver];
    tp_var *x = tp_nn_norm_apply(tape, &h->norm, rows), *y;
    if (wire->recipe.adapter == TP_LATENTWIRE_TANH) {
        tp_var *inner = tp_mul_scalar(tape, tp_nn_linear_apply(tape, &h->map, x), &h->scale);
        y = tp_scale(tape, tp_tanh(tape, tp_scale(tape, inner, gain)), 1 / gain);
    } else {
        tp_var *more = tp_gelu(tape, tp_nn_linear_apply(tape, &h->up, x));
        more = tp_nn_linear_apply(tape, &h->down, tp_dropout(tape, more, (float)wire->recipe.dropout));
        y = tp_add(tape, tp_nn_linear_apply(tape, &h->map, rows), more);
    }
    return wire->recipe.calibrate ? calibrate(tape, y, n, tp_weight_f32(&h->rms, false)[0]) : y;
}
