/* A finished run of a tiny pair of models, opened: what tests of analyses work on. The folder, models, task and relay
 * are the test program's globals from tiny_run_set_up to tiny_run_tear_down. */
#ifndef TP_TESTS_TINY_FINISHED_RUN_H
#define TP_TESTS_TINY_FINISHED_RUN_H

#include "tiny_pair.h"

#include "bridge/relay.h"
#include "eval/method.h"
#include "train/trainer.h"

#include <math.h>
#include <omp.h>

#ifndef TINY_RUN_STEPS
#define TINY_RUN_STEPS 300
#endif

static char *dir, *run;
static tp_lm *sender, *receiver;
static tp_task *task;
static tp_relay *relay;

static inline int tiny_run_set_up(void **state) {
    (void)state;
    omp_set_num_threads(1); /* the models are so small that threads would only wait for each other */
    dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "tiny.json", TINY_RUN_STEPS);
    sender = tiny_pair_load(dir, "sender");
    receiver = tiny_pair_load(dir, "receiver");
    char *train = tp_path_join(dir, "train.csv"), *test = tp_path_join(dir, "test.csv");
    task = tp_task_load(&(tp_task_options){.train_file = train, .test_file = test, .split_seed = 42});
    check_not_null(task);
    free(train);
    free(test);
    run = tp_path_join(dir, "run");
    char *path = tp_path_join(dir, "tiny.json");
    tp_recipe *recipe = tp_recipe_load(path);
    check_not_null(recipe);
    recipe->bridge.depth = 2;
    free(path);
    tp_train_result result;
    check_ok(tp_train(
        &(tp_train_options){
            .recipe = recipe, .sender = sender, .receiver = receiver, .task = task, .out = run, .save_every = 0},
        &result));
    tp_recipe_free(recipe);
    relay = tp_relay_load(run, sender, receiver);
    check_not_null(relay);
    return 0;
}

static inline int tiny_run_tear_down(void **state) {
    (void)state;
    tp_relay_free(relay);
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    free(run);
    check_remove_dir(dir);
    return 0;
}

static inline tp_eval tiny_run_eval(void) {
    return (tp_eval){.task = task, .relay = relay, .seed = 7, .chosen = NAN};
}

#endif
