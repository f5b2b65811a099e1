/* From folders to a page. See report.h. */
#include "report/report.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/sections.h"
#include "report/writers.h"

#include <string.h>

static const struct {
    bool (*add)(tp_doc *doc, const tp_report_view *view);
    const char *missing; /* what is not there, where the section has nothing to show; NULL: few reports have it */
} sections[] = {
    {tp_section_answer, "verdicts"},
    {tp_section_table, "the table"},
    {tp_section_phases, NULL},
    {tp_section_accuracy, "accuracy"},
    {tp_section_sweeps, "other settings (soft tokens, layers, training rows)"},
    {tp_section_latency, "latency"},
    {tp_section_training, "training curves (log.jsonl)"},
    {tp_section_confusion, "confusion of classes"},
    {tp_section_projection, "projections of soft tokens (inspect.json)"},
    {tp_section_reading, "attention and nearest tokens (inspect.json)"},
    {tp_section_transcripts, "transcripts of text relay and latent relay (inspect.json)"},
    {tp_section_details, "details"},
    {tp_section_making, "how it was made"},
};

static bool all_equal(const tp_report_view *view, const char *(*of)(const tp_results *)) {
    for (size_t k = 1; k < view->groups.n_main; k++)
        if (strcmp(of(tp_report_main(&view->groups, k)->results[0]), of(tp_report_main(&view->groups, 0)->results[0])))
            return false;
    return true;
}

static const char *sender_of(const tp_results *r) {
    return r->sender;
}

static const char *receiver_of(const tp_results *r) {
    return r->receiver;
}

static void head(tp_doc *doc, const tp_report_view *view) {
    size_t n_tasks = view->groups.n_main, n_runs = 0;
    const tp_results *first = tp_report_main(&view->groups, 0)->results[0];
    tp_str tasks = {0};
    for (size_t k = 0; k < n_tasks; k++) {
        tp_str_appendf(&tasks, "%s%s",
                       k == 0             ? ""
                       : k + 1 == n_tasks ? " and "
                                          : ", ",
                       tp_report_main(&view->groups, k)->results[0]->task);
    }
    for (size_t i = 0; i < view->groups.n; i++) n_runs += view->groups.items[i].n;
    if (all_equal(view, sender_of) && all_equal(view, receiver_of)) {
        char *sender = tp_path_last(first->sender), *receiver = tp_path_last(first->receiver);
        doc->title = tp_format("What %s tells %s without words", sender, receiver);
        tp_free(sender);
        tp_free(receiver);
    } else {
        doc->title = tp_strdup("What one model tells another without words");
    }
    doc->subtitle = tp_format("A latent relay measured against its opponents and controls: %zu run%s on %s.", n_runs,
                              n_runs == 1 ? "" : "s", tasks.data);
    tp_str_free(&tasks);
}

static tp_doc *compose(const tp_report_view *view) {
    tp_doc *doc = tp_doc_new();
    tp_str missing = {0};
    head(doc, view);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (!sections[i].add(doc, view) && sections[i].missing)
            tp_str_appendf(&missing, "%s%s", missing.len ? ", " : "", sections[i].missing);
    if (missing.len) tp_doc_note(doc, "Not shown, because these runs hold no data for it: %s.", missing.data);
    tp_str_free(&missing);
    return doc;
}

char *tp_report_make(const char *const *folders, size_t n, tp_report_format format) {
    tp_report_runs runs;
    if (tp_report_load(folders, n, &runs) != TP_OK) return NULL;
    tp_report_view view = {.runs = &runs, .groups = tp_report_groups_of(&runs)};
    tp_doc *doc = compose(&view);
    char *text = NULL;
    switch (format) {
    case TP_REPORT_HTML:
        text = tp_doc_html(doc);
        break;
    case TP_REPORT_MARKDOWN:
        text = tp_doc_markdown(doc);
        break;
    case TP_REPORT_CSV:
        text = tp_doc_csv(doc);
        break;
    case TP_REPORT_JSON:
        text = tp_doc_json(doc);
        break;
    }
    tp_doc_free(doc);
    tp_report_groups_free(&view.groups);
    tp_report_runs_free(&runs);
    return text;
}
