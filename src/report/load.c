/* Reading runs. See load.h. */
#include "report/load.h"

#include "base/file.h"
#include "base/mem.h"
#include "eval/registry.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void free_run(tp_report_run *run) {
    tp_free(run->name);
    tp_results_free(run->results);
    json_decref(run->log);
    json_decref(run->outcome);
    json_decref(run->inspect);
    json_decref(run->latency);
    json_decref(run->origin);
}

void tp_report_runs_free(tp_report_runs *runs) {
    for (size_t i = 0; i < runs->n; i++) free_run(&runs->items[i]);
    tp_free(runs->items);
    json_decref(runs->suites);
    *runs = (tp_report_runs){0};
}

/* ---- documents of a folder ---- */

static bool holds(const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    bool there = tp_path_exists(path);
    tp_free(path);
    return there;
}

/* NULL in *out if the file is not there. */
static tp_status read_document(const char *folder, const char *name, json_t **out) {
    char *path = tp_path_join(folder, name);
    tp_status status = TP_OK;
    if (tp_path_exists(path)) {
        *out = tp_json_load_file(path);
        if (*out == NULL) status = tp_last_status();
    }
    tp_free(path);
    return status;
}

/* The lines of a log of n bytes. The last one may be half written, if a training was killed: then it is passed over. */
static tp_status parse_log(const char *bytes, size_t n, const char *name, json_t **out) {
    json_t *all = json_array();
    size_t number = 0;
    for (const char *line = bytes, *end = bytes + n; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop ? stop : end) - line);
        number++;
        json_t *value = len ? tp_json_load_bytes(line, len, name) : NULL;
        if (len && value == NULL && stop) {
            json_decref(all);
            return tp_fail(TP_ERR_FORMAT, "%s: line %zu is not JSON", name, number);
        }
        if (value) json_array_append_new(all, value);
        line += len + 1;
    }
    *out = all;
    return TP_OK;
}

static tp_status read_log(const char *folder, const char *name, json_t **out) {
    char *path = tp_path_join(folder, name), *bytes = NULL;
    size_t n;
    tp_status status = TP_OK;
    if (tp_path_exists(path)) {
        status = tp_read_file(path, 0, &bytes, &n);
        if (status == TP_OK) status = parse_log(bytes, n, path, out);
    }
    tp_free(bytes);
    tp_free(path);
    return status;
}

/* Takes the run over if all is well. */
static tp_status keep_run(tp_report_runs *runs, tp_report_run *run, tp_status status) {
    if (status != TP_OK) {
        free_run(run);
        return status;
    }
    tp_grow(&runs->items, &runs->capacity, runs->n, sizeof *runs->items);
    runs->items[runs->n++] = *run;
    return TP_OK;
}

static tp_status add_run(tp_report_runs *runs, const char *folder) {
    char *path = tp_path_join(folder, "eval.json");
    tp_report_run run = {.name = tp_path_last(folder), .results = tp_results_load(path)};
    tp_free(path);
    tp_status status = run.results ? TP_OK : tp_last_status();
    if (status == TP_OK) status = read_log(folder, "log.jsonl", &run.log);
    if (status == TP_OK) status = read_document(folder, "train.json", &run.outcome);
    if (status == TP_OK) status = read_document(folder, "inspect.json", &run.inspect);
    if (status == TP_OK) status = read_document(folder, "latency.json", &run.latency);
    return keep_run(runs, &run, status);
}

/* ---- a registry ---- */

static tp_status registry_document(tp_registry *registry, const tp_run_entry *entry, const char *name, json_t **out) {
    char *bytes, where[300];
    size_t n;
    TP_TRY(tp_registry_document(registry, entry->key, name, &bytes, &n));
    if (bytes == NULL) return TP_OK;
    snprintf(where, sizeof where, "document `%s` of run %.200s", name, entry->name);
    tp_status status = TP_OK;
    if (strcmp(name, "log") == 0) {
        status = parse_log(bytes, n, where, out);
    } else {
        *out = tp_json_load_bytes(bytes, n, where);
        if (*out == NULL) status = tp_last_status();
    }
    tp_free(bytes);
    return status;
}

static json_t *text_or_null(const char *text) {
    json_t *value = text ? json_string(text) : NULL;
    return value ? value : json_null();
}

static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *origin_of(const tp_circumstances *c) {
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "revision", text_or_null(c->revision), "machine",
                     text_or_null(c->machine), "kernels", text_or_null(c->kernels), "threads", (json_int_t)c->threads,
                     "peak_bytes", (json_int_t)c->peak_bytes, "train_seconds", number_or_null(c->train_seconds),
                     "evaluate_seconds", number_or_null(c->evaluate_seconds));
}

static tp_status add_entry(tp_report_runs *runs, tp_registry *registry, const tp_run_entry *entry) {
    tp_report_run run = {.name = tp_strdup(entry->name),
                         .results = tp_registry_results(registry, entry->key),
                         .origin = origin_of(&entry->circumstances)};
    tp_status status = run.results ? TP_OK : tp_last_status();
    if (status == TP_OK) status = registry_document(registry, entry, "log", &run.log);
    if (status == TP_OK) status = registry_document(registry, entry, "train", &run.outcome);
    if (status == TP_OK) status = registry_document(registry, entry, "inspect", &run.inspect);
    if (status == TP_OK) status = registry_document(registry, entry, "latency", &run.latency);
    return keep_run(runs, &run, status);
}

/* All runs of the registry that were finished. */
static tp_status add_registry(tp_report_runs *runs, const char *folder) {
    tp_registry *registry = tp_registry_open_in(folder, false);
    if (registry == NULL) return tp_last_status();
    tp_run_list list = {0};
    tp_status status = tp_registry_list(registry, NULL, &list);
    for (size_t i = 0; i < list.n && status == TP_OK; i++)
        if (strcmp(list.runs[i].state, "done") == 0) status = add_entry(runs, registry, &list.runs[i]);
    tp_run_list_free(&list);
    if (status == TP_OK) {
        json_t *suites = tp_registry_suites(registry);
        if (suites == NULL)
            status = tp_last_status();
        else if (runs->suites == NULL)
            runs->suites = json_incref(suites);
        else
            json_array_extend(runs->suites, suites);
        json_decref(suites);
    }
    tp_registry_close(registry);
    return status;
}

/* ---- folders ---- */

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The runs among the folders of a folder, by name. */
static tp_status add_folders(tp_report_runs *runs, const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, by_name);
    if (n < 0) return tp_fail(TP_ERR_IO, "%s: %s", folder, strerror(errno));
    tp_status status = TP_OK;
    for (int i = 0; i < n; i++) {
        char *path = tp_path_join(folder, entries[i]->d_name);
        if (status == TP_OK && entries[i]->d_name[0] != '.' && holds(path, "eval.json")) status = add_run(runs, path);
        tp_free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

tp_status tp_report_load(const char *const *folders, size_t n, tp_report_runs *out) {
    *out = (tp_report_runs){0};
    for (size_t i = 0; i < n; i++) {
        size_t before = out->n;
        tp_status status = holds(folders[i], "runs.db")     ? add_registry(out, folders[i])
                           : holds(folders[i], "eval.json") ? add_run(out, folders[i])
                                                            : add_folders(out, folders[i]);
        if (status == TP_OK && out->n == before)
            status = tp_fail(TP_ERR_ARGUMENT,
                             "%s holds no finished run: neither runs.db of a suite, nor eval.json, which `telepathy "
                             "eval` writes, nor folders with one",
                             folders[i]);
        if (status != TP_OK) {
            tp_report_runs_free(out);
            return status;
        }
    }
    return TP_OK;
}
