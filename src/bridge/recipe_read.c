/* Reading recipes: one function for each section of the file, in the order in which recipe_write.c writes them, so that
 * a key missing from either is seen at a glance (and by the test that reads back what was written). See recipe.h. */
#include "bridge/recipe.h"

#include "base/mem.h"
#include "bridge/recipe_names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static char *text_field(tp_json_reader *r, const char *key, const char *fallback) {
    return tp_strdup(tp_json_text(r, key, fallback));
}

static void read_comment(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "comment", &r);
    recipe->comment.did = text_field(&r, "did", NULL);
    recipe->comment.reported = text_field(&r, "reported", NULL);
    recipe->comment.verdict = text_field(&r, "verdict", NULL);
    recipe->comment.where = text_field(&r, "where", NULL);
    recipe->comment.here = text_field(&r, "here", NULL);
    tp_json_end_object(top, &r, true);
}

static void read_models(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "models", &r);
    recipe->models.sender = text_field(&r, "sender", NULL);
    recipe->models.receiver = text_field(&r, "receiver", NULL);
    tp_json_end_object(top, &r, true);
}

static void read_task(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "task", &r);
    recipe->task.name = text_field(&r, "name", NULL);
    recipe->task.data = text_field(&r, "data", NULL);
    recipe->task.train_file = text_field(&r, "train_file", NULL);
    recipe->task.test_file = text_field(&r, "test_file", NULL);
    recipe->task.text_column = text_field(&r, "text_column", NULL);
    recipe->task.label_column = text_field(&r, "label_column", NULL);
    recipe->task.valid_fraction = tp_json_real(&r, "valid_fraction", 0.1, 0.001, 0.9);
    recipe->task.split_seed = (uint64_t)tp_json_int(&r, "split_seed", 42, 0, INT64_MAX);
    recipe->task.max_train = tp_json_int(&r, "max_train", 0, 0, INT64_MAX);
    recipe->task.max_test = tp_json_int(&r, "max_test", 0, 0, INT64_MAX);
    recipe->task.drop_overlap = tp_json_bool(&r, "drop_overlap", false);
    if (recipe->task.name && recipe->task.train_file)
        tp_json_error(&r, "train_file", "goes with files of your own; `task.name` \"%s\" has its own files",
                      recipe->task.name);
    tp_json_end_object(top, &r, true);
}

/* `layers`: hidden states from low to high, instead of `layer`. */
static void read_layers(tp_json_reader *r, tp_recipe *recipe) {
    json_t *list = tp_json_array(r, "layers"), *value;
    size_t i, n = json_array_size(list);
    if (list == NULL) return;
    if (tp_json_has(r, "layer"))
        tp_json_error(r, "layers", "stands beside `sender.layer`: only one of them can be meant");
    if (n == 0 || n > TP_MAX_TAPS) {
        tp_json_error(r, "layers", "has %zu entries, 1 to %d were expected", n, TP_MAX_TAPS);
        return;
    }
    int before = -1;
    json_array_foreach(list, i, value) {
        json_int_t layer = json_is_integer(value) ? json_integer_value(value) : -1;
        if (layer <= before || layer > 100000) {
            tp_json_error(r, "layers", "holds something else than layers from low to high at place %zu", i);
            return;
        }
        recipe->sender.layers[i] = before = (int)layer;
    }
    recipe->sender.n_layers = recipe->bridge.n_taps = (int)n;
    recipe->sender.layer = before;
}

/* `layer`: an integer is a layer, a number with a fraction (0.5, 1.0) a share of the sender's depth. */
static void read_layer(tp_json_reader *r, tp_recipe *recipe) {
    recipe->sender.layer = -1;
    recipe->sender.layer_fraction = -1;
    if (r->object && json_is_real(json_object_get(r->object, "layer")))
        recipe->sender.layer_fraction = tp_json_real(r, "layer", -1, 0, 1);
    else
        recipe->sender.layer = (int)tp_json_int(r, "layer", -1, 0, 100000);
}

static void read_sender(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "sender", &r);
    read_layer(&r, recipe);
    read_layers(&r, recipe);
    recipe->sender.prompt = (tp_sender_prompt)tp_json_choice(&r, "prompt", TP_PROMPT_PLAIN, tp_recipe_prompts);
    recipe->sender.max_tokens = (int)tp_json_int(&r, "max_tokens", 512, 1, 1 << 20);
    recipe->sender.truncate = (tp_side)tp_json_choice(&r, "truncate", TP_SIDE_RIGHT, tp_recipe_sides);
    recipe->sender.position_dropout = tp_json_real(&r, "position_dropout", 0, 0, 0.9);
    tp_json_end_object(top, &r, true);
}

static void read_name(tp_json_reader *r, const char *key, char field[32], const char *fallback) {
    const char *name = tp_json_text(r, key, fallback);
    if (strlen(name) >= 32) tp_json_error(r, key, "is too long a name");
    snprintf(field, 32, "%s", name);
}

static void read_levels(tp_json_reader *r, tp_bridge_recipe *bridge) {
    json_t *list = tp_json_array(r, "levels"), *value;
    size_t n = json_array_size(list), i;
    if (list == NULL) return;
    if (n < 1 || n > TP_MAX_LEVELS) {
        tp_json_error(r, "levels", "has %zu numbers, 1 to %d were expected", n, TP_MAX_LEVELS);
        return;
    }
    json_array_foreach(list, i, value) {
        json_int_t level = json_integer_value(value); /* 0 for what is no integer */
        if (level < 2 || level > 256)
            tp_json_error(r, "levels", "holds something that is no integer from 2 to 256 at place %zu", i);
        bridge->levels[i] = (int)level;
    }
    bridge->n_levels = (int)n;
}

/* The keys that only this family has. */
static void read_family(tp_json_reader *r, tp_bridge_recipe *bridge) {
    tp_bridge_recipe_defaults(bridge);
    bool vq = strcmp(bridge->kind, "vq") == 0, fsq = strcmp(bridge->kind, "fsq") == 0;
    if (vq || fsq) read_name(r, "inner", bridge->inner, "perceiver");
    if (vq) {
        bridge->codes = (int)tp_json_int(r, "codes", bridge->codes, 2, 1 << 20);
        bridge->distance = (tp_code_distance)tp_json_choice(r, "distance", bridge->distance, tp_recipe_code_distances);
        bridge->commitment = tp_json_real(r, "commitment", bridge->commitment, 0, 1e3);
        bridge->entropy = tp_json_real(r, "entropy", bridge->entropy, 0, 1e3);
    }
    if (fsq) read_levels(r, bridge);
    bool diffusion = strcmp(bridge->kind, "diffusion") == 0;
    if (diffusion || tp_bridge_recipe_uses(bridge, "latent_cot"))
        bridge->steps = (int)tp_json_int(r, "steps", bridge->steps, 1, 64);
    if (tp_bridge_recipe_uses(bridge, "ridge"))
        bridge->penalty = tp_json_real(r, "penalty", bridge->penalty, 1e-12, 1e6);
    if (diffusion)
        bridge->conditioning =
            (tp_conditioning)tp_json_choice(r, "conditioning", (int)bridge->conditioning, tp_recipe_conditionings);
}

static void read_bridge(tp_json_reader *top, tp_recipe *recipe) {
    tp_bridge_recipe *bridge = &recipe->bridge;
    tp_json_reader r;
    tp_json_object(top, "bridge", &r);
    read_name(&r, "kind", bridge->kind, "perceiver");
    bridge->soft_tokens = (int)tp_json_int(&r, "soft_tokens", 0, 1, 4096);
    bridge->depth = (int)tp_json_int(&r, "depth", 2, 1, 64);
    bridge->heads = (int)tp_json_int(&r, "heads", 8, 1, 256);
    bridge->width = (int)tp_json_int(&r, "width", 256, 1, 65536);
    bridge->ffn_multiple = (int)tp_json_int(&r, "ffn_multiple", 4, 1, 16);
    bridge->dropout = tp_json_real(&r, "dropout", 0, 0, 0.9);
    bridge->normaliser = (tp_normaliser)tp_json_choice(&r, "normaliser", TP_NORMALISER_WHITEN, tp_recipe_normalisers);
    bridge->learnable_normaliser = tp_json_bool(&r, "learnable_normaliser", false);
    bridge->scale = (tp_output_scale)tp_json_choice(&r, "scale", TP_SCALE_RMS, tp_recipe_scales);
    bridge->injection = (tp_injection)tp_json_choice(&r, "injection", TP_INJECT_SOFT, tp_recipe_injections);
    bridge->segment_tokens = (int)tp_json_int(&r, "segment_tokens", 0, 8, 1 << 20);
    bridge->segment_soft_tokens = (int)tp_json_int(&r, "segment_soft_tokens", TP_USUAL_SEGMENT_SOFT_TOKENS, 1, 4096);
    read_family(&r, bridge);
    tp_growth_read(&r, &recipe->regime);
    if (bridge->width % bridge->heads != 0)
        tp_json_error(&r, "width", "is %d, a multiple of `bridge.heads` (%d) was expected", bridge->width,
                      bridge->heads);
    tp_json_end_object(top, &r, true);
}

/* The keys that only this loss has. */
static void read_loss_parameters(tp_json_reader *r, tp_loss_term *t) {
    switch (t->name) {
    case TP_LOSS_BOTTLENECK:
        t->tokens = (int)tp_json_int(r, "tokens", t->tokens, 1, 4096);
        t->factor = tp_json_real(r, "factor", t->factor, 0, 1e6);
        break;
    case TP_LOSS_CONTRASTIVE:
        t->temperature = tp_json_real(r, "temperature", t->temperature, 1e-3, 1e3);
        t->positives = (tp_positives)tp_json_choice(r, "positives", (int)t->positives, tp_recipe_positives);
        break;
    case TP_LOSS_ANCHOR:
        t->target = (tp_anchor_target)tp_json_choice(r, "target", (int)t->target, tp_recipe_anchor_targets);
        t->distance = (tp_distance)tp_json_choice(r, "distance", (int)t->distance, tp_recipe_distances);
        break;
    case TP_LOSS_FLOW:
        t->target = (tp_anchor_target)tp_json_choice(r, "target", (int)t->target, tp_recipe_anchor_targets);
        break;
    case TP_LOSS_ALIGN:
        t->tokens = (int)tp_json_int(r, "tokens", t->tokens, 1, 4096);
        break;
    case TP_LOSS_RECON:
        t->of = (tp_recon_target)tp_json_choice(r, "of", (int)t->of, tp_recipe_recon_targets);
        t->distance = (tp_distance)tp_json_choice(r, "distance", (int)t->distance, tp_recipe_distances);
        break;
    case TP_LOSS_DISTILL:
        t->tokens = (int)tp_json_int(r, "tokens", t->tokens, 0, 4096);
        t->prompt = (tp_sender_prompt)tp_json_choice(r, "prompt", (int)t->prompt, tp_recipe_prompts);
        t->temperature = tp_json_real(r, "temperature", t->temperature, 1e-3, 1e3);
        break;
    default:
        break;
    }
}

static void read_loss(tp_json_reader *list, int index, json_t *value, tp_recipe *recipe) {
    char key[32];
    snprintf(key, sizeof key, "losses[%d]", index);
    if (index >= TP_MAX_LOSSES) {
        tp_json_error(list, key, "is one too many: at most %d losses can be summed", TP_MAX_LOSSES);
        return;
    }
    if (!json_is_object(value)) {
        tp_json_error(list, key, "is not an object such as {\"name\": \"lm\", \"weight\": 1.0}");
        return;
    }
    tp_json_reader r = {.object = value, .file = list->file};
    snprintf(r.prefix, sizeof r.prefix, "%s.", key);
    tp_json_require(&r, "name");
    tp_loss_term *term = &recipe->losses[index];
    *term = tp_loss_default((tp_loss_name)tp_json_choice(&r, "name", TP_LOSS_LM, tp_recipe_losses));
    term->weight = tp_json_real(&r, "weight", NAN, 0, 1e6);
    read_loss_parameters(&r, term);
    for (int i = 0; i < index; i++)
        if (recipe->losses[i].name == term->name)
            tp_json_error(&r, "name", "\"%s\" is listed twice", tp_recipe_losses[term->name]);
    tp_json_reader s;
    tp_json_object(&r, "schedule", &s);
    term->schedule = (tp_loss_schedule)tp_json_choice(&s, "kind", TP_SCHEDULE_CONSTANT, tp_recipe_loss_schedules);
    term->from = tp_json_int(&s, "from", 0, 0, INT64_MAX);
    term->to = tp_json_int(&s, "to", 0, 0, INT64_MAX);
    if (term->schedule != TP_SCHEDULE_CONSTANT && term->to <= term->from)
        tp_json_error(&s, "to", "is %lld, a step after `from` (%lld) was expected", (long long)term->to,
                      (long long)term->from);
    if (term->schedule == TP_SCHEDULE_CONSTANT && (tp_json_has(&s, "from") || tp_json_has(&s, "to")))
        tp_json_error(&s, "kind", "is \"constant\", which has no `from` and `to`; \"anneal\" and \"window\" have");
    tp_json_end_object(&r, &s, true);
    tp_json_end_object(list, &r, true);
    recipe->n_losses = index + 1;
}

static void read_losses(tp_json_reader *top, tp_recipe *recipe) {
    json_t *list = tp_json_array(top, "losses");
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value) read_loss(top, (int)i, value, recipe);
    if (list && json_array_size(list) == 0) tp_json_error(top, "losses", "is empty, at least one loss was expected");
}

static void read_optimiser(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "optimiser", &r);
    recipe->optimiser.lr = tp_json_real(&r, "lr", 0, 1e-12, 10);
    recipe->optimiser.weight_decay = tp_json_real(&r, "weight_decay", 0.01, 0, 1);
    recipe->optimiser.beta1 = tp_json_real(&r, "beta1", 0.9, 0, 0.999999);
    recipe->optimiser.beta2 = tp_json_real(&r, "beta2", 0.999, 0, 0.999999);
    recipe->optimiser.eps = tp_json_real(&r, "eps", 1e-8, 1e-20, 1);
    recipe->optimiser.warmup = tp_json_int(&r, "warmup", -1, 0, INT64_MAX);
    recipe->optimiser.schedule = (tp_lr_schedule)tp_json_choice(&r, "schedule", TP_LR_COSINE, tp_recipe_lr_schedules);
    recipe->optimiser.min_lr_ratio = tp_json_real(&r, "min_lr_ratio", 0, 0, 1);
    recipe->optimiser.ema = tp_json_real(&r, "ema", 0, 0, 0.999999);
    recipe->optimiser.clip = tp_json_real(&r, "clip", 1, 0, 1e9);
    recipe->optimiser.batch = (int)tp_json_int(&r, "batch", 16, 1, 1 << 20);
    recipe->optimiser.accumulate = (int)tp_json_int(&r, "accumulate", 1, 1, 1 << 20);
    recipe->optimiser.steps = tp_json_int(&r, "steps", -1, 0, INT64_MAX);
    tp_json_end_object(top, &r, true);
}

static void read_running(tp_json_reader *top, tp_recipe *recipe) {
    tp_json_reader r;
    tp_json_object(top, "sampling", &r);
    recipe->balanced = tp_json_bool(&r, "balanced", true);
    tp_json_end_object(top, &r, true);
    tp_json_object(top, "early_stopping", &r);
    recipe->early_stopping.patience = tp_json_int(&r, "patience", 5, 0, INT64_MAX);
    recipe->early_stopping.every = tp_json_int(&r, "every", 200, 1, INT64_MAX);
    tp_json_end_object(top, &r, true);
    tp_json_object(top, "quick_eval", &r);
    recipe->quick_eval.every = tp_json_int(&r, "every", 200, 0, INT64_MAX);
    recipe->quick_eval.examples = tp_json_int(&r, "examples", 200, 1, INT64_MAX);
    tp_json_end_object(top, &r, true);
    tp_json_object(top, "cache", &r);
    recipe->cache.kind = (tp_cache_kind)tp_json_choice(&r, "kind", TP_CACHE_MEMORY, tp_recipe_cache_kinds);
    recipe->cache.max_bytes = tp_json_int(&r, "max_bytes", (int64_t)1 << 31, 0, INT64_MAX);
    tp_json_end_object(top, &r, true);
    tp_json_object(top, "calibration", &r);
    recipe->calibration_texts = tp_json_int(&r, "texts", 500, 1, INT64_MAX);
    tp_json_end_object(top, &r, true);
}

/* Losses that hold soft tokens against the receiver's embeddings mean nothing for keys and values. */
static void check_injection(tp_json_reader *top, const tp_recipe *recipe) {
    for (int i = 0; recipe->bridge.injection == TP_INJECT_KV && i < recipe->n_losses; i++) {
        tp_loss_name name = recipe->losses[i].name;
        if (name == TP_LOSS_ANCHOR || name == TP_LOSS_ALIGN || name == TP_LOSS_FLOW)
            tp_json_error(top, "losses",
                          "holds \"%s\", which compares soft tokens with the receiver's embeddings: with "
                          "`bridge.injection` \"kv\" there are none",
                          tp_recipe_losses[name]);
    }
}

/* Segments are so many rows of the sender's states, one behind the other: none may be missing. */
static void check_segments(tp_json_reader *top, const tp_recipe *recipe) {
    if (recipe->bridge.segment_tokens > 0 && recipe->sender.position_dropout > 0)
        tp_json_error(top, "bridge",
                      "has `segment_tokens`, which does not go with `sender.position_dropout`: segments are so many "
                      "positions, and none may be missing");
}

tp_recipe *tp_recipe_from_json(json_t *value, const char *name) {
    tp_recipe *recipe = tp_alloc(sizeof *recipe);
    tp_json_reader r;
    tp_json_begin(&r, value, name);
    recipe->name = text_field(&r, "name", NULL);
    read_comment(&r, recipe);
    read_models(&r, recipe);
    read_task(&r, recipe);
    recipe->tasks = tp_recipe_read_tasks(&r);
    read_sender(&r, recipe);
    read_bridge(&r, recipe);
    recipe->latentwire = tp_latentwire_recipe_read(&r);
    recipe->layout = text_field(&r, "layout", "{bos}{soft}{primer}");
    recipe->primer = text_field(&r, "primer", NULL);
    recipe->target = (tp_target)tp_json_choice(&r, "target", TP_TARGET_ANSWER, tp_recipe_targets);
    read_losses(&r, recipe);
    check_injection(&r, recipe);
    check_segments(&r, recipe);
    tp_regime_read(&r, &recipe->regime);
    tp_cascade_read(&r, &recipe->cascade);
    read_optimiser(&r, recipe);
    read_running(&r, recipe);
    recipe->math = (tp_math)tp_json_choice(&r, "math", TP_MATH_BF16, tp_recipe_maths);
    recipe->seed = (uint64_t)tp_json_int(&r, "seed", 42, 0, INT64_MAX);
    if (tp_json_end(&r, true) == TP_OK) return recipe;
    tp_recipe_free(recipe);
    return NULL;
}

tp_recipe *tp_recipe_load(const char *path) {
    json_t *value = tp_json_load_file(path);
    if (value == NULL) return NULL;
    tp_recipe *recipe = tp_recipe_from_json(value, path);
    json_decref(value);
    if (recipe && recipe->name == NULL) {
        const char *slash = strrchr(path, '/'), *stem = slash ? slash + 1 : path, *dot = strrchr(stem, '.');
        recipe->name = tp_strndup(stem, dot && dot > stem ? (size_t)(dot - stem) : strlen(stem));
    }
    return recipe;
}
