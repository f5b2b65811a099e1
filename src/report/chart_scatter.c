/* Points in the plane with classes, such as soft tokens projected by PCA or t-SNE. See chart.h. */
#include "report/chart.h"

#include "base/mem.h"
#include "report/axis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 300, TOP = 6, BOTTOM = 26, MOST_NAMED = 10, MOST_STYLES = 4 * TP_SERIES_COLOURS, LETTERS = 14 };

/* The class of the style for a point of class c; none of its own where there are more than can be told apart. */
static void style_of(int32_t c, bool many, char out[24], int *shape) {
    bool own = !many && c >= 0 && c < MOST_STYLES;
    *shape = own ? c + c / TP_SERIES_COLOURS : 0; /* neighbours differ in both */
    if (own)
        snprintf(out, 24, "dot f%d", c % TP_SERIES_COLOURS);
    else
        snprintf(out, 24, many ? "dot f0" : "dot other");
}

typedef struct place {
    double x, y;
    size_t class, n;
} place;

static int by_height(const void *a, const void *b) {
    const place *p = a, *q = b;
    return p->y != q->y ? (p->y > q->y) - (p->y < q->y) : (p->class > q->class) - (p->class < q->class);
}

static bool is_drawn(const double *at, const int32_t *classes, size_t i, size_t n_classes) {
    return classes[i] >= 0 && (size_t)classes[i] < n_classes && isfinite(at[2 * i]) && isfinite(at[2 * i + 1]);
}

/* The middle of each class's points, [n_classes]. The caller frees it. */
static place *middles(const double *at, const int32_t *classes, size_t n, size_t n_classes) {
    place *places = tp_alloc((n_classes + 1) * sizeof *places);
    for (size_t c = 0; c < n_classes; c++) places[c].class = c;
    for (size_t i = 0; i < n; i++) {
        if (!is_drawn(at, classes, i, n_classes)) continue;
        place *p = &places[classes[i]];
        p->x += at[2 * i];
        p->y += at[2 * i + 1];
        p->n++;
    }
    for (size_t c = 0; c < n_classes; c++)
        if (places[c].n) places[c].x /= (double)places[c].n, places[c].y /= (double)places[c].n;
    return places;
}

/* A thin line from each point to the middle of its class: short lines are classes that lie together. */
static void draw_threads(tp_svg *svg, const double *at, const int32_t *classes, size_t n, size_t n_classes) {
    place *places = middles(at, classes, n, n_classes);
    for (size_t i = 0; i < n; i++)
        if (is_drawn(at, classes, i, n_classes))
            tp_svg_line(svg, at[2 * i], at[2 * i + 1], places[classes[i]].x, places[classes[i]].y, "thread");
    tp_free(places);
}

/* Names in the middle of their points; of two that would overlap the lower one moves down. */
static void name_classes(tp_svg *svg, const double *at, const int32_t *classes, size_t n, const char *const *names,
                         size_t n_classes, double left) {
    place *places = middles(at, classes, n, n_classes);
    qsort(places, n_classes, sizeof *places, by_height);
    double *halves = tp_alloc((n_classes + 1) * sizeof *halves);
    for (size_t i = 0; i < n_classes; i++) {
        if (places[i].n == 0) continue;
        char *name = tp_text_clip(names[places[i].class], 120);
        halves[i] = tp_text_pixels(name) * TP_BOLD / 2;
        places[i].x = fmin(fmax(places[i].x, left + halves[i] + 2), left + SIDE - halves[i] - 2);
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; k++)
                if (places[k].n &&
                    fabs(places[k].y - places[i].y) < LETTERS - 0.5 && /* rounding must not bring it back */
                    fabs(places[k].x - places[i].x) < halves[k] + halves[i] + 4) {
                    places[i].y = places[k].y + LETTERS;
                    moved = true;
                }
        }
        tp_svg_text(svg, places[i].x, fmin(places[i].y + 4, SIDE + TOP), TP_ANCHOR_MIDDLE, "halo", name);
        tp_free(name);
    }
    tp_free(halves);
    tp_free(places);
}

/* Two columns of marks with their names, from `top` on. */
static void list_classes(tp_svg *svg, double top, const char *const *names, size_t n_listed) {
    for (size_t c = 0; c < n_listed; c++) {
        double x = c % 2 ? TP_PANEL_WIDTH / 2.0 : 0, y = top + LETTERS * 1.2 * (double)(c / 2);
        char class[24], *name = tp_text_clip(names[c], TP_PANEL_WIDTH / 2.0 - 20);
        int shape;
        style_of((int32_t)c, false, class, &shape);
        tp_svg_mark(svg, x + 6, y - 4, 3.5, shape, class, NULL);
        tp_svg_text(svg, x + 15, y, TP_ANCHOR_START, NULL, name);
        tp_free(name);
    }
}

char *tp_chart_scatter(const char *title, const double *xy, const int32_t *classes, size_t n, const char *const *names,
                       size_t n_classes, const char *x_label, const char *y_label) {
    double low[2] = {NAN, NAN}, high[2] = {NAN, NAN};
    for (size_t i = 0; i < 2 * n; i++) {
        low[i % 2] = fmin(low[i % 2], xy[i]); /* fmin and fmax pass over NAN */
        high[i % 2] = fmax(high[i % 2], xy[i]);
    }
    /* both axes have one scale, or distances would lie */
    double left = (TP_PANEL_WIDTH - SIDE) / 2.0 + 8, half = fmax(high[0] - low[0], high[1] - low[1]) / 2;
    double middle[2] = {(low[0] + high[0]) / 2, (low[1] + high[1]) / 2};
    tp_axis x = tp_axis_exact(middle[0] - half, middle[0] + half, 2, left + 6, left + SIDE - 6);
    tp_axis y = tp_axis_exact(middle[1] - half, middle[1] + half, 2, TOP + SIDE - 6, TOP + 6);
    bool many = n_classes > MOST_STYLES;
    size_t n_listed = n_classes <= MOST_NAMED || many ? 0 : n_classes;
    double list = LETTERS * 1.2 * (double)((n_listed + 1) / 2);
    tp_svg svg = tp_svg_begin(TP_PANEL_WIDTH, TOP + SIDE + BOTTOM + list, title,
                              many ? "Each point is one text; a thin line leads to the middle of its class."
                                   : "Each point is one text; points of a class share colour and shape.");
    tp_svg_rect(&svg, left, TOP, SIDE, SIDE, "frame", NULL);
    tp_svg_text(&svg, left + SIDE / 2.0, TOP + SIDE + 16, TP_ANCHOR_MIDDLE, "tick", x_label);
    tp_svg_text_up(&svg, left - 7, TOP + SIDE / 2.0, TP_ANCHOR_MIDDLE, "tick", y_label);
    double *at = tp_alloc(2 * n * sizeof *at + 1);
    for (size_t i = 0; i < n; i++) {
        at[2 * i] = tp_axis_at(&x, xy[2 * i]);
        at[2 * i + 1] = tp_axis_at(&y, xy[2 * i + 1]);
    }
    if (many) draw_threads(&svg, at, classes, n, n_classes);
    for (size_t i = 0; i < n; i++) {
        char class[24];
        int shape;
        if (!isfinite(at[2 * i]) || !isfinite(at[2 * i + 1])) continue;
        style_of(classes[i], many, class, &shape);
        bool known = classes[i] >= 0 && (size_t)classes[i] < n_classes;
        tp_svg_mark(&svg, at[2 * i], at[2 * i + 1], 2.8, shape, class, known ? names[classes[i]] : NULL);
    }
    if (n_classes <= MOST_NAMED) name_classes(&svg, at, classes, n, names, n_classes, left);
    list_classes(&svg, TOP + SIDE + BOTTOM + 10, names, n_listed);
    tp_free(at);
    return tp_svg_end(&svg);
}
