/* What the commands that run an experiment share: models, task and recipe from the command line. */
#ifndef TP_CLI_EXPERIMENT_H
#define TP_CLI_EXPERIMENT_H

#include "bridge/recipe.h"
#include "cli/command.h"
#include "data/task.h"
#include "lm/model.h"

/* Rows of option tables. */
#define TP_OPTION_SENDER                                                                                               \
    { .name = "sender", .type = TP_OPT_PATH, .value = "DIR", .help = "sender model (default: the recipe's)" }
#define TP_OPTION_RECEIVER                                                                                             \
    { .name = "receiver", .type = TP_OPT_PATH, .value = "DIR", .help = "receiver model (default: the recipe's)" }
#define TP_OPTION_DATA                                                                                                 \
    {                                                                                                                  \
        .name = "data", .type = TP_OPT_PATH, .value = "DIR",                                                           \
        .help = "folder with the task's files, or the folder above it"                                                 \
    }
#define TP_OPTION_RECIPE_SEED                                                                                          \
    {                                                                                                                  \
        .name = "seed", .letter = 's', .type = TP_OPT_INT, .value = "N", .min = 0, .max = 0x1p53,                      \
        .help = "seed of every random stream (default: the recipe's)"                                                  \
    }
#define TP_OPTION_RECIPE_STEPS                                                                                         \
    {                                                                                                                  \
        .name = "steps", .type = TP_OPT_INT, .value = "N", .min = 1, .max = 1e9,                                       \
        .help = "updates (default: the recipe's)"                                                                      \
    }

/* Takes over what both `demo` and `train` let the command line say: models, data, seed, steps. */
void tp_args_override(const tp_args *args, tp_recipe *recipe);

/* Reads the task that a recipe describes. NULL on error. */
tp_task *tp_recipe_load_task(const tp_recipe *recipe);

/* The complete recipe a run's bridge was trained with. Its models are those given, or where NULL those it was trained
 * between. NULL on error. */
tp_recipe *tp_run_recipe(const char *run, const char *sender, const char *receiver);

/* Loads the recipe's two models, with tokenizers; the same path is loaded once. On error both are NULL. */
tp_status tp_recipe_load_models(const tp_recipe *recipe, tp_lm **sender, tp_lm **receiver);
void tp_free_models(tp_lm *sender, tp_lm *receiver); /* takes NULL, and the same model twice */

#endif
