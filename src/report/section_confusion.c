/* Which classes the bridge mistakes for which. Few classes make a matrix with names; many make one whose order brings
 * together what is confused, and a table of the most frequent mistakes. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/number.h"

#include <stdlib.h>
#include <string.h>

enum { MANY = 20, MOST_PAIRS = 12, FEW = 6 };

typedef struct confusion {
    size_t *counts; /* [n, n + 1] summed over runs; the last column: no label named */
    size_t n;
    const char **names; /* [n + 1]; borrowed but for the array */
} confusion;

static confusion confusion_of(const tp_report_group *g) {
    size_t n = (size_t)g->results[0]->n_labels;
    confusion c = {tp_alloc(n * (n + 1) * sizeof *c.counts), n, tp_alloc((n + 1) * sizeof *c.names)};
    json_t *labels = json_object_get(g->results[0]->subject, "labels");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(labels, i));
        c.names[i] = name ? name : "";
    }
    c.names[n] = "(none)";
    for (size_t k = 0; k < g->n; k++) {
        const tp_results *r = g->results[k];
        const tp_answers *a = &tp_results_get(r, &tp_method_bridge)->readings[g->bridge->reading];
        tp_scores scores = tp_scores_of(&a->predictions, &r->truth, r->n_labels);
        for (size_t i = 0; i < n * (n + 1); i++) c.counts[i] += scores.confusion[i];
        tp_scores_free(&scores);
    }
    return c;
}

static size_t row_total(const confusion *c, size_t row) {
    size_t total = 0;
    for (size_t i = 0; i <= c->n; i++) total += c->counts[row * (c->n + 1) + i];
    return total;
}

typedef struct pair {
    size_t truth, answer, count;
} pair;

static int by_count(const void *a, const void *b) {
    const pair *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    if (x->truth != y->truth) return x->truth < y->truth ? -1 : 1;
    return (x->answer > y->answer) - (x->answer < y->answer);
}

/* All mistakes that were made, the most frequent first. */
static pair *mistakes(const confusion *c, size_t *n) {
    pair *pairs = tp_alloc((c->n * c->n + 1) * sizeof *pairs);
    *n = 0;
    for (size_t t = 0; t < c->n; t++)
        for (size_t a = 0; a <= c->n; a++)
            if (t != a && c->counts[t * (c->n + 1) + a]) pairs[(*n)++] = (pair){t, a, c->counts[t * (c->n + 1) + a]};
    qsort(pairs, *n, sizeof *pairs, by_count);
    return pairs;
}

/* An order in which classes that are confused stand side by side: a chain that goes on with the class most confused
 * with its end, or the next one that is left. */
static void chain(const confusion *c, size_t *order) {
    bool *taken = tp_alloc(c->n * sizeof *taken + 1);
    size_t columns = c->n + 1, end = 0;
    for (size_t i = 0; i < c->n; i++) {
        size_t best = c->n, most = 0;
        for (size_t k = 0; k < c->n; k++) {
            if (taken[k]) continue;
            size_t both = i ? c->counts[end * columns + k] + c->counts[k * columns + end] : 0;
            if (best == c->n || both > most) best = k, most = both;
        }
        taken[best] = true;
        order[i] = end = best;
    }
    tp_free(taken);
}

static confusion reordered(const confusion *c, const size_t *order) {
    confusion out = {tp_alloc(c->n * (c->n + 1) * sizeof *out.counts), c->n, tp_alloc((c->n + 1) * sizeof *out.names)};
    for (size_t r = 0; r < c->n; r++) {
        out.names[r] = c->names[order[r]];
        for (size_t k = 0; k <= c->n; k++)
            out.counts[r * (c->n + 1) + k] = c->counts[order[r] * (c->n + 1) + (k < c->n ? order[k] : k)];
    }
    out.names[c->n] = c->names[c->n];
    return out;
}

static void free_confusion(confusion *c) {
    tp_free(c->counts);
    tp_free(c->names);
}

/* The last column only where some answer named no label. */
static char *draw(const confusion *c, const char *title, bool *wide) {
    size_t invalid = 0, columns = c->n;
    for (size_t r = 0; r < c->n; r++) invalid += c->counts[r * (c->n + 1) + c->n];
    if (invalid) columns++;
    size_t *counts = tp_alloc(c->n * columns * sizeof *counts);
    for (size_t r = 0; r < c->n; r++)
        memcpy(counts + r * columns, c->counts + r * (c->n + 1), columns * sizeof *counts);
    char *svg = tp_chart_matrix(title, counts, c->n, columns, c->names, c->names, "true class", "answer", wide);
    tp_free(counts);
    return svg;
}

static void pairs_table(tp_doc *doc, const tp_report_group *g, const confusion *c, const pair *pairs, size_t n) {
    tp_sheet *s = tp_doc_table(doc, "confused", "%s: the most frequent mistakes of the bridge", g->results[0]->task);
    tp_sheet_column(s, "<true class");
    tp_sheet_column(s, "<answer");
    tp_sheet_column(s, ">rows");
    tp_sheet_column(s, ">of the class, %");
    for (size_t i = 0; i < n && i < MOST_PAIRS; i++) {
        tp_sheet_text(s, "%s", c->names[pairs[i].truth]);
        tp_sheet_text(s, "%s", c->names[pairs[i].answer]);
        tp_sheet_number(s, (double)pairs[i].count, 0);
        tp_sheet_percent(s, (double)pairs[i].count / (double)row_total(c, pairs[i].truth));
    }
}

/* The share of each class's rows that a method gets right, over all runs. */
static double *class_shares(const tp_report_group *g, const tp_row_summary *row) {
    size_t n = (size_t)g->results[0]->n_labels;
    double *shares = tp_alloc((n + 1) * sizeof *shares);
    for (size_t k = 0; k < g->n; k++) {
        const tp_results *r = g->results[k];
        const tp_answers *a = &tp_results_get(r, row->method)->readings[row->reading];
        tp_scores scores = tp_scores_of(&a->predictions, &r->truth, r->n_labels);
        for (size_t c = 0; c < n; c++) shares[c] += scores.class_accuracy[c] / (double)g->n;
        tp_scores_free(&scores);
    }
    return shares;
}

/* Class by class, the bridge beside the best of its opponents. */
static void classes_table(tp_doc *doc, const tp_report_group *g, const confusion *c) {
    static const char *const anybody[] = {"*", NULL};
    const tp_row_summary *other = tp_report_best(g, anybody);
    double *ours = class_shares(g, g->bridge), *theirs = other ? class_shares(g, other) : NULL;
    tp_sheet *s = tp_doc_table(doc, "classes", "%s, class by class: right answers in percent", g->results[0]->task);
    tp_sheet_column(s, "<class");
    tp_sheet_column(s, ">rows");
    tp_sheet_column(s, ">bridge");
    char *heading = other ? tp_format(">%s", other->method->title) : NULL;
    if (other) tp_sheet_column(s, heading);
    for (size_t i = 0; i < c->n; i++) {
        tp_sheet_text(s, "%s", c->names[i]);
        tp_sheet_number(s, (double)row_total(c, i) / (double)g->n, 0);
        tp_sheet_percent(s, ours[i]);
        if (other) tp_sheet_percent(s, theirs[i]);
    }
    tp_free(heading);
    tp_free(ours);
    tp_free(theirs);
}

static void one_task(tp_doc *doc, const tp_report_group *g, bool tables) {
    confusion c = confusion_of(g);
    size_t n;
    pair *pairs = mistakes(&c, &n);
    char share[TP_NUMBER_SIZE];
    if (!tables) {
        bool wide;
        size_t *order = tp_alloc((c.n + 1) * sizeof *order);
        for (size_t i = 0; i < c.n; i++) order[i] = i;
        if (c.n > MANY) chain(&c, order);
        confusion shown = reordered(&c, order);
        char *svg = draw(&shown, "Confusion of classes", &wide);
        const char *seeds = g->n > 1 ? ", all seeds together" : "",
                   *ordered = c.n > MANY ? ", ordered by confusion" : "";
        if (n == 0)
            tp_doc_figure(doc, svg, wide, "%s: no mistakes%s", g->results[0]->task, seeds);
        else
            tp_doc_figure(doc, svg, wide, "%s: most often “%s” is answered “%s”, %s %% of its rows%s%s",
                          g->results[0]->task, c.names[pairs[0].truth], c.names[pairs[0].answer],
                          tp_number_percent((double)pairs[0].count / (double)row_total(&c, pairs[0].truth), share),
                          seeds, ordered);
        free_confusion(&shown);
        tp_free(order);
    } else if (c.n <= MANY) {
        classes_table(doc, g, &c);
    }
    if (tables && c.n > FEW && n > 0) { /* fewer can be read off the matrix */
        pairs_table(doc, g, &c, pairs, n);
    }
    tp_free(pairs);
    free_confusion(&c);
}

bool tp_section_confusion(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "confusion", "What is mistaken for what");
    for (int tables = 0; tables < 2; tables++)
        for (size_t k = 0; k < view->groups.n_main; k++) {
            const tp_report_group *g = tp_report_main(&view->groups, k);
            if (g->bridge && g->results[0]->n_labels > 0 && !g->results[0]->free_answers) one_task(doc, g, tables);
        }
    bool any = doc->n > start + 1;
    if (!any) tp_doc_cut(doc, start);
    return any;
}
