/* Reading, completing and writing recipes. See recipe.h.
 *
 * One function reads an object per section of the file and one writes it; they stand in the same order, so that a key
 * missing from either is seen at a glance (and by the test that reads back what was written). */
#include "bridge/recipe.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANY_CLASSES = 50 }; /* from here on the defaults are those that the originals used for 77 classes */

static const char *const loss_names[] = {"lm", "first_token", "diversity", NULL};
static const char *const loss_schedules[] = {"constant", "anneal", "window", NULL};
static const char *const prompts[] = {"plain", "labels", NULL};
static const char *const sides[] = {"left", "right", NULL};
static const char *const normalisers[] = {"whiten", "none", NULL};
static const char *const scales[] = {"rms", "tanh", NULL};
static const char *const lr_schedules[] = {"cosine", "constant", NULL};
static const char *const cache_kinds[] = {"memory", "disk", "none", NULL};
static const char *const maths[] = {"f32", "bf16", NULL}; /* in the order of tp_math */

const char *tp_loss_name_text(tp_loss_name name) {
    return loss_names[name];
}

void tp_recipe_set_text(char **field, const char *text) {
    char *copy = tp_strdup(text);
    tp_free(*field);
    *field = copy;
}

/* ---- reading ---- */

static char *text_field(tp_json_reader *r, const char *key, const char *fallback) {
    return tp_strdup(tp_json_text(r, key, fallback));
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
    recipe->sender.prompt = (tp_sender_prompt)tp_json_choice(&r, "prompt", TP_PROMPT_PLAIN, prompts);
    recipe->sender.max_tokens = (int)tp_json_int(&r, "max_tokens", 512, 1, 1 << 20);
    recipe->sender.truncate = (tp_side)tp_json_choice(&r, "truncate", TP_SIDE_RIGHT, sides);
    recipe->sender.position_dropout = tp_json_real(&r, "position_dropout", 0, 0, 0.9);
    tp_json_end_object(top, &r, true);
}

static void read_bridge(tp_json_reader *top, tp_bridge_recipe *bridge) {
    tp_json_reader r;
    tp_json_object(top, "bridge", &r);
    const char *kind = tp_json_text(&r, "kind", "perceiver");
    if (strlen(kind) >= sizeof bridge->kind) tp_json_error(&r, "kind", "is too long a name");
    snprintf(bridge->kind, sizeof bridge->kind, "%s", kind);
    bridge->soft_tokens = (int)tp_json_int(&r, "soft_tokens", 0, 1, 4096);
    bridge->depth = (int)tp_json_int(&r, "depth", 2, 1, 64);
    bridge->heads = (int)tp_json_int(&r, "heads", 8, 1, 256);
    bridge->width = (int)tp_json_int(&r, "width", 256, 1, 65536);
    bridge->ffn_multiple = (int)tp_json_int(&r, "ffn_multiple", 4, 1, 16);
    bridge->dropout = tp_json_real(&r, "dropout", 0, 0, 0.9);
    bridge->normaliser = (tp_normaliser)tp_json_choice(&r, "normaliser", TP_NORMALISER_WHITEN, normalisers);
    bridge->learnable_normaliser = tp_json_bool(&r, "learnable_normaliser", false);
    bridge->scale = (tp_output_scale)tp_json_choice(&r, "scale", TP_SCALE_RMS, scales);
    if (bridge->width % bridge->heads != 0)
        tp_json_error(&r, "width", "is %d, a multiple of `bridge.heads` (%d) was expected", bridge->width,
                      bridge->heads);
    tp_json_end_object(top, &r, true);
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
    *term = (tp_loss_term){.name = (tp_loss_name)tp_json_choice(&r, "name", TP_LOSS_LM, loss_names)};
    term->weight = tp_json_real(&r, "weight", NAN, 0, 1e6);
    for (int i = 0; i < index; i++)
        if (recipe->losses[i].name == term->name)
            tp_json_error(&r, "name", "\"%s\" is listed twice", loss_names[term->name]);
    tp_json_reader s;
    tp_json_object(&r, "schedule", &s);
    term->schedule = (tp_loss_schedule)tp_json_choice(&s, "kind", TP_SCHEDULE_CONSTANT, loss_schedules);
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
    recipe->optimiser.schedule = (tp_lr_schedule)tp_json_choice(&r, "schedule", TP_LR_COSINE, lr_schedules);
    recipe->optimiser.min_lr_ratio = tp_json_real(&r, "min_lr_ratio", 0, 0, 1);
    recipe->optimiser.clip = tp_json_real(&r, "clip", 1, 0, 1e9);
    recipe->optimiser.batch = (int)tp_json_int(&r, "batch", 16, 1, 1 << 20);
    recipe->optimiser.accumulate = (int)tp_json_int(&r, "accumulate", 1, 1, 1 << 20);
    recipe->optimiser.steps = tp_json_int(&r, "steps", 0, 1, INT64_MAX);
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
    recipe->cache.kind = (tp_cache_kind)tp_json_choice(&r, "kind", TP_CACHE_MEMORY, cache_kinds);
    recipe->cache.max_bytes = tp_json_int(&r, "max_bytes", (int64_t)1 << 31, 0, INT64_MAX);
    tp_json_end_object(top, &r, true);
    tp_json_object(top, "calibration", &r);
    recipe->calibration_texts = tp_json_int(&r, "texts", 500, 1, INT64_MAX);
    tp_json_end_object(top, &r, true);
}

tp_recipe *tp_recipe_from_json(json_t *value, const char *name) {
    tp_recipe *recipe = tp_alloc(sizeof *recipe);
    tp_json_reader r;
    tp_json_begin(&r, value, name);
    recipe->name = text_field(&r, "name", NULL);
    read_models(&r, recipe);
    read_task(&r, recipe);
    read_sender(&r, recipe);
    read_bridge(&r, &recipe->bridge);
    recipe->layout = text_field(&r, "layout", "{bos}{soft}{primer}");
    recipe->primer = text_field(&r, "primer", NULL);
    read_losses(&r, recipe);
    read_optimiser(&r, recipe);
    read_running(&r, recipe);
    recipe->math = (tp_math)tp_json_choice(&r, "math", TP_MATH_BF16, maths);
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

void tp_recipe_free(tp_recipe *recipe) {
    if (recipe == NULL) return;
    char *texts[] = {recipe->name,
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
    tp_free(recipe);
}

/* ---- completing ---- */

static bool is_binary(int n_classes) {
    return n_classes == 1 || n_classes == 2; /* 0: free answers */
}

static double default_loss_weight(tp_loss_name name, int n_classes) {
    switch (name) {
    case TP_LOSS_LM:
        return 1.0;
    case TP_LOSS_FIRST_TOKEN:
        return 0.5;
    default: /* with two classes, pushing examples apart works against telling them apart */
        return is_binary(n_classes) ? 0.0 : 0.1;
    }
}

void tp_recipe_complete(tp_recipe *recipe, int n_classes, const char *primer) {
    bool binary = is_binary(n_classes), many = n_classes >= MANY_CLASSES;
    if (recipe->sender.layer < 0 && recipe->sender.layer_fraction < 0)
        recipe->sender.layer_fraction = binary ? 0.75 : 0.5;
    if (recipe->bridge.soft_tokens == 0) recipe->bridge.soft_tokens = binary ? 4 : many ? 16 : 8;
    if (recipe->optimiser.lr == 0) recipe->optimiser.lr = binary ? 5e-4 : 2e-4;
    if (recipe->optimiser.steps == 0) recipe->optimiser.steps = binary ? 4000 : many ? 3000 : 2000;
    if (recipe->optimiser.warmup < 0) recipe->optimiser.warmup = recipe->optimiser.steps / 20;
    if (recipe->n_losses == 0)
        for (int i = 0; i < TP_N_LOSSES; i++)
            recipe->losses[recipe->n_losses++] = (tp_loss_term){.name = (tp_loss_name)i, .weight = NAN};
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

/* ---- writing ---- */

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

static void write_sender(json_t *top, const tp_recipe *recipe) {
    json_t *o = put_object(top, "sender");
    if (recipe->sender.layer >= 0)
        put_int(o, "layer", recipe->sender.layer);
    else if (recipe->sender.layer_fraction >= 0)
        put_real(o, "layer", recipe->sender.layer_fraction);
    put_text(o, "prompt", prompts[recipe->sender.prompt]);
    put_int(o, "max_tokens", recipe->sender.max_tokens);
    put_text(o, "truncate", sides[recipe->sender.truncate]);
    json_object_set_new(o, "position_dropout", json_real(recipe->sender.position_dropout));
}

static void write_bridge(json_t *top, const tp_bridge_recipe *bridge) {
    json_t *o = put_object(top, "bridge");
    put_text(o, "kind", bridge->kind);
    if (bridge->soft_tokens) put_int(o, "soft_tokens", bridge->soft_tokens);
    put_int(o, "depth", bridge->depth);
    put_int(o, "heads", bridge->heads);
    put_int(o, "width", bridge->width);
    put_int(o, "ffn_multiple", bridge->ffn_multiple);
    put_real(o, "dropout", bridge->dropout);
    put_text(o, "normaliser", normalisers[bridge->normaliser]);
    json_object_set_new(o, "learnable_normaliser", json_boolean(bridge->learnable_normaliser));
    put_text(o, "scale", scales[bridge->scale]);
}

static void write_losses(json_t *top, const tp_recipe *recipe) {
    if (recipe->n_losses == 0) return;
    json_t *list = json_array();
    json_object_set_new(top, "losses", list);
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        json_t *o = json_object();
        json_array_append_new(list, o);
        put_text(o, "name", loss_names[term->name]);
        if (!isnan(term->weight)) put_real(o, "weight", term->weight);
        json_t *s = put_object(o, "schedule");
        put_text(s, "kind", loss_schedules[term->schedule]);
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
    put_text(o, "schedule", lr_schedules[recipe->optimiser.schedule]);
    put_real(o, "min_lr_ratio", recipe->optimiser.min_lr_ratio);
    put_real(o, "clip", recipe->optimiser.clip);
    put_int(o, "batch", recipe->optimiser.batch);
    put_int(o, "accumulate", recipe->optimiser.accumulate);
    if (recipe->optimiser.steps) put_int(o, "steps", recipe->optimiser.steps);
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
    put_text(o, "kind", cache_kinds[recipe->cache.kind]);
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
    write_sender(top, recipe);
    write_bridge(top, &recipe->bridge);
    put_text(top, "layout", recipe->layout);
    put_text(top, "primer", recipe->primer);
    write_losses(top, recipe);
    write_optimiser(top, recipe);
    write_running(top, recipe);
    put_text(top, "math", maths[recipe->math]);
    put_int(top, "seed", (int64_t)recipe->seed);
    return top;
}
