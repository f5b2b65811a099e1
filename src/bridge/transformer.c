/* The full transformer bridge of phase 2 (the presentation, "Failed Architectures": 12 layers, as the recipe's `depth`
 * says).
 *
 * M learned queries stand behind the projected states of their text and run along through a pre-norm encoder: in every
 * block each row, state or query, attends to all rows of its text. What has become of the queries is normed and
 * projected to the receiver's width. There is no positional encoding: a hidden state carries its own place.
 * tools/reference/family_reference.py compares with torch.nn.TransformerEncoder. */
#include "bridge/resample.h"

#include "base/mem.h"

typedef struct {
    tp_resample_ends ends; /* with M queries */
    tp_nn_block *blocks;   /* [depth] */
} transformer;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width, ff = d * r->ffn_multiple;
    int64_t in_block = 2 * 2 * d + 4 * d * (d + 1) + ff * (d + 1) + d * (ff + 1);
    return tp_resample_ends_count(r, r->soft_tokens, d_source, d_target) + r->depth * in_block;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    char name[64];
    if (tp_check_heads(r) != TP_OK) return NULL;
    transformer *t = tp_alloc(sizeof *t);
    t->blocks = tp_alloc((size_t)r->depth * sizeof *t->blocks);
    tp_resample_begin(bridge, &t->ends, r->soft_tokens, seed);
    for (int i = 0; i < r->depth; i++) {
        tp_nn_block *b = &t->blocks[i];
        int64_t d = r->width;
        tp_nn_norm_attach(params, &b->norm, tp_block_name(name, i, "self.norm"), d);
        tp_nn_attention_attach_biased(params, &b->attention, tp_block_name(name, i, "self"), d, d, r->heads, seed);
        tp_nn_norm_attach(params, &b->ffn_norm, tp_block_name(name, i, "ffn.norm"), d);
        tp_nn_ffn_attach(params, &b->ffn, tp_block_name(name, i, "ffn"), d, d * r->ffn_multiple, seed);
    }
    tp_resample_end(bridge, &t->ends, seed);
    return t;
}

static void transformer_free(void *layers) {
    tp_free(((transformer *)layers)->blocks);
    tp_free(layers);
}

/* Each text's states with the queries behind them; *offsets gets where each text begins, *ends what takes the queries
 * out again. */
static tp_var *append_queries(tp_tape *tape, tp_var *states, const tp_weight *queries, const int64_t *offsets,
                              int64_t n_sequences, const int64_t **out_offsets, const tp_row_ref **ends) {
    int64_t m = queries->rows, n = states->rows + n_sequences * m, row = 0;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    tp_row_ref *last = tp_arena_alloc(tape->arena, (size_t)(n_sequences * m) * sizeof *last);
    int64_t *at = tp_arena_alloc(tape->arena, (size_t)(n_sequences + 1) * sizeof *at);
    for (int64_t s = 0; s < n_sequences; s++) {
        at[s] = row;
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++) which[row++] = (tp_row_ref){.source = 0, .row = i};
        for (int64_t j = 0; j < m; j++) {
            last[s * m + j] = (tp_row_ref){.source = 0, .row = row};
            which[row++] = (tp_row_ref){.source = 1, .row = j};
        }
    }
    at[n_sequences] = row;
    *out_offsets = at;
    *ends = last;
    return tp_gather(tape, (tp_var *[2]){states, tp_parameter(tape, queries)}, 2, which, row);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                        int64_t n_sequences) {
    const transformer *t = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    const int64_t *own;
    const tp_row_ref *ends;
    tp_var *states = tp_nn_linear_apply(tape, &t->ends.input_proj, hidden); /* [n_total, d_b] */
    tp_var *x = append_queries(tape, states, &t->ends.queries, offsets, n_sequences, &own, &ends);
    for (int i = 0; i < r->depth; i++)
        x = tp_nn_block_apply(tape, &t->blocks[i], x, own, n_sequences, (float)r->dropout);
    x = tp_gather(tape, &x, 1, ends, n_sequences * r->soft_tokens);
    return tp_resample_output(tape, &t->ends, x);
}

const tp_bridge_family tp_bridge_transformer = {
    .name = "transformer", .count = count, .build = build, .resample = resample, .free = transformer_free};
