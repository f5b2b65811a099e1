/* Experiments of others, made again: one row for each recipe with a comment, their verdict beside ours.
 *
 * Ours is decided by figures and detectors, by the same rules for every row: whether the soft tokens were all the same
 * when training ended, whether the bridge is told apart from one that gets another text's tokens, and from what the
 * words alone give. Nobody reads losses. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/documents.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

typedef struct finding {
    const tp_row_summary *shuffled, *words, *majority; /* NULL: not measured */
    const char *warning;                               /* the last one of its training; NULL: none */
    bool collapsed;                                    /* said by a detector in the second half of the training */
} finding;

/* ---- what the detectors said ---- */

static bool says_collapse(const char *sentence) {
    return strstr(sentence, "hardly differ between examples") || strstr(sentence, "point the same way");
}

static void read_log(json_t *log, finding *f) {
    size_t i;
    json_t *line;
    double last = 0;
    json_array_foreach(log, i, line) last = fmax(last, tp_document_number(line, "step"));
    json_array_foreach(log, i, line) {
        const char *sentence = tp_document_text(line, "warning");
        double step = tp_document_number(line, "step");
        if (!*sentence || !(step > 0)) continue; /* before the first step it is about the recipe */
        f->warning = sentence;
        f->collapsed = f->collapsed || (says_collapse(sentence) && step > last / 2);
    }
}

/* ---- our verdict ---- */

/* -1: the row is better than the bridge, 1: the bridge is, 0: not told apart, or not measured. */
static int against(const tp_report_group *g, const tp_row_summary *row) {
    if (row == NULL || !(g->p[row - g->summary.rows] < 0.05)) return 0;
    return g->bridge->mean > row->mean ? 1 : -1;
}

static const char *verdict(const tp_report_group *g, const finding *f, tp_tone *tone) {
    bool informed = against(g, f->shuffled) > 0;
    *tone = TP_TONE_NO;
    if (!informed && f->collapsed) return "collapsed";
    if (!informed) return "nothing comes across";
    if (f->words == NULL && against(g, f->majority) <= 0) return "no better than one answer for all";
    if (against(g, f->words) < 0) return "beaten by the words";
    *tone = f->words && against(g, f->words) == 0 ? TP_TONE_OPEN : TP_TONE_YES;
    return *tone == TP_TONE_OPEN ? "level with the words" : "works";
}

/* ---- the table ---- */

static const tp_report_group *group_of(const tp_report_view *view, const char *run, const tp_report_run **found) {
    for (size_t i = 0; i < view->groups.n; i++)
        for (size_t k = 0; k < view->groups.items[i].n; k++)
            if (strcmp(view->groups.items[i].runs[k]->name, run) == 0) {
                *found = view->groups.items[i].runs[k];
                return k == 0 ? &view->groups.items[i] : NULL; /* the seeds of a group have one row */
            }
    return NULL;
}

static void percent(tp_sheet *s, const tp_row_summary *row) {
    tp_sheet_percent(s, row ? row->mean : NAN);
}

static void add_row(tp_sheet *s, const tp_report_group *g, const tp_report_run *run, json_t *cell) {
    json_t *comment = json_object_get(cell, "comment");
    finding f = {.shuffled = tp_report_row(g, "shuffled", g->bridge->reading),
                 .words = tp_report_row(g, "words", TP_READ_DIRECT),
                 .majority = tp_report_row(g, "majority", TP_READ_DIRECT)};
    read_log(run->log, &f);
    tp_tone tone;
    const char *ours = verdict(g, &f, &tone);
    tp_sheet_text(s, "%s", tp_document_text(cell, "recipe"));
    tp_sheet_text(s, "%s", g->results[0]->task);
    tp_sheet_text(s, "%s", tp_document_text(comment, "reported"));
    tp_sheet_text(s, "%s", tp_document_text(comment, "verdict"));
    tp_sheet_value(s, tone, NAN, "%s", ours);
    tp_sheet_percent(s, g->bridge->mean);
    tp_sheet_percent(s, g->bridge->interval.low);
    tp_sheet_percent(s, g->bridge->interval.high);
    percent(s, f.shuffled);
    percent(s, f.majority);
    percent(s, f.words);
    const tp_method_result *bridge = tp_results_get(g->results[0], &tp_method_bridge);
    tp_sheet_text(s, "%s", g->results[0]->free_answers && bridge->note ? bridge->note : "");
    tp_sheet_text(s, "%s", f.warning ? f.warning : "");
}

bool tp_section_phases(tp_doc *doc, const tp_report_view *view) {
    static const char *const columns[] = {"<recipe",
                                          "<task",
                                          "=they reported",
                                          "=their verdict",
                                          "<ours",
                                          ">right",
                                          ">from",
                                          ">to",
                                          ">shuffled",
                                          ">one answer",
                                          ">words alone",
                                          "=of free answers",
                                          "=the detectors' last word"};
    size_t start = doc->n, i, k;
    json_t *suite, *member;
    tp_doc_section(doc, "phases", "Experiments of others, made again");
    tp_sheet *s = tp_doc_table(doc, "phases", "Each recipe at one small budget: their verdict, and what came out here");
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
    json_array_foreach(view->runs->suites, i, suite) json_array_foreach(json_object_get(suite, "members"), k, member) {
        json_t *cell = json_object_get(member, "cell");
        const tp_report_run *run;
        if (!json_is_object(json_object_get(cell, "comment"))) continue;
        const tp_report_group *g = group_of(view, tp_document_text(member, "name"), &run);
        if (g && g->bridge) add_row(s, g, run, cell);
    }
    bool any = tp_sheet_rows(s) > 0;
    if (any)
        tp_doc_note(
            doc,
            "Ours, by McNemar's test at 5 %% on the same rows, each row for itself: collapsed, if a detector said "
            "so in the second half of the training and the bridge is not told apart from shuffled sources; nothing "
            "comes across, if it is not told apart; beaten by the words, level with them, or works. Their figures "
            "are of other models, data and budgets.");
    else
        tp_doc_cut(doc, start);
    return any;
}
