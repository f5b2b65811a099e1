/* train, eval, relay and info through the real program, on a tiny pair of models. */
#include "tiny_pair.h" /* first, because program.h has a global `dir` */

#include "program.h"

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    setenv("OMP_NUM_THREADS", "1", 1);
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "tiny.json", 60);
    expect_success("", "train --recipe @/tiny.json --out @/a --quiet", "trained");
    expect_success("", "train --recipe @/tiny.json --out @/b --seed 8 --quiet", "trained");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

static void eval_prints_the_table(void **state) {
    (void)state;
    const char *table = expect_success("", "eval @/a --quiet --timed 2 --prompt-steps 8", "linear probe, mean state");
    static const char *const rows[] = {"random label",          "majority label", "words alone",
                                       "sender reads",          "receiver reads", "text relay",
                                       "linear probe, last",    "prompt tuned",   "bridge  ",
                                       "zero packet",           "noise packet",   "shuffled source",
                                       "receiver alone",        "95 % CI",        "McNemar",
                                       "45 test rows, 3 labels"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strstr(table, rows[i]) == NULL) fail_msg("`%s` does not stand in\n%s", rows[i], table);
    for (const char *line = table; strncmp(line, "- ", 2) != 0; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 120); /* the table fits a terminal; sentences below may wrap */
}

static void eval_gives_json_and_keeps_it(void **state) {
    (void)state;
    json_t *value =
        expect_json("", "eval @/a --quiet --timed 0 --methods bridge,majority,shuffled --max-test 30 --json --items");
    json_t *run = json_array_get(json_object_get(value, "runs"), 0), *methods = json_object_get(run, "methods");
    assert_int_equal(json_object_size(methods), 3);
    json_t *bridge = json_object_get(json_object_get(json_object_get(methods, "bridge"), "readings"), "score");
    assert_int_equal(json_array_size(json_object_get(bridge, "predictions")), 30);
    assert_true(json_is_null(json_object_get(bridge, "sender_ms"))); /* no times were wanted */
    json_t *saved = expect_json("", "eval @/a --saved --json --items");
    assert_true(json_equal(json_object_get(saved, "runs"), json_object_get(value, "runs")));
    json_decref(saved);
    json_decref(value);
}

static void several_runs_share_a_table(void **state) {
    (void)state;
    const char *table =
        expect_success("", "eval @/a @/b --quiet --timed 0 --methods random,majority,bridge", "seeds 7, 8");
    assert_non_null(strstr(table, "each seed"));
    expect_success("", "eval @/a @/b --saved --markdown", "| method");
}

static void relay_answers(void **state) {
    (void)state;
    const char *out = expect_success("", "relay @/a 'I saw cat there.' --verbose", "written by the receiver: ");
    assert_non_null(strstr(out, "soft tokens: nearest"));
    json_t *value = expect_json("", "relay @/a 'I saw cat there.' --json");
    double sum = 0;
    size_t i;
    json_t *label;
    json_array_foreach(json_object_get(value, "labels"), i, label) sum +=
        json_number_value(json_object_get(label, "probability"));
    assert_int_equal(i, 3);
    assert_true(sum > 0.9999 && sum < 1.0001);
    assert_int_equal(json_integer_value(json_object_get(value, "text_bytes")), 16);
    json_decref(value);
    /* bytes that are no UTF-8, an empty text, a text longer than the context */
    expect_success("", "relay @/a \"$(printf 'caf\\351')\" --json", "\"truncated\": false");
    expect_success("", "relay @/a ''", "packet ");
    value =
        expect_json("", "relay @/a \"$(yes dog | head -400)\" --json"); /* the sender's context, not the recipe's 512 */
    assert_true(json_is_true(json_object_get(value, "truncated")));
    assert_in_range(json_integer_value(json_object_get(value, "sender_tokens")), 250, 256);
    json_decref(value);
}

static void info_tells_what_a_folder_holds(void **state) {
    (void)state;
    json_t *value = expect_json("", "info @/sender --json --tensors");
    assert_string_equal(json_string_value(json_object_get(value, "family")), "llama");
    assert_int_equal(json_integer_value(json_object_get(value, "layers")), 4);
    json_int_t numbers = 0;
    size_t i, k;
    json_t *tensor, *size;
    json_array_foreach(json_object_get(value, "tensors"), i, tensor) {
        json_int_t product = 1;
        json_array_foreach(json_object_get(tensor, "shape"), k, size) product *= json_integer_value(size);
        numbers += product;
    }
    assert_int_equal(numbers, json_integer_value(json_object_get(value, "parameters")));
    json_decref(value);
    expect_success("", "info @/receiver", "SentencePiece BPE");
    expect_success("", "info @/receiver --tensors", "lm_head.weight");
    expect_success("", "eval @/b --quiet --timed 0 --methods majority", "majority label");
    const char *out = expect_success("", "info @/b", "valid_accuracy");
    assert_non_null(strstr(out, "majority label"));        /* its last evaluation */
    assert_non_null(strstr(out, "Text: {text}\\nLabel:")); /* on one line */
    value = expect_json("", "info @/b --json --tensors");
    assert_string_equal(json_string_value(json_object_get(value, "bridge")), "perceiver");
    assert_non_null(json_object_get(value, "results"));
    assert_true(json_array_size(json_object_get(value, "tensors")) > 10);
    json_decref(value);
}

static void demo_goes_the_whole_way(void **state) {
    (void)state;
    const char *out = expect_success("",
                                     "demo --sender @/sender --receiver @/receiver --out @/demo --steps 3 "
                                     "--prompt-steps 4 --max-test 30 --quiet",
                                     "SYNTHETIC data");
    static const char *const parts[] = {"Bridge of ", "shuffled source", "right answer: ", "latent  8 soft tokens",
                                        "Try: telepathy relay "};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(out, parts[i]) == NULL) fail_msg("`%s` does not stand in\n%s", parts[i], out);
    expect_failure("", "demo --sender @/nowhere --out @/demo2", 1, "nowhere");
    expect_failure("", "demo --sender @/sender --receiver @/receiver --data @/nowhere --out @/demo2", 1, "nowhere");
}

static void mistakes_get_one_sentence(void **state) {
    (void)state;
    expect_failure("", "eval @/a --methods bridge,magic", 2, "there is no method `magic`; there are random,");
    expect_failure("", "eval @/sender", 1, "adapter_config.json");
    expect_failure("", "relay @/nowhere hello", 1, "nowhere");
    expect_failure("", "info @/nowhere", 1, "nowhere does not exist");
    expect_failure("", "info @", 1, "neither a model (config.json) nor a trained bridge (adapter_config.json)");
    /* models the bridge was not trained for */
    expect_failure("", "relay @/a hello --sender @/receiver", 1, "sender");
    expect_failure("", "eval @/a --receiver @/sender --quiet", 1, "receiver");
    /* a run of another recipe in the same table */
    tiny_pair_recipe(dir, "other.json", 40);
    expect_success("", "train --recipe @/other.json --out @/c --quiet", "trained");
    expect_failure("", "eval @/a @/c --quiet --timed 0 --methods majority", 1, "are not runs of one recipe");
    expect_failure("", "eval @/c --saved", 1, "eval.json");
}

/* A label of the test file that the bridge was not trained for. */
static void data_of_another_task_is_refused(void **state) {
    (void)state;
    char *train = tp_path_join(dir, "train.csv"), *content;
    size_t n;
    check_ok(tp_read_file(train, 0, &content, &n));
    tp_writer *w = tp_writer_open(train);
    check_not_null(w);
    tp_writer_write(w, content, n);
    tp_writer_printf(w, "a stone,mineral\na rock,mineral\n");
    check_ok(tp_writer_commit(w));
    expect_failure("", "eval @/a --quiet --timed 0 --methods majority", 1,
                   "was trained for 3 labels, which are not the 4");
    check_ok(tp_write_file(train, content, n));
    free(train);
    tp_free(content);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eval_prints_the_table),          cmocka_unit_test(eval_gives_json_and_keeps_it),
        cmocka_unit_test(several_runs_share_a_table),     cmocka_unit_test(relay_answers),
        cmocka_unit_test(info_tells_what_a_folder_holds), cmocka_unit_test(demo_goes_the_whole_way),
        cmocka_unit_test(mistakes_get_one_sentence),      cmocka_unit_test(data_of_another_task_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
