/* `telepathy recipes`: which recipes there are, what one says in full, where two differ, and what is odd about one. */
#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"
#include "bridge/recipe_check.h"
#include "bridge/recipe_list.h"
#include "cli/command.h"
#include "cli/source_tree.h"
#include "data/description.h"

#include <stdio.h>
#include <string.h>

static void put_json(json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
    json_decref(value);
}

/* ---- a recipe, completed ---- */

/* What is known of the recipe's task without its data; *task is NULL for files of one's own. */
static tp_status describe_task(const tp_recipe *recipe, tp_arena *arena, tp_task *room, const tp_task **task) {
    *task = NULL;
    if (recipe->task.name == NULL) return TP_OK;
    tp_description description;
    TP_TRY(tp_description_load(recipe->task.name, arena, room, &description));
    tp_description_free(&description); /* what a task takes from it lives in the arena */
    *task = room;
    return TP_OK;
}

/* By the task, if there is one: without it what depends on the number of classes stays open. */
static void complete(tp_recipe *recipe, const tp_task *task) {
    if (task) tp_recipe_complete(recipe, task->kind == TP_TASK_TEXT ? 0 : task->n_labels, task->primer);
}

static json_t *comment_json(const tp_recipe_comment *c) {
    return json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*}", "did", c->did, "reported", c->reported, "verdict", c->verdict,
                     "where", c->where, "here", c->here);
}

/* Calls `act` with a recipe by name and what is known of its task. */
static tp_status with_recipe(const tp_recipe_list *list, const char *name,
                             tp_status (*act)(tp_recipe *recipe, const tp_task *task, void *context), void *context) {
    char *path = tp_recipe_find(list, name);
    tp_recipe *recipe = path ? tp_recipe_load(path) : NULL;
    tp_free(path);
    if (recipe == NULL) return tp_last_status();
    tp_arena *arena = tp_arena_new();
    tp_task room = {0};
    const tp_task *task;
    tp_status status = describe_task(recipe, arena, &room, &task);
    if (status == TP_OK) {
        complete(recipe, task);
        status = act(recipe, task, context);
    }
    tp_arena_free(arena);
    tp_recipe_free(recipe);
    return status;
}

/* ---- list ---- */

/* "lm, 0.1 diversity", or how the losses are by the task. */
static char *losses_of(const tp_recipe *r) {
    tp_str text = {0};
    for (int i = 0; i < r->n_losses; i++) {
        const tp_loss_term *t = &r->losses[i];
        if (i) tp_str_append_text(&text, ", ");
        if (t->weight >= 0 && t->weight != 1) tp_str_appendf(&text, "%g ", t->weight);
        tp_str_append_text(&text, tp_loss_name_text(t->name));
    }
    if (r->n_losses == 0) tp_str_append_text(&text, "as usual");
    return tp_str_take(&text);
}

static json_t *entry_json(const tp_listed_recipe *item) {
    const tp_recipe *r = item->recipe;
    char *losses = losses_of(r);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:o}", "name", item->name, "file", item->path, "bridge",
                          r->latentwire ? "latentwire" : r->bridge.kind, "losses", losses, "task", r->task.name,
                          "comment", comment_json(&r->comment));
    tp_free(losses);
    return o;
}

static tp_status list_recipes(const tp_recipe_list *list, bool json, bool markdown) {
    if (json) {
        json_t *all = json_array();
        for (size_t i = 0; i < list->n; i++) json_array_append_new(all, entry_json(&list->items[i]));
        put_json(all);
        return TP_OK;
    }
    static const char *const plain[] = {"<recipe", "<bridge", "<losses", "<task", "<their verdict", NULL};
    static const char *const full[] = {"<recipe",        "<bridge",        "<losses", "<task", "<what they did",
                                       "<they reported", "<their verdict", "<where",  NULL};
    tp_table *t = tp_table_new();
    for (const char *const *heading = markdown ? full : plain; *heading; heading++) tp_table_column(t, *heading);
    for (size_t i = 0; i < list->n; i++) {
        const tp_recipe *r = list->items[i].recipe;
        const tp_recipe_comment *c = &r->comment;
        char *losses = losses_of(r);
        tp_table_cell(t, markdown ? "`%s`" : "%s", list->items[i].name);
        tp_table_cell(t, "%s%s", r->latentwire ? "latentwire" : r->bridge.kind,
                      r->bridge.injection == TP_INJECT_KV ? ", kv" : "");
        tp_table_cell(t, "%s", losses);
        tp_table_cell(t, "%s", r->task.name ? r->task.name : "");
        if (markdown) tp_table_cell(t, "%s", c->did ? c->did : "");
        if (markdown) tp_table_cell(t, "%s", c->reported ? c->reported : "");
        tp_table_cell(t, "%s", c->verdict ? c->verdict : "");
        if (markdown) tp_table_cell(t, "%s", c->where ? c->where : "");
        tp_free(losses);
    }
    char *text = tp_table_text(t, markdown ? TP_TABLE_MARKDOWN : TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(t);
    return TP_OK;
}

/* ---- show ---- */

/* A line for each leaf of the recipe. */
static void print_leaves(const char *path, json_t *value) {
    const char *key;
    json_t *inner;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach(value, key, inner) {
            char *below = tp_format("%s%s%s", path, *path ? "." : "", key);
            print_leaves(below, inner);
            tp_free(below);
        }
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        json_array_foreach(value, i, inner) {
            char *below = tp_format("%s[%zu]", path, i);
            print_leaves(below, inner);
            tp_free(below);
        }
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        printf("  %-32s %s\n", path, text);
        free(text);
    }
}

static tp_status show(tp_recipe *recipe, const tp_task *task, void *context) {
    (void)task;
    json_t *whole = tp_recipe_to_json(recipe);
    if (*(bool *)context) {
        json_object_set_new(whole, "comment", comment_json(&recipe->comment));
        put_json(whole);
        return TP_OK;
    }
    const tp_recipe_comment *c = &recipe->comment;
    const struct {
        const char *what, *text;
    } said[] = {{"What they did", c->did},
                {"They reported", c->reported},
                {"Their verdict", c->verdict},
                {"Where", c->where},
                {"Here", c->here}};
    printf("%s\n\n", recipe->name);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (said[i].text) printf("%s: %s\n", said[i].what, said[i].text);
    if (c->did || c->here) putchar('\n');
    print_leaves("", whole);
    json_decref(whole);
    return TP_OK;
}

/* ---- diff ---- */

static tp_status keep_json(tp_recipe *recipe, const tp_task *task, void *context) {
    (void)task;
    json_t *whole = tp_recipe_to_json(recipe);
    json_object_del(whole, "name");
    *(json_t **)context = whole;
    return TP_OK;
}

static void print_value(json_t *value) {
    char *text = json_is_null(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    fputs(text ? text : "nothing", stdout);
    free(text);
}

static tp_status diff(const tp_recipe_list *list, const char *a, const char *b, bool json) {
    json_t *first = NULL, *second = NULL, *difference;
    tp_status status = with_recipe(list, a, keep_json, &first);
    if (status == TP_OK) status = with_recipe(list, b, keep_json, &second);
    if (status == TP_OK) {
        json_t *found = json_array();
        tp_json_differences(found, "", first, second);
        size_t i;
        if (!json && json_array_size(found) == 0) printf("%s and %s say the same\n", a, b);
        json_array_foreach(found, i, difference) {
            if (json) continue;
            printf("%s: ", json_string_value(json_object_get(difference, "key")));
            print_value(json_object_get(difference, "first"));
            printf(" and ");
            print_value(json_object_get(difference, "second"));
            putchar('\n');
        }
        if (json)
            put_json(found);
        else
            json_decref(found);
    }
    json_decref(first);
    json_decref(second);
    return status;
}

/* ---- check ---- */

static tp_status check(tp_recipe *recipe, const tp_task *task, void *context) {
    if (task == NULL) tp_recipe_complete(recipe, 3, NULL); /* files of one's own: any number of classes */
    json_t *found = tp_recipe_check(recipe, task), *one;
    size_t i, wrong = 0;
    json_array_foreach(found, i, one) wrong += strcmp(json_string_value(json_object_get(one, "what")), "wrong") == 0;
    bool json = *(bool *)context;
    if (!json && json_array_size(found) == 0) printf("%s: nothing is wrong or unusual\n", recipe->name);
    json_array_foreach(found, i, one) if (!json) printf("%s: %s\n", json_string_value(json_object_get(one, "what")),
                                                        json_string_value(json_object_get(one, "sentence")));
    if (json)
        put_json(found);
    else
        json_decref(found);
    if (wrong == 0) return TP_OK;
    return tp_fail(TP_ERR_ARGUMENT, "the recipe %s cannot be trained as it is", recipe->name);
}

/* ---- the command ---- */

enum { LIST, SHOW, DIFF, CHECK };
static const char *const actions[] = {"list", "show", "diff", "check", NULL};

static tp_status act(tp_args *args, const tp_recipe_list *list, const char *const *names, size_t n) {
    static const size_t wanted[] = {0, 1, 2, 1};
    int action = tp_args_choice(args, "ACTION");
    bool json = tp_args_flag(args, "json");
    if (n != wanted[action])
        return tp_args_refuse(args, "`recipes %s` takes %s, %zu are given", actions[action],
                              action == LIST   ? "no recipes"
                              : action == DIFF ? "two recipes"
                                               : "one recipe",
                              n);
    switch (action) {
    case LIST:
        return list_recipes(list, json, tp_args_flag(args, "markdown"));
    case SHOW:
        return with_recipe(list, names[0], show, &json);
    case DIFF:
        return diff(list, names[0], names[1], json);
    default:
        return with_recipe(list, names[0], check, &json);
    }
}

static tp_status run(tp_args *args) {
    const char *const *names;
    size_t n = tp_args_list(args, "RECIPE", &names);
    const char *given = tp_args_text(args, "folder");
    char *folder = given ? tp_strdup(given) : tp_in_source_tree("recipes");
    tp_recipe_list list;
    tp_status status = tp_recipe_list_read(folder, &list);
    if (status == TP_OK) status = act(args, &list, names, n);
    tp_recipe_list_free(&list);
    tp_free(folder);
    return status;
}

const tp_command tp_cmd_recipes = {
    .name = "recipes",
    .summary = "list, show, compare and check recipes",
    .text =
        "A recipe is a JSON file that describes a whole experiment.\n\n"
        "  recipes list                what there is: bridge, losses, task, and what others found\n"
        "  recipes show RECIPE         every key, the defaults of its task filled in\n"
        "  recipes diff RECIPE RECIPE  the keys in which two differ, defaults filled in\n"
        "  recipes check RECIPE        what is wrong, or was a mistake before, in words\n\n"
        "A recipe is a file, or the name, number or words of one that comes with the program: "
        "phases/05-high-resolution, 05, high-resolution. Those in recipes/phases repeat experiments of others; their "
        "comment says what was done, reported and concluded, and where. `check` fails if the recipe cannot be "
        "trained; what is only unusual is said and no failure.",
    .examples = "telepathy recipes list\n"
                "telepathy recipes show 03-manifold-anchoring\n"
                "telepathy recipes diff 07 08\n"
                "telepathy recipes check my-recipe.json\n",
    .options =
        (const tp_option[]){
            {.name = "ACTION",
             .type = TP_OPT_CHOICE,
             .choices = actions,
             .positional = true,
             .required = true,
             .help = "list, show, diff or check"},
            {.name = "RECIPE", .type = TP_OPT_PATH, .positional = true, .many = true, .help = "files or names"},
            {.name = "folder",
             .type = TP_OPT_PATH,
             .value = "DIR",
             .help = "where recipes are looked for (default: those that come with the program)"},
            {.name = "markdown", .type = TP_OPT_FLAG, .help = "list: a table for documents, with all that is known"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
