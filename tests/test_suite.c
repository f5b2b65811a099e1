/* Suites: what a file is laid out to, what stays the same however a suite is run, and what its workers do when they
 * fail. All on the tiny pair of models. */
#include "tiny_pair.h"

#include "base/crowd.h"
#include "base/mem.h"
#include "base/str.h"
#include "eval/suite.h"
#include "eval/workers.h"

#include <math.h>
#include <omp.h>

static char *dir;

static int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1); /* a process with threads cannot be forked */
    dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "tiny.json", 30);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

/* ---- the file ---- */

/* A suite of the JSON text with ' for ". NULL on error. */
static tp_suite *suite_of(const char *text, const tp_suite_changes *changes) {
    char *json = tp_strdup(text), *path = tp_path_join(dir, "suite.json");
    for (char *c = json; *c; c++)
        if (*c == '\'') *c = '"';
    json_t *value = tp_json_load_bytes(json, strlen(json), "test");
    check_not_null(value);
    tp_suite *suite = tp_suite_from_json(value, path, changes);
    json_decref(value);
    tp_free(json);
    free(path);
    return suite;
}

static void expect_refused(const char *text, const char *sentence) {
    tp_suite *suite = suite_of(text, NULL);
    if (suite != NULL || strstr(tp_last_error(), sentence) == NULL)
        fail_msg("%s gave \"%s\", expected was \"%s\"", text, suite ? "a suite" : tp_last_error(), sentence);
}

static void mistakes_are_named(void **state) {
    (void)state;
    expect_refused("{}", "`recipes` is missing");
    expect_refused("{'recipes': ['tiny.json'], 'sedes': [1]}", "`sedes` is not a known key");
    expect_refused("{'recipes': []}", "`recipes` is empty");
    expect_refused("{'recipes': ['nowhere.json']}", "nowhere.json");
    expect_refused("{'recipes': [{'task': {'name': 'demo'}}]}", "without a `name`, at place 1");
    expect_refused("{'recipes': ['tiny.json'], 'overrides': {'optimiser': {'stepps': 1}}}",
                   "`optimiser.stepps` is not a known key");
    expect_refused("{'recipes': ['tiny.json'], 'soft_tokens': [4, 0]}", "`soft_tokens` holds a value");
    expect_refused("{'recipes': ['tiny.json'], 'soft_tokens': []}", "`soft_tokens` is empty");
    expect_refused("{'recipes': ['tiny.json'], 'layers': [1, 'two']}", "`layers` holds a value that is not a layer");
    expect_refused("{'recipes': ['tiny.json'], 'directions': ['sideways']}", "\"forward\" and \"reverse\"");
    expect_refused("{'recipes': ['tiny.json'], 'methods': ['bridge', 'magic']}", "there is no method `magic`");
    expect_refused("{'recipes': ['tiny.json'], 'evaluation': {'timid': 5}}", "`evaluation.timid` is not a known key");
    expect_refused("{'recipes': ['tiny.json'], 'variants': [{'recipe': {}}]}", "`variants[0].name` is missing");
    expect_refused("{'recipes': ['tiny.json'], 'variants': [{'name': 'a', 'recipe': {'laiout': 'x'}}]}",
                   "`laiout` is not a known key");
    expect_refused("{'recipes': ['tiny.json', 'tiny.json']}", "two places of the grid are called tiny-7");
    expect_refused("{'recipes': [{'name': 'a/b'}]}", "is no name for a folder");
    expect_refused("{'recipes': [{'name': 'bare'}], 'directions': ['reverse']}", "swaps two models");
}

static void the_grid_is_laid_out_in_order(void **state) {
    (void)state;
    tp_suite *s =
        suite_of("{'name': 'grid', 'recipes': ['tiny.json', {'name': 'other', 'task': {'name': 'demo'}, "
                 "'models': {'sender': 'a', 'receiver': 'b'}}], 'overrides': {'bridge': {'depth': 2}}, "
                 "'variants': [{'name': 'plain'}, {'name': 'tanh', 'recipe': {'bridge': {'scale': 'tanh'}}}], "
                 "'directions': ['forward', 'reverse'], 'layers': [0.5, 2], 'soft_tokens': [2, 4], "
                 "'train_sizes': [50, 60, 70], 'seeds': [1, 2, 3], 'methods': ['bridge', 'words']}",
                 NULL);
    check_not_null(s);
    assert_string_equal(s->name, "grid");
    assert_int_equal(s->n, 2 * 2 * 2 * 2 * 2 * 3 * 3);
    assert_string_equal(s->cells[0].name, "tiny-plain-l0.5-m2-n50-1");
    assert_string_equal(s->cells[2].name, "tiny-plain-l0.5-m2-n50-3");
    assert_string_equal(s->cells[3].name, "tiny-plain-l0.5-m2-n60-1");
    assert_string_equal(s->cells[s->n - 1].name, "other-tanh-reverse-l2-m4-n70-3");
    const tp_suite_cell *last = &s->cells[s->n - 1];
    tp_recipe *r = tp_recipe_from_json(last->recipe, "last");
    check_not_null(r);
    assert_int_equal(r->bridge.depth, 2);
    assert_int_equal(r->bridge.scale, TP_SCALE_TANH);
    assert_int_equal(r->bridge.soft_tokens, 4);
    assert_int_equal(r->sender.layer, 2);
    assert_int_equal(r->task.max_train, 70);
    assert_int_equal(r->seed, 3);
    assert_string_equal(r->models.sender, "b");
    assert_string_equal(r->models.receiver, "a");
    tp_recipe_free(r);
    assert_string_equal(json_string_value(json_object_get(last->where, "direction")), "reverse");
    assert_int_equal(json_integer_value(json_object_get(last->where, "train_size")), 70);
    /* seeds follow the first of theirs, groups the first of their task (which its size is part of) */
    assert_int_equal(last->leader, s->n - 3);
    assert_int_equal(s->cells[4].leader, 3);
    assert_int_equal(s->cells[9 + 4].donor, 3);
    int n_wanted = 0;
    for (int m = 0; tp_methods[m]; m++) n_wanted += s->wanted[m];
    assert_int_equal(n_wanted, 2);
    tp_suite_free(s);

    s = suite_of("{'recipes': ['tiny.json', {'file': 'tiny.json', 'name': 'small', 'task': {'max_test': 9}}]}",
                 &(tp_suite_changes){.sender = "x", .data = "y"});
    check_not_null(s);
    assert_int_equal(s->n, 2);
    assert_string_equal(s->name, "suite");
    assert_string_equal(s->cells[1].name, "small-7");
    json_t *task = json_object_get(s->cells[1].recipe, "task");
    assert_int_equal(json_integer_value(json_object_get(task, "max_test")), 9);
    assert_non_null(json_object_get(task, "train_file"));
    assert_string_equal(s->cells[0].name, "tiny-7");
    json_t *models = json_object_get(s->cells[0].recipe, "models");
    assert_string_equal(json_string_value(json_object_get(models, "sender")), "x");
    tp_suite_free(s);
}

/* ---- running ---- */

/* Every method there is. */
#define TINY                                                                                                           \
    "{'name': 'tiny', 'recipes': ['tiny.json'], 'soft_tokens': [2, 3], 'seeds': [7, 8], "                              \
    "'evaluation': {'timed': 0, 'prompt_steps': 8}"

typedef struct {
    tp_suite *suite;
    tp_suite_plan *plan;
} planned;

static planned plan(const char *text, const char *out) {
    planned p = {.suite = suite_of(text, NULL)};
    check_not_null(p.suite);
    p.plan = tp_suite_plan_new(p.suite, out);
    check_not_null(p.plan);
    return p;
}

static void forget(planned *p) {
    tp_suite_plan_free(p->plan);
    tp_suite_free(p->suite);
}

static int count(const planned *p, tp_place_state state) {
    int n = 0;
    for (size_t i = 0; i < p->suite->n; i++) n += tp_suite_plan_place(p->plan, i)->state == state;
    return n;
}

static void run(const char *text, const char *out, int jobs) {
    planned p = plan(text, out);
    check_ok(tp_suite_run(p.suite, p.plan, &(tp_suite_options){.out = out, .threads = jobs, .jobs = jobs}));
    assert_int_equal(count(&p, TP_PLACE_DONE), p.suite->n);
    forget(&p);
}

/* "name outcome" of every run, in the suite's order; the caller frees it. */
static char *outcomes(const char *out, const char *suite) {
    tp_registry *r = tp_registry_open_in(out, false);
    check_not_null(r);
    tp_run_list list;
    tp_str text = {0};
    check_ok(tp_registry_list(r, &(tp_run_filter){.suite = suite, .seed = -1}, &list));
    for (size_t i = 0; i < list.n; i++)
        tp_str_appendf(&text, "%s %s\n", list.runs[i].name, list.runs[i].outcome ? list.runs[i].outcome : "failed");
    tp_run_list_free(&list);
    tp_registry_close(r);
    return tp_str_take(&text);
}

static char *first, *weights; /* the folder of the first suite; the path of its third run's weights */

static void a_suite_runs_to_its_end_and_is_then_done(void **state) {
    (void)state;
    first = tp_path_join(dir, "first");
    planned p = plan(TINY "}", first);
    assert_int_equal(count(&p, TP_PLACE_NEW), 4);
    assert_true(isnan(tp_suite_plan_place(p.plan, 0)->train_seconds)); /* nobody knows yet */
    weights = tp_format("%s/%s/adapter_model.safetensors", first, tp_suite_plan_place(p.plan, 2)->folder);
    forget(&p);
    assert_false(tp_path_exists(first)); /* a plan changes nothing */
    run(TINY "}", first, 2);
    p = plan(TINY "}", first);
    assert_int_equal(count(&p, TP_PLACE_DONE), 4);
    assert_true(tp_suite_plan_place(p.plan, 0)->train_seconds == 0);
    forget(&p);
    /* with a document more, the same runs are evaluated further */
    p = plan(TINY ", 'documents': ['inspect']}", first);
    assert_int_equal(count(&p, TP_PLACE_TRAINED), 4);
    forget(&p);
}

/* The registry's results of the n-th run of the suite. */
static tp_results *results_of(const char *out, size_t n) {
    planned p = plan(TINY "}", out);
    tp_registry *r = tp_registry_open_in(out, false);
    check_not_null(r);
    tp_results *results = tp_registry_results(r, tp_suite_plan_place(p.plan, n)->key);
    check_not_null(results);
    tp_registry_close(r);
    forget(&p);
    return results;
}

static void settings_and_answers_are_shared_where_they_may_be(void **state) {
    (void)state;
    tp_results *runs[4];
    for (size_t i = 0; i < 4; i++) runs[i] = results_of(first, i);
    size_t bytes = runs[0]->truth.n * sizeof(int32_t);
    for (size_t i = 0; i < 4; i++)
        for (int m = 0; tp_methods[m]; m++) assert_int_equal(runs[i]->present[m], runs[0]->present[m]);
    double rate = tp_results_get(runs[0], &tp_method_prompt_tuning)->chosen;
    assert_true(isfinite(rate));
    assert_true(tp_results_get(runs[1], &tp_method_prompt_tuning)->chosen == rate);
    for (size_t i = 1; i < 4; i++)
        assert_memory_equal(tp_results_get(runs[0], &tp_method_words)->readings[TP_READ_DIRECT].predictions.labels,
                            tp_results_get(runs[i], &tp_method_words)->readings[TP_READ_DIRECT].predictions.labels,
                            bytes);
    assert_memory_not_equal(tp_results_get(runs[0], &tp_method_random)->readings[TP_READ_DIRECT].predictions.labels,
                            tp_results_get(runs[1], &tp_method_random)->readings[TP_READ_DIRECT].predictions.labels,
                            bytes);
    assert_int_equal(runs[0]->soft_tokens, 2);
    assert_int_equal(runs[3]->soft_tokens, 3);
    for (size_t i = 0; i < 4; i++) tp_results_free(runs[i]);
}

static void what_comes_out_does_not_depend_on_the_number_of_jobs(void **state) {
    (void)state;
    char *second = tp_path_join(dir, "second");
    run(TINY "}", second, 1);
    char *a = outcomes(first, "tiny"), *b = outcomes(second, "tiny");
    assert_string_equal(a, b);
    tp_free(a);
    tp_free(b);
    free(second);
}

static void a_deleted_run_comes_back_bit_for_bit(void **state) {
    (void)state;
    char *before = outcomes(first, "tiny"), *bytes, *again, command[4400];
    size_t n, m;
    check_ok(tp_read_file(weights, 0, &bytes, &n));
    for (int which = 0; which < 3; which++) { /* from the registry, from the disk, from both: the leader of its group */
        planned p = plan(TINY "}", first);
        const tp_suite_place *place = tp_suite_plan_place(p.plan, 2);
        if (which != 1) {
            tp_registry *r = tp_registry_open_in(first, false);
            check_ok(tp_registry_delete(r, place->key));
            tp_registry_close(r);
        }
        if (which != 0) {
            snprintf(command, sizeof command, "rm -r '%s/%s'", first, place->folder);
            assert_int_equal(system(command), 0);
        }
        forget(&p);
        p = plan(TINY "}", first);
        assert_int_equal(count(&p, TP_PLACE_DONE), 3);
        assert_int_equal(count(&p, which == 0 ? TP_PLACE_TRAINED : TP_PLACE_NEW), 1);
        forget(&p);
        run(TINY "}", first, 2);
        char *after = outcomes(first, "tiny");
        assert_string_equal(before, after);
        tp_free(after);
        check_ok(tp_read_file(weights, 0, &again, &m));
        assert_int_equal(n, m);
        assert_memory_equal(bytes, again, n);
        tp_free(again);
    }
    tp_free(bytes);
    tp_free(before);
}

static void the_registry_can_be_made_anew_from_the_folders(void **state) {
    (void)state;
    char *before = outcomes(first, "tiny"), *path = tp_path_join(first, "runs.db");
    assert_int_equal(unlink(path), 0);
    planned p = plan(TINY "}", first);
    assert_int_equal(count(&p, TP_PLACE_TRAINED), 4); /* nothing is trained again */
    forget(&p);
    run(TINY "}", first, 2);
    char *after = outcomes(first, "tiny");
    assert_string_equal(before, after);
    tp_free(before);
    tp_free(after);
    free(path);
}

static void a_run_that_another_suite_made_is_taken_as_it_is(void **state) {
    (void)state;
    static const char text[] = "{'name': 'sub', 'recipes': [{'file': 'tiny.json', 'name': 'other'}], 'soft_tokens': "
                               "[3], 'seeds': [8], 'methods': ['bridge'], 'evaluation': {'timed': 0, 'prompt_steps': "
                               "%d}}";
    for (int enough = 0; enough < 2; enough++) {
        char *suite = tp_format(text, enough ? 8 : 9);
        planned p = plan(suite, first);
        assert_int_equal(tp_suite_plan_place(p.plan, 0)->state, enough ? TP_PLACE_DONE : TP_PLACE_TRAINED);
        assert_non_null(strstr(tp_suite_plan_place(p.plan, 0)->folder, "runs/tiny-m3-8-"));
        forget(&p);
        tp_free(suite);
    }
}

static void a_run_that_fails_takes_its_followers_only(void **state) {
    (void)state;
    char *out = tp_path_join(dir, "failing");
    planned p = plan("{'name': 'failing', 'recipes': ['tiny.json'], 'seeds': [7, 8], 'methods': ['majority'], "
                     "'variants': [{'name': 'bad', 'recipe': {'layout': '{bos}{primer}'}}, {'name': 'good'}]}",
                     out);
    tp_status status = tp_suite_run(p.suite, p.plan, &(tp_suite_options){.out = out, .threads = 2, .jobs = 2});
    assert_int_equal(status, TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "2 of 4 runs failed; the first: tiny-bad-"));
    assert_non_null(strstr(tp_last_error(), "has no place {soft}"));
    assert_int_equal(count(&p, TP_PLACE_FAILED), 2);
    assert_int_equal(count(&p, TP_PLACE_DONE), 2);
    forget(&p);
    char *text = outcomes(out, "failing");
    assert_non_null(strstr(text, "tiny-bad-7 failed\n"));
    tp_free(text);
    free(out);
}

static void an_interrupted_suite_goes_on(void **state) {
    (void)state;
    static const char text[] = "{'name': 'stopped', 'recipes': ['tiny.json'], 'seeds': [7, 8], 'methods': ['majority', "
                               "'bridge'], 'evaluation': {'timed': 0}}";
    char *out = tp_path_join(dir, "stopped");
    volatile sig_atomic_t stop = 1;
    planned p = plan(text, out);
    tp_suite_options options = {.out = out, .threads = 2, .jobs = 2, .stop = &stop};
    assert_int_equal(tp_suite_run(p.suite, p.plan, &options), TP_ERR_CANCELLED);
    assert_non_null(strstr(tp_last_error(), "stopped with 0 of 2 runs done; the same command goes on from there"));
    assert_int_equal(count(&p, TP_PLACE_FAILED), 0);
    forget(&p);
    /* nobody else may work in its folder meanwhile */
    p = plan(text, out);
    int lock = tp_lock_folder(out, "a test");
    assert_true(lock >= 0);
    stop = 0;
    assert_int_equal(tp_suite_run(p.suite, p.plan, &options), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "is in use: a suite is running there"));
    close(lock);
    check_ok(tp_suite_run(p.suite, p.plan, &options));
    assert_int_equal(count(&p, TP_PLACE_DONE), 2);
    forget(&p);
    free(out);
}

static void a_run_that_needs_too_much_memory_fails(void **state) {
    (void)state;
    char *out = tp_path_join(dir, "large");
    planned p = plan("{'recipes': ['tiny.json'], 'overrides': {'optimiser': {'steps': 1000000}}, 'methods': "
                     "['majority']}",
                     out);
    tp_status status =
        tp_suite_run(p.suite, p.plan, &(tp_suite_options){.out = out, .threads = 1, .jobs = 1, .max_memory = 1 << 16});
    assert_int_equal(status, TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "GiB of memory, more than the 0.00 GiB that are allowed"));
    forget(&p);
    free(out);
}

static json_t *give_any(tp_eval *eval, const tp_results *results, json_t *settings) {
    return json_pack("{s:s, s:i, s:I, s:O}", "task", eval->task->name, "sender", eval->relay->sender->config.d_model,
                     "rows", (json_int_t)results->truth.n, "settings", settings);
}

static void steps_make_documents(void **state) {
    (void)state;
    char *out = tp_path_join(dir, "documents");
    static const char text[] = "{'name': 'documents', 'recipes': ['tiny.json'], 'methods': ['majority'], "
                               "'documents': ['inspect'], 'inspect': {'n': 5}}";
    planned p = plan(text, out);
    tp_suite_options options = {.out = out, .threads = 1, .jobs = 1};
    assert_int_equal(tp_suite_run(p.suite, p.plan, &options), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "there is no document `inspect`"));
    options.steps = (const tp_suite_step[]){{"inspect", give_any, NULL}, {0}};
    check_ok(tp_suite_run(p.suite, p.plan, &options));
    tp_registry *r = tp_registry_open_in(out, false);
    check_not_null(r);
    char *bytes;
    size_t n;
    check_ok(tp_registry_document(r, tp_suite_plan_place(p.plan, 0)->key, "inspect", &bytes, &n));
    assert_non_null(bytes);
    assert_non_null(strstr(bytes, "\"sender\": 32"));
    assert_non_null(strstr(bytes, "\"n\": 5"));
    tp_free(bytes);
    check_ok(tp_registry_document(r, tp_suite_plan_place(p.plan, 0)->key, "log", &bytes, &n));
    assert_non_null(bytes);
    assert_non_null(strstr(bytes, "valid_accuracy"));
    tp_free(bytes);
    tp_registry_close(r);
    forget(&p);
    free(out);
}

/* ---- workers ---- */

static tp_status crash(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    (void)context, (void)progress, (void)stop;
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
    return TP_OK;
}

static tp_status complain(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    (void)stop;
    tp_progress_say(progress, "a line\nand another");
    return tp_fail(TP_ERR_UNSUPPORTED, "%s cannot be done", (const char *)context);
}

static tp_status until_stopped(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    (void)context;
    tp_progress_say(progress, "ready");
    while (!*stop) pause();
    return omp_get_max_threads() == 3 ? tp_fail(TP_ERR_CANCELLED, "stopped") : TP_OK;
}

static void note(void *context, const tp_worker *worker, const char *line) {
    (void)worker;
    tp_str_appendf(context, "%s|", line);
}

static void workers_say_how_they_ended(void **state) {
    (void)state;
    tp_worker w[3] = {{0}};
    tp_str said = {0};
    check_ok(tp_worker_start(&w[0], crash, NULL, 1));
    while (tp_workers_wait(w, 3, 1000, note, &said) != 0) continue;
    assert_int_equal(w[0].status, TP_ERR_IO);
    assert_non_null(strstr(w[0].sentence, "ended by signal 15"));
    check_ok(tp_worker_start(&w[1], complain, "this", 1));
    while (tp_workers_wait(w, 3, 1000, note, &said) != 1) continue;
    assert_int_equal(w[1].status, TP_ERR_UNSUPPORTED);
    assert_string_equal(w[1].sentence, "this cannot be done");
    assert_string_equal(said.data, "a line and another|");
    check_ok(tp_worker_start(&w[2], until_stopped, NULL, 3));
    while (strstr(said.data, "ready|") == NULL) tp_workers_wait(w, 3, 1000, note, &said);
    assert_true(tp_worker_bytes(&w[2]) > 0);
    tp_worker_stop(&w[2]);
    while (tp_workers_wait(w, 3, 1000, note, &said) != 2) tp_worker_stop(&w[2]); /* it may just have looked */
    assert_int_equal(w[2].status, TP_ERR_CANCELLED);
    tp_str_free(&said);
}

static tp_status count_threads(void *context, tp_progress *progress, const volatile sig_atomic_t *stop) {
    (void)context, (void)stop;
    tp_crowd_adapt(false); /* as a step does that wants all threads there are */
    tp_progress_say(progress, "%d threads", omp_get_max_threads());
    return TP_OK;
}

/* A program that watches how crowded the machine is has more threads than its workers are given. */
static void a_worker_keeps_to_its_threads(void **state) {
    (void)state;
    tp_worker w = {0};
    tp_str said = {0};
    int before = omp_get_max_threads();
    omp_set_num_threads(4);
    tp_crowd_watch(true);
    check_ok(tp_worker_start(&w, count_threads, NULL, 1));
    while (tp_workers_wait(&w, 1, 1000, note, &said) != 0) continue;
    assert_string_equal(said.data, "1 threads|");
    tp_crowd_watch(false);
    omp_set_num_threads(before);
    tp_str_free(&said);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(the_grid_is_laid_out_in_order),
        cmocka_unit_test(workers_say_how_they_ended),
        cmocka_unit_test(a_worker_keeps_to_its_threads),
        cmocka_unit_test(a_suite_runs_to_its_end_and_is_then_done),
        cmocka_unit_test(settings_and_answers_are_shared_where_they_may_be),
        cmocka_unit_test(what_comes_out_does_not_depend_on_the_number_of_jobs),
        cmocka_unit_test(a_deleted_run_comes_back_bit_for_bit),
        cmocka_unit_test(the_registry_can_be_made_anew_from_the_folders),
        cmocka_unit_test(a_run_that_another_suite_made_is_taken_as_it_is),
        cmocka_unit_test(a_run_that_fails_takes_its_followers_only),
        cmocka_unit_test(an_interrupted_suite_goes_on),
        cmocka_unit_test(a_run_that_needs_too_much_memory_fails),
        cmocka_unit_test(steps_make_documents),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    free(first);
    free(weights);
    return failed;
}
