/* The bridge of one task on the texts of another: does it carry what it was not trained to carry?
 *
 * Two readings. *Zero-shot*: the receiver is asked the other task's question (its primer, its labels) about soft tokens
 * that the bridge makes of the other task's texts. *Probe*: a logistic regression learns the other task's labels from
 * packets of its training texts, and reads packets of its test texts; beside it the same from the sender's mean state,
 * which says what there was to carry. */
#ifndef TP_ANALYSIS_TRANSFER_H
#define TP_ANALYSIS_TRANSFER_H

#include "base/json.h"
#include "eval/method.h"

/* The document of `telepathy transfer` (docs/analysis.md). Of the evaluation `task` is the other task, `relay` the
 * run's, which stays as it is. The sender reads the texts in the prompt that the bridge was trained with, or with
 * `task_prompt` in the other task's. NULL on error; free with json_decref. */
json_t *tp_transfer(tp_eval *eval, bool task_prompt);

/* The same for people. The caller frees it. */
char *tp_transfer_text(const json_t *document);

#endif
