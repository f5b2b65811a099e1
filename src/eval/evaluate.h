/* Evaluating finished runs: every method asked for, on the same test rows, into results. */
#ifndef TP_EVAL_EVALUATE_H
#define TP_EVAL_EVALUATE_H

#include "eval/results.h"

typedef struct tp_evaluate_options {
    const tp_task *task;
    const tp_lm *sender, *receiver;
    const char *const *runs; /* [n_runs] folders of runs of one recipe, which may differ in seed */
    size_t n_runs;
    const bool *wanted;      /* [in the order of tp_methods]; NULL: all */
    bool keep;               /* do not run again what eval.json holds of the same bridge, rows and recipe */
    const tp_results *donor; /* of another recipe on the same task: answers that need no model are taken from it */
    int64_t n_timed;         /* texts whose time is taken one by one; 0: no times */
    int64_t prompt_steps;    /* most updates of prompt tuning; 0: as many as the recipe's */
    int64_t max_cache;       /* bytes of test states kept in memory; 0: a GiB */
    const volatile sig_atomic_t *stop;
    tp_progress *progress;
} tp_evaluate_options;

/* Runs the methods and writes each run's eval.json, after every method anew, which keeps what an earlier evaluation of
 * the same bridge on the same rows found with other methods. What does not depend on the run is computed once for all,
 * and what a method's sweep chose for the first run, the others take over. results[n_runs] are the caller's to free;
 * NULL from the first run that failed. */
tp_status tp_evaluate_runs(const tp_evaluate_options *options, tp_results **results);

/* The results of earlier evaluations, from each run's eval.json. */
tp_status tp_evaluate_load(const char *const *runs, size_t n_runs, tp_results **results);

#endif
