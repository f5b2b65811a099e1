/* A single cross-attention layer (the presentation, question 23, third of five).
 *
 * M learned queries read the text once: pre-normed attention over the projected states, added to the queries, then a
 * norm and the projection to the receiver's width. It is the Perceiver without its self-attention, its feed-forward
 * layer and its second look. */
#include "bridge/resample.h"

#include "base/mem.h"

typedef struct {
    tp_resample_ends ends;      /* with M queries */
    tp_nn_norm norm_q, norm_kv; /* [d_b] */
    tp_nn_attention attention;  /* [d_b, d_b] each */
} layer;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width;
    return tp_resample_ends_count(r, r->soft_tokens, d_source, d_target) + 2 * 2 * d + 4 * d * d;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    if (tp_check_heads(r) != TP_OK) return NULL;
    layer *l = tp_alloc(sizeof *l);
    tp_resample_begin(bridge, &l->ends, r->soft_tokens, seed);
    tp_nn_norm_attach(params, &l->norm_q, "cross.norm_q", r->width);
    tp_nn_norm_attach(params, &l->norm_kv, "cross.norm_kv", r->width);
    tp_nn_attention_attach(params, &l->attention, "cross", r->width, r->heads, seed);
    tp_resample_end(bridge, &l->ends, seed);
    return l;
}

static tp_var *forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                       int64_t n_sequences, float *read) {
    const layer *l = bridge->layers;
    tp_var *states = tp_nn_linear_apply(tape, &l->ends.input_proj, hidden); /* [n_total, d_b] */
    tp_var *x = tp_repeat_queries(tape, &l->ends.queries, n_sequences);     /* [n_sequences * M, d_b] */
    tp_var *q = tp_nn_norm_apply(tape, &l->norm_q, x), *kv = tp_nn_norm_apply(tape, &l->norm_kv, states);
    if (read) tp_nn_attention_weights(tape, &l->attention, q, kv, read);
    const int64_t *own = tp_even_offsets(tape, l->ends.queries.rows, n_sequences);
    tp_var *more = tp_nn_attention_apply(tape, &l->attention, q, kv, own, offsets, n_sequences);
    x = tp_add(tape, x, tp_dropout(tape, more, (float)bridge->recipe.dropout));
    return tp_resample_output(tape, &l->ends, x);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                        int64_t n_sequences) {
    return forward(tape, bridge, hidden, offsets, n_sequences, NULL);
}

static void attention_shape(const tp_bridge_recipe *recipe, int *depth, int *heads) {
    *depth = 1;
    *heads = recipe->heads;
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    tp_read_one(forward, tape, bridge, x, weights);
}

const tp_bridge_family tp_bridge_cross_attention = {.name = "cross_attention",
                                                    .count = count,
                                                    .build = build,
                                                    .resample = resample,
                                                    .attention = attention,
                                                    .attention_shape = attention_shape,
                                                    .free = tp_free};
