/* Bars with intervals: the accuracy of every method of a task, one below the other, so that names can be read and the
 * eye compares lengths from one line. See chart.h. */
#include "report/chart.h"

#include "base/mem.h"
#include "report/axis.h"
#include "report/number.h"

#include <math.h>

enum { ROW = 20, BAR = 10, GAP = 9, TOP = 8, BOTTOM = 34, VALUE = 42, MOST_LABEL = 170 };

static double label_width(const tp_bar *bars, size_t n) {
    double widest = 40;
    for (size_t i = 0; i < n; i++)
        widest = fmax(widest, tp_text_pixels(bars[i].label) * (bars[i].kind == TP_BAR_SUBJECT ? TP_BOLD : 1));
    return fmin(widest, MOST_LABEL);
}

/* The interval: a line with short ends over the bar. */
static void whisker(tp_svg *svg, const tp_axis *x, const tp_bar *bar, double middle) {
    if (isnan(bar->low) || isnan(bar->high)) return;
    double low = tp_axis_at(x, bar->low), high = tp_axis_at(x, bar->high);
    tp_svg_line(svg, low, middle, high, middle, "whisker");
    tp_svg_line(svg, low, middle - 3, low, middle + 3, "whisker");
    tp_svg_line(svg, high, middle - 3, high, middle + 3, "whisker");
}

char *tp_chart_bars(const char *title, const tp_bar *bars, size_t n, double reference, const char *reference_label) {
    static const char *const classes[] = {"bar", "bar subject", "bar control"};
    double gaps = 0, left = label_width(bars, n) + 8, right = TP_PANEL_WIDTH - VALUE;
    for (size_t i = 1; i < n; i++) gaps += bars[i].apart ? GAP : 0;
    double bottom = TOP + ROW * (double)n + gaps;
    tp_svg svg = tp_svg_begin(TP_PANEL_WIDTH, bottom + BOTTOM, title,
                              "Horizontal bars of percentages; thin lines over them are 95 % intervals.");
    tp_axis x = tp_axis_round(0, 100, 5, left, right);
    char text[TP_NUMBER_SIZE];
    for (size_t t = 0; t < x.n_ticks; t++) {
        double at = tp_axis_at(&x, x.ticks[t]);
        tp_svg_line(&svg, at, TOP, at, bottom, "grid");
        tp_svg_text(&svg, at, bottom + 14, TP_ANCHOR_MIDDLE, "tick", tp_number_fixed(x.ticks[t], 0, text));
    }
    double y = TOP;
    for (size_t i = 0; i < n; i++, y += ROW) {
        if (i > 0 && bars[i].apart) y += GAP;
        double middle = y + ROW / 2.0;
        char *label = tp_text_clip(bars[i].label, MOST_LABEL / (bars[i].kind == TP_BAR_SUBJECT ? TP_BOLD : 1));
        tp_svg_text(&svg, left - 8, middle + 4, TP_ANCHOR_END, bars[i].kind == TP_BAR_SUBJECT ? "strong" : NULL, label);
        tp_free(label);
        if (isnan(bars[i].value)) continue;
        tp_svg_rect(&svg, left, middle - BAR / 2.0, fmax(0, tp_axis_at(&x, bars[i].value) - left), BAR,
                    classes[bars[i].kind], NULL);
        whisker(&svg, &x, &bars[i], middle);
        tp_svg_text(&svg, TP_PANEL_WIDTH, middle + 4, TP_ANCHOR_END, bars[i].kind == TP_BAR_SUBJECT ? "strong" : NULL,
                    tp_number_fixed(bars[i].value, 1, text));
    }
    if (!isnan(reference)) {
        double at = tp_axis_at(&x, reference);
        tp_svg_line(&svg, at, TOP - 4, at, bottom, "reference");
        double half = tp_text_pixels(reference_label) / 2;
        tp_svg_text(&svg, fmin(fmax(at, half), TP_PANEL_WIDTH - half), bottom + 30, TP_ANCHOR_MIDDLE, "tick",
                    reference_label);
    }
    return tp_svg_end(&svg);
}
