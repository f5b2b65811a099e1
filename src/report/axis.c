/* Axes. See axis.h. */
#include "report/axis.h"

#include <math.h>

/* The smallest step of 1, 2 or 5 times a power of ten that is not below `least`. */
static double round_step(double least) {
    double power = pow(10, floor(log10(least)));
    static const double steps[] = {1, 2, 5, 10};
    for (int i = 0; i < 4; i++)
        if (steps[i] * power >= least * (1 - 1e-9)) return steps[i] * power;
    return 10 * power;
}

static void fill_ticks(tp_axis *s, double step) {
    double first = ceil(s->low / step - 1e-9);
    s->n_ticks = 0;
    for (int i = 0; i < TP_MOST_TICKS; i++) {
        double tick = (first + i) * step;
        if (tick > s->high + 1e-9 * step) break;
        s->ticks[s->n_ticks++] = fabs(tick) < 1e-12 * step ? 0 : tick;
    }
    s->decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
}

static void make_drawable(double *low, double *high) {
    if (!isfinite(*low)) *low = isfinite(*high) ? *high : 0;
    if (!isfinite(*high)) *high = *low;
    if (*high < *low) {
        double swapped = *low;
        *low = *high;
        *high = swapped;
    }
    double least = 1e-9 * fmax(fabs(*low), fabs(*high));
    if (*high - *low <= least) {
        double room = *low == 0 ? 1 : 0.1 * fabs(*low);
        *low -= room;
        *high += room;
    }
}

static size_t sensible(size_t most, size_t least) {
    return most < least ? least : most > TP_MOST_TICKS ? TP_MOST_TICKS : most;
}

tp_axis tp_axis_round(double low, double high, size_t most, double from, double to) {
    make_drawable(&low, &high);
    most = sensible(most, 3); /* numbers on both sides of zero need no less */
    double step = round_step((high - low) / (double)(most - 1));
    /* ends at multiples of the step may need one step more than there is room for: then the next larger step */
    while (ceil(high / step - 1e-9) - floor(low / step + 1e-9) + 1 > (double)most) step = round_step(step * 1.01);
    tp_axis s = {
        .low = floor(low / step + 1e-9) * step, .high = ceil(high / step - 1e-9) * step, .from = from, .to = to};
    fill_ticks(&s, step);
    return s;
}

tp_axis tp_axis_exact(double low, double high, size_t most, double from, double to) {
    make_drawable(&low, &high);
    tp_axis s = {.low = low, .high = high, .from = from, .to = to};
    fill_ticks(&s, round_step((high - low) / (double)(sensible(most, 2) - 1)));
    return s;
}

/* Powers of the base; as many are left out as it takes. */
static void power_ticks(tp_axis *s, double base, size_t most) {
    double first = ceil(log(s->low) / log(base) - 1e-9), step = 1;
    while (log(s->high / s->low) / log(base) / step > (double)most - 1) step++;
    for (int i = 0; i < TP_MOST_TICKS; i++) {
        double tick = pow(base, first + step * i);
        if (tick > s->high * (1 + 1e-9)) break;
        s->ticks[s->n_ticks++] = tick;
    }
}

/* 1, 2 and 5 times the powers of ten. */
static void round_ticks(tp_axis *s) {
    static const double steps[] = {1, 2, 5};
    for (double power = pow(10, floor(log10(s->low))); power <= s->high && s->n_ticks < TP_MOST_TICKS; power *= 10)
        for (int i = 0; i < 3 && s->n_ticks < TP_MOST_TICKS; i++) {
            double tick = steps[i] * power;
            if (tick >= s->low * (1 - 1e-9) && tick <= s->high * (1 + 1e-9)) s->ticks[s->n_ticks++] = tick;
        }
}

tp_axis tp_axis_log(double low, double high, size_t most, double from, double to) {
    make_drawable(&low, &high);
    if (!(low > 0)) low = high > 0 ? high / 10 : 1;
    if (high <= low) high = 2 * low;
    tp_axis s = {.low = low, .high = high, .from = from, .to = to, .logarithmic = true};
    most = sensible(most, 2);
    if (log2(high / low) <= (double)most - 1)
        power_ticks(&s, 2, most);
    else if (3 * log10(high / low) <= (double)most - 1)
        round_ticks(&s);
    else
        power_ticks(&s, 10, most);
    s.decimals = low >= 1 ? 0 : (int)ceil(-log10(low) - 1e-9);
    return s;
}

double tp_axis_at(const tp_axis *s, double x) {
    double share =
        s->logarithmic ? (log(x) - log(s->low)) / (log(s->high) - log(s->low)) : (x - s->low) / (s->high - s->low);
    return s->from + share * (s->to - s->from);
}
