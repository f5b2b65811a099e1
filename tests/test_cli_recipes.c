/* `telepathy recipes` through the real program. */
#include "program.h"

static const char *const folder = "--folder '" TP_SOURCE_DIR "/recipes'";

/* The words of the command, behind them where the recipes are; valid until the next call. */
static const char *words(const char *text) {
    static char all[4200];
    snprintf(all, sizeof all, "recipes %s %s", text, folder);
    return all;
}

static void the_list_says_what_others_found(void **state) {
    (void)state;
    const char *text = expect_success("", words("list"), "phases/01-lm-recon");
    assert_non_null(strstr(text, "posterior collapse"));
    assert_null(strstr(text, "suites"));
    text = expect_success("", words("list --markdown"), "| `phases/18-ag-news`");
    assert_non_null(strstr(text, "report, section 59"));
    text = expect_success("", words("list --json"), "");
    json_t *list = json_loads(text, 0, NULL), *one, *found = NULL;
    size_t i;
    json_array_foreach(list, i, one) if (strcmp(json_string_value(json_object_get(one, "name")),
                                                "phases/19-latent-cot") == 0) found = one;
    assert_non_null(found);
    assert_string_equal(json_string_value(json_object_get(found, "bridge")), "latent_cot");
    assert_string_equal(json_string_value(json_object_get(found, "losses")), "lm, 0.1 diversity");
    json_decref(list);
    expect_failure("", words("list trec"), 2, "takes no recipes, 1 are given");
}

static void a_recipe_is_shown_in_full(void **state) {
    (void)state;
    const char *text = expect_success("", words("show trec"), "sender.layer");
    assert_non_null(strstr(text, "\"Question type:\"")); /* the task's primer, filled in */
    assert_non_null(strstr(text, "losses[1].name"));
    text = expect_success("", words("show 03b"), "Their verdict: the fix works");
    text = expect_success("", words("show 03b --json"), "");
    json_t *whole = json_loads(text, 0, NULL);
    assert_non_null(json_object_get(json_object_get(whole, "comment"), "did"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(whole, "optimiser"), "warmup")), 100);
    json_decref(whole);
    expect_failure("", words("show no-such"), 1, "there is no recipe `no-such`");
}

static void two_recipes_differ_in_keys(void **state) {
    (void)state;
    const char *text = expect_success("", words("diff 07 08"), "losses: ");
    assert_non_null(strstr(text, "\"recon\""));
    assert_null(strstr(text, "name: \"07"));
    expect_success("", words("diff 03b 03b"), "say the same");
    text = expect_success("", words("diff 04 05 --json"), "");
    json_t *list = json_loads(text, 0, NULL), *one;
    size_t i, seen = 0;
    json_array_foreach(list, i, one) {
        if (strcmp(json_string_value(json_object_get(one, "key")), "bridge.soft_tokens") != 0) continue;
        seen++;
        assert_int_equal(json_integer_value(json_object_get(one, "first")), 32);
        assert_int_equal(json_integer_value(json_object_get(one, "second")), 64);
    }
    assert_int_equal(seen, 1);
    json_decref(list);
    expect_failure("", words("diff 07"), 2, "takes two recipes, 1 are given");
}

static void a_check_says_what_is_wrong(void **state) {
    (void)state;
    static const char broken[] = "{\"task\": {\"name\": \"trec\"}, \"optimiser\": {\"batch\": 1}}",
                      misspelt[] = "{\"bridge\": {\"soft_token\": 3}}";
    char *path = tp_path_join(dir, "broken.json"), *other = tp_path_join(dir, "misspelt.json");
    check_ok(tp_write_file(path, broken, strlen(broken)));
    check_ok(tp_write_file(other, misspelt, strlen(misspelt)));
    tp_free(path);
    tp_free(other);
    expect_success("", words("check trec"), "nothing is wrong or unusual");
    expect_success("", words("check 17"), "unusual: diversity has the weight 0.1, but the task has 2 classes");
    expect_success("", words("check 03 --json"), "mean squared distance");
    outcome o = telepathy("", words("check @/broken.json"));
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.out, "wrong: diversity compares the examples of a batch"));
    assert_non_null(strstr(o.err, "cannot be trained as it is"));
    expect_failure("", words("check @/misspelt.json"), 1, "`bridge.soft_token`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_says_what_others_found),
        cmocka_unit_test(a_recipe_is_shown_in_full),
        cmocka_unit_test(two_recipes_differ_in_keys),
        cmocka_unit_test(a_check_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
