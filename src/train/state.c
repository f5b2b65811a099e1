/* Saving and restoring a training run. See state.h. */
#include "train/state.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* Each parameter is stored three or four times: its values, its moments and, if one is kept, its average, under these
 * prefixes. */
enum { MOST_PARTS = 4 };
static const char *const prefixes[MOST_PARTS] = {"", "adamw.m.", "adamw.v.", "ema."};

static int n_parts(const tp_adamw *adamw) {
    return adamw->ema ? 4 : 3;
}

/* Where the parts of a weight are, whose first number is number `at` of all. */
static void find_parts(const tp_adamw *adamw, const tp_weight *w, int64_t at, float *parts[MOST_PARTS]) {
    parts[0] = tp_weight_values(w);
    parts[1] = adamw->m + at;
    parts[2] = adamw->v + at;
    parts[3] = adamw->ema ? adamw->ema->values + at : NULL;
}

static tp_st_tensor describe(tp_arena *arena, const tp_weight *w, int part, const float *data) {
    char *name = tp_format("%s%s", prefixes[part], w->name);
    tp_st_tensor t = {.name = tp_arena_strdup(arena, name),
                      .dtype = TP_F32,
                      .n_dims = 2,
                      .shape = {w->rows, w->cols},
                      .data = data,
                      .n_bytes = (size_t)(w->rows * w->cols) * sizeof(float)};
    tp_free(name);
    return t;
}

tp_status tp_state_save(const char *path, const tp_adamw *adamw, json_t *note) {
    const tp_params *params = adamw->params;
    tp_arena *arena = tp_arena_new();
    tp_st_tensor *tensors = tp_arena_alloc(arena, MOST_PARTS * params->n * sizeof *tensors);
    size_t n = 0;
    int64_t at = 0;
    for (size_t i = 0; i < params->n; i++) {
        const tp_weight *w = params->items[i];
        float *parts[MOST_PARTS];
        find_parts(adamw, w, at, parts);
        for (int part = 0; part < n_parts(adamw); part++) tensors[n++] = describe(arena, w, part, parts[part]);
        at += w->rows * w->cols;
    }
    json_object_set_new(note, "updates", json_integer(adamw->t));
    char *text = json_dumps(note, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    tp_st_metadata metadata = {"state", text};
    tp_status status = text ? tp_safetensors_write(path, tensors, n, &metadata, 1)
                            : tp_fail(TP_ERR_ARGUMENT, "cannot write %s: its counters have no JSON form", path);
    free(text);
    tp_arena_free(arena);
    return status;
}

static tp_status restore(const tp_safetensors *file, const char *path, tp_adamw *adamw, bool copy) {
    const tp_params *params = adamw->params;
    int64_t at = 0;
    size_t wanted = (size_t)n_parts(adamw) * params->n;
    if (tp_safetensors_count(file) != wanted)
        return tp_fail(TP_ERR_FORMAT, "%s holds %zu tensors, this run has %zu: it is the state of another run", path,
                       tp_safetensors_count(file), wanted);
    for (size_t i = 0; i < params->n; i++) {
        const tp_weight *w = params->items[i];
        float *parts[MOST_PARTS];
        find_parts(adamw, w, at, parts);
        for (int part = 0; part < n_parts(adamw); part++) {
            char *name = tp_format("%s%s", prefixes[part], w->name);
            const tp_st_tensor *t = tp_safetensors_find(file, name);
            tp_free(name);
            if (t == NULL) return tp_last_status();
            if (t->dtype != TP_F32 || t->n_dims != 2 || t->shape[0] != w->rows || t->shape[1] != w->cols)
                return tp_fail(TP_ERR_FORMAT,
                               "%s: `%s` has another shape or type than this run's: it is the state of another run",
                               path, t->name);
            if (copy) memcpy(parts[part], t->data, t->n_bytes);
        }
        at += w->rows * w->cols;
    }
    return TP_OK;
}

tp_status tp_state_load(const char *path, tp_adamw *adamw, json_t **note) {
    *note = NULL;
    tp_safetensors *file = tp_safetensors_open(path);
    if (file == NULL) return tp_last_status();
    const char *text = tp_safetensors_metadata(file, "state");
    tp_status status = TP_OK;
    if (text == NULL) status = tp_fail(TP_ERR_FORMAT, "%s is not the state of a training run: it has no `state`", path);
    if (status == TP_OK) status = restore(file, path, adamw, false); /* all is checked before anything is changed */
    if (status == TP_OK) {
        *note = tp_json_load_bytes(text, strlen(text), path);
        json_t *updates = json_object_get(*note, "updates");
        if (*note == NULL)
            status = tp_last_status();
        else if (!json_is_integer(updates) || json_integer_value(updates) < 0)
            status = tp_fail(TP_ERR_FORMAT, "%s: its counters are broken: `updates` is no number of updates", path);
    }
    if (status == TP_OK) {
        restore(file, path, adamw, true);
        adamw->t = json_integer_value(json_object_get(*note, "updates"));
    } else {
        json_decref(*note);
        *note = NULL;
    }
    tp_safetensors_close(file);
    return status;
}

/* The first key whose values differ in two objects that are not equal. */
static const char *differing_key(json_t *a, json_t *b) {
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value) if (!json_equal(value, json_object_get(b, key))) return key;
    json_object_foreach(b, key, value) if (json_object_get(a, key) == NULL) return key;
    return NULL;
}

/* A value as people may read it. */
static char *short_text(const json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    char *cut = tp_format("%.60s", text ? text : "nothing");
    free(text);
    return cut;
}

tp_status tp_state_check_run(const char *path, const json_t *note, const json_t *mine) {
    json_t *found = json_object_get(note, "run"), *expected = (json_t *)(uintptr_t)mine; /* only read */
    if (found && json_equal(found, expected)) return TP_OK;
    tp_str name = {0};
    for (const char *key; json_is_object(found) && json_is_object(expected); tp_str_append_text(&name, key)) {
        key = differing_key(expected, found);
        found = json_object_get(found, key);
        expected = json_object_get(expected, key);
        if (name.len) tp_str_append_char(&name, '.');
    }
    char *theirs = short_text(found), *ours = short_text(expected);
    tp_status status = tp_fail(TP_ERR_ARGUMENT,
                               "%s belongs to a run with another `%s`: %s, now %s; go on with the same command, or "
                               "choose another --out folder",
                               path, name.len ? name.data : "run", theirs, ours);
    tp_free(theirs);
    tp_free(ours);
    tp_str_free(&name);
    return status;
}
