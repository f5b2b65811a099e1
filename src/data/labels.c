/* See labels.h. */
#include "data/labels.h"

#include "base/str.h"
#include "data/description.h"

#include <stdlib.h>
#include <string.h>

static int by_key(const void *a, const void *b) {
    return strcmp((*(const tp_label *const *)a)->key, (*(const tp_label *const *)b)->key);
}

void tp_label_finder_init(tp_label_finder *finder, const tp_task *task) {
    *finder =
        (tp_label_finder){.task = task, .sorted = tp_alloc(((size_t)task->n_labels + 1) * sizeof *finder->sorted)};
    for (int32_t i = 0; i < task->n_labels; i++) finder->sorted[i] = &task->labels[i];
    qsort(finder->sorted, (size_t)task->n_labels, sizeof *finder->sorted, by_key);
}

void tp_label_finder_free(tp_label_finder *finder) {
    tp_free(finder->sorted);
    *finder = (tp_label_finder){0};
}

static tp_status unknown_label(const tp_task *task, const char *path, const char *place, const tp_row *row,
                               const char *whose) {
    tp_str known = {0};
    for (int32_t i = 0; i < task->n_labels && known.len < 160; i++)
        tp_str_appendf(&known, "%s%s", i ? ", " : "", task->labels[i].key);
    if (known.len >= 160) tp_str_append_text(&known, ", ...");
    tp_status status = tp_fail(TP_ERR_FORMAT, "%s, %s %zu: the label \"%.80s\" is not one of %s: %s", path, place,
                               row->line, row->label, whose, known.data);
    tp_str_free(&known);
    return status;
}

tp_status tp_label_row(const tp_label_finder *finder, const tp_row *row, const char *path, tp_row_kind kind,
                       const char *whose, tp_example *out) {
    const tp_task *task = finder->task;
    *out =
        (tp_example){.text = row->text, .len = row->len, .label = -1, .options = row->options, .answers = row->answers};
    if (task->kind == TP_TASK_TEXT) return TP_OK;
    tp_label wanted = {.key = row->label}, *key = &wanted;
    const tp_label **found = bsearch(&key, finder->sorted, (size_t)task->n_labels, sizeof *finder->sorted, by_key);
    if (found == NULL) return unknown_label(task, path, tp_row_place(kind), row, whose);
    out->label = (int32_t)(*found - task->labels);
    if (task->kind == TP_TASK_CLASSES) return TP_OK;
    int32_t n = 0;
    while (row->options && row->options[n]) n++;
    if (n == task->n_labels) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s, %s %zu: %d options found, %d were expected", path, tp_row_place(kind), row->line,
                   n, task->n_labels);
}

tp_example *tp_label_rows(const tp_task *task, const tp_rows *rows, const char *path, tp_row_kind kind,
                          const char *whose) {
    tp_label_finder finder;
    tp_label_finder_init(&finder, task);
    tp_example *examples = tp_alloc((rows->n + 1) * sizeof *examples);
    tp_status status = TP_OK;
    for (size_t i = 0; i < rows->n && status == TP_OK; i++) {
        status = tp_label_row(&finder, &rows->items[i], path, kind, whose, &examples[i]);
        examples[i].id = (int32_t)i;
    }
    tp_label_finder_free(&finder);
    if (status == TP_OK) return examples;
    tp_free(examples);
    return NULL;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

tp_status tp_labels_discover(tp_task *task, const char **keys, size_t n_keys, size_t n_rows, const char *path,
                             tp_arena *arena) {
    qsort(keys, n_keys, sizeof *keys, by_text);
    size_t n = 0;
    for (size_t i = 0; i < n_keys; i++)
        if (n == 0 || strcmp(keys[n - 1], keys[i]) != 0) keys[n++] = keys[i];
    if (n < 2 || n > TP_MOST_LABELS)
        return tp_fail(TP_ERR_FORMAT, "%s: %zu different label%s in %zu row%s; 2 to %d were expected", path, n,
                       n == 1 ? "" : "s", n_rows, n_rows == 1 ? "" : "s", TP_MOST_LABELS);
    task->labels = tp_arena_zalloc(arena, n * sizeof *task->labels);
    task->n_labels = (int32_t)n;
    bool clash = false;
    for (size_t i = 0; i < n; i++) {
        tp_label_from_key(&task->labels[i], keys[i], false, arena);
        for (size_t j = 0; j < i && !clash; j++) clash = strcmp(task->labels[i].name, task->labels[j].name) == 0;
    }
    for (size_t i = 0; i < n && clash; i++) task->labels[i].name = task->labels[i].key;
    return TP_OK;
}
