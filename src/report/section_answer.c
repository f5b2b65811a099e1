/* What was asked, and the answer: the first thing a reader sees, and all that most will read. */
#include "report/sections.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/claims.h"
#include "report/number.h"

#include <math.h>

static void question(tp_doc *doc, const tp_report_view *view) {
    const tp_results *r = tp_report_main(&view->groups, 0)->results[0];
    char *sender = tp_path_last(r->sender), *receiver = tp_path_last(r->receiver);
    tp_doc_text(
        doc,
        "One language model, the sender (%s), reads a text and stops part of the way up its layers. A small "
        "trained bridge turns its hidden states into a few soft tokens. Another model, the receiver (%s), gets "
        "these instead of the text, and answers. Does it know what the sender read, and is that worth more than "
        "what simpler ways give on the same texts?",
        sender, receiver);
    bool synthetic = false;
    for (size_t k = 0; k < view->groups.n_main; k++)
        synthetic = synthetic || tp_report_main(&view->groups, k)->results[0]->synthetic;
    if (synthetic)
        tp_doc_text(doc, "Some of the data here is SYNTHETIC, made by this program: its numbers say that the machinery "
                         "works, nothing about real texts.");
    tp_free(sender);
    tp_free(receiver);
}

/* Where several settings were run, the one that is judged must be named: a reader would take it for the best. */
static void setting(tp_doc *doc, const tp_report_view *view) {
    if (view->groups.n == view->groups.n_main) return;
    tp_str text = {0};
    tp_str_appendf(
        &text,
        "%zu settings were run, and all stand under \"Other settings\". One of each task is judged here: that in "
        "which most was measured, of several the middle one by soft tokens, layer and training rows, never "
        "the best.",
        view->groups.n);
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        const tp_results *r = g->results[0];
        const char *recipe = json_string_value(json_object_get(json_object_get(r->subject, "recipe"), "name"));
        tp_str_appendf(&text, "%s %s with ", k ? ";" : " Here", r->task);
        if (recipe) tp_str_appendf(&text, "%s, ", recipe);
        tp_str_appendf(&text, "%d soft tokens from layer %d", r->soft_tokens, r->layer);
    }
    tp_doc_text(doc, "%s.", text.data);
    tp_str_free(&text);
}

/* How the tasks decide a claim: [tone], and how many could say. */
typedef struct tally {
    size_t n[4], made;
} tally;

static tally count(const tp_claim *verdicts, size_t n_tasks, size_t claim) {
    tally t = {0};
    for (size_t k = 0; k < n_tasks; k++) {
        const tp_claim *v = &verdicts[claim * n_tasks + k];
        if (v->made) t.n[v->tone]++, t.made++;
    }
    return t;
}

/* "It beats the linear probe of its layer and the text relay on 3 of 4 tasks." A sentence for each claim would tire:
 * those of which `wanted` tasks of `made` say yes, and `open` cannot tell, share one. */
static void beaten(tp_str *text, const tp_claim *verdicts, size_t n_tasks, size_t made, size_t wanted, size_t open) {
    size_t n = 0, last = 0;
    for (size_t pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (size_t c = 0; c < TP_N_CLAIMS; c++) {
            tally t = count(verdicts, n_tasks, c);
            if (tp_claim_object(c) == NULL || t.made != made || t.n[TP_TONE_YES] != wanted || t.n[TP_TONE_OPEN] != open)
                continue;
            if (pass == 0) {
                n++;
                last = c;
                continue;
            }
            if (at == 0 && made > 1)
                tp_str_append_text(text, " It beats ");
            else if (at == 0)
                tp_str_append_text(text, wanted ? " It beats "
                                         : open ? " It is not told apart from "
                                                : " It loses to ");
            else
                tp_str_append_text(text, c == last ? " and " : ", ");
            tp_str_append_text(text, tp_claim_object(c));
            at++;
        }
        if (n == 0) return;
    }
    if (made > 1) {
        if (wanted)
            tp_str_appendf(text, " on %zu of %zu tasks", wanted, made);
        else
            tp_str_appendf(text, " on none of %zu tasks", made);
        if (open) tp_str_appendf(text, " (and may on %zu: too close to tell)", open);
    }
    if (made == 1 && n_tasks > 1) tp_str_append_text(text, " (measured on one task)");
    tp_str_append_char(text, '.');
}

/* The claims that are said by themselves: the first, whether it is communication, or those behind it. */
static void singly(tp_str *text, const tp_claim *verdicts, size_t n_tasks, bool first) {
    for (size_t c = 0; c < TP_N_CLAIMS; c++) {
        tally t = count(verdicts, n_tasks, c);
        if (tp_claim_object(c) || t.made == 0 || (c == 0) != first) continue;
        if (t.made == 1 && t.n[TP_TONE_OPEN])
            tp_str_appendf(text, " Too close to tell whether it %s.", tp_claim_name(c));
        else if (t.made == 1)
            tp_str_appendf(text, " It %s%s.", t.n[TP_TONE_YES] ? tp_claim_name(c) : tp_claim_denial(c),
                           n_tasks > 1 ? " (measured on one task)" : "");
        else if (t.n[TP_TONE_YES] == 0)
            tp_str_appendf(text, " It %s on any of %zu tasks%s.", tp_claim_denial(c), t.made,
                           t.n[TP_TONE_OPEN] ? " beyond chance" : "");
        else
            tp_str_appendf(text, " It %s on %zu of %zu tasks.", tp_claim_name(c), t.n[TP_TONE_YES], t.made);
    }
}

/* The answer in one paragraph. */
static void summary(tp_doc *doc, const tp_claim *verdicts, size_t n_tasks) {
    tp_str text = {0};
    tp_str_append_text(&text, "In short.");
    singly(&text, verdicts, n_tasks, true);
    for (size_t made = n_tasks; made > 0; made--)
        for (size_t wanted = made + 1; wanted-- > 0;)
            for (size_t open = 0; open <= made - wanted; open++) beaten(&text, verdicts, n_tasks, made, wanted, open);
    singly(&text, verdicts, n_tasks, false);
    tp_doc_text(doc, "%s", text.data);
    tp_str_free(&text);
}

static void overview(tp_doc *doc, const tp_report_view *view, const tp_claim *verdicts) {
    size_t n_tasks = view->groups.n_main;
    tp_sheet *s = tp_doc_table(doc, "verdicts",
                               "Does the bridge keep its promises? Differences in points of accuracy; p by "
                               "McNemar's test, corrected by Holm over the whole table below.");
    tp_sheet_column(s, "<the bridge ...");
    for (size_t k = 0; k < n_tasks; k++) {
        char *heading = tp_format("<%s", tp_report_main(&view->groups, k)->results[0]->task);
        tp_sheet_column(s, heading);
        tp_free(heading);
    }
    for (size_t c = 0; c < TP_N_CLAIMS; c++) {
        bool any = false;
        for (size_t k = 0; k < n_tasks; k++) any = any || verdicts[c * n_tasks + k].made;
        if (!any) continue;
        tp_sheet_text(s, "%s", tp_claim_name(c));
        for (size_t k = 0; k < n_tasks; k++) {
            const tp_claim *v = &verdicts[c * n_tasks + k];
            tp_sheet_value(s, v->made ? v->tone : TP_TONE_NONE, NAN, "%s", v->made ? v->brief : "not measured");
        }
    }
}

static void reasons(tp_doc *doc, const tp_report_view *view, const tp_claim *verdicts) {
    size_t n_tasks = view->groups.n_main;
    tp_sheet *s = tp_doc_table(doc, "reasons", "What each verdict rests on");
    tp_sheet_column(s, "<the bridge ...");
    tp_sheet_column(s, "<verdict");
    tp_sheet_column(s, "=what the numbers say");
    for (size_t k = 0; k < n_tasks; k++) {
        char *name = tp_report_task_name(tp_report_main(&view->groups, k)->results[0]);
        bool first = true;
        for (size_t c = 0; c < TP_N_CLAIMS; c++) {
            const tp_claim *v = &verdicts[c * n_tasks + k];
            if (!v->made) continue;
            if (first) tp_sheet_group_row(s, name);
            first = false;
            tp_sheet_text(s, "%s", tp_claim_name(c));
            tp_sheet_value(s, v->tone, NAN, "%s", tp_verdict_word(v->tone));
            tp_sheet_text(s, "%s", v->sentence);
        }
        tp_free(name);
    }
}

bool tp_section_answer(tp_doc *doc, const tp_report_view *view) {
    size_t n_tasks = view->groups.n_main;
    bool any = false;
    tp_claim *verdicts = tp_alloc(TP_N_CLAIMS * n_tasks * sizeof *verdicts);
    for (size_t c = 0; c < TP_N_CLAIMS; c++)
        for (size_t k = 0; k < n_tasks; k++) {
            verdicts[c * n_tasks + k] = tp_claim_judge(tp_report_main(&view->groups, k), c);
            any = any || verdicts[c * n_tasks + k].made;
        }
    tp_doc_section(doc, "answer", "What was asked, and the answer");
    question(doc, view);
    setting(doc, view);
    if (any) {
        summary(doc, verdicts, n_tasks);
        overview(doc, view, verdicts);
        reasons(doc, view, verdicts);
    } else {
        tp_doc_text(doc, "Nothing here was measured that the bridge could be compared with, so there is no verdict.");
    }
    for (size_t i = 0; i < TP_N_CLAIMS * n_tasks; i++) tp_claim_free(&verdicts[i]);
    tp_free(verdicts);
    return true;
}
