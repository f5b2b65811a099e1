/* From results to the numbers of a table: means over runs, intervals, tests. See table.h. */
#include "base/mem.h"
#include "eval/table.h"

#include <math.h>

/* The mean of what is there; NAN if nothing is. */
static double mean_of(const double *values, size_t n) {
    double sum = 0;
    size_t there = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) sum += values[i], there++;
    return there ? sum / (double)there : NAN;
}

static void summarise(tp_row_summary *row, const tp_results *const *runs, const tp_method *method, tp_reading reading) {
    size_t n_runs = row->n_runs, n_test = runs[0]->truth.n;
    double *values = tp_alloc(n_runs * sizeof *values), invalid = 0;
    row->method = method;
    row->reading = reading;
    row->accuracies = tp_alloc(n_runs * sizeof *row->accuracies);
    for (size_t k = 0; k < n_runs; k++) {
        const tp_answers *a = &tp_results_get(runs[k], method)->readings[reading];
        tp_scores scores = tp_scores_of(&a->predictions, &runs[k]->truth, runs[k]->n_labels);
        row->accuracies[k] = scores.accuracy;
        invalid += scores.invalid_rate / (double)n_runs;
        tp_scores_free(&scores);
    }
    row->mean = tp_mean(row->accuracies, n_runs);
    row->std = n_runs > 1 ? tp_std(row->accuracies, n_runs) : NAN;
    row->interval = tp_wilson((size_t)llround(row->mean * (double)n_test), n_test, 0.95);
    row->invalid = invalid;
    row->total_ms = NAN;
    for (int p = 0; p < TP_N_PHASES; p++) {
        for (size_t k = 0; k < n_runs; k++) values[k] = tp_results_get(runs[k], method)->readings[reading].ms[p];
        row->ms[p] = mean_of(values, n_runs);
        if (!isnan(row->ms[p])) row->total_ms = (isnan(row->total_ms) ? 0 : row->total_ms) + row->ms[p];
    }
    for (size_t k = 0; k < n_runs; k++) values[k] = tp_results_get(runs[k], method)->readings[reading].per_second;
    row->per_second = mean_of(values, n_runs);
    for (size_t k = 0; k < n_runs; k++) values[k] = tp_results_get(runs[k], method)->bytes;
    row->bytes = mean_of(values, n_runs);
    row->p = NAN;
    tp_free(values);
}

/* In all runs, so that every mean is over the same runs. */
static bool everywhere(const tp_results *const *runs, size_t n_runs, const tp_method *method, tp_reading reading) {
    for (size_t k = 0; k < n_runs; k++) {
        const tp_method_result *m = tp_results_get(runs[k], method);
        if (m == NULL || m->readings[reading].predictions.labels == NULL) return false;
    }
    return true;
}

static void test_against_bridge(tp_summary *s, const tp_results *run) {
    const tp_row_summary *bridge = tp_summary_find(s, &tp_method_bridge, TP_READ_SCORE);
    if (bridge == NULL) return;
    double *p = tp_alloc(s->n * sizeof *p);
    size_t n = 0;
    for (size_t r = 0; r < s->n; r++)
        if (s->rows[r].method != &tp_method_bridge)
            p[n++] = tp_results_mcnemar(run, &tp_method_bridge, TP_READ_SCORE, s->rows[r].method, s->rows[r].reading).p;
    tp_holm(p, n, p);
    n = 0;
    for (size_t r = 0; r < s->n; r++)
        if (s->rows[r].method != &tp_method_bridge) s->rows[r].p = p[n++];
    tp_free(p);
}

tp_summary tp_summary_of(const tp_results *const *runs, size_t n_runs, const bool *shown) {
    tp_summary s = {0};
    size_t capacity = 0;
    for (int m = 0; tp_methods[m]; m++)
        for (tp_reading r = 0; r < TP_N_READINGS; r++) {
            if ((shown && !shown[m]) || !everywhere(runs, n_runs, tp_methods[m], r)) continue;
            tp_grow(&s.rows, &capacity, s.n, sizeof *s.rows);
            s.rows[s.n] = (tp_row_summary){.n_runs = n_runs};
            summarise(&s.rows[s.n++], runs, tp_methods[m], r);
        }
    if (n_runs == 1) test_against_bridge(&s, runs[0]);
    return s;
}

void tp_summary_free(tp_summary *summary) {
    for (size_t i = 0; i < summary->n; i++) tp_free(summary->rows[i].accuracies);
    tp_free(summary->rows);
    *summary = (tp_summary){0};
}

const tp_row_summary *tp_summary_find(const tp_summary *summary, const tp_method *method, tp_reading reading) {
    for (size_t i = 0; i < summary->n; i++)
        if (summary->rows[i].method == method && summary->rows[i].reading == reading) return &summary->rows[i];
    return NULL;
}
