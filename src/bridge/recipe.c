/* Recipes: names, defaults, completing. See recipe.h; reading and writing stand in recipe_read.c and recipe_write.c. */
#include "bridge/recipe.h"

#include "base/mem.h"
#include "base/str.h"
#include "bridge/bridge.h"
#include "bridge/recipe_names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANY_CLASSES = 50 }; /* from here on the defaults are those that the originals used for 77 classes */

const char *const tp_recipe_losses[] = {"lm",        "first_token", "bottleneck", "diversity", "contrastive",
                                        "anchor",    "align",       "recon",      "bow",       "distill",
                                        "scale_reg", "vq",          "fsq",        "flow",      NULL};
const char *const tp_recipe_loss_schedules[] = {"constant", "anneal", "window", NULL};
const char *const tp_recipe_positives[] = {"views", "label", "self", NULL};
const char *const tp_recipe_anchor_targets[] = {"answer", "question", NULL};
const char *const tp_recipe_distances[] = {"cosine", "mse", NULL};
const char *const tp_recipe_recon_targets[] = {"pooled", "token", NULL};
const char *const tp_recipe_prompts[] = {"plain", "labels", NULL};
const char *const tp_recipe_targets[] = {"answer", "text_and_answer", NULL};
const char *const tp_recipe_sides[] = {"left", "right", NULL};
const char *const tp_recipe_normalisers[] = {"whiten", "none", NULL};
const char *const tp_recipe_scales[] = {"rms", "tanh", NULL};
const char *const tp_recipe_injections[] = {"soft", "kv", NULL};
const char *const tp_recipe_code_distances[] = {"l2", "cosine", NULL};
const char *const tp_recipe_conditionings[] = {"hybrid", "pooled", "cross", NULL};
const char *const tp_recipe_lr_schedules[] = {"cosine", "constant", NULL};
const char *const tp_recipe_cache_kinds[] = {"memory", "disk", "none", NULL};
const char *const tp_recipe_maths[] = {"f32", "bf16", NULL}; /* in the order of tp_math */

const char *tp_loss_name_text(tp_loss_name name) {
    return tp_recipe_losses[name];
}

bool tp_loss_asks_for_the_answer(tp_loss_name name) {
    return name == TP_LOSS_LM || name == TP_LOSS_FIRST_TOKEN || name == TP_LOSS_BOTTLENECK || name == TP_LOSS_DISTILL;
}

void tp_recipe_set_text(char **field, const char *text) {
    char *copy = tp_strdup(text);
    tp_free(*field);
    *field = copy;
}

void tp_recipe_free(tp_recipe *recipe) {
    if (recipe == NULL) return;
    char *texts[] = {recipe->name,
                     recipe->comment.did,
                     recipe->comment.reported,
                     recipe->comment.verdict,
                     recipe->comment.where,
                     recipe->comment.here,
                     recipe->models.sender,
                     recipe->models.receiver,
                     recipe->task.name,
                     recipe->task.data,
                     recipe->task.train_file,
                     recipe->task.test_file,
                     recipe->task.text_column,
                     recipe->task.label_column,
                     recipe->layout,
                     recipe->primer};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) tp_free(texts[i]);
    tp_latentwire_recipe_free(recipe->latentwire);
    json_decref(recipe->tasks);
    tp_free(recipe);
}

/* ---- completing ---- */

static bool is_binary(int n_classes) {
    return n_classes == 1 || n_classes == 2; /* 0: free answers */
}

/* Of a loss that is listed without a weight: what the source documents used where they say so. */
static double default_loss_weight(tp_loss_name name, int n_classes) {
    switch (name) {
    case TP_LOSS_FIRST_TOKEN:
    case TP_LOSS_ALIGN:
        return 0.5;
    case TP_LOSS_DIVERSITY: /* with two classes, pushing examples apart works against telling them apart */
        return is_binary(n_classes) ? 0.0 : 0.1;
    case TP_LOSS_CONTRASTIVE:
    case TP_LOSS_FSQ:
        return 0.1;
    case TP_LOSS_BOW:
        return 5.0;
    case TP_LOSS_SCALE_REG:
        return 0.05;
    default:
        return 1.0;
    }
}

tp_loss_term tp_loss_default(tp_loss_name name) {
    tp_loss_term term = {.name = name, .weight = NAN};
    if (name == TP_LOSS_BOTTLENECK) term.tokens = 10, term.factor = 100;
    if (name == TP_LOSS_CONTRASTIVE) term.temperature = 0.07;
    if (name == TP_LOSS_ALIGN) term.tokens = 4;
    if (name == TP_LOSS_RECON) term.distance = TP_DISTANCE_MSE;
    if (name == TP_LOSS_DISTILL) term.temperature = 1, term.prompt = TP_PROMPT_LABELS;
    return term;
}

void tp_bridge_recipe_defaults(tp_bridge_recipe *b) {
    snprintf(b->inner, sizeof b->inner, "perceiver");
    b->codes = 4096;
    b->distance = TP_CODES_L2;
    b->commitment = 0.25;
    b->entropy = 0.1;
    b->conditioning = TP_CONDITION_HYBRID;
    b->n_levels = 8;
    for (int i = 0; i < b->n_levels; i++) b->levels[i] = 8;
    b->steps = strcmp(b->kind, "diffusion") == 0 ? 10 : 4;
    b->penalty = 0.01;
}

bool tp_bridge_recipe_uses(const tp_bridge_recipe *bridge, const char *kind) {
    bool quantises = strcmp(bridge->kind, "vq") == 0 || strcmp(bridge->kind, "fsq") == 0;
    return strcmp(quantises ? bridge->inner : bridge->kind, kind) == 0;
}

/* The losses of a recipe that lists none, beside those that its bridge's family has of its own. */
static const tp_loss_name usual_losses[] = {TP_LOSS_LM, TP_LOSS_FIRST_TOKEN, TP_LOSS_DIVERSITY};

void tp_recipe_complete(tp_recipe *recipe, int n_classes, const char *primer) {
    bool binary = is_binary(n_classes), many = n_classes >= MANY_CLASSES;
    if (recipe->sender.layer < 0 && recipe->sender.layer_fraction < 0)
        recipe->sender.layer_fraction = binary ? 0.75 : 0.5;
    if (recipe->bridge.soft_tokens == 0) recipe->bridge.soft_tokens = binary ? 4 : many ? 16 : 8;
    if (recipe->optimiser.lr == 0) recipe->optimiser.lr = binary ? 5e-4 : 2e-4;
    if (recipe->optimiser.steps < 0 && tp_bridge_is_solved(recipe->bridge.kind)) recipe->optimiser.steps = 0;
    if (recipe->optimiser.steps < 0) recipe->optimiser.steps = binary ? 4000 : many ? 3000 : 2000;
    if (recipe->optimiser.warmup < 0) recipe->optimiser.warmup = recipe->optimiser.steps / 20;
    if (recipe->n_losses == 0) {
        for (size_t i = 0; i < sizeof usual_losses / sizeof usual_losses[0]; i++)
            recipe->losses[recipe->n_losses++] = tp_loss_default(usual_losses[i]);
        for (int i = 0; i < TP_N_LOSSES; i++)
            if (tp_bridge_has_loss(recipe->bridge.kind, (tp_loss_name)i))
                recipe->losses[recipe->n_losses++] = tp_loss_default((tp_loss_name)i);
    }
    for (int i = 0; i < recipe->n_losses; i++)
        if (isnan(recipe->losses[i].weight))
            recipe->losses[i].weight = default_loss_weight(recipe->losses[i].name, n_classes);
    if (recipe->primer == NULL) recipe->primer = tp_strdup(primer ? primer : "");
}

tp_status tp_recipe_layer(const tp_recipe *recipe, int n_layers, int *layer) {
    *layer = recipe->sender.layer >= 0 ? recipe->sender.layer : (int)lround(recipe->sender.layer_fraction * n_layers);
    if (*layer < 0 || *layer > n_layers)
        return tp_fail(TP_ERR_ARGUMENT,
                       "recipe %s: `sender.layer` is %d, but the sender has hidden states 0 to %d only",
                       recipe->name ? recipe->name : "", *layer, n_layers);
    return TP_OK;
}

char *tp_recipe_layers_text(const tp_recipe *recipe, int layer) {
    int n = recipe->sender.n_layers;
    tp_str text = {0};
    tp_str_appendf(&text, n > 1 ? "layers" : "layer");
    for (int i = 0; i < n - 1; i++) tp_str_appendf(&text, "%s %d", i ? "," : "", recipe->sender.layers[i]);
    tp_str_appendf(&text, n > 1 ? " and %d" : " %d", layer);
    return tp_str_take(&text);
}

double tp_loss_weight(const tp_loss_term *term, int64_t step) {
    switch (term->schedule) {
    case TP_SCHEDULE_ANNEAL:
        if (step <= term->from) return 0;
        if (step >= term->to) return term->weight;
        return term->weight * (double)(step - term->from) / (double)(term->to - term->from);
    case TP_SCHEDULE_WINDOW:
        return step >= term->from && step < term->to ? term->weight : 0;
    default:
        return term->weight;
    }
}
