/* The table of an evaluation, for people and for programs. */
#ifndef TP_EVAL_TABLE_H
#define TP_EVAL_TABLE_H

#include "base/table.h"
#include "eval/results.h"

/* The table of one run, or of several that are comparable (tp_results_comparable): what was measured, a row per method
 * and reading, and below it what the numbers mean, in sentences. `shown` [in the order of tp_methods] chooses rows;
 * NULL: all. The caller frees it. */
char *tp_eval_table(const tp_results *const *runs, size_t n_runs, const bool *shown, tp_table_style style);

/* The sentences alone, each ended by a line feed; the caller frees it. */
char *tp_eval_notes(const tp_results *const *runs, size_t n_runs, const bool *shown);

/* The same for programs: {"runs": [what eval.json holds, ...], "rows": [{method, reading, mean, std, ...}, ...],
 * "notes":
 * [...]}. With `items` false the rows' predictions are left out. */
json_t *tp_eval_json(const tp_results *const *runs, size_t n_runs, const bool *shown, bool items);

/* ---- shared by table and notes ---- */

/* One row of the table: a method in one reading, over all runs. */
typedef struct tp_row_summary {
    const tp_method *method;
    tp_reading reading;
    size_t n_runs;
    double *accuracies;                                  /* [n_runs], shares */
    double mean, std;                                    /* over runs; std NAN for one run */
    tp_interval interval;                                /* Wilson's 95 % for the mean and the number of test rows */
    double invalid;                                      /* share, mean over runs */
    double ms[TP_N_PHASES], total_ms, per_second, bytes; /* means over runs */
    double p; /* McNemar against the bridge's score on one run, Holm-corrected over the table; else NAN */
} tp_row_summary;

typedef struct tp_summary {
    tp_row_summary *rows;
    size_t n;
} tp_summary;

tp_summary tp_summary_of(const tp_results *const *runs, size_t n_runs, const bool *shown);
void tp_summary_free(tp_summary *summary);
const tp_row_summary *tp_summary_find(const tp_summary *summary, const tp_method *method, tp_reading reading);

/* How often answers in these proportions are right if they are given without looking at the text: the sum over labels
 * of its share among the rows times its share among the answers. Mean over runs, which hold the row. */
double tp_blind_accuracy(const tp_results *const *runs, size_t n_runs, const tp_row_summary *row);

#endif
