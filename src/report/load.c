/* Reading runs. See load.h. */
#include "report/load.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
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
    *runs = (tp_report_runs){0};
}

char *tp_report_short_name(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/') from--;
    return tp_strndup(path + from, n - from);
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

/* The lines of a log. The last one may be half written, if a training was killed: then it is passed over. */
static tp_status read_log(const char *folder, const char *name, json_t **out) {
    char *path = tp_path_join(folder, name), *line;
    size_t len, number = 0;
    tp_status status = TP_OK;
    if (!tp_path_exists(path)) {
        tp_free(path);
        return TP_OK;
    }
    tp_lines *lines = tp_lines_open(path);
    if (lines == NULL) status = tp_last_status();
    json_t *all = json_array();
    bool broken = false;
    while (lines && status == TP_OK && tp_lines_next(lines, &line, &len)) {
        number++;
        if (broken) status = tp_fail(TP_ERR_FORMAT, "%s: line %zu is not JSON", path, number - 1);
        if (len == 0 || broken) continue;
        json_t *value = tp_json_load_bytes(line, len, path);
        broken = value == NULL;
        if (value) json_array_append_new(all, value);
    }
    if (lines && status == TP_OK) status = tp_lines_status(lines);
    tp_lines_close(lines);
    tp_free(path);
    if (status == TP_OK)
        *out = all;
    else
        json_decref(all);
    return status;
}

static tp_status add_run(tp_report_runs *runs, const char *folder) {
    char *path = tp_path_join(folder, "eval.json");
    tp_report_run run = {.name = tp_report_short_name(folder), .results = tp_results_load(path)};
    tp_free(path);
    tp_status status = run.results ? TP_OK : tp_last_status();
    if (status == TP_OK) status = read_log(folder, "log.jsonl", &run.log);
    if (status == TP_OK) status = read_document(folder, "train.json", &run.outcome);
    if (status == TP_OK) status = read_document(folder, "inspect.json", &run.inspect);
    if (status == TP_OK) status = read_document(folder, "latency.json", &run.latency);
    if (status != TP_OK) {
        free_run(&run);
        return status;
    }
    tp_grow(&runs->items, &runs->capacity, runs->n, sizeof *runs->items);
    runs->items[runs->n++] = run;
    return TP_OK;
}

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
        tp_status status = holds(folders[i], "eval.json") ? add_run(out, folders[i]) : add_folders(out, folders[i]);
        if (status == TP_OK && out->n == before)
            status = tp_fail(TP_ERR_ARGUMENT,
                             "%s holds no finished run: neither eval.json, which `telepathy eval` writes, nor folders "
                             "with one",
                             folders[i]);
        if (status != TP_OK) {
            tp_report_runs_free(out);
            return status;
        }
    }
    return TP_OK;
}
