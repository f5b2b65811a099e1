/* What all bridges share: normaliser, output scale, parameters. See bridge.h. */
#include "bridge/bridge.h"

#include "base/mem.h"
#include "bridge/hierarchy.h"
#include "bridge/inner.h"
#include "nn/layers.h"

#include <math.h>
#include <string.h>

/* The eps of the fixture: embeddings are of the order 0.02, their mean squares of 4e-4. */
static const float rms_eps = 1e-6f;

const tp_bridge_family *const tp_bridge_families[] = {&tp_bridge_perceiver,
                                                      &tp_bridge_linear,
                                                      &tp_bridge_mean_mlp,
                                                      &tp_bridge_weighted_pool,
                                                      &tp_bridge_cross_attention,
                                                      &tp_bridge_qformer,
                                                      &tp_bridge_transformer,
                                                      &tp_bridge_latent_cot,
                                                      &tp_bridge_ridge,
                                                      &tp_bridge_vq,
                                                      &tp_bridge_fsq,
                                                      &tp_bridge_diffusion,
                                                      NULL};

static int64_t n_taps(const tp_bridge_recipe *recipe) {
    return recipe->n_taps > 1 ? recipe->n_taps : 1;
}

const tp_bridge_family *tp_bridge_family_find(const char *name, const char *key) {
    char known[256] = "";
    for (int i = 0; tp_bridge_families[i]; i++) {
        if (strcmp(tp_bridge_families[i]->name, name) == 0) return tp_bridge_families[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", tp_bridge_families[i]->name);
    }
    return tp_fail_null(TP_ERR_UNSUPPORTED, "recipe: `bridge.%s` is \"%s\", known are: %s", key, name, known);
}

/* The family that makes a bridge of this recipe; NULL on error. */
static const tp_bridge_family *family_of(const tp_bridge_recipe *recipe) {
    const tp_bridge_family *family = tp_bridge_family_find(recipe->kind, "kind");
    return family && recipe->segment_tokens > 0 ? &tp_bridge_hierarchy : family;
}

static bool whitens(const tp_bridge *bridge) {
    return bridge->recipe.normaliser == TP_NORMALISER_WHITEN;
}

/* Keys and values are as large as each dimension's own deviation says, and the scale counts in those; soft tokens are
 * as large as the scale says. */
static bool coloured_last(const tp_bridge *bridge) {
    return bridge->recipe.injection == TP_INJECT_KV && whitens(bridge);
}

/* One vector of the normaliser: trained, or a constant with no gradient, which the ops then leave alone. */
static void attach_vector(tp_bridge *bridge, tp_weight *w, const char *name, const float *values, float fallback,
                          int64_t d) {
    if (bridge->recipe.learnable_normaliser)
        tp_params_attach(&bridge->params, w, name, 1, d);
    else
        *w = (tp_weight){
            .name = name, .dtype = TP_F32, .rows = 1, .cols = d, .data = tp_alloc((size_t)d * sizeof(float))};
    if (values)
        memcpy(tp_weight_values(w), values, (size_t)d * sizeof(float));
    else
        tp_weight_init_value(w, fallback);
}

static void attach_normaliser(tp_bridge *b, const tp_calibration *c) {
    attach_vector(b, &b->source_mean, "source_mean", c ? c->source_mean : NULL, 0, b->d_input);
    attach_vector(b, &b->source_std, "source_std", c ? c->source_std : NULL, 1, b->d_input);
    attach_vector(b, &b->target_mean, "target_mean", c ? c->target_mean : NULL, 0, b->d_target);
    attach_vector(b, &b->target_std, "target_std", c ? c->target_std : NULL, 1, b->d_target);
}

tp_bridge *tp_bridge_new(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target,
                         const tp_calibration *calibration, uint64_t seed) {
    const tp_bridge_family *family = family_of(recipe);
    if (family == NULL) return NULL;
    if (recipe->soft_tokens < 1)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "a bridge cannot be made from an incomplete recipe: `bridge.soft_tokens` is "
                            "still to be chosen by the task");
    if (recipe->injection == TP_INJECT_KV && family->solve)
        return tp_fail_null(
            TP_ERR_UNSUPPORTED,
            "recipe: a bridge of the kind \"%s\" is solved for the receiver's embeddings, it cannot make "
            "keys and values (`bridge.injection`)",
            family->name);
    int64_t d_input = n_taps(recipe) * d_source;
    if (calibration && (calibration->d_source != d_input || calibration->d_target != d_target))
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "the calibration is of widths %lld and %lld, the bridge of widths %lld and %lld",
                            (long long)calibration->d_source, (long long)calibration->d_target, (long long)d_input,
                            (long long)d_target);
    tp_bridge *bridge = tp_alloc(sizeof *bridge);
    *bridge = (tp_bridge){
        .family = family, .recipe = *recipe, .d_source = d_source, .d_target = d_target, .d_input = d_input};
    bridge->layers = family->build(bridge, seed);
    if (bridge->layers == NULL) {
        tp_bridge_free(bridge);
        return NULL;
    }
    if (d_input > d_source) /* zeros: all layers count alike */
        tp_params_attach(&bridge->params, &bridge->layer_mix, "layer_mix", 1, n_taps(recipe));
    tp_params_attach(&bridge->params, &bridge->scale, "scale", 1, 1);
    tp_weight_init_value(&bridge->scale, calibration && !coloured_last(bridge) ? calibration->target_rms : 1);
    if (recipe->normaliser == TP_NORMALISER_WHITEN) attach_normaliser(bridge, calibration);
    return bridge;
}

void tp_bridge_free(tp_bridge *bridge) {
    if (bridge == NULL) return;
    if (!bridge->recipe.learnable_normaliser) {
        tp_weight *const vectors[] = {&bridge->source_mean, &bridge->source_std, &bridge->target_mean,
                                      &bridge->target_std};
        for (int i = 0; i < 4; i++) {
            tp_free((void *)(uintptr_t)vectors[i]->data);
            tp_weight_release(vectors[i]);
        }
    }
    tp_params_free(&bridge->params);
    if (bridge->layers) bridge->family->free(bridge->layers);
    tp_inner_free(bridge->inner);
    tp_free(bridge);
}

tp_var *tp_bridge_way_in(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden) {
    tp_var *x = whitens(bridge) ? tp_nn_whiten(tape, hidden, &bridge->source_mean, &bridge->source_std) : hidden;
    return bridge->d_input > bridge->d_source ? tp_nn_mix(tape, x, &bridge->layer_mix) : x;
}

static tp_var *recoloured(tp_tape *tape, const tp_bridge *bridge, tp_var *y) {
    return tp_add_row(tape, tp_mul_row(tape, y, &bridge->target_std), &bridge->target_mean);
}

tp_var *tp_bridge_way_out(tp_tape *tape, const tp_bridge *bridge, tp_var *y) {
    bool tanhs = bridge->recipe.scale == TP_SCALE_TANH;
    if (coloured_last(bridge)) {
        y = tanhs ? tp_tanh(tape, y) : tp_rms_norm(tape, y, NULL, rms_eps);
        return recoloured(tape, bridge, tp_mul_scalar(tape, y, &bridge->scale));
    }
    if (tanhs) /* the tanh sets the range; colours of 0.02 would leave it linear */
        return tp_mul_scalar(tape, tp_tanh(tape, y), &bridge->scale);
    if (whitens(bridge)) y = recoloured(tape, bridge, y);
    return tp_mul_scalar(tape, tp_rms_norm(tape, y, NULL, rms_eps), &bridge->scale);
}

/* Embeddings of the receiver as the family would have to make them: what way_out does, undone as far as it can be (how
 * long a row is, it sets itself; what tanh cannot reach, is not asked for). */
static tp_var *unrecoloured(tp_tape *tape, const tp_bridge *bridge, const tp_var *rows) {
    tp_var *y = tp_var_new(tape, rows->rows, rows->cols);
    float scale = fmaxf(fabsf(tp_weight_f32(&bridge->scale, false)[0]), 1e-12f);
    bool coloured = whitens(bridge) && bridge->recipe.scale != TP_SCALE_TANH;
    const float *mean = coloured ? tp_weight_f32(&bridge->target_mean, false) : NULL;
    const float *std = coloured ? tp_weight_f32(&bridge->target_std, false) : NULL;
    for (int64_t i = 0; i < rows->rows; i++)
        for (int64_t j = 0; j < rows->cols; j++) {
            int64_t at = i * rows->cols + j;
            float v = coloured ? (rows->data[at] - mean[j]) / std[j] : rows->data[at] / scale;
            y->data[at] = bridge->recipe.scale == TP_SCALE_TANH ? atanhf(fminf(fmaxf(v, -0.99f), 0.99f)) : v;
        }
    return y;
}

tp_var *tp_bridge_forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                          int64_t n_sequences) {
    tp_var *x = tp_bridge_way_in(tape, bridge, hidden);
    return tp_bridge_way_out(tape, bridge, bridge->family->resample(tape, bridge, x, offsets, n_sequences));
}

tp_var *tp_bridge_forward_training(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                                   int64_t n_sequences, const tp_bridge_lesson *lesson, tp_bridge_terms *terms) {
    *terms = (tp_bridge_terms){0};
    if (bridge->family->train == NULL) return tp_bridge_forward(tape, bridge, hidden, offsets, n_sequences);
    tp_bridge_lesson own = *lesson;
    if (own.targets) own.targets = unrecoloured(tape, bridge, own.targets);
    tp_var *x = tp_bridge_way_in(tape, bridge, hidden);
    return tp_bridge_way_out(tape, bridge, bridge->family->train(tape, bridge, x, offsets, n_sequences, &own, terms));
}

tp_status tp_bridge_solve(tp_bridge *bridge, const float *means, const float *targets, int64_t n) {
    if (bridge->family->solve == NULL)
        return tp_fail(TP_ERR_UNSUPPORTED, "a bridge of the kind \"%s\" cannot be solved for", bridge->family->name);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    /* whitening and mixing are linear: what they make of the means is the mean of what they make of the states */
    tp_var *x = tp_bridge_way_in(tape, bridge, tp_var_wrap(tape, (float *)(uintptr_t)means, n, bridge->d_input));
    int64_t n_rows = n * bridge->recipe.soft_tokens;
    tp_var *rows = tp_var_wrap(tape, (float *)(uintptr_t)targets, n_rows, bridge->d_target);
    tp_status status = bridge->family->solve(bridge, x->data, unrecoloured(tape, bridge, rows)->data, n);
    tp_tape_free(tape);
    return status;
}

bool tp_bridge_is_solved(const char *kind) {
    for (int i = 0; tp_bridge_families[i]; i++)
        if (strcmp(tp_bridge_families[i]->name, kind) == 0) return tp_bridge_families[i]->solve != NULL;
    return false;
}

bool tp_bridge_has_loss(const char *kind, tp_loss_name loss) {
    for (int i = 0; tp_bridge_families[i]; i++)
        if (strcmp(tp_bridge_families[i]->name, kind) == 0) return tp_bridge_families[i]->own_losses >> loss & 1;
    return false;
}

/* Who reads the states: a family that quantises tokens leaves that to its inner one. */
static const tp_bridge *reader_of(const tp_bridge *bridge) {
    return bridge->inner ? bridge->inner : bridge;
}

bool tp_bridge_has_attention(const tp_bridge *bridge) {
    return reader_of(bridge)->family->attention != NULL;
}

tp_status tp_bridge_attention(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, float *weights) {
    const tp_bridge *reader = reader_of(bridge);
    if (reader->family->attention == NULL)
        return tp_fail(TP_ERR_UNSUPPORTED, "a bridge of the kind \"%s\" has no attention to look at",
                       bridge->family->name);
    reader->family->attention(tape, reader, tp_bridge_way_in(tape, bridge, hidden), weights);
    return TP_OK;
}

void tp_bridge_attention_shape(const tp_bridge *bridge, int *depth, int *heads) {
    const tp_bridge *reader = reader_of(bridge);
    *depth = reader->recipe.depth;
    *heads = reader->recipe.heads;
    if (reader->family->attention_shape) reader->family->attention_shape(&reader->recipe, depth, heads);
}

int64_t tp_bridge_n_parameters(const tp_bridge *bridge) {
    return bridge->params.total;
}

int64_t tp_bridge_count(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target) {
    const tp_bridge_family *family = family_of(recipe);
    if (family == NULL) return -1;
    int64_t taps = n_taps(recipe), mix = taps > 1 ? taps : 0;
    int64_t normaliser = recipe->normaliser == TP_NORMALISER_WHITEN ? 2 * (taps * d_source + d_target) : 0;
    int64_t own = family->count(recipe, d_source, d_target);
    return own < 0 ? -1 : own + mix + 1 + normaliser;
}

void tp_bridge_visit(tp_bridge *bridge, void (*visit)(void *context, tp_weight *w), void *context) {
    for (size_t i = 0; i < bridge->params.n; i++) visit(context, bridge->params.items[i]);
    if (bridge->recipe.normaliser == TP_NORMALISER_NONE || bridge->recipe.learnable_normaliser) return;
    visit(context, &bridge->source_mean);
    visit(context, &bridge->source_std);
    visit(context, &bridge->target_mean);
    visit(context, &bridge->target_std);
}
