/* Progress of long work: how far, how fast, how long still, and what the caller adds (a loss).
 *
 *     pretrain  1200/4000 steps  30%  15.2k tokens/s  ETA 12m04s  loss 3.214
 *
 * The library never prints: whoever starts the work gives the function that takes the text, and says whether the last
 * line may be rewritten in place (a terminal) or whole lines are wanted at a bounded rate (a log). Every function takes
 * NULL for the progress and then does nothing, so that work need not ask whether anybody watches. */
#ifndef TP_BASE_PROGRESS_H
#define TP_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_progress tp_progress;

typedef struct tp_progress_sink {
    void (*write)(void *context, const char *bytes, size_t n);
    void *context;
    bool rewrite;          /* a terminal: one line, rewritten up to ten times a second; else a line every ten seconds */
    int columns;           /* of the terminal; 0: 80 */
    double (*clock)(void); /* seconds; NULL: tp_now */
} tp_progress_sink;

tp_progress *tp_progress_new(tp_progress_sink sink);
void tp_progress_free(tp_progress *p); /* ends the work first if that was not done */

/* Starts a piece of work of `total` units (0: not known). `amount_unit` names a second count whose rate is shown
 * instead
 * ("tokens"); NULL: the rate of the units is shown. The texts are copied. */
void tp_progress_begin(tp_progress *p, const char *what, double total, const char *unit, const char *amount_unit);
/* The work goes on from here (a resumed run), so that the rate counts only what is done now. Call it after begin. */
void tp_progress_resume(tp_progress *p, double done, double amount);
/* Where the work stands; cheap enough for every step. The text behind it may be "". */
void tp_progress_update(tp_progress *p, double done, double amount, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A line that stays: a validation result, a warning. */
void tp_progress_say(tp_progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the work with a last line that stays: the average rate and the time it took. */
void tp_progress_end(tp_progress *p);

/* "4.2s", "12m04s", "3h05m": at least two digits that matter. Gives `out`. */
const char *tp_format_seconds(double seconds, char out[16]);
/* "950", "15.2k", "3.40M". Gives `out`. */
const char *tp_format_count(double count, char out[16]);

#endif
