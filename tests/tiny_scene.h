/* What the tests of methods share: a tiny pair, a task, a bridge that was trained for a moment, and a method asked
 * about the task's test rows. */
#ifndef TP_TESTS_TINY_SCENE_H
#define TP_TESTS_TINY_SCENE_H

#include "tiny_training.h"

#include "base/mem.h"
#include "eval/results.h"
#include "eval/texts.h"

#include <math.h>
#include <omp.h>

static char *dir;
static tp_lm *sender, *receiver;
static tp_task *task;
static tp_relay *relay;

static inline int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1);
    dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 120);
    sender = tiny_pair_load(dir, "sender");
    receiver = tiny_pair_load(dir, "receiver");
    task = tiny_task(dir);
    char *run = tp_path_join(dir, "run");
    tp_train_result result;
    tp_recipe *recipe = tiny_recipe("{\"optimiser\": {\"steps\": 120, \"accumulate\": 1}}");
    check_ok(tp_train(
        &(tp_train_options){.recipe = recipe, .sender = sender, .receiver = receiver, .task = task, .out = run},
        &result));
    tp_recipe_free(recipe);
    relay = tp_relay_load(run, sender, receiver);
    check_not_null(relay);
    free(run);
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    tp_relay_free(relay);
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    check_remove_dir(dir);
    return 0;
}

typedef struct scene {
    tp_eval eval;
    tp_kept kept;
} scene;

static inline void open_scene(scene *s, const tp_task *t) {
    *s = (scene){.eval = {.task = t, .relay = relay, .seed = 7, .prompt_steps = 40, .chosen = NAN}};
    s->eval.kept = &s->kept;
    s->eval.test_states = tp_state_cache_new(&relay->tap, t->test.examples, t->test.n, TP_CACHE_MEMORY, 1 << 24, NULL);
    s->eval.uncached = tp_state_cache_new(&relay->tap, t->test.examples, t->test.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(s->eval.test_states);
    check_not_null(s->eval.uncached);
}

static inline void close_scene(scene *s) {
    tp_state_cache_free(s->eval.test_states);
    tp_state_cache_free(s->eval.uncached);
    tp_kept_free(&s->kept);
}

static inline tp_method_result ask(scene *s, const tp_method *method) {
    tp_method_result result = tp_method_result_new();
    s->eval.doing = method->title;
    check_ok(method->run(&s->eval, &result));
    return result;
}

/* The shots that fit into so much room, as text; the caller frees it. */
static inline char *shots_of(scene *s, const tp_lm *lm, size_t room, int *n) {
    tp_ids ids = {0};
    check_ok(tp_shots_encode(&s->eval, lm, room, &ids, n));
    assert_true(ids.len <= room);
    assert_int_equal(ids.data[0], tp_tokenizer_bos(lm->tokenizer));
    char *text = tp_tokenizer_decode(lm->tokenizer, ids.data, ids.len, TP_TOKENS_SKIP_SPECIAL, NULL);
    tp_ids_free(&ids);
    return text;
}

#endif
