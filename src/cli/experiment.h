/* What the commands that run an experiment share: option rows, and what they say into the recipe. */
#ifndef TP_CLI_EXPERIMENT_H
#define TP_CLI_EXPERIMENT_H

#include "base/dtype.h"
#include "cli/command.h"
#include "train/experiment.h"

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

#define TP_OPTION_PACKET                                                                                               \
    {                                                                                                                  \
        .name = "packet", .type = TP_OPT_CHOICE, .choices = tp_packet_type_names, .fallback = "f16",                   \
        .help = "type of the numbers that cross"                                                                       \
    }

extern const char *const tp_packet_type_names[];
tp_dtype tp_args_packet(const tp_args *args); /* what --packet says */

/* Takes over what both `demo` and `train` let the command line say: models, data, seed, steps. */
void tp_args_override(const tp_args *args, tp_recipe *recipe);

#endif
