/* Queries, and the block they pass through. See resample.h. */
#include "bridge/resample.h"

#include "base/mem.h"

#include <stdio.h>

tp_status tp_check_heads(const tp_bridge_recipe *r) {
    if (r->width % r->heads == 0) return TP_OK;
    return tp_fail(TP_ERR_ARGUMENT, "recipe: `bridge.width` is %d, a multiple of `bridge.heads` (%d) was expected",
                   r->width, r->heads);
}

const char *tp_block_name(char name[64], int i, const char *part) {
    snprintf(name, 64, "blocks.%d.%s", i, part);
    return name;
}

const int64_t *tp_even_offsets(tp_tape *tape, int64_t each, int64_t n) {
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    for (int64_t s = 0; s <= n; s++) offsets[s] = s * each;
    return offsets;
}

tp_var *tp_repeat_queries(tp_tape *tape, const tp_weight *queries, int64_t n_sequences) {
    int64_t n = n_sequences * queries->rows;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    for (int64_t i = 0; i < n; i++) which[i] = (tp_row_ref){.source = 0, .row = i % queries->rows};
    tp_var *once = tp_parameter(tape, queries);
    return tp_gather(tape, &once, 1, which, n);
}

tp_var *tp_join_rows(tp_tape *tape, tp_var *const *vars, int n_vars, int64_t each) {
    int64_t n = n_vars * vars[0]->rows;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    for (int64_t i = 0; i < n; i++) {
        int64_t sequence = i / (n_vars * each), place = i % (n_vars * each);
        which[i] = (tp_row_ref){.source = (int32_t)(place / each), .row = sequence * each + place % each};
    }
    return tp_gather(tape, vars, n_vars, which, n);
}

void tp_read_one(tp_reading_forward forward, tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    forward(tape, bridge, x, tp_even_offsets(tape, x->rows, 1), 1, weights);
}

int64_t tp_resample_ends_count(const tp_bridge_recipe *r, int64_t n_queries, int64_t d_source, int64_t d_target) {
    int64_t d = r->width;
    return n_queries * d + d * (d_source + 1) + 2 * d + d_target * (d + 1);
}

void tp_resample_begin(tp_bridge *bridge, tp_resample_ends *ends, int64_t n_queries, uint64_t seed) {
    int64_t d = bridge->recipe.width;
    tp_params_attach(&bridge->params, &ends->queries, "queries", n_queries, d);
    tp_weight_init_normal(&ends->queries, seed, 0.02);
    tp_nn_linear_attach(&bridge->params, &ends->input_proj, "input_proj", d, bridge->d_source, true, seed);
}

void tp_resample_end(tp_bridge *bridge, tp_resample_ends *ends, uint64_t seed) {
    int64_t d = bridge->recipe.width;
    tp_nn_norm_attach(&bridge->params, &ends->final_norm, "final_norm", d);
    tp_nn_linear_attach(&bridge->params, &ends->output_proj, "output_proj", bridge->d_target, d, true, seed);
}

tp_var *tp_resample_output(tp_tape *tape, const tp_resample_ends *ends, tp_var *x) {
    return tp_nn_linear_apply(tape, &ends->output_proj, tp_nn_norm_apply(tape, &ends->final_norm, x));
}

int64_t tp_resample_block_count(const tp_bridge_recipe *r) {
    int64_t d = r->width, ff = d * r->ffn_multiple;
    return 4 * 2 * d + 2 * 4 * d * d + 2 * d * ff + ff + d; /* norms, attention, feed-forward */
}

void tp_resample_block_attach(tp_params *params, tp_resample_block *b, int i, const tp_bridge_recipe *r,
                              uint64_t seed) {
    char name[64];
    tp_nn_norm_attach(params, &b->cross.norm_q, tp_block_name(name, i, "cross.norm_q"), r->width);
    tp_nn_norm_attach(params, &b->cross.norm_kv, tp_block_name(name, i, "cross.norm_kv"), r->width);
    tp_nn_attention_attach(params, &b->cross.attention, tp_block_name(name, i, "cross"), r->width, r->heads, seed);
    tp_nn_norm_attach(params, &b->self.norm, tp_block_name(name, i, "self.norm"), r->width);
    tp_nn_attention_attach(params, &b->self.attention, tp_block_name(name, i, "self"), r->width, r->heads, seed);
    tp_nn_norm_attach(params, &b->ffn.norm, tp_block_name(name, i, "ffn.norm"), r->width);
    tp_nn_ffn_attach(params, &b->ffn.layer, tp_block_name(name, i, "ffn"), r->width,
                     (int64_t)r->width * r->ffn_multiple, seed);
}

/* What self-attention reads: the normed queries n, behind the normed earlier rows of their sequence. */
static tp_var *with_earlier(tp_tape *tape, const tp_resample_block *b, const tp_resample_rows *rows, tp_var *n,
                            const int64_t **offsets) {
    if (rows->n_earlier == 0) return n;
    int n_parts = rows->n_earlier + 1;
    int64_t each = n->rows / rows->n_sequences;
    tp_var **parts = tp_arena_alloc(tape->arena, (size_t)n_parts * sizeof(tp_var *));
    for (int i = 0; i < rows->n_earlier; i++) parts[i] = tp_nn_norm_apply(tape, &b->self.norm, rows->earlier[i]);
    parts[rows->n_earlier] = n;
    *offsets = tp_even_offsets(tape, n_parts * each, rows->n_sequences);
    return tp_join_rows(tape, parts, n_parts, each);
}

tp_var *tp_resample_block_apply(tp_tape *tape, const tp_resample_block *b, const tp_bridge_recipe *recipe, tp_var *x,
                                tp_var *states, const tp_resample_rows *rows) {
    float dropout = (float)recipe->dropout;
    tp_var *q = tp_nn_norm_apply(tape, &b->cross.norm_q, x);
    tp_var *kv = tp_nn_norm_apply(tape, &b->cross.norm_kv, states);
    if (rows->read) tp_nn_attention_weights(tape, &b->cross.attention, q, kv, rows->read);
    tp_var *more = tp_nn_attention_apply(tape, &b->cross.attention, q, kv, rows->own, rows->offsets, rows->n_sequences);
    x = tp_add(tape, x, tp_dropout(tape, more, dropout));
    tp_var *n = tp_nn_norm_apply(tape, &b->self.norm, x);
    const int64_t *offsets = rows->own;
    tp_var *all = with_earlier(tape, b, rows, n, &offsets);
    more = tp_nn_attention_apply(tape, &b->self.attention, n, all, rows->own, offsets, rows->n_sequences);
    x = tp_add(tape, x, tp_dropout(tape, more, dropout));
    more = tp_nn_ffn_apply(tape, &b->ffn.layer, tp_nn_norm_apply(tape, &b->ffn.norm, x));
    return tp_add(tape, x, tp_dropout(tape, more, dropout));
}
