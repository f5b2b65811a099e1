/* What a task must have to be trained on. See check_task.h. */
#include "train/check_task.h"

#include "base/mem.h"

tp_status tp_train_check_task(const tp_task *task, tp_progress *progress) {
    TP_TRY(tp_task_needs_train(task));
    if (task->valid.n == 0)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the task %s has no validation rows to choose the best bridge by: its %zu training rows are too "
                       "few to carve some out (`task.valid_fraction`)",
                       task->name, task->train.n);
    if (task->kind == TP_TASK_TEXT) return TP_OK; /* the rest is about labels */
    int64_t *rows = tp_alloc((size_t)task->n_labels * sizeof *rows);
    for (size_t i = 0; i < task->train.n; i++) rows[task->train.examples[i].label]++;
    int32_t empty = 0, an_empty_one = 0;
    for (int32_t l = 0; l < task->n_labels; l++)
        if (rows[l] == 0) empty++, an_empty_one = l;
    tp_free(rows);
    if (task->n_labels - empty < 2)
        return tp_fail(TP_ERR_ARGUMENT,
                       "all %zu training rows of the task %s have the same label: there is nothing to tell apart",
                       task->train.n, task->name);
    if (empty > 0)
        tp_progress_say(progress, "%d of %d labels have no training row (\"%s\" for one): they cannot be learned",
                        empty, task->n_labels, task->labels[an_empty_one].name);
    return TP_OK;
}
