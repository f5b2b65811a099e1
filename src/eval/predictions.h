/* What a method answered for each row of a split, and what that is worth.
 *
 * A prediction is a label's index, or -1 where the answer named none of the labels: invalid, counted as wrong and
 * reported by itself, never dropped. */
#ifndef TP_EVAL_PREDICTIONS_H
#define TP_EVAL_PREDICTIONS_H

#include "data/task.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tp_predictions {
    int32_t *labels; /* [n], in the order of the split */
    size_t n;
} tp_predictions;

tp_predictions tp_predictions_new(size_t n); /* all invalid */
void tp_predictions_free(tp_predictions *predictions);

typedef struct tp_scores {
    size_t n, n_right, n_invalid;
    double accuracy, invalid_rate; /* shares of n; NaN for n = 0 */
    double macro_f1;               /* mean over the labels that occur in truth or predictions */
    int32_t n_labels;
    double *class_accuracy; /* [n_labels] share of the label's rows that are right (recall); NaN if it has none */
    size_t *confusion;      /* [n_labels, n_labels + 1] rows by truth, columns by prediction, the last one invalid */
} tp_scores;

/* Scores the predictions of a split (predictions->n = truth->n). Free with tp_scores_free. */
tp_scores tp_scores_of(const tp_predictions *predictions, const tp_dataset *truth, int32_t n_labels);
void tp_scores_free(tp_scores *scores);

#endif
