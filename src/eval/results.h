/* What an evaluation found, in memory and in a run's eval.json: every method's answer to every test row, so that every
 * table can be made again from it without running anything. */
#ifndef TP_EVAL_RESULTS_H
#define TP_EVAL_RESULTS_H

#include "base/json.h"
#include "eval/method.h"
#include "eval/stats.h"

enum { TP_MOST_METHODS = 64 };

/* Of a task with free answers two labels stand for what became of them: 0 wrong, 1 right (the truth of every row), and
 * -1 where nothing was written. So accuracy is the share of exact answers, and rows are compared like those of any
 * task. */
typedef struct tp_results {
    char *run;       /* the folder, for people; owned */
    json_t *subject; /* what was evaluated: task, data, models, recipe, bridge, seed; owned */
    /* what tables show of the subject; texts are borrowed from it */
    const char *task, *title, *sender, *receiver;
    bool synthetic;
    bool free_answers;                /* of the task: see above */
    int layer, n_layers, soft_tokens; /* tapped, of the sender; M */
    uint64_t seed;
    size_t n_overlap;
    int64_t n_timed;
    int32_t n_labels;
    tp_dataset truth; /* labels and ids of the test rows, without texts; owned */
    bool present[TP_MOST_METHODS];
    tp_method_result methods[TP_MOST_METHODS]; /* in the order of tp_methods */
} tp_results;

/* Results without any method yet. */
tp_results *tp_results_new(const tp_eval *eval, const char *run);
void tp_results_free(tp_results *results); /* takes NULL */

/* Takes the method's result over, in place of an older one. */
void tp_results_put(tp_results *results, const tp_method *method, tp_method_result *result);
const tp_method_result *tp_results_get(const tp_results *results, const tp_method *method); /* NULL if absent */

/* The same answers once more, for another run of the recipe. */
tp_method_result tp_method_result_copy(const tp_method_result *result);

/* True if nothing but seed and bridge differ: the runs belong into one table. */
bool tp_results_comparable(const tp_results *a, const tp_results *b);

/* Takes over from `older`, which is of the same subject, the methods that are not there yet; else does nothing. */
void tp_results_merge(tp_results *results, tp_results *older);

/* McNemar's test of two rows of a table, both present. */
tp_mcnemar tp_results_mcnemar(const tp_results *results, const tp_method *first, tp_reading first_reading,
                              const tp_method *second, tp_reading second_reading);

json_t *tp_results_to_json(const tp_results *results);
tp_results *tp_results_from_json(json_t *value, const char *name); /* `name`: for messages. NULL on error */
tp_status tp_results_save(const tp_results *results, const char *path);
tp_results *tp_results_load(const char *path); /* NULL on error */

#endif
