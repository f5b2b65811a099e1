/* The block of a diffusion transformer. See dit.h. */
#include "bridge/dit.h"

#include <math.h>

static const float norm_eps = 1e-6f; /* as in DiT */

int64_t tp_dit_block_count(const tp_bridge_recipe *r, bool reads) {
    int64_t d = r->width, ff = d * r->ffn_multiple;
    return 6 * d * d + 6 * d + (reads ? 8 : 4) * d * d + 2 * d * ff + ff + d;
}

void tp_dit_block_attach(tp_params *params, tp_dit_block *b, int i, const tp_bridge_recipe *r, bool reads,
                         uint64_t seed) {
    char name[64];
    int64_t d = r->width;
    b->reads = reads;
    tp_nn_linear_attach(params, &b->modulation, tp_block_name(name, i, "modulation"), 6 * d, d, true, seed);
    tp_weight_init_value(&b->modulation.weight, 0);
    tp_nn_attention_attach(params, &b->self, tp_block_name(name, i, "self"), d, r->heads, seed);
    if (reads) tp_nn_attention_attach(params, &b->cross, tp_block_name(name, i, "cross"), d, r->heads, seed);
    tp_nn_ffn_attach(params, &b->ffn, tp_block_name(name, i, "ffn"), d, d * r->ffn_multiple, seed);
}

tp_dit_memory tp_dit_remember(tp_tape *tape, const tp_dit_block *b, tp_var *states) {
    return (tp_dit_memory){tp_nn_linear_apply(tape, &b->cross.k, states),
                           tp_nn_linear_apply(tape, &b->cross.v, states)};
}

tp_var *tp_dit_silu(tp_tape *tape, tp_var *x) {
    tp_var *ones = tp_var_new(tape, x->rows, x->cols);
    for (int64_t i = 0; i < x->rows * x->cols; i++) ones->data[i] = 1;
    return tp_silu_mul(tape, x, ones);
}

/* Part `part` of each sequence's modulation, once for each of its tokens: [n_sequences * each, d]. */
static tp_var *part_of(tp_tape *tape, tp_var *modulation, int part, int64_t d, const tp_dit_rows *rows) {
    int64_t n = rows->n_sequences * rows->each;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    for (int64_t i = 0; i < n; i++) which[i] = (tp_row_ref){.source = 0, .row = i / rows->each};
    tp_var *own = tp_columns(tape, modulation, part * d, d, d, 1);
    return tp_gather(tape, &own, 1, which, n);
}

tp_var *tp_dit_modulate(tp_tape *tape, tp_var *x, tp_var *modulation, int part, const tp_dit_rows *rows) {
    tp_var *n = tp_layer_norm(tape, x, NULL, NULL, norm_eps);
    tp_var *shift = part_of(tape, modulation, part, x->cols, rows);
    tp_var *scale = part_of(tape, modulation, part + 1, x->cols, rows);
    return tp_add(tape, tp_add(tape, n, tp_mul(tape, n, scale)), shift);
}

/* The tokens' attention over keys and values that were made before. */
static tp_var *read_memory(tp_tape *tape, const tp_dit_block *b, tp_var *x, const tp_dit_rows *rows) {
    int d = (int)x->cols / b->cross.heads;
    tp_attention_spec spec = {
        .n_heads = b->cross.heads, .n_kv_heads = b->cross.heads, .head_dim = d, .scale = 1.0f / sqrtf((float)d)};
    tp_var *q = tp_nn_linear_apply(tape, &b->cross.q, tp_layer_norm(tape, x, NULL, NULL, norm_eps));
    tp_var *read =
        tp_attention(tape, q, rows->memory->k, rows->memory->v, rows->own, rows->offsets, rows->n_sequences, &spec);
    return tp_nn_linear_apply(tape, &b->cross.o, read);
}

tp_var *tp_dit_block_apply(tp_tape *tape, const tp_dit_block *b, double dropout, tp_var *x, tp_var *condition,
                           const tp_dit_rows *rows) {
    enum { SHIFT_1, SCALE_1, GATE_1, SHIFT_2, SCALE_2, GATE_2 };
    tp_var *modulation = tp_nn_linear_apply(tape, &b->modulation, condition); /* [n_sequences, 6 d] */
    tp_var *y = tp_dit_modulate(tape, x, modulation, SHIFT_1, rows);
    y = tp_nn_attention_apply(tape, &b->self, y, y, rows->own, rows->own, rows->n_sequences);
    y = tp_mul(tape, tp_dropout(tape, y, (float)dropout), part_of(tape, modulation, GATE_1, x->cols, rows));
    x = tp_add(tape, x, y);
    if (b->reads) x = tp_add(tape, x, tp_dropout(tape, read_memory(tape, b, x, rows), (float)dropout));
    y = tp_nn_ffn_apply(tape, &b->ffn, tp_dit_modulate(tape, x, modulation, SHIFT_2, rows));
    y = tp_mul(tape, tp_dropout(tape, y, (float)dropout), part_of(tape, modulation, GATE_2, x->cols, rows));
    return tp_add(tape, x, y);
}
