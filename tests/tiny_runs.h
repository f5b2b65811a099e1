/* What the tests of training runs share: a stage with the tiny pair, the folders of runs on it, and runs that are
 * stopped at a chosen step. */
#ifndef TP_TESTS_TINY_RUNS_H
#define TP_TESTS_TINY_RUNS_H

#include "tiny_stage.h"

static inline const char *in_dir(const char *name) {
    static char path[4][4096];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", stage.dir, name);
    return path[next];
}

static char said[1 << 16]; /* what the last run said */

/* Trains in the folder, with a recipe changed by the JSON text, up to a step (0: to the end). */
static inline tp_status train_on(const tp_task *t, const tp_lm *s, const tp_lm *r, const char *out, const char *changes,
                                 int64_t stop_at, tp_train_result *result) {
    tp_recipe *recipe = tiny_recipe(changes);
    tiny_watcher watcher = {.stop_at = stop_at};
    tp_progress *progress = tiny_progress(&watcher);
    tp_status status = tp_train(&(tp_train_options){.recipe = recipe,
                                                    .sender = s,
                                                    .receiver = r,
                                                    .task = t,
                                                    .out = out,
                                                    .save_every = 12,
                                                    .stop = &watcher.stop,
                                                    .progress = progress},
                                result);
    tp_progress_free(progress);
    snprintf(said, sizeof said, "%s", watcher.said.data ? watcher.said.data : "");
    tp_str_free(&watcher.said);
    tp_recipe_free(recipe);
    return status;
}

static inline tp_status train(const char *out, const char *changes, int64_t stop_at, tp_train_result *result) {
    return train_on(stage.task, stage.sender, stage.receiver, out, changes, stop_at, result);
}

static inline void check_train(const char *out, const char *changes) {
    tp_train_result result;
    check_ok(train(out, changes, 0, &result));
}

static inline void check_stop(const char *out, const char *changes, int64_t step) {
    tp_train_result result;
    assert_int_equal(train(out, changes, step, &result), TP_ERR_CANCELLED);
    char words[64];
    snprintf(words, sizeof words, "stopped at step %lld;", (long long)step);
    assert_non_null(strstr(tp_last_error(), words));
}

static inline void shell(const char *format, ...) {
    char command[9000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static inline void check_error(tp_status status, const char *words) {
    assert_int_not_equal(status, TP_OK);
    if (strstr(tp_last_error(), words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), words);
}

/* A run that is stopped at some steps, each time gone on with, ends with the bytes of one that is not. */
static inline void check_resumes(const char *changes, const int64_t *stops, int n) {
    check_train(in_dir("unbroken"), changes);
    for (int i = 0; i < n; i++) check_stop(in_dir("stopped"), changes, stops[i]);
    check_train(in_dir("stopped"), changes);
    assert_true(tiny_same_folders(in_dir("unbroken"), in_dir("stopped")));
    shell("rm -r '%s' '%s'", in_dir("unbroken"), in_dir("stopped"));
}

#endif
