/* train and eval of a LatentWire through the real program, on a tiny pair of models. */
#include "tiny_pair.h" /* first, because program.h has a global `dir` */

#include "program.h"

static void write_recipe(const char *name, const char *section) {
    char *path = tp_path_join(dir, name);
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    tp_writer_printf(
        w,
        "{\"models\": {\"sender\": \"%s/sender\"}, \"task\": {\"train_file\": \"%s/train.csv\", "
        "\"test_file\": \"%s/test.csv\"}, \"bridge\": {\"soft_tokens\": 3, \"depth\": 1, \"heads\": 2, "
        "\"width\": 16}, \"latentwire\": {\"width\": 16, %s}, \"optimiser\": {\"steps\": 6, \"batch\": 4}, "
        "\"early_stopping\": {\"every\": 3}, \"math\": \"f32\"}",
        dir, dir, dir, section);
    check_ok(tp_writer_commit(w));
    free(path);
}

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    setenv("OMP_NUM_THREADS", "1", 1);
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    write_recipe("decoder.json", "\"encoder\": \"decoder\"");
    write_recipe("simple.json", "\"encoder\": \"simple\", \"private\": 1");
    expect_success("", "train --recipe @/decoder.json --receiver @/receiver,@/sender --out @/wire --quiet", "trained");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

static void a_finished_run_is_not_trained_again(void **state) {
    (void)state;
    expect_success("", "train --recipe @/decoder.json --receiver @/receiver,@/sender --out @/wire --quiet",
                   "trained before");
    json_t *value =
        expect_json("", "train --recipe @/simple.json --receiver @/receiver,@/sender --out @/simple --quiet "
                        "--json");
    assert_int_equal(json_integer_value(json_object_get(value, "steps")), 6);
    json_decref(value);
}

static void eval_prints_its_own_table_and_keeps_it(void **state) {
    (void)state;
    const char *table = expect_success("", "eval @/wire --quiet", "all receivers together");
    static const char *const rows[] = {"majority label",
                                       "words alone",
                                       "receiver 1 receiver reads the text",
                                       "receiver 2 sender: LatentWire",
                                       "receiver 1 receiver: shuffled source",
                                       "receiver 2 sender: zero packet",
                                       "all together: shuffled source",
                                       "McNemar",
                                       "95 % interval"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strstr(table, rows[i]) == NULL) fail_msg("`%s` does not stand in\n%s", rows[i], table);
    json_t *value = expect_json("", "eval @/wire --quiet --max-test 20 --json");
    assert_int_equal(json_array_size(json_object_get(value, "truth")), 20);
    json_t *saved = expect_json("", "eval @/wire --saved --json");
    assert_true(json_equal(saved, value));
    json_decref(saved);
    json_decref(value);
}

/* In a suite a LatentWire stands among the others: all receivers together are its bridge. */
static void suites_know_it(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "suite.json");
    const char suite[] = "{\"recipes\": [\"named.json\"], \"seeds\": [1, 2], \"methods\": [\"majority\", \"receiver\", "
                         "\"bridge\", \"zero\", \"shuffled\", \"alone\", \"sender\"], \"evaluation\": {\"timed\": 0}}";
    check_ok(tp_write_file(path, suite, strlen(suite)));
    free(path);
    char section[9000];
    snprintf(section, sizeof section, "\"encoder\": \"bytes\", \"receivers\": [\"%s/receiver\", \"%s/sender\"]", dir,
             dir);
    write_recipe("named.json", section);
    expect_success("", "suite @/suite.json --out @/suite --quiet", "2");
    outcome o = telepathy("", "runs show @/suite named-1");
    static const char *const words[] = {"bridge: receivers weigh", "shuffled source", "zero packet", "receiver alone"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (o.code != 0 || strstr(o.out, words[i]) == NULL)
            fail_msg("code %d, no `%s` in\n%s%s", o.code, words[i], o.out, o.err);
    expect_success("", "suite @/suite.json --out @/suite --quiet", "2"); /* all is there */
}

static void mistakes_get_one_sentence(void **state) {
    (void)state;
    expect_failure("", "train --recipe @/decoder.json --out @/x --quiet", 1, "no receivers: give --receiver A,B");
    expect_failure("", "train --recipe @/decoder.json --receiver @/receiver,@/nowhere --out @/x --quiet", 1, "nowhere");
    expect_failure("", "train --recipe @/decoder.json --receiver @/receiver, --out @/x --quiet", 1, "empty name");
    expect_failure("", "eval @/wire --receiver @/sender,@/receiver --quiet", 1, "another receiver 1");
    expect_failure("", "eval @/wire --receiver @/receiver --quiet", 1, "for 2 receivers, given were 1");
    expect_failure("", "eval @/wire --methods majority", 2, "without --methods");
    expect_failure("", "eval @/wire @/wire", 2, "give it alone");
    expect_failure("", "eval @/simple/.. --saved", 1, "eval.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finished_run_is_not_trained_again),
        cmocka_unit_test(eval_prints_its_own_table_and_keeps_it),
        cmocka_unit_test(suites_know_it),
        cmocka_unit_test(mistakes_get_one_sentence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
