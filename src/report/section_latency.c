/* Where the time of an answer goes, per opponent, and how it grows with the length of the text. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/documents.h"
#include "report/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const phases[TP_N_PHASES] = {"sender", "bridge", "receiver"};

static void stacks(tp_doc *doc, const tp_report_group *g) {
    tp_stack *rows = tp_alloc((g->summary.n + 1) * sizeof *rows);
    size_t n = 0;
    const tp_row_summary *quickest = NULL;
    for (size_t i = 0; i < g->summary.n; i++) {
        const tp_row_summary *row = &g->summary.rows[i];
        tp_reading wanted = g->bridge ? g->bridge->reading : TP_READ_SCORE;
        if (isnan(row->total_ms) || (row->reading != wanted && row->reading != TP_READ_DIRECT)) continue;
        rows[n++] = (tp_stack){row->method->title, row->ms, row->method == &tp_method_bridge};
        if (quickest == NULL || row->total_ms < quickest->total_ms) quickest = row;
    }
    char *svg = tp_chart_stack("Milliseconds per text by phase", rows, n, phases, TP_N_PHASES,
                               "milliseconds for one text, median");
    const char *task = g->results[0]->task;
    char least[TP_NUMBER_SIZE], ours[TP_NUMBER_SIZE];
    tp_number_short(quickest->total_ms, least);
    if (n == 1)
        tp_doc_figure(doc, svg, false, "%s: one text takes %s ms", task, least);
    else if (g->bridge == NULL || isnan(g->bridge->total_ms))
        tp_doc_figure(doc, svg, false, "%s: quickest of all is “%s”, %s ms a text", task, quickest->method->title,
                      least);
    else if (quickest == g->bridge)
        tp_doc_figure(doc, svg, false, "%s: the bridge is the quickest, %s ms a text", task, least);
    else
        tp_doc_figure(doc, svg, false, "%s: quickest of all is “%s”, %s ms a text; the bridge takes %s ms", task,
                      quickest->method->title, least, tp_number_short(g->bridge->total_ms, ours));
    tp_free(rows);
}

static bool has_times(const tp_report_group *g) {
    tp_reading wanted = g->bridge ? g->bridge->reading : TP_READ_SCORE;
    for (size_t i = 0; i < g->summary.n; i++)
        if (!isnan(g->summary.rows[i].total_ms) && g->summary.rows[i].reading == wanted) return true;
    return false;
}

/* ---- the curve over the text's length ---- */

typedef struct point {
    const char *method;
    double length, batch, ms[TP_N_PHASES], total;
} point;

/* A chart names a few methods at most: these first, as far as they were timed. */
static const char *const foremost[] = {"bridge",     "receiver",   "sender",         "text_relay",
                                       "relay_word", "relay_long", "relay_thoughts", "receiver_shots"};

enum { MOST_LINES = sizeof foremost / sizeof foremost[0] };

static size_t rank(const char *method) {
    size_t i = 0;
    while (i < MOST_LINES && strcmp(method, foremost[i]) != 0) i++;
    return i;
}

static int by_method(const void *a, const void *b) {
    const point *x = a, *y = b;
    if (rank(x->method) != rank(y->method)) return rank(x->method) < rank(y->method) ? -1 : 1;
    int order = strcmp(x->method, y->method);
    if (order) return order;
    if (x->batch != y->batch) return x->batch < y->batch ? -1 : 1;
    return (x->length > y->length) - (x->length < y->length);
}

/* The points of a document, sorted; NULL if it holds none. */
static point *read_curve(json_t *latency, size_t *n) {
    json_t *curve = json_object_get(latency, "curve"), *entry;
    size_t i, count = json_array_size(curve);
    *n = 0;
    if (count == 0) return NULL;
    point *points = tp_alloc(count * sizeof *points);
    json_array_foreach(curve, i, entry) {
        static const char *const keys[TP_N_PHASES] = {"sender_ms", "bridge_ms", "receiver_ms"};
        point p = {.method = json_string_value(json_object_get(entry, "method")),
                   .length = tp_document_number(entry, "length"),
                   .batch = json_is_number(json_object_get(entry, "batch")) ? tp_document_number(entry, "batch") : 1};
        for (int k = 0; k < TP_N_PHASES; k++) {
            p.ms[k] = tp_document_number(entry, keys[k]);
            if (!isnan(p.ms[k])) p.total += p.ms[k];
        }
        if (p.method && p.length > 0 && p.batch > 0 && p.total > 0 && isfinite(p.total)) points[(*n)++] = p;
    }
    qsort(points, *n, sizeof *points, by_method);
    return points;
}

static const char *title_of(const char *method) {
    for (int m = 0; tp_methods[m]; m++)
        if (strcmp(tp_methods[m]->name, method) == 0) return tp_methods[m]->title;
    return method;
}

/* The total of a method at a length and batch, NAN if it was not timed there. */
static double total_at(const point *points, size_t n, const char *method, double batch, double length) {
    for (size_t i = 0; i < n; i++)
        if (points[i].batch == batch && points[i].length == length && strcmp(points[i].method, method) == 0)
            return points[i].total;
    return NAN;
}

/* The lengths at which anything was timed, in order; the caller frees them. */
static double *lengths_of(const point *points, size_t n, size_t *n_lengths) {
    double *lengths = tp_alloc((n + 1) * sizeof *lengths);
    *n_lengths = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = *n_lengths;
        while (at > 0 && lengths[at - 1] > points[i].length) at--;
        if (at > 0 && lengths[at - 1] == points[i].length) continue;
        memmove(&lengths[at + 1], &lengths[at], (*n_lengths - at) * sizeof *lengths);
        lengths[at] = points[i].length;
        ++*n_lengths;
    }
    return lengths;
}

/* From which length on the bridge is faster than the receiver that reads the text: what the chart says. */
static char *finding(const char *task, const point *points, size_t n, double batch) {
    size_t n_lengths;
    double *lengths = lengths_of(points, n, &n_lengths), from = NAN;
    bool compared = false;
    for (size_t i = n_lengths; i-- > 0;) {
        double ours = total_at(points, n, "bridge", batch, lengths[i]);
        double theirs = total_at(points, n, "receiver", batch, lengths[i]);
        if (isnan(ours) || isnan(theirs)) continue;
        compared = true;
        if (ours >= theirs) break;
        from = lengths[i];
    }
    tp_free(lengths);
    char number[TP_NUMBER_SIZE], length[TP_NUMBER_SIZE];
    tp_number_fixed(batch, 0, number);
    if (!compared) return tp_format("%s, batch %s: time over the text's length", task, number);
    if (isnan(from))
        return tp_format("%s, batch %s: the bridge is not faster than the receiver reading the longest text", task,
                         number);
    return tp_format("%s, batch %s: the bridge is faster than the receiver reading texts of %s tokens and more", task,
                     number, tp_number_fixed(from, 0, length));
}

static void curve(tp_doc *doc, const char *task, const point *points, size_t n, double batch) {
    tp_series series[MOST_LINES];
    double *x = tp_alloc((n + 1) * sizeof *x), *y = tp_alloc((n + 1) * sizeof *y);
    size_t n_series = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = points[i].length;
        y[i] = points[i].total;
        if (points[i].batch != batch) continue;
        bool new = n_series == 0 || strcmp(series[n_series - 1].name, points[i].method) != 0;
        if (new &&n_series == MOST_LINES) break;
        if (new) series[n_series++] = (tp_series){.name = points[i].method, .x = &x[i], .y = &y[i], .marked = true};
        tp_series *s = &series[n_series - 1];
        s->n = (size_t)(&x[i] - s->x) + 1;
        s->colour = (int)n_series - 1;
    }
    tp_lines_axes axes = {"tokens of the text", "ms per text", true, true, NAN, NAN, NAN};
    char *svg = tp_chart_lines("Milliseconds per text over its length", &axes, series, n_series);
    char *caption = finding(task, points, n, batch);
    tp_doc_figure(doc, svg, false, "%s", caption);
    tp_free(caption);
    tp_free(x);
    tp_free(y);
}

/* What the curves are drawn from, of all methods: a row for each, a column for each length. */
static void curve_table(tp_doc *doc, const char *task, const point *points, size_t n, const double *batches,
                        size_t n_batches) {
    size_t n_lengths;
    double *lengths = lengths_of(points, n, &n_lengths);
    char number[TP_NUMBER_SIZE], *heading;
    tp_sheet *s =
        tp_doc_table(doc, "latency", "%s: milliseconds per text, all phases together, by the tokens of the text", task);
    tp_sheet_column(s, "<method");
    for (size_t i = 0; i < n_lengths; i++) {
        heading = tp_format(">%s", tp_number_fixed(lengths[i], 0, number));
        tp_sheet_column(s, heading);
        tp_free(heading);
    }
    for (size_t b = 0; b < n_batches; b++) {
        heading = tp_format("batch %s", tp_number_fixed(batches[b], 0, number));
        tp_sheet_group_row(s, heading);
        tp_free(heading);
        const char *last = "";
        for (size_t i = 0; i < n; i++) {
            if (points[i].batch != batches[b] || strcmp(points[i].method, last) == 0) continue;
            last = points[i].method;
            if (strcmp(last, "bridge") == 0) tp_sheet_strong_row(s);
            tp_sheet_text(s, "%s", title_of(last));
            for (size_t k = 0; k < n_lengths; k++) tp_sheet_short(s, total_at(points, n, last, batches[b], lengths[k]));
        }
    }
    tp_free(lengths);
}

static bool curves(tp_doc *doc, const tp_report_run *run) {
    size_t n;
    point *points = read_curve(run->latency, &n);
    double *batches = tp_alloc((n + 1) * sizeof *batches);
    size_t n_batches = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n_batches && batches[k] != points[i].batch) k++;
        if (k == n_batches) batches[n_batches++] = points[i].batch;
    }
    if (n > 0) tp_doc_part(doc, "%s: over the length of the text", run->results->task);
    for (size_t k = 0; k < n_batches; k++) curve(doc, run->results->task, points, n, batches[k]);
    if (n > 0) curve_table(doc, run->results->task, points, n, batches, n_batches);
    tp_free(batches);
    tp_free(points);
    return n_batches > 0;
}

bool tp_section_latency(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "latency", "Where the time goes");
    bool any = false;
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        if (has_times(g)) stacks(doc, g), any = true;
    }
    for (size_t i = 0; i < view->runs->n; i++)
        if (view->runs->items[i].latency) any = curves(doc, &view->runs->items[i]) || any;
    if (any)
        tp_doc_note(doc,
                    "One text at a time from its bytes to the answer, tokenising included, nothing from a cache: the "
                    "median of a sample. Where the sender has read the text for another purpose already, its part "
                    "falls away.");
    else
        tp_doc_cut(doc, start);
    return any;
}
