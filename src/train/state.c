/* Saving and restoring a training run. See state.h. */
#include "train/state.h"

#include "base/json.h"
#include "base/mem.h"
#include "lm/safetensors.h"

#include <string.h>

/* Each parameter is stored three times: its values, and its moments under these prefixes. */
static const char *const prefixes[3] = {"", "adamw.m.", "adamw.v."};

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
    tp_st_tensor *tensors = tp_arena_alloc(arena, 3 * params->n * sizeof *tensors);
    size_t n = 0;
    int64_t at = 0;
    for (size_t i = 0; i < params->n; i++) {
        const tp_weight *w = params->items[i];
        const float *parts[3] = {w->data, adamw->m + at, adamw->v + at};
        for (int part = 0; part < 3; part++) tensors[n++] = describe(arena, w, part, parts[part]);
        at += w->rows * w->cols;
    }
    json_object_set_new(note, "updates", json_integer(adamw->t));
    char *text = json_dumps(note, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    tp_st_metadata metadata = {"state", text};
    tp_status status = tp_safetensors_write(path, tensors, n, &metadata, 1);
    free(text);
    tp_arena_free(arena);
    return status;
}

static tp_status restore(const tp_safetensors *file, const char *path, tp_adamw *adamw, bool copy) {
    const tp_params *params = adamw->params;
    int64_t at = 0;
    for (size_t i = 0; i < params->n; i++) {
        const tp_weight *w = params->items[i];
        float *parts[3] = {tp_weight_values(w), adamw->m + at, adamw->v + at};
        for (int part = 0; part < 3; part++) {
            char *name = tp_format("%s%s", prefixes[part], w->name);
            const tp_st_tensor *t = tp_safetensors_find(file, name);
            tp_free(name);
            if (t == NULL) return tp_last_status();
            if (t->dtype != TP_F32 || t->n_dims != 2 || t->shape[0] != w->rows || t->shape[1] != w->cols)
                return tp_fail(TP_ERR_FORMAT, "%s: `%s` has another shape or type than this run's", path, t->name);
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
        if (*note == NULL) status = tp_last_status();
    }
    if (status == TP_OK) {
        restore(file, path, adamw, true);
        adamw->t = json_integer_value(json_object_get(*note, "updates"));
    }
    tp_safetensors_close(file);
    return status;
}
