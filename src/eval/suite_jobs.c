/* What the suite's workers do: train a run, or evaluate it and put it into the registry. See suite.h.
 *
 * Both may be killed at any instant: the trainer goes on from its last state, the evaluation from its last method, and
 * the registry takes a run whole. */
#include "base/clock.h"
#include "base/file.h"
#include "eval/evaluate.h"
#include "eval/suite_parts.h"
#include "latentwire/train.h"
#include "tensor/kernels.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SAVE_EVERY = 200 };

static char *folder_of(const tp_suite_job *job, size_t place) {
    return tp_path_join(job->plan->out, job->plan->places[place].folder);
}

/* ---- how it came about ---- */

/* "suite.json" in the run's folder: what the training took, over all calls that ended by themselves. */
static char *times_path(const char *folder) {
    return tp_path_join(folder, "suite.json");
}

static json_t *read_times(const char *folder) {
    char *path = times_path(folder);
    json_t *times = tp_path_exists(path) ? tp_json_load_file(path) : NULL;
    tp_free(path);
    return json_is_object(times) ? times : json_object();
}

static double number_of(const json_t *times, const char *key) {
    const json_t *value = json_object_get(times, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

static int64_t peak_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

static tp_status add_times(const char *folder, const char *key, double seconds, const char *started) {
    char *path = times_path(folder);
    json_t *times = read_times(folder);
    double peak = fmax(number_of(times, "peak_bytes"), (double)peak_bytes());
    json_object_set_new(times, key, json_real(number_of(times, key) + seconds));
    json_object_set_new(times, "peak_bytes", json_integer((json_int_t)peak));
    if (json_object_get(times, "started") == NULL) json_object_set_new(times, "started", json_string(started));
    tp_status status = tp_json_save_file(times, path);
    json_decref(times);
    tp_free(path);
    return status;
}

static void write_now(char out[32]) {
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* "AMD EPYC 7763, 2 processors"; the caller frees it. */
static char *describe_machine(void) {
    char *text = NULL, *model = NULL;
    size_t n;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (tp_read_file("/proc/cpuinfo", 0, &text, &n) == TP_OK) {
        char *line = strstr(text, "model name"), *colon = line ? strchr(line, ':') : NULL;
        if (colon) model = tp_strndup(colon + 2, strcspn(colon + 2, "\n"));
    }
    char *machine =
        tp_format("%s, %ld processor%s", model ? model : "unknown processor", processors, processors == 1 ? "" : "s");
    tp_free(text);
    tp_free(model);
    return machine;
}

/* ---- training ---- */

tp_status tp_suite_train_recipe(const tp_train_options *options, tp_train_result *result) {
    return options->recipe->latentwire ? tp_latentwire_train_recipe(options, result) : tp_train(options, result);
}

tp_status tp_suite_train(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    const tp_suite_job *job = context;
    const tp_suite_place *place = &job->plan->places[job->place];
    char *folder = folder_of(job, job->place), started[32];
    write_now(started);
    double began = tp_now();
    tp_train_result result;
    tp_status status = tp_suite_train_recipe(&(tp_train_options){.recipe = place->recipe,
                                                                 .sender = place->sender,
                                                                 .receiver = place->receiver,
                                                                 .task = place->task,
                                                                 .out = folder,
                                                                 .save_every = SAVE_EVERY,
                                                                 .max_cache = job->max_cache,
                                                                 .stop = stop,
                                                                 .progress = progress},
                                             &result);
    bool worked = status == TP_OK || status == TP_ERR_CANCELLED;
    char *sentence = status == TP_OK ? NULL : tp_strdup(tp_last_error());
    if (worked && tp_is_dir(folder)) {
        tp_status kept = add_times(folder, "train_seconds", tp_now() - began, started);
        if (status == TP_OK) status = kept;
    }
    if (sentence) tp_fail(status, "%s", sentence);
    tp_free(sentence);
    tp_free(folder);
    return status;
}

/* ---- evaluating ---- */

/* The results of the run, from its own evaluation and its leader's. */
static tp_status evaluate(const tp_suite_job *job, const char *folder, tp_progress *progress,
                          const volatile sig_atomic_t *stop, tp_results **out) {
    const tp_suite_cell *cell = &job->suite->cells[job->place];
    const tp_suite_place *place = &job->plan->places[job->place];
    bool leads = cell->leader == job->place;
    char *leader = leads ? NULL : folder_of(job, cell->leader);
    char *donor_folder = job->donor && cell->donor != cell->leader ? folder_of(job, cell->donor) : NULL;
    tp_results *donor = NULL, *results[2] = {NULL, NULL};
    tp_status status = TP_OK;
    if (donor_folder) status = tp_evaluate_load((const char *const *)&donor_folder, 1, &donor);
    const char *runs[2] = {leads ? folder : leader, folder};
    size_t n = leads ? 1 : 2;
    if (status == TP_OK)
        status = tp_evaluate_runs(&(tp_evaluate_options){.task = place->task,
                                                         .sender = place->sender,
                                                         .receiver = place->receiver,
                                                         .runs = runs,
                                                         .n_runs = n,
                                                         .wanted = job->suite->wanted,
                                                         .keep = true,
                                                         .donor = donor,
                                                         .n_timed = job->suite->n_timed,
                                                         .prompt_steps = job->suite->prompt_steps,
                                                         .max_cache = job->max_cache,
                                                         .stop = stop,
                                                         .progress = progress},
                                  results);
    if (!leads) tp_results_free(results[0]);
    *out = results[n - 1];
    tp_results_free(donor);
    tp_free(donor_folder);
    tp_free(leader);
    return status;
}

/* ---- documents ---- */

typedef struct {
    tp_document items[TP_MOST_DOCUMENTS + 2];
    char *bytes[TP_MOST_DOCUMENTS + 2]; /* owned */
    size_t n;
} documents;

static tp_status add_file(documents *d, const char *folder, const char *file, const char *name) {
    char *path = tp_path_join(folder, file);
    size_t n;
    tp_status status = tp_read_file(path, 0, &d->bytes[d->n], &n);
    tp_free(path);
    if (status != TP_OK) return status;
    d->items[d->n] = (tp_document){name, d->bytes[d->n], n};
    d->n++;
    return TP_OK;
}

/* Has a step make its document. */
static tp_status run_step(const tp_suite_step *step, const tp_suite_job *job, const char *folder,
                          const tp_results *results, tp_progress *progress, const volatile sig_atomic_t *stop,
                          json_t **document) {
    const tp_suite_place *place = &job->plan->places[job->place];
    tp_relay *relay = tp_relay_load(folder, place->sender, place->receiver);
    if (relay == NULL) return tp_last_status();
    tp_kept kept = {0};
    tp_eval eval = {.task = place->task,
                    .relay = relay,
                    .seed = relay->recipe->seed,
                    .chosen = NAN,
                    .stop = stop,
                    .progress = progress,
                    .kept = &kept};
    *document = step->make(&eval, results, json_object_get(job->suite->definition, step->name));
    tp_kept_free(&kept);
    tp_relay_free(relay);
    return *document ? TP_OK : tp_fail_context("document %s", step->name);
}

/* Adds a step's document, which is kept in the run's folder too. */
static tp_status add_step(documents *d, const tp_suite_job *job, const char *folder, const char *name,
                          const tp_results *results, tp_progress *progress, const volatile sig_atomic_t *stop) {
    const tp_suite_step *step = job->options->steps;
    while (strcmp(step->name, name) != 0) step++; /* there is one: it was looked for before */
    json_t *document = NULL;
    TP_TRY(run_step(step, job, folder, results, progress, stop, &document));
    char *file = tp_format("%s.json", name), *path = tp_path_join(folder, file);
    tp_status status = tp_json_save_file(document, path);
    json_decref(document);
    if (status == TP_OK) status = add_file(d, folder, file, name);
    tp_free(path);
    tp_free(file);
    return status;
}

static tp_status make_documents(documents *d, const tp_suite_job *job, const char *folder, const tp_results *results,
                                tp_progress *progress, const volatile sig_atomic_t *stop) {
    TP_TRY(add_file(d, folder, "train.json", "train"));
    TP_TRY(add_file(d, folder, "log.jsonl", "log"));
    for (int i = 0; job->suite->documents[i]; i++) {
        if (*stop) return tp_fail(TP_ERR_CANCELLED, "the evaluation was interrupted");
        TP_TRY(add_step(d, job, folder, job->suite->documents[i], results, progress, stop));
    }
    return TP_OK;
}

/* ---- into the registry ---- */

static tp_status put(const tp_suite_job *job, const char *folder, const tp_results *results, const documents *d) {
    const tp_suite_place *place = &job->plan->places[job->place];
    tp_registry *registry = tp_registry_open_in(job->plan->out, true);
    if (registry == NULL) return tp_last_status();
    json_t *times = read_times(folder);
    char *machine = describe_machine(), *settings = tp_suite_settings(job->suite);
    double train = number_of(times, "train_seconds"), evaluation = number_of(times, "evaluate_seconds");
    tp_finished_run run = {.key = place->key,
                           .name = job->suite->cells[job->place].name,
                           .folder = place->folder,
                           .results = results,
                           .settings = settings,
                           .circumstances = {.started = json_string_value(json_object_get(times, "started")),
                                             .revision = job->options->revision,
                                             .machine = machine,
                                             .kernels = tp_cpu()->name,
                                             .threads = job->threads,
                                             .peak_bytes = (int64_t)number_of(times, "peak_bytes"),
                                             .train_seconds = train > 0 ? train : NAN,
                                             .evaluate_seconds = evaluation > 0 ? evaluation : NAN},
                           .documents = d->items,
                           .n_documents = d->n};
    tp_status status = tp_registry_put(registry, &run);
    tp_registry_close(registry);
    json_decref(times);
    tp_free(machine);
    tp_free(settings);
    return status;
}

tp_status tp_suite_evaluate(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    const tp_suite_job *job = context;
    char *folder = folder_of(job, job->place), started[32];
    write_now(started);
    double began = tp_now();
    tp_results *results = NULL;
    documents d = {0};
    tp_status status = evaluate(job, folder, progress, stop, &results);
    if (status == TP_OK) status = make_documents(&d, job, folder, results, progress, stop);
    if (status == TP_OK) status = add_times(folder, "evaluate_seconds", tp_now() - began, started);
    if (status == TP_OK) status = put(job, folder, results, &d);
    for (size_t i = 0; i < d.n; i++) tp_free(d.bytes[i]);
    tp_results_free(results);
    tp_free(folder);
    return status;
}
