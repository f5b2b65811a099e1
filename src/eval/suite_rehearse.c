/* A rehearsal: a few updates and a few test rows of each task of a suite, by which the time that the whole will take is
 * estimated where nothing was measured yet. It also finds out whether everything works before hours are spent. See
 * suite.h.
 *
 * Training is scaled by the number of updates, methods that ask a model by the test rows, those that learn from texts
 * by the training rows. Methods with a sweep are rehearsed with two numbers of updates, which tells what an update
 * takes and what the rest does, and with a second run, which takes over what the first has chosen. */
#include "base/clock.h"
#include "base/file.h"
#include "eval/evaluate.h"
#include "eval/suite_parts.h"
#include "eval/workers.h"
#include "train/trainer.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FEW_UPDATES = 2,
    MORE_UPDATES = 6,
    TRAIN_ROWS = 256,
    VALID_ROWS = 16,
    TEST_ROWS = 16,
    SHORT_SWEEP = 4,
    LONG_SWEEP = 8
};

typedef struct {
    const tp_suite *suite;
    const tp_suite_place *place;
    char folder[64];
    double train, leader, follower; /* seconds, as the worker says them */
} rehearsal;

/* ---- in the worker ---- */

/* n rows spread over a split. */
static tp_dataset some_of(const tp_dataset *all, size_t n) {
    if (n > all->n) n = all->n;
    tp_dataset some = *all;
    some.examples = tp_alloc(n * sizeof *some.examples);
    some.n = n;
    for (size_t i = 0; i < n; i++) some.examples[i] = all->examples[i * all->n / n];
    return some;
}

static tp_status time_training(const rehearsal *r, const tp_task *task, int64_t updates, uint64_t seed,
                               const char *name, double *seconds, const volatile sig_atomic_t *stop) {
    json_t *copy = tp_recipe_to_json(r->place->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, "rehearsal");
    json_decref(copy);
    if (recipe == NULL) return tp_last_status();
    recipe->optimiser.steps = updates;
    recipe->optimiser.warmup = 0;
    recipe->quick_eval.every = 0;
    recipe->seed += seed;
    recipe->calibration_texts = 16;
    char *out = tp_path_join(r->folder, name);
    tp_train_result result;
    double began = tp_now();
    tp_status status = tp_suite_train_recipe(&(tp_train_options){.recipe = recipe,
                                                                 .sender = r->place->sender,
                                                                 .receiver = r->place->receiver,
                                                                 .task = task,
                                                                 .out = out,
                                                                 .stop = stop},
                                             &result);
    *seconds = tp_now() - began;
    tp_free(out);
    tp_recipe_free(recipe);
    return status;
}

/* The seconds that one method takes for one run, or for two of one recipe, and whether it has a sweep. */
static tp_status time_method(const rehearsal *r, const tp_task *task, int m, size_t n_runs, int64_t sweep_updates,
                             double *seconds, bool *sweeps, const volatile sig_atomic_t *stop) {
    bool wanted[TP_MOST_METHODS] = {false};
    wanted[m] = true;
    char *runs[2] = {tp_path_join(r->folder, "more"), tp_path_join(r->folder, "again")};
    tp_results *results[2] = {NULL};
    double began = tp_now();
    tp_status status = tp_evaluate_runs(&(tp_evaluate_options){.task = task,
                                                               .sender = r->place->sender,
                                                               .receiver = r->place->receiver,
                                                               .runs = (const char *const *)runs,
                                                               .n_runs = n_runs,
                                                               .wanted = wanted,
                                                               .prompt_steps = sweep_updates,
                                                               .stop = stop},
                                        results);
    *seconds = tp_now() - began;
    const tp_method_result *found = status == TP_OK ? tp_results_get(results[0], tp_methods[m]) : NULL;
    *sweeps = found && isfinite(found->chosen);
    for (int i = 0; i < 2; i++) {
        tp_results_free(results[i]);
        tp_free(runs[i]);
    }
    return status;
}

static double scale_of(const rehearsal *r, const tp_task *task, const tp_method *method) {
    const tp_task *whole = r->place->task;
    if (method->group == TP_GROUP_TRAINED || method->group == TP_GROUP_NO_MODEL)
        return (double)whole->train.n / (double)task->train.n;
    return (double)whole->test.n / (double)task->test.n;
}

/* What is spent on all updates, and on the rest, which is mostly asking about the test rows. */
static double sweep_seconds(const rehearsal *r, const tp_task *task, double few, double more) {
    int64_t updates = r->suite->prompt_steps, own = r->place->recipe->optimiser.steps;
    if (updates <= 0 || (updates > own && own > 0)) updates = own; /* a solved bridge has none of its own */
    double each = fmax(more - few, 0) / (LONG_SWEEP - SHORT_SWEEP), rest = fmax(few - SHORT_SWEEP * each, 0);
    return each * (double)updates + rest * (double)r->place->task->test.n / (double)task->test.n;
}

/* The seconds of one method for the run that leads and for one that follows, beside `nothing`, what an evaluation takes
 * before its first method. */
static tp_status rehearse_method(const rehearsal *r, const tp_task *task, int m, double nothing, double *leader,
                                 double *follower, const volatile sig_atomic_t *stop) {
    double one, both, one_longer, both_longer;
    bool sweeps;
    TP_TRY(time_method(r, task, m, 1, SHORT_SWEEP, &one, &sweeps, stop));
    if (sweeps) {
        TP_TRY(time_method(r, task, m, 2, SHORT_SWEEP, &both, &sweeps, stop));
        TP_TRY(time_method(r, task, m, 1, LONG_SWEEP, &one_longer, &sweeps, stop));
        TP_TRY(time_method(r, task, m, 2, LONG_SWEEP, &both_longer, &sweeps, stop));
        *leader = sweep_seconds(r, task, fmax(one - nothing, 0), fmax(one_longer - nothing, 0)) + nothing;
        *follower = sweep_seconds(r, task, fmax(both - one, 0), fmax(both_longer - one_longer, 0)) + nothing;
    } else {
        *leader = fmax(one - nothing, 0) * scale_of(r, task, tp_methods[m]) + nothing;
        *follower = tp_methods[m]->seeded ? *leader : 0;
    }
    return TP_OK;
}

static tp_status rehearse(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    const rehearsal *r = context;
    const tp_task *whole = r->place->task;
    tp_task task = *whole;
    size_t rows = 4 * (size_t)whole->n_labels;
    task.train = some_of(&whole->train, rows > TRAIN_ROWS ? rows : TRAIN_ROWS);
    task.valid = some_of(&whole->valid, VALID_ROWS);
    task.test = some_of(&whole->test, TEST_ROWS);
    double few, more, again, nothing, leader = 0, follower = 0;
    bool sweeps;
    TP_TRY(time_training(r, &task, FEW_UPDATES, 0, "few", &few, stop));
    TP_TRY(time_training(r, &task, MORE_UPDATES, 0, "more", &more, stop));
    TP_TRY(time_training(r, &task, MORE_UPDATES, 1, "again", &again, stop));
    double update = fmax(more - few, 1e-4) / (MORE_UPDATES - FEW_UPDATES);
    int random = 0;
    while (tp_methods[random] != &tp_method_random) random++;
    TP_TRY(
        time_method(r, &task, random, 1, 0, &nothing, &sweeps, stop)); /* what an evaluation takes before it begins */
    for (int m = 0; tp_methods[m]; m++) {
        double leads, follows;
        if (!r->suite->wanted[m] || m == random) continue;
        if (rehearse_method(r, &task, m, nothing, &leads, &follows, stop) != TP_OK)
            return tp_fail_context("%s", r->place->folder);
        leader += leads, follower += follows;
    }
    tp_progress_say(progress, "rehearsed %.9g %.9g %.9g", update * (double)r->place->recipe->optimiser.steps, leader,
                    follower);
    return TP_OK;
}

/* ---- in the parent ---- */

static void on_said(void *context, const tp_worker *worker, const char *line) {
    (void)worker;
    rehearsal *r = context;
    double train, leader, follower;
    if (sscanf(line, "rehearsed %lf %lf %lf", &train, &leader, &follower) != 3) return;
    r->train = train, r->leader = leader, r->follower = follower;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info, (void)type, (void)at;
    return remove(path);
}

/* Rehearses in a process of its own, so that no thread and no memory of it stays. */
static tp_status run_one(rehearsal *r, const tp_suite_options *o) {
    const char *parent = getenv("TMPDIR");
    snprintf(r->folder, sizeof r->folder, "%.32s/telepathy-rehearsal-XXXXXX", parent && parent[0] ? parent : "/tmp");
    if (mkdtemp(r->folder) == NULL)
        return tp_fail(TP_ERR_IO, "cannot make a folder for the rehearsal in %s", parent ? parent : "/tmp");
    tp_worker worker = {0};
    tp_status status = tp_worker_start(&worker, rehearse, r, 1);
    while (status == TP_OK && worker.pid) {
        tp_workers_wait(&worker, 1, 250, on_said, r);
        if (worker.pid && o->stop && *o->stop) tp_worker_stop(&worker);
    }
    nftw(r->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (status != TP_OK || worker.status == TP_OK) return status;
    return tp_fail(worker.status, "rehearsal of %s: %s", r->place->folder, worker.sentence);
}

/* Is the time of this place unknown, and can that of no other tell it? */
static bool unknown(const tp_suite_plan *plan, size_t i) {
    const tp_suite_place *p = &plan->places[i];
    return plan->suite->cells[i].leader == i && !(isfinite(p->train_seconds) && isfinite(p->evaluate_seconds));
}

static bool same_kind(const tp_suite_place *a, const tp_suite_place *b) {
    return strcmp(a->task->name, b->task->name) == 0 && a->sender == b->sender && a->receiver == b->receiver;
}

tp_status tp_suite_rehearse(const tp_suite *suite, tp_suite_plan *plan, const tp_suite_options *options) {
    tp_progress_begin(options->progress, "rehearsal", (double)plan->n, "runs", NULL);
    for (size_t i = 0; i < plan->n; i++) {
        bool done = !unknown(plan, i);
        for (size_t k = 0; k < i && !done; k++)
            done = suite->cells[k].leader == k && same_kind(&plan->places[k], &plan->places[i]);
        if (!done) {
            rehearsal r = {.suite = suite, .place = &plan->places[i]};
            TP_TRY(run_one(&r, options));
            plan->known[i] = (tp_known_times){r.train, r.leader};
            if (i + 1 < plan->n && suite->cells[i + 1].leader == i)
                plan->known[i + 1] = (tp_known_times){NAN, r.follower};
        }
        tp_progress_update(options->progress, (double)(i + 1), 0, "%s", suite->cells[i].name);
    }
    tp_progress_end(options->progress);
    tp_suite_estimate(plan);
    return TP_OK;
}
