/* `telepathy suite`: a grid of runs, from nothing to the registry. */
#include "analysis/inspect.h"
#include "base/table.h"
#include "cli/experiment.h"
#include "cli/revision.h"
#include "cli/terminal.h"
#include "eval/suite.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the plan ---- */

static const char *const state_names[] = {"to be trained", "training was interrupted", "to be evaluated", "done",
                                          "failed"};

static void cell_seconds(tp_table *t, double seconds) {
    char text[16];
    tp_table_cell(t, "%s", isfinite(seconds) ? tp_format_seconds(seconds, text) : "?");
}

static double left(const tp_suite_place *p) {
    return p->train_seconds + p->evaluate_seconds;
}

static void print_table(const tp_suite *suite, const tp_suite_plan *plan) {
    tp_table *t = tp_table_new();
    static const char *const headings[] = {"<run", "<task",    ">train rows", ">test rows", ">layer",
                                           ">M",   ">updates", "<state",      ">time left"};
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(t, headings[i]);
    for (size_t i = 0; i < suite->n; i++) {
        const tp_suite_place *p = tp_suite_plan_place(plan, i);
        int layer = 0;
        if (tp_recipe_layer(p->recipe, p->sender->config.n_layers, &layer) != TP_OK) layer = -1;
        tp_table_cell(t, "%s", suite->cells[i].name);
        tp_table_cell(t, "%s", p->task->name);
        tp_table_cell(t, "%zu", p->task->train.n);
        tp_table_cell(t, "%zu", p->task->test.n);
        tp_table_cell(t, "%d", layer);
        tp_table_cell(t, "%d", p->recipe->bridge.soft_tokens);
        tp_table_cell(t, "%lld", (long long)p->recipe->optimiser.steps);
        tp_table_cell(t, "%s", state_names[p->state]);
        cell_seconds(t, left(p));
    }
    char *text = tp_table_text(t, TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(t);
}

static void print_plan(const tp_suite *suite, const tp_suite_plan *plan, int jobs) {
    print_table(suite, plan);
    double seconds = 0;
    size_t done = 0;
    for (size_t i = 0; i < suite->n; i++) {
        const tp_suite_place *p = tp_suite_plan_place(plan, i);
        done += p->state == TP_PLACE_DONE;
        seconds += left(p);
    }
    printf("\n%zu runs, %zu done. Methods:", suite->n, done);
    for (int m = 0; tp_methods[m]; m++)
        if (suite->wanted[m]) printf(" %s", tp_methods[m]->name);
    char text[16];
    printf(".\n");
    if (done < suite->n)
        printf("With %d at a time the rest takes about %s, by what was measured so far or in a rehearsal%s.\n", jobs,
               tp_format_seconds(seconds / jobs, text), suite->documents[0] ? "; documents come on top" : "");
}

/* ---- documents ---- */

static tp_status read_inspect(json_t *settings, tp_inspect_options *options) {
    tp_json_reader r;
    json_t *none = json_object();
    tp_json_begin(&r, settings ? settings : none, "the suite's `inspect`");
    *options = (tp_inspect_options){.n_texts = tp_json_int(&r, "n", 200, 1, 1000),
                                    .n_examples = tp_json_int(&r, "examples", 4, 0, 1000),
                                    .n_transcripts = tp_json_int(&r, "transcripts", 8, 0, 1000),
                                    .n_nearest = (int)tp_json_int(&r, "nearest", 5, 1, 100)};
    tp_status status = tp_json_end(&r, true);
    json_decref(none);
    return status;
}

static tp_status check_inspect(json_t *settings) {
    tp_inspect_options options;
    return read_inspect(settings, &options);
}

static json_t *inspect(tp_eval *eval, const tp_results *results, json_t *settings) {
    tp_inspect_options options;
    if (read_inspect(settings, &options) != TP_OK) return NULL;
    options.seed = eval->seed;
    options.results = results;
    return tp_inspect(eval, &options);
}

/* ---- running ---- */

static void print_outcome(const tp_suite *suite, const char *out) {
    printf("%s: %zu runs are in %s/runs.db. Next: telepathy report %s\n", suite->name, suite->n, out, out);
}

static tp_status work(tp_args *args, const tp_suite *suite, int threads) {
    const char *out = tp_args_text(args, "out");
    int jobs = tp_args_given(args, "jobs") ? (int)tp_args_int(args, "jobs") : threads;
    double gib = tp_args_given(args, "max-memory")
                     ? tp_args_real(args, "max-memory")
                     : 0.75 * (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 0x1p30;
    const tp_suite_step steps[] = {{"inspect", inspect, check_inspect}, tp_latency_step, {0}};
    tp_suite_plan *plan = tp_suite_plan_new(suite, out);
    if (plan == NULL) return tp_last_status();
    tp_suite_options options = {.out = out,
                                .threads = threads,
                                .jobs = jobs,
                                .max_memory = (int64_t)(gib * 0x1p30),
                                .revision = tp_revision,
                                .steps = steps,
                                .stop = tp_interrupt_catch(),
                                .progress = tp_args_progress(args)};
    tp_status status;
    if (tp_args_flag(args, "dry-run")) {
        status = tp_suite_rehearse(suite, plan, &options);
        if (status == TP_OK) print_plan(suite, plan, jobs);
    } else {
        status = tp_suite_run(suite, plan, &options);
    }
    tp_suite_plan_free(plan);
    if (status == TP_OK && !tp_args_flag(args, "dry-run")) print_outcome(suite, out);
    return status;
}

static tp_status run(tp_args *args) {
    tp_suite_changes changes = {.sender = tp_args_text(args, "sender"),
                                .receiver = tp_args_text(args, "receiver"),
                                .data = tp_args_text(args, "data")};
    int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* here nothing is computed; a process with threads cannot be forked */
    tp_suite *suite = tp_suite_load(tp_args_text(args, "SUITE"), &changes);
    if (suite == NULL) return tp_last_status();
    tp_status status = work(args, suite, threads);
    tp_suite_free(suite);
    return status;
}

const tp_command tp_cmd_suite = {
    .name = "suite",
    .summary = "run a grid of experiments into one registry",
    .text =
        "Trains and evaluates every run of a grid (tasks, seeds, numbers of soft tokens, layers, training set sizes, "
        "directions, variants) that a suite's file describes, and keeps all of it in DIR/runs.db: recipes, seeds, "
        "fingerprints of data and models, times, each row's predictions. What is done is skipped, so a suite that was "
        "stopped, by Ctrl-C or by a power cut, goes on with the same command, and a run that was deleted is made again "
        "with the same bytes.\n\n"
        "Runs are made in processes of their own, as many at a time as there are threads; each then has one. Results "
        "do not depend on how many there are. What does not depend on a run is asked once; the settings of tuned "
        "opponents are chosen by the first seed on the validation split, and are then the same for all.\n\n"
        "recipes/suites holds suites; docs/suites.md tells what stands in them.",
    .examples = "telepathy suite recipes/suites/demo.json --out runs/demo\n"
                "telepathy suite recipes/suites/paper.json --data data --out runs/paper --dry-run\n",
    .options =
        (const tp_option[]){
            {.name = "SUITE", .type = TP_OPT_PATH, .positional = true, .required = true, .help = "a suite's file"},
            {.name = "out",
             .type = TP_OPT_PATH,
             .value = "DIR",
             .required = true,
             .help = "folder of the registry and of the runs"},
            TP_OPTION_DATA,
            {.name = "sender", .type = TP_OPT_PATH, .value = "DIR", .help = "sender model (default: the recipes')"},
            {.name = "receiver", .type = TP_OPT_PATH, .value = "DIR", .help = "receiver model (default: the recipes')"},
            {.name = "jobs",
             .letter = 'j',
             .type = TP_OPT_INT,
             .value = "N",
             .min = 1,
             .max = 64,
             .help = "runs at a time, which share the threads (default: one per thread)"},
            {.name = "max-memory",
             .type = TP_OPT_REAL,
             .value = "GIB",
             .min = 0.01,
             .max = 1e6,
             .help = "what all runs at a time may take (default: three quarters of the machine's)"},
            {.name = "dry-run",
             .type = TP_OPT_FLAG,
             .help = "print the grid, what is done and the time left (by a short rehearsal); run nothing"},
            {0},
        },
    .run = run,
};
