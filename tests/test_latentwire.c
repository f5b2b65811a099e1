/* latentwire: the recipe's section, encoders and adapters. */
#include "check.h"

#include "base/mem.h"
#include "bridge/recipe.h"

static tp_recipe *recipe_of(const char *text) {
    json_t *value = tp_json_load_bytes(text, strlen(text), "r.json");
    check_not_null(value);
    tp_recipe *recipe = tp_recipe_from_json(value, "r.json");
    json_decref(value);
    return recipe;
}

/* ---- the recipe's section ---- */

static void a_section_reads_back_as_it_was_written(void **state) {
    (void)state;
    const char all[] =
        "{\"latentwire\": {\"encoder\": \"pca\", \"receivers\": [\"a\", \"b\"], \"width\": 32, \"private\": 2, "
        "\"max_bytes\": 99, \"adapter\": \"mlp\", \"hidden\": 48, \"dropout\": 0.1, \"calibrate\": false, "
        "\"scale_reg\": 0.1, \"slot_dropout\": 0.2, \"warmup\": 7, \"align\": 0.25, \"align_tokens\": 3, "
        "\"recon\": {\"cosine\": 1.5, \"mse\": 2.5}}}";
    tp_recipe *r = recipe_of(all);
    check_not_null(r);
    json_t *given = tp_json_load_bytes(all, strlen(all), "given"), *written = tp_recipe_to_json(r);
    assert_true(json_equal(json_object_get(given, "latentwire"), json_object_get(written, "latentwire")));
    json_decref(given);
    json_decref(written);
    check_ok(tp_latentwire_recipe_set_receivers(r->latentwire, "c,d,e"));
    assert_int_equal(r->latentwire->n_receivers, 3);
    assert_string_equal(r->latentwire->receivers[2], "e");
    assert_int_equal(tp_latentwire_recipe_set_receivers(r->latentwire, "c,,e"), TP_ERR_ARGUMENT);
    assert_int_equal(tp_latentwire_recipe_set_receivers(r->latentwire, "a,b,c,d,e,f,g,h,i"), TP_ERR_ARGUMENT);
    tp_recipe_free(r);
}

static void without_a_section_nothing_is_written(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{}");
    check_not_null(r);
    assert_null(r->latentwire);
    json_t *written = tp_recipe_to_json(r);
    assert_null(json_object_get(written, "latentwire"));
    json_decref(written);
    tp_recipe_free(r);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"latentwire\": {}}", "`latentwire.encoder`"},
        {"{\"latentwire\": {\"encoder\": \"words\"}}", "`latentwire.encoder`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"bites\": 3}}", "`latentwire.bites`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"recon\": {\"mae\": 3}}}", "`latentwire.recon.mae`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": []}}", "`latentwire.receivers` is empty"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": [\"a\", 1]}}", "at place 1"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}}", "at most 8"},
        {"{\"latentwire\": 3}", "`latentwire`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(recipe_of(cases[i].text));
        if (strstr(tp_last_error(), cases[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_reads_back_as_it_was_written),
        cmocka_unit_test(without_a_section_nothing_is_written),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
