/* What the parts of the suite runner share, and nobody else. */
#ifndef TP_EVAL_SUITE_PARTS_H
#define TP_EVAL_SUITE_PARTS_H

#include "eval/suite.h"
#include "train/trainer.h"

typedef struct tp_planned_model {
    char *path;
    tp_lm *lm;
} tp_planned_model;

typedef struct tp_planned_task {
    char *text; /* the recipe's `task` */
    tp_task *task;
} tp_planned_task;

typedef struct tp_known_times { /* of an earlier run of the same key; NAN: unknown */
    double train_seconds, evaluate_seconds;
} tp_known_times;

struct tp_suite_plan {
    const tp_suite *suite;
    char *out;
    tp_suite_place *places; /* [n], as the suite's cells */
    tp_known_times *known;  /* [n] */
    size_t n;
    tp_planned_model *models;
    tp_planned_task *tasks;
    size_t n_models, n_tasks, models_capacity, tasks_capacity;
};

/* Training and evaluating one place: what a worker does. */
typedef struct tp_suite_job {
    const tp_suite *suite;
    const tp_suite_plan *plan;
    const tp_suite_options *options;
    size_t place;
    bool donor; /* the task's first run is evaluated: what needs no model is taken from it */
    int threads;
    int64_t max_cache; /* bytes of states it may keep; 0: as the recipe says */
} tp_suite_job;

tp_status tp_suite_train(void *job, tp_progress *progress, const volatile sig_atomic_t *stop);
/* Trains what the options' recipe describes: a bridge, or one latent for the receivers that it names. */
tp_status tp_suite_train_recipe(const tp_train_options *options, tp_train_result *result);
tp_status tp_suite_evaluate(void *job, tp_progress *progress, const volatile sig_atomic_t *stop);

/* How a suite evaluates, as runs.settings says it; the caller frees it. */
char *tp_suite_settings(const tp_suite *suite);

/* Sets what is still to be done of each place, in seconds, by the times that are known. */
void tp_suite_estimate(tp_suite_plan *plan);

typedef struct tp_suite_running { /* a job that runs now, or has just ended */
    size_t place;
    bool training;
    bool from_nothing;         /* no earlier job did a part of it */
    double seconds;            /* since it began */
    double first_share, share; /* of the training that was done when it began, and now */
} tp_suite_running;

/* Seconds of work that are left to all jobs together, n of which run now; NAN: unknown. */
double tp_suite_left(const tp_suite_plan *plan, const tp_suite_running *jobs, size_t n);

/* What a job tells about the times of others. */
void tp_suite_learn(tp_suite_plan *plan, const tp_suite_running *job, bool ended);

#endif
