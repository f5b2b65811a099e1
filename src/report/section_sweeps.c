/* What one setting does when nothing else changes: curves over the number of soft tokens, the tapped layer, and the
 * rows trained on; and a table of every other setting that was run. */
#include "report/sections.h"

#include "base/file.h"
#include "base/mem.h"
#include "report/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct axis {
    const char *title, *label; /* of the figure; of the horizontal axis */
    bool logarithmic;
    double (*value)(const tp_results *results);
    void (*forget)(json_t *subject); /* takes out of a subject what this axis changes */
} axis;

/* ---- axes ---- */

static json_t *part(json_t *subject, const char *key) {
    return json_object_get(json_object_get(subject, "recipe"), key);
}

static double soft_tokens(const tp_results *r) {
    return r->soft_tokens;
}

static void forget_soft_tokens(json_t *subject) {
    json_object_del(subject, "soft_tokens");
    json_object_del(part(subject, "bridge"), "soft_tokens");
}

static double layer(const tp_results *r) {
    return r->layer;
}

static void forget_layer(json_t *subject) {
    json_object_del(subject, "layer");
    json_object_del(part(subject, "sender"), "layer");
}

/* Rows that were asked for; all of them is no number that the results tell. */
static double train_rows(const tp_results *r) {
    double rows = json_number_value(json_object_get(part(r->subject, "task"), "max_train"));
    return rows > 0 ? rows : NAN;
}

static void forget_train_rows(json_t *subject) {
    json_object_del(subject, "train");
    json_object_del(subject, "overlap");
    json_object_del(part(subject, "task"), "max_train");
}

static const axis axes[] = {
    {"more soft tokens", "soft tokens", true, soft_tokens, forget_soft_tokens},
    {"other layers", "tapped layer of the sender", false, layer, forget_layer},
    {"more training rows", "training rows", true, train_rows, forget_train_rows},
};

/* ---- curves ---- */

/* What a group is apart from the axis, its seeds and its names. */
static json_t *rest_of(const tp_report_group *g, const axis *a) {
    json_t *s = json_deep_copy(g->results[0]->subject);
    json_object_del(s, "seed");
    json_object_del(s, "bridge");
    json_object_del(s, "timed");
    json_object_del(json_object_get(s, "recipe"), "seed");
    json_object_del(json_object_get(s, "recipe"), "name");
    a->forget(s);
    return s;
}

typedef struct place {
    double x;
    const tp_report_group *group;
} place;

static int by_x(const void *a, const void *b) {
    const place *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* The groups of a task that differ along the axis alone: of all such families the largest, in order of the axis. */
static place *largest_family(const tp_report_groups *groups, const char *task, const axis *a, size_t *n) {
    place *best = NULL;
    *n = 0;
    for (size_t i = 0; i < groups->n; i++) {
        const tp_report_group *first = &groups->items[i];
        if (strcmp(first->results[0]->task, task) != 0 || first->bridge == NULL || isnan(a->value(first->results[0])))
            continue;
        json_t *rest = rest_of(first, a);
        place *family = tp_alloc(groups->n * sizeof *family);
        size_t members = 0;
        for (size_t k = i; k < groups->n; k++) {
            const tp_report_group *g = &groups->items[k];
            if (strcmp(g->results[0]->task, task) != 0 || g->bridge == NULL || isnan(a->value(g->results[0]))) continue;
            json_t *other = rest_of(g, a);
            bool taken = false;
            for (size_t f = 0; f < members; f++) taken = taken || family[f].x == a->value(g->results[0]);
            if (!taken && json_equal(rest, other)) family[members++] = (place){a->value(g->results[0]), g};
            json_decref(other);
        }
        json_decref(rest);
        if (members > *n) {
            tp_free(best);
            best = family;
            *n = members;
        } else {
            tp_free(family);
        }
    }
    if (*n > 0) qsort(best, *n, sizeof *best, by_x);
    return best;
}

/* Numbers of a family, [4, n]: x, mean, low, high. */
static double *numbers(const place *family, size_t n) {
    double *out = tp_alloc(4 * n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const tp_row_summary *bridge = family[i].group->bridge;
        out[i] = family[i].x;
        out[n + i] = 100 * bridge->mean;
        out[2 * n + i] = 100 * bridge->interval.low;
        out[3 * n + i] = 100 * bridge->interval.high;
    }
    return out;
}

static void curve(tp_doc *doc, const tp_report_view *view, const axis *a) {
    size_t n_tasks = view->groups.n_main, n = 0, best_task = 0;
    tp_series *series = tp_alloc(n_tasks * sizeof *series);
    double widest = -1, first = NAN, last = NAN;
    for (size_t k = 0; k < n_tasks && n < TP_SERIES_COLOURS; k++) {
        const char *task = tp_report_main(&view->groups, k)->results[0]->task;
        size_t members;
        place *family = largest_family(&view->groups, task, a, &members);
        if (members >= 2) {
            double *x = numbers(family, members);
            series[n] = (tp_series){.name = task,
                                    .x = x,
                                    .y = x + members,
                                    .low = x + 2 * members,
                                    .high = x + 3 * members,
                                    .n = members,
                                    .colour = (int)n,
                                    .marked = true};
            double moved = fabs(series[n].y[members - 1] - series[n].y[0]);
            if (moved > widest) {
                widest = moved;
                best_task = n;
                first = series[n].y[0];
                last = series[n].y[members - 1];
            }
            n++;
        }
        tp_free(family);
    }
    if (n > 0) {
        const tp_series *most = &series[best_task];
        char from[TP_NUMBER_SIZE], to[TP_NUMBER_SIZE], at[TP_NUMBER_SIZE], end[TP_NUMBER_SIZE];
        tp_lines_axes lines = {a->label, "bridge right, %", a->logarithmic, false, NAN, NAN, NAN};
        tp_doc_figure(doc, tp_chart_lines(a->title, &lines, series, n), false,
                      "With %s, %s goes from %s %% (at %s) to %s %% (at %s)", a->title, most->name,
                      tp_number_fixed(first, 1, from), tp_number_fixed(most->x[0], 0, at), tp_number_fixed(last, 1, to),
                      tp_number_fixed(most->x[most->n - 1], 0, end));
    }
    for (size_t i = 0; i < n; i++) tp_free((void *)series[i].x); /* its other arrays lie behind it */
    tp_free(series);
}

/* ---- the table ---- */

static void settings(tp_doc *doc, const tp_report_view *view) {
    if (view->groups.n == view->groups.n_main) return;
    tp_sheet *s = tp_doc_table(doc, "settings", "Every setting that was run; the bridge's accuracy in percent");
    static const char *const columns[] = {"<task",   "<sender", "<receiver", ">layer", ">soft tokens", ">train rows",
                                          "<recipe", ">seeds",  ">right",    ">±",     ">from",        ">to"};
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
    for (size_t i = 0; i < view->groups.n; i++) {
        const tp_report_group *g = &view->groups.items[i];
        const tp_results *r = g->results[0];
        char *sender = tp_path_last(r->sender), *receiver = tp_path_last(r->receiver);
        const char *recipe = json_string_value(part(r->subject, "name"));
        if (g->main) tp_sheet_strong_row(s);
        tp_sheet_text(s, "%s", r->task);
        tp_sheet_text(s, "%s", sender);
        tp_sheet_text(s, "%s", receiver);
        tp_sheet_number(s, r->layer, 0);
        tp_sheet_number(s, r->soft_tokens, 0);
        if (isnan(train_rows(r)))
            tp_sheet_text(s, "all");
        else
            tp_sheet_number(s, train_rows(r), 0);
        tp_sheet_text(s, "%s", recipe ? recipe : "");
        tp_sheet_number(s, (double)g->n, 0);
        tp_sheet_percent(s, g->bridge ? g->bridge->mean : NAN);
        tp_sheet_percent(s, g->bridge ? g->bridge->std : NAN);
        tp_sheet_percent(s, g->bridge ? g->bridge->interval.low : NAN);
        tp_sheet_percent(s, g->bridge ? g->bridge->interval.high : NAN);
        tp_free(sender);
        tp_free(receiver);
    }
}

bool tp_section_sweeps(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "sweeps", "Other settings");
    for (size_t a = 0; a < sizeof axes / sizeof axes[0]; a++) curve(doc, view, &axes[a]);
    bool curves = doc->n > start + 1;
    if (curves) tp_doc_note(doc, "Bands are 95 %% intervals for the number of test rows.");
    settings(doc, view);
    bool any = doc->n > start + 1;
    if (!any) tp_doc_cut(doc, start);
    return any;
}
