/* The Q-Former (Li et al. 2023, BLIP-2, section 3.1): a small BERT whose tokens are M learned queries.
 *
 * Every block is post-normed, with biases in its attention, as in BERT and unlike the Perceiver: self-attention among
 * the queries; in every other block (the first, the third, ...) cross-attention from the queries to the states, whose
 * keys and values are projected straight from the sender's width; a feed-forward layer; each added to what was there
 * and the sum normed. The queries are normed before the first block. tools/reference/family_reference.py compares with
 * Blip2QFormerModel of transformers. */
#include "bridge/resample.h"

#include "base/mem.h"

enum { CROSS_EVERY = 2 }; /* blocks, as in BLIP-2 */

typedef struct {
    tp_nn_attention self, cross; /* cross: in blocks 0, 2, ... only */
    tp_nn_norm self_norm, cross_norm, ffn_norm;
    tp_nn_ffn ffn;
} block;

typedef struct {
    tp_weight queries;        /* [M, d_b] */
    tp_nn_norm query_norm;    /* [d_b] */
    block *blocks;            /* [depth] */
    tp_nn_linear output_proj; /* [d_target, d_b] */
} qformer;

static int n_crossing(const tp_bridge_recipe *r) {
    return (r->depth + CROSS_EVERY - 1) / CROSS_EVERY;
}

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width, ff = d * r->ffn_multiple, norm = 2 * d;
    int64_t in_block = 4 * d * (d + 1) + norm + ff * (d + 1) + d * (ff + 1) + norm;
    int64_t crossing = 2 * d * (d + 1) + 2 * d * (d_source + 1) + norm;
    return r->soft_tokens * d + norm + r->depth * in_block + n_crossing(r) * crossing + d_target * (d + 1);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    char name[64];
    if (tp_check_heads(r) != TP_OK) return NULL;
    qformer *f = tp_alloc(sizeof *f);
    f->blocks = tp_alloc((size_t)r->depth * sizeof *f->blocks);
    tp_params_attach(params, &f->queries, "queries", r->soft_tokens, r->width);
    tp_weight_init_normal(&f->queries, seed, 0.02);
    tp_nn_norm_attach(params, &f->query_norm, "query_norm", r->width);
    for (int i = 0; i < r->depth; i++) {
        block *b = &f->blocks[i];
        int64_t d = r->width;
        tp_nn_attention_attach_biased(params, &b->self, tp_block_name(name, i, "self"), d, d, r->heads, seed);
        tp_nn_norm_attach(params, &b->self_norm, tp_block_name(name, i, "self.norm"), d);
        if (i % CROSS_EVERY == 0) {
            tp_nn_attention_attach_biased(params, &b->cross, tp_block_name(name, i, "cross"), d, bridge->d_source,
                                          r->heads, seed);
            tp_nn_norm_attach(params, &b->cross_norm, tp_block_name(name, i, "cross.norm"), d);
        }
        tp_nn_ffn_attach(params, &b->ffn, tp_block_name(name, i, "ffn"), d, d * r->ffn_multiple, seed);
        tp_nn_norm_attach(params, &b->ffn_norm, tp_block_name(name, i, "ffn.norm"), d);
    }
    tp_nn_linear_attach(params, &f->output_proj, "output_proj", bridge->d_target, r->width, true, seed);
    return f;
}

static void qformer_free(void *layers) {
    tp_free(((qformer *)layers)->blocks);
    tp_free(layers);
}

static tp_var *forward(tp_tape *tape, const tp_bridge *bridge, tp_var *states, const int64_t *offsets,
                       int64_t n_sequences, float *read) {
    const qformer *f = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    float dropout = (float)r->dropout;
    const int64_t *own = tp_even_offsets(tape, r->soft_tokens, n_sequences);
    tp_var *x = tp_nn_norm_apply(tape, &f->query_norm, tp_repeat_queries(tape, &f->queries, n_sequences)), *more;
    for (int i = 0; i < r->depth; i++) {
        const block *b = &f->blocks[i];
        more = tp_nn_attention_apply(tape, &b->self, x, x, own, own, n_sequences);
        x = tp_nn_norm_apply(tape, &b->self_norm, tp_add(tape, x, tp_dropout(tape, more, dropout)));
        if (i % CROSS_EVERY == 0) {
            if (read) {
                tp_nn_attention_weights(tape, &b->cross, x, states, read);
                read += r->heads * x->rows * states->rows;
            }
            more = tp_nn_attention_apply(tape, &b->cross, x, states, own, offsets, n_sequences);
            x = tp_nn_norm_apply(tape, &b->cross_norm, tp_add(tape, x, tp_dropout(tape, more, dropout)));
        }
        more = tp_nn_ffn_apply(tape, &b->ffn, x);
        x = tp_nn_norm_apply(tape, &b->ffn_norm, tp_add(tape, x, tp_dropout(tape, more, dropout)));
    }
    return tp_nn_linear_apply(tape, &f->output_proj, x);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *states, const int64_t *offsets,
                        int64_t n_sequences) {
    return forward(tape, bridge, states, offsets, n_sequences, NULL);
}

static void attention_shape(const tp_bridge_recipe *recipe, int *depth, int *heads) {
    *depth = n_crossing(recipe);
    *heads = recipe->heads;
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    tp_read_one(forward, tape, bridge, x, weights);
}

const tp_bridge_family tp_bridge_qformer = {.name = "qformer",
                                            .count = count,
                                            .build = build,
                                            .resample = resample,
                                            .attention = attention,
                                            .attention_shape = attention_shape,
                                            .free = qformer_free};
