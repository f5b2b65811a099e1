/* Judging a recipe before anything is run: what cannot be trained, and what can but was a mistake more than once.
 *
 * The early phases of the experiments that this program repeats were lost to faults that nobody said aloud: an anchor
 * by squared distance between scales ten times apart, a primer that was another one when it counted, two classes pushed
 * apart. All that can be told from the recipe alone is told here; what shows only while training is told by
 * train/detectors.h. `telepathy recipes check` prints it, and a training says it before its first step. */
#ifndef TP_BRIDGE_RECIPE_CHECK_H
#define TP_BRIDGE_RECIPE_CHECK_H

#include "bridge/recipe.h"
#include "data/task.h"

/* A new list of {"what": "wrong" or "unusual", "sentence": ...}, most serious first; empty if all is well. The recipe
 * must be complete; of the task only labels, kind and primer count (NULL: not known). Free with json_decref. */
json_t *tp_recipe_check(const tp_recipe *recipe, const tp_task *task);

#endif
