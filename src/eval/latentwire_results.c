/* A LatentWire's evaluation in the form of any run's. See latentwire_eval.h. */
#include "eval/latentwire_eval.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "latentwire/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const json_t *row_named(const json_t *found, const char *name) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(found, "rows"), i,
                       row) if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0) return row;
    return NULL;
}

/* The row's answers, as a method's. */
static tp_method_result result_of(const json_t *row) {
    tp_method_result result = tp_method_result_new();
    for (tp_reading r = 0; r < TP_N_READINGS; r++) {
        const json_t *reading = json_object_get(row, tp_reading_name(r));
        const json_t *list = json_object_get(reading, "predictions"), *label;
        size_t i;
        if (list == NULL) continue;
        result.readings[r].predictions = tp_predictions_new(json_array_size(list));
        json_array_foreach(list, i, label) result.readings[r].predictions.labels[i] =
            (int32_t)json_integer_value(label);
    }
    const char *note = json_string_value(json_object_get(row, "note"));
    if (note) result.note = tp_strdup(note);
    return result;
}

/* "receivers weigh 0.6 and 0.4" */
static char *describe_weights(const json_t *row) {
    const json_t *weights = json_object_get(row, "weights");
    tp_str text = {0};
    tp_str_append_text(&text, "receivers weigh");
    for (size_t k = 0; k < json_array_size(weights); k++)
        tp_str_appendf(&text, "%s %g", k == 0 ? "" : " and", json_real_value(json_array_get(weights, k)));
    return tp_str_take(&text);
}

static tp_status add_method(tp_eval *eval, const json_t *found, const tp_method *method, tp_results *mine) {
    const struct {
        const tp_method *method;
        const char *row; /* with the best receiver's number behind it where it ends in _ */
    } known[] = {{&tp_method_majority, "majority"}, {&tp_method_words, "words"},
                 {&tp_method_receiver, "text_"},    {&tp_method_bridge, "joint"},
                 {&tp_method_zero, "zero_"},        {&tp_method_shuffled, "joint_shuffled"}};
    tp_method_result result = tp_method_result_new();
    tp_status status = TP_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].method != method) continue;
        char name[32];
        snprintf(name, sizeof name, tp_ends_with(known[i].row, "_") ? "%s%d" : "%s", known[i].row,
                 (int)json_integer_value(json_object_get(found, "best_receiver")));
        const json_t *row = row_named(found, name);
        if (row) result = result_of(row);
        if (method == &tp_method_bridge) result.setting = describe_weights(row);
        if (method->group >= TP_GROUP_BRIDGE) result.bytes = json_real_value(json_object_get(found, "bytes"));
        tp_results_put(mine, method, &result);
        return TP_OK;
    }
    if (method->needs & (TP_NEEDS_SENDER | TP_NEEDS_BRIDGE))
        result.note = tp_strdup("not measured: one latent for several receivers is no bridge between two models");
    else
        status = method->run(eval, &result);
    if (status == TP_OK) tp_results_put(mine, method, &result);
    tp_method_result_free(&result);
    return status;
}

static bool wants(const tp_evaluate_options *o, int m) {
    return o->wanted ? o->wanted[m] : !tp_methods[m]->on_request;
}

/* What eval.json holds already, if it is all that is wanted, of these test rows; else NULL. */
static tp_results *kept_results(const tp_evaluate_options *o, const char *run) {
    char *path = tp_path_join(run, "eval.json");
    tp_results *older = o->keep && tp_path_exists(path) ? tp_results_load(path) : NULL;
    tp_free(path);
    bool whole = older && strcmp(older->truth.fingerprint, o->task->test.fingerprint) == 0;
    for (int m = 0; tp_methods[m] && whole; m++) whole = !wants(o, m) || tp_results_get(older, tp_methods[m]);
    if (whole) return older;
    tp_results_free(older);
    return NULL;
}

static tp_results *collect(const tp_evaluate_options *o, const char *run, const tp_latentwire_group *g,
                           const json_t *found) {
    tp_kept kept = {0};
    int best = (int)json_integer_value(json_object_get(found, "best_receiver"));
    tp_eval eval = {.task = o->task,
                    .relay = g->relays[best - 1],
                    .seed = g->recipe->seed,
                    .chosen = NAN,
                    .prompt_steps = o->prompt_steps,
                    .stop = o->stop,
                    .progress = o->progress,
                    .kept = &kept};
    tp_results *mine = tp_results_new(&eval, run);
    json_object_set_new(mine->subject, "recipe", tp_recipe_to_json(g->recipe));
    tp_status status = TP_OK;
    for (int m = 0; tp_methods[m] && status == TP_OK; m++)
        if (wants(o, m)) status = add_method(&eval, found, tp_methods[m], mine);
    tp_kept_free(&kept);
    char *path = tp_path_join(run, "eval.json");
    if (status == TP_OK) status = tp_results_save(mine, path);
    tp_free(path);
    if (status == TP_OK) return mine;
    tp_results_free(mine);
    return NULL;
}

tp_results *tp_latentwire_run_results(const tp_evaluate_options *o, const char *run) {
    tp_results *kept = kept_results(o, run);
    if (kept) return kept;
    tp_recipe *recipe = tp_latentwire_run_recipe(run, NULL, NULL);
    if (recipe == NULL) return NULL;
    tp_latentwire_models models;
    tp_status status = tp_latentwire_load_models(recipe, &models);
    tp_recipe_free(recipe);
    if (status != TP_OK) return NULL;
    tp_results *mine = NULL;
    json_t *found = tp_latentwire_evaluate(&(tp_latentwire_eval_options){
        .run = run, .models = &models, .task = o->task, .stop = o->stop, .progress = o->progress});
    tp_latentwire_group *g = found ? tp_latentwire_load(run, &models, o->task) : NULL;
    if (g) mine = collect(o, run, g, found);
    tp_latentwire_group_free(g);
    json_decref(found);
    tp_latentwire_free_models(&models);
    return mine;
}
