/* Accuracy as bars, a chart per task: who leads, and where the bridge stands. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

/* Of a method that was read in two ways, the way in which the bridge is judged. */
static bool is_shown(const tp_report_group *g, const tp_row_summary *row) {
    if (row->reading == TP_READ_DIRECT) return true;
    tp_reading wanted = g->bridge ? g->bridge->reading : TP_READ_SCORE;
    return row->reading == wanted || tp_summary_find(&g->summary, row->method, wanted) == NULL;
}

static const tp_row_summary *leader(const tp_report_group *g) {
    static const char *const anybody[] = {"*", NULL};
    const tp_row_summary *best = tp_report_best(g, anybody);
    return g->bridge && (best == NULL || g->bridge->mean >= best->mean) ? g->bridge : best;
}

static void chart(tp_doc *doc, const tp_report_group *g) {
    const tp_results *r = g->results[0];
    tp_bar *bars = tp_alloc((g->summary.n + 1) * sizeof *bars);
    size_t n = 0;
    const char *kind = NULL;
    for (size_t i = 0; i < g->summary.n; i++) {
        const tp_row_summary *row = &g->summary.rows[i];
        if (!is_shown(g, row)) continue;
        const char *here = tp_report_kind(row->method);
        bars[n++] = (tp_bar){row->method->title,
                             100 * row->mean,
                             100 * row->interval.low,
                             100 * row->interval.high,
                             row->method == &tp_method_bridge    ? TP_BAR_SUBJECT
                             : tp_report_is_control(row->method) ? TP_BAR_CONTROL
                                                                 : TP_BAR_PLAIN,
                             kind != NULL && strcmp(kind, here) != 0};
        kind = here;
    }
    const tp_row_summary *best = leader(g), *majority = tp_report_row(g, tp_method_majority.name, TP_READ_DIRECT);
    char top[TP_NUMBER_SIZE], ours[TP_NUMBER_SIZE], level[TP_NUMBER_SIZE];
    char *reference = majority ? tp_format("the most frequent label: %s %%", tp_number_percent(majority->mean, level))
                               : tp_format("any label: %s %%", tp_number_fixed(100.0 / fmax(r->n_labels, 1), 1, level));
    /* free answers have no label that one could always give */
    double line = r->free_answers ? NAN : majority ? 100 * majority->mean : 100.0 / fmax(r->n_labels, 1);
    char *svg = tp_chart_bars(r->title, bars, n, line, reference);
    if (best == NULL)
        tp_doc_figure(doc, svg, false, "%s: right answers, %%", r->task);
    else if (best == g->bridge)
        tp_doc_figure(doc, svg, false, "%s: the bridge leads with %s %% right answers", r->task,
                      tp_number_percent(best->mean, top));
    else if (g->bridge)
        tp_doc_figure(doc, svg, false, "%s: %s leads with %s %% right answers; the bridge reaches %s %%", r->task,
                      best->method->title, tp_number_percent(best->mean, top),
                      tp_number_percent(g->bridge->mean, ours));
    else
        tp_doc_figure(doc, svg, false, "%s: %s leads with %s %% right answers", r->task, best->method->title,
                      tp_number_percent(best->mean, top));
    tp_free(reference);
    tp_free(bars);
}

bool tp_section_accuracy(tp_doc *doc, const tp_report_view *view) {
    bool any = false;
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        if (g->summary.n == 0) continue;
        if (!any) tp_doc_section(doc, "accuracy", "Task by task");
        any = true;
        chart(doc, g);
    }
    if (any)
        tp_doc_note(
            doc, "Thin lines are 95 %% intervals. Outlined bars are controls, which must not rise above the dashed "
                 "line by more than chance. Language models are shown in the reading in which the bridge is judged.");
    return any;
}
