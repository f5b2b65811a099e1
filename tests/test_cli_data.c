/* `telepathy data` through the real program. Nothing is fetched here (test_download does that without the network). */
#include "program.h"

static void put(const char *name, const char *text) {
    char *path = tp_path_join(dir, name);
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static void the_list_names_every_task(void **state) {
    (void)state;
    const char *text = expect_success("", "data list", "commonsenseqa");
    assert_non_null(strstr(text, "CC BY-SA 3.0"));
    assert_non_null(strstr(text, "https://rajpurkar.github.io/SQuAD-explorer/"));
    text = expect_success("", "data list --json", "passkey");
    json_t *list = json_loads(text, 0, NULL), *task;
    assert_int_equal(json_array_size(list), 17);
    size_t i, fetched = 0;
    json_array_foreach(list, i, task) {
        assert_true(json_string_length(json_object_get(task, "title")) > 0);
        json_t *files = json_object_get(task, "files"), *file;
        size_t k;
        json_array_foreach(files, k, file) {
            assert_true(json_integer_value(json_object_get(file, "size")) > 0);
            assert_true(tp_starts_with(json_string_value(json_object_get(file, "url")), "http"));
            fetched++;
        }
    }
    assert_true(fetched >= 15);
    json_decref(list);
    expect_failure("", "data list trec", 2, "list takes no task");
}

static json_t *file_of(const json_t *document, size_t i) {
    return json_array_get(json_object_get(document, "files"), i);
}

static json_int_t number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_non_null(value);
    return json_integer_value(value);
}

static void a_check_counts_what_is_in_the_files(void **state) {
    (void)state;
    put("train.csv", "text,label\na,x\nb,y\na,x\nb,x\n,y\n\"c\nd\",x\n");
    put("test.csv", "text,label\nb,y\nq,x\nq,x\n");
    expect_success("", "data check @/train.csv --test @/test.csv", "texts in both train and test: 1");
    json_t *d = json_loads(expect_success("", "data check @/train.csv --test @/test.csv --json", "files"), 0, NULL);
    assert_int_equal(number(d, "problems"), 0);
    assert_int_equal(number(d, "overlap"), 1);
    json_t *train = file_of(d, 0);
    assert_int_equal(number(train, "rows"), 6);
    assert_int_equal(number(train, "empty_texts"), 1);
    assert_int_equal(number(train, "repeated_texts"), 2);
    assert_int_equal(number(train, "contradictions"), 1);
    assert_int_equal(number(json_object_get(train, "labels"), "x"), 4);
    assert_int_equal(number(json_object_get(train, "labels"), "y"), 2);
    assert_int_equal(number(file_of(d, 1), "repeated_texts"), 1);
    json_decref(d);
}

static void a_check_reads_on_behind_what_is_wrong(void **state) {
    (void)state;
    put("bad.csv", "text,label\na,x\nb\nc,y\nd,\n\"e\"f,x\ng,x\n\"open,y\nh,y\n");
    outcome o = telepathy("", "data check @/bad.csv -q");
    assert_int_equal(o.code, 1);
    static const char *const sentences[] = {"bad.csv, line 3: 1 fields found", "bad.csv, line 5: the label is empty",
                                            "bad.csv, line 6: a quote closes and then `f` stands",
                                            "bad.csv, line 8: a quote opens here and never closes", "3 rows"};
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        if (strstr(o.out, sentences[i]) == NULL) fail_msg("`%s` is not in `%s`", sentences[i], o.out);
    assert_non_null(strstr(o.err, "4 problems found"));
    tp_str many = {0};
    for (int i = 0; i < 50; i++) tp_str_appendf(&many, "{\"text\": \"a\", \"label\": %s}\n", i % 2 ? "\"x\"" : "[]");
    tp_str_append_text(&many, "{\"text\": \"b\", \"label\": \"y\"}\n");
    put("many.jsonl", many.data);
    tp_str_free(&many);
    o = telepathy("", "data check @/many.jsonl -q");
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.out, "... and 5 more"));
    assert_non_null(strstr(o.out, "many.jsonl, line 1: the key `label` is none of these"));
}

static void a_check_of_a_task_knows_what_was_expected(void **state) {
    (void)state;
    put("valid.jsonl", "{\"goal\": \"g\", \"sol1\": \"s\", \"sol2\": \"t\"}\n{\"goal\": \"h\", \"sol1\": \"s\"}\n");
    put("valid-labels.lst", "0\n1\n");
    outcome o = telepathy("", "data check piqa --data @ -q");
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.out, "valid.jsonl, line 2: the key `sol2` is missing"));
    assert_non_null(strstr(o.out, "holds 1 good rows, 1838 were expected"));
    assert_non_null(strstr(o.out, "the task piqa cannot be trained on: its train.jsonl is not in"));
    expect_failure("", "data check passkey", 1, "the task passkey is made by the program; it has no files to check");
    expect_failure("", "data check trec --data @", 1, "train_5500.label and TREC_10.label");
    expect_failure("", "data check nonsense", 1, "there is no task \"nonsense\"");
    expect_failure("", "data check", 2, "check needs the name of a task");
    expect_failure("", "data check @/valid.jsonl --data @", 2, "--data goes with a built-in task");
    expect_failure("", "data check trec --test x.csv", 2, "--test goes with a file of your own");
}

static void get_says_what_it_cannot(void **state) {
    (void)state;
    expect_failure("", "data get trec", 2, "get needs --out");
    expect_failure("", "data get passkey --out @/x", 1, "there is nothing to fetch");
    expect_failure("", "data get mnli --out @/x", 1, "see https://cims.nyu.edu/~sbowman/multinli/");
    put("train_5500.label", "mine\n"); /* before anything is asked of anybody */
    expect_failure("https_proxy=http://127.0.0.1:9", "data get trec --out @ -q", 1, "not overwritten: ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_names_every_task),
        cmocka_unit_test(a_check_counts_what_is_in_the_files),
        cmocka_unit_test(a_check_reads_on_behind_what_is_wrong),
        cmocka_unit_test(a_check_of_a_task_knows_what_was_expected),
        cmocka_unit_test(get_says_what_it_cannot),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
