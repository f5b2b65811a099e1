/* The bridge of phase 1 (the presentation, "Failed Architectures"): pool, an MLP, expand.
 *
 * The mean of a text's whitened states goes through `depth` layers of width d_b with GELU behind each, and a last
 * matrix makes the M soft tokens from what comes out. Nothing chooses among the text's tokens: that is what it is here
 * to show.
 */
#include "bridge/resample.h"

#include "base/mem.h"

typedef struct {
    tp_nn_linear *layers;     /* [depth]: [d_b, d_source], then [d_b, d_b] */
    tp_nn_linear output_proj; /* [M * d_target, d_b] */
} mlp;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width;
    return d * (d_source + 1) + (r->depth - 1) * d * (d + 1) + r->soft_tokens * d_target * (d + 1);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    mlp *m = tp_alloc(sizeof *m);
    m->layers = tp_alloc((size_t)r->depth * sizeof *m->layers);
    char name[64];
    for (int i = 0; i < r->depth; i++)
        tp_nn_linear_attach(&bridge->params, &m->layers[i], tp_block_name(name, i, "linear"), r->width,
                            i ? r->width : bridge->d_source, true, seed);
    tp_nn_linear_attach(&bridge->params, &m->output_proj, "output_proj", r->soft_tokens * bridge->d_target, r->width,
                        true, seed);
    return m;
}

static void mlp_free(void *layers) {
    tp_free(((mlp *)layers)->layers);
    tp_free(layers);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *states, const int64_t *offsets,
                        int64_t n_sequences) {
    const mlp *m = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_var *x = tp_mean_rows(tape, states, offsets, n_sequences); /* [n_sequences, d_source] */
    for (int i = 0; i < r->depth; i++)
        x = tp_dropout(tape, tp_gelu(tape, tp_nn_linear_apply(tape, &m->layers[i], x)), (float)r->dropout);
    x = tp_nn_linear_apply(tape, &m->output_proj, x);
    return tp_reshape(tape, x, n_sequences * r->soft_tokens, bridge->d_target);
}

const tp_bridge_family tp_bridge_mean_mlp = {
    .name = "mean_mlp", .count = count, .build = build, .resample = resample, .free = mlp_free};
