/* Where the time of an answer goes, per opponent, and how it grows with the length of the text. */
#include "report/sections.h"

#include "base/mem.h"
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
    double length, batch, ms;
} point;

static int by_method(const void *a, const void *b) {
    const point *x = a, *y = b;
    int order = strcmp(x->method, y->method);
    if (order) return order;
    if (x->batch != y->batch) return x->batch < y->batch ? -1 : 1;
    return (x->length > y->length) - (x->length < y->length);
}

static double phase(json_t *entry, const char *key) {
    json_t *value = json_object_get(entry, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

/* The points of a document, sorted; NULL if it holds none. */
static point *read_curve(json_t *latency, size_t *n) {
    json_t *curve = json_object_get(latency, "curve"), *entry;
    size_t i, count = json_array_size(curve);
    *n = 0;
    if (count == 0) return NULL;
    point *points = tp_alloc(count * sizeof *points);
    json_array_foreach(curve, i, entry) {
        point p = {json_string_value(json_object_get(entry, "method")), phase(entry, "length"),
                   fmax(phase(entry, "batch"), 1),
                   phase(entry, "sender_ms") + phase(entry, "bridge_ms") + phase(entry, "receiver_ms")};
        if (p.method && p.length > 0 && p.ms > 0 && isfinite(p.ms)) points[(*n)++] = p;
    }
    qsort(points, *n, sizeof *points, by_method);
    return points;
}

static const char *title_of(const char *method) {
    for (int m = 0; tp_methods[m]; m++)
        if (strcmp(tp_methods[m]->name, method) == 0) return tp_methods[m]->title;
    return method;
}

static void curve(tp_doc *doc, const char *task, const point *points, size_t n, double batch) {
    enum { MOST = TP_SERIES_COLOURS };
    tp_series series[MOST];
    double *x = tp_alloc((n + 1) * sizeof *x), *y = tp_alloc((n + 1) * sizeof *y);
    size_t n_series = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = points[i].length;
        y[i] = points[i].ms;
        if (points[i].batch != batch) continue;
        bool new = n_series == 0 || strcmp(series[n_series - 1].name, title_of(points[i].method)) != 0;
        if (new &&n_series == MOST) break;
        if (new)
            series[n_series++] =
                (tp_series){.name = title_of(points[i].method), .x = &x[i], .y = &y[i], .marked = true};
        tp_series *s = &series[n_series - 1];
        s->n = (size_t)(&x[i] - s->x) + 1;
        s->colour = (int)n_series - 1;
    }
    char number[TP_NUMBER_SIZE];
    tp_lines_axes axes = {"tokens of the text", "ms per text (log)", true, true, NAN, NAN, NAN};
    char *svg = tp_chart_lines("Milliseconds per text over its length", &axes, series, n_series);
    tp_doc_figure(doc, svg, false, "%s: time over the text's length, batch %s", task,
                  tp_number_fixed(batch, 0, number));
    tp_free(x);
    tp_free(y);
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
    for (size_t k = 0; k < n_batches; k++) curve(doc, run->results->task, points, n, batches[k]);
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
