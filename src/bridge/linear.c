/* The linear bridges: the mean of a text's states, and one matrix.
 *
 * `linear` is the simplest thing that could work, which the documents' reviewers asked for as an ablation (the report,
 * section 79 on; SPEC 4): the whitened states' mean [d_source] times a matrix gives all M soft tokens at once. The
 * mean, and not the last M states: every text has one, however short, no state is left out, and nothing but the matrix
 * decides what soft token gets what. `ridge` is the same map without gradient descent: solved for, by ridge regression
 * (Hoerl and Kennard 1970) of the soft tokens that the answer's own embeddings would be on the mean states. */
#include "bridge/bridge.h"

#include "base/mem.h"
#include "nn/layers.h"
#include "tensor/affine.h"

#include <string.h>

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    return r->soft_tokens * d_target * (d_source + 1);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    tp_nn_linear *map = tp_alloc(sizeof *map); /* [M * d_target, d_source] */
    tp_nn_linear_attach(&bridge->params, map, "map", bridge->recipe.soft_tokens * bridge->d_target, bridge->d_source,
                        true, seed);
    return map;
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    tp_var *mean = tp_mean_rows(tape, x, offsets, n_sequences);
    tp_var *tokens = tp_nn_linear_apply(tape, bridge->layers, mean); /* [n_sequences, M * d_target] */
    return tp_reshape(tape, tokens, n_sequences * bridge->recipe.soft_tokens, bridge->d_target);
}

const tp_bridge_family tp_bridge_linear = {
    .name = "linear", .count = count, .build = build, .resample = resample, .free = tp_free};

/* ---- solved for ---- */

static void *build_ridge(tp_bridge *bridge, uint64_t seed) {
    if (bridge->recipe.scale == TP_SCALE_TANH)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `bridge.scale` is \"tanh\", a bridge of the kind \"ridge\" can be "
                            "solved for with \"rms\" only");
    return build(bridge, seed);
}

static tp_status solve(tp_bridge *bridge, const float *x, const float *y, int64_t n) {
    tp_nn_linear *map = bridge->layers;
    size_t d_in = (size_t)map->weight.cols, d_out = (size_t)map->weight.rows;
    tp_affine found;
    tp_ridge *ridge = tp_ridge_new(x, y, (size_t)n, d_in, d_out);
    if (ridge == NULL) return tp_last_status();
    tp_status status = tp_ridge_solve(ridge, bridge->recipe.penalty, &found);
    tp_ridge_free(ridge);
    if (status != TP_OK) return status;
    float *weight = tp_weight_values(&map->weight), *bias = tp_weight_values(&map->bias);
    memcpy(weight, found.weights, d_in * d_out * sizeof *weight);
    for (size_t o = 0; o < d_out; o++) {
        double at_mean = 0;
        for (size_t i = 0; i < d_in; i++) at_mean += (double)found.weights[o * d_in + i] * (double)found.mean[i];
        bias[o] = (float)((double)found.offset[o] - at_mean);
    }
    tp_affine_free(&found);
    return TP_OK;
}

const tp_bridge_family tp_bridge_ridge = {
    .name = "ridge", .count = count, .build = build_ridge, .resample = resample, .solve = solve, .free = tp_free};
