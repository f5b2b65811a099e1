/* `telepathy eval`: the table of a trained bridge, its opponents and its controls. */
#include "cli/experiment.h"
#include "cli/terminal.h"
#include "eval/evaluate.h"
#include "eval/latentwire_eval.h"
#include "eval/table.h"
#include "latentwire/checkpoint.h"
#include "train/experiment.h"

#include <stdio.h>
#include <string.h>

/* What --methods names, as marks in the order of tp_methods; false in *any if it is not given. */
static tp_status wanted_methods(tp_args *args, bool *wanted, bool *any) {
    const char *const *names;
    size_t n = tp_args_list(args, "methods", &names);
    *any = n > 0;
    for (size_t i = 0; i < n; i++) {
        const tp_method *method = tp_method_find(names[i]);
        if (method == NULL) return tp_args_refuse(args, "%s", tp_last_error());
        for (size_t m = 0; tp_methods[m]; m++)
            if (tp_methods[m] == method) wanted[m] = true;
    }
    return TP_OK;
}

static tp_status measure(tp_args *args, const bool *wanted, const char *const *runs, size_t n_runs,
                         tp_results **results) {
    tp_recipe *recipe = tp_run_recipe(runs[0], tp_args_text(args, "sender"), tp_args_text(args, "receiver"));
    if (recipe == NULL) return tp_last_status();
    if (tp_args_given(args, "data")) tp_recipe_set_text(&recipe->task.data, tp_args_text(args, "data"));
    if (tp_args_given(args, "max-test")) recipe->task.max_test = tp_args_int(args, "max-test");
    tp_lm *sender = NULL, *receiver = NULL;
    tp_status status = tp_recipe_load_models(recipe, &sender, &receiver);
    tp_task *task = status == TP_OK ? tp_recipe_load_task(recipe) : NULL;
    if (status == TP_OK && task == NULL) status = tp_last_status();
    tp_recipe_free(recipe);
    if (status == TP_OK)
        status = tp_evaluate_runs(&(tp_evaluate_options){.task = task,
                                                         .sender = sender,
                                                         .receiver = receiver,
                                                         .runs = runs,
                                                         .n_runs = n_runs,
                                                         .wanted = wanted,
                                                         .keep = tp_args_flag(args, "keep"),
                                                         .n_timed = tp_args_int(args, "timed"),
                                                         .prompt_steps = tp_args_int(args, "prompt-steps"),
                                                         .stop = tp_interrupt_catch(),
                                                         .progress = tp_args_progress(args)},
                                  results);
    tp_task_free(task);
    tp_free_models(sender, receiver);
    return status;
}

static void print(tp_args *args, const tp_results *const *results, size_t n_runs, const bool *wanted) {
    if (tp_args_flag(args, "json")) {
        json_t *value = tp_eval_json(results, n_runs, wanted, tp_args_flag(args, "items"));
        json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(value);
    } else {
        char *table =
            tp_eval_table(results, n_runs, wanted, tp_args_flag(args, "markdown") ? TP_TABLE_MARKDOWN : TP_TABLE_PLAIN);
        fputs(table, stdout);
        tp_free(table);
    }
}

/* A LatentWire: its own table of receivers alone and together. */
static tp_status run_latentwire(tp_args *args, const char *run) {
    json_t *found = NULL;
    if (tp_args_flag(args, "saved")) {
        found = tp_latentwire_eval_load(run);
    } else {
        tp_recipe *recipe = tp_latentwire_run_recipe(run, tp_args_text(args, "sender"), tp_args_text(args, "receiver"));
        if (recipe == NULL) return tp_last_status();
        if (tp_args_given(args, "data")) tp_recipe_set_text(&recipe->task.data, tp_args_text(args, "data"));
        if (tp_args_given(args, "max-test")) recipe->task.max_test = tp_args_int(args, "max-test");
        tp_latentwire_models models;
        tp_status status = tp_latentwire_load_models(recipe, &models);
        tp_task *task = status == TP_OK ? tp_recipe_load_task(recipe) : NULL;
        tp_recipe_free(recipe);
        if (task)
            found = tp_latentwire_evaluate(&(tp_latentwire_eval_options){.run = run,
                                                                         .models = &models,
                                                                         .task = task,
                                                                         .stop = tp_interrupt_catch(),
                                                                         .progress = tp_args_progress(args)});
        tp_task_free(task);
        if (status == TP_OK) tp_latentwire_free_models(&models);
    }
    if (found == NULL) return tp_last_status();
    if (tp_args_flag(args, "json")) {
        json_dumpf(found, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        char *table =
            tp_latentwire_eval_table(found, tp_args_flag(args, "markdown") ? TP_TABLE_MARKDOWN : TP_TABLE_PLAIN);
        fputs(table, stdout);
        tp_free(table);
    }
    json_decref(found);
    return TP_OK;
}

static tp_status run(tp_args *args) {
    bool marks[TP_MOST_METHODS] = {false}, any = false;
    const char *const *runs;
    size_t n_runs = tp_args_list(args, "RUN", &runs);
    for (size_t i = 0; i < n_runs; i++)
        if (tp_latentwire_is(runs[i])) {
            if (n_runs == 1 && !tp_args_given(args, "methods")) return run_latentwire(args, runs[i]);
            return tp_args_refuse(args,
                                  "%s is a LatentWire, which has a table of its own: give it alone, without "
                                  "--methods",
                                  runs[i]);
        }
    TP_TRY(wanted_methods(args, marks, &any));
    const bool *wanted = any ? marks : NULL;
    tp_results **results = tp_alloc(n_runs * sizeof *results);
    tp_status status = tp_args_flag(args, "saved") ? tp_evaluate_load(runs, n_runs, results)
                                                   : measure(args, wanted, runs, n_runs, results);
    if (status == TP_OK) print(args, (const tp_results *const *)results, n_runs, wanted);
    for (size_t k = 0; k < n_runs; k++) tp_results_free(results[k]);
    tp_free(results);
    return status;
}

const tp_command tp_cmd_eval = {
    .name = "eval",
    .summary = "measure a trained bridge against its opponents and controls",
    .text =
        "Asks every method about the same test rows and prints one table: accuracy with its interval, answers that "
        "named no label, milliseconds of each phase, bytes that cross. Runs of one recipe with several seeds make one "
        "table with mean and deviation. Sentences below say whether the bridge beats the words alone and the linear "
        "probe, whether its controls fall to the majority level, and where it is slower or larger than text.\n\n"
        "Methods:\n"
        "  random, majority   a random label; the most frequent one\n"
        "  words              TF-IDF and logistic regression: no language model at all\n"
        "  sender, receiver   each model reads the text itself, zero-shot\n"
        "  sender_plain       the sender without the list of labels in its prompt\n"
        "  sender_shots, receiver_shots\n"
        "                     each reads solved examples first\n"
        "  first_tokens, last_tokens, text_bytes\n"
        "                     the receiver reads as much of the text as the bridge sends\n"
        "  pruned             the receiver reads the tokens that surprise the sender most\n"
        "  relay_word, text_relay, relay_long, relay_thoughts\n"
        "                     the sender writes, the receiver reads that\n"
        "  probe_mean, probe_last, probe_mean_labels, probe_last_labels\n"
        "                     logistic regression on the tapped layer; told the labels\n"
        "  pca, ridge         bridges in closed form\n"
        "  prompt_tuning      the receiver reads the text behind trained soft tokens\n"
        "  lora               the receiver is tuned to read the text\n"
        "  bridge, joint      the latent relay; with the text as well\n"
        "  bridge_f32, bridge_bf16, bridge_int8, bridge_int4\n"
        "                     the latent relay with packets of other numbers (if named)\n"
        "  zero, noise, shuffled, deranged, alone\n"
        "                     the bridge with its source destroyed: must fail\n\n"
        "Of a LatentWire: each receiver alone and all together, with their controls.\n\n"
        "docs/methods.md says more of each. "
        "Everything found, each row's predictions included, is kept in the run's eval.json, method by method: --keep "
        "goes on after an interruption, --saved prints it again.",
    .examples = "telepathy eval runs/trec-42 --data data/trec\n"
                "telepathy eval runs/trec-42 runs/trec-43 runs/trec-44 --data data/trec\n"
                "telepathy eval runs/trec-42 --methods words,bridge,shuffled --json\n",
    .options =
        (const tp_option[]){
            {.name = "RUN",
             .type = TP_OPT_PATH,
             .positional = true,
             .many = true,
             .required = true,
             .help = "folders that telepathy train wrote"},
            {.name = "methods", .type = TP_OPT_LIST, .value = "NAMES", .help = "only these (default: all)"},
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            {.name = "max-test",
             .type = TP_OPT_INT,
             .value = "N",
             .min = 0,
             .max = 1e9,
             .help = "test rows to take, drawn by label; 0: all (default: the recipe's)"},
            {.name = "timed",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "50",
             .min = 0,
             .max = 1000,
             .help = "texts whose time is taken one by one; 0: measure no times"},
            {.name = "prompt-steps",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "1000",
             .min = 0,
             .max = 1e9,
             .help = "most updates of prompt tuning; 0: as many as the bridge's recipe"},
            {.name = "keep", .type = TP_OPT_FLAG, .help = "do not run again the methods that eval.json holds; go on"},
            {.name = "saved", .type = TP_OPT_FLAG, .help = "run nothing, print what eval.json holds"},
            {.name = "markdown", .type = TP_OPT_FLAG, .help = "print the table as Markdown"},
            TP_OPTION_JSON,
            {.name = "items", .type = TP_OPT_FLAG, .help = "with --json: each row's prediction too"},
            {0},
        },
    .run = run,
};
