/* Latent chain of thought (phase 19; the report, section 60): recurrent steps times tokens.
 *
 * M / steps learned queries go through the same `depth` blocks `steps` times. Each step begins with what the one before
 * has come to, plus that step's own learned mark; it reads the states again and, in self-attention, the tokens of all
 * earlier steps: so the latent chain grows, and every step can look back on it. What each step ends with is sent: the
 * soft tokens are those of the first step, of the second, ... (4 steps of 8 tokens, 32 in all, in the document). */
#include "bridge/resample.h"

#include "base/mem.h"

#include <string.h>

typedef struct {
    tp_resample_ends ends;     /* with M / steps queries */
    tp_weight marks;           /* [steps, d_b] */
    tp_resample_block *blocks; /* [depth], used by every step */
} chain;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    return tp_resample_ends_count(r, r->soft_tokens / r->steps + r->steps, d_source, d_target) +
           r->depth * tp_resample_block_count(r);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    if (tp_check_heads(r) != TP_OK) return NULL;
    if (r->soft_tokens % r->steps != 0)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `bridge.soft_tokens` is %d, a multiple of `bridge.steps` (%d) was expected",
                            r->soft_tokens, r->steps);
    chain *c = tp_alloc(sizeof *c);
    c->blocks = tp_alloc((size_t)r->depth * sizeof *c->blocks);
    tp_resample_begin(bridge, &c->ends, r->soft_tokens / r->steps, seed);
    tp_params_attach(params, &c->marks, "marks", r->steps, r->width);
    tp_weight_init_normal(&c->marks, seed, 0.02);
    for (int i = 0; i < r->depth; i++) tp_resample_block_attach(params, &c->blocks[i], i, r, seed);
    tp_resample_end(bridge, &c->ends, seed);
    return c;
}

static void chain_free(void *layers) {
    tp_free(((chain *)layers)->blocks);
    tp_free(layers);
}

/* x + the mark of a step, for every row. */
static tp_var *add_mark(tp_tape *tape, tp_var *x, tp_var *marks, int step) {
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)x->rows * sizeof *which);
    for (int64_t i = 0; i < x->rows; i++) which[i] = (tp_row_ref){.source = 0, .row = step};
    return tp_add(tape, x, tp_gather(tape, &marks, 1, which, x->rows));
}

/* A block's weights of one step, [heads, m, n], into those of all soft tokens, [heads, M, n]. */
static void place_weights(const float *of_step, const tp_bridge_recipe *r, int step, int64_t n, float *weights) {
    int64_t m = r->soft_tokens / r->steps;
    for (int64_t h = 0; h < r->heads; h++)
        memcpy(weights + (h * r->soft_tokens + step * m) * n, of_step + h * m * n, (size_t)(m * n) * sizeof *weights);
}

static tp_var *forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                       int64_t n_sequences, float *read) {
    const chain *c = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    int64_t m = r->soft_tokens / r->steps, n = hidden->rows;
    tp_var **thoughts = tp_arena_alloc(tape->arena, (size_t)r->steps * sizeof(tp_var *));
    tp_resample_rows rows = {.n_sequences = n_sequences,
                             .own = tp_even_offsets(tape, m, n_sequences),
                             .offsets = offsets,
                             .earlier = thoughts};
    if (read) rows.read = tp_arena_alloc(tape->arena, (size_t)(r->heads * m * n) * sizeof *read);
    tp_var *states = tp_nn_linear_apply(tape, &c->ends.input_proj, hidden); /* [n_total, d_b] */
    tp_var *marks = tp_parameter(tape, &c->marks), *x = tp_repeat_queries(tape, &c->ends.queries, n_sequences);
    for (int step = 0; step < r->steps; step++) {
        x = add_mark(tape, x, marks, step);
        rows.n_earlier = step;
        for (int i = 0; i < r->depth; i++) {
            x = tp_resample_block_apply(tape, &c->blocks[i], r, x, states, &rows);
            if (read) place_weights(rows.read, r, step, n, read + i * r->heads * r->soft_tokens * n);
        }
        thoughts[step] = x;
    }
    x = tp_join_rows(tape, thoughts, r->steps, m); /* [n_sequences * M, d_b] */
    return tp_resample_output(tape, &c->ends, x);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                        int64_t n_sequences) {
    return forward(tape, bridge, hidden, offsets, n_sequences, NULL);
}

static void attention(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights) {
    tp_read_one(forward, tape, bridge, x, weights);
}

const tp_bridge_family tp_bridge_latent_cot = {.name = "latent_cot",
                                               .count = count,
                                               .build = build,
                                               .resample = resample,
                                               .attention = attention,
                                               .free = chain_free};
