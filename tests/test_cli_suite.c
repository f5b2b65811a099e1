/* suite and runs through the real program, on the tiny pair: killed and gone on, listed, shown, compared, exported. */
#include "tiny_pair.h" /* first, because program.h has a global `dir` */

#include "program.h"

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    setenv("OMP_NUM_THREADS", "2", 1);
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "tiny.json", 40);
    static const char suite[] =
        "{\"title\": \"two seeds\", \"recipes\": [\"tiny.json\"], \"seeds\": [7, 8], \"methods\": [\"majority\", "
        "\"words\", \"bridge\", \"shuffled\"], \"evaluation\": {\"timed\": 0}}";
    check_ok(tp_write_file(in_dir("@/two.json"), suite, strlen(suite)));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

static void a_dry_run_prints_the_grid(void **state) {
    (void)state;
    const char *out =
        expect_success("", "suite @/two.json --out @/whole --dry-run", "2 runs, 0 done. Methods: majority");
    assert_non_null(strstr(out, "tiny-7"));
    assert_non_null(strstr(out, "to be trained"));
    assert_non_null(strstr(out, "With 2 at a time the rest takes about "));
    assert_null(strstr(out, "?")); /* a rehearsal tells what nobody has measured */
    assert_false(tp_path_exists(in_dir("@/whole")));
    expect_success("", "suite @/two.json --out @/whole --quiet", "two: 2 runs are in");
    out = expect_success("", "suite @/two.json --out @/whole --dry-run", "2 runs, 2 done.");
    assert_null(strstr(out, "to be trained"));
    /* a seed more: how long it takes is told by the others */
    check_ok(tp_write_file(in_dir("@/three.json"), "{\"recipes\": [\"tiny.json\"], \"seeds\": [7, 8, 9]}", 46));
    out = expect_success("", "suite @/three.json --out @/whole --dry-run", "3 runs, 0 done.");
    assert_non_null(strstr(out, "tiny-9"));
}

static void documents_are_made_of_every_run(void **state) {
    (void)state;
    static const char suite[] =
        "{\"recipes\": [\"tiny.json\"], \"methods\": [\"majority\"], \"evaluation\": {\"timed\": 0}, \"documents\": "
        "[\"latency\", \"inspect\"], \"inspect\": {\"n\": 30, \"transcripts\": 0}, \"latency\": {\"lengths\": [4, 9], "
        "\"batches\": [1, 3], \"texts\": 2, \"methods\": [\"receiver\", \"bridge\"]}}";
    check_ok(tp_write_file(in_dir("@/documents.json"), suite, strlen(suite)));
    expect_success("", "suite @/documents.json --out @/documents --quiet", "1 runs are in");
    expect_success("", "runs show @/documents tiny-7", "holds    results, inspect, latency, log, train");
    assert_int_equal(system(in_dir("cp @/documents/runs/*/latency.json @/latency.json")), 0);
    json_t *value = tp_json_load_file(in_dir("@/latency.json")), *point;
    check_not_null(value);
    json_t *curve = json_object_get(value, "curve");
    assert_int_equal(json_array_size(curve), 2 * 2 * 2); /* lengths, batches, methods */
    size_t i;
    json_array_foreach(curve, i, point) {
        bool bridge = strcmp(json_string_value(json_object_get(point, "method")), "bridge") == 0;
        assert_int_equal(json_is_real(json_object_get(point, "sender_ms")), bridge);
        assert_true(json_real_value(json_object_get(point, "receiver_ms")) > 0);
        assert_int_equal(json_integer_value(json_object_get(point, "length")), i < 4 ? 4 : 9);
    }
    json_decref(value);
    static const char wrong[] = "{\"recipes\": [\"tiny.json\"], \"documents\": [\"latency\"], \"latency\": "
                                "{\"lenghts\": [4]}, \"methods\": [\"majority\"]}";
    check_ok(tp_write_file(in_dir("@/wrong.json"), wrong, strlen(wrong)));
    expect_failure("", "suite @/wrong.json --out @/wrong --quiet", 1, "`lenghts` is not a known key");
    assert_false(tp_path_exists(in_dir("@/wrong"))); /* before any work */
}

/* "run outcome" of every run of a folder's registry. */
static char *outcomes(const char *folder) {
    char *arguments = tp_format("runs list %s --json", folder);
    json_t *list = expect_json("", arguments), *entry;
    tp_str text = {0};
    size_t i;
    json_array_foreach(list, i, entry)
        tp_str_appendf(&text, "%s %s\n", json_string_value(json_object_get(entry, "run")),
                       json_string_value(json_object_get(entry, "outcome")));
    json_decref(list);
    tp_free(arguments);
    return tp_str_take(&text);
}

static void a_killed_suite_goes_on_to_the_same_end(void **state) {
    (void)state;
    /* each time it may live a little longer, so that it is killed in all that it does, and a slow machine gets on */
    int kills = 0;
    for (bool ended = false; !ended; kills += !ended) {
        tp_str command = {0};
        tp_str_appendf(&command, "timeout -s KILL %.3f '%s/telepathy' suite %s >/dev/null 2>&1", 0.01 + 0.15 * kills,
                       TP_BINARY_DIR, in_dir("@/two.json --out @/killed --quiet"));
        int code = system(command.data);
        ended = WIFEXITED(code) && WEXITSTATUS(code) == 0;
        tp_str_free(&command);
    }
    assert_true(kills > 0);
    expect_success("", "suite @/two.json --out @/killed --quiet", "2 runs are in");
    char *whole = outcomes("@/whole"), *killed = outcomes("@/killed");
    assert_string_equal(whole, killed);
    tp_free(whole);
    tp_free(killed);
    expect_success("", "runs list @/killed", "done");
    char command[9000];
    snprintf(command, sizeof command,
             "cd '%s/whole' && for f in runs/*/adapter_model.safetensors runs/*/train.json runs/*/log.jsonl; do cmp "
             "$f '%s/killed/'$f || exit 1; done",
             dir, dir);
    assert_int_equal(system(command), 0);
}

static void the_registry_is_shown(void **state) {
    (void)state;
    const char *out = expect_success("", "runs list @/whole", "tiny-8");
    assert_non_null(strstr(out, "outcome"));
    out = expect_success("", "runs list @/whole --seed 7", "tiny-7");
    assert_null(strstr(out, "tiny-8"));
    out = expect_success("", "runs show @/whole tiny-7", "holds    results, log, train");
    assert_non_null(strstr(out, "shuffled source"));
    assert_non_null(strstr(out, "revision "));
    json_t *value = expect_json("", "runs show @/whole tiny-7 --json");
    json_t *results = json_object_get(json_array_get(value, 0), "results");
    assert_non_null(json_object_get(json_object_get(results, "methods"), "bridge"));
    json_decref(value);

    out = expect_success("", "runs diff @/whole tiny-7 tiny-8", "weights or answers differ");
    assert_non_null(strstr(out, "seed: 7 and 8"));
    value = expect_json("", "runs diff @/whole tiny-7 tiny-8 --json");
    assert_int_equal(json_array_size(json_object_get(value, "recipe")), 1);
    json_t *first = json_array_get(json_object_get(value, "results"), 0); /* majority: the same for all */
    assert_int_equal(json_integer_value(json_object_get(first, "differ")), 0);
    json_decref(value);
    expect_success("", "runs diff @/whole tiny-7 tiny-7", "the same weights and the same answers");

    out = expect_success("", "runs export @/whole", "run,key,task,seed,");
    int lines = 0;
    for (const char *c = out; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 1 + 2 * 6); /* two runs; bridge and shuffled in two readings each */
    expect_success("", "runs export @/whole --format md", "| tiny-7 | bridge");
    value = expect_json("", "runs export @/whole --format json --items");
    assert_int_equal(json_array_size(value), 2);
    json_decref(value);
}

static void mistakes_get_one_sentence(void **state) {
    (void)state;
    expect_failure("", "suite @/nowhere.json --out @/x", 1, "nowhere.json");
    expect_failure("", "suite @/two.json --out @/x --sender @/nowhere", 1, "nowhere");
    expect_failure("", "runs list @/nowhere", 1, "there is no registry of runs");
    expect_failure("", "runs shuffle @/whole", 2, "list, show, diff, export");
    expect_failure("", "runs show @/whole", 2, "takes one run, 0 are given");
    expect_failure("", "runs diff @/whole tiny-7", 2, "takes two runs, 1 are given");
    expect_failure("", "runs list @/whole tiny-7", 2, "takes no runs");
    expect_failure("", "runs show @/whole tiny-9", 1, "there is no run `tiny-9`");
    assert_int_equal(system(in_dir("mkdir @/broken && echo 'no database, only a longer text that fills what SQLite "
                                   "reads of a header: more than one hundred bytes of it' > @/broken/runs.db")),
                     0);
    expect_failure("", "runs list @/broken", 1, "is no registry of runs, or is damaged");
    expect_failure("", "suite @/two.json --out @/broken", 1, "is no registry of runs, or is damaged");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dry_run_prints_the_grid),
        cmocka_unit_test(documents_are_made_of_every_run),
        cmocka_unit_test(a_killed_suite_goes_on_to_the_same_end),
        cmocka_unit_test(the_registry_is_shown),
        cmocka_unit_test(mistakes_get_one_sentence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
