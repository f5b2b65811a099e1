/* Bars made of parts: where the time of an answer goes, method by method. See chart.h. */
#include "report/chart.h"

#include "base/mem.h"
#include "report/axis.h"
#include "report/number.h"

#include <math.h>
#include <stdio.h>

enum { ROW = 22, BAR = 12, LEGEND = 24, BOTTOM = 38, VALUE = 44, MOST_LABEL = 170 };

static double sum_of(const tp_stack *stack, size_t n_parts) {
    double sum = NAN;
    for (size_t p = 0; p < n_parts; p++)
        if (!isnan(stack->parts[p])) sum = (isnan(sum) ? 0 : sum) + stack->parts[p];
    return sum;
}

static void legend(tp_svg *svg, const char *const *parts, size_t n_parts) {
    double x = 0;
    for (size_t p = 0; p < n_parts; p++) {
        char class[16];
        snprintf(class, sizeof class, "f%d", (int)(p % TP_SERIES_COLOURS));
        tp_svg_rect(svg, x, 3, 11, 11, class, NULL);
        tp_svg_text(svg, x + 16, 13, TP_ANCHOR_START, NULL, parts[p]);
        x += 16 + tp_text_pixels(parts[p]) + 14;
    }
}

char *tp_chart_stack(const char *title, const tp_stack *stacks, size_t n, const char *const *parts, size_t n_parts,
                     const char *unit) {
    double label = 40, most = 0;
    for (size_t i = 0; i < n; i++) {
        label = fmax(label, tp_text_pixels(stacks[i].label) * (stacks[i].strong ? TP_BOLD : 1));
        most = fmax(most, sum_of(&stacks[i], n_parts)); /* fmax takes no NAN */
    }
    double left = fmin(label, MOST_LABEL) + 8, bottom = LEGEND + ROW * (double)n;
    tp_svg svg = tp_svg_begin(TP_PANEL_WIDTH, bottom + BOTTOM, title, "Horizontal bars made of parts, with their sum.");
    legend(&svg, parts, n_parts);
    tp_axis x = tp_axis_round(0, most, 5, left, TP_PANEL_WIDTH - VALUE);
    char text[TP_NUMBER_SIZE];
    for (size_t t = 0; t < x.n_ticks; t++) {
        double at = tp_axis_at(&x, x.ticks[t]);
        tp_svg_line(&svg, at, LEGEND, at, bottom, "grid");
        tp_svg_text(&svg, at, bottom + 14, TP_ANCHOR_MIDDLE, "tick", tp_number_fixed(x.ticks[t], x.decimals, text));
    }
    tp_svg_text(&svg, (x.from + x.to) / 2, bottom + 31, TP_ANCHOR_MIDDLE, "tick", unit);
    for (size_t i = 0; i < n; i++) {
        double middle = LEGEND + ROW * ((double)i + 0.5), from = 0;
        char *name = tp_text_clip(stacks[i].label, MOST_LABEL / (stacks[i].strong ? TP_BOLD : 1));
        tp_svg_text(&svg, left - 8, middle + 4, TP_ANCHOR_END, stacks[i].strong ? "strong" : NULL, name);
        tp_free(name);
        for (size_t p = 0; p < n_parts; p++) {
            if (isnan(stacks[i].parts[p])) continue;
            char class[16], hint[128];
            snprintf(class, sizeof class, "f%d", (int)(p % TP_SERIES_COLOURS));
            snprintf(hint, sizeof hint, "%s: %s", parts[p], tp_number_short(stacks[i].parts[p], text));
            double at = tp_axis_at(&x, from), to = tp_axis_at(&x, from + stacks[i].parts[p]);
            tp_svg_rect(&svg, at, middle - BAR / 2.0, to - at, BAR, class, hint);
            from += stacks[i].parts[p];
        }
        tp_svg_text(&svg, TP_PANEL_WIDTH, middle + 4, TP_ANCHOR_END, stacks[i].strong ? "strong" : NULL,
                    tp_number_short(sum_of(&stacks[i], n_parts), text));
    }
    return tp_svg_end(&svg);
}
