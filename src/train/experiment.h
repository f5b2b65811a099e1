/* From a recipe to what it works on: its task and its two models. */
#ifndef TP_TRAIN_EXPERIMENT_H
#define TP_TRAIN_EXPERIMENT_H

#include "bridge/recipe.h"
#include "data/task.h"
#include "lm/model.h"

/* Reads the task that a recipe describes. NULL on error. */
tp_task *tp_recipe_load_task(const tp_recipe *recipe);

/* The complete recipe a run's bridge was trained with. Its models are those given, or where NULL those it was trained
 * between. NULL on error. */
tp_recipe *tp_run_recipe(const char *run, const char *sender, const char *receiver);

/* Loads the recipe's two models, with tokenizers; the same path is loaded once. On error both are NULL. */
tp_status tp_recipe_load_models(const tp_recipe *recipe, tp_lm **sender, tp_lm **receiver);
void tp_free_models(tp_lm *sender, tp_lm *receiver); /* takes NULL, and the same model twice */

#endif
