/* Running a suite: which job next, how many at a time, and what became of them. See suite.h.
 *
 * A run is trained, then evaluated. The evaluation of a group waits for its leader's, and that of a task's other groups
 * for the task's first, so that what is shared is computed once; trainings wait for nobody. Of what may run, an
 * evaluation goes first (others may wait for it), then the place that stands first in the grid. */
#include "base/clock.h"
#include "base/file.h"
#include "eval/suite_parts.h"
#include "eval/workers.h"

#include <math.h>
#include <string.h>

enum { MOST_JOBS = 64, LISTEN_MS = 250 };

typedef enum { TO_TRAIN, TRAINING, TO_EVALUATE, EVALUATING, DONE, FAILED } stage;

typedef struct {
    const tp_suite *suite;
    tp_suite_plan *plan;
    const tp_suite_options *o;
    stage *stages; /* [n] of each place */
    tp_worker workers[MOST_JOBS];
    tp_suite_job jobs[MOST_JOBS]; /* of the workers */
    tp_suite_running running[MOST_JOBS];
    double started[MOST_JOBS], measured;
    double spent;           /* seconds of jobs that have ended */
    int n_slots, n_allowed; /* workers that there may be at a time; the latter sinks where memory is too small */
    int64_t largest;        /* bytes that a job was seen to take */
    size_t n_failed;
    char first_failure[1200];
    bool stopping;
} runner;

/* ---- how far it is ---- */

/* The jobs that run; gives how many. */
static size_t list_running(runner *r, tp_suite_running *jobs) {
    size_t n = 0;
    for (int w = 0; w < r->n_slots; w++) {
        tp_suite_running *job = &r->running[w];
        if (r->workers[w].pid == 0) continue;
        job->seconds = tp_now() - r->started[w];
        job->share = r->workers[w].share;
        /* of a training the first that it said; it begins anew behind what it prepares */
        if (job->first_share <= 0 || job->share < job->first_share) job->first_share = job->share;
        jobs[n++] = *job;
    }
    return n;
}

/* "0 runs  of 20 done, 12 %, 1h02m left; trec-42: train 45 %; sst2-42: bridge 10 %": of this call's work. */
static void show(runner *r) {
    tp_suite_running jobs[MOST_JOBS];
    tp_str text = {0};
    char time[16];
    size_t done = 0, n = list_running(r, jobs);
    double spent = r->spent, left;
    for (size_t i = 0; i < r->plan->n; i++) done += r->stages[i] == DONE;
    for (size_t k = 0; k < n; k++) {
        spent += jobs[k].seconds;
        if (jobs[k].training && !isfinite(r->plan->known[jobs[k].place].train_seconds))
            tp_suite_learn(r->plan, &jobs[k], false);
    }
    left = tp_suite_left(r->plan, jobs, n);
    tp_str_appendf(&text, "of %zu done", r->plan->n);
    if (isfinite(left))
        tp_str_appendf(&text, ", %.0f %%, %s left", 100 * spent / fmax(spent + left, 1e-9),
                       tp_format_seconds(left / r->n_allowed, time));
    for (int w = 0; w < r->n_slots; w++) {
        if (r->workers[w].pid == 0) continue;
        const char *doing = r->workers[w].doing, *end = strstr(doing, "  ");
        tp_str_appendf(&text, "; %s: %.*s %.0f %%", r->suite->cells[r->jobs[w].place].name,
                       end ? (int)(end - doing) : 40, doing, 100 * r->workers[w].share);
    }
    tp_progress_update(r->o->progress, (double)done, 0, "%s", text.data);
    tp_str_free(&text);
}

static void on_said(void *context, const tp_worker *worker, const char *line) {
    runner *r = context;
    if (strncmp(line, "warning", 7) == 0)
        tp_progress_say(r->o->progress, "%s: %s", r->suite->cells[r->jobs[worker - r->workers].place].name, line);
}

/* ---- which job next ---- */

static bool may_be_evaluated(const runner *r, size_t i) {
    const tp_suite_cell *cell = &r->suite->cells[i];
    return r->stages[i] == TO_EVALUATE && (cell->leader == i || r->stages[cell->leader] == DONE) &&
           (cell->donor == i || r->stages[cell->donor] >= DONE);
}

/* A run whose leader failed has nobody to take the settings from. */
static void give_up_followers(runner *r) {
    for (size_t i = 0; i < r->plan->n; i++) {
        size_t leader = r->suite->cells[i].leader;
        if (r->stages[i] != TO_EVALUATE || r->stages[leader] != FAILED) continue;
        r->stages[i] = FAILED;
        r->plan->places[i].state = TP_PLACE_FAILED;
        r->n_failed++;
        tp_progress_say(r->o->progress, "%s is not evaluated: %s, which chooses the settings of its group, failed",
                        r->suite->cells[i].name, r->suite->cells[leader].name);
    }
}

/* The next place to work on, -1: there is none now. */
static int64_t next_place(const runner *r) {
    for (size_t i = 0; i < r->plan->n; i++)
        if (may_be_evaluated(r, i)) return (int64_t)i;
    for (size_t i = 0; i < r->plan->n; i++)
        if (r->stages[i] == TO_TRAIN) return (int64_t)i;
    return -1;
}

static int n_running(const runner *r) {
    int n = 0;
    for (int w = 0; w < r->n_slots; w++) n += r->workers[w].pid != 0;
    return n;
}

static bool memory_for_another(runner *r) {
    if (r->o->max_memory <= 0 || n_running(r) == 0) return true;
    int64_t taken = 0;
    for (int w = 0; w < r->n_slots; w++) {
        if (r->workers[w].pid == 0) continue;
        int64_t now = tp_worker_bytes(&r->workers[w]);
        taken += now > r->largest ? now : r->largest; /* it may still grow as large as another did */
    }
    return taken + r->largest <= r->o->max_memory;
}

static tp_status start(runner *r, int w, size_t i) {
    bool train = r->stages[i] == TO_TRAIN;
    const tp_suite_cell *cell = &r->suite->cells[i];
    int threads = r->o->threads / r->n_slots;
    r->jobs[w] = (tp_suite_job){.suite = r->suite,
                                .plan = r->plan,
                                .options = r->o,
                                .place = i,
                                .donor = cell->donor != i && r->stages[cell->donor] == DONE,
                                .threads = threads > 1 ? threads : 1,
                                .max_cache = r->o->max_memory / (2 * r->n_slots)};
    TP_TRY(
        tp_worker_start(&r->workers[w], train ? tp_suite_train : tp_suite_evaluate, &r->jobs[w], r->jobs[w].threads));
    char *folder = tp_path_join(r->plan->out, r->plan->places[i].folder), *results = tp_path_join(folder, "eval.json");
    r->running[w] = (tp_suite_running){.place = i, .training = train, .from_nothing = !tp_path_exists(results)};
    tp_free(folder);
    tp_free(results);
    r->stages[i] = train ? TRAINING : EVALUATING;
    r->started[w] = tp_now();
    return TP_OK;
}

static tp_status start_jobs(runner *r) {
    for (int w = 0; w < r->n_slots && !r->stopping; w++) {
        if (r->workers[w].pid) continue;
        int64_t i = next_place(r);
        if (i < 0 || n_running(r) >= r->n_allowed || !memory_for_another(r)) return TP_OK;
        TP_TRY(start(r, w, (size_t)i));
    }
    return TP_OK;
}

/* ---- what became of a job ---- */

static void put_failure(runner *r, size_t i, const char *sentence) {
    const tp_suite_place *p = &r->plan->places[i];
    tp_registry *registry = tp_registry_open_in(r->plan->out, true);
    if (registry)
        tp_registry_put_failure(registry, p->key, r->suite->cells[i].name, p->folder, p->task->name,
                                (int64_t)p->recipe->seed, sentence);
    tp_registry_close(registry);
}

static void fail(runner *r, size_t i, const char *sentence) {
    const char *name = r->suite->cells[i].name;
    if (r->n_failed++ == 0) snprintf(r->first_failure, sizeof r->first_failure, "%s: %s", name, sentence);
    r->stages[i] = FAILED;
    r->plan->places[i].state = TP_PLACE_FAILED;
    tp_progress_say(r->o->progress, "%s failed: %s", name, sentence);
    put_failure(r, i, sentence);
}

static void on_end(runner *r, int w) {
    tp_worker *worker = &r->workers[w];
    size_t i = r->jobs[w].place;
    bool trained = r->stages[i] == TRAINING;
    char took[16];
    if (worker->most_bytes > r->largest) r->largest = worker->most_bytes;
    r->running[w].seconds = tp_now() - r->started[w];
    r->running[w].share = 1;
    r->spent += r->running[w].seconds;
    if (worker->status == TP_OK) {
        tp_progress_say(r->o->progress, "%s %s in %s", r->suite->cells[i].name, trained ? "trained" : "evaluated",
                        tp_format_seconds(r->running[w].seconds, took));
        r->stages[i] = trained ? TO_EVALUATE : DONE;
        r->plan->places[i].state = trained ? TP_PLACE_TRAINED : TP_PLACE_DONE;
        tp_suite_learn(r->plan, &r->running[w], true);
    } else if (worker->stopping) { /* it goes on later, or in the next call */
        r->stages[i] = trained ? TO_TRAIN : TO_EVALUATE;
    } else {
        fail(r, i, worker->sentence);
    }
}

/* ---- memory ---- */

/* Stops the youngest job if all together take more than they may: it goes on when there is room. A job that takes too
 * much alone fails. */
static void watch_memory(runner *r) {
    double now = tp_now();
    if (now - r->measured < 0.5) return;
    r->measured = now;
    int64_t all = 0;
    int youngest = -1;
    for (int w = 0; w < r->n_slots; w++) {
        if (r->workers[w].pid == 0) continue;
        all += tp_worker_bytes(&r->workers[w]);
        if (r->workers[w].stopping) return; /* let it end first */
        if (youngest < 0 || r->started[w] > r->started[youngest]) youngest = w;
    }
    if (r->o->max_memory <= 0 || all <= r->o->max_memory || youngest < 0) return;
    int running = n_running(r);
    if (running == 1) {
        char *sentence = tp_format("it takes %.2f GiB of memory, more than the %.2f GiB that are allowed",
                                   (double)all / 0x1p30, (double)r->o->max_memory / 0x1p30);
        tp_worker_kill(&r->workers[youngest]);
        fail(r, r->jobs[youngest].place, sentence);
        tp_free(sentence);
        return;
    }
    r->n_allowed = running - 1;
    tp_progress_say(r->o->progress, "%d jobs take more memory than is allowed: from now on at most %d at a time",
                    running, r->n_allowed);
    tp_worker_stop(&r->workers[youngest]);
}

/* ---- the whole ---- */

static tp_status put_suite(const runner *r) {
    tp_registry *registry = tp_registry_open_in(r->plan->out, true);
    if (registry == NULL) return tp_last_status();
    tp_suite_member *members = tp_alloc(r->plan->n * sizeof *members);
    for (size_t i = 0; i < r->plan->n; i++)
        members[i] = (tp_suite_member){r->plan->places[i].key, r->suite->cells[i].name, r->suite->cells[i].where};
    tp_status status = tp_registry_put_suite(registry, r->suite->name, r->suite->definition, members, r->plan->n);
    tp_free(members);
    tp_registry_close(registry);
    return status;
}

static tp_status check_documents(const runner *r) {
    for (int d = 0; r->suite->documents[d]; d++) {
        const char *name = r->suite->documents[d];
        tp_str known = {0};
        const tp_suite_step *step = r->o->steps;
        for (; step && step->name && strcmp(step->name, name) != 0; step++)
            tp_str_appendf(&known, "%s%s", known.len ? ", " : "", step->name);
        if (step && step->name) {
            tp_str_free(&known);
            if (step->check) TP_TRY(step->check(json_object_get(r->suite->definition, name)));
            continue;
        }
        tp_status status = tp_fail(TP_ERR_ARGUMENT, "suite %s: there is no document `%s`; there are: %s",
                                   r->suite->name, name, known.len ? known.data : "none");
        tp_str_free(&known);
        return status;
    }
    return TP_OK;
}

static void ask_all_to_stop(runner *r) {
    r->stopping = true;
    for (int w = 0; w < r->n_slots; w++)
        if (r->workers[w].pid) tp_worker_stop(&r->workers[w]);
}

static tp_status loop(runner *r) {
    for (;;) {
        give_up_followers(r);
        TP_TRY(start_jobs(r));
        if (n_running(r) == 0) return TP_OK;
        int ended = tp_workers_wait(r->workers, (size_t)r->n_slots, LISTEN_MS, on_said, r);
        if (ended >= 0) on_end(r, ended);
        if (!r->stopping && r->o->stop && *r->o->stop) ask_all_to_stop(r);
        watch_memory(r);
        show(r);
    }
}

static tp_status outcome(const runner *r) {
    size_t done = 0;
    for (size_t i = 0; i < r->plan->n; i++) done += r->stages[i] == DONE;
    if (r->stopping)
        return tp_fail(TP_ERR_CANCELLED, "stopped with %zu of %zu runs done; the same command goes on from there", done,
                       r->plan->n);
    if (r->n_failed > 0)
        return tp_fail(TP_ERR_ARGUMENT, "%zu of %zu runs failed; the first: %s", r->n_failed, r->plan->n,
                       r->first_failure);
    return TP_OK;
}

tp_status tp_suite_run(const tp_suite *suite, tp_suite_plan *plan, const tp_suite_options *options) {
    runner r = {.suite = suite, .plan = plan, .o = options};
    TP_TRY(check_documents(&r));
    char *runs = tp_path_join(plan->out, "runs");
    tp_status status = tp_make_dirs(runs);
    tp_free(runs);
    TP_TRY(status);
    int lock = tp_lock_folder(plan->out, "a suite");
    if (lock < 0) return tp_last_status();
    r.n_slots = options->jobs < 1 ? 1 : options->jobs > MOST_JOBS ? MOST_JOBS : options->jobs;
    r.n_allowed = r.n_slots;
    r.stages = tp_alloc(plan->n * sizeof *r.stages);
    for (size_t i = 0; i < plan->n; i++)
        r.stages[i] = plan->places[i].state == TP_PLACE_DONE      ? DONE
                      : plan->places[i].state == TP_PLACE_TRAINED ? TO_EVALUATE
                                                                  : TO_TRAIN;
    status = put_suite(&r);
    tp_progress_begin(options->progress, suite->name, 0, "runs", "");
    if (status == TP_OK) status = loop(&r);
    for (int w = 0; w < r.n_slots; w++) /* after an error of ours */
        if (r.workers[w].pid) tp_worker_kill(&r.workers[w]);
    if (status == TP_OK) show(&r);
    tp_progress_end(options->progress);
    if (status == TP_OK) status = outcome(&r);
    tp_free(r.stages);
    close(lock);
    return status;
}
