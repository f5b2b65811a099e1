/* Training a bridge through the frozen receiver, as a recipe says. A family in closed form is solved for first; with
 * `optimiser.steps` 0 that is all (and a family that learns stays as the seed made it).
 *
 * A run lives in one folder, and may be killed at any instant and started again with the same command: it ends with the
 * same bytes. In the folder:
 *     adapter_config.json, adapter_model.safetensors   the best bridge so far (bridge/checkpoint.h)
 *     state.safetensors                                parameters, optimiser moments and counters at the last save
 *     log.jsonl                                        a line per validation, quick look, warning, and every 50 steps
 *     train.json                                       the outcome; there only when the run is finished
 *     states-train.cache, states-valid.cache           the sender's states, if the recipe keeps them on disk
 * docs/training.md says more. */
#ifndef TP_TRAIN_TRAINER_H
#define TP_TRAIN_TRAINER_H

#include "base/progress.h"
#include "bridge/relay.h"

#include <signal.h>

typedef struct tp_train_options {
    const tp_recipe *recipe; /* borrowed; completed on a copy */
    const tp_lm *sender, *receiver;
    const tp_task *task;
    const char *out;                   /* the run's folder */
    int64_t save_every;                /* updates between saved states */
    int64_t max_cache;                 /* bytes of states kept in memory, if the recipe allows more; 0: as it says */
    const volatile sig_atomic_t *stop; /* when it becomes nonzero: save the state, return TP_ERR_CANCELLED; or NULL */
    tp_progress *progress;             /* or NULL */
} tp_train_options;

typedef struct tp_train_result {
    int64_t steps; /* updates made, early stopping included */
    int64_t best_step;
    double valid_accuracy; /* of the best bridge, by score */
    double train_loss;     /* smoothed, at the end */
    int64_t n_parameters;
    int64_t n_truncated; /* training and validation texts that were cut to fit */
    double seconds;      /* of this call */
    bool resumed, already_done;
} tp_train_result;

tp_status tp_train(const tp_train_options *options, tp_train_result *result);

#endif
