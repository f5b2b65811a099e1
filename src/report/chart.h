/* The charts of a report, each in a file of its own (chart_*.c). A chart takes numbers and plain texts, none of which
 * it keeps, and gives an SVG element that the caller owns. Numbers that are NAN are not drawn. */
#ifndef TP_REPORT_CHART_H
#define TP_REPORT_CHART_H

#include "report/svg.h"

#include <stddef.h>
#include <stdint.h>

/* ---- bars with intervals ---- */

typedef enum tp_bar_kind { TP_BAR_PLAIN, TP_BAR_SUBJECT, TP_BAR_CONTROL } tp_bar_kind;

typedef struct tp_bar {
    const char *label;
    double value, low, high; /* low and high: the interval, or NAN */
    tp_bar_kind kind;
    bool apart; /* some room above this bar */
} tp_bar;

/* Horizontal bars from 0 to 100 for percentages; a dashed line at `reference` (or NAN), said by `reference_label`. */
char *tp_chart_bars(const char *title, const tp_bar *bars, size_t n, double reference, const char *reference_label);

/* ---- bars made of parts ---- */

typedef struct tp_stack {
    const char *label;
    const double *parts; /* [n_parts]; NAN: no such part */
    bool strong;
} tp_stack;

/* Horizontal bars of parts laid end to end, with their sum; `unit` stands on the axis ("ms per text"). */
char *tp_chart_stack(const char *title, const tp_stack *stacks, size_t n, const char *const *parts, size_t n_parts,
                     const char *unit);

/* ---- lines ---- */

typedef struct tp_series {
    const char *name; /* stands at the line's end; NULL: none (further lines of the same kind) */
    const double *x, *y;
    const double *low, *high; /* intervals, or NULL */
    size_t n;
    int colour;  /* 0 to TP_SERIES_COLOURS - 1 */
    bool marked; /* a dot at every point */
    bool dashed;
} tp_series;

typedef struct tp_lines_axes {
    const char *x_label, *y_label; /* with units */
    bool x_log, y_log;
    double y_low, y_high; /* the axis covers these at least; NAN: what the numbers need */
    double x_low;         /* where it begins; NAN: with the first point */
} tp_lines_axes;

char *tp_chart_lines(const char *title, const tp_lines_axes *axes, const tp_series *series, size_t n);

/* ---- points ---- */

/* n points [n][2] with classes 0 to n_classes - 1, in a square; up to 10 are named beside their
 * points, up to 32 in a list below; of more, no colour tells which is which, and thin lines lead from each point to the
 * middle of its class. */
char *tp_chart_scatter(const char *title, const double *xy, const int32_t *classes, size_t n, const char *const *names,
                       size_t n_classes, const char *x_label, const char *y_label);

/* ---- matrices ---- */

/* counts [n_rows, n_columns] shaded by their share of the row; row and column names at the sides where they can be read
 * (up to 20), else places every ten. *wide tells whether it is wider than a panel. */
char *tp_chart_matrix(const char *title, const size_t *counts, size_t n_rows, size_t n_columns,
                      const char *const *row_names, const char *const *column_names, const char *row_label,
                      const char *column_label, bool *wide);

/* weights [n_rows][n_columns], each at least 0 and shaded by the largest; columns are words, in reading order. Wide. */
char *tp_chart_heat(const char *title, const double *weights, size_t n_rows, size_t n_columns, const char *const *words,
                    const char *row_label);

#endif
