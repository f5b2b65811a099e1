/* The progress line. See progress.h.
 *
 * The rate shown is a mean over the last seconds (weights falling with a time constant of ten), because a mean since
 * the start answers slowly when the work changes pace, and the last step alone jumps about. */
#include "base/progress.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double REWRITE_EVERY = 0.1, LINE_EVERY = 10, SMOOTHING = 10; /* seconds */

struct tp_progress {
    tp_progress_sink sink;
    bool working, line_open; /* line_open: the terminal's last line is ours to rewrite */
    char *what, *unit, *amount_unit;
    double total;
    double started, shown, measured; /* clock */
    double done_at_start, amount_at_start;
    double done, amount;                   /* now */
    double done_measured, amount_measured; /* when the rate was measured last */
    double weight, done_rate, amount_rate; /* the rates are sums to be divided by the weight */
    tp_str extra, line;
};

const char *tp_format_seconds(double seconds, char out[16]) {
    if (!(seconds >= 0) || seconds > 3600.0 * 24 * 999)
        snprintf(out, 16, "?");
    else if (seconds < 9.95)
        snprintf(out, 16, "%.1fs", seconds);
    else if (seconds < 59.5)
        snprintf(out, 16, "%.0fs", seconds);
    else if (seconds < 3599.5)
        snprintf(out, 16, "%dm%02ds", (int)(seconds + 0.5) / 60, (int)(seconds + 0.5) % 60);
    else
        snprintf(out, 16, "%dh%02dm", (int)(seconds / 60 + 0.5) / 60, (int)(seconds / 60 + 0.5) % 60);
    return out;
}

const char *tp_format_count(double count, char out[16]) {
    static const char *const suffixes[] = {"", "k", "M", "G", "T"};
    int i = 0;
    for (; i < 4 && fabs(count) >= 999.5; i++) count /= 1000;
    if (i == 0 && fabs(count - round(count)) < 1e-6)
        snprintf(out, 16, "%.0f", count);
    else
        snprintf(out, 16, "%.*f%s", fabs(count) < 9.995 ? 2 : fabs(count) < 99.95 ? 1 : 0, count, suffixes[i]);
    return out;
}

static double now(const tp_progress *p) {
    return p->sink.clock ? p->sink.clock() : tp_now();
}

tp_progress *tp_progress_new(tp_progress_sink sink) {
    tp_progress *p = tp_alloc(sizeof *p);
    p->sink = sink;
    if (p->sink.columns <= 0) p->sink.columns = 80;
    return p;
}

void tp_progress_free(tp_progress *p) {
    if (p == NULL) return;
    tp_progress_end(p);
    tp_free(p->what);
    tp_free(p->unit);
    tp_free(p->amount_unit);
    tp_str_free(&p->extra);
    tp_str_free(&p->line);
    tp_free(p);
}

static void emit(tp_progress *p) {
    p->sink.write(p->sink.context, p->line.data, p->line.len);
}

void tp_progress_begin(tp_progress *p, const char *what, double total, const char *unit, const char *amount_unit) {
    if (p == NULL) return;
    tp_progress_end(p);
    tp_free(p->what);
    tp_free(p->unit);
    tp_free(p->amount_unit);
    p->what = tp_strdup(what);
    p->unit = tp_strdup(unit);
    p->amount_unit = tp_strdup(amount_unit);
    p->total = total;
    p->working = true;
    p->weight = p->done_rate = p->amount_rate = 0;
    p->started = p->shown = now(p);
    tp_progress_resume(p, 0, 0);
    tp_str_clear(&p->extra);
}

void tp_progress_resume(tp_progress *p, double done, double amount) {
    if (p == NULL || !p->working) return;
    p->measured = now(p);
    p->done = p->done_measured = p->done_at_start = done;
    p->amount = p->amount_measured = p->amount_at_start = amount;
}

/* Takes what was done since the last measurement into the smoothed rates. */
static void measure(tp_progress *p, double time) {
    double elapsed = time - p->measured;
    if (elapsed <= 0) return;
    double keep = exp(-elapsed / SMOOTHING), share = 1 - keep;
    p->weight = p->weight * keep + share;
    p->done_rate = p->done_rate * keep + share * (p->done - p->done_measured) / elapsed;
    p->amount_rate = p->amount_rate * keep + share * (p->amount - p->amount_measured) / elapsed;
    p->measured = time;
    p->done_measured = p->done;
    p->amount_measured = p->amount;
}

/* Writes the line into p->line. `rate` is per second, of units or amounts; `eta` below 0: none is shown, the time it
 * took is shown instead. */
static void compose(tp_progress *p, double rate, double eta, double took) {
    char number[16];
    tp_str_appendf(&p->line, "%s  %.0f", p->what, p->done);
    if (p->total > 0) tp_str_appendf(&p->line, "/%.0f", p->total);
    tp_str_appendf(&p->line, " %s", p->unit);
    if (p->total > 0) tp_str_appendf(&p->line, "  %.0f%%", floor(100 * p->done / p->total));
    if (rate > 0)
        tp_str_appendf(&p->line, "  %s %s/s", tp_format_count(rate, number), p->amount_unit ? p->amount_unit : p->unit);
    if (took >= 0)
        tp_str_appendf(&p->line, "  in %s", tp_format_seconds(took, number));
    else if (eta >= 0)
        tp_str_appendf(&p->line, "  ETA %s", tp_format_seconds(eta, number));
    if (p->extra.len > 0) tp_str_appendf(&p->line, "  %s", p->extra.data);
}

/* Begins p->line afresh: on a terminal it first takes the old line away. */
static void start_line(tp_progress *p) {
    tp_str_clear(&p->line);
    if (p->line_open) tp_str_append_text(&p->line, "\r\x1b[K");
    p->line_open = false;
}

static void show(tp_progress *p, double time) {
    double weight = p->weight > 0 ? p->weight : 1, done_rate = p->done_rate / weight;
    double eta = p->total > 0 && done_rate > 0 ? (p->total - p->done) / done_rate : -1;
    start_line(p);
    size_t start = p->line.len;
    compose(p, p->amount_unit ? p->amount_rate / weight : done_rate, eta, -1);
    if (p->sink.rewrite) { /* a line that wraps could not be taken back */
        size_t fits = tp_text_fit(p->line.data + start, p->line.len - start, (size_t)p->sink.columns - 1);
        p->line.len = start + fits;
        p->line.data[p->line.len] = '\0';
        p->line_open = true;
    } else {
        tp_str_append_char(&p->line, '\n');
    }
    p->shown = time;
    emit(p);
}

void tp_progress_update(tp_progress *p, double done, double amount, const char *format, ...) {
    if (p == NULL || !p->working) return;
    p->done = done;
    p->amount = amount;
    double time = now(p);
    /* the text is kept in any case: it may be the last one, which the closing line shows */
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tp_str_clear(&p->extra);
    tp_str_append_text(&p->extra, text);
    if (time - p->measured >= REWRITE_EVERY) measure(p, time);
    if (time - p->shown >= (p->sink.rewrite ? REWRITE_EVERY : LINE_EVERY)) show(p, time);
}

void tp_progress_say(tp_progress *p, const char *format, ...) {
    if (p == NULL) return;
    bool was_open = p->line_open;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    start_line(p);
    tp_str_append_text(&p->line, text);
    tp_str_append_char(&p->line, '\n');
    emit(p);
    if (was_open) show(p, now(p));
}

void tp_progress_end(tp_progress *p) {
    if (p == NULL || !p->working) return;
    double took = now(p) - p->started;
    double worked = p->amount_unit ? p->amount - p->amount_at_start : p->done - p->done_at_start;
    start_line(p);
    compose(p, took > 0 ? worked / took : 0, -1, took);
    tp_str_append_char(&p->line, '\n');
    emit(p);
    p->working = false;
}
