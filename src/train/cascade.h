/* The failure cascade: what is done when training goes wrong instead of ending it (SPEC 2; the recipe's `cascade`).
 *
 * A failure is a loss or gradient that is not finite or, unless the recipe says otherwise, soft tokens that the
 * detectors call collapsed. The run goes back to its last good state (that of the last validation, which no failure
 * came before) and goes on at half the rate; after `restarts` of these it begins anew with another seed, and has as
 * many again. The best bridge of all attempts is kept. All that happened stands in the state of the run, so that a run
 * that was killed tells the same. */
#ifndef TP_TRAIN_CASCADE_H
#define TP_TRAIN_CASCADE_H

#include "bridge/recipe_regime.h"

#include <stdint.h>

typedef struct tp_failures {
    int restarts;    /* with this seed */
    int seeds;       /* begun with after the recipe's own */
    json_t *history; /* a line of the log for each failure */
} tp_failures;

typedef enum tp_remedy { TP_REMEDY_NONE, TP_REMEDY_RESTART, TP_REMEDY_SEED } tp_remedy;

tp_failures tp_failures_new(void);
void tp_failures_free(tp_failures *failures);

/* What is to be done about one more failure. */
tp_remedy tp_failures_remedy(const tp_failures *failures, const tp_cascade *cascade);

/* Remembers a failure and its remedy: seen at update `seen`, gone on from `step`. */
void tp_failures_add(tp_failures *failures, tp_remedy remedy, const char *sentence, int64_t seen, int64_t step);

/* What the learning rate is multiplied by, and the seed. */
double tp_failures_rate(const tp_failures *failures);
uint64_t tp_failures_seed(const tp_failures *failures, uint64_t seed);

/* Into a state's note, if there was any, and from it. False: the note's are broken. */
void tp_failures_to_note(const tp_failures *failures, json_t *note);
bool tp_failures_from_note(tp_failures *failures, const json_t *note);

/* Adds to the log those failures that it does not hold (yet, or any more). */
tp_status tp_failures_log(const tp_failures *failures, const char *log);

#endif
