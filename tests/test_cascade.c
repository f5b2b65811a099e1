/* train/cascade: a run whose training fails goes back to its last good state at half the rate, and at last begins anew
 * with another seed; it says so, ends with the bytes of a run that was stopped and gone on with at any step, and
 * without the recipe's `cascade` nothing of it happens. */
#include "tiny_runs.h"

#include "base/file.h"
#include "base/json.h"
#include "train/cascade.h"

static void remedies_come_in_order(void **state) {
    (void)state;
    const tp_cascade off = {.restarts = 0, .seeds = 1}, on = {.restarts = 2, .seeds = 1};
    tp_failures f = tp_failures_new();
    assert_int_equal(tp_failures_remedy(&f, &off), TP_REMEDY_NONE);
    const tp_remedy expected[] = {TP_REMEDY_RESTART, TP_REMEDY_RESTART, TP_REMEDY_SEED,
                                  TP_REMEDY_RESTART, TP_REMEDY_RESTART, TP_REMEDY_NONE};
    const double rates[] = {1, 0.5, 0.25, 1, 0.5, 0.25};
    for (int i = 0; i < 6; i++) {
        assert_true(tp_failures_rate(&f) == rates[i]);
        assert_true((tp_failures_seed(&f, 7) == 7) == (i < 3));
        tp_remedy remedy = tp_failures_remedy(&f, &on);
        assert_int_equal(remedy, expected[i]);
        if (i < 5) tp_failures_add(&f, remedy, "it went wrong", 10 * i + 5, 10 * i);
    }
    json_t *note = json_object();
    tp_failures_to_note(&f, note);
    tp_failures again = tp_failures_new();
    assert_true(tp_failures_from_note(&again, note));
    assert_true(again.restarts == 2 && again.seeds == 1 && json_equal(again.history, f.history));
    json_object_set_new(json_object_get(note, "failures"), "seeds", json_string("one"));
    assert_false(tp_failures_from_note(&again, note));
    json_decref(note);
    tp_failures_free(&f);
    tp_failures_free(&again);
}

/* The failures that the outcome of a run tells of; free with json_decref. */
static json_t *failures_of(const char *folder) {
    char *path = tp_path_join(folder, "train.json");
    json_t *value = tp_json_load_file(path), *failures = json_incref(json_object_get(value, "failures"));
    json_decref(value);
    tp_free(path);
    return failures;
}

static int count_lines(const char *folder, const char *key) {
    char *path = tp_path_join(folder, "log.jsonl");
    tp_lines *lines = tp_lines_open(path);
    check_not_null(lines);
    char *line;
    size_t n;
    int found = 0;
    while (tp_lines_next(lines, &line, &n)) {
        json_t *value = json_loadb(line, n, 0, NULL);
        found += json_object_get(value, key) != NULL;
        json_decref(value);
    }
    tp_lines_close(lines);
    tp_free(path);
    return found;
}

static void a_run_that_cannot_be_saved_says_so(void **state) {
    (void)state;
    const char hopeless[] = "{\"optimiser\": {\"lr\": 0.1, \"warmup\": 0, \"clip\": 0.0}%s}";
    char changes[200];
    tp_train_result result;
    snprintf(changes, sizeof changes, hopeless, ", \"cascade\": {\"restarts\": 1}");
    check_error(train(in_dir("hopeless"), changes, 0, &result), "training failed: soft tokens");
    assert_int_equal(count_lines(in_dir("hopeless"), "failure"), 3); /* half the rate, another seed, half the rate */
    assert_non_null(strstr(said, "with another seed, rate times 1"));
    assert_non_null(strstr(said, "with the last good state, rate times 0.5"));
    /* what is said is all that happens without the section, and with one that minds only what is not finite */
    for (int i = 0; i < 2; i++) {
        snprintf(changes, sizeof changes, hopeless, i ? ", \"cascade\": {\"restarts\": 1, \"collapse\": false}" : "");
        check_ok(train(in_dir("plain"), changes, 0, &result));
        assert_int_equal(result.steps, 40);
        assert_non_null(strstr(said, "warning, step 21: soft tokens"));
        assert_int_equal(count_lines(in_dir("plain"), "failure"), 0);
        json_t *failures = failures_of(in_dir("plain"));
        assert_null(failures);
        shell("rm -r '%s'", in_dir("plain"));
    }
}

/* A loss that comes in later spoils what was good; half the rate, or another seed, gets over it. */
static const char spoiled[] = "{\"optimiser\": {\"lr\": 0.01, \"steps\": 60}, \"losses\": [{\"name\": \"lm\", "
                              "\"schedule\": {\"kind\": \"window\", "
                              "\"to\": 24}}, {\"name\": \"align\", \"tokens\": 3, \"weight\": 1000, \"schedule\": "
                              "{\"kind\": \"window\", \"from\": "
                              "24, \"to\": 100}}], \"cascade\": {\"restarts\": 3, \"seeds\": 2}}";

static void a_run_goes_on_from_its_last_good_state(void **state) {
    (void)state;
    check_train(in_dir("spoiled"), spoiled);
    json_t *failures = failures_of(in_dir("spoiled")), *failure;
    assert_true(json_array_size(failures) > 0);
    size_t i;
    json_array_foreach(failures, i, failure) {
        json_int_t step = json_integer_value(json_object_get(failure, "step"));
        assert_true(step % 10 == 0 && step < json_integer_value(json_object_get(failure, "seen_at")));
    }
    json_decref(failures);
    char *good = tp_path_join(in_dir("spoiled"), "good.safetensors");
    assert_false(tp_path_exists(good)); /* it is of no use any more */
    tp_free(good);
}

static void a_run_with_failures_resumes_bit_by_bit(void **state) {
    (void)state;
    const int64_t stops[] = {8, 14, 22, 34, 45};
    check_resumes(spoiled, stops, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remedies_come_in_order),
        cmocka_unit_test(a_run_that_cannot_be_saved_says_so),
        cmocka_unit_test(a_run_goes_on_from_its_last_good_state),
        cmocka_unit_test(a_run_with_failures_resumes_bit_by_bit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
