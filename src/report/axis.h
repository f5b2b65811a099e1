/* From numbers to places on a chart: where an axis begins and ends, and which round numbers stand on it. */
#ifndef TP_REPORT_AXIS_H
#define TP_REPORT_AXIS_H

#include <stdbool.h>
#include <stddef.h>

enum { TP_MOST_TICKS = 12 };

typedef struct tp_axis {
    double low, high; /* of the numbers, low < high */
    double from, to;  /* of the places, in pixels; from > to is an axis that grows upwards */
    bool logarithmic;
    double ticks[TP_MOST_TICKS];
    size_t n_ticks;
    int decimals; /* that tell the ticks apart */
} tp_axis;

/* A scale over at least low..high, with at most `most` (3 to TP_MOST_TICKS) ticks at 1, 2 or 5 times a power of ten,
 * which its ends are among. Equal, infinite or missing ends are made into something that can be drawn. */
tp_axis tp_axis_round(double low, double high, size_t most, double from, double to);
/* The same between exactly low and high: the ticks stand within. */
tp_axis tp_axis_exact(double low, double high, size_t most, double from, double to);
/* A logarithmic one over low..high (both above 0) with ticks at powers of two, or where those are too many at 1, 2
 * and 5 times powers of ten, or at powers of ten. */
tp_axis tp_axis_log(double low, double high, size_t most, double from, double to);

double tp_axis_at(const tp_axis *axis, double x); /* pixels; NAN for NAN */

#endif
