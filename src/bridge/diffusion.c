/* Diffusion: soft tokens that begin as noise and are carried to where the receiver's embeddings are.
 *
 * A diffusion transformer (dit.h) over the M tokens predicts their velocity v(x_t, t | states). It is taught by
 * rectified flow (Liu, Gong and Liu 2022): between noise x_0 and the embeddings x_1 of a text that the lesson gives, at
 * a time t drawn evenly from [0, 1), x_t = t x_1 + (1 - t) x_0 is to move by x_1 - x_0; the loss "flow" is the mean
 * squared error. A packet is made by `bridge.steps` steps of Euler's method from t = 0. What the model knows of the
 * sender is `bridge.conditioning`: "pooled", the mean state beside the time (phase 12 of the source documents);
 * "cross", every block reads all states (phase 13); "hybrid", a learned query's summary beside the time, and all states
 * (14).
 *
 * Packets start from one and the same noise, whatever the text: a packet must not depend on what else is in its batch
 * or on how often it is asked for, and controls compare packets of different texts. A loss on the soft tokens
 * themselves sends its gradient back through all steps of the sampler. Everything happens before the way out, where an
 * embedding's numbers have a variance of 1, as the noise has. */
#include "bridge/dit.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

typedef struct {
    tp_nn_linear input_proj;        /* [d, d_source] */
    tp_nn_norm states_norm;         /* [d] */
    tp_nn_linear token_proj;        /* [d, d_target] */
    tp_weight positions;            /* [M, d]: which of the packet's tokens a row is */
    tp_nn_linear time_in, time_out; /* [d, d] each */
    tp_weight pool_query;           /* [1, d]; hybrid only, as is pool */
    tp_nn_attention pool;
    tp_dit_block *blocks;          /* [depth] */
    tp_nn_linear final_modulation; /* [2 d, d]: shift and scale */
    tp_nn_linear output_proj;      /* [d_target, d] */
} diffusion;

static bool reads(const tp_bridge_recipe *r) {
    return r->conditioning != TP_CONDITION_POOLED;
}

static bool pools_by_query(const tp_bridge_recipe *r) {
    return r->conditioning == TP_CONDITION_HYBRID;
}

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t d = r->width, square = d * d;
    return d * d_source + d + 2 * d + d * d_target + d + r->soft_tokens * d + 2 * (square + d) +
           (pools_by_query(r) ? d + 4 * square : 0) + r->depth * tp_dit_block_count(r, reads(r)) + 2 * square + 2 * d +
           d_target * d + d_target;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_params *params = &bridge->params;
    int64_t d = r->width;
    if (tp_check_heads(r) != TP_OK) return NULL;
    if (r->steps < 1)
        return tp_fail_null(TP_ERR_ARGUMENT, "recipe: `bridge.steps` is %d, at least 1 was expected", r->steps);
    diffusion *p = tp_alloc(sizeof *p);
    p->blocks = tp_alloc((size_t)r->depth * sizeof *p->blocks);
    tp_nn_linear_attach(params, &p->input_proj, "input_proj", d, bridge->d_source, true, seed);
    tp_nn_norm_attach(params, &p->states_norm, "states_norm", d);
    tp_nn_linear_attach(params, &p->token_proj, "token_proj", d, bridge->d_target, true, seed);
    tp_params_attach(params, &p->positions, "positions", r->soft_tokens, d);
    tp_weight_init_normal(&p->positions, seed, 0.02);
    tp_nn_linear_attach(params, &p->time_in, "time.in", d, d, true, seed);
    tp_nn_linear_attach(params, &p->time_out, "time.out", d, d, true, seed);
    if (pools_by_query(r)) {
        tp_params_attach(params, &p->pool_query, "pool.query", 1, d);
        tp_weight_init_normal(&p->pool_query, seed, 0.02);
        tp_nn_attention_attach(params, &p->pool, "pool", d, r->heads, seed);
    }
    for (int i = 0; i < r->depth; i++) tp_dit_block_attach(params, &p->blocks[i], i, r, reads(r), seed);
    tp_nn_linear_attach(params, &p->final_modulation, "final.modulation", 2 * d, d, true, seed);
    tp_nn_linear_attach(params, &p->output_proj, "output_proj", bridge->d_target, d, true, seed);
    tp_weight_init_value(&p->final_modulation.weight, 0); /* a new model moves nothing */
    tp_weight_init_value(&p->output_proj.weight, 0);
    return p;
}

static void diffusion_free(void *layers) {
    tp_free(((diffusion *)layers)->blocks);
    tp_free(layers);
}

/* ---- the velocity ---- */

/* What stays the same at every step. */
typedef struct {
    const diffusion *p;
    const tp_bridge_recipe *recipe;
    tp_var *summary;       /* [n_sequences, d]; NULL: conditioned by cross-attention alone */
    tp_dit_memory *memory; /* [depth]; NULL: pooled alone */
    tp_dit_rows rows;
} source;

static source look_at(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n) {
    const diffusion *p = bridge->layers;
    const tp_bridge_recipe *r = &bridge->recipe;
    source s = {.p = p,
                .recipe = r,
                .rows = {.n_sequences = n,
                         .each = r->soft_tokens,
                         .own = tp_even_offsets(tape, r->soft_tokens, n),
                         .offsets = offsets}};
    tp_var *states = tp_nn_norm_apply(tape, &p->states_norm, tp_nn_linear_apply(tape, &p->input_proj, x));
    if (r->conditioning == TP_CONDITION_POOLED) s.summary = tp_mean_rows(tape, states, offsets, n);
    if (pools_by_query(r))
        s.summary = tp_nn_attention_apply(tape, &p->pool, tp_repeat_queries(tape, &p->pool_query, n), states,
                                          tp_even_offsets(tape, 1, n), offsets, n);
    if (!reads(r)) return s;
    s.memory = tp_arena_alloc(tape->arena, (size_t)r->depth * sizeof *s.memory);
    for (int i = 0; i < r->depth; i++) s.memory[i] = tp_dit_remember(tape, &p->blocks[i], states);
    return s;
}

/* Times [n] in [0, 1] as rows [n, d]: cosines and sines of 1000 t over wavelengths up to 10000 (Peebles and Xie 2023);
 * an odd last column is 0. */
static tp_var *time_rows(tp_tape *tape, const float *times, int64_t n, int64_t d) {
    tp_var *y = tp_var_new(tape, n, d);
    memset(y->data, 0, (size_t)(n * d) * sizeof(float));
    int64_t half = d / 2;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < half; j++) {
            double angle = 1000.0 * times[i] * exp(-log(10000.0) * (double)j / (double)half);
            y->data[i * d + j] = (float)cos(angle);
            y->data[i * d + half + j] = (float)sin(angle);
        }
    return y;
}

/* v(x, t) of tokens x [n_sequences * M, d_target], each sequence at its own time. */
static tp_var *velocity(tp_tape *tape, const source *s, tp_var *x, const float *times) {
    const diffusion *p = s->p;
    int64_t n = s->rows.n_sequences, d = s->recipe->width;
    tp_var *c = tp_dit_silu(tape, tp_nn_linear_apply(tape, &p->time_in, time_rows(tape, times, n, d)));
    c = tp_nn_linear_apply(tape, &p->time_out, c);
    if (s->summary) c = tp_add(tape, c, s->summary);
    c = tp_dit_silu(tape, c);
    tp_var *h = tp_add(tape, tp_nn_linear_apply(tape, &p->token_proj, x), tp_repeat_queries(tape, &p->positions, n));
    tp_dit_rows rows = s->rows;
    tp_var *kept = tape->frozen ? tp_var_new(tape, h->rows, h->cols) : NULL;
    for (int i = 0; i < s->recipe->depth; i++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        rows.memory = s->memory ? &s->memory[i] : NULL;
        h = tp_tape_keep(tape, mark, kept, tp_dit_block_apply(tape, &p->blocks[i], s->recipe->dropout, h, c, &rows));
    }
    h = tp_dit_modulate(tape, h, tp_nn_linear_apply(tape, &p->final_modulation, c), 0, &rows);
    return tp_nn_linear_apply(tape, &p->output_proj, h);
}

/* ---- packets ---- */

static tp_var *sample(tp_tape *tape, const tp_bridge *bridge, const source *s) {
    int64_t n = s->rows.n_sequences, each = bridge->recipe.soft_tokens * bridge->d_target;
    tp_var *x = tp_var_new(tape, n * bridge->recipe.soft_tokens, bridge->d_target);
    tp_rng rng = tp_rng_stream(0, "diffusion", 0);
    if (n > 0) tp_rng_fill_normal(&rng, x->data, (size_t)each, 1);
    for (int64_t i = 1; i < n; i++) memcpy(x->data + i * each, x->data, (size_t)each * sizeof(float));
    float *times = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *times);
    int steps = bridge->recipe.steps;
    tp_var *kept = tape->frozen ? x : NULL;
    for (int k = 0; k < steps; k++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        for (int64_t i = 0; i < n; i++) times[i] = (float)k / (float)steps;
        tp_var *moved = tp_add(tape, x, tp_scale(tape, velocity(tape, s, x, times), 1.0f / (float)steps));
        x = tp_tape_keep(tape, mark, kept, moved);
    }
    return x;
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    source s = look_at(tape, bridge, x, offsets, n_sequences);
    return sample(tape, bridge, &s);
}

/* ---- training ---- */

/* The flow's loss at one time and noise for each sequence. */
static tp_var *flow(tp_tape *tape, const tp_bridge *bridge, const source *s, const tp_var *targets) {
    int64_t n = s->rows.n_sequences, each = bridge->recipe.soft_tokens * bridge->d_target;
    tp_rng rng = tp_rng_stream(tape->seed ^ tape->n_masks++ << 32, "flow", tape->step);
    float *times = tp_arena_alloc(tape->arena, (size_t)n * sizeof *times);
    tp_var *noise = tp_var_new(tape, targets->rows, targets->cols), *x = tp_var_new(tape, targets->rows, targets->cols),
           *v = tp_var_new(tape, targets->rows, targets->cols);
    for (int64_t i = 0; i < n; i++) times[i] = (float)tp_rng_uniform(&rng);
    tp_rng_fill_normal(&rng, noise->data, (size_t)(n * each), 1);
    for (int64_t i = 0; i < n * each; i++) {
        float t = times[i / each];
        x->data[i] = t * targets->data[i] + (1 - t) * noise->data[i];
        v->data[i] = targets->data[i] - noise->data[i];
    }
    return tp_mean_square_difference(tape, velocity(tape, s, x, times), v);
}

static tp_var *train(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                     const tp_bridge_lesson *lesson, tp_bridge_terms *terms) {
    source s = look_at(tape, bridge, x, offsets, n_sequences);
    if (lesson->targets) terms->losses[TP_LOSS_FLOW] = flow(tape, bridge, &s, lesson->targets);
    bool frozen = tape->frozen;
    tape->frozen = frozen || !lesson->tokens_taught; /* nobody asks for the gradient of all those steps */
    tp_var *tokens = sample(tape, bridge, &s);
    tape->frozen = frozen;
    return tokens;
}

const tp_bridge_family tp_bridge_diffusion = {.name = "diffusion",
                                              .count = count,
                                              .build = build,
                                              .resample = resample,
                                              .train = train,
                                              .own_losses = 1u << TP_LOSS_FLOW,
                                              .free = diffusion_free};
