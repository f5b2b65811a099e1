/* The registry of runs: what goes in comes out again, whole, whoever is killed; and files that are none are refused. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "eval/registry.h"
#include "eval/table.h"

#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

static char *dir, *path;

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    path = tp_path_join(dir, "runs.db");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(path);
    check_remove_dir(dir);
    return 0;
}

#define KEY   "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

/* Results of `n` rows with labels 0, 1, 0, 1, ...; the bridge says the label of every row but `wrong`. */
static tp_results *made_up(const char *task, uint64_t seed, size_t n, size_t wrong, double ms) {
    tp_str truth = {0}, rows = {0}, said = {0};
    for (size_t i = 0; i < n; i++) {
        tp_str_appendf(&truth, "%s%zu", i ? "," : "", i % 2);
        tp_str_appendf(&rows, "%s%zu", i ? "," : "", 3 * i);
        tp_str_appendf(&said, "%s%d", i ? "," : "", i == wrong ? -1 : (int)(i % 2));
    }
    char *text = tp_format(
        "{\"run\": \"runs/x\", \"subject\": {\"task\": \"%s\", \"title\": \"made up\", \"synthetic\": true, "
        "\"labels\": [\"a\", \"caf\\u00e9\"], \"test\": \"%032zu\", \"overlap\": 2, \"timed\": 50, "
        "\"sender\": {\"name\": \"wren\", \"layers\": 6}, \"receiver\": {\"name\": \"finch\", \"layers\": 5}, "
        "\"layer\": 3, \"soft_tokens\": 8, \"seed\": %llu, \"bridge\": \"b0b0\", \"recipe\": {\"seed\": %llu}}, "
        "\"truth\": [%s], \"rows\": [%s], \"methods\": {"
        "\"majority\": {\"note\": \"always \\\"a\\\"\", \"readings\": {}}, "
        "\"prompt_tuning\": {\"chosen\": 0.003, \"setting\": \"rate 0.003\", \"readings\": {\"score\": "
        "{\"per_second\": 12.25, \"predictions\": [%s]}}}, "
        "\"bridge\": {\"bytes\": 100.5, \"truncated\": 3, \"readings\": {\"score\": {\"sender_ms\": %.17g, "
        "\"receiver_ms\": 0.1, \"predictions\": [%s]}, \"generate\": {\"predictions\": [%s]}}}}}",
        task, n, (unsigned long long)seed, (unsigned long long)seed, truth.data, rows.data, truth.data, ms, said.data,
        truth.data);
    json_t *value = tp_json_load_bytes(text, strlen(text), "made up");
    check_not_null(value);
    tp_results *r = tp_results_from_json(value, "made up");
    check_not_null(r);
    json_decref(value);
    tp_free(text);
    tp_str_free(&truth);
    tp_str_free(&rows);
    tp_str_free(&said);
    return r;
}

static void put(tp_registry *r, const char *key, const char *name, const tp_results *results) {
    tp_document log = {"log", "{\"step\": 1}\n", 12};
    check_ok(tp_registry_put(r, &(tp_finished_run){.key = key,
                                                   .name = name,
                                                   .folder = "runs/x",
                                                   .results = results,
                                                   .settings = "timed 50",
                                                   .circumstances = {.started = "2026-11-22T16:00:00Z",
                                                                     .machine = "a machine",
                                                                     .threads = 2,
                                                                     .train_seconds = 12.5,
                                                                     .evaluate_seconds = NAN},
                                                   .documents = &log,
                                                   .n_documents = 1}));
}

static tp_registry *opened(void) {
    tp_registry *r = tp_registry_open(path, true);
    check_not_null(r);
    return r;
}

static void expect_same(const tp_results *a, const tp_results *b) {
    json_t *x = tp_results_to_json(a), *y = tp_results_to_json(b);
    if (!json_equal(x, y)) {
        json_dumpf(x, stderr, JSON_INDENT(1));
        json_dumpf(y, stderr, JSON_INDENT(1));
        fail_msg("what came out is not what went in");
    }
    json_decref(x);
    json_decref(y);
}

static void a_run_comes_out_as_it_went_in(void **state) {
    (void)state;
    tp_registry *r = opened();
    tp_results *in = made_up("t", 42, 40, 7, 1.0 / 3);
    put(r, KEY, "t-42", in);
    tp_results *out = tp_registry_results(r, KEY);
    check_not_null(out);
    expect_same(in, out);
    assert_true(tp_results_get(out, &tp_method_prompt_tuning)->chosen == 0.003);
    assert_true(isnan(tp_results_get(out, &tp_method_bridge)->chosen));
    char *before = tp_eval_table((const tp_results *const *)&in, 1, NULL, TP_TABLE_PLAIN);
    char *after = tp_eval_table((const tp_results *const *)&out, 1, NULL, TP_TABLE_PLAIN);
    assert_string_equal(before, after);
    tp_free(before);
    tp_free(after);
    tp_results_free(out);

    /* with the same key it takes the older one's place, documents and all */
    tp_results *again = made_up("t", 42, 40, 8, 2);
    put(r, KEY, "t-42", again);
    out = tp_registry_results(r, KEY);
    check_not_null(out);
    expect_same(again, out);
    tp_run_list list;
    check_ok(tp_registry_list(r, NULL, &list));
    assert_int_equal(list.n, 1);
    const tp_run_entry *e = &list.runs[0];
    assert_string_equal(e->name, "t-42");
    assert_string_equal(e->state, "done");
    assert_string_equal(e->bridge, "b0b0");
    assert_string_equal(e->settings, "timed 50");
    assert_string_equal(e->circumstances.machine, "a machine");
    assert_int_equal(e->n_test, 40);
    assert_int_equal(e->seed, 42);
    assert_true(e->circumstances.train_seconds == 12.5 && isnan(e->circumstances.evaluate_seconds));
    char outcome[33];
    tp_results_outcome(again, outcome);
    assert_string_equal(e->outcome, outcome);
    tp_run_list_free(&list);
    tp_results_free(in);
    tp_results_free(again);
    tp_results_free(out);
    check_ok(tp_registry_delete(r, KEY));
    assert_null(tp_registry_results(r, KEY));
    assert_non_null(strstr(tp_last_error(), "there is no run with the key " KEY));
    tp_registry_close(r);
}

static void the_outcome_is_of_answers_and_weights_only(void **state) {
    (void)state;
    tp_results *a = made_up("t", 42, 40, 7, 1), *slower = made_up("t", 42, 40, 7, 2),
               *other = made_up("t", 42, 40, 9, 1);
    char x[33], y[33], z[33];
    tp_results_outcome(a, x);
    tp_results_outcome(slower, y);
    tp_results_outcome(other, z);
    assert_string_equal(x, y);
    assert_string_not_equal(x, z);
    json_object_set_new(slower->subject, "bridge", json_string("b0b1"));
    tp_results_outcome(slower, y);
    assert_string_not_equal(x, y);
    tp_results_free(a);
    tp_results_free(slower);
    tp_results_free(other);
}

static size_t count(tp_registry *r, const tp_run_filter *filter) {
    tp_run_list list;
    check_ok(tp_registry_list(r, filter, &list));
    size_t n = list.n;
    tp_run_list_free(&list);
    return n;
}

static void runs_are_found_by_suite_task_seed_and_name(void **state) {
    (void)state;
    tp_registry *r = opened();
    tp_results *t = made_up("t", 42, 4, 0, 1), *u = made_up("u", 43, 4, 0, 1);
    put(r, KEY, "t-42", t);
    put(r, OTHER, "u-43", u);
    assert_int_equal(count(r, NULL), 2);
    assert_int_equal(count(r, &(tp_run_filter){.task = "t", .seed = -1}), 1);
    assert_int_equal(count(r, &(tp_run_filter){.seed = 43}), 1);
    assert_int_equal(count(r, &(tp_run_filter){.run = "u-43", .seed = -1}), 1);
    assert_int_equal(count(r, &(tp_run_filter){.run = "0011", .seed = -1}), 1);
    assert_int_equal(count(r, &(tp_run_filter){.run = "001", .seed = -1}), 0);
    assert_int_equal(count(r, &(tp_run_filter){.suite = "s", .seed = -1}), 0);

    json_t *definition = json_pack("{s:s}", "title", "a suite"), *cell = json_pack("{s:i}", "seed", 1);
    tp_suite_member members[] = {
        {OTHER, "u-43", cell}, {"0000", "not there yet", cell}, {KEY, "its name in the suite", cell}};
    check_ok(tp_registry_put_suite(r, "s", definition, members, 3));
    check_ok(tp_registry_put_suite(r, "s", definition, members, 3));
    tp_run_list list;
    check_ok(tp_registry_list(r, &(tp_run_filter){.suite = "s", .seed = -1}, &list));
    assert_int_equal(list.n, 2);
    assert_string_equal(list.runs[0].key, OTHER); /* in the suite's order */
    assert_string_equal(list.runs[1].key, KEY);
    tp_run_list_free(&list);
    assert_int_equal(count(r, &(tp_run_filter){.run = "its name in the suite", .seed = -1}), 1);
    json_t *suites = tp_registry_suites(r);
    check_not_null(suites);
    assert_int_equal(json_array_size(suites), 1);
    json_t *first = json_array_get(suites, 0);
    assert_true(json_equal(json_object_get(first, "definition"), definition));
    json_t *listed = json_object_get(first, "members");
    assert_int_equal(json_array_size(listed), 3);
    assert_true(json_is_null(json_object_get(json_array_get(listed, 1), "state")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(listed, 2), "state")), "done");
    assert_true(json_equal(json_object_get(json_array_get(listed, 2), "cell"), cell));
    json_decref(suites);
    json_decref(definition);
    json_decref(cell);
    check_ok(tp_registry_delete(r, KEY));
    check_ok(tp_registry_delete(r, OTHER));
    tp_results_free(t);
    tp_results_free(u);
    tp_registry_close(r);
}

static void documents_keep_every_byte(void **state) {
    (void)state;
    tp_registry *r = opened();
    tp_results *t = made_up("t", 42, 4, 0, 1);
    put(r, KEY, "t-42", t);
    char *bytes;
    size_t n;
    check_ok(tp_registry_document(r, KEY, "log", &bytes, &n));
    assert_int_equal(n, 12);
    assert_string_equal(bytes, "{\"step\": 1}\n");
    tp_free(bytes);
    check_ok(tp_registry_document(r, KEY, "inspect", &bytes, &n));
    assert_null(bytes);
    check_ok(tp_registry_put_document(r, KEY, &(tp_document){"inspect", "a\0b", 3}));
    check_ok(tp_registry_put_document(r, KEY, &(tp_document){"empty", NULL, 0}));
    check_ok(tp_registry_document(r, KEY, "inspect", &bytes, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(bytes, "a\0b", 4);
    tp_free(bytes);
    check_ok(tp_registry_document(r, KEY, "empty", &bytes, &n));
    assert_non_null(bytes);
    assert_int_equal(n, 0);
    tp_free(bytes);
    json_t *names = tp_registry_documents(r, KEY);
    check_not_null(names);
    assert_int_equal(json_object_size(names), 3);
    assert_int_equal(json_integer_value(json_object_get(names, "inspect")), 3);
    json_decref(names);
    assert_int_equal(tp_registry_put_document(r, "nobody", &(tp_document){"x", "", 0}), TP_ERR_ARGUMENT);
    check_ok(tp_registry_delete(r, KEY));
    tp_results_free(t);
    tp_registry_close(r);
}

static void failures_are_remembered_until_the_run_succeeds(void **state) {
    (void)state;
    tp_registry *r = opened();
    check_ok(tp_registry_put_failure(r, KEY, "t-42", "runs/x", "t", 42, "no such file"));
    check_ok(tp_registry_put_failure(r, KEY, "t-42", "runs/x", "t", 42, "the loss is not finite"));
    tp_run_list list;
    check_ok(tp_registry_list(r, NULL, &list));
    assert_int_equal(list.n, 1);
    assert_string_equal(list.runs[0].state, "failed");
    assert_string_equal(list.runs[0].note, "the loss is not finite");
    tp_run_list_free(&list);
    assert_null(tp_registry_results(r, KEY));
    assert_non_null(strstr(tp_last_error(), "it failed: the loss is not finite"));
    tp_results *t = made_up("t", 42, 4, 0, 1);
    put(r, KEY, "t-42", t);
    check_ok(tp_registry_put_failure(r, KEY, "t-42", "runs/x", "t", 42, "too late"));
    check_ok(tp_registry_list(r, NULL, &list));
    assert_int_equal(list.n, 1);
    assert_string_equal(list.runs[0].state, "done");
    tp_run_list_free(&list);
    check_ok(tp_registry_delete(r, KEY));
    tp_results_free(t);
    tp_registry_close(r);
}

/* ---- others ---- */

static int64_t ask(const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static void any_sqlite_reads_the_answers(void **state) {
    (void)state;
    tp_registry *r = opened();
    tp_results *t = made_up("t", 42, 40, 7, 1);
    put(r, KEY, "t-42", t);
    tp_registry_close(r);
    assert_int_equal(ask("SELECT count(*) FROM answers WHERE method = 'bridge' AND reading = 'score'"), 40);
    assert_int_equal(ask("SELECT count(*) FROM answers WHERE method = 'bridge' AND answer = label"), 79);
    assert_int_equal(ask("SELECT row FROM answers WHERE method = 'bridge' AND answer < 0"), 21);
    assert_int_equal(ask("SELECT count(*) FROM results WHERE accuracy = 39.0 / 40 AND method = 'bridge'"), 1);
    r = opened();
    check_ok(tp_registry_delete(r, KEY));
    tp_registry_close(r);
    assert_int_equal(ask("SELECT count(*) FROM predictions") + ask("SELECT count(*) FROM documents") +
                         ask("SELECT count(*) FROM circumstances"),
                     0);
    tp_results_free(t);
}

static void expect_refused(const char *sentence) {
    tp_registry *r = tp_registry_open(path, true);
    if (r != NULL || strstr(tp_last_error(), sentence) == NULL)
        fail_msg("the registry gave \"%s\", expected was \"%s\"", r ? "itself" : tp_last_error(), sentence);
}

static void sql(const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void remove_registry(void) {
    char command[4400];
    snprintf(command, sizeof command, "rm -f '%s' '%s-wal' '%s-shm'", path, path, path);
    assert_int_equal(system(command), 0);
}

static void what_is_no_registry_is_refused(void **state) {
    (void)state;
    remove_registry();
    assert_null(tp_registry_open(path, false));
    assert_non_null(strstr(tp_last_error(), "there is no registry of runs"));
    tp_registry_close(opened());
    sql("PRAGMA user_version = 99");
    expect_refused("was written by a newer telepathy: it is a registry of version 99");
    remove_registry();
    sql("CREATE TABLE cats (name TEXT)");
    expect_refused("is a database of some other program");
    remove_registry();
    check_ok(tp_write_file(path,
                           "no database at all, but a text that is longer than a page's header: "
                           "SQLite looks at the first hundred bytes of it, and there are more here",
                           130));
    expect_refused("is no registry of runs, or is damaged");
    remove_registry();

    /* a page in the middle is overwritten */
    tp_registry *r = opened();
    tp_results *t = made_up("t", 42, 4000, 7, 1);
    put(r, KEY, "t-42", t);
    tp_registry_close(r);
    char *bytes;
    size_t n;
    check_ok(tp_read_file(path, 0, &bytes, &n));
    assert_true(n > 60000);
    for (size_t i = 4096; i < n; i++) bytes[i] = (char)(i * 7);
    check_ok(tp_write_file(path, bytes, n));
    tp_free(bytes);
    r = tp_registry_open(path, false);
    tp_results *out = r ? tp_registry_results(r, KEY) : NULL;
    assert_null(out);
    assert_non_null(strstr(tp_last_error(), path));
    tp_registry_close(r);
    remove_registry();
    tp_results_free(t);
}

/* A process that puts the same run over and over, once with 7 and once with 8 as the wrong row, and says so each time
 * it is done. */
static pid_t start_writer(const char *key, const char *name, int rounds, int tell) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    tp_results *in[2] = {made_up(name, 1, 400, 7, 1), made_up(name, 1, 400, 8, 1)};
    tp_registry *r = tp_registry_open(path, true);
    for (int i = 0; r && i < rounds; i++) {
        tp_finished_run run = {.key = key, .name = name, .results = in[i % 2]};
        if (tp_registry_put(r, &run) != TP_OK || write(tell, "x", 1) != 1) _exit(1);
    }
    tp_registry_close(r);
    _exit(r ? 0 : 1);
}

static void two_processes_may_write_at_once(void **state) {
    (void)state;
    remove_registry();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t writers[2] = {start_writer(KEY, "a", 30, ends[1]), start_writer(OTHER, "b", 30, ends[1])};
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    tp_registry *r = opened();
    assert_int_equal(count(r, NULL), 2);
    tp_registry_close(r);
    close(ends[0]);
    close(ends[1]);
}

static void a_killed_writer_leaves_it_whole(void **state) {
    (void)state;
    remove_registry();
    tp_results *in[2] = {made_up("a", 1, 400, 7, 1), made_up("a", 1, 400, 8, 1)};
    char outcomes[2][33];
    for (int i = 0; i < 2; i++) tp_results_outcome(in[i], outcomes[i]);
    for (int round = 0; round < 12; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = start_writer(KEY, "a", 1000, ends[1]);
        close(ends[1]);
        char told;
        for (int i = 0; i <= round % 4; i++) assert_int_equal(read(ends[0], &told, 1), 1);
        kill(pid, SIGKILL); /* somewhere in the next transaction */
        waitpid(pid, NULL, 0);
        close(ends[0]);
        tp_registry *r = opened();
        tp_results *out = tp_registry_results(r, KEY);
        check_not_null(out);
        tp_run_list list;
        check_ok(tp_registry_list(r, NULL, &list));
        assert_int_equal(list.n, 1);
        bool first = strcmp(list.runs[0].outcome, outcomes[0]) == 0;
        assert_true(first || strcmp(list.runs[0].outcome, outcomes[1]) == 0);
        json_t *x = tp_results_to_json(out), *y = tp_results_to_json(in[first ? 0 : 1]);
        assert_true(json_equal(json_object_get(x, "methods"), json_object_get(y, "methods")));
        json_decref(x);
        json_decref(y);
        tp_results_free(out);
        tp_run_list_free(&list);
        tp_registry_close(r);
    }
    for (int i = 0; i < 2; i++) tp_results_free(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_comes_out_as_it_went_in),
        cmocka_unit_test(the_outcome_is_of_answers_and_weights_only),
        cmocka_unit_test(runs_are_found_by_suite_task_seed_and_name),
        cmocka_unit_test(documents_keep_every_byte),
        cmocka_unit_test(failures_are_remembered_until_the_run_succeeds),
        cmocka_unit_test(any_sqlite_reads_the_answers),
        cmocka_unit_test(what_is_no_registry_is_refused),
        cmocka_unit_test(two_processes_may_write_at_once),
        cmocka_unit_test(a_killed_writer_leaves_it_whole),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
