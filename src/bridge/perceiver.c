/* The Perceiver resampler (Jaegle et al. 2021; as a resampler between two models: Alayrac et al. 2022, Flamingo).
 *
 * M learned queries read a sequence of any length: after an input projection to the bottleneck's width d_b come `depth`
 * blocks of pre-norm cross-attention, self-attention among the queries and a feed-forward layer, each added to what was
 * there. There is no positional encoding: a hidden state carries its own place. tools/reference/op_reference.py
 * computes the same in PyTorch, and the parameters have the same names there. */
#include "bridge/bridge.h"

#include "base/mem.h"
#include "nn/layers.h"

#include <stdio.h>

typedef struct {
    struct {
        tp_nn_norm norm_q, norm_kv;
        tp_nn_attention attention;
    } cross;
    struct {
        tp_nn_norm norm;
        tp_nn_attention attention;
    } self;
    struct {
        tp_nn_norm norm;
        tp_nn_ffn layer;
    } ffn;
} block;

typedef struct {
    tp_weight queries;        /* [M, d_b] */
    tp_nn_linear input_proj;  /* [d_b, d_source] */
    block *blocks;            /* [depth] */
    tp_nn_norm final_norm;    /* [d_b] */
    tp_nn_linear output_proj; /* [d_target, d_b] */
} perceiver;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width, ff = d * r->ffn_multiple;
    int64_t in_block = 4 * 2 * d + 2 * 4 * d * d + 2 * d * ff + ff + d; /* norms, attention, feed-forward */
    return r->soft_tokens * d + d * d_source + d + r->depth * in_block + 2 * d + d_target * d + d_target;
}

static const char *block_name(char name[64], int i, const char *part) {
    snprintf(name, 64, "blocks.%d.%s", i, part);
    return name;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    char name[64];
    if (r->width % r->heads != 0)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `bridge.width` is %d, a multiple of `bridge.heads` (%d) was expected", r->width,
                            r->heads);
    perceiver *p = tp_alloc(sizeof *p);
    p->blocks = tp_alloc((size_t)r->depth * sizeof *p->blocks);
    tp_params_attach(params, &p->queries, "queries", r->soft_tokens, r->width);
    tp_weight_init_normal(&p->queries, seed, 0.02);
    tp_nn_linear_attach(params, &p->input_proj, "input_proj", r->width, bridge->d_source, true, seed);
    for (int i = 0; i < r->depth; i++) {
        block *b = &p->blocks[i];
        tp_nn_norm_attach(params, &b->cross.norm_q, block_name(name, i, "cross.norm_q"), r->width);
        tp_nn_norm_attach(params, &b->cross.norm_kv, block_name(name, i, "cross.norm_kv"), r->width);
        tp_nn_attention_attach(params, &b->cross.attention, block_name(name, i, "cross"), r->width, r->heads, seed);
        tp_nn_norm_attach(params, &b->self.norm, block_name(name, i, "self.norm"), r->width);
        tp_nn_attention_attach(params, &b->self.attention, block_name(name, i, "self"), r->width, r->heads, seed);
        tp_nn_norm_attach(params, &b->ffn.norm, block_name(name, i, "ffn.norm"), r->width);
        tp_nn_ffn_attach(params, &b->ffn.layer, block_name(name, i, "ffn"), r->width,
                         (int64_t)r->width * r->ffn_multiple, seed);
    }
    tp_nn_norm_attach(params, &p->final_norm, "final_norm", r->width);
    tp_nn_linear_attach(params, &p->output_proj, "output_proj", bridge->d_target, r->width, true, seed);
    return p;
}

static void perceiver_free(void *layers) {
    tp_free(((perceiver *)layers)->blocks);
    tp_free(layers);
}

/* The queries once for each sequence, [n_sequences * M, d_b]. */
static tp_var *repeat_queries(tp_tape *tape, const tp_weight *queries, int64_t n_sequences) {
    int64_t n = n_sequences * queries->rows;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    for (int64_t i = 0; i < n; i++) which[i] = (tp_row_ref){.source = 0, .row = i % queries->rows};
    tp_var *once = tp_parameter(tape, queries);
    return tp_gather(tape, &once, 1, which, n);
}

/* The forward pass. `read` (NULL: nobody looks) gets the weights of the cross-attention of the only sequence. */
static tp_var *forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                       int64_t n_sequences, float *read) {
    const perceiver *p = bridge->layers;
    float dropout = (float)bridge->recipe.dropout;
    int64_t *own = tp_arena_alloc(tape->arena, (size_t)(n_sequences + 1) * sizeof *own); /* offsets of the queries */
    for (int64_t s = 0; s <= n_sequences; s++) own[s] = s * p->queries.rows;

    tp_var *context = tp_nn_linear_apply(tape, &p->input_proj, hidden); /* [n_total, d_b] */
    tp_var *x = repeat_queries(tape, &p->queries, n_sequences);         /* [n_sequences * M, d_b] */
    for (int i = 0; i < bridge->recipe.depth; i++) {
        const block *b = &p->blocks[i];
        tp_var *q = tp_nn_norm_apply(tape, &b->cross.norm_q, x);
        tp_var *kv = tp_nn_norm_apply(tape, &b->cross.norm_kv, context);
        if (read) {
            tp_nn_attention_weights(tape, &b->cross.attention, q, kv, read);
            read += b->cross.attention.heads * q->rows * kv->rows;
        }
        tp_var *more = tp_nn_attention_apply(tape, &b->cross.attention, q, kv, own, offsets, n_sequences);
        x = tp_add(tape, x, tp_dropout(tape, more, dropout));
        tp_var *n = tp_nn_norm_apply(tape, &b->self.norm, x);
        more = tp_nn_attention_apply(tape, &b->self.attention, n, n, own, own, n_sequences);
        x = tp_add(tape, x, tp_dropout(tape, more, dropout));
        more = tp_nn_ffn_apply(tape, &b->ffn.layer, tp_nn_norm_apply(tape, &b->ffn.norm, x));
        x = tp_add(tape, x, tp_dropout(tape, more, dropout));
    }
    return tp_nn_linear_apply(tape, &p->output_proj, tp_nn_norm_apply(tape, &p->final_norm, x));
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                        int64_t n_sequences) {
    return forward(tape, bridge, hidden, offsets, n_sequences, NULL);
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    int64_t *offsets = tp_arena_alloc(tape->arena, 2 * sizeof *offsets);
    offsets[0] = 0, offsets[1] = x->rows;
    forward(tape, bridge, x, offsets, 1, weights);
}

const tp_bridge_family tp_bridge_perceiver = {.name = "perceiver",
                                              .count = count,
                                              .build = build,
                                              .resample = resample,
                                              .attention = attention,
                                              .free = perceiver_free};
