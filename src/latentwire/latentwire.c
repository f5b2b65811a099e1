/* One latent for several receivers: what all encoders and adapters share. See latentwire.h. */
#include "latentwire/latentwire.h"

#include "base/mem.h"
#include "latentwire/adapter.h"

#include <assert.h>
#include <math.h>

static const tp_latentwire_encoder_kind *const kinds[] = {/* in the order of the enum */
                                                          &tp_latentwire_simple, &tp_latentwire_bytes,
                                                          &tp_latentwire_decoder, &tp_latentwire_pca};

tp_latentwire *tp_latentwire_new(const tp_latentwire_shape *shape, uint64_t seed) {
    const tp_latentwire_recipe *recipe = shape->recipe;
    assert(shape->bridge->soft_tokens > 0 && shape->n_receivers > 0);
    tp_latentwire *w = tp_alloc(sizeof *w);
    *w = (tp_latentwire){.recipe = *recipe,
                         .bridge = *shape->bridge,
                         .d_source = shape->d_source,
                         .n_receivers = shape->n_receivers,
                         .shared = shape->bridge->soft_tokens,
                         .private_tokens = recipe->private_tokens,
                         .encoder = kinds[recipe->encoder]};
    for (int i = 0; i < TP_LATENTWIRE_MOST_RECEIVERS; i++) w->recipe.receivers[i] = NULL; /* names are not ours */
    w->rows = w->shared + (int64_t)w->n_receivers * w->private_tokens;
    w->heads = tp_alloc((size_t)w->n_receivers * sizeof *w->heads);
    w->layers = w->encoder->build(w, shape, seed);
    if (w->layers == NULL) {
        tp_latentwire_free(w);
        return NULL;
    }
    for (int i = 0; i < w->n_receivers; i++)
        tp_latentwire_head_attach(w, i, shape->d_receiver[i], shape->rms ? shape->rms[i] : 1, seed);
    tp_params_freeze(&w->constants);
    tp_bridge *resampler = w->encoder->resampler ? w->encoder->resampler(w) : NULL;
    if (resampler) tp_params_append(&w->trained, &resampler->params);
    tp_params_append(&w->trained, &w->params);
    return w;
}

void tp_latentwire_free(tp_latentwire *w) {
    if (w == NULL) return;
    tp_free(w->trained.items);
    tp_params_free(&w->params);
    tp_params_free(&w->constants);
    if (w->layers) w->encoder->free(w->layers);
    tp_free(w->heads);
    tp_free(w);
}

/* Whole rows become zeros with probability p, the others are divided by 1 - p. */
static tp_var *drop_rows(tp_tape *tape, tp_var *z, double p) {
    tp_var *mask = tp_var_new(tape, z->rows, z->cols);
    tp_rng rng = tp_rng_stream(tape->seed, "latent slots", tape->step);
    for (int64_t i = 0; i < z->rows; i++) {
        float kept = tp_rng_uniform(&rng) < p ? 0.0f : (float)(1 / (1 - p));
        for (int64_t j = 0; j < z->cols; j++) mask->data[i * z->cols + j] = kept;
    }
    return tp_mul(tape, z, mask);
}

tp_var *tp_latentwire_encode(tp_tape *tape, const tp_latentwire *w, const tp_latentwire_input *input, bool drop) {
    tp_var *z = w->encoder->encode(tape, w, input);
    assert(z->rows == input->n * w->rows && z->cols == w->recipe.width);
    return drop && w->recipe.slot_dropout > 0 && !tape->frozen ? drop_rows(tape, z, w->recipe.slot_dropout) : z;
}

int tp_latentwire_soft_tokens(const tp_latentwire *w) {
    return (int)(w->shared + w->private_tokens);
}

tp_var *tp_latentwire_soft(tp_tape *tape, const tp_latentwire *w, tp_var *z, int64_t n, int receiver) {
    assert(receiver >= 0 && receiver < w->n_receivers && z->rows == n * w->rows);
    int64_t m = tp_latentwire_soft_tokens(w), own = w->shared + receiver * w->private_tokens;
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)(n * m) * sizeof *which);
    for (int64_t e = 0; e < n; e++)
        for (int64_t i = 0; i < m; i++)
            which[e * m + i] = (tp_row_ref){0, e * w->rows + (i < w->shared ? i : own + i - w->shared)};
    return tp_latentwire_head_apply(tape, w, receiver, tp_gather(tape, &z, 1, which, n * m), n);
}

tp_var *tp_latentwire_scale_reg(tp_tape *tape, const tp_latentwire *w) {
    if (w->recipe.adapter != TP_LATENTWIRE_TANH) return NULL;
    float ones[TP_LATENTWIRE_MOST_RECEIVERS];
    tp_var *minus_one = tp_var_new(tape, 1, 1);
    minus_one->data[0] = -1;
    tp_var *terms[TP_LATENTWIRE_MOST_RECEIVERS];
    for (int i = 0; i < w->n_receivers; i++) {
        tp_var *off = tp_add(tape, tp_parameter(tape, &w->heads[i].scale), minus_one);
        terms[i] = tp_mul(tape, off, off);
        ones[i] = 1;
    }
    return tp_weighted_sum(tape, terms, ones, w->n_receivers);
}

void tp_latentwire_visit(tp_latentwire *w, void (*visit)(void *context, tp_weight *w), void *context) {
    tp_bridge *resampler = w->encoder->resampler ? w->encoder->resampler(w) : NULL;
    if (resampler) tp_bridge_visit(resampler, visit, context);
    for (size_t i = 0; i < w->params.n; i++) visit(context, w->params.items[i]);
    for (size_t i = 0; i < w->constants.n; i++) visit(context, w->constants.items[i]);
}
