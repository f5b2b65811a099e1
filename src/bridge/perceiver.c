/* The Perceiver resampler (Jaegle et al. 2021; as a resampler between two models: Alayrac et al. 2022, Flamingo).
 *
 * M learned queries read a sequence of any length: after an input projection to the bottleneck's width d_b come `depth`
 * blocks of pre-norm cross-attention, self-attention among the queries and a feed-forward layer, each added to what was
 * there. There is no positional encoding: a hidden state carries its own place. tools/reference/op_reference.py
 * computes the same in PyTorch, and the parameters have the same names there. */
#include "bridge/resample.h"

#include "base/mem.h"

typedef struct {
    tp_resample_ends ends;     /* with M queries */
    tp_resample_block *blocks; /* [depth] */
} perceiver;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    return tp_resample_ends_count(r, r->soft_tokens, d_source, d_target) + r->depth * tp_resample_block_count(r);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    if (tp_check_heads(r) != TP_OK) return NULL;
    perceiver *p = tp_alloc(sizeof *p);
    p->blocks = tp_alloc((size_t)r->depth * sizeof *p->blocks);
    tp_resample_begin(bridge, &p->ends, r->soft_tokens, seed);
    for (int i = 0; i < r->depth; i++) tp_resample_block_attach(&bridge->params, &p->blocks[i], i, r, seed);
    tp_resample_end(bridge, &p->ends, seed);
    return p;
}

static void perceiver_free(void *layers) {
    tp_free(((perceiver *)layers)->blocks);
    tp_free(layers);
}

/* The forward pass. `read` (NULL: nobody looks) gets the weights of the cross-attention of the only sequence. */
static tp_var *forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                       int64_t n_sequences, float *read) {
    const perceiver *p = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_resample_rows rows = {.n_sequences = n_sequences,
                             .own = tp_even_offsets(tape, r->soft_tokens, n_sequences),
                             .offsets = offsets,
                             .read = read};
    tp_var *states = tp_nn_linear_apply(tape, &p->ends.input_proj, hidden); /* [n_total, d_b] */
    tp_var *x = tp_repeat_queries(tape, &p->ends.queries, n_sequences);     /* [n_sequences * M, d_b] */
    for (int i = 0; i < r->depth; i++) {
        x = tp_resample_block_apply(tape, &p->blocks[i], r, x, states, &rows);
        if (read) rows.read += r->heads * x->rows * states->rows;
    }
    return tp_resample_output(tape, &p->ends, x);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                        int64_t n_sequences) {
    return forward(tape, bridge, hidden, offsets, n_sequences, NULL);
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    tp_read_one(forward, tape, bridge, x, weights);
}

const tp_bridge_family tp_bridge_perceiver = {.name = "perceiver",
                                              .count = count,
                                              .build = build,
                                              .resample = resample,
                                              .attention = attention,
                                              .free = perceiver_free};
