/* What the tests of the objective share: relays with an untrained bridge on the stage, the
 * objective of a few validation rows, and its gradient held against central differences. */
#ifndef TP_TESTS_TINY_OBJECTIVE_H
#define TP_TESTS_TINY_OBJECTIVE_H

#include "tiny_runs.h"

#include "train/objective.h"
#include "train/states.h"

#include <math.h>

/* A relay with an untrained bridge, whose parameters are larger than new ones so that all of them matter. */
static inline tp_relay *make_relay(const char *changes) {
    tp_relay *r = tp_relay_new(tiny_recipe(changes), stage.sender, stage.receiver, stage.task);
    check_not_null(r);
    tp_bridge *b =
        tp_bridge_new(&r->recipe->bridge, stage.sender->config.d_model, stage.receiver->config.d_model, NULL, 3);
    check_not_null(b);
    for (size_t i = 0; i < b->params.n; i++) {
        const tp_weight *w = b->params.items[i];
        if (w->rows > 1) tp_weight_init_normal(w, 5, 0.4);
    }
    tp_relay_set_bridge(r, b, stage.task);
    return r;
}

static inline tp_state_cache *states_of(const tp_relay *r, const tp_dataset *set) {
    tp_state_cache *c = tp_state_cache_new(&r->tap, set->examples, set->n, TP_CACHE_MEMORY, 1 << 24, NULL);
    check_not_null(c);
    return c;
}

enum { N = 6 };

/* The objective of N validation rows. With `backward`, gradients are left in the bridge's parameters. */
static inline double objective(const tp_relay *r, tp_state_cache *states, const tp_loss_aids *aids, int64_t step,
                               bool backward, tp_objective_values *values) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = !backward;
    int64_t indices[N];
    const tp_example *rows[N];
    for (int64_t i = 0; i < N; i++) indices[i] = i, rows[i] = &stage.task->valid.examples[i];
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(states, tape, indices, N, &offsets), *loss;
    const int32_t *ids[N];
    for (int64_t i = 0; i < N; i++) ids[i] = tp_state_cache_ids(states, i);
    tp_objective_batch batch = {.examples = rows,
                                .n = N,
                                .soft = tp_relay_soft(r, tape, hidden, offsets, N),
                                .aids = aids,
                                .hidden = hidden,
                                .offsets = offsets,
                                .ids = ids};
    check_ok(tp_objective(r, tape, &batch, step, &loss, values));
    assert_true((double)loss->data[0] == values->total);
    if (backward) tp_backward(tape, loss, 1);
    double total = loss->data[0];
    tp_tape_free(tape);
    return total;
}

/* Adds `amount` times the direction to the weight. */
static inline void move(const tp_weight *w, const float *direction, double amount) {
    float *values = tp_weight_values(w);
    for (int64_t i = 0; i < w->rows * w->cols; i++) values[i] += (float)(amount * direction[i]);
}

/* How fast the objective rises along a direction of length 1, by central differences. */
static inline double slope(const tp_relay *r, tp_state_cache *states, const tp_loss_aids *aids, int64_t step,
                           const tp_weight *w, const float *direction) {
    const double h = 0.004;
    size_t bytes = (size_t)(w->rows * w->cols) * sizeof(float);
    float *kept = memcpy(tp_alloc(bytes), w->data, bytes);
    tp_objective_values v;
    double loss[2];
    for (int side = 0; side < 2; side++) {
        move(w, direction, side ? h : -h);
        loss[side] = objective(r, states, aids, step, false, &v);
        memcpy(tp_weight_values(w), kept, bytes);
    }
    tp_free(kept);
    return (loss[1] - loss[0]) / (2 * h);
}

static inline double length_of(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* The objective's gradient for every parameter of the bridge and of the losses' heads, along itself and two other
 * directions. How many of them matter: hold something large. */
static inline int check_slopes(const tp_relay *r, tp_state_cache *states, const tp_loss_aids *aids, int64_t step) {
    tp_objective_values v;
    tp_params both = {0}, *params = &both;
    tp_params_append(params, &r->bridge->params);
    if (aids) tp_params_append(params, &aids->params);
    tp_params_zero_grad(params);
    objective(r, states, aids, step, true, &v);
    double all = tp_params_grad_norm(params);
    assert_true(all > 0.01);
    int important = 0;
    for (size_t p = 0; p < params->n; p++) {
        const tp_weight *w = params->items[p];
        int64_t n = w->rows * w->cols;
        float *gradient = tp_alloc((size_t)n * sizeof(float)), *direction = tp_alloc((size_t)n * sizeof(float));
        memcpy(gradient, w->grad, (size_t)n * sizeof(float));
        for (int way = 0; way < 3; way++) { /* up the gradient itself, and two others */
            tp_rng rng = tp_rng_stream((uint64_t)way, "direction", p);
            if (way == 0)
                memcpy(direction, gradient, (size_t)n * sizeof(float));
            else
                tp_rng_fill_normal(&rng, direction, (size_t)n, 1);
            double length = length_of(direction, n), expected = 0;
            if (length < 1e-12) continue; /* no gradient: a key's bias moves all scores alike */
            for (int64_t i = 0; i < n; i++) {
                direction[i] = (float)(direction[i] / length);
                expected += (double)direction[i] * gradient[i];
            }
            double found = slope(r, states, aids, step, w, direction);
            if (fabs(found - expected) > 0.02 * length_of(gradient, n) + 2e-3 * all)
                fail_msg("%s, direction %d: the slope is %g, the gradient says %g", w->name, way, found, expected);
            important += way == 0 && length > 0.02 * all;
        }
        tp_free(gradient);
        tp_free(direction);
    }
    tp_free(both.items);
    return important;
}

#endif
