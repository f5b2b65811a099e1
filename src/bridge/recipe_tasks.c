/* The recipe's `tasks`: further tasks that one bridge is trained on. Each is an object with a `task` (as the recipe's
 * own section), and maybe a `layout`, a `primer` and a `weight`; all else is the recipe's. See recipe.h. */
#include "base/mem.h"
#include "bridge/recipe_names.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 15 };

static double weight_of(const json_t *task) {
    const json_t *weight = json_object_get(task, "weight");
    return weight ? json_number_value(weight) : 1;
}

/* Keys, weight, and that no other is kept in a folder of the same name. The task itself is read with the recipe. */
static void check(tp_json_reader *top, json_t *list, size_t i) {
    char key[32];
    snprintf(key, sizeof key, "tasks[%zu]", i);
    json_t *value = json_array_get(list, i);
    if (!json_is_object(json_object_get(value, "task"))) {
        tp_json_error(top, key, "is not an object such as {\"task\": {\"name\": \"agnews\"}}");
        return;
    }
    tp_json_reader r = {.object = value, .file = top->file};
    snprintf(r.prefix, sizeof r.prefix, "%s.", key);
    tp_json_any(&r, "task");
    tp_json_text(&r, "layout", NULL);
    tp_json_text(&r, "primer", NULL);
    tp_json_real(&r, "weight", 1, 1e-6, 1e6);
    tp_json_end_object(top, &r, true);
    const char *name = json_string_value(json_object_get(json_object_get(value, "task"), "name"));
    for (size_t k = 0; name && k < i; k++) {
        const char *other =
            json_string_value(json_object_get(json_object_get(json_array_get(list, k), "task"), "name"));
        if (other && strcmp(name, other) == 0) tp_json_error(top, key, "is the task \"%s\" a second time", name);
    }
    json_t *alone = json_pack("{s:O}", "task", json_object_get(value, "task"));
    char *called = tp_format("%s: `%s`", top->file, key);
    tp_recipe *recipe = tp_recipe_from_json(alone, called);
    if (recipe == NULL && top->status == TP_OK) top->status = tp_last_status(); /* its sentence stands */
    tp_recipe_free(recipe);
    tp_free(called);
    json_decref(alone);
}

json_t *tp_recipe_read_tasks(tp_json_reader *top) {
    json_t *list = tp_json_array(top, "tasks");
    if (list == NULL || json_array_size(list) == 0) return NULL;
    if (json_array_size(list) > MOST) {
        tp_json_error(top, "tasks", "lists %zu tasks, at most %d were expected", json_array_size(list), MOST);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list) && top->status == TP_OK; i++) check(top, list, i);
    return json_incref(list);
}

int tp_recipe_n_further(const tp_recipe *recipe) {
    return (int)json_array_size(recipe->tasks);
}

double tp_recipe_further_weight(const tp_recipe *recipe, int i) {
    return weight_of(json_array_get(recipe->tasks, (size_t)i));
}

tp_recipe *tp_recipe_further(const json_t *recipe, int i) {
    json_t *one = json_deep_copy(recipe), *further = json_array_get(json_object_get(recipe, "tasks"), (size_t)i);
    const char *const keys[] = {"layout", "primer"};
    json_object_del(one, "tasks");
    json_object_del(one, "primer"); /* the first task's; each has its own */
    json_object_set(one, "task", json_object_get(further, "task"));
    for (int k = 0; k < 2; k++)
        if (json_object_get(further, keys[k])) json_object_set(one, keys[k], json_object_get(further, keys[k]));
    tp_recipe *result = tp_recipe_from_json(one, "recipe");
    json_decref(one);
    return result;
}
