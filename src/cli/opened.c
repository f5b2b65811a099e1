/* Opening a finished run. See opened.h. */
#include "cli/opened.h"

#include "base/mem.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The recipe with what the command line says about data and rows. */
static tp_recipe *recipe_of(tp_args *args, const char *other, int64_t max_train, int64_t max_test) {
    tp_recipe *recipe =
        tp_run_recipe(tp_args_text(args, "RUN"), tp_args_text(args, "sender"), tp_args_text(args, "receiver"));
    if (recipe == NULL) return NULL;
    if (other) {
        tp_recipe_set_text(&recipe->task.name, other);
        tp_recipe_set_text(&recipe->task.train_file, NULL);
        tp_recipe_set_text(&recipe->task.test_file, NULL);
        recipe->task.max_train = recipe->task.max_test = 0;
    }
    if (tp_args_given(args, "data")) tp_recipe_set_text(&recipe->task.data, tp_args_text(args, "data"));
    if (max_train > 0) recipe->task.max_train = max_train;
    if (max_test > 0) recipe->task.max_test = max_test;
    return recipe;
}

/* Labels of a task that calls itself the run's must be the run's. */
static tp_status check_labels(const tp_relay *relay, const tp_task *task, const char *run) {
    bool equal = relay->n_labels == task->n_labels;
    for (int i = 0; equal && i < task->n_labels; i++) equal = strcmp(relay->label_names[i], task->labels[i].name) == 0;
    return equal ? TP_OK
                 : tp_fail(TP_ERR_ARGUMENT, "%s was trained for %d labels, which are not the %d of this data", run,
                           relay->n_labels, task->n_labels);
}

static tp_status open_with(tp_args *args, const tp_recipe *recipe, bool own, tp_opened *out) {
    TP_TRY(tp_recipe_load_models(recipe, &out->sender, &out->receiver));
    out->task = tp_recipe_load_task(recipe);
    if (out->task == NULL) return tp_last_status();
    out->relay = tp_relay_load(tp_args_text(args, "RUN"), out->sender, out->receiver);
    if (out->relay == NULL) return tp_last_status();
    if (own) TP_TRY(check_labels(out->relay, out->task, tp_args_text(args, "RUN")));
    out->eval = (tp_eval){.task = out->task,
                          .relay = out->relay,
                          .seed = out->relay->recipe->seed,
                          .chosen = NAN,
                          .stop = tp_interrupt_catch(),
                          .progress = tp_args_progress(args)};
    return TP_OK;
}

tp_status tp_open_run(tp_args *args, const char *other, int64_t max_train, int64_t max_test, tp_opened *out) {
    *out = (tp_opened){0};
    tp_recipe *recipe = recipe_of(args, other, max_train, max_test);
    if (recipe == NULL) return tp_last_status();
    tp_status status = open_with(args, recipe, other == NULL, out);
    tp_recipe_free(recipe);
    return status;
}

void tp_close_run(tp_opened *opened) {
    tp_relay_free(opened->relay);
    tp_task_free(opened->task);
    tp_free_models(opened->sender, opened->receiver);
    *opened = (tp_opened){0};
}

void tp_print_document(const tp_args *args, const json_t *document, char *(*describe)(const json_t *document)) {
    if (tp_args_flag(args, "json")) {
        json_dumpf(document, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        char *text = describe(document);
        fputs(text, stdout);
        tp_free(text);
    }
}
