/* Runs methods over runs. See evaluate.h. */
#include "eval/evaluate.h"

#include "base/file.h"
#include "base/mem.h"
#include "eval/latentwire_eval.h"
#include "latentwire/checkpoint.h"

#include <math.h>
#include <string.h>

enum { STATE_BYTES = 1 << 30 }; /* of test states kept in memory; what is beyond is computed each time */
enum { FEW_LABELS = 16 }; /* to know the best of so many is to know nearly all their scores; of more it is far less */

/* Takes over what eval.json holds of the same subject and was not found anew. */
static void take_older(tp_results *mine, const char *path) {
    tp_results *older = tp_path_exists(path) ? tp_results_load(path) : NULL; /* a broken one will be replaced */
    if (older) tp_results_merge(mine, older);
    tp_results_free(older);
}

/* True if both were asked about the same rows, with the same rows to learn from. */
static bool same_data(const tp_results *a, const tp_results *b) {
    static const char *const keys[] = {"task", "labels", "train", "valid", "test"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!json_equal(json_object_get(a->subject, keys[i]), json_object_get(b->subject, keys[i]))) return false;
    return true;
}

/* What is known of a method already: from the first run of the same recipe where the method does not depend on the
 * run, from any run of the task where it needs no model. NULL: nothing. */
static const tp_method_result *known_result(const tp_method *method, const tp_results *mine, const tp_results *first,
                                            const tp_results *donor) {
    static const unsigned models = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE;
    if (method->seeded) return NULL;
    if (first && tp_results_get(first, method)) return tp_results_get(first, method);
    return donor && !(method->needs & models) && same_data(mine, donor) ? tp_results_get(donor, method) : NULL;
}

static tp_status run_method(tp_eval *eval, const tp_method *method, tp_results *mine, const tp_results *first,
                            const tp_results *donor) {
    const tp_method_result *known = known_result(method, mine, first, donor);
    const tp_method_result *led = first ? tp_results_get(first, method) : NULL;
    tp_method_result result = known ? tp_method_result_copy(known) : tp_method_result_new();
    if (known == NULL) {
        eval->doing = method->title;
        eval->chosen = led ? led->chosen : NAN;
        if (method->run(eval, &result) != TP_OK) {
            tp_method_result_free(&result);
            return tp_fail_context("method %s", method->name);
        }
    }
    tp_results_put(mine, method, &result);
    return TP_OK;
}

/* Each method's result is saved at once: a long evaluation that is stopped has lost one method. */
static tp_status run_methods(const tp_evaluate_options *o, tp_eval *eval, tp_results *mine, const tp_results *first,
                             const char *folder) {
    bool done[TP_MOST_METHODS] = {false};
    char *path = tp_path_join(folder, "eval.json");
    take_older(mine, path);
    eval->found = mine;
    for (int m = 0; tp_methods[m]; m++) done[m] = o->keep && tp_results_get(mine, tp_methods[m]);
    for (int m = 0; tp_methods[m]; m++) done[m] = done[m] || (o->wanted ? !o->wanted[m] : tp_methods[m]->on_request);
    for (int m = 0; o->task->kind == TP_TASK_TEXT && tp_methods[m]; m++)
        done[m] = done[m] || !tp_methods[m]->free_answers; /* there are no labels to choose from */
    for (int m = 0; tp_methods[m]; m++)
        if (tp_methods[m] == &tp_method_joint) eval->kept->wants_scores = !done[m] && o->task->n_labels <= FEW_LABELS;
    tp_status status = TP_OK;
    for (int m = 0; tp_methods[m] && status == TP_OK; m++) {
        if (done[m]) continue;
        status = run_method(eval, tp_methods[m], mine, first, o->donor);
        if (status == TP_OK) status = tp_results_save(mine, path);
    }
    tp_free(path);
    return status;
}

static tp_status check_labels(const tp_relay *relay, const tp_task *task, const char *folder) {
    if (strcmp(relay->trained->task, task->name) != 0)
        return tp_fail(TP_ERR_ARGUMENT, "%s was trained for the task %s, the data given is of %s", folder,
                       relay->trained->task, task->name);
    bool equal = relay->n_labels == task->n_labels;
    for (int i = 0; equal && i < task->n_labels; i++) equal = strcmp(relay->label_names[i], task->labels[i].name) == 0;
    return equal ? TP_OK
                 : tp_fail(TP_ERR_ARGUMENT, "%s was trained for %d labels, which are not the %d of this data", folder,
                           relay->n_labels, task->n_labels);
}

/* Evaluates one run; `kept` carries on what runs of a recipe share. */
static tp_status run_one(const tp_evaluate_options *o, const char *folder, tp_kept *kept, const tp_results *first,
                         tp_results **out) {
    if (tp_latentwire_is(folder)) {
        *out = tp_latentwire_run_results(o, folder);
        return *out ? TP_OK : tp_last_status();
    }
    tp_relay *relay = tp_relay_load(folder, o->sender, o->receiver);
    if (relay == NULL) return tp_last_status();
    tp_status status = check_labels(relay, o->task, folder);
    tp_eval eval = {.task = o->task,
                    .relay = relay,
                    .seed = relay->recipe->seed,
                    .n_timed = o->n_timed,
                    .prompt_steps = o->prompt_steps,
                    .stop = o->stop,
                    .progress = o->progress,
                    .kept = kept};
    if (status == TP_OK) {
        const tp_dataset *test = &o->task->test;
        int64_t bound = o->max_cache > 0 ? o->max_cache : STATE_BYTES;
        eval.test_states = tp_state_cache_new(&relay->tap, test->examples, test->n, TP_CACHE_MEMORY, bound, NULL);
        eval.uncached =
            eval.test_states ? tp_state_cache_new(&relay->tap, test->examples, test->n, TP_CACHE_NONE, 0, NULL) : NULL;
        if (eval.uncached == NULL) status = tp_last_status();
    }
    tp_results *mine = status == TP_OK ? tp_results_new(&eval, folder) : NULL;
    if (mine && first && !tp_results_comparable(mine, first))
        status =
            tp_fail(TP_ERR_ARGUMENT, "%s and %s are not runs of one recipe on the same data, so they share no table",
                    first->run, folder);
    if (status == TP_OK) status = run_methods(o, &eval, mine, first, folder);
    tp_state_cache_free(eval.test_states);
    tp_state_cache_free(eval.uncached);
    tp_relay_free(relay);
    if (status == TP_OK)
        *out = mine;
    else
        tp_results_free(mine);
    return status;
}

tp_status tp_evaluate_runs(const tp_evaluate_options *o, tp_results **results) {
    for (size_t k = 0; k < o->n_runs; k++) results[k] = NULL;
    if (o->task->test.n == 0) return tp_fail(TP_ERR_ARGUMENT, "the task %s has no test rows", o->task->name);
    tp_kept kept = {0};
    tp_status status = TP_OK;
    for (size_t k = 0; k < o->n_runs && status == TP_OK; k++)
        status = run_one(o, o->runs[k], &kept, k > 0 ? results[0] : NULL, &results[k]);
    tp_kept_free(&kept);
    return status;
}

tp_status tp_evaluate_load(const char *const *runs, size_t n_runs, tp_results **results) {
    for (size_t k = 0; k < n_runs; k++) results[k] = NULL;
    for (size_t k = 0; k < n_runs; k++) {
        char *path = tp_path_join(runs[k], "eval.json");
        results[k] = tp_results_load(path);
        tp_free(path);
        if (results[k] == NULL) return tp_last_status();
        if (k > 0 && !tp_results_comparable(results[0], results[k]))
            return tp_fail(TP_ERR_ARGUMENT,
                           "%s and %s are not runs of one recipe on the same data, so they share no table", runs[0],
                           runs[k]);
    }
    return TP_OK;
}
