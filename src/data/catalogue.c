/* The list of built-in tasks. See catalogue.h. */
#include "data/catalogue.h"

#include "data/description.h"

static json_t *rows_or_null(const tp_description *d, json_t *list, tp_arena *arena) {
    tp_task_file file;
    bool known = tp_description_file(d, list, 0, arena, &file) && file.rows > 0;
    return known ? json_integer((json_int_t)file.rows) : json_null();
}

static json_t *files_to_fetch(const tp_description *d) {
    json_t *files = json_array(), *entry;
    size_t i;
    json_array_foreach(d->published, i, entry) {
        json_t *file = json_object();
        json_object_set(file, "name", json_object_get(entry, "name"));
        json_object_set(file, "size", json_object_get(entry, "size"));
        json_object_set(file, "url", json_object_get(entry, "url"));
        json_array_append_new(files, file);
    }
    return files;
}

static json_t *describe(const tp_task *task, const tp_description *d, tp_arena *arena) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(task->name));
    json_object_set_new(o, "title", json_string(task->title));
    json_object_set_new(o, "kind", json_string(tp_task_kind_name(task->kind)));
    json_object_set_new(o, "labels", json_integer(task->n_labels));
    json_object_set_new(o, "train_rows", rows_or_null(d, d->train, arena));
    json_object_set_new(o, "test_rows", rows_or_null(d, d->test, arena));
    json_object_set_new(o, "licence", json_string(d->licence));
    json_object_set_new(o, "home", json_string(d->home));
    json_object_set_new(o, "files", files_to_fetch(d));
    return o;
}

json_t *tp_catalogue(void) {
    json_t *list = json_array();
    for (const char *const *name = tp_task_names(); *name; name++) {
        tp_arena *arena = tp_arena_new();
        tp_task task = {0};
        tp_description d;
        tp_status status = tp_description_load(*name, arena, &task, &d);
        if (status == TP_OK) {
            json_array_append_new(list, describe(&task, &d, arena));
            tp_description_free(&d);
        }
        tp_arena_free(arena);
        if (status == TP_OK) continue;
        json_decref(list);
        return NULL;
    }
    return list;
}
