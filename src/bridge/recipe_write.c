/* Writing recipes. A recipe's JSON is the identity of a run: what is written for a recipe of today stays as it is, so a
 * key that came later is written only where it differs from its default. See recipe.h; recipe_read.c reads the same
 * sections in the same order. */
#include "bridge/recipe.h"

#include "bridge/recipe_names.h"

#include <math.h>
#include <string.h>

static void put_text(json_t *object, const char *key, const char *text) {
    if (text) json_object_set_new(object, key, json_string(text));
}

static void put_int(json_t *object, const char *key, int64_t value) {
    json_object_set_new(object, key, json_integer(value));
}

static void put_real(json_t *object, const char *key, double value) {
    json_object_set_new(object, key, json_real(value));
}

static json_t *put_object(json_t *object, const char *key) {
    json_t *inner = json_object();
    json_object_set_new(object, key, inner);
    return inner;
}

static void write_task(json_t *top, const tp_recipe *recipe) {
    json_t *o = put_object(top, "task");
    put_text(o, "name", recipe->task.name);
    put_text(o, "data", recipe->task.data);
    put_text(o, "train_file", recipe->task.train_file);
    put_text(o, "test_file", recipe->task.test_file);
    put_text(o, "text_column", recipe->task.text_column);
    put_text(o, "label_column", recipe->task.label_column);
    put_real(o, "valid_fraction", recipe->task.valid_fraction);
    put_int(o, "split_seed", (int64_t)recipe->task.split_seed);
    put_int(o, "max_train", recipe->task.max_train);
    put_int(o, "max_test", recipe->task.max_test);
    if (recipe->task.drop_overlap) json_object_set_new(o, "drop_overlap", json_true());
}

static void put_layers(json_t *object, const tp_recipe *recipe) {
    json_t *list = json_array();
    for (int i = 0; i < recipe->sender.n_layers; i++)
        json_array_append_new(list, json_integer(recipe->sender.layers[i]));
    json_object_set_new(object, "layers", list);
}

static void write_sender(json_t *top, const tp_recipe *recipe) {
    json_t *o = put_object(top, "sender");
    if (recipe->sender.n_layers > 0)
        put_layers(o, recipe);
    else if (recipe->sender.layer >= 0)
        put_int(o, "layer", recipe->sender.layer);
    else if (recipe->sender.layer_fraction >= 0)
        put_real(o, "layer", recipe->sender.layer_fraction);
    put_text(o, "prompt", tp_recipe_prompts[recipe->sender.prompt]);
    put_int(o, "max_tokens", recipe->sender.max_tokens);
    put_text(o, "truncate", tp_recipe_sides[recipe->sender.truncate]);
    json_object_set_new(o, "position_dropout", json_real(recipe->sender.position_dropout));
}

/* The keys of a family's own, where they are not the default. */
static void write_family(json_t *o, const tp_bridge_recipe *bridge) {
    tp_bridge_recipe usual = *bridge;
    tp_bridge_recipe_defaults(&usual);
    bool vq = strcmp(bridge->kind, "vq") == 0, fsq = strcmp(bridge->kind, "fsq") == 0;
    if ((vq || fsq) && strcmp(bridge->inner, usual.inner) != 0) put_text(o, "inner", bridge->inner);
    if (vq && bridge->codes != usual.codes) put_int(o, "codes", bridge->codes);
    if (vq && bridge->distance != usual.distance) put_text(o, "distance", tp_recipe_code_distances[bridge->distance]);
    if (vq && bridge->commitment != usual.commitment) put_real(o, "commitment", bridge->commitment);
    if (vq && bridge->entropy != usual.entropy) put_real(o, "entropy", bridge->entropy);
    bool diffusion = strcmp(bridge->kind, "diffusion") == 0;
    if ((diffusion || tp_bridge_recipe_uses(bridge, "latent_cot")) && bridge->steps != usual.steps)
        put_int(o, "steps", bridge->steps);
    if (tp_bridge_recipe_uses(bridge, "ridge") && bridge->penalty != usual.penalty)
        put_real(o, "penalty", bridge->penalty);
    if (diffusion && bridge->conditioning != usual.conditioning)
        put_text(o, "conditioning", tp_recipe_conditionings[bridge->conditioning]);
    if (!fsq || (bridge->n_levels == usual.n_levels &&
                 memcmp(bridge->levels, usual.levels, (size_t)usual.n_levels * sizeof(int)) == 0))
        return;
    json_t *levels = json_array();
    json_object_set_new(o, "levels", levels);
    for (int i = 0; i < bridge->n_levels; i++) json_array_append_new(levels, json_integer(bridge->levels[i]));
}

static void write_bridge(json_t *top, const tp_recipe *recipe) {
    const tp_bridge_recipe *bridge = &recipe->bridge;
    json_t *o = put_object(top, "bridge");
    put_text(o, "kind", bridge->kind);
    if (bridge->soft_tokens) put_int(o, "soft_tokens", bridge->soft_tokens);
    put_int(o, "depth", bridge->depth);
    put_int(o, "heads", bridge->heads);
    put_int(o, "width", bridge->width);
    put_int(o, "ffn_multiple", bridge->ffn_multiple);
    put_real(o, "dropout", bridge->dropout);
    put_text(o, "normaliser", tp_recipe_normalisers[bridge->normaliser]);
    json_object_set_new(o, "learnable_normaliser", json_boolean(bridge->learnable_normaliser));
    put_text(o, "scale", tp_recipe_scales[bridge->scale]);
    if (bridge->injection != TP_INJECT_SOFT) put_text(o, "injection", tp_recipe_injections[bridge->injection]);
    if (bridge->segment_tokens > 0) put_int(o, "segment_tokens", bridge->segment_tokens);
    if (bridge->segment_soft_tokens != TP_USUAL_SEGMENT_SOFT_TOKENS)
        put_int(o, "segment_soft_tokens", bridge->segment_soft_tokens);
    write_family(o, bridge);
    tp_growth_write(o, &recipe->regime);
}

/* The keys of a loss's own, where they are not the default. */
static void write_loss_parameters(json_t *o, const tp_loss_term *t) {
    tp_loss_term usual = tp_loss_default(t->name);
    if (t->tokens != usual.tokens) put_int(o, "tokens", t->tokens);
    if (t->factor != usual.factor) put_real(o, "factor", t->factor);
    if (t->temperature != usual.temperature) put_real(o, "temperature", t->temperature);
    if (t->positives != usual.positives) put_text(o, "positives", tp_recipe_positives[t->positives]);
    if (t->target != usual.target) put_text(o, "target", tp_recipe_anchor_targets[t->target]);
    if (t->distance != usual.distance) put_text(o, "distance", tp_recipe_distances[t->distance]);
    if (t->prompt != usual.prompt) put_text(o, "prompt", tp_recipe_prompts[t->prompt]);
    if (t->of != usual.of) put_text(o, "of", tp_recipe_recon_targets[t->of]);
}

static void write_losses(json_t *top, const tp_recipe *recipe) {
    if (recipe->n_losses == 0) return;
    json_t *list = json_array();
    json_object_set_new(top, "losses", list);
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        json_t *o = json_object();
        json_array_append_new(list, o);
        put_text(o, "name", tp_recipe_losses[term->name]);
        if (!isnan(term->weight)) put_real(o, "weight", term->weight);
        write_loss_parameters(o, term);
        json_t *s = put_object(o, "schedule");
        put_text(s, "kind", tp_recipe_loss_schedules[term->schedule]);
        if (term->schedule == TP_SCHEDULE_CONSTANT) continue;
        put_int(s, "from", term->from);
        put_int(s, "to", term->to);
    }
}

static void write_optimiser(json_t *top, const tp_recipe *recipe) {
    json_t *o = put_object(top, "optimiser");
    if (recipe->optimiser.lr > 0) put_real(o, "lr", recipe->optimiser.lr);
    put_real(o, "weight_decay", recipe->optimiser.weight_decay);
    put_real(o, "beta1", recipe->optimiser.beta1);
    put_real(o, "beta2", recipe->optimiser.beta2);
    put_real(o, "eps", recipe->optimiser.eps);
    if (recipe->optimiser.warmup >= 0) put_int(o, "warmup", recipe->optimiser.warmup);
    put_text(o, "schedule", tp_recipe_lr_schedules[recipe->optimiser.schedule]);
    put_real(o, "min_lr_ratio", recipe->optimiser.min_lr_ratio);
    if (recipe->optimiser.ema > 0) put_real(o, "ema", recipe->optimiser.ema);
    put_real(o, "clip", recipe->optimiser.clip);
    put_int(o, "batch", recipe->optimiser.batch);
    put_int(o, "accumulate", recipe->optimiser.accumulate);
    if (recipe->optimiser.steps >= 0) put_int(o, "steps", recipe->optimiser.steps);
}

static void write_running(json_t *top, const tp_recipe *recipe) {
    json_object_set_new(put_object(top, "sampling"), "balanced", json_boolean(recipe->balanced));
    json_t *o = put_object(top, "early_stopping");
    put_int(o, "patience", recipe->early_stopping.patience);
    put_int(o, "every", recipe->early_stopping.every);
    o = put_object(top, "quick_eval");
    put_int(o, "every", recipe->quick_eval.every);
    put_int(o, "examples", recipe->quick_eval.examples);
    o = put_object(top, "cache");
    put_text(o, "kind", tp_recipe_cache_kinds[recipe->cache.kind]);
    put_int(o, "max_bytes", recipe->cache.max_bytes);
    put_int(put_object(top, "calibration"), "texts", recipe->calibration_texts);
}

json_t *tp_recipe_to_json(const tp_recipe *recipe) {
    json_t *top = json_object();
    put_text(top, "name", recipe->name);
    json_t *models = put_object(top, "models");
    put_text(models, "sender", recipe->models.sender);
    put_text(models, "receiver", recipe->models.receiver);
    write_task(top, recipe);
    if (recipe->tasks) json_object_set(top, "tasks", recipe->tasks);
    write_sender(top, recipe);
    write_bridge(top, recipe);
    if (recipe->latentwire) json_object_set_new(top, "latentwire", tp_latentwire_recipe_to_json(recipe->latentwire));
    put_text(top, "layout", recipe->layout);
    put_text(top, "primer", recipe->primer);
    if (recipe->target != TP_TARGET_ANSWER) put_text(top, "target", tp_recipe_targets[recipe->target]);
    write_losses(top, recipe);
    tp_regime_write(top, &recipe->regime);
    tp_cascade_write(top, &recipe->cascade);
    write_optimiser(top, recipe);
    write_running(top, recipe);
    put_text(top, "math", tp_recipe_maths[recipe->math]);
    put_int(top, "seed", (int64_t)recipe->seed);
    return top;
}
