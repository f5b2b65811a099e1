/* eval/: a bridge trained on a tiny pair of models is evaluated with every method; what each must be true of is checked
 * on the rows themselves. Tables and their sentences are checked on results made up for the purpose. */
#include "tiny_pair.h"

#include "base/mem.h"
#include "base/str.h"
#include "eval/ask.h"
#include "eval/evaluate.h"
#include "eval/table.h"
#include "train/trainer.h"

#include <math.h>
#include <omp.h>

/* ---- one trained pair for all tests ---- */

static char *dir, *run_a, *run_b;
static tp_lm *sender, *receiver;
static tp_task *task;

static void train_run(const char *out, uint64_t seed) {
    char *path = tp_path_join(dir, "tiny.json");
    tp_recipe *recipe = tp_recipe_load(path);
    check_not_null(recipe);
    recipe->seed = seed;
    tp_train_result result;
    check_ok(tp_train(
        &(tp_train_options){
            .recipe = recipe, .sender = sender, .receiver = receiver, .task = task, .out = out, .save_every = 0},
        &result));
    tp_recipe_free(recipe);
    free(path);
}

static int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1); /* the models are so small that threads would only wait for each other */
    dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 180);
    tiny_pair_recipe(dir, "tiny.json", 800);
    sender = tiny_pair_load(dir, "sender");
    receiver = tiny_pair_load(dir, "receiver");
    char *train = tp_path_join(dir, "train.csv"), *test = tp_path_join(dir, "test.csv");
    task = tp_task_load(&(tp_task_options){.train_file = train, .test_file = test, .split_seed = 42});
    check_not_null(task);
    free(train);
    free(test);
    run_a = tp_path_join(dir, "a");
    run_b = tp_path_join(dir, "b");
    train_run(run_a, 7);
    train_run(run_b, 8);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    free(run_a);
    free(run_b);
    check_remove_dir(dir);
    return 0;
}

static tp_evaluate_options options_for(const char *const *runs, size_t n_runs) {
    return (tp_evaluate_options){.task = task,
                                 .sender = sender,
                                 .receiver = receiver,
                                 .runs = runs,
                                 .n_runs = n_runs,
                                 .n_timed = 2,
                                 .prompt_steps = 40};
}

static tp_results *evaluate(const char *run, const bool *wanted, bool timed) {
    tp_results *results;
    tp_evaluate_options o = options_for(&run, 1);
    o.wanted = wanted;
    if (!timed) o.n_timed = 0;
    check_ok(tp_evaluate_runs(&o, &results));
    return results;
}

static const int32_t *labels_of(const tp_results *r, const tp_method *m, tp_reading reading) {
    const tp_method_result *result = tp_results_get(r, m);
    if (result == NULL) fail_msg("%s did not run", m->name);
    return result->readings[reading].predictions.labels;
}

static double accuracy_of(const tp_results *r, const tp_method *m, tp_reading reading) {
    const int32_t *labels = labels_of(r, m, reading);
    assert_non_null(labels);
    size_t right = 0;
    for (size_t i = 0; i < r->truth.n; i++) right += labels[i] == r->truth.examples[i].label;
    return (double)right / (double)r->truth.n;
}

static bool all_equal(const int32_t *labels, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (labels[i] != labels[0]) return false;
    return true;
}

/* ---- what methods must be true of ---- */

static void every_method_answers_every_row(void **state) {
    (void)state;
    tp_results *r = evaluate(run_a, NULL, true);
    for (int m = 0; tp_methods[m]; m++) {
        const tp_method_result *result = tp_results_get(r, tp_methods[m]);
        assert_true((result == NULL) == tp_methods[m]->on_request);
        if (result == NULL) continue;
        int readings = 0;
        for (int k = 0; k < TP_N_READINGS; k++) {
            const tp_answers *a = &result->readings[k];
            if (a->predictions.labels == NULL) continue;
            readings++;
            assert_int_equal(a->predictions.n, task->test.n);
            for (size_t i = 0; i < a->predictions.n; i++)
                assert_in_range(a->predictions.labels[i] + 1, k == TP_READ_GENERATE ? 0 : 1, task->n_labels);
        }
        assert_true(readings == 1 || readings == 2);
    }
    /* the bridge learned something that neither chance nor its controls have */
    double bridge = accuracy_of(r, &tp_method_bridge, TP_READ_SCORE);
    assert_true(bridge > 0.6);
    assert_true(accuracy_of(r, &tp_method_shuffled, TP_READ_SCORE) < bridge - 0.15);
    assert_true(accuracy_of(r, &tp_method_words, TP_READ_DIRECT) > 0.9);
    /* what does not look at the text answers everything alike */
    const tp_method *blind[] = {&tp_method_majority, &tp_method_zero, &tp_method_receiver_alone};
    for (int b = 0; b < 3; b++)
        assert_true(all_equal(labels_of(r, blind[b], b == 0 ? TP_READ_DIRECT : TP_READ_SCORE), r->truth.n));
    assert_false(all_equal(labels_of(r, &tp_method_random, TP_READ_DIRECT), r->truth.n));
    /* times: the phases that exist, and only those */
    const tp_answers *a = &tp_results_get(r, &tp_method_bridge)->readings[TP_READ_SCORE];
    for (int p = 0; p < TP_N_PHASES; p++) assert_true(a->ms[p] > 0);
    a = &tp_results_get(r, &tp_method_sender)->readings[TP_READ_GENERATE];
    assert_true(a->ms[TP_PHASE_SENDER] > 0 && isnan(a->ms[TP_PHASE_BRIDGE]) && isnan(a->ms[TP_PHASE_RECEIVER]));
    assert_true(isnan(tp_results_get(r, &tp_method_zero)->readings[TP_READ_SCORE].ms[TP_PHASE_RECEIVER]));
    /* bytes: 3 soft tokens of 24 numbers of 2 bytes and a header; the mean length of the texts */
    double bytes = tp_results_get(r, &tp_method_bridge)->bytes;
    assert_true(bytes > 3 * 24 * 2 && bytes < 3 * 24 * 2 + 300);
    double length = 0;
    for (size_t i = 0; i < task->test.n; i++) length += (double)task->test.examples[i].len / (double)task->test.n;
    assert_true(fabs(tp_results_get(r, &tp_method_receiver)->bytes - length) < 1e-9);
    tp_results_free(r);
}

/* Batches give what the relay gives for one text at a time. */
static void the_bridge_row_is_the_relay(void **state) {
    (void)state;
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++) wanted[m] = tp_methods[m] == &tp_method_bridge;
    tp_results *r = evaluate(run_a, wanted, true);
    assert_null(
        tp_results_get(r, &tp_method_sender)); /* not asked for, and there was no eval.json of this subject... */
    tp_relay *relay = tp_relay_load(run_a, sender, receiver);
    check_not_null(relay);
    tp_state_cache *states = tp_state_cache_new(&relay->tap, task->test.examples, task->test.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    size_t differ = 0;
    for (int64_t i = 0; i < (int64_t)task->test.n; i++) {
        const int64_t *offsets;
        double scores[3];
        char *answer;
        tp_prompts prompts;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, &i, 1, &offsets);
        tp_var *soft = tp_relay_soft(relay, tape, hidden, offsets, 1);
        check_ok(tp_relay_prompts(relay, tape, soft, NULL, 1, &prompts));
        check_ok(tp_relay_score(relay, &prompts, scores));
        check_ok(tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &answer));
        differ += tp_best_score(scores, 3) != labels_of(r, &tp_method_bridge, TP_READ_SCORE)[i];
        differ +=
            tp_task_parse_answer(task, answer, strlen(answer)) != labels_of(r, &tp_method_bridge, TP_READ_GENERATE)[i];
        tp_free(answer);
    }
    assert_true(differ <= 1); /* soft tokens cross as f16: at most a tie may fall the other way */
    tp_tape_free(tape);
    tp_state_cache_free(states);
    tp_relay_free(relay);
    tp_results_free(r);
}

static void results_are_the_same_every_time(void **state) {
    (void)state;
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++) wanted[m] = tp_methods[m] != &tp_method_words;
    tp_results *first = evaluate(run_a, wanted, false), *second = evaluate(run_a, wanted, false);
    for (int m = 0; tp_methods[m]; m++)
        for (int k = 0; wanted[m] && k < TP_N_READINGS; k++) {
            const int32_t *x = labels_of(first, tp_methods[m], k), *y = labels_of(second, tp_methods[m], k);
            assert_int_equal(x != NULL, y != NULL);
            if (x) assert_memory_equal(x, y, first->truth.n * sizeof *x);
        }
    tp_results_free(first);
    tp_results_free(second);
}

static void an_interrupted_evaluation_says_so(void **state) {
    (void)state;
    volatile sig_atomic_t stop = 1;
    tp_results *results;
    const char *run = run_b;
    tp_evaluate_options o = options_for(&run, 1);
    o.stop = &stop;
    assert_int_equal(tp_evaluate_runs(&o, &results), TP_ERR_CANCELLED);
    assert_null(results);
}

static void an_interrupted_evaluation_goes_on(void **state) {
    (void)state;
    volatile sig_atomic_t stop = 1; /* random and majority do not look at it, the bridge does */
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++)
        wanted[m] = tp_methods[m] == &tp_method_majority || tp_methods[m] == &tp_method_bridge;
    char *copy = tp_path_join(dir, "interrupted"), command[9000];
    snprintf(command, sizeof command, "cp -r '%s' '%s' && rm -f '%s/eval.json'", run_b, copy, copy);
    assert_int_equal(system(command), 0);
    const char *run = copy;
    tp_results *results;
    tp_evaluate_options o = options_for(&run, 1);
    o.wanted = wanted;
    o.stop = &stop;
    assert_int_equal(tp_evaluate_runs(&o, &results), TP_ERR_CANCELLED);
    check_ok(tp_evaluate_load(&run, 1, &results)); /* what was found before is there */
    assert_non_null(tp_results_get(results, &tp_method_majority));
    assert_null(tp_results_get(results, &tp_method_bridge));
    tp_results_free(results);
    stop = 0;
    o.keep = true;
    check_ok(tp_evaluate_runs(&o, &results));
    assert_non_null(tp_results_get(results, &tp_method_bridge));
    tp_results_free(results);
    stop = 1; /* now nothing is left to do, and nothing is done */
    check_ok(tp_evaluate_runs(&o, &results));
    assert_non_null(tp_results_get(results, &tp_method_bridge));
    tp_results_free(results);
    o.keep = false;
    assert_int_equal(tp_evaluate_runs(&o, &results), TP_ERR_CANCELLED);
    free(copy);
}

static void unknown_methods_are_refused_with_the_list(void **state) {
    (void)state;
    assert_null(tp_method_find("magic"));
    assert_non_null(strstr(tp_last_error(), "no method `magic`"));
    for (int m = 0; tp_methods[m]; m++) {
        assert_non_null(strstr(tp_last_error(), tp_methods[m]->name));
        assert_ptr_equal(tp_method_find(tp_methods[m]->name), tp_methods[m]);
        tp_method_find("magic");
    }
}

/* ---- files ---- */

static void results_survive_their_file(void **state) {
    (void)state;
    tp_results *r = evaluate(run_a, NULL, true);
    char *path = tp_path_join(run_a, "eval.json");
    tp_results *loaded = tp_results_load(path);
    check_not_null(loaded);
    char *before = tp_eval_table((const tp_results *const *)&r, 1, NULL, TP_TABLE_PLAIN);
    char *after = tp_eval_table((const tp_results *const *)&loaded, 1, NULL, TP_TABLE_PLAIN);
    assert_string_equal(before, after);
    tp_free(before);
    tp_free(after);
    tp_results_free(loaded);
    tp_results_free(r);

    /* a later evaluation of one method keeps the others */
    bool wanted[TP_MOST_METHODS] = {true};
    r = evaluate(run_a, wanted, true);
    loaded = tp_results_load(path);
    check_not_null(loaded);
    for (int m = 0; tp_methods[m]; m++)
        assert_true((tp_results_get(loaded, tp_methods[m]) == NULL) == tp_methods[m]->on_request);
    tp_results_free(loaded);
    tp_results_free(r);
    free(path);
}

static void expect_broken(const char *path, const char *content, const char *sentence) {
    check_ok(tp_write_file(path, content, strlen(content)));
    tp_results *r = tp_results_load(path);
    if (r != NULL || strstr(tp_last_error(), sentence) == NULL)
        fail_msg("%s gave \"%s\", expected was \"%s\"", content, r ? "results" : tp_last_error(), sentence);
}

#define SUBJECT                                                                                                        \
    "{\"task\": \"t\", \"title\": \"made up\", \"synthetic\": true, \"labels\": [\"a\", \"b\"], \"test\": \"00\", "    \
    "\"overlap\": 2, \"timed\": 50, \"sender\": {\"name\": \"models/wren\", \"layers\": 6}, \"receiver\": {\"name\": " \
    "\"models/finch/\", \"layers\": 5}, \"layer\": 3, \"soft_tokens\": 8, \"seed\": 42, \"recipe\": {\"seed\": 42}}"

static void broken_results_are_refused(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "broken.json");
    expect_broken(path, "[]", "an object was expected");
    expect_broken(path, "{\"methods\": {}}", "`subject` is missing");
    expect_broken(path, "{\"subject\": {\"task\": 3}}", "`title` is missing");
    expect_broken(path, "{\"subject\": " SUBJECT ", \"truth\": [0, 2], \"rows\": [0, 1]}", "`truth` and `rows`");
    expect_broken(path, "{\"subject\": " SUBJECT ", \"truth\": [0, 1], \"rows\": [0]}", "`truth` and `rows`");
    expect_broken(path,
                  "{\"subject\": " SUBJECT ", \"truth\": [0, 1], \"rows\": [0, 1], \"methods\": {\"bridge\": "
                  "{\"readings\": {\"score\": {\"predictions\": [0]}}}}}",
                  "`methods.bridge.readings.score.predictions`");
    free(path);
}

/* ---- tables of made-up results ---- */

static void add_answers(tp_str *s, const char *method, const char *reading, size_t n, size_t right, double ms) {
    tp_str_appendf(s, "%s\"%s\": {\"bytes\": 100, \"readings\": {\"%s\": {\"receiver_ms\": ",
                   s->data[s->len - 1] == '{' ? "" : ",", method, reading);
    if (ms > 0)
        tp_str_appendf(s, "%g", ms);
    else
        tp_str_append_text(s, "null");
    tp_str_append_text(s, ", \"predictions\": [");
    for (size_t i = 0; i < n; i++)
        tp_str_appendf(s, "%s%d", i ? "," : "", i < right ? (int)(i % 2) : i % 10 == 0 ? -1 : 1 - (int)(i % 2));
    tp_str_append_text(s, "]}}}");
}

/* Results with n rows whose labels are 0, 1, 0, 1, ..., of which methods get the given numbers right. */
static tp_results *made_up(size_t n, size_t bridge, size_t words, size_t shuffled, double bridge_ms, uint64_t seed) {
    tp_str s = {0};
    tp_str_append_text(&s, "{\"run\": \"r\", \"subject\": " SUBJECT ", \"truth\": [");
    char *at = strstr(s.data, "\"seed\": 42");
    memcpy(at, seed == 42 ? "\"seed\": 42" : "\"seed\": 43", 10);
    for (size_t i = 0; i < n; i++) tp_str_appendf(&s, "%s%zu", i ? "," : "", i % 2);
    tp_str_append_text(&s, "], \"rows\": [");
    for (size_t i = 0; i < n; i++) tp_str_appendf(&s, "%s%zu", i ? "," : "", i);
    tp_str_append_text(&s, "], \"methods\": {");
    add_answers(&s, "majority", "direct", n, n / 4, 0);
    add_answers(&s, "words", "direct", n, words, 0);
    add_answers(&s, "receiver", "score", n, n / 2, 10);
    add_answers(&s, "bridge", "score", n, bridge, bridge_ms);
    add_answers(&s, "shuffled", "score", n, shuffled, 0);
    tp_str_append_text(&s, "}}");
    char *path = tp_path_join(dir, "made-up.json");
    check_ok(tp_write_file(path, s.data, s.len));
    tp_results *r = tp_results_load(path);
    check_not_null(r);
    tp_str_free(&s);
    free(path);
    return r;
}

static void expect_in_table(const tp_results *const *runs, size_t n, const char *sentence) {
    char *table = tp_eval_table(runs, n, NULL, TP_TABLE_PLAIN);
    if (strstr(table, sentence) == NULL) fail_msg("`%s` does not stand in\n%s", sentence, table);
    tp_free(table);
}

static void sentences_tell_how_the_bridge_did(void **state) {
    (void)state;
    tp_results *r = made_up(200, 180, 120, 60, 5, 42);
    const tp_results *const *runs = (const tp_results *const *)&r;
    expect_in_table(runs, 1, "t: made up\nSYNTHETIC data");
    expect_in_table(runs, 1,
                    "200 test rows, 2 labels; sender wren, layer 3 of 6; receiver finch; 8 soft tokens; seed 42");
    expect_in_table(runs, 1, "The bridge (90.0 %) beats the words alone (60.0 %), +30.0 points, McNemar p = ");
    expect_in_table(runs, 1, "shuffled source: 30.0 %, not told apart from the same answers given blindly (46.5 %)");
    expect_in_table(runs, 1, "the bridge is 2.0x faster; 100 bytes against 100");
    expect_in_table(runs, 1, "2 test texts also stand in train");
    tp_results_free(r);

    r = made_up(200, 120, 180, 150, 20, 42);
    expect_in_table(runs, 1, "The bridge (60.0 %) loses to the words alone (90.0 %), -30.0 points");
    expect_in_table(runs, 1, "shuffled source: 75.0 %, ABOVE the same answers given blindly (48.8 %)");
    expect_in_table(runs, 1, "the bridge is 2.0x SLOWER");
    tp_results_free(r);

    r = made_up(200, 122, 120, 50, 20, 42); /* two discordant pairs tell nothing */
    expect_in_table(runs, 1, "is not told apart from the words alone (60.0 %), +1.0 points, McNemar p = 0.5 after");
    tp_results_free(r);
}

static void several_runs_make_one_table(void **state) {
    (void)state;
    tp_results *two[] = {made_up(200, 180, 120, 50, 5, 42), made_up(200, 170, 120, 50, 7, 43)};
    const tp_results *const *runs = (const tp_results *const *)two;
    assert_true(tp_results_comparable(two[0], two[1]));
    tp_summary s = tp_summary_of(runs, 2, NULL);
    const tp_row_summary *bridge = tp_summary_find(&s, &tp_method_bridge, TP_READ_SCORE);
    assert_true(fabs(bridge->mean - 0.875) < 1e-12);
    assert_true(fabs(bridge->std - 0.05 / sqrt(2)) < 1e-12);
    assert_true(fabs(bridge->ms[TP_PHASE_RECEIVER] - 6) < 1e-12);
    assert_true(isnan(bridge->p));
    assert_null(tp_summary_find(&s, &tp_method_bridge, TP_READ_GENERATE));
    tp_summary_free(&s);
    expect_in_table(runs, 2, "seeds 42, 43");
    expect_in_table(runs, 2, "90.0 85.0");
    expect_in_table(runs, 2, "run by run");
    json_t *value = tp_eval_json(runs, 2, NULL, false);
    assert_int_equal(json_array_size(json_object_get(value, "runs")), 2);
    assert_int_equal(json_array_size(json_object_get(value, "rows")), 5);
    json_decref(value);
    tp_results_free(two[0]);
    tp_results_free(two[1]);
}

static void real_runs_of_two_seeds_share_what_does_not_depend_on_them(void **state) {
    (void)state;
    const char *runs[] = {run_a, run_b};
    tp_results *results[2];
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++)
        wanted[m] = tp_methods[m] == &tp_method_random || tp_methods[m] == &tp_method_receiver ||
                    tp_methods[m] == &tp_method_bridge;
    tp_evaluate_options o = options_for(runs, 2);
    o.wanted = wanted;
    check_ok(tp_evaluate_runs(&o, results));
    size_t bytes = task->test.n * sizeof(int32_t);
    assert_memory_equal(labels_of(results[0], &tp_method_receiver, TP_READ_SCORE),
                        labels_of(results[1], &tp_method_receiver, TP_READ_SCORE), bytes);
    assert_memory_not_equal(labels_of(results[0], &tp_method_random, TP_READ_DIRECT),
                            labels_of(results[1], &tp_method_random, TP_READ_DIRECT), bytes);
    tp_results *loaded[2];
    check_ok(tp_evaluate_load(runs, 2, loaded));
    for (int k = 0; k < 2; k++) {
        assert_int_equal(loaded[k]->seed, 7 + k);
        tp_results_free(loaded[k]);
        tp_results_free(results[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bridge_row_is_the_relay), /* before anything wrote an eval.json */
        cmocka_unit_test(every_method_answers_every_row),
        cmocka_unit_test(results_are_the_same_every_time),
        cmocka_unit_test(an_interrupted_evaluation_says_so),
        cmocka_unit_test(an_interrupted_evaluation_goes_on),
        cmocka_unit_test(unknown_methods_are_refused_with_the_list),
        cmocka_unit_test(results_survive_their_file),
        cmocka_unit_test(broken_results_are_refused),
        cmocka_unit_test(sentences_tell_how_the_bridge_did),
        cmocka_unit_test(several_runs_make_one_table),
        cmocka_unit_test(real_runs_of_two_seeds_share_what_does_not_depend_on_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
