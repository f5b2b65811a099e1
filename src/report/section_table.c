/* The main table: every method on every task, and what its numbers mean. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

/* The row's cell for a task: accuracy, deviation over seeds, how it stands to the bridge, and the interval. */
static void cell(tp_sheet *s, const tp_report_group *g, const tp_row_summary *row) {
    char mean[TP_NUMBER_SIZE], std[TP_NUMBER_SIZE], low[TP_NUMBER_SIZE], high[TP_NUMBER_SIZE];
    if (row == NULL) {
        tp_sheet_text(s, "%s", "");
        return;
    }
    double p = g->holm[row - g->summary.rows];
    const char *mark = isnan(p) ? "" : p >= 0.05 ? " =" : row->mean > g->bridge->mean ? " ↑" : " ↓";
    bool spread = row->n_runs > 1 && row->method->seeded;
    tp_sheet_value(s, TP_TONE_NONE, row->mean, "%s%s%s%s\n%s–%s", tp_number_percent(row->mean, mean),
                   spread ? " ± " : "", spread ? tp_number_percent(row->std, std) : "", mark,
                   tp_number_percent(row->interval.low, low), tp_number_percent(row->interval.high, high));
}

static void explain(tp_doc *doc, const tp_report_view *view) {
    bool several = false, read = false;
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        several = several || g->n > 1;
        for (size_t i = 0; i < g->summary.n; i++) read = read || g->summary.rows[i].reading != TP_READ_DIRECT;
    }
    tp_doc_note(
        doc,
        "Share of the test rows answered right, in percent%s; below it Wilson's 95 %% interval for the number of "
        "test rows.",
        several ? ", mean over seeds ± standard deviation over seeds where the seed matters" : "");
    if (view->groups.n_tests)
        tp_doc_note(doc,
                    "↑ better than the bridge, ↓ worse, = not told apart: McNemar's test on the same rows at 5 %%, "
                    "corrected by Holm over the %zu comparisons of this table%s.",
                    view->groups.n_tests,
                    several ? "; of several seeds the largest p counts, and seeds that disagree count as not told apart"
                            : "");
    if (read)
        tp_doc_note(doc, "Score: the label whose tokens the model finds likeliest. Generate: it writes, and a label is "
                         "looked for in what it wrote; an answer that names none is counted as wrong.");
}

bool tp_section_table(tp_doc *doc, const tp_report_view *view) {
    size_t n_tasks = view->groups.n_main;
    tp_doc_section(doc, "table", "The table");
    tp_sheet *s = tp_doc_table(doc, "results", "All methods on the same test rows");
    tp_sheet_column(s, "<method");
    for (size_t k = 0; k < n_tasks; k++) {
        char *heading = tp_format(">%s", tp_report_main(&view->groups, k)->results[0]->task);
        tp_sheet_column(s, heading);
        tp_free(heading);
    }
    const char *kind = NULL;
    for (int m = 0; tp_methods[m]; m++)
        for (tp_reading r = 0; r < TP_N_READINGS; r++) {
            const tp_row_summary *any = NULL;
            for (size_t k = 0; k < n_tasks && any == NULL; k++)
                any = tp_summary_find(&tp_report_main(&view->groups, k)->summary, tp_methods[m], r);
            if (any == NULL) continue;
            const char *here = tp_report_kind(tp_methods[m]);
            if (kind == NULL || strcmp(kind, here) != 0) tp_sheet_group_row(s, here);
            kind = here;
            if (tp_methods[m] == &tp_method_bridge) tp_sheet_strong_row(s);
            char *name = tp_report_row_name(any);
            tp_sheet_text(s, "%s", name);
            tp_free(name);
            for (size_t k = 0; k < n_tasks; k++) {
                const tp_report_group *g = tp_report_main(&view->groups, k);
                cell(s, g, tp_summary_find(&g->summary, tp_methods[m], r));
            }
        }
    explain(doc, view);
    return true;
}
