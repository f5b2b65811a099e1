/* inspect, probe, perturb and transfer through the real program, on a tiny pair of models. */
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
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

static void inspect_prints_and_keeps(void **state) {
    (void)state;
    const char *options = "inspect @/a --quiet --n 20 --examples 2 --transcripts 2 --nearest 1";
    const char *text = expect_success("", options, "packets of different classes");
    assert_non_null(strstr(text, "reads most"));
    char *arguments = tp_format("%s --json", options);
    json_t *value = expect_json("", arguments), *kept = tp_json_load_file(in_dir("@/a/inspect.json"));
    assert_true(json_equal(value, kept));
    assert_int_equal(json_array_size(json_object_get(json_object_get(value, "projection"), "tsne")), 20);
    json_decref(value);
    json_decref(kept);
    /* an evaluation knows on which texts the relays differ */
    expect_success("", "eval @/a --quiet --timed 0 --methods text_relay,bridge", "bridge");
    value = expect_json("", "inspect @/a --quiet --n 45 --examples 0 --transcripts 3 --json");
    assert_int_equal(json_integer_value(json_object_get(value, "transcripts_asked")), 45);
    json_int_t differ = json_integer_value(json_object_get(value, "transcripts_differ"));
    assert_int_equal(json_array_size(json_object_get(value, "transcripts")), differ < 3 ? differ : 3);
    json_decref(value);
    tp_free(arguments);
}

static void probe_reads_packets(void **state) {
    (void)state;
    const char *text = expect_success("", "probe @/a --quiet --words 30 --max-train 60 --max-test 30", "bits at least");
    assert_non_null(strstr(text, "packet of another text"));
    json_t *value = expect_json("", "probe @/a --quiet --words 0 --json");
    assert_null(json_object_get(value, "words"));
    assert_int_equal(json_array_size(json_object_get(json_object_get(value, "label"), "sources")), 3);
    json_decref(value);
}

static void perturb_measures_methods(void **state) {
    (void)state;
    const char *text = expect_success("", "perturb @/a --quiet --max-test 12", "as they are");
    assert_non_null(strstr(text, "words")); /* beside the bridge */
    json_t *value = expect_json("", "perturb @/a --quiet --methods receiver --max-test 6 --json");
    assert_int_equal(json_array_size(json_object_get(value, "variants")), 18);
    json_decref(value);
    expect_failure("", "perturb @/a --methods magic", 2, "there is no method `magic`");
}

static void transfer_asks_about_another_task(void **state) {
    (void)state;
    expect_failure("", "transfer @/a", 2, "--task");
    expect_failure("", "transfer @/a --task nonsense --quiet", 1, "nonsense");
    expect_failure("", "transfer @/a --task passkey --quiet", 1, "free answers");
    const char *text = expect_success("", "transfer @/a --task demo --quiet --max-train 40 --max-test 20", "Zero-shot");
    assert_non_null(strstr(text, "SYNTHETIC"));
    assert_non_null(strstr(text, "linear probe, packet"));
    json_t *value =
        expect_json("", "transfer @/a --task demo --prompt task --quiet --max-train 40 --max-test 20 --json");
    assert_string_equal(json_string_value(json_object_get(value, "sender_prompt")), "task");
    json_decref(value);
}

static void what_is_no_run_is_refused(void **state) {
    (void)state;
    expect_failure("", "inspect @/nowhere", 1, "nowhere");
    expect_failure("", "probe @/sender", 1, "adapter_config.json");
    expect_failure("", "inspect @/a --n 0", 2, "--n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inspect_prints_and_keeps),  cmocka_unit_test(probe_reads_packets),
        cmocka_unit_test(perturb_measures_methods),  cmocka_unit_test(transfer_asks_about_another_task),
        cmocka_unit_test(what_is_no_run_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
