/* What a LatentWire is worth: each receiver by itself, and all of them together, on the same test rows as their
 * opponents and controls.
 *
 * Joint rescoring (SPEC 5): the receivers' log-likelihoods of each label are added with weights that are chosen on the
 * validation split. What is found is one JSON object, which the table is made from; it is kept in the run's folder. */
#ifndef TP_EVAL_LATENTWIRE_EVAL_H
#define TP_EVAL_LATENTWIRE_EVAL_H

#include "base/progress.h"
#include "base/table.h"
#include "eval/evaluate.h"
#include "latentwire/group.h"

#include <jansson.h>
#include <signal.h>

typedef struct tp_latentwire_eval_options {
    const char *run; /* the folder */
    const tp_latentwire_models *models;
    const tp_task *task; /* with labels */
    const volatile sig_atomic_t *stop;
    tp_progress *progress;
} tp_latentwire_eval_options;

/* Runs it, and writes latentwire-eval.json into the folder. NULL on error. */
json_t *tp_latentwire_evaluate(const tp_latentwire_eval_options *options);

/* What an earlier evaluation wrote. NULL on error. */
json_t *tp_latentwire_eval_load(const char *run);

/* The same as the results of a run among others, for suites: in place of the bridge stand all receivers together, with
 * their shuffled source; the opponent that reads the text, and the zero packet, are the best single receiver's. Methods
 * that need a sender or a bridge get a note instead. Also writes the run's eval.json. The options' models are not used:
 * the run's recipe names them. NULL on error. */
tp_results *tp_latentwire_run_results(const tp_evaluate_options *options, const char *run);

/* The table for people; freed by the caller. */
char *tp_latentwire_eval_table(const json_t *found, tp_table_style style);

/* Weights [n], >= 0 and 1 together, under which the weighted sum of n scores [n_rows, n_labels] gives the most right
 * answers: the best single one first, then each other mixed in with the best of eleven shares, of equals the smallest.
 * The truth are labels [n_rows]. */
void tp_joint_weights(const double *const *scores, int n, size_t n_rows, int n_labels, const int32_t *truth,
                      double *weights);

#endif
