/* A suite: a grid of runs described by one JSON file, and everything that comes out of it in one registry.
 *
 * Each place of the grid is a recipe: one of the suite's recipes with the suite's overrides, the axes' values and a
 * seed merged into it. Places that differ in nothing but the seed are a group; its first run leads: what does not
 * depend on the run is asked of it alone, and the settings that its sweeps chose on the validation split are the
 * others'. What needs no model is asked once per task.
 *
 * Runs are made by processes that are forked, one job each (train a run, evaluate a run), as many at a time as threads
 * and memory allow. So what comes out depends neither on how many there are nor on their order, a job that dies takes
 * nothing with it, and its memory goes with it. docs/suites.md lists the keys of the file. */
#ifndef TP_EVAL_SUITE_H
#define TP_EVAL_SUITE_H

#include "eval/registry.h"
#include "lm/model.h"

/* ---- the file ---- */

typedef struct tp_suite_cell {
    char *name;     /* of the run: "banking77-m8-42" */
    json_t *where;  /* {"recipe": "banking77", "task": "banking77", "soft_tokens": 8, "seed": 42}, and the recipe's
                       comment if it has one */
    json_t *recipe; /* merged, not completed */
    size_t leader;  /* index of the first cell that differs in the seed only */
    size_t donor;   /* index of the first cell of the same task */
} tp_suite_cell;

enum { TP_MOST_DOCUMENTS = 8 };

typedef struct tp_suite {
    char *name;
    json_t *definition;   /* the file */
    tp_suite_cell *cells; /* [n], in the grid's order, the seed running fastest */
    size_t n;
    bool wanted[TP_MOST_METHODS]; /* in the order of tp_methods */
    int64_t n_timed, prompt_steps;
    const char *documents[TP_MOST_DOCUMENTS + 1]; /* wanted of every run, NULL-terminated; texts of the definition */
} tp_suite;

/* What the command line says about every recipe; texts may be NULL. */
typedef struct tp_suite_changes {
    const char *sender, *receiver, *data;
} tp_suite_changes;

/* Reads a suite and lays out its grid. NULL on error: a key nobody knows, a value of the wrong type, a recipe that
 * cannot be read, two places of one name. */
tp_suite *tp_suite_load(const char *path, const tp_suite_changes *changes);
tp_suite *tp_suite_from_json(json_t *value, const char *path, const tp_suite_changes *changes);
void tp_suite_free(tp_suite *suite); /* takes NULL */

/* ---- running it ---- */

/* A document that is made of a finished run, such as an inspection. It may stand on a floor above this one, so whoever
 * runs the suite hands it down. */
typedef struct tp_suite_step {
    const char *name; /* as the suite's `documents`, and the registry, name it */
    /* Makes the document; the evaluation has task, relay with its bridge, seed, progress and stop, no caches.
     * `settings` is what the suite's file says under the step's name; NULL: nothing. NULL on error. */
    json_t *(*make)(tp_eval *eval, const tp_results *results, json_t *settings);
    tp_status (*check)(json_t *settings); /* refuses settings before any work is done */
} tp_suite_step;

/* The step `latency`; see latency.c. */
extern const tp_suite_step tp_latency_step;

typedef struct tp_suite_options {
    const char *out;            /* folder: runs.db and runs/ */
    int threads, jobs;          /* threads in all, and runs at a time, which share them */
    int64_t max_memory;         /* bytes that all jobs together may take; 0: no bound */
    const char *revision;       /* of the program's source, for the record; or NULL */
    const tp_suite_step *steps; /* ends with a NULL name; or NULL */
    const volatile sig_atomic_t
        *stop;             /* when it becomes nonzero: jobs save what they have; TP_ERR_CANCELLED; or NULL */
    tp_progress *progress; /* or NULL */
} tp_suite_options;

typedef enum tp_place_state {
    TP_PLACE_NEW,     /* nothing of it is there */
    TP_PLACE_STARTED, /* a training that was interrupted */
    TP_PLACE_TRAINED, /* to be evaluated, or put into the registry */
    TP_PLACE_DONE,
    TP_PLACE_FAILED, /* in this call */
} tp_place_state;

/* A place of the grid, once models and data are read. */
typedef struct tp_suite_place {
    char key[33];
    char *folder;        /* of the run, from the suite's: "runs/trec-42-0123abcd" */
    tp_recipe *recipe;   /* complete */
    const tp_task *task; /* borrowed from the plan */
    const tp_lm *sender, *receiver;
    tp_place_state state;
    double train_seconds, evaluate_seconds; /* that it will still take, estimated; NAN: unknown */
} tp_suite_place;

typedef struct tp_suite_plan tp_suite_plan;

/* Reads models and data of every place, and looks up what is done. Changes nothing. NULL on error. */
tp_suite_plan *tp_suite_plan_new(const tp_suite *suite, const char *out);
void tp_suite_plan_free(tp_suite_plan *plan); /* takes NULL */
const tp_suite_place *tp_suite_plan_place(const tp_suite_plan *plan, size_t i);

/* Estimates the times that are unknown by a rehearsal: a few updates and a few test rows of each task, in processes of
 * their own and in a temporary folder. An error of any method is one of the rehearsal. */
tp_status tp_suite_rehearse(const tp_suite *suite, tp_suite_plan *plan, const tp_suite_options *options);

/* Runs what is not done. Every run that succeeds is in the registry; if some failed the status says so, naming one. To
 * be called while the process has no threads of OpenMP's: jobs are forked. */
tp_status tp_suite_run(const tp_suite *suite, tp_suite_plan *plan, const tp_suite_options *options);

#endif
