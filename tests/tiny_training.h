/* What the tests of training share beside the tiny pair: recipes by JSON text, and runs that are watched and stopped at
 * a chosen step. */
#ifndef TP_TESTS_TINY_TRAINING_H
#define TP_TESTS_TINY_TRAINING_H

#include "tiny_pair.h"

#include "base/mem.h"
#include "base/str.h"
#include "train/trainer.h"

/* A recipe of 40 steps for the tiny pair, with what the JSON text (or NULL) says otherwise. */
static inline tp_recipe *tiny_recipe(const char *changes) {
    static const char base[] =
        "{\"sender\": {\"position_dropout\": 0.2},"
        " \"bridge\": {\"soft_tokens\": 3, \"depth\": 1, \"heads\": 2, \"width\": 16, \"dropout\": 0.1},"
        " \"optimiser\": {\"steps\": 40, \"batch\": 8, \"accumulate\": 2, \"lr\": 0.003, \"warmup\": 4},"
        " \"early_stopping\": {\"every\": 10, \"patience\": 0}, \"quick_eval\": {\"every\": 15, \"examples\": 7},"
        " \"calibration\": {\"texts\": 20}, \"math\": \"f32\", \"seed\": 7}";
    json_t *recipe = json_loads(base, 0, NULL), *more = changes ? json_loads(changes, 0, NULL) : json_object();
    assert_non_null(recipe);
    if (more == NULL) fail_msg("not JSON: %s", changes ? changes : "nothing");
    json_object_update_recursive(recipe, more);
    tp_recipe *r = tp_recipe_from_json(recipe, "test");
    check_not_null(r);
    json_decref(recipe);
    json_decref(more);
    return r;
}

/* The task of tiny_pair_write_task, a fifth of train for validation. */
static inline tp_task *tiny_task(const char *dir) {
    char *train = tp_path_join(dir, "train.csv"), *test = tp_path_join(dir, "test.csv");
    tp_task *task = tp_task_load(
        &(tp_task_options){.train_file = train, .test_file = test, .valid_fraction = 0.2, .split_seed = 42});
    check_not_null(task);
    free(train);
    free(test);
    return task;
}

/* What a training works on: the tiny pair, and its task with 90 texts to train on. */
typedef struct tiny_stage {
    char *dir;
    tp_lm *sender, *receiver;
    tp_task *task;
} tiny_stage;

static inline tiny_stage tiny_stage_make(void) {
    tiny_stage s = {.dir = check_temp_dir()};
    tiny_pair_make(s.dir);
    tiny_pair_write_task(s.dir, 90);
    s.sender = tiny_pair_load(s.dir, "sender");
    s.receiver = tiny_pair_load(s.dir, "receiver");
    s.task = tiny_task(s.dir);
    return s;
}

static inline void tiny_stage_free(tiny_stage *s) {
    tp_task_free(s->task);
    tp_lm_free(s->sender);
    tp_lm_free(s->receiver);
    check_remove_dir(s->dir);
}

/* Reads the progress of work and raises `stop` once it has come to a step. */
typedef struct tiny_watcher {
    int64_t stop_at; /* 0: never */
    volatile sig_atomic_t stop;
    tp_str said;
} tiny_watcher;

static inline void tiny_watch(void *context, const char *bytes, size_t n) {
    tiny_watcher *w = context;
    tp_str_append(&w->said, bytes, n);
    long long step, total;
    if (w->stop_at > 0 && sscanf(bytes, "%*s %lld/%lld steps", &step, &total) == 2 && step >= w->stop_at) w->stop = 1;
}

static inline double tiny_clock(void) { /* runs so fast that every step is worth a line */
    static double now;
    return now += 1000;
}

static inline tp_progress *tiny_progress(tiny_watcher *w) {
    return tp_progress_new((tp_progress_sink){.write = tiny_watch, .context = w, .clock = tiny_clock});
}

/* Trains on the stage's models and a task in its folder `name`, with a recipe changed by the JSON text, up to a step
 * (0: to the end). */
static inline tp_status tiny_train(const tiny_stage *stage, const tp_task *task, const char *name, const char *changes,
                                   int64_t stop_at, tp_train_result *result) {
    char *out = tp_path_join(stage->dir, name);
    tp_recipe *recipe = tiny_recipe(changes);
    tiny_watcher watcher = {.stop_at = stop_at};
    tp_progress *progress = tiny_progress(&watcher);
    tp_status status = tp_train(&(tp_train_options){.recipe = recipe,
                                                    .sender = stage->sender,
                                                    .receiver = stage->receiver,
                                                    .task = task,
                                                    .out = out,
                                                    .save_every = 12,
                                                    .stop = &watcher.stop,
                                                    .progress = progress},
                                result);
    tp_progress_free(progress);
    tp_str_free(&watcher.said);
    tp_recipe_free(recipe);
    free(out);
    return status;
}

/* Whether two folders hold the same files with the same bytes. */
static inline bool tiny_same_folders(const char *a, const char *b) {
    char command[9000];
    snprintf(command, sizeof command, "diff -r '%s' '%s' >&2", a, b);
    return system(command) == 0;
}

/* A run that is stopped twice ends with the bytes of one that is not. */
static inline void tiny_check_resume(const tiny_stage *stage, const tp_task *task, const char *changes) {
    tp_train_result result;
    check_ok(tiny_train(stage, task, "whole", changes, 0, &result));
    assert_int_equal(tiny_train(stage, task, "stopped", changes, 11, &result), TP_ERR_CANCELLED);
    assert_int_equal(tiny_train(stage, task, "stopped", changes, 27, &result), TP_ERR_CANCELLED);
    check_ok(tiny_train(stage, task, "stopped", changes, 0, &result));
    char *a = tp_path_join(stage->dir, "whole"), *b = tp_path_join(stage->dir, "stopped");
    assert_true(tiny_same_folders(a, b));
    free(a);
    free(b);
}

#endif
