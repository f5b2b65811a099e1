/* The loop of any training: steps, validations, the best so far, the log, and a state to go on from.
 *
 * What is learned, and from what, a learner says; the loop knows its parameters, and how to ask it for gradients, for a
 * validation and for a checkpoint. Everything a step does is a function of (recipe, models, data, step), and what must
 * survive an interruption stands in one state file: that is all there is to resuming bit by bit. */
#ifndef TP_TRAIN_LOOP_H
#define TP_TRAIN_LOOP_H

#include "base/progress.h"
#include "train/detectors.h"
#include "train/objective.h"
#include "train/trainer.h"
#include "train/validate.h"

/* What a batch showed. */
typedef struct tp_learned {
    tp_objective_values values;
    tp_vital_signs signs; /* soft, n and width; valid until the next batch */
} tp_learned;

typedef struct tp_learner {
    void *context;            /* of the functions */
    const tp_recipe *recipe;  /* complete: optimiser, early stopping, quick looks, seed */
    const tp_params *params;  /* what is trained */
    const tp_params *watched; /* those of them whose gradient is watched: what is kept; NULL: all */
    bool starts_whole;        /* worth a validation before the first step (there is one anyway without any step) */
    json_t *identity;         /* what must be equal for a state to be gone on from; borrowed */
    const char *begins;       /* what the run says of itself at its beginning */
    int64_t n_truncated;      /* texts that were cut to fit */
    char room[32];            /* what they were cut to: "512 tokens" */
    json_t *remarks;          /* what is odd about the recipe (tp_recipe_check), said before the first step; or NULL */
    const char *best;         /* what is kept of the best step, for messages: "bridge" */

    /* Adds the gradients of micro-batch `number` (from 0), a part of update `step`. */
    tp_status (*learn)(void *context, int64_t number, int64_t step, tp_learned *out);
    /* How strongly each loss moves what is kept, in micro-batch `number`; leaves no gradient behind. NULL: not known.
     */
    tp_status (*weigh)(void *context, int64_t number, int64_t step, tp_loss_force forces[TP_N_LOSSES], int *n);
    /* Adds to a line of the log what it knows of the last batch beside its losses; NULL: nothing. */
    void (*describe)(void *context, json_t *line);
    /* Judges all validation rows, and adds to the log's line what it found beside; `line` is never NULL. */
    tp_status (*validate)(void *context, tp_validation *result, json_t *line);
    /* What the receiver says to some of them; NULL: never looked at. */
    tp_status (*look)(void *context, int64_t step, tp_quick_look *look);
    /* Begins anew, as with that seed instead of the recipe's: parameters and all that is drawn. NULL: cannot. */
    tp_status (*reseed)(void *context, uint64_t seed);
    /* Writes what was learned into the folder; and says whether what lies there is whole. */
    tp_status (*save)(void *context, const char *folder);
    tp_status (*check_saved)(void *context, const char *folder);
    /* Adds to the outcome (train.json) what it knows of what was kept in the folder; NULL: nothing. */
    tp_status (*conclude)(void *context, const char *folder, json_t *outcome);
} tp_learner;

/* Makes the folder of a run, and takes it for this process: a lock to close, which gives it back, or -1 with an error.
 */
int tp_loop_enter(const char *folder);

/* Trains from the beginning, or from the state in the folder, to the end. The options' folder, save_every, stop and
 * progress are used. */
tp_status tp_loop_run(const tp_train_options *options, const tp_learner *learner, tp_train_result *result);

#endif
