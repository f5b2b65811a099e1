/* What the commands that look into a finished run share (inspect, probe, perturb, transfer): its models, task and
 * relay, opened together. */
#ifndef TP_CLI_OPENED_H
#define TP_CLI_OPENED_H

#include "cli/experiment.h"
#include "eval/method.h"

#define TP_OPTION_RUN                                                                                                  \
    {                                                                                                                  \
        .name = "RUN", .type = TP_OPT_PATH, .positional = true, .required = true,                                      \
        .help = "folder that telepathy train wrote"                                                                    \
    }

#define TP_OPTION_MAX_TRAIN(by_default)                                                                                \
    {                                                                                                                  \
        .name = "max-train", .type = TP_OPT_INT, .value = "N", .fallback = by_default, .min = 0, .max = 1e9,           \
        .help = "training rows to learn from, drawn by label; 0: the run's"                                            \
    }
#define TP_OPTION_MAX_TEST(by_default)                                                                                 \
    {                                                                                                                  \
        .name = "max-test", .type = TP_OPT_INT, .value = "N", .fallback = by_default, .min = 0, .max = 1e9,            \
        .help = "test rows to take, drawn by label; 0: the run's"                                                      \
    }

typedef struct tp_opened {
    tp_lm *sender, *receiver;
    tp_task *task;
    tp_relay *relay;
    tp_eval eval; /* of the four, with the run's seed, interruption and progress */
} tp_opened;

/* Opens RUN with the data and models that the command line gives (options data, sender, receiver), and at most so many
 * rows of train and test (0: as many as the run had). `other` (NULL: the run's own) is another task to take the texts
 * from; else the task must be the one the run was trained for. Close it in any case. */
tp_status tp_open_run(tp_args *args, const char *other, int64_t max_train, int64_t max_test, tp_opened *out);
void tp_close_run(tp_opened *opened);

/* Prints a document: as JSON with --json, else the text that `describe` makes of it. */
void tp_print_document(const tp_args *args, const json_t *document, char *(*describe)(const json_t *document));

#endif
