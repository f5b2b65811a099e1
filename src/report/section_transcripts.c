/* What two ways of handing over the same text lead to, side by side: the sender writes a line and the receiver reads
 * it, or the bridge hands over soft tokens. Examples on which they differ. */
#include "report/sections.h"

#include "report/documents.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

enum { MOST_EXAMPLES = 5, MOST_LETTERS = 400 };

static void answer(tp_sheet *s, json_t *transcript, const char *key) {
    const char *text = tp_document_text(transcript, key), *label = tp_document_text(transcript, "label");
    if (*text == '\0')
        tp_sheet_value(s, TP_TONE_NO, NAN, "none");
    else
        tp_sheet_value(s, strcmp(text, label) == 0 ? TP_TONE_YES : TP_TONE_NO, NAN, "%s, %s", text,
                       strcmp(text, label) == 0 ? "right" : "wrong");
}

/* At most MOST_LETTERS bytes, cut between characters. */
static void prose(tp_sheet *s, const char *text) {
    size_t n = strlen(text);
    if (n <= MOST_LETTERS) {
        tp_sheet_text(s, "%s", text);
        return;
    }
    n = MOST_LETTERS;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
    tp_sheet_text(s, "%.*s…", (int)n, text);
}

static bool one_task(tp_doc *doc, const tp_report_group *g) {
    for (size_t i = 0; i < g->n; i++) {
        json_t *list = json_object_get(g->runs[i]->inspect, "transcripts");
        size_t n = json_array_size(list);
        if (n == 0) continue;
        tp_sheet *s = tp_doc_table(doc, "transcripts", "%s: texts on which the two relays differ", g->results[0]->task);
        tp_sheet_column(s, "<row");
        tp_sheet_column(s, "=text");
        tp_sheet_column(s, "<true class");
        tp_sheet_column(s, "=what the sender wrote");
        tp_sheet_column(s, "<text relay");
        tp_sheet_column(s, "<latent relay");
        for (size_t k = 0; k < n && k < MOST_EXAMPLES; k++) {
            json_t *t = json_array_get(list, k);
            tp_sheet_number(s, tp_document_number(t, "row"), 0);
            prose(s, tp_document_text(t, "text"));
            tp_sheet_text(s, "%s", tp_document_text(t, "label"));
            prose(s, tp_document_text(t, "relay_text"));
            answer(s, t, "text_answer");
            answer(s, t, "latent_answer");
        }
        return true;
    }
    return false;
}

bool tp_section_transcripts(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    bool any = false;
    tp_doc_section(doc, "transcripts", "The same texts, written and handed over");
    for (size_t k = 0; k < view->groups.n_main; k++) any = one_task(doc, tp_report_main(&view->groups, k)) || any;
    if (!any) tp_doc_cut(doc, start);
    return any;
}
