/* Finite scalar quantisation (Mentzer et al. 2023): each token of an inner family is projected down to a few numbers,
 * each is bounded by tanh and rounded to one of its levels, and the codes are projected up again. There is no codebook
 * that could collapse.
 *
 * L levels lie evenly from -1 to 1, as in the source documents (8 levels: -1, -0.71, -0.43, -0.14, 0.14, ...); the
 * paper's differ for an even L, where one of them is 0. Gradients pass the rounding as if it were not there. The loss
 * "fsq" keeps codes apart: -log of the mean over dimensions of the variance, over the batch's tokens, of the rounded
 * values. */
#include "bridge/codes.h"
#include "bridge/inner.h"

#include "base/mem.h"
#include "nn/layers.h"

#include <math.h>

static const float variance_eps = 1e-8f;

typedef struct {
    tp_nn_linear down, up; /* [n_levels, d_target], [d_target, n_levels] */
} fsq;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t inner = tp_inner_count(r, d_source, d_target);
    return inner < 0 ? -1 : inner + 2 * d_target * r->n_levels + r->n_levels + d_target;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_recipe *r = &bridge->recipe;
    if (r->n_levels < 1)
        return tp_fail_null(TP_ERR_ARGUMENT, "recipe: `bridge.levels` is empty, some levels were expected");
    for (int i = 0; i < r->n_levels; i++)
        if (r->levels[i] < 2)
            return tp_fail_null(TP_ERR_ARGUMENT, "recipe: `bridge.levels[%d]` is %d, at least 2 were expected", i,
                                r->levels[i]);
    if (tp_inner_attach(bridge, seed) != TP_OK) return NULL;
    fsq *f = tp_alloc(sizeof *f);
    tp_nn_linear_attach(&bridge->params, &f->down, "quantiser.down", r->n_levels, bridge->d_target, true, seed);
    tp_nn_linear_attach(&bridge->params, &f->up, "quantiser.up", bridge->d_target, r->n_levels, true, seed);
    return f;
}

/* Level k of L as a value. */
static float value_of(int k, int levels) {
    return 2.0f * (float)k / (float)(levels - 1) - 1.0f;
}

/* Bounded numbers [n_tokens, n_levels], before they are rounded. */
static tp_var *bounded(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences) {
    const fsq *f = bridge->layers;
    tp_var *tokens = tp_inner_resample(tape, bridge, x, offsets, n_sequences);
    return tp_tanh(tape, tp_nn_linear_apply(tape, &f->down, tokens));
}

static void round_to_levels(const tp_bridge_recipe *r, const tp_var *z, int32_t *codes) {
    for (int64_t i = 0; i < z->rows * z->cols; i++) {
        int levels = r->levels[i % z->cols];
        long level = lroundf((z->data[i] + 1.0f) * 0.5f * (float)(levels - 1));
        codes[i] = (int32_t)(level < 0 ? 0 : level >= levels ? levels - 1 : level);
    }
}

static float *values_of(tp_tape *tape, const tp_bridge_recipe *r, const int32_t *codes, int64_t n_tokens) {
    int64_t n = n_tokens * r->n_levels;
    float *values = tp_arena_alloc(tape->arena, (size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = value_of(codes[i], r->levels[i % r->n_levels]);
    return values;
}

/* The rounded values [n_tokens, n_levels], and their codes. */
static tp_var *quantised(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                         int32_t **codes) {
    tp_var *z = bounded(tape, bridge, x, offsets, n_sequences);
    *codes = tp_arena_alloc(tape->arena, (size_t)(z->rows * z->cols) * sizeof **codes);
    round_to_levels(&bridge->recipe, z, *codes);
    return tp_straight_through(tape, z, values_of(tape, &bridge->recipe, *codes, z->rows));
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    int32_t *codes;
    const fsq *f = bridge->layers;
    return tp_nn_linear_apply(tape, &f->up, quantised(tape, bridge, x, offsets, n_sequences, &codes));
}

static tp_var *train(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                     const tp_bridge_lesson *lesson, tp_bridge_terms *terms) {
    (void)lesson;
    int32_t *codes;
    tp_var *q = quantised(tape, bridge, x, offsets, n_sequences, &codes), *loss;
    if (q->rows > 1) {
        tp_var *log_variance = tp_log_variance(tape, q, variance_eps);
        loss = tp_scale(tape, log_variance, -1);
        terms->figures[terms->n_figures].name = "code_variance";
        terms->figures[terms->n_figures++].value = exp(log_variance->data[0]) - variance_eps;
    } else { /* one token has no variance */
        loss = tp_var_new(tape, 1, 1);
        loss->data[0] = 0;
    }
    terms->losses[TP_LOSS_FSQ] = loss;
    tp_bridge_report_codes(terms, codes, q->rows, bridge->recipe.n_levels);
    return tp_nn_linear_apply(tape, &((const fsq *)bridge->layers)->up, q);
}

static int code_sizes(const tp_bridge_recipe *recipe, int *sizes) {
    for (int i = 0; i < recipe->n_levels; i++) sizes[i] = recipe->levels[i];
    return recipe->n_levels;
}

static void encode(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                   int32_t *codes) {
    round_to_levels(&bridge->recipe, bounded(tape, bridge, x, offsets, n_sequences), codes);
}

static tp_var *decode(tp_tape *tape, const tp_bridge *bridge, const int32_t *codes, int64_t n_tokens) {
    const tp_bridge_recipe *r = &bridge->recipe;
    tp_var *values = tp_var_wrap(tape, values_of(tape, r, codes, n_tokens), n_tokens, r->n_levels);
    return tp_nn_linear_apply(tape, &((const fsq *)bridge->layers)->up, values);
}

const tp_bridge_family tp_bridge_fsq = {.name = "fsq",
                                        .count = count,
                                        .build = build,
                                        .resample = resample,
                                        .train = train,
                                        .own_losses = 1u << TP_LOSS_FSQ,
                                        .code_sizes = code_sizes,
                                        .encode = encode,
                                        .decode = decode,
                                        .free = tp_free};
