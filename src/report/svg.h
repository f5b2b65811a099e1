/* A canvas that becomes inline SVG, for charts.
 *
 * Charts are drawn in CSS pixels and shown at that size, never scaled down: a chart is TP_PANEL_WIDTH wide, which fits
 * a phone, and a wide window shows several side by side. So letters are as large as beside the chart everywhere.
 * Colours are classes of the page's style (style.c), which has a light and a dark set of them. Nobody can ask the
 * browser for the width of a text, so it is estimated from the widths of common fonts, on the safe side. */
#ifndef TP_REPORT_SVG_H
#define TP_REPORT_SVG_H

#include "base/str.h"

enum { TP_PANEL_WIDTH = 340, TP_SERIES_COLOURS = 8 };

typedef struct tp_svg {
    tp_str body;
    double width, height;
} tp_svg;

typedef enum tp_anchor { TP_ANCHOR_START, TP_ANCHOR_MIDDLE, TP_ANCHOR_END } tp_anchor;

/* `title` is what a screen reader says the picture is, `detail` (or NULL) what it shows, in a sentence. Texts are plain
 * and escaped here, as everywhere below. */
tp_svg tp_svg_begin(double width, double height, const char *title, const char *detail);
/* The element, owned by the caller; the canvas is empty again. */
char *tp_svg_end(tp_svg *svg);

/* Shapes of a class of the style; `hint` (or NULL) is shown when the pointer rests on it. */
void tp_svg_rect(tp_svg *svg, double x, double y, double width, double height, const char *class, const char *hint);
void tp_svg_line(tp_svg *svg, double x1, double y1, double x2, double y2, const char *class);
void tp_svg_path(tp_svg *svg, const double *x, const double *y, size_t n, const char *class); /* NAN parts it */
void tp_svg_band(tp_svg *svg, const double *x, const double *low, const double *high, size_t n, const char *class);
/* One of four shapes, so that more classes can be told apart than there are colours. */
void tp_svg_mark(tp_svg *svg, double x, double y, double radius, int shape, const char *class, const char *hint);
/* y is the baseline. */
void tp_svg_text(tp_svg *svg, double x, double y, tp_anchor anchor, const char *class, const char *text);
/* Reads upwards, from (x, y). */
void tp_svg_text_up(tp_svg *svg, double x, double y, tp_anchor anchor, const char *class, const char *text);
/* A shade of the heat scale: 0 is the page's colour, 1 the darkest. */
void tp_svg_cell(tp_svg *svg, double x, double y, double width, double height, double shade, const char *hint);

/* Pixels that the text takes at 12 px letters; rather too many than too few. */
double tp_text_pixels(const char *text);
#define TP_BOLD 1.13 /* times as wide, in bold */
/* The text, or as much of it as fits into `pixels` and "…"; the caller frees it. */
char *tp_text_clip(const char *text, double pixels);

#endif
