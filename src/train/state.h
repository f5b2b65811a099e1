/* The state of a training run in one file: parameters, optimiser moments, the average if one is kept, and a JSON note
 * with counters.
 *
 * It is written atomically, so a run killed at any instant finds either the state of this checkpoint or of the one
 * before; and since data order and masks are functions of (seed, step), going on from it gives the same bits as never
 * having stopped. */
#ifndef TP_TRAIN_STATE_H
#define TP_TRAIN_STATE_H

#include "base/error.h"
#include "train/optimizer.h"

#include <jansson.h>

/* Writes values and moments of all parameters and the note (an object; the update counter is added to it). */
tp_status tp_state_save(const char *path, const tp_adamw *adamw, json_t *note);

/* Reads them back into the parameters and the optimiser, which must have the same names and shapes; *note is a new
 * reference. Nothing is changed on error. */
tp_status tp_state_load(const char *path, tp_adamw *adamw, json_t **note);

/* A note's object `run` says what a state may be gone on with: data, seed, models. TP_OK if it equals `mine`; else a
 * sentence that names the first thing that differs, with both values. */
tp_status tp_state_check_run(const char *path, const json_t *note, const json_t *mine);

#endif
