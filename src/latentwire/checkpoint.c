/* Folders of trained LatentWires. See checkpoint.h. */
#include "latentwire/checkpoint.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bridge/checkpoint_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

static const char config_file[] = "latentwire.json", tensors_file[] = "latentwire.safetensors";
static const char binding_key[] = "latentwire_config";

/* What the configuration says. */
typedef struct {
    tp_recipe *recipe;
    char source[33]; /* fingerprint of what the encoder stands on */
    int64_t d_source;
    char *prompt;
    int layer;
    tp_bridge_model receivers[TP_LATENTWIRE_MOST_RECEIVERS];
    int n_receivers;
    char **labels;
    int n_labels;
} config;

static void config_free(config *c) {
    tp_recipe_free(c->recipe);
    tp_free(c->prompt);
    for (int i = 0; i < c->n_receivers; i++) tp_free(c->receivers[i].name);
    for (int i = 0; i < c->n_labels; i++) tp_free(c->labels[i]);
    tp_free(c->labels);
    *c = (config){0};
}

/* ---- writing ---- */

/* Fingerprint of the configuration, which the tensors carry. Names of models do not count. */
static void binding(const json_t *value, char hex[33]) {
    json_t *copy = json_deep_copy(value);
    json_object_del(copy, "telepathy_version");
    json_object_del(json_object_get(copy, "recipe"), "models");
    json_object_del(json_object_get(json_object_get(copy, "recipe"), "latentwire"), "receivers");
    const char *key;
    json_t *receiver;
    json_object_foreach(json_object_get(copy, "receivers"), key, receiver) json_object_del(receiver, "name");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, text ? text : "");
    tp_hash_end(h, hex);
    free(text);
    json_decref(copy);
}

static json_t *to_json(const tp_latentwire_group *g, const tp_task *task) {
    char source[33], key[16];
    tp_latentwire_source_fingerprint(g->models, source);
    json_t *receivers = json_object();
    for (int i = 0; i < g->models->n_receivers; i++) {
        tp_bridge_model m = tp_bridge_model_of(g->models->receivers[i]);
        snprintf(key, sizeof key, "%d", i + 1);
        json_object_set_new(receivers, key, tp_bridge_model_to_json(&m));
        tp_free(m.name);
    }
    json_t *o = json_object();
    json_object_set_new(o, "format_version", json_integer(FORMAT_VERSION));
    json_object_set_new(o, "telepathy_version", json_string(TP_VERSION));
    json_object_set_new(o, "source", json_string(source));
    json_object_set_new(o, "d_source", json_integer(tp_latentwire_source_width(g)));
    json_object_set_new(o, "layer", json_integer(g->models->sender ? g->tap.layer : 0));
    json_object_set_new(o, "prompt", json_string(g->relays[0]->prompt));
    json_object_set_new(o, "receivers", receivers);
    json_object_set_new(o, "task", json_string(task->name));
    json_object_set_new(
        o, "labels",
        tp_bridge_labels_to_json((char *const *)(uintptr_t)g->relays[0]->label_names, g->relays[0]->n_labels));
    json_object_set_new(o, "recipe", tp_recipe_to_json(g->recipe));
    return o;
}

typedef struct {
    tp_weight **items;
    size_t n, capacity;
} weight_list;

static void collect(void *context, tp_weight *w) {
    weight_list *list = context;
    tp_grow(&list->items, &list->capacity, list->n, sizeof *list->items);
    list->items[list->n++] = w;
}

tp_status tp_latentwire_save(const char *folder, const tp_latentwire_group *g, const tp_task *task) {
    TP_TRY(tp_make_dirs(folder));
    json_t *value = to_json(g, task);
    char hex[33], *path = tp_path_join(folder, tensors_file);
    binding(value, hex);
    weight_list list = {0};
    tp_latentwire_visit(g->wire, collect, &list);
    tp_status status =
        tp_bridge_tensors_write(path, list.items, list.n, &(tp_st_metadata){.key = binding_key, .value = hex});
    tp_free(list.items);
    tp_free(path);
    if (status == TP_OK) {
        path = tp_path_join(folder, config_file);
        status = tp_json_save_file(value, path);
        tp_free(path);
    }
    json_decref(value);
    return status;
}

/* ---- reading ---- */

bool tp_latentwire_is(const char *folder) {
    char *path = tp_path_join(folder, config_file);
    bool found = tp_path_exists(path);
    tp_free(path);
    return found;
}

static void read_receivers(tp_json_reader *top, config *c) {
    tp_json_reader r;
    tp_json_object(top, "receivers", &r);
    size_t n = json_object_size(r.object);
    if (r.object && (n == 0 || n > TP_LATENTWIRE_MOST_RECEIVERS))
        tp_json_error(top, "receivers", "names %zu models, 1 to %d were expected", n, TP_LATENTWIRE_MOST_RECEIVERS);
    for (size_t i = 0; i < n && n <= TP_LATENTWIRE_MOST_RECEIVERS; i++) {
        static const char *const keys[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
        tp_json_require(&r, keys[i]);
        tp_bridge_model_read(&r, keys[i], &c->receivers[c->n_receivers++]);
    }
    tp_json_end_object(top, &r, true);
}

static tp_status read_config(config *c, json_t *value, const char *path) {
    static const char *const needed[] = {"format_version", "source", "d_source", "prompt",
                                         "receivers",      "labels", "recipe"};
    tp_json_reader r;
    tp_json_begin(&r, value, path);
    tp_json_int(&r, "format_version", 0, FORMAT_VERSION, FORMAT_VERSION);
    tp_json_text(&r, "telepathy_version", NULL);
    tp_json_text(&r, "task", NULL);
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) tp_json_require(&r, needed[i]);
    snprintf(c->source, sizeof c->source, "%s", tp_json_text(&r, "source", ""));
    c->d_source = tp_json_int(&r, "d_source", 0, 0, 1 << 20);
    c->layer = (int)tp_json_int(&r, "layer", 0, 0, 100000);
    c->prompt = tp_strdup(tp_json_text(&r, "prompt", ""));
    read_receivers(&r, c);
    tp_bridge_labels_read(&r, &c->labels, &c->n_labels);
    json_t *recipe = tp_json_any(&r, "recipe");
    TP_TRY(tp_json_end(&r, true));
    c->recipe = tp_recipe_from_json(recipe, path);
    if (c->recipe == NULL) return tp_fail_context("key `recipe`");
    if (c->recipe->latentwire == NULL || c->recipe->bridge.soft_tokens == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `recipe` is not a complete recipe with a section `latentwire`", path);
    return TP_OK;
}

/* Reads both files; *file is open if all went well. */
static tp_status open_folder(const char *folder, config *c, tp_safetensors **file) {
    *file = NULL;
    *c = (config){0};
    char *path = tp_path_join(folder, config_file), *tensors = tp_path_join(folder, tensors_file), hex[33];
    json_t *value = tp_json_load_file(path);
    tp_status status = value ? read_config(c, value, path) : tp_last_status();
    if (status == TP_OK) {
        *file = tp_safetensors_open(tensors);
        const char *found = *file ? tp_safetensors_metadata(*file, binding_key) : NULL;
        binding(value, hex);
        if (*file == NULL)
            status = tp_last_status();
        else if (found == NULL || strcmp(found, hex) != 0)
            status = tp_fail(TP_ERR_FORMAT,
                             "%s does not belong to the %s beside it: they are of two different runs, or the "
                             "configuration was changed",
                             tensors, config_file);
    }
    json_decref(value);
    tp_free(path);
    tp_free(tensors);
    if (status == TP_OK) return TP_OK;
    tp_safetensors_close(*file);
    *file = NULL;
    config_free(c);
    return status;
}

static tp_status check_group(const config *c, const char *folder, const tp_latentwire_group *g) {
    const tp_latentwire_models *m = g->models;
    char source[33], role[32];
    tp_latentwire_source_fingerprint(m, source);
    if (strcmp(source, c->source) != 0)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the LatentWire in %s was trained with another model under its encoder: its fingerprint was %s, "
                       "that of the one given is %s",
                       folder, c->source, source);
    if (m->n_receivers != c->n_receivers)
        return tp_fail(TP_ERR_ARGUMENT, "the LatentWire in %s was trained for %d receivers, given were %d", folder,
                       c->n_receivers, m->n_receivers);
    for (int i = 0; i < c->n_receivers; i++) {
        snprintf(role, sizeof role, "receiver %d", i + 1);
        TP_TRY(tp_bridge_model_check(&c->receivers[i], folder, role, m->receivers[i]));
    }
    const tp_relay *r = g->relays[0];
    bool same = r->n_labels == c->n_labels && strcmp(r->prompt, c->prompt) == 0;
    for (int i = 0; same && i < c->n_labels; i++) same = strcmp(r->label_names[i], c->labels[i]) == 0;
    return same ? TP_OK
                : tp_fail(TP_ERR_ARGUMENT,
                          "the LatentWire in %s was trained for a task with other labels or another "
                          "prompt",
                          folder);
}

static tp_status read_wire(const config *c, const char *folder, const tp_safetensors *file, tp_latentwire_group *g) {
    TP_TRY(check_group(c, folder, g));
    int64_t widths[TP_LATENTWIRE_MOST_RECEIVERS], numbers = 0;
    for (size_t i = 0; i < tp_safetensors_count(file); i++)
        numbers += (int64_t)(tp_safetensors_get(file, i)->n_bytes / sizeof(float));
    tp_latentwire_shape shape = tp_latentwire_group_shape(g, widths);
    int64_t least = (int64_t)shape.recipe->width * widths[0]; /* before anything is allocated */
    if (least > numbers)
        return tp_fail(TP_ERR_FORMAT, "%s holds %lld numbers, its first adapter alone has %lld", folder,
                       (long long)numbers, (long long)least);
    g->wire = tp_latentwire_new(&shape, 0);
    if (g->wire == NULL) return tp_last_status();
    weight_list list = {0};
    tp_latentwire_visit(g->wire, collect, &list);
    tp_status status = tp_bridge_tensors_read(file, list.items, list.n);
    tp_free(list.items);
    tp_params_freeze(&g->wire->trained);
    return status;
}

tp_latentwire_group *tp_latentwire_load(const char *folder, const tp_latentwire_models *models, const tp_task *task) {
    config c;
    tp_safetensors *file;
    if (open_folder(folder, &c, &file) != TP_OK) return NULL;
    tp_latentwire_group *g = tp_latentwire_group_new(c.recipe, models, task);
    c.recipe = NULL; /* taken over */
    if (g && read_wire(&c, folder, file, g) != TP_OK) {
        tp_latentwire_group_free(g);
        g = NULL;
    }
    tp_safetensors_close(file);
    config_free(&c);
    return g;
}

tp_status tp_latentwire_check(const char *folder) {
    config c;
    tp_safetensors *file;
    TP_TRY(open_folder(folder, &c, &file));
    tp_safetensors_close(file);
    config_free(&c);
    return TP_OK;
}

tp_recipe *tp_latentwire_run_recipe(const char *folder, const char *sender, const char *receivers) {
    config c;
    tp_safetensors *file;
    if (open_folder(folder, &c, &file) != TP_OK) return NULL;
    tp_recipe *recipe = c.recipe;
    c.recipe = NULL;
    tp_safetensors_close(file);
    config_free(&c);
    if (sender) tp_recipe_set_text(&recipe->models.sender, sender);
    if (receivers == NULL || tp_latentwire_recipe_set_receivers(recipe->latentwire, receivers) == TP_OK) return recipe;
    tp_recipe_free(recipe);
    return NULL;
}
