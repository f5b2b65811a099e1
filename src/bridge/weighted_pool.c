/* Learned weighted pooling (the presentation, question 23, second of five).
 *
 * Each soft token is a weighted mean of the text's whitened states, projected to the receiver's width by one matrix for
 * all. The weights are a softmax, over the text, of one learned score per state and soft token: the score is linear in
 * the state, so there is nothing here that could look at two states together. */
#include "bridge/resample.h"

#include "base/mem.h"

#include <math.h>

typedef struct {
    tp_weight scores;         /* [M, d_source]; a bias would fall out of the softmax */
    tp_nn_linear output_proj; /* [d_target, d_source] */
} pool;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    return r->soft_tokens * d_source + d_target * (d_source + 1);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    pool *p = tp_alloc(sizeof *p);
    int64_t d = bridge->d_source;
    tp_params_attach(&bridge->params, &p->scores, "scores", bridge->recipe.soft_tokens, d);
    tp_weight_init_normal(&p->scores, seed, 1.0 / sqrt((double)d)); /* scores of about 1: soft tokens differ at once */
    tp_nn_linear_attach(&bridge->params, &p->output_proj, "output_proj", bridge->d_target, d, true, seed);
    return p;
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    const pool *p = bridge->layers;
    /* Attention with one head, the states as keys and as values. */
    tp_attention_spec spec = {.n_heads = 1, .n_kv_heads = 1, .head_dim = (int)x->cols, .scale = 1};
    tp_var *queries = tp_repeat_queries(tape, &p->scores, n_sequences);
    const int64_t *own = tp_even_offsets(tape, p->scores.rows, n_sequences);
    tp_var *pooled = tp_attention(tape, queries, x, x, own, offsets, n_sequences, &spec);
    return tp_nn_linear_apply(tape, &p->output_proj, pooled);
}

static void attention_shape(const tp_bridge_recipe *recipe, int *depth, int *heads) {
    (void)recipe;
    *depth = *heads = 1;
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    const tp_var *scores = tp_linear(tape, x, &((const pool *)bridge->layers)->scores, NULL); /* [n, M] */
    for (int64_t m = 0; m < scores->cols; m++) {
        float *row = weights + m * x->rows;
        for (int64_t i = 0; i < x->rows; i++) row[i] = scores->data[i * scores->cols + m];
        tp_nn_softmax(row, x->rows);
    }
}

const tp_bridge_family tp_bridge_weighted_pool = {.name = "weighted_pool",
                                                  .count = count,
                                                  .build = build,
                                                  .resample = resample,
                                                  .attention = attention,
                                                  .attention_shape = attention_shape,
                                                  .free = tp_free};
