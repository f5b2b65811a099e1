/* What the soft tokens read of a text, and which words of the receiver they come near. */
#include "report/sections.h"

#include "base/mem.h"
#include "base/str.h"
#include "report/documents.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

enum { MOST_EXAMPLES = 2, MOST_COLUMNS = 96, MOST_NEAREST = 5 };

/* The text with its tokens shaded by how much all soft tokens together read of each. */
static void shaded_text(tp_doc *doc, const char *const *tokens, const double *attention, size_t n_soft,
                        size_t n_tokens) {
    double *means = tp_alloc((n_tokens + 1) * sizeof *means), most = 0;
    for (size_t t = 0; t < n_tokens; t++) {
        for (size_t s = 0; s < n_soft; s++) {
            double weight = attention[s * n_tokens + t];
            if (weight > 0) means[t] += weight / (double)n_soft;
        }
        most = fmax(most, means[t]);
    }
    for (size_t t = 0; t < n_tokens && most > 0; t++) means[t] /= most;
    tp_doc_marked(doc, "The stronger the shade, the more was read, by all soft tokens together.", tokens, means,
                  n_tokens);
    tp_free(means);
}

/* A token as a column's name: without the blanks around it, which take room and say little there. */
static char *trimmed(const char *token) {
    size_t n = strlen(token), from = strspn(token, " \n\t");
    while (n > from && strchr(" \n\t", token[n - 1])) n--;
    return n > from ? tp_strndup(token + from, n - from) : tp_strdup("␣");
}

static void attention(tp_doc *doc, json_t *example, const char *task, double row) {
    size_t n_tokens, n_soft;
    const char **tokens = tp_document_texts(json_object_get(example, "tokens"), &n_tokens);
    double *weights = tp_document_matrix(json_object_get(example, "attention"), n_tokens, &n_soft);
    if (weights) {
        char number[TP_NUMBER_SIZE];
        tp_number_fixed(row, 0, number);
        shaded_text(doc, tokens, weights, n_soft, n_tokens);
        if (n_tokens <= MOST_COLUMNS) {
            char **words = tp_alloc(n_tokens * sizeof *words);
            for (size_t t = 0; t < n_tokens; t++) words[t] = trimmed(tokens[t]);
            tp_doc_figure(doc,
                          tp_chart_heat("Attention of soft tokens over the input", weights, n_soft, n_tokens,
                                        (const char *const *)words, "soft token"),
                          true, "%s, row %s: what each of the %zu soft tokens reads", task, number, n_soft);
            for (size_t t = 0; t < n_tokens; t++) tp_free(words[t]);
            tp_free(words);
        }
    }
    tp_free(weights);
    tp_free(tokens);
}

static void nearest(tp_doc *doc, json_t *example, const char *task, double row) {
    json_t *list = json_object_get(example, "nearest"), *near, *one;
    if (json_array_size(list) == 0) return;
    char number[TP_NUMBER_SIZE];
    tp_sheet *s =
        tp_doc_table(doc, "nearest", "%s, row %s: the receiver's tokens nearest to each soft token, by cosine", task,
                     tp_number_fixed(row, 0, number));
    tp_sheet_column(s, "<soft token");
    tp_sheet_column(s, "=nearest tokens");
    size_t i, k;
    json_array_foreach(list, i, near) {
        tp_str text = {0};
        json_array_foreach(near, k, one) {
            if (k == MOST_NEAREST) break;
            char *word = trimmed(tp_document_text(one, "token"));
            tp_str_appendf(&text, "%s%s\u00a0%s", k ? " · " : "", word,
                           tp_number_fixed(tp_document_number(one, "cosine"), 2, number));
            tp_free(word);
        }
        tp_sheet_text(s, "%zu", i + 1);
        tp_sheet_text(s, "%s", text.data ? text.data : "");
        tp_str_free(&text);
    }
}

static void example_of(tp_doc *doc, json_t *example, const char *task) {
    double row = tp_document_number(example, "row");
    const char *label = tp_document_text(example, "label"), *answer = tp_document_text(example, "answer");
    char number[TP_NUMBER_SIZE];
    tp_number_fixed(row, 0, number);
    if (*label && *answer)
        tp_doc_part(doc, "%s, row %s: “%s”, answered “%s”", task, number, label, answer);
    else
        tp_doc_part(doc, "%s, row %s", task, number);
    attention(doc, example, task, row);
    nearest(doc, example, task, row);
}

bool tp_section_reading(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "reading", "What is read, and what it comes near");
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        for (size_t i = 0; i < g->n; i++) {
            json_t *examples = json_object_get(g->runs[i]->inspect, "examples");
            size_t n = json_array_size(examples);
            for (size_t e = 0; e < n && e < MOST_EXAMPLES; e++)
                example_of(doc, json_array_get(examples, e), g->results[0]->task);
            if (n > 0) break;
        }
    }
    bool any = doc->n > start + 1;
    if (!any) tp_doc_cut(doc, start);
    return any;
}
