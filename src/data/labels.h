/* Labels as the files say them become numbers: those of the task, or those found in a user's training file. */
#ifndef TP_DATA_LABELS_H
#define TP_DATA_LABELS_H

#include "base/mem.h"
#include "data/rows.h"
#include "data/task.h"

/* Finds labels by their key. */
typedef struct tp_label_finder {
    const tp_task *task;
    const tp_label **sorted; /* [n_labels] */
} tp_label_finder;

void tp_label_finder_init(tp_label_finder *finder, const tp_task *task);
void tp_label_finder_free(tp_label_finder *finder);

/* The row as an example; its texts are borrowed. The error names file, line and the labels that were expected ("the
 * task's", "those of train": `whose`), or says that the options are not as many as the labels. */
tp_status tp_label_row(const tp_label_finder *finder, const tp_row *row, const char *path, tp_row_kind kind,
                       const char *whose, tp_example *out);

/* All rows as examples, numbered from 0; [rows->n], to be freed with tp_free. NULL on error. */
tp_example *tp_label_rows(const tp_task *task, const tp_rows *rows, const char *path, tp_row_kind kind,
                          const char *whose);

/* Makes the labels of a task out of the n keys found in a user's file of n_rows rows (sorted here; repeats are fine):
 * in the order of their bytes, `_` said as a blank unless that makes two of them equal. */
tp_status tp_labels_discover(tp_task *task, const char **keys, size_t n, size_t n_rows, const char *path,
                             tp_arena *arena);

enum { TP_MOST_LABELS = 10000 };

#endif
