/* Reading a suite's file and laying out its grid. See suite.h. */
#include "base/file.h"
#include "base/str.h"
#include "eval/suite.h"

#include <string.h>

enum { MOST_CELLS = 100000 };

/* One axis of the grid: a name for the cell, a value, what it means to a recipe. */
typedef struct {
    const char *name; /* "soft_tokens"; NULL: the axis is not there, and has one value that changes nothing */
    json_t *values;   /* list, borrowed */
} axis;

enum { RECIPE, VARIANT, DIRECTION, LAYER, SOFT_TOKENS, TRAIN_SIZE, SEED, N_AXES };

typedef struct {
    tp_suite *suite;
    const char *path;
    const tp_suite_changes *changes;
    axis axes[N_AXES];
    json_t *recipes; /* list of objects, with names; owned */
    json_t *overrides;
    json_t *defaults; /* values of the axes that are not there; owned */
    size_t capacity;
} grid;

/* ---- reading ---- */

/* Merges changes into a recipe, which shares nothing with them afterwards. */
static void merge(json_t *recipe, json_t *changes) {
    json_t *own = json_deep_copy(changes);
    json_object_update_recursive(recipe, own);
    json_decref(own);
}

/* Every member of a list must be an integer from `least` on (`fractions`: or a share of 1). */
static void check_numbers(tp_json_reader *r, const char *key, const json_t *list, int64_t least, bool fractions) {
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)list, i, value) {
        bool share = fractions && json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) <= 1;
        if (!share && !(json_is_integer(value) && json_integer_value(value) >= least))
            tp_json_error(r, key, "holds a value that is not %s, at place %zu", fractions ? "a layer" : "such a number",
                          i + 1);
    }
}

static json_t *read_axis(tp_json_reader *r, grid *g, int which, const char *key, int64_t least) {
    json_t *list = tp_json_array(r, key);
    if (list && json_array_size(list) == 0) tp_json_error(r, key, "is empty; leave it out, or give it a value");
    if (list == NULL) return NULL;
    g->axes[which] = (axis){key, list};
    if (least >= 0) check_numbers(r, key, list, least, which == LAYER);
    return list;
}

static void read_directions(tp_json_reader *r, grid *g) {
    json_t *list = read_axis(r, g, DIRECTION, "directions", -1), *value;
    size_t i;
    json_array_foreach(list, i, value) {
        const char *text = json_string_value(value);
        if (text == NULL || (strcmp(text, "forward") != 0 && strcmp(text, "reverse") != 0))
            tp_json_error(r, "directions", "holds something else than \"forward\" and \"reverse\", at place %zu",
                          i + 1);
    }
}

static void read_variants(tp_json_reader *r, grid *g) {
    json_t *list = read_axis(r, g, VARIANT, "variants", -1), *value;
    size_t i;
    json_array_foreach(list, i, value) {
        tp_json_reader v;
        char name[64];
        snprintf(name, sizeof name, "variants[%zu]", i);
        tp_json_begin(&v, value, g->path);
        snprintf(v.prefix, sizeof v.prefix, "%s.", name);
        tp_json_require(&v, "name");
        tp_json_text(&v, "name", "");
        json_t *recipe = tp_json_any(&v, "recipe");
        if (recipe && !json_is_object(recipe)) tp_json_error(&v, "recipe", "is not an object of recipe keys");
        tp_json_end_object(r, &v, true);
    }
}

/* A recipe's file, which lies beside the suite's; with the name it has by itself. NULL on error. */
static json_t *load_recipe(const grid *g, const char *name) {
    const char *slash = strrchr(g->path, '/');
    char *folder = slash && name[0] != '/' ? tp_strndup(g->path, (size_t)(slash - g->path)) : NULL;
    char *path = folder ? tp_path_join(folder, name) : tp_strdup(name);
    json_t *recipe = tp_json_load_file(path);
    tp_recipe *whole = recipe ? tp_recipe_load(path) : NULL; /* mistakes are told of the file that holds them */
    if (whole) {
        json_object_set_new(recipe, "name", json_string(whole->name));
    } else {
        tp_fail_context("%s", g->path);
        json_decref(recipe);
        recipe = NULL;
    }
    tp_recipe_free(whole);
    tp_free(folder);
    tp_free(path);
    return recipe;
}

/* A recipe of the list: the name of a file, or an object: a recipe, with `file` one that changes the file's. */
static json_t *read_recipe(tp_json_reader *r, const grid *g, json_t *value, size_t place) {
    const char *file = json_string_value(json_is_object(value) ? json_object_get(value, "file") : value);
    if (file == NULL && !json_is_object(value)) {
        tp_json_error(r, "recipes", "holds neither a file name nor a recipe, at place %zu", place + 1);
        return NULL;
    }
    json_t *recipe = file ? load_recipe(g, file) : json_object();
    if (recipe == NULL) {
        r->status = tp_last_status();
        return NULL;
    }
    if (json_is_object(value)) {
        merge(recipe, value);
        json_object_del(recipe, "file");
    }
    if (!json_is_string(json_object_get(recipe, "name")))
        tp_json_error(r, "recipes", "holds a recipe without a `name`, at place %zu", place + 1);
    return recipe;
}

static void read_recipes(tp_json_reader *r, grid *g) {
    tp_json_require(r, "recipes");
    json_t *list = tp_json_array(r, "recipes"), *value;
    if (list && json_array_size(list) == 0) tp_json_error(r, "recipes", "is empty, at least one recipe was expected");
    size_t i;
    json_array_foreach(list, i, value) {
        json_t *recipe = r->status == TP_OK ? read_recipe(r, g, value, i) : NULL;
        if (recipe) json_array_append_new(g->recipes, recipe);
    }
    g->axes[RECIPE] = (axis){"recipe", g->recipes};
}

static void read_methods(tp_json_reader *r, tp_suite *suite) {
    json_t *list = tp_json_array(r, "methods"), *value;
    for (int m = 0; tp_methods[m]; m++) suite->wanted[m] = list == NULL && !tp_methods[m]->on_request;
    size_t i;
    json_array_foreach(list, i, value) {
        const char *name = json_string_value(value);
        const tp_method *method = name ? tp_method_find(name) : NULL;
        if (method == NULL)
            tp_json_error(r, "methods", "%s", name ? tp_last_error() : "holds something that is not a name");
        for (int m = 0; method && tp_methods[m]; m++) suite->wanted[m] |= tp_methods[m] == method;
    }
}

static void read_documents(tp_json_reader *r, tp_suite *suite) {
    json_t *list = tp_json_array(r, "documents"), *value;
    if (json_array_size(list) > TP_MOST_DOCUMENTS) {
        tp_json_error(r, "documents", "are more than %d", TP_MOST_DOCUMENTS);
        return;
    }
    size_t i;
    json_array_foreach(list, i, value) {
        const char *name = suite->documents[i] = json_string_value(value);
        json_t *settings = name ? tp_json_any(r, name) : NULL; /* whoever makes it knows what they mean */
        if (name == NULL) tp_json_error(r, "documents", "holds something that is not a name");
        if (settings && !json_is_object(settings)) tp_json_error(r, name, "is not an object");
    }
}

static tp_status read_file(grid *g, json_t *value) {
    tp_json_reader r, evaluation;
    tp_suite *suite = g->suite;
    tp_json_begin(&r, value, g->path);
    const char *slash = strrchr(g->path, '/'), *stem = slash ? slash + 1 : g->path, *dot = strrchr(stem, '.');
    char *own = tp_strndup(stem, dot && dot > stem ? (size_t)(dot - stem) : strlen(stem));
    suite->name = tp_strdup(tp_json_text(&r, "name", own));
    tp_free(own);
    tp_json_text(&r, "title", "");
    read_recipes(&r, g);
    g->overrides = tp_json_any(&r, "overrides");
    if (g->overrides && !json_is_object(g->overrides))
        tp_json_error(&r, "overrides", "is not an object of recipe keys");
    read_variants(&r, g);
    read_directions(&r, g);
    read_axis(&r, g, LAYER, "layers", 0);
    read_axis(&r, g, SOFT_TOKENS, "soft_tokens", 1);
    read_axis(&r, g, TRAIN_SIZE, "train_sizes", 1);
    read_axis(&r, g, SEED, "seeds", 0);
    read_methods(&r, suite);
    read_documents(&r, suite);
    tp_json_object(&r, "evaluation", &evaluation);
    suite->n_timed = tp_json_int(&evaluation, "timed", 50, 0, 1000);
    suite->prompt_steps = tp_json_int(&evaluation, "prompt_steps", 1000, 0, INT64_MAX);
    tp_json_end_object(&r, &evaluation, true);
    return tp_json_end(&r, true);
}

/* ---- the grid ---- */

static json_t *part(json_t *recipe, const char *key) {
    json_t *inner = json_object_get(recipe, key);
    if (!json_is_object(inner)) json_object_set_new(recipe, key, inner = json_object());
    return inner;
}

/* Swaps the two models, which both must be known. */
static tp_status reverse(json_t *recipe, const char *path) {
    json_t *models = part(recipe, "models");
    json_t *sender = json_object_get(models, "sender"), *receiver = json_object_get(models, "receiver");
    if (sender == NULL || receiver == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "%s: the direction \"reverse\" swaps two models; the recipe names fewer", path);
    json_incref(sender);
    json_object_set(models, "sender", receiver);
    json_object_set_new(models, "receiver", sender);
    return TP_OK;
}

static void apply_changes(json_t *recipe, const tp_suite_changes *c) {
    if (c == NULL) return;
    if (c->sender) json_object_set_new(part(recipe, "models"), "sender", json_string(c->sender));
    if (c->receiver) json_object_set_new(part(recipe, "models"), "receiver", json_string(c->receiver));
    if (c->data) json_object_set_new(part(recipe, "task"), "data", json_string(c->data));
}

/* What an axis' value changes in a recipe, and adds to the run's name and its place. */
static tp_status apply_axis(const grid *g, int which, json_t *value, json_t *recipe, json_t *where, tp_str *name) {
    const char *key = g->axes[which].name;
    if (key == NULL) return TP_OK;
    switch (which) {
    case RECIPE:
        tp_str_append_text(name, json_string_value(json_object_get(value, "name")));
        json_object_set(where, "recipe", json_object_get(value, "name"));
        if (json_object_get(value, "comment")) json_object_set(where, "comment", json_object_get(value, "comment"));
        return TP_OK;
    case VARIANT:
        merge(recipe, json_object_get(value, "recipe"));
        tp_str_appendf(name, "-%s", json_string_value(json_object_get(value, "name")));
        json_object_set(where, "variant", json_object_get(value, "name"));
        return TP_OK;
    case DIRECTION:
        json_object_set(where, "direction", value);
        if (strcmp(json_string_value(value), "forward") == 0) return TP_OK;
        tp_str_append_text(name, "-reverse");
        return reverse(recipe, g->path);
    case LAYER:
        json_object_set(part(recipe, "sender"), "layer", value);
        json_object_set(where, "layer", value);
        if (json_is_integer(value))
            tp_str_appendf(name, "-l%lld", (long long)json_integer_value(value));
        else
            tp_str_appendf(name, "-l%g", json_real_value(value));
        return TP_OK;
    case SOFT_TOKENS:
        json_object_set(part(recipe, "bridge"), "soft_tokens", value);
        json_object_set(where, "soft_tokens", value);
        tp_str_appendf(name, "-m%lld", (long long)json_integer_value(value));
        return TP_OK;
    case TRAIN_SIZE:
        json_object_set(part(recipe, "task"), "max_train", value);
        json_object_set(where, "train_size", value);
        tp_str_appendf(name, "-n%lld", (long long)json_integer_value(value));
        return TP_OK;
    default:
        json_object_set(recipe, "seed", value);
        return TP_OK;
    }
}

/* Task and seed, which every cell has. */
static void name_task_and_seed(tp_suite_cell *cell, tp_str *name) {
    const json_t *task = json_object_get(cell->recipe, "task"), *seed = json_object_get(cell->recipe, "seed");
    json_t *task_name = json_object_get(task, "name");
    json_object_set_new(cell->where, "task", task_name ? json_incref(task_name) : json_null());
    json_int_t number = json_is_integer(seed) ? json_integer_value(seed) : 42; /* the recipe's default */
    json_object_set_new(cell->where, "seed", json_integer(number));
    tp_str_appendf(name, "-%lld", (long long)number);
}

static tp_status check_cell(const grid *g, const tp_suite_cell *cell) {
    for (const char *c = cell->name; *c; c++)
        if (*c == '/' || (unsigned char)*c < ' ')
            return tp_fail(TP_ERR_FORMAT, "%s: \"%s\" is no name for a folder", g->path, cell->name);
    for (size_t i = 0; i < g->suite->n; i++)
        if (strcmp(g->suite->cells[i].name, cell->name) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s: two places of the grid are called %s", g->path, cell->name);
    tp_recipe *recipe = tp_recipe_from_json(cell->recipe, cell->name); /* a key nobody knows is found before any work */
    tp_recipe_free(recipe);
    return recipe ? TP_OK : tp_fail_context("%s", g->path);
}

static tp_status add_cell(grid *g, const size_t at[N_AXES]) {
    json_t *values[N_AXES];
    for (int a = 0; a < N_AXES; a++) values[a] = json_array_get(g->axes[a].values, at[a]);
    tp_grow(&g->suite->cells, &g->capacity, g->suite->n, sizeof *g->suite->cells);
    tp_suite_cell cell = {.where = json_object(), .recipe = json_deep_copy(values[RECIPE])};
    merge(cell.recipe, g->overrides);
    apply_changes(cell.recipe, g->changes);
    tp_str name = {0};
    tp_status status = TP_OK;
    for (int a = 0; a < N_AXES && status == TP_OK; a++)
        status = apply_axis(g, a, values[a], cell.recipe, cell.where, &name);
    name_task_and_seed(&cell, &name);
    cell.name = tp_str_take(&name);
    if (status == TP_OK) status = check_cell(g, &cell);
    g->suite->cells[g->suite->n] = cell;
    g->suite->n++; /* also after an error: it is freed with the others */
    return status;
}

static bool same_but(json_t *a, json_t *b, const char *key) {
    json_t *x = json_copy(a), *y = json_copy(b);
    json_object_del(x, key);
    json_object_del(y, key);
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* Who leads whom. */
static void group(tp_suite *suite) {
    for (size_t i = 0; i < suite->n; i++) {
        tp_suite_cell *cell = &suite->cells[i];
        cell->leader = cell->donor = i;
        for (size_t k = 0; k < i && cell->leader == i; k++)
            if (same_but(suite->cells[k].recipe, cell->recipe, "seed")) cell->leader = k;
        for (size_t k = 0; k < i && cell->donor == i; k++)
            if (json_equal(json_object_get(suite->cells[k].recipe, "task"), json_object_get(cell->recipe, "task")))
                cell->donor = k;
    }
}

static tp_status lay_out(grid *g) {
    size_t sizes[N_AXES], at[N_AXES] = {0}, total = 1;
    for (int a = 0; a < N_AXES; a++) {
        if (g->axes[a].values == NULL) g->axes[a].values = g->defaults;
        sizes[a] = json_array_size(g->axes[a].values);
        total *= sizes[a];
        if (total > MOST_CELLS)
            return tp_fail(TP_ERR_ARGUMENT, "%s: the grid has more than %d places", g->path, MOST_CELLS);
    }
    for (size_t i = 0; i < total; i++) {
        TP_TRY(add_cell(g, at));
        for (int a = N_AXES - 1; a >= 0 && ++at[a] == sizes[a]; a--) at[a] = 0;
    }
    group(g->suite);
    return TP_OK;
}

tp_suite *tp_suite_from_json(json_t *value, const char *path, const tp_suite_changes *changes) {
    tp_suite *suite = tp_alloc(sizeof *suite);
    suite->definition = json_incref(value);
    grid g = {.suite = suite, .path = path, .changes = changes, .recipes = json_array(), .defaults = json_array()};
    json_array_append_new(g.defaults, json_null());
    tp_status status = read_file(&g, value);
    if (status == TP_OK) status = lay_out(&g);
    json_decref(g.recipes);
    json_decref(g.defaults);
    if (status == TP_OK) return suite;
    tp_suite_free(suite);
    return NULL;
}

tp_suite *tp_suite_load(const char *path, const tp_suite_changes *changes) {
    json_t *value = tp_json_load_file(path);
    if (value == NULL) return NULL;
    tp_suite *suite = tp_suite_from_json(value, path, changes);
    json_decref(value);
    return suite;
}

void tp_suite_free(tp_suite *suite) {
    if (suite == NULL) return;
    for (size_t i = 0; i < suite->n; i++) {
        tp_free(suite->cells[i].name);
        json_decref(suite->cells[i].where);
        json_decref(suite->cells[i].recipe);
    }
    tp_free(suite->cells);
    tp_free(suite->name);
    json_decref(suite->definition);
    tp_free(suite);
}
