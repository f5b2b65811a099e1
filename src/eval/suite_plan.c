/* The plan of a suite: models and data read, each run's key, what is done already, and how long the rest will take. See
 * suite.h.
 *
 * The key is a fingerprint of all that decides a run: the complete recipe but for names and places of files, and the
 * contents that those stand for, by their fingerprints. It names the run's folder too, so a recipe that was changed
 * meets no folder of the old one. */
#include "eval/suite_parts.h"

#include "base/file.h"
#include "base/hash.h"
#include "latentwire/checkpoint.h"
#include "train/experiment.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- models and data, each read once ---- */

static const tp_lm *load_model(tp_suite_plan *plan, const char *path, const char *role) {
    if (path == NULL)
        return tp_fail_null(TP_ERR_ARGUMENT, "no %s: give --%s DIR, or `models.%s` in the recipe", role, role, role);
    for (size_t i = 0; i < plan->n_models; i++)
        if (strcmp(plan->models[i].path, path) == 0) return plan->models[i].lm;
    tp_lm *lm = tp_lm_load(path, true);
    if (lm == NULL) return NULL;
    tp_grow(&plan->models, &plan->models_capacity, plan->n_models, sizeof *plan->models);
    plan->models[plan->n_models++] = (tp_planned_model){tp_strdup(path), lm};
    return lm;
}

static const tp_task *load_task(tp_suite_plan *plan, const tp_recipe *recipe) {
    json_t *all = tp_recipe_to_json(recipe);
    char *text = json_dumps(json_object_get(all, "task"), JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    for (size_t i = 0; i < plan->n_tasks; i++) {
        if (strcmp(plan->tasks[i].text, text) != 0) continue;
        free(text);
        return plan->tasks[i].task;
    }
    tp_task *task = tp_recipe_load_task(recipe);
    if (task) {
        tp_grow(&plan->tasks, &plan->tasks_capacity, plan->n_tasks, sizeof *plan->tasks);
        plan->tasks[plan->n_tasks++] = (tp_planned_task){tp_strdup(text), task};
    }
    free(text);
    return task;
}

/* ---- keys ---- */

static void remove_key(json_t *object, const char *section, const char *key) {
    json_object_del(section ? json_object_get(object, section) : object, key);
}

/* The recipe without what says where something is, or what it is called. */
static char *recipe_text(const tp_recipe *recipe) {
    json_t *r = tp_recipe_to_json(recipe);
    remove_key(r, NULL, "name");
    remove_key(r, NULL, "models");
    remove_key(r, NULL, "cache");
    remove_key(r, "task", "data");
    remove_key(r, "task", "train_file");
    remove_key(r, "task", "test_file");
    char *text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_decref(r);
    return text;
}

static void hash_model(tp_hash *h, const tp_lm *lm) {
    tp_hash_add_text(h, lm->fingerprint);
    tp_hash_add_text(h, tp_tokenizer_fingerprint(lm->tokenizer));
}

static void key_of(const tp_relay *relay, const tp_task *task, char hex[33]) {
    char *recipe = recipe_text(relay->recipe);
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, "telepathy run 1");
    tp_hash_add_text(h, recipe);
    tp_hash_add_text(h, relay->prompt);
    for (int i = 0; i < relay->n_labels; i++) tp_hash_add_text(h, relay->label_names[i]);
    hash_model(h, relay->sender);
    hash_model(h, relay->receiver);
    tp_hash_add_text(h, task->train.fingerprint);
    tp_hash_add_text(h, task->valid.fingerprint);
    tp_hash_add_text(h, task->test.fingerprint);
    tp_hash_end(h, hex);
    free(recipe);
}

/* ---- what is there ---- */

static bool has_file(const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    bool there = tp_path_exists(path);
    tp_free(path);
    return there;
}

/* Is `name` one of the names with commas between them? */
static bool listed(const char *names, const char *name) {
    size_t n = strlen(name);
    for (const char *at = names; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    return false;
}

char *tp_suite_settings(const tp_suite *suite) {
    return tp_format("timed %lld, prompt steps %lld", (long long)suite->n_timed, (long long)suite->prompt_steps);
}

/* Was it evaluated as the suite wants it? More texts timed are as good. */
static bool same_settings(const tp_suite *suite, const char *settings) {
    long long timed, steps;
    return settings && sscanf(settings, "timed %lld, prompt steps %lld", &timed, &steps) == 2 &&
           timed >= suite->n_timed && steps == suite->prompt_steps;
}

static bool complete(const tp_suite *suite, const tp_task *task, const tp_run_entry *e) {
    bool all = same_settings(suite, e->settings);
    for (int m = 0; tp_methods[m] && all; m++) {
        bool can = task->kind != TP_TASK_TEXT || tp_methods[m]->free_answers;
        all = !suite->wanted[m] || !can || listed(e->methods, tp_methods[m]->name);
    }
    for (int d = 0; suite->documents[d] && all; d++) all = listed(e->documents, suite->documents[d]);
    return all;
}

/* How far the run in that folder is. */
static tp_place_state state_of(const tp_suite_plan *plan, const char *name) {
    char *folder = tp_path_join(plan->out, name);
    bool bridge = has_file(folder, "adapter_model.safetensors") && has_file(folder, "adapter_config.json");
    bridge = bridge || (has_file(folder, "latentwire.safetensors") && tp_latentwire_is(folder));
    tp_place_state state = bridge && has_file(folder, "train.json") ? TP_PLACE_TRAINED
                           : has_file(folder, "state.safetensors")  ? TP_PLACE_STARTED
                                                                    : TP_PLACE_NEW;
    tp_free(folder);
    return state;
}

/* A run that another suite made, under a name of its own, is taken as it is. */
static void look(tp_suite_plan *plan, size_t i, const tp_run_list *list) {
    tp_suite_place *place = &plan->places[i];
    place->state = state_of(plan, place->folder);
    for (size_t k = 0; k < list->n; k++) {
        const tp_run_entry *e = &list->runs[k];
        if (strcmp(e->key, place->key) != 0 || strcmp(e->state, "done") != 0) continue;
        plan->known[i].train_seconds = e->circumstances.train_seconds;
        plan->known[i].evaluate_seconds = e->circumstances.evaluate_seconds;
        if (e->folder && state_of(plan, e->folder) == TP_PLACE_TRAINED) {
            tp_free(place->folder);
            place->folder = tp_strdup(e->folder);
            place->state = complete(plan->suite, place->task, e) ? TP_PLACE_DONE : TP_PLACE_TRAINED;
        }
    }
}

/* ---- the plan ---- */

static tp_status plan_place(tp_suite_plan *plan, size_t i) {
    const tp_suite_cell *cell = &plan->suite->cells[i];
    tp_suite_place *place = &plan->places[i];
    plan->known[i] = (tp_known_times){NAN, NAN};
    tp_recipe *recipe = tp_recipe_from_json(cell->recipe, cell->name);
    if (recipe == NULL) return tp_last_status();
    const char *sender = recipe->models.sender, *receiver = recipe->models.receiver;
    if (recipe->latentwire &&
        recipe->latentwire->n_receivers > 0) { /* it names its receivers, and may need no sender */
        receiver = recipe->latentwire->receivers[0];
        if (!tp_latentwire_taps(recipe->latentwire)) sender = receiver;
    }
    place->sender = load_model(plan, sender, "sender");
    place->receiver = place->sender ? load_model(plan, receiver, "receiver") : NULL;
    place->task = place->receiver ? load_task(plan, recipe) : NULL;
    if (place->task == NULL) {
        tp_recipe_free(recipe);
        return tp_fail_context("%s", cell->name);
    }
    tp_relay *relay = tp_relay_new(recipe, place->sender, place->receiver, place->task); /* takes the recipe over */
    if (relay == NULL) return tp_fail_context("%s", cell->name);
    key_of(relay, place->task, place->key);
    place->recipe = relay->recipe;
    relay->recipe = NULL;
    tp_relay_free(relay);
    place->folder = tp_format("runs/%s-%.8s", cell->name, place->key);
    return TP_OK;
}

static tp_status look_at_all(tp_suite_plan *plan) {
    tp_run_list list = {0};
    tp_status status = TP_OK;
    if (has_file(plan->out, "runs.db")) {
        tp_registry *registry = tp_registry_open_in(plan->out, false);
        status = registry ? tp_registry_list(registry, NULL, &list) : tp_last_status();
        tp_registry_close(registry);
    }
    for (size_t i = 0; i < plan->n && status == TP_OK; i++) look(plan, i, &list);
    tp_run_list_free(&list);
    return status;
}

tp_suite_plan *tp_suite_plan_new(const tp_suite *suite, const char *out) {
    tp_suite_plan *plan = tp_alloc(sizeof *plan);
    plan->suite = suite;
    plan->out = tp_strdup(out);
    plan->n = suite->n;
    plan->places = tp_alloc(plan->n * sizeof *plan->places);
    plan->known = tp_alloc(plan->n * sizeof *plan->known);
    tp_status status = TP_OK;
    for (size_t i = 0; i < plan->n && status == TP_OK; i++) status = plan_place(plan, i);
    if (status == TP_OK) status = look_at_all(plan);
    if (status == TP_OK) {
        tp_suite_estimate(plan);
        return plan;
    }
    tp_suite_plan_free(plan);
    return NULL;
}

void tp_suite_plan_free(tp_suite_plan *plan) {
    if (plan == NULL) return;
    for (size_t i = 0; i < plan->n; i++) {
        tp_recipe_free(plan->places[i].recipe);
        tp_free(plan->places[i].folder);
    }
    for (size_t i = 0; i < plan->n_models; i++) {
        tp_free(plan->models[i].path);
        tp_lm_free(plan->models[i].lm);
    }
    for (size_t i = 0; i < plan->n_tasks; i++) {
        tp_free(plan->tasks[i].text);
        tp_task_free(plan->tasks[i].task);
    }
    tp_free(plan->models);
    tp_free(plan->tasks);
    tp_free(plan->places);
    tp_free(plan->known);
    tp_free(plan->out);
    tp_free(plan);
}

const tp_suite_place *tp_suite_plan_place(const tp_suite_plan *plan, size_t i) {
    return &plan->places[i];
}
