/* `telepathy demo`: the whole of it in a few minutes. Trains a bridge between the repository's two models, prints the
 * table, and hands three texts over in both ways. */
#include "base/file.h"
#include "base/mem.h"
#include "base/table.h"
#include "cli/experiment.h"
#include "cli/piece.h"
#include "cli/source_tree.h"
#include "cli/terminal.h"
#include "eval/evaluate.h"
#include "eval/side_by_side.h"
#include "eval/table.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N_SHOWN = 3 };

/* ---- where things are ---- */

static void default_model(char **field) {
    if (*field == NULL || (*field)[0] == '/') return;
    char *path = tp_in_source_tree(*field);
    tp_recipe_set_text(field, path);
    tp_free(path);
}

/* The demonstration always starts anew: what an earlier one left in the folder goes. */
static void forget(const char *folder) {
    static const char *const files[] = {"state.safetensors",         "train.json", "log.jsonl", "adapter_config.json",
                                        "adapter_model.safetensors", "eval.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = tp_path_join(folder, files[i]);
        unlink(path);
        tp_free(path);
    }
}

/* ---- three relays ---- */

static void add_relay(tp_table *t, const char *name, const char *crossed, const tp_hand_over *h, const tp_task *task,
                      int32_t truth) {
    tp_table_cell(t, "%s", name);
    tp_table_cell(t, "%s", crossed);
    tp_table_cell(t, "%s", task->labels[h->label].name);
    tp_table_cell(t, "%s", h->label == truth ? "right" : "wrong");
    tp_table_cell(t, "%.1f", h->ms);
    tp_table_cell(t, "%.0f", h->bytes);
}

static tp_status show_relay(const tp_eval *eval, const tp_example *example) {
    const tp_task *task = eval->task;
    tp_side_by_side sides;
    TP_TRY(tp_side_by_side_run(eval, example, &sides));
    char *text = tp_visible_text(example->text, example->len), *line = tp_visible_text(sides.line, strlen(sides.line));
    char *wrote = tp_format("\"%.*s\"", (int)tp_text_fit(line, strlen(line), 48), line);
    char *sent = tp_format("%d soft tokens", eval->relay->recipe->bridge.soft_tokens);
    tp_table *t = tp_table_new();
    tp_table_column(t, "<relay");
    tp_table_column(t, "<what crossed");
    tp_table_column(t, "<answer");
    tp_table_column(t, "<");
    tp_table_column(t, ">ms");
    tp_table_column(t, ">bytes");
    add_relay(t, "text", wrote, &sides.text, task, example->label);
    add_relay(t, "latent", sent, &sides.latent, task, example->label);
    char *table = tp_table_text(t, TP_TABLE_PLAIN);
    printf("\n%.*s\nright answer: %s\n\n%s", (int)tp_text_fit(text, strlen(text), 110), text,
           task->labels[example->label].name, table);
    tp_free(table);
    tp_table_free(t);
    tp_free(wrote);
    tp_free(sent);
    tp_free(text);
    tp_free(line);
    tp_side_by_side_free(&sides);
    return TP_OK;
}

/* Rows chosen by their place in the split, not by how they come out. */
static tp_status show_relays(const tp_task *task, const tp_lm *sender, const tp_lm *receiver, const char *run) {
    tp_relay *relay = tp_relay_load(run, sender, receiver);
    if (relay == NULL) return tp_last_status();
    tp_eval eval = {.task = task, .relay = relay};
    tp_status status = TP_OK;
    printf("\nThree texts handed over both ways (the test rows at a sixth, half and five sixths):\n");
    for (size_t k = 0; k < N_SHOWN && status == TP_OK; k++)
        status = show_relay(&eval, &task->test.examples[(2 * k + 1) * task->test.n / (2 * N_SHOWN)]);
    tp_relay_free(relay);
    return status;
}

/* ---- the work ---- */

/* What a first look needs: all methods take several times as long. */
static const tp_method *const shown[] = {&tp_method_random,        &tp_method_majority,   &tp_method_words,
                                         &tp_method_sender,        &tp_method_receiver,   &tp_method_text_relay,
                                         &tp_method_probe_mean,    &tp_method_probe_last, &tp_method_ridge,
                                         &tp_method_prompt_tuning, &tp_method_bridge,     &tp_method_zero,
                                         &tp_method_noise,         &tp_method_shuffled,   &tp_method_receiver_alone};

static tp_status table(tp_evaluate_options *options) {
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++)
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) wanted[m] = wanted[m] || tp_methods[m] == shown[i];
    options->wanted = wanted;
    tp_results *results;
    TP_TRY(tp_evaluate_runs(options, &results));
    char *text = tp_eval_table((const tp_results *const *)&results, 1, NULL, TP_TABLE_PLAIN);
    printf("\n%s", text);
    fflush(stdout);
    tp_free(text);
    tp_results_free(results);
    return TP_OK;
}

static tp_status work(tp_args *args, const tp_recipe *recipe, const tp_task *task, const tp_lm *sender,
                      const tp_lm *receiver, const char *out) {
    const volatile sig_atomic_t *stop = tp_interrupt_catch();
    tp_progress *progress = tp_args_progress(args);
    tp_train_result trained;
    TP_TRY(tp_train(&(tp_train_options){.recipe = recipe,
                                        .sender = sender,
                                        .receiver = receiver,
                                        .task = task,
                                        .out = out,
                                        .save_every = 0,
                                        .stop = stop,
                                        .progress = progress},
                    &trained));
    printf("Bridge of %lld parameters trained on %zu texts in %.0f s: %lld updates, validation accuracy %.1f %%\n",
           (long long)trained.n_parameters, task->train.n, trained.seconds, (long long)trained.steps,
           100 * trained.valid_accuracy);
    TP_TRY(table(&(tp_evaluate_options){.task = task,
                                        .sender = sender,
                                        .receiver = receiver,
                                        .runs = &out,
                                        .n_runs = 1,
                                        .n_timed = 30,
                                        .prompt_steps = tp_args_int(args, "prompt-steps"),
                                        .stop = stop,
                                        .progress = progress}));
    TP_TRY(show_relays(task, sender, receiver, out));
    printf("\nThe bridge is in %s. Try: telepathy relay %s \"%s\"\n", out, out,
           task->synthetic ? "Who founded the city of Rome?" : task->test.examples[0].text);
    return TP_OK;
}

static tp_status load_and_work(tp_args *args, tp_recipe *recipe) {
    default_model(&recipe->models.sender);
    default_model(&recipe->models.receiver);
    tp_args_override(args, recipe);
    if (tp_args_given(args, "max-test")) recipe->task.max_test = tp_args_int(args, "max-test");
    tp_lm *sender, *receiver;
    TP_TRY(tp_recipe_load_models(recipe, &sender, &receiver));
    tp_task *task = tp_recipe_load_task(recipe);
    char *folder = tp_program_folder(), *own = tp_path_join(folder, "demo-run");
    const char *out = tp_args_given(args, "out") ? tp_args_text(args, "out") : own;
    if (!tp_args_given(args, "out")) forget(own);
    tp_status status = task ? work(args, recipe, task, sender, receiver, out) : tp_last_status();
    tp_free(folder);
    tp_free(own);
    tp_task_free(task);
    tp_free_models(sender, receiver);
    return status;
}

static tp_status run(tp_args *args) {
    char *path = tp_in_source_tree("recipes/demo.json");
    tp_recipe *recipe = tp_recipe_load(path);
    tp_free(path);
    if (recipe == NULL) return tp_last_status();
    tp_status status = load_and_work(args, recipe);
    tp_recipe_free(recipe);
    return status;
}

const tp_command tp_cmd_demo = {
    .name = "demo",
    .summary = "train a bridge between the two small models and show what it does",
    .text =
        "Takes the repository's own pair of models and recipes/demo.json, trains the bridge, prints the table of the "
        "bridge, its opponents and its controls, and hands three texts over both ways, as text and as soft tokens. "
        "A few minutes on two cores.\n\n"
        "With --data DIR (or TELEPATHY_DATA) the questions are the real TREC found there; without, they are "
        "synthetic questions made by a grammar of our own, and the table says so.\n\n"
        "The run is made anew in demo-run beside the program; in a folder given with --out an interrupted one goes "
        "on.",
    .examples = "telepathy demo\n"
                "telepathy demo --data data/trec --out runs/demo\n",
    .options =
        (const tp_option[]){
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            {.name = "out",
             .type = TP_OPT_PATH,
             .value = "DIR",
             .help = "folder of the run (default: demo-run beside the program)"},
            TP_OPTION_RECIPE_STEPS,
            {.name = "prompt-steps",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "120",
             .min = 1,
             .max = 1e9,
             .help = "most updates of prompt tuning, the bridge's opponent"},
            {.name = "max-test",
             .type = TP_OPT_INT,
             .value = "N",
             .min = 0,
             .max = 1e9,
             .help = "test rows to take (default: the recipe's)"},
            TP_OPTION_RECIPE_SEED,
            {0},
        },
    .run = run,
};
