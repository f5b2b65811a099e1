/* `telepathy report` through the real program: where the page goes, the formats, and what is refused. */
#include "program.h"

#include "markup.h"
#include "report_runs.h"

static const char *const labels[] = {"cat", "dog"};

/* The file's bytes; the caller frees them. */
static char *file(const char *name) {
    tp_str text = {0};
    char *bytes = NULL;
    size_t n = 0;
    check_ok(tp_read_file(in_dir(name), 0, &bytes, &n));
    tp_str_append(&text, bytes, n);
    tp_free(bytes);
    return tp_str_take(&text);
}

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    for (int seed = 1; seed < 3; seed++) {
        char folder[32];
        snprintf(folder, sizeof folder, "runs/pets-%d", seed);
        make_run(dir, &(made_run){folder, "pets", "Pets, made up", labels, 2, 100, 4, 2, seed, common_methods,
                                  N_COMMON_METHODS});
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

static void the_page_goes_where_it_should(void **state) {
    (void)state;
    const char *out = expect_success("", "report @/runs", "");
    assert_string_equal(out, in_dir("@/runs/report.html\n"));
    char *page = file("@/runs/report.html");
    check_markup(page);
    assert_true(check_drawings(page) > 2);
    assert_non_null(strstr(page, "2 runs on pets"));
    /* once more, by another way, in another language: the same bytes */
    assert_string_equal(expect_success("LC_ALL=de_DE.UTF-8 TZ=Asia/Tokyo", "report @/runs --out -", "<!DOCTYPE html>"),
                        page);
    expect_success("", "report @/runs/pets-2 @/runs/pets-1 --out @/other.html", "other.html");
    char *other = file("@/other.html");
    assert_string_equal(other, page);
    tp_free(other);
    tp_free(page);
}

static void formats_go_to_stdout(void **state) {
    (void)state;
    expect_success("", "report @/runs --format md", "# What wren tells finch without words");
    expect_success("", "report @/runs --format csv", "table,group,row,column,value\n");
    json_t *value = expect_json("", "report @/runs/pets-1 --format json");
    assert_true(json_array_size(json_object_get(value, "tables")) > 3);
    json_decref(value);
}

static void mistakes_get_one_sentence(void **state) {
    (void)state;
    expect_failure("", "report @/runs/pets-1 @/runs/pets-2", 2, "--out must say where it goes");
    expect_failure("", "report @/nowhere", 1, "nowhere");
    expect_failure("", "report @/runs --format pdf", 2, "pdf");
    expect_failure("", "report", 2, "DIR");
    make_file(in_dir("@"), "runs.db",
              "no database at all, but long enough to be looked at for a while, which is refused");
    expect_failure("", "report @", 1, "runs.db");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_goes_where_it_should),
        cmocka_unit_test(formats_go_to_stdout),
        cmocka_unit_test(mistakes_get_one_sentence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
