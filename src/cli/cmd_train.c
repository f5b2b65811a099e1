/* `telepathy train`: trains a bridge as a recipe says. */
#include "cli/experiment.h"
#include "cli/terminal.h"
#include "latentwire/train.h"
#include "train/trainer.h"

#include <stdio.h>

/* What the command line says wins over the recipe. */
static void override(tp_args *args, tp_recipe *r) {
    tp_args_override(args, r);
    if (tp_args_given(args, "task")) tp_recipe_set_text(&r->task.name, tp_args_text(args, "task"));
    if (tp_args_given(args, "train-file")) tp_recipe_set_text(&r->task.train_file, tp_args_text(args, "train-file"));
    if (tp_args_given(args, "test-file")) tp_recipe_set_text(&r->task.test_file, tp_args_text(args, "test-file"));
    if (tp_args_given(args, "text-column")) tp_recipe_set_text(&r->task.text_column, tp_args_text(args, "text-column"));
    if (tp_args_given(args, "label-column"))
        tp_recipe_set_text(&r->task.label_column, tp_args_text(args, "label-column"));
}

/* A bridge between two models, or one latent that several receivers read. */
static tp_status train_task(const tp_recipe *recipe, tp_train_options *o, tp_train_result *result) {
    tp_lm *sender, *receiver;
    tp_latentwire_models models;
    TP_TRY(recipe->latentwire ? tp_latentwire_load_models(recipe, &models)
                              : tp_recipe_load_models(recipe, &sender, &receiver));
    tp_task *task = tp_recipe_load_task(recipe);
    tp_status status = task ? TP_OK : tp_last_status();
    o->task = task;
    if (recipe->latentwire) {
        if (status == TP_OK) status = tp_latentwire_train(o, &models, result);
        tp_latentwire_free_models(&models);
    } else {
        o->sender = sender, o->receiver = receiver;
        if (status == TP_OK) status = tp_train(o, result);
        tp_free_models(sender, receiver);
    }
    tp_task_free(task);
    return status;
}

static tp_status train(tp_args *args, tp_recipe *recipe) {
    override(args, recipe);
    if (recipe->latentwire && tp_args_given(args, "receiver")) {
        TP_TRY(tp_latentwire_recipe_set_receivers(recipe->latentwire, tp_args_text(args, "receiver")));
        tp_recipe_set_text(&recipe->models.receiver, NULL);
    }
    tp_train_result r;
    tp_status status = train_task(recipe,
                                  &(tp_train_options){.recipe = recipe,
                                                      .out = tp_args_text(args, "out"),
                                                      .save_every = tp_args_int(args, "save-every"),
                                                      .stop = tp_interrupt_catch(),
                                                      .progress = tp_args_progress(args)},
                                  &r);
    TP_TRY(status);
    if (tp_args_flag(args, "json"))
        printf("{\"steps\": %lld, \"best_step\": %lld, \"valid_accuracy\": %.6f, \"train_loss\": %.6f, \"parameters\": "
               "%lld, "
               "\"truncated\": %lld, \"seconds\": %.1f}\n",
               (long long)r.steps, (long long)r.best_step, r.valid_accuracy, r.train_loss, (long long)r.n_parameters,
               (long long)r.n_truncated, r.seconds);
    else
        printf("%s: %s, best validation accuracy %.2f %% at step %lld of %lld\n", tp_args_text(args, "out"),
               r.already_done ? "trained before" : "trained", 100 * r.valid_accuracy, (long long)r.best_step,
               (long long)r.steps);
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *path = tp_args_text(args, "recipe");
    tp_recipe *recipe = tp_recipe_load(path);
    if (recipe == NULL) return tp_last_status();
    tp_status status = train(args, recipe);
    tp_recipe_free(recipe);
    return status;
}

const tp_command tp_cmd_train = {
    .name = "train",
    .summary = "train a bridge between two frozen models",
    .text = "Trains the bridge that a recipe describes: the sender's hidden states go in, soft tokens for the receiver "
            "come "
            "out, and gradients flow back through the frozen receiver. Neither model is changed.\n\n"
            "The run's folder gets the best bridge (adapter_config.json with the whole recipe, "
            "adapter_model.safetensors), a log and a resumable state. A run that was stopped, by Ctrl-C or by a power "
            "cut, goes on with the same command and ends with the same bytes as one that never stopped.\n\n"
            "Data: a built-in task with its original files in --data, or a file of your own (.csv, .tsv, .jsonl) with "
            "--train-file, --text-column and --label-column. A validation split is carved from train; the test split "
            "is not looked at.\n\n"
            "A recipe with a section latentwire trains one latent for several receivers, which --receiver A,B names.",
    .examples = "telepathy train --recipe recipes/trec.json --data data/trec --seed 42 --out runs/trec-42\n"
                "telepathy train --recipe recipes/base.json --train-file mails.csv --text-column body "
                "--label-column team --out runs/mails\n"
                "telepathy train --recipe recipes/latentwire/03-decoder.json --receiver models/finch,models/wren "
                "--out runs/wire\n",
    .options =
        (const tp_option[]){
            {.name = "recipe",
             .type = TP_OPT_PATH,
             .value = "FILE",
             .required = true,
             .help = "what to train, and how"},
            {.name = "out", .type = TP_OPT_PATH, .value = "DIR", .required = true, .help = "folder of the run"},
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            TP_OPTION_DATA,
            {.name = "task", .type = TP_OPT_TEXT, .value = "NAME", .help = "built-in task (default: the recipe's)"},
            {.name = "train-file", .type = TP_OPT_PATH, .value = "FILE", .help = "your own training rows"},
            {.name = "test-file",
             .type = TP_OPT_PATH,
             .value = "FILE",
             .help = "your own test rows (default: a fifth of the training rows is held out)"},
            {.name = "text-column", .type = TP_OPT_TEXT, .value = "NAME", .help = "column or key of the text [text]"},
            {.name = "label-column",
             .type = TP_OPT_TEXT,
             .value = "NAME",
             .help = "column or key of the label [label]"},
            TP_OPTION_RECIPE_SEED,
            TP_OPTION_RECIPE_STEPS,
            {.name = "save-every",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "100",
             .min = 0,
             .max = 1e9,
             .help = "updates between saved states"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
