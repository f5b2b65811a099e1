/* train/subject: one bridge trained on several tasks, each with its own labels, layout and primer. Every task is drawn
 * by its weight and validated by itself; the bridge is kept once for each task, so that any of them can be evaluated
 * alone; a run that was stopped goes on bit by bit. */
#include "tiny_runs.h"

#include "base/file.h"
#include "base/json.h"
#include "bridge/relay.h"
#include "train/subject.h"
#include "train/validate.h"

#include <math.h>

/* A second task on the same texts: which of two kinds of question it is. */
static void write_second_task(void) {
    char *path = tp_path_join(stage.dir, "second.csv");
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    tp_writer_printf(w, "text,label\n");
    for (int k = 0; k < 60; k++) {
        char text[128];
        tiny_pair_text(k, text, sizeof text);
        tp_writer_printf(w, "\"%s\",%s\n", text, k % 3 == 1 ? "animal" : "number");
    }
    check_ok(tp_writer_commit(w));
    tp_free(path);
}

/* The changes to a recipe that add the second task; more of its keys, and more changes. Free with tp_free. */
static char *with_second(const char *keys, const char *more) {
    return tp_format("{\"tasks\": [{\"task\": {\"train_file\": \"%s/second.csv\", \"valid_fraction\": 0.2}%s}]%s}",
                     stage.dir, keys, more);
}

static tp_validation validate(const char *folder, const tp_task *task) {
    tp_relay *r = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(r);
    tp_state_cache *states = tp_state_cache_new(&r->tap, task->valid.examples, task->valid.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    tp_validation v;
    check_ok(tp_validate(r, states, &task->valid, (int64_t)task->valid.n, &v));
    tp_state_cache_free(states);
    tp_relay_free(r);
    return v;
}

static void one_bridge_learns_two_tasks(void **state) {
    (void)state;
    write_second_task();
    char *changes =
        with_second(", \"layout\": \"{bos}{primer}{soft}\", \"primer\": \"Kind:\", \"weight\": 0.75",
                    ", \"optimiser\": {\"steps\": 360, \"lr\": 0.006, \"batch\": 16, \"accumulate\": 1}, "
                    "\"early_stopping\": {\"every\": 60}, \"sender\": {\"layer\": 0}, \"bridge\": {\"dropout\": 0, "
                    "\"width\": 32, \"depth\": 2}");
    tp_train_result result;
    check_ok(train(in_dir("two"), changes, 0, &result));
    /* each task's folder is a bridge of its own, with what the outcome says of it */
    char *second = tp_path_join(in_dir("two"), "task-2"), *path = tp_path_join(in_dir("two"), "train.json");
    char *file = tp_path_join(stage.dir, "second.csv");
    tp_task *task = tp_task_load(&(tp_task_options){.train_file = file, .valid_fraction = 0.2, .split_seed = 42});
    check_not_null(task);
    tp_validation found[2] = {validate(in_dir("two"), stage.task), validate(second, task)};
    json_t *outcome = tp_json_load_file(path), *tasks = json_object_get(outcome, "tasks");
    assert_int_equal(json_array_size(tasks), 2);
    for (int i = 0; i < 2; i++) {
        double said_accuracy = json_real_value(json_object_get(json_array_get(tasks, (size_t)i), "accuracy"));
        assert_true(fabs(said_accuracy - found[i].accuracy) < 1e-9);
        if (!(said_accuracy > 0.75)) fail_msg("task %d: %g", i, said_accuracy);
    }
    assert_true(fabs(result.valid_accuracy - (found[0].accuracy + found[1].accuracy) / 2) < 1e-9);
    tp_relay *r[2] = {tp_relay_load(in_dir("two"), stage.sender, stage.receiver),
                      tp_relay_load(second, stage.sender, stage.receiver)};
    assert_string_equal(r[0]->recipe->layout, "{bos}{soft}{primer}");
    assert_string_equal(r[1]->recipe->layout, "{bos}{primer}{soft}");
    assert_string_equal(r[1]->recipe->primer, "Kind:");
    assert_int_equal(r[0]->n_labels, 3);
    assert_int_equal(r[1]->n_labels, 2);
    assert_int_equal(tp_recipe_n_further(r[0]->recipe), 1);
    assert_int_equal(tp_recipe_n_further(r[1]->recipe), 0);
    assert_int_equal(r[0]->bridge->params.n, r[1]->bridge->params.n);
    for (size_t i = 0; i < r[0]->bridge->params.n; i++) { /* the same numbers */
        const tp_weight *a = r[0]->bridge->params.items[i], *b = r[1]->bridge->params.items[i];
        assert_memory_equal(a->data, b->data, (size_t)(a->rows * a->cols) * sizeof(float));
    }
    for (int i = 0; i < 2; i++) tp_relay_free(r[i]);
    json_decref(outcome);
    tp_task_free(task);
    tp_free(file);
    tp_free(path);
    tp_free(second);
    tp_free(changes);
}

static void tasks_are_drawn_by_weight(void **state) {
    (void)state;
    tp_subject s[3] = {{.weight = 1}, {.weight = 2}, {.weight = 5}};
    int counts[3] = {0};
    for (int64_t i = 0; i < 8000; i++) counts[tp_subject_draw(s, 3, 7, i)]++;
    assert_in_range(counts[0], 850, 1150);
    assert_in_range(counts[1], 1800, 2200);
    assert_in_range(counts[2], 4700, 5300);
    assert_int_equal(tp_subject_draw(s, 3, 7, 5), tp_subject_draw(s, 3, 7, 5));
    assert_int_equal(tp_subject_draw(s, 1, 7, 5), 0);
}

static void several_tasks_resume_bit_by_bit(void **state) {
    (void)state;
    write_second_task();
    const int64_t stops[] = {7, 18, 33};
    char *changes =
        with_second("", ", \"losses\": [{\"name\": \"lm\"}, {\"name\": \"bow\"}, {\"name\": \"distill\"}], \"cache\": "
                        "{\"kind\": \"disk\"}, \"regime\": {\"text_steps\": 9}");
    check_resumes(changes, stops, 3);
    tp_free(changes);
}

static void what_is_wrong_with_a_further_task_is_said(void **state) {
    (void)state;
    write_second_task();
    const struct {
        const char *keys, *more, *says;
    } wrong[] = {{", \"layout\": \"{bos}{primer}\"", "", "no place {soft}"},
                 {"", ", \"bridge\": {\"kind\": \"ridge\"}", "is solved for one task; the recipe has 2"}};
    tp_train_result result;
    for (int i = 0; i < 2; i++) {
        char *changes = with_second(wrong[i].keys, wrong[i].more);
        check_error(train(in_dir("wrong"), changes, 0, &result), wrong[i].says);
        tp_free(changes);
    }
    check_error(train(in_dir("wrong"), "{\"tasks\": [{\"task\": {\"train_file\": \"/nowhere.csv\"}}]}", 0, &result),
                "/nowhere.csv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bridge_learns_two_tasks),
        cmocka_unit_test(tasks_are_drawn_by_weight),
        cmocka_unit_test(several_tasks_resume_bit_by_bit),
        cmocka_unit_test(what_is_wrong_with_a_further_task_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
