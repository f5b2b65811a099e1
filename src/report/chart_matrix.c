/* Shaded matrices: confusion of classes, and what soft tokens read of a text. See chart.h. */
#include "report/chart.h"

#include "base/mem.h"
#include "report/number.h"

#include <math.h>
#include <stdio.h>

enum { MOST_NAMED = 20, MOST_LABEL = 132, NAMED_CELL = 40, LEAST_CELL = 20, TEN = 10 };

/* ---- confusion ---- */

typedef struct matrix {
    const size_t *counts;
    size_t n_rows, n_columns;
    const char *const *row_names, *const *column_names;
    double left, top, cell;
} matrix;

static double longest(const char *const *names, size_t n) {
    double widest = 0;
    for (size_t i = 0; i < n; i++) widest = fmax(widest, tp_text_pixels(names[i]));
    return fmin(widest, MOST_LABEL);
}

/* Cells shaded by their share of the row. Where there is room, the count stands in the cell, in a colour that can be
 * read on it. */
static void draw_cells(tp_svg *svg, const matrix *m, bool numbered) {
    for (size_t r = 0; r < m->n_rows; r++) {
        size_t total = 0;
        for (size_t c = 0; c < m->n_columns; c++) total += m->counts[r * m->n_columns + c];
        for (size_t c = 0; c < m->n_columns; c++) {
            size_t count = m->counts[r * m->n_columns + c];
            if (count == 0) continue;
            double share = (double)count / (double)total, x = m->left + m->cell * (double)c;
            double y = m->top + m->cell * (double)r, shade = 0.06 + 0.94 * share;
            tp_str hint = {0};
            tp_str_appendf(&hint, "%s, answered %s: %zu of %zu", m->row_names[r], m->column_names[c], count, total);
            tp_svg_cell(svg, x, y, m->cell, m->cell, numbered && shade > 0.5 && shade < 0.8 ? 0.5 : shade, hint.data);
            tp_str_free(&hint);
            if (!numbered) continue;
            char text[TP_NUMBER_SIZE];
            snprintf(text, sizeof text, "%zu", count);
            tp_svg_text(svg, x + m->cell / 2, y + m->cell / 2 + 4, TP_ANCHOR_MIDDLE,
                        shade >= 0.8 ? "count on" : "count", text);
        }
    }
}

static void draw_names(tp_svg *svg, const matrix *m) {
    for (size_t r = 0; r < m->n_rows; r++) {
        char *name = tp_text_clip(m->row_names[r], MOST_LABEL);
        tp_svg_text(svg, m->left - 6, m->top + m->cell * ((double)r + 0.5) + 4, TP_ANCHOR_END, NULL, name);
        tp_free(name);
    }
    for (size_t c = 0; c < m->n_columns; c++) {
        char *name = tp_text_clip(m->column_names[c], MOST_LABEL);
        tp_svg_text_up(svg, m->left + m->cell * ((double)c + 0.5) + 4, m->top - 6, TP_ANCHOR_START, NULL, name);
        tp_free(name);
    }
}

static void draw_places(tp_svg *svg, const matrix *m) {
    char text[TP_NUMBER_SIZE];
    for (size_t i = TEN - 1; i < m->n_rows; i += TEN) {
        snprintf(text, sizeof text, "%zu", i + 1);
        tp_svg_text(svg, m->left - 4, m->top + m->cell * ((double)i + 0.5) + 4, TP_ANCHOR_END, "tick", text);
    }
    for (size_t i = TEN - 1; i < m->n_columns; i += TEN) {
        snprintf(text, sizeof text, "%zu", i + 1);
        tp_svg_text(svg, m->left + m->cell * ((double)i + 0.5), m->top - 5, TP_ANCHOR_MIDDLE, "tick", text);
    }
}

char *tp_chart_matrix(const char *title, const size_t *counts, size_t n_rows, size_t n_columns,
                      const char *const *row_names, const char *const *column_names, const char *row_label,
                      const char *column_label, bool *wide) {
    bool named = n_rows <= MOST_NAMED;
    matrix m = {counts, n_rows, n_columns, row_names, column_names, 0, 0, 0};
    m.left = 18 + (named ? longest(row_names, n_rows) : 22) + 6;
    m.top = 18 + (named ? longest(column_names, n_columns) : 14) + 6;
    m.cell = (TP_PANEL_WIDTH - m.left - 1) / (double)n_columns;
    if (named) m.cell = fmin(fmax(m.cell, LEAST_CELL), NAMED_CELL);
    double right = m.left + m.cell * (double)n_columns, bottom = m.top + m.cell * (double)n_rows;
    *wide = right + 1 > TP_PANEL_WIDTH;
    tp_svg svg =
        tp_svg_begin(fmax(right + 1, TP_PANEL_WIDTH), bottom + 2, title,
                     "A row for each true class, a column for each answer; stronger shades hold more of their row.");
    tp_svg_rect(&svg, m.left, m.top, right - m.left, bottom - m.top, "frame", NULL);
    draw_cells(&svg, &m, named);
    if (named)
        draw_names(&svg, &m);
    else
        draw_places(&svg, &m);
    tp_svg_text_up(&svg, 12, (m.top + bottom) / 2, TP_ANCHOR_MIDDLE, "tick", row_label);
    tp_svg_text(&svg, (m.left + right) / 2, 12, TP_ANCHOR_MIDDLE, "tick", column_label);
    return tp_svg_end(&svg);
}

/* ---- what is read ---- */

char *tp_chart_heat(const char *title, const double *weights, size_t n_rows, size_t n_columns, const char *const *words,
                    const char *row_label) {
    enum { CELL = 18, TOP = 20 };
    double most = 0, deepest = 0, left = 24;
    for (size_t i = 0; i < n_rows * n_columns; i++) most = fmax(most, weights[i]);
    for (size_t c = 0; c < n_columns; c++) deepest = fmax(deepest, tp_text_pixels(words[c]));
    deepest = fmin(deepest, MOST_LABEL);
    double right = left + CELL * (double)n_columns, bottom = TOP + CELL * (double)n_rows;
    tp_svg svg =
        tp_svg_begin(fmax(right + 2, TP_PANEL_WIDTH), bottom + deepest + 14, title,
                     "A row for each soft token, a column for each token of the text; a stronger shade was read more.");
    tp_svg_rect(&svg, left, TOP, right - left, bottom - TOP, "frame", NULL);
    for (size_t r = 0; r < n_rows; r++) {
        char text[TP_NUMBER_SIZE];
        snprintf(text, sizeof text, "%zu", r + 1);
        tp_svg_text(&svg, left - 6, TOP + CELL * ((double)r + 0.5) + 4, TP_ANCHOR_END, "tick", text);
        for (size_t c = 0; c < n_columns; c++) {
            double weight = weights[r * n_columns + c];
            if (!(weight > 0) || most == 0) continue;
            char share[TP_NUMBER_SIZE];
            tp_str hint = {0};
            tp_str_appendf(&hint, "%s: %s %%", words[c], tp_number_percent(weight, share));
            tp_svg_cell(&svg, left + CELL * (double)c, TOP + CELL * (double)r, CELL, CELL, weight / most, hint.data);
            tp_str_free(&hint);
        }
    }
    for (size_t c = 0; c < n_columns; c++) {
        char *word = tp_text_clip(words[c], MOST_LABEL);
        tp_svg_text_up(&svg, left + CELL * ((double)c + 0.5) + 4, bottom + 6, TP_ANCHOR_END, NULL, word);
        tp_free(word);
    }
    tp_svg_text(&svg, 0, 12, TP_ANCHOR_START, "tick", row_label);
    return tp_svg_end(&svg);
}
