/* Training curves: loss and accuracy over the updates, a line per seed. */
#include "report/sections.h"

#include "base/mem.h"
#include "base/str.h"
#include "report/number.h"

#include <math.h>

/* Points of a log: the lines that hold the key, over their steps. */
typedef struct track {
    double *x, *y;
    size_t n;
} track;

static track read_track(json_t *log, const char *key) {
    size_t i, lines = json_array_size(log);
    json_t *line;
    track t = {tp_alloc((lines + 1) * sizeof(double)), tp_alloc((lines + 1) * sizeof(double)), 0};
    json_array_foreach(log, i, line) {
        json_t *step = json_object_get(line, "step"), *value = json_object_get(line, key);
        if (!json_is_number(step) || !json_is_number(value)) continue;
        t.x[t.n] = json_number_value(step);
        t.y[t.n++] = json_number_value(value);
    }
    return t;
}

static void free_tracks(track *tracks, size_t n) {
    for (size_t i = 0; i < n; i++) {
        tp_free(tracks[i].x);
        tp_free(tracks[i].y);
    }
    tp_free(tracks);
}

/* The mean of the last values of the tracks that have any. */
static double last_mean(const track *tracks, size_t n) {
    double sum = 0;
    size_t there = 0;
    for (size_t i = 0; i < n; i++)
        if (tracks[i].n) sum += tracks[i].y[tracks[i].n - 1], there++;
    return there ? sum / (double)there : NAN;
}

/* One line per track; the first that has points is named. */
static size_t add_series(tp_series *out, const track *tracks, size_t n, const char *name, int colour, bool dashed,
                         bool marked) {
    size_t added = 0;
    for (size_t i = 0; i < n; i++) {
        if (tracks[i].n == 0) continue;
        out[added] = (tp_series){.name = added ? NULL : name,
                                 .x = tracks[i].x,
                                 .y = tracks[i].y,
                                 .n = tracks[i].n,
                                 .colour = colour,
                                 .marked = marked,
                                 .dashed = dashed};
        added++;
    }
    return added;
}

static track *all_tracks(const tp_report_group *g, const char *key, double scale) {
    track *tracks = tp_alloc(g->n * sizeof *tracks);
    for (size_t k = 0; k < g->n; k++) {
        tracks[k] = read_track(g->runs[k]->log, key);
        for (size_t i = 0; i < tracks[k].n; i++) tracks[k].y[i] *= scale;
    }
    return tracks;
}

static bool has_points(const track *tracks, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (tracks[i].n) return true;
    return false;
}

static void losses(tp_doc *doc, const tp_report_group *g) {
    track *loss = all_tracks(g, "loss", 1);
    tp_series *series = tp_alloc(g->n * sizeof *series);
    size_t n = add_series(series, loss, g->n, "training", 0, false, false);
    if (n > 0) {
        tp_lines_axes axes = {"updates", "loss, weighted sum of its parts", false, false, 0, NAN, 0};
        char number[TP_NUMBER_SIZE];
        tp_doc_figure(doc, tp_chart_lines("Training loss over updates", &axes, series, n), false,
                      "%s: the training loss ends at %s%s", g->results[0]->task,
                      tp_number_short(last_mean(loss, g->n), number), g->n > 1 ? " (mean over seeds)" : "");
    }
    tp_free(series);
    free_tracks(loss, g->n);
}

static void accuracies(tp_doc *doc, const tp_report_group *g) {
    track *train = all_tracks(g, "first_token_accuracy", 100), *valid = all_tracks(g, "valid_accuracy", 100);
    tp_series *series = tp_alloc(2 * g->n * sizeof *series);
    size_t n = add_series(series, valid, g->n, "validation", 1, false, true);
    n += add_series(series + n, train, g->n, "training", 0, true, false);
    if (has_points(valid, g->n)) {
        tp_lines_axes axes = {"updates", "right, %", false, false, 0, 100, 0};
        char ours[TP_NUMBER_SIZE], theirs[TP_NUMBER_SIZE];
        char *svg = tp_chart_lines("Accuracy over updates", &axes, series, n);
        tp_doc_figure(doc, svg, false, "%s: %s %% of the validation rows right at the end%s%s%s", g->results[0]->task,
                      tp_number_fixed(last_mean(valid, g->n), 1, ours), has_points(train, g->n) ? ", " : "",
                      tp_number_fixed(last_mean(train, g->n), 1, theirs),
                      has_points(train, g->n) ? " % of the first tokens in training" : "");
    }
    tp_free(series);
    free_tracks(train, g->n);
    free_tracks(valid, g->n);
}

bool tp_section_training(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "training", "How the bridges were trained");
    for (size_t k = 0; k < view->groups.n_main; k++) accuracies(doc, tp_report_main(&view->groups, k));
    for (size_t k = 0; k < view->groups.n_main; k++) losses(doc, tp_report_main(&view->groups, k));
    bool any = doc->n > start + 1;
    if (any)
        tp_doc_note(doc,
                    "A line for each seed. Validation rows are carved from the training data; the test rows were not "
                    "looked at.");
    else
        tp_doc_cut(doc, start);
    return any;
}
