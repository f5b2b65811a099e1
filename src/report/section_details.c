/* Every number behind the main table, each seed by itself, and what methods say of themselves. */
#include "report/sections.h"

#include "base/mem.h"
#include "base/str.h"
#include "report/number.h"

#include <math.h>

static void seeds_cell(tp_sheet *s, const tp_row_summary *row) {
    tp_str seeds = {0};
    char number[TP_NUMBER_SIZE];
    for (size_t k = 0; row->method->seeded && k < row->n_runs; k++)
        tp_str_appendf(&seeds, "%s%s", k ? " " : "", tp_number_percent(row->accuracies[k], number));
    tp_sheet_text(s, "%s", seeds.data ? seeds.data : "");
    tp_str_free(&seeds);
}

static void p_cell(tp_sheet *s, double p) {
    char text[TP_NUMBER_SIZE];
    tp_sheet_value(s, TP_TONE_NONE, p, "%s", isnan(p) ? "" : p < 0.001 ? "<0.001" : tp_number_fixed(p, 3, text));
}

/* The mean over labels of precision and recall's harmonic mean, mean over runs. */
static double macro_f1(const tp_report_group *g, const tp_row_summary *row) {
    double sum = 0;
    for (size_t k = 0; k < g->n; k++) {
        const tp_results *r = g->results[k];
        const tp_answers *a = &tp_results_get(r, row->method)->readings[row->reading];
        tp_scores scores = tp_scores_of(&a->predictions, &r->truth, r->n_labels);
        sum += scores.macro_f1 / (double)g->n;
        tp_scores_free(&scores);
    }
    return sum;
}

/* How the row stands to the bridge: each run's tests together, corrected, over seeds, and the size of the difference.
 */
static void comparison_cells(tp_sheet *s, const tp_report_group *g, size_t i) {
    const tp_row_summary *row = &g->summary.rows[i];
    bool other = g->bridge && row->method != &tp_method_bridge;
    p_cell(s, g->p[i]);
    p_cell(s, g->holm[i]);
    p_cell(s, other && g->n > 1 ? tp_paired_t_test(g->bridge->accuracies, row->accuracies, g->n).p : NAN);
    tp_sheet_number(s, other ? tp_cohen_h(g->bridge->mean, row->mean) : NAN, 2);
}

/* Begins a row of a table that has a group for each task: method and reading. */
static void row_head(tp_sheet *s, const tp_report_group *g, const tp_row_summary *row, bool first) {
    if (first) tp_sheet_group_row(s, g->results[0]->task);
    if (row->method == &tp_method_bridge) tp_sheet_strong_row(s);
    tp_sheet_text(s, "%s", row->method->title);
    tp_sheet_text(s, "%s", row->reading == TP_READ_DIRECT ? "" : tp_reading_name(row->reading));
}

static void numbers(tp_doc *doc, const tp_report_view *view) {
    static const char *const columns[] = {"<method", "<reading",      ">right %",  ">±",         ">from",
                                          ">to",     "<each seed",    ">macro F1", ">invalid %", ">p",
                                          ">p Holm", ">p over seeds", ">Cohen's h"};
    tp_sheet *s =
        tp_doc_table(doc, "details", "Right answers. From, to: 95 %% interval; p, h: the bridge against the row");
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        for (size_t i = 0; i < g->summary.n; i++) {
            const tp_row_summary *row = &g->summary.rows[i];
            row_head(s, g, row, i == 0);
            tp_sheet_percent(s, row->mean);
            tp_sheet_percent(s, row->method->seeded ? row->std : NAN);
            tp_sheet_percent(s, row->interval.low);
            tp_sheet_percent(s, row->interval.high);
            seeds_cell(s, row);
            tp_sheet_percent(s, macro_f1(g, row));
            tp_sheet_percent(s, row->reading == TP_READ_GENERATE ? row->invalid : NAN);
            comparison_cells(s, g, i);
        }
    }
    tp_doc_note(
        doc, "p: McNemar's, of several seeds the largest, 1 where seeds disagree; p Holm: the same corrected over the "
             "main table; p over seeds: Student's paired t of the accuracies of each seed; Cohen's h: the difference "
             "of two shares by its size (0.2 small, 0.5 medium, 0.8 large), above 0 where the bridge is better.");
}

static bool is_measured(const tp_row_summary *row) {
    return !isnan(row->total_ms) || !isnan(row->per_second) || !isnan(row->bytes);
}

static void times(tp_doc *doc, const tp_report_view *view) {
    static const char *const columns[] = {"<method",      "<reading",   ">sender ms", ">bridge ms",
                                          ">receiver ms", ">ms a text", ">texts/s",   ">bytes"};
    size_t start = doc->n;
    tp_sheet *s = tp_doc_table(doc, "times",
                               "What it costs: one text at a time, texts a second in batches of 32, bytes that "
                               "cross from sender to receiver");
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        bool first = true;
        for (size_t i = 0; i < g->summary.n; i++) {
            const tp_row_summary *row = &g->summary.rows[i];
            if (!is_measured(row)) continue;
            row_head(s, g, row, first);
            first = false;
            for (int p = 0; p < TP_N_PHASES; p++) tp_sheet_short(s, row->ms[p]);
            tp_sheet_short(s, row->total_ms);
            tp_sheet_short(s, row->per_second);
            tp_sheet_short(s, row->bytes);
        }
    }
    if (s->n_cells == 0) tp_doc_cut(doc, start);
}

/* Settings that were chosen, notes, and texts that were cut. A method that does not depend on the seed says it once. */
static void remarks(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_sheet *s = tp_doc_table(doc, "remarks", "Settings chosen on the validation rows, and what else must be known");
    tp_sheet_column(s, "<method");
    tp_sheet_column(s, "<seed");
    tp_sheet_column(s, "=remark");
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        bool first = true;
        for (int m = 0; tp_methods[m]; m++)
            for (size_t i = 0; i < (tp_methods[m]->seeded ? g->n : 1); i++) {
                const tp_method_result *result = tp_results_get(g->results[i], tp_methods[m]);
                if (result == NULL) continue;
                tp_str text = {0};
                if (result->setting) tp_str_append_text(&text, result->setting);
                if (result->note) tp_str_appendf(&text, "%s%s", text.len ? "; " : "", result->note);
                if (result->n_truncated)
                    tp_str_appendf(&text, "%s%lld texts were cut to fit", text.len ? "; " : "",
                                   (long long)result->n_truncated);
                if (text.len) {
                    if (first) tp_sheet_group_row(s, g->results[0]->task);
                    first = false;
                    tp_sheet_text(s, "%s", tp_methods[m]->title);
                    if (tp_methods[m]->seeded)
                        tp_sheet_text(s, "%llu", (unsigned long long)g->results[i]->seed);
                    else
                        tp_sheet_text(s, "%s", "");
                    tp_sheet_text(s, "%s", text.data);
                }
                tp_str_free(&text);
            }
    }
    if (s->n_cells == 0) tp_doc_cut(doc, start);
}

bool tp_section_details(tp_doc *doc, const tp_report_view *view) {
    tp_doc_section(doc, "details", "Every number");
    numbers(doc, view);
    times(doc, view);
    remarks(doc, view);
    return true;
}
