/* Counting right, wrong and invalid answers. See predictions.h. */
#include "eval/predictions.h"

#include "base/mem.h"

#include <math.h>

tp_predictions tp_predictions_new(size_t n) {
    tp_predictions out = {.labels = tp_alloc(n * sizeof *out.labels), .n = n};
    for (size_t i = 0; i < n; i++) out.labels[i] = -1;
    return out;
}

void tp_predictions_free(tp_predictions *predictions) {
    tp_free(predictions->labels);
    *predictions = (tp_predictions){0};
}

tp_scores tp_scores_of(const tp_predictions *predictions, const tp_dataset *truth, int32_t n_labels) {
    size_t labels = (size_t)n_labels, columns = labels + 1;
    tp_scores s = {.n = predictions->n,
                   .n_labels = n_labels,
                   .class_accuracy = tp_alloc(labels * sizeof *s.class_accuracy),
                   .confusion = tp_alloc(labels * columns * sizeof *s.confusion)};
    for (size_t i = 0; i < s.n; i++) {
        int32_t predicted = predictions->labels[i], right = truth->examples[i].label;
        bool invalid = predicted < 0 || predicted >= n_labels;
        s.confusion[(size_t)right * columns + (invalid ? labels : (size_t)predicted)]++;
        s.n_right += predicted == right;
        s.n_invalid += invalid;
    }
    double f1 = 0;
    size_t n_f1 = 0;
    for (size_t l = 0; l < labels; l++) {
        size_t of_label = 0, as_label = 0, hits = s.confusion[l * columns + l];
        for (size_t k = 0; k < columns; k++) of_label += s.confusion[l * columns + k];
        for (size_t k = 0; k < labels; k++) as_label += s.confusion[k * columns + l];
        s.class_accuracy[l] = of_label ? (double)hits / (double)of_label : NAN;
        if (of_label + as_label == 0) continue;
        f1 += 2 * (double)hits / (double)(of_label + as_label);
        n_f1++;
    }
    s.accuracy = s.n ? (double)s.n_right / (double)s.n : NAN;
    s.invalid_rate = s.n ? (double)s.n_invalid / (double)s.n : NAN;
    s.macro_f1 = n_f1 ? f1 / (double)n_f1 : NAN;
    return s;
}

void tp_scores_free(tp_scores *scores) {
    tp_free(scores->class_accuracy);
    tp_free(scores->confusion);
    *scores = (tp_scores){0};
}
