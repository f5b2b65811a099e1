/* Trained bridges as folders. See checkpoint.h. */
#include "bridge/checkpoint.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "bridge/card.h"
#include "bridge/checkpoint_parts.h"
#include "lm/decoder.h"
#include "lm/safetensors.h"

#include <math.h>
#include <string.h>

enum { FORMAT_VERSION = 1, MOST_LABELS = 1 << 20, WIDEST = 1 << 20 };

static const char config_file[] = "adapter_config.json", tensors_file[] = "adapter_model.safetensors";
static const char binding_key[] = "telepathy_config";

/* ---- the object ---- */

static tp_bridge_model describe(const tp_lm *lm) {
    tp_bridge_model m = {
        .name = tp_strdup(lm->path ? lm->path : ""), .d_model = lm->config.d_model, .n_layers = lm->config.n_layers};
    memcpy(m.fingerprint, lm->fingerprint, sizeof m.fingerprint);
    if (lm->tokenizer) memcpy(m.tokenizer, tp_tokenizer_fingerprint(lm->tokenizer), sizeof m.tokenizer);
    return m;
}

tp_trained_bridge *tp_trained_bridge_new(tp_bridge *bridge, const tp_recipe *recipe, int layer, const char *prompt,
                                         const tp_lm *sender, const tp_lm *receiver, const char *task,
                                         const char *const *labels, int n_labels) {
    tp_trained_bridge *t = tp_alloc(sizeof *t);
    json_t *copy = tp_recipe_to_json(recipe);
    *t = (tp_trained_bridge){.bridge = bridge,
                             .recipe = tp_recipe_from_json(copy, "recipe"),
                             .layer = layer,
                             .prompt = tp_strdup(prompt),
                             .sender = describe(sender),
                             .receiver = describe(receiver),
                             .task = tp_strdup(task ? task : ""),
                             .labels = tp_alloc((size_t)(n_labels + 1) * sizeof(char *)),
                             .n_labels = n_labels};
    json_decref(copy);
    if (recipe->bridge.injection == TP_INJECT_KV) t->receiver.kv_width = tp_lm_kv_width(&receiver->config);
    for (int i = 0; i < n_labels; i++) t->labels[i] = tp_strdup(labels[i]);
    if (t->recipe) return t;
    t->bridge = NULL; /* still the caller's */
    tp_trained_bridge_free(t);
    return NULL;
}

void tp_trained_bridge_free(tp_trained_bridge *t) {
    if (t == NULL) return;
    tp_bridge_free(t->bridge);
    tp_recipe_free(t->recipe);
    tp_free(t->sender.name);
    tp_free(t->receiver.name);
    tp_free(t->task);
    tp_free(t->prompt);
    for (int i = 0; i < t->n_labels; i++) tp_free(t->labels[i]);
    tp_free(t->labels);
    tp_free(t);
}

/* ---- the configuration ---- */

/* Bytes as JSON: a string, or {"hex": "..."} where they are not UTF-8, so that they survive. */
static json_t *bytes_json(const char *text) {
    json_t *string = json_string(text);
    if (string) return string;
    tp_str hex = {0};
    for (const char *c = text; *c; c++) tp_str_appendf(&hex, "%02x", (unsigned char)*c);
    json_t *object = json_pack("{s:s}", "hex", hex.data);
    tp_str_free(&hex);
    return object;
}

/* The bytes again; NULL if the value is neither form. */
static char *bytes_of_json(const json_t *value) {
    if (json_is_string(value)) return tp_strdup(json_string_value(value));
    const char *hex = json_string_value(json_object_get(value, "hex"));
    if (hex == NULL || strlen(hex) % 2 != 0 || strspn(hex, "0123456789abcdef") != strlen(hex)) return NULL;
    tp_str out = {0};
    for (; *hex; hex += 2) {
        unsigned byte;
        sscanf(hex, "%2x", &byte);
        tp_str_append_char(&out, (char)byte);
    }
    return tp_str_take(&out);
}

/* A name for people: what is not UTF-8 becomes question marks. */
static json_t *name_json(const char *text) {
    json_t *string = json_string(text);
    if (string) return string;
    char *plain = tp_strdup(text);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    string = json_string(plain);
    tp_free(plain);
    return string;
}

static json_t *labels_json(const tp_trained_bridge *t) {
    json_t *list = json_array();
    for (int i = 0; i < t->n_labels; i++) json_array_append_new(list, bytes_json(t->labels[i]));
    return list;
}

static json_t *model_json(const tp_bridge_model *m) {
    json_t *value = json_pack("{s:o, s:s, s:s, s:I, s:i}", "name", name_json(m->name), "fingerprint", m->fingerprint,
                              "tokenizer", m->tokenizer, "d_model", (json_int_t)m->d_model, "n_layers", m->n_layers);
    if (m->kv_width > 0) json_object_set_new(value, "kv_width", json_integer(m->kv_width));
    return value;
}

static void hash_json(tp_hash *h, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    tp_hash_add_text(h, text ? text : "");
    free(text);
}

/* Fingerprint of what the configuration says about the tensors: which bridge, between which models, read how. */
static void binding(const tp_trained_bridge *t, char hex[33]) {
    json_t *recipe = tp_recipe_to_json(t->recipe), *labels = labels_json(t);
    tp_hash *h = tp_hash_new();
    hash_json(h, json_object_get(recipe, "bridge"));
    tp_hash_add_text(h, t->prompt);
    tp_hash_add_text(h, t->recipe->layout);
    tp_hash_add_text(h, t->recipe->primer ? t->recipe->primer : "");
    hash_json(h, labels);
    tp_hash_add_text(h, t->sender.fingerprint);
    tp_hash_add_text(h, t->receiver.fingerprint);
    tp_hash_add(h, &(int64_t){t->layer}, sizeof(int64_t));
    for (int l = 0; l < t->recipe->sender.n_layers; l++) tp_hash_add(h, &t->recipe->sender.layers[l], sizeof(int));
    tp_hash_end(h, hex);
    json_decref(recipe);
    json_decref(labels);
}

static json_t *config_json(const tp_trained_bridge *t) {
    json_t *config = json_object();
    json_object_set_new(config, "peft_type", json_string("TELEPATHY"));
    json_object_set_new(config, "base_model_name_or_path", name_json(t->receiver.name));
    json_object_set_new(config, "format_version", json_integer(FORMAT_VERSION));
    json_object_set_new(config, "telepathy_version", json_string(TP_VERSION));
    json_object_set_new(config, "sender", model_json(&t->sender));
    json_object_set_new(config, "receiver", model_json(&t->receiver));
    json_object_set_new(config, "layer", json_integer(t->layer));
    json_object_set_new(config, "prompt", name_json(t->prompt));
    json_object_set_new(config, "task", name_json(t->task));
    json_object_set_new(config, "labels", labels_json(t));
    json_object_set_new(config, "recipe", tp_recipe_to_json(t->recipe));
    return config;
}

static void read_model(tp_json_reader *top, const char *key, tp_bridge_model *m) {
    tp_json_reader r;
    tp_json_object(top, key, &r);
    m->name = tp_strdup(tp_json_text(&r, "name", ""));
    const char *keys[] = {"fingerprint", "tokenizer"};
    char *places[] = {m->fingerprint, m->tokenizer};
    for (int i = 0; i < 2; i++) {
        const char *text = tp_json_text(&r, keys[i], "");
        if (*text && strlen(text) != 32) tp_json_error(&r, keys[i], "is \"%.40s\", 32 digits were expected", text);
        snprintf(places[i], 33, "%s", text);
    }
    tp_json_require(&r, "d_model");
    m->d_model = tp_json_int(&r, "d_model", 1, 1, WIDEST);
    m->kv_width = tp_json_int(&r, "kv_width", 0, 1, WIDEST);
    m->n_layers = (int)tp_json_int(&r, "n_layers", 0, 0, 100000);
    tp_json_end_object(top, &r, true);
}

static void read_labels(tp_json_reader *r, tp_trained_bridge *t) {
    json_t *list = tp_json_array(r, "labels"), *value;
    size_t i;
    if (json_array_size(list) > MOST_LABELS) {
        tp_json_error(r, "labels", "has %zu entries, at most %d were expected", json_array_size(list), MOST_LABELS);
        return;
    }
    t->labels = tp_alloc((json_array_size(list) + 1) * sizeof(char *));
    json_array_foreach(list, i, value) {
        char *label = bytes_of_json(value);
        if (label == NULL) {
            tp_json_error(r, "labels", "holds something that is not a string at place %zu", i);
            return;
        }
        t->labels[t->n_labels++] = label;
    }
}

static tp_status read_config(tp_trained_bridge *t, json_t *config, const char *path) {
    tp_json_reader r;
    tp_json_begin(&r, config, path);
    const char *type = tp_json_text(&r, "peft_type", "");
    if (r.status == TP_OK && strcmp(type, "TELEPATHY") != 0)
        tp_json_error(&r, "peft_type", "is \"%.40s\", \"TELEPATHY\" was expected: this adapter is not a bridge", type);
    tp_json_int(&r, "format_version", 0, FORMAT_VERSION, FORMAT_VERSION);
    tp_json_text(&r, "base_model_name_or_path", NULL);
    tp_json_text(&r, "telepathy_version", NULL);
    const char *const needed[] = {"format_version", "sender", "receiver", "layer", "prompt", "labels", "recipe"};
    for (int i = 0; i < 7; i++) tp_json_require(&r, needed[i]);
    read_model(&r, "sender", &t->sender);
    read_model(&r, "receiver", &t->receiver);
    t->layer = (int)tp_json_int(&r, "layer", 0, 0, 100000);
    t->prompt = tp_strdup(tp_json_text(&r, "prompt", ""));
    if (r.object && strstr(t->prompt, "{text}") == NULL) tp_json_error(&r, "prompt", "has no place {text}");
    t->task = tp_strdup(tp_json_text(&r, "task", ""));
    read_labels(&r, t);
    json_t *recipe = tp_json_any(&r, "recipe");
    TP_TRY(tp_json_end(&r, true));
    t->recipe = tp_recipe_from_json(recipe, path);
    if (t->recipe == NULL) return tp_fail_context("key `recipe`");
    if (t->recipe->bridge.injection == TP_INJECT_KV && t->receiver.kv_width == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `receiver.kv_width` is missing, whose keys and values are injected", path);
    if (t->recipe->bridge.soft_tokens == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `recipe.bridge.soft_tokens` is missing", path);
    return TP_OK;
}

/* ---- the tensors ---- */

typedef struct {
    tp_st_tensor *items;
    size_t n, capacity;
} tensor_list;

/* A vector has one dimension, a matrix two. */
static tp_st_tensor as_tensor(const tp_weight *w) {
    tp_st_tensor t = {.name = w->name,
                      .dtype = TP_F32,
                      .n_dims = w->rows == 1 ? 1 : 2,
                      .data = w->data,
                      .n_bytes = (size_t)(w->rows * w->cols) * sizeof(float)};
    t.shape[0] = w->rows == 1 ? w->cols : w->rows;
    t.shape[1] = w->rows == 1 ? 0 : w->cols;
    return t;
}

static void list_tensor(void *context, tp_weight *w) {
    tensor_list *list = context;
    tp_grow(&list->items, &list->capacity, list->n, sizeof *list->items);
    list->items[list->n++] = as_tensor(w);
}

typedef struct {
    const tp_safetensors *file;
    tp_status status;
    size_t n; /* tensors read */
} reading;

static void read_tensor(void *context, tp_weight *w) {
    reading *r = context;
    if (r->status != TP_OK) return;
    const tp_st_tensor *found = tp_safetensors_find(r->file, w->name);
    tp_st_tensor wanted = as_tensor(w);
    if (found == NULL)
        r->status = tp_last_status();
    else
        r->status = tp_st_check_shape(found, wanted.n_dims, wanted.shape);
    if (r->status == TP_OK && found->dtype != TP_F32)
        r->status = tp_fail(TP_ERR_FORMAT, "%s: tensor %s is of type %s, f32 was expected", found->file, w->name,
                            tp_dtype_name(found->dtype));
    if (r->status != TP_OK) return;
    float *values = tp_weight_values(w);
    memcpy(values, found->data, found->n_bytes);
    for (int64_t i = 0; i < w->rows * w->cols; i++)
        if (!isfinite(values[i])) {
            r->status = tp_fail(TP_ERR_FORMAT, "%s: tensor %s holds %g, finite numbers were expected", found->file,
                                w->name, values[i]);
            return;
        }
    r->n++;
}

static tp_status read_tensors(tp_trained_bridge *t, const tp_safetensors *file, const char *path) {
    char expected[33];
    binding(t, expected);
    const char *found = tp_safetensors_metadata(file, binding_key);
    if (found == NULL || strcmp(found, expected) != 0)
        return tp_fail(TP_ERR_FORMAT,
                       "%s does not belong to the %s beside it: they are of two different runs, or the "
                       "configuration was changed",
                       path, config_file);
    int64_t d_target = t->receiver.kv_width > 0 ? t->receiver.kv_width : t->receiver.d_model;
    int64_t count = tp_bridge_count(&t->recipe->bridge, t->sender.d_model, d_target), numbers = 0;
    if (count < 0) return tp_last_status();
    for (size_t i = 0; i < tp_safetensors_count(file); i++)
        numbers += (int64_t)(tp_safetensors_get(file, i)->n_bytes / sizeof(float));
    if (count > numbers) /* seen before anything is allocated, whatever the configuration asks for */
        return tp_fail(TP_ERR_FORMAT, "%s holds %lld numbers, the bridge of its %s has %lld", path, (long long)numbers,
                       config_file, (long long)count);
    t->bridge = tp_bridge_new(&t->recipe->bridge, t->sender.d_model, d_target, NULL, 0);
    if (t->bridge == NULL) return tp_last_status();
    reading r = {.file = file};
    tp_bridge_visit(t->bridge, read_tensor, &r);
    TP_TRY(r.status);
    if (r.n != tp_safetensors_count(file))
        return tp_fail(TP_ERR_FORMAT, "%s holds %zu tensors, the bridge of its %s has %zu", path,
                       tp_safetensors_count(file), config_file, r.n);
    return TP_OK;
}

/* ---- folders ---- */

tp_status tp_bridge_save(const char *folder, const tp_trained_bridge *t) {
    TP_TRY(tp_make_dirs(folder));
    char hex[33];
    binding(t, hex);
    tensor_list list = {0};
    tp_bridge_visit(t->bridge, list_tensor, &list);
    char *path = tp_path_join(folder, tensors_file);
    tp_status status =
        tp_safetensors_write(path, list.items, list.n, &(tp_st_metadata){.key = binding_key, .value = hex}, 1);
    tp_free(list.items);
    tp_free(path);
    TP_TRY(status);
    json_t *config = config_json(t);
    path = tp_path_join(folder, config_file);
    status = tp_json_save_file(config, path);
    tp_free(path);
    json_decref(config);
    return status == TP_OK ? tp_bridge_save_card(folder, t) : status;
}

/* What tells this trained bridge from any other: its tensors and what they mean. */
static void set_fingerprint(tp_trained_bridge *t) {
    char hex[33];
    binding(t, hex);
    tensor_list list = {0};
    tp_bridge_visit(t->bridge, list_tensor, &list);
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, hex);
    for (size_t i = 0; i < list.n; i++) tp_hash_add(h, list.items[i].data, list.items[i].n_bytes);
    tp_hash_end(h, t->fingerprint);
    tp_free(list.items);
}

tp_trained_bridge *tp_bridge_load(const char *folder) {
    char *path = tp_path_join(folder, config_file), *tensors = tp_path_join(folder, tensors_file);
    if (!tp_path_exists(path)) { /* a wrong name, or a training that was stopped before its first validation */
        tp_free(path);
        tp_free(tensors);
        return tp_fail_null(TP_ERR_IO,
                            "%s holds no trained bridge: there is no %s in it, which a training writes at its first "
                            "validation",
                            folder, config_file);
    }
    tp_trained_bridge *t = tp_alloc(sizeof *t);
    json_t *config = tp_json_load_file(path);
    tp_status status = config ? read_config(t, config, path) : tp_last_status();
    json_decref(config);
    tp_safetensors *file = status == TP_OK ? tp_safetensors_open(tensors) : NULL;
    if (file == NULL)
        status = tp_last_status();
    else
        status = read_tensors(t, file, tensors);
    tp_safetensors_close(file);
    tp_free(path);
    tp_free(tensors);
    if (status == TP_OK) {
        set_fingerprint(t);
        return t;
    }
    tp_trained_bridge_free(t);
    return NULL;
}

/* ---- the pair ---- */

static tp_status check_model(const tp_bridge_model *trained, const char *folder, const char *role, const tp_lm *lm) {
    const char *given = lm->path ? lm->path : "a model made in memory";
    if (strcmp(trained->fingerprint, lm->fingerprint) != 0 || trained->d_model != lm->config.d_model ||
        trained->n_layers != lm->config.n_layers)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the bridge in %s was trained with another %s: it wants %s (fingerprint %s), given was %s "
                       "(fingerprint %s)",
                       folder, role, trained->name, trained->fingerprint, given, lm->fingerprint);
    if (lm->tokenizer && *trained->tokenizer &&
        strcmp(trained->tokenizer, tp_tokenizer_fingerprint(lm->tokenizer)) != 0)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the bridge in %s was trained with another tokenizer of the %s: its fingerprint was %s, that of "
                       "%s is %s",
                       folder, role, trained->tokenizer, given, tp_tokenizer_fingerprint(lm->tokenizer));
    return TP_OK;
}

tp_status tp_bridge_check_models(const tp_trained_bridge *t, const char *folder, const tp_lm *sender,
                                 const tp_lm *receiver) {
    if (sender) TP_TRY(check_model(&t->sender, folder, "sender", sender));
    if (receiver) TP_TRY(check_model(&t->receiver, folder, "receiver", receiver));
    return TP_OK;
}

/* ---- for other checkpoints ---- */

tp_bridge_model tp_bridge_model_of(const tp_lm *lm) {
    return describe(lm);
}

json_t *tp_bridge_model_to_json(const tp_bridge_model *model) {
    return model_json(model);
}

void tp_bridge_model_read(tp_json_reader *r, const char *key, tp_bridge_model *model) {
    read_model(r, key, model);
}

tp_status tp_bridge_model_check(const tp_bridge_model *model, const char *folder, const char *role, const tp_lm *lm) {
    return check_model(model, folder, role, lm);
}

json_t *tp_bridge_labels_to_json(char *const *labels, int n_labels) {
    return labels_json(&(tp_trained_bridge){.labels = (char **)(uintptr_t)labels, .n_labels = n_labels});
}

void tp_bridge_labels_read(tp_json_reader *r, char ***labels, int *n_labels) {
    tp_trained_bridge t = {0};
    read_labels(r, &t);
    *labels = t.labels;
    *n_labels = t.n_labels;
}

tp_status tp_bridge_tensors_write(const char *path, tp_weight *const *weights, size_t n, const tp_st_metadata *line) {
    tensor_list list = {0};
    for (size_t i = 0; i < n; i++) list_tensor(&list, weights[i]);
    tp_status status = tp_safetensors_write(path, list.items, list.n, line, 1);
    tp_free(list.items);
    return status;
}

tp_status tp_bridge_tensors_read(const tp_safetensors *file, tp_weight *const *weights, size_t n) {
    reading r = {.file = file};
    for (size_t i = 0; i < n; i++) read_tensor(&r, weights[i]);
    TP_TRY(r.status);
    if (r.n != tp_safetensors_count(file))
        return tp_fail(TP_ERR_FORMAT, "%s holds %zu tensors, %zu were expected", tp_safetensors_get(file, 0)->file,
                       tp_safetensors_count(file), r.n);
    return TP_OK;
}
