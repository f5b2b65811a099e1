/* A trained LatentWire as a folder, like a bridge's (bridge/checkpoint.h):
 *
 *     latentwire.json          the complete recipe; names, fingerprints and widths of all receivers; the fingerprint of
 *                              what the encoder stands on; the task's labels
 *     latentwire.safetensors   every tensor, f32, frozen ones included; its metadata ties it to the file beside it */
#ifndef TP_LATENTWIRE_CHECKPOINT_H
#define TP_LATENTWIRE_CHECKPOINT_H

#include "latentwire/group.h"

/* Writes the folder, made if need be; each file appears whole, the tensors first. */
tp_status tp_latentwire_save(const char *folder, const tp_latentwire_group *group, const tp_task *task);

/* Does the folder hold one? False, without an error, also where there is nothing. */
bool tp_latentwire_is(const char *folder);

/* The complete recipe it was trained with; receivers and sender are those of its training unless the arguments (a list
 * and a path; NULL: no) say otherwise. NULL on error. */
tp_recipe *tp_latentwire_run_recipe(const char *folder, const char *sender, const char *receivers);

/* Reads it, for use only, with the models it was trained with, for a task with the same labels. NULL on error: a key
 * nobody knows, a tensor too many, missing, misshapen or not finite, other models, another task. */
tp_latentwire_group *tp_latentwire_load(const char *folder, const tp_latentwire_models *models, const tp_task *task);

/* TP_OK if its two files are whole and belong together. */
tp_status tp_latentwire_check(const char *folder);

#endif
