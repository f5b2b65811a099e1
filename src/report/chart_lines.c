/* Lines: training curves, accuracy over the number of soft tokens, latency over the length of the text. A line is named
 * at its end rather than in a list beside the chart; names that would touch are moved apart. See chart.h. */
#include "report/chart.h"

#include "base/mem.h"
#include "report/axis.h"
#include "report/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 236, TOP = 24, BOTTOM = 40, MOST_NAME = 104, LETTERS = 14 };

typedef struct extent {
    double low, high;
} extent;

static void include(extent *e, double value) {
    if (!isfinite(value)) return;
    if (isnan(e->low) || value < e->low) e->low = value;
    if (isnan(e->high) || value > e->high) e->high = value;
}

static double widest_name(const tp_series *series, size_t n) {
    double widest = 0;
    for (size_t i = 0; i < n; i++)
        if (series[i].name) widest = fmax(widest, tp_text_pixels(series[i].name));
    return fmin(widest, MOST_NAME);
}

/* Numbers of a tick: "1000" as it is, thousands above that as "20k" where all are whole thousands. */
static const char *tick_text(const tp_axis *s, double tick, char out[TP_NUMBER_SIZE]) {
    if (s->high < 10000 || fmod(tick, 1000) != 0 || tick == 0)
        return tp_number_fixed(tick, s->logarithmic ? (tick >= 1 ? 0 : s->decimals) : s->decimals, out);
    char digits[TP_NUMBER_SIZE];
    snprintf(out, TP_NUMBER_SIZE, "%.40sk", tp_number_fixed(tick / 1000, 0, digits));
    return out;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* On a logarithmic axis the places that were measured are its ticks, if they are few: they are round numbers to whoever
 * chose them. */
static void tick_at_points(tp_axis *x, const tp_series *series, size_t n) {
    double places[TP_MOST_TICKS];
    size_t n_places = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < series[i].n; k++) {
            size_t p = 0;
            while (p < n_places && places[p] != series[i].x[k]) p++;
            if (p < n_places) continue;
            if (n_places == TP_MOST_TICKS || !(series[i].x[k] >= 1)) return;
            places[n_places++] = series[i].x[k];
        }
    qsort(places, n_places, sizeof *places, by_value);
    memcpy(x->ticks, places, n_places * sizeof *places);
    x->n_ticks = n_places;
}

static void draw_axes(tp_svg *svg, const tp_lines_axes *axes, const tp_axis *x, const tp_axis *y) {
    char text[TP_NUMBER_SIZE];
    for (size_t t = 0; t < y->n_ticks; t++) {
        double at = tp_axis_at(y, y->ticks[t]);
        tp_svg_line(svg, x->from, at, x->to, at, "grid");
        tp_svg_text(svg, x->from - 6, at + 4, TP_ANCHOR_END, "tick", tick_text(y, y->ticks[t], text));
    }
    double free_from = -1e9; /* a number that would touch the one before is left out */
    for (size_t t = 0; t < x->n_ticks; t++) {
        double at = tp_axis_at(x, x->ticks[t]);
        tick_text(x, x->ticks[t], text);
        double half = tp_text_pixels(text) / 2;
        tp_svg_line(svg, at, y->from, at, y->from + 4, "axis");
        if (at - half < free_from) continue;
        tp_svg_text(svg, at, y->from + 17, TP_ANCHOR_MIDDLE, "tick", text);
        free_from = at + half + 6;
    }
    tp_svg_line(svg, x->from, y->from, x->to, y->from, "axis");
    tp_svg_text(svg, (x->from + x->to) / 2, HEIGHT - 6, TP_ANCHOR_MIDDLE, "tick", axes->x_label);
    tp_svg_text(svg, 0, 12, TP_ANCHOR_START, "tick", axes->y_label);
}

static void draw_series(tp_svg *svg, const tp_series *s, const tp_axis *x, const tp_axis *y) {
    double *at_x = tp_alloc((s->n + 1) * sizeof *at_x), *at_y = tp_alloc((s->n + 1) * sizeof *at_y);
    double *low = tp_alloc((s->n + 1) * sizeof *low), *high = tp_alloc((s->n + 1) * sizeof *high);
    char class[32];
    for (size_t i = 0; i < s->n; i++) {
        at_x[i] = tp_axis_at(x, s->x[i]);
        at_y[i] = tp_axis_at(y, s->y[i]);
        low[i] = s->low ? tp_axis_at(y, fmax(s->low[i], y->low)) : NAN;
        high[i] = s->high ? tp_axis_at(y, fmin(s->high[i], y->high)) : NAN;
    }
    if (s->low && s->n > 1) {
        snprintf(class, sizeof class, "band f%d", s->colour);
        tp_svg_band(svg, at_x, low, high, s->n, class);
    } else if (s->low && s->n == 1) {
        tp_svg_line(svg, at_x[0], low[0], at_x[0], high[0], "whisker");
    }
    snprintf(class, sizeof class, "line l%d%s", s->colour, s->dashed ? " dashed" : "");
    tp_svg_path(svg, at_x, at_y, s->n, class);
    snprintf(class, sizeof class, "f%d", s->colour);
    for (size_t i = 0; i < s->n && (s->marked || s->n == 1); i++)
        if (isfinite(at_y[i])) tp_svg_mark(svg, at_x[i], at_y[i], 3, s->colour, class, NULL);
    tp_free(at_x);
    tp_free(at_y);
    tp_free(low);
    tp_free(high);
}

typedef struct name {
    const tp_series *series;
    double y;
} name;

static int by_height(const void *a, const void *b) {
    const name *x = a, *y = b;
    return x->y != y->y ? (x->y > y->y) - (x->y < y->y) : (x->series > y->series) - (x->series < y->series);
}

/* The names at the ends of their lines, moved apart downwards, then back up from the bottom. */
static void draw_names(tp_svg *svg, const tp_series *series, size_t n, const tp_axis *x, const tp_axis *y) {
    name *names = tp_alloc((n + 1) * sizeof *names);
    size_t n_names = 0;
    for (size_t i = 0; i < n; i++) {
        if (series[i].name == NULL) continue;
        double last = NAN;
        for (size_t k = 0; k < series[i].n; k++)
            if (isfinite(series[i].y[k])) last = tp_axis_at(y, series[i].y[k]);
        if (isfinite(last)) names[n_names++] = (name){&series[i], last + 4};
    }
    qsort(names, n_names, sizeof *names, by_height);
    for (size_t i = 1; i < n_names; i++) names[i].y = fmax(names[i].y, names[i - 1].y + LETTERS);
    double lowest = HEIGHT - BOTTOM + 6;
    for (size_t i = n_names; i-- > 0; lowest = names[i].y - LETTERS) names[i].y = fmin(names[i].y, lowest);
    for (size_t i = 0; i < n_names; i++) {
        char class[16], *text = tp_text_clip(names[i].series->name, MOST_NAME);
        snprintf(class, sizeof class, "t%d", names[i].series->colour);
        tp_svg_text(svg, x->to + 7, names[i].y, TP_ANCHOR_START, class, text);
        tp_free(text);
    }
    tp_free(names);
}

char *tp_chart_lines(const char *title, const tp_lines_axes *axes, const tp_series *series, size_t n) {
    extent across = {axes->x_low, NAN}, up = {axes->y_low, axes->y_high};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < series[i].n; k++) {
            if (!isfinite(series[i].y[k])) continue;
            include(&across, series[i].x[k]);
            include(&up, series[i].y[k]);
            if (series[i].low) include(&up, series[i].low[k]);
            if (series[i].high) include(&up, series[i].high[k]);
        }
    double names = widest_name(series, n), to = TP_PANEL_WIDTH - (names > 0 ? names + 8 : 12);
    tp_axis y = axes->y_log ? tp_axis_log(up.low, up.high, 8, HEIGHT - BOTTOM, TOP)
                            : tp_axis_round(up.low, up.high, 6, HEIGHT - BOTTOM, TOP);
    double left = 0;
    char text[TP_NUMBER_SIZE];
    for (size_t t = 0; t < y.n_ticks; t++) left = fmax(left, tp_text_pixels(tick_text(&y, y.ticks[t], text)));
    tp_axis x = axes->x_log ? tp_axis_log(across.low, across.high, 9, left + 10, to)
                            : tp_axis_exact(across.low, across.high, 6, left + 10, to);
    if (axes->x_log) tick_at_points(&x, series, n);
    tp_svg svg = tp_svg_begin(TP_PANEL_WIDTH, HEIGHT, title, NULL);
    draw_axes(&svg, axes, &x, &y);
    for (size_t i = 0; i < n; i++) draw_series(&svg, &series[i], &x, &y);
    draw_names(&svg, series, n, &x, &y);
    return tp_svg_end(&svg);
}
