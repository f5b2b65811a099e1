/* What a task must have to be trained on. */
#ifndef TP_TRAIN_CHECK_TASK_H
#define TP_TRAIN_CHECK_TASK_H

#include "base/progress.h"
#include "data/task.h"

/* Mistakes that training would not notice, or only after a long time: no rows, none to validate on, one label only.
 * Labels without rows are spoken of (progress may be NULL). */
tp_status tp_train_check_task(const tp_task *task, tp_progress *progress);

#endif
