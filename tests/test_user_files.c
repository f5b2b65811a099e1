/* Text files as users have them: marks and line ends of every kind, encodings that are none, rows that lack something,
 * one row, and files too large to keep (shown with a low limit). Each is read right or refused with file, line and
 * reason. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/split.h"
#include "data/task.h"

static char *path_of(const char *name) {
    return tp_path_join(dir, name);
}

static void put(const char *name, const char *bytes, size_t n) {
    char *path = path_of(name);
    check_ok(tp_write_file(path, bytes, n));
    tp_free(path);
}
#define put_text(name, text) put(name, text, sizeof(text) - 1)

/* The task of train.csv and this file as test. */
static tp_task *with_test(const char *test) {
    char *train = path_of("train.csv"), *path = path_of(test);
    tp_task *task = tp_task_load(&(tp_task_options){.train_file = train, .test_file = path});
    tp_free(train);
    tp_free(path);
    return task;
}

static void put_train(void) {
    put_text("train.csv", "text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\ng,x\n");
}

static void odd_but_sound_files_are_read_right(void **state) {
    (void)state;
    put_train();
    static const struct {
        const char *name, *bytes, *text;
        size_t n_rows;
    } cases[] = {
        {"bom.csv", "\xEF\xBB\xBFlabel,text\r\nx,hello\r\n", "hello", 1},
        {"bom.jsonl", "\xEF\xBB\xBF{\"text\": \"hello\", \"label\": \"x\"}\r\n", "hello", 1},
        {"bom.tsv", "\xEF\xBB\xBFtext\tlabel\r\nhello\tx\r\n\r\n", "hello", 1},
        {"tab.csv", "text,label\n\"a\tb, \"\"c\"\"\r\nd\",y\n", "a\tb, \"c\"\r\nd", 1},
        {"tab.jsonl", "{\"text\": \"a\\tb\", \"label\": \"y\"}\n", "a\tb", 1},
        {"quote.tsv", "text\tlabel\n\"so\" he said\ty\n\"open\tx\n", "\"so\" he said", 2},
        {"last.csv", "text,label\nno line feed,x", "no line feed", 1},
        {"latin.csv", "text,label\ncaf\xE9,x\n", "caf\xE9", 1},
        {"empty text.csv", "text,label\n,x\nq,y\n", "", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(cases[i].name, cases[i].bytes, strlen(cases[i].bytes));
        tp_task *task = with_test(cases[i].name);
        check_not_null(task);
        assert_int_equal(task->test.n, cases[i].n_rows);
        assert_string_equal(task->test.examples[0].text, cases[i].text);
        tp_task_free(task);
    }
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    put_train();
#define CASE(name, bytes, sentence)                                                                                    \
    { name, bytes, sizeof(bytes) - 1, sentence }
    static const struct {
        const char *name, *bytes;
        size_t n;
        const char *sentence;
    } cases[] = {
        CASE("utf16.csv", "\xFF\xFEt\0e\0x\0t\0\n\0",
             "utf16.csv is text in UTF-16 (its byte-order mark says so); save"),
        CASE("utf16.jsonl", "\xFE\xFF\0{\0}", "utf16.jsonl is text in UTF-16"),
        CASE("bare16.csv", "t\0e\0x\0t\0\n\0", "bare16.csv, line 1 holds a zero byte"),
        CASE("zero.csv", "text,label\na,x\nb\0c,x\n", "zero.csv, line 3 holds a zero byte; text was expected"),
        CASE("mac.csv", "text,label\ra,x\rb,y\r", "mac.csv, line 1: lines end in CR alone; LF or CR LF was expected"),
        CASE("short.csv", "text,label\na,x\nb\n", "short.csv, line 3: 1 fields found, the header names 2"),
        CASE("comma.csv", "text,label\nwell, no,x\n",
             "3 fields found, the header names 2 (a text with commas must stand"),
        CASE("tab.tsv", "text\tlabel\n\"a\tb\"\tx\n", "tab.tsv, line 2: 3 fields found, the header names 2 (a tab in"),
        CASE("blank.csv", "text,label\na,x\nb,\"\"\n", "blank.csv, line 3: the label is empty"),
        CASE("blank.jsonl", "{\"text\":\"a\",\"label\":\"  \"}", "blank.jsonl, line 1: the label is empty"),
        CASE("null.jsonl", "{\"text\":\"a\",\"label\":null}", "null.jsonl, line 1: the key `label` is none of these"),
        CASE("none.jsonl", "{\"text\":\"a\"}", "none.jsonl, line 1: the key `label` is missing"),
        CASE("number.jsonl", "{\"text\":1,\"label\":\"x\"}", "number.jsonl, line 1: the key `text` is not a string"),
        CASE("open.csv", "text,label\na,x\n\"b,x\nc,x\n", "open.csv, line 3: a quote opens here and never closes"),
        CASE("blanks.csv", "\n\n\n", "blanks.csv holds no rows"),
        CASE("new.csv", "text,label\na,z\n", "new.csv, line 2: the label \"z\" is not one of those of train: x, y"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(cases[i].name, cases[i].bytes, cases[i].n);
        assert_null(with_test(cases[i].name));
        if (strstr(tp_last_error(), cases[i].sentence) == NULL)
            fail_msg("expected \"...%s...\", got \"%s\"", cases[i].sentence, tp_last_error());
    }
    put_text("one.csv", "text,label\na,x\n");
    char *one = path_of("one.csv");
    assert_null(tp_task_load(&(tp_task_options){.train_file = one}));
    assert_non_null(strstr(tp_last_error(), "one.csv: 1 different label in 1 row; 2 to 10000 were expected"));
    tp_free(one);
    tp_task *task = with_test("one.csv"); /* as a test file one row is enough */
    check_not_null(task);
    assert_int_equal(task->test.n, 1);
    tp_task_free(task);
}

/* ---- large files ---- */

enum { N_LARGE = 6000 };

/* Labels a, b and c as 6 : 3 : 1; every tenth text stands twice, once with the next label. */
static void put_large(const char *name, const char *prefix, int n) {
    tp_str text = {0};
    tp_str_append_text(&text, "text,label\n");
    for (int i = 0; i < n; i++)
        tp_str_appendf(&text, "%s %d,%c\n", prefix, i % 20 == 19 ? i - 1 : i, "aaaaaabbbc"[i % 10]);
    put(name, text.data, text.len);
    tp_str_free(&text);
}

static tp_task *load_large(const tp_task_options *options) {
    tp_task_options o = *options;
    char *train = path_of(o.train_file), *test = o.test_file ? path_of(o.test_file) : NULL;
    o.train_file = train;
    o.test_file = test;
    tp_task *task = tp_task_load(&o);
    tp_free(train);
    tp_free(test);
    check_not_null(task);
    return task;
}

static bool has_text(const tp_dataset *set, const char *text) {
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->examples[i].text, text) == 0) return true;
    return false;
}

static void check_order_and_ids(const tp_dataset *set, const char *prefix) {
    for (size_t i = 0; i < set->n; i++) {
        const tp_example *e = &set->examples[i];
        assert_true(i == 0 || e->id > set->examples[i - 1].id);
        char expected[64];
        snprintf(expected, sizeof expected, "%s %d", prefix, e->id % 20 == 19 ? e->id - 1 : e->id);
        assert_string_equal(e->text, expected);
        assert_int_equal(e->label, "aaaaaabbbc"[e->id % 10] - 'a');
    }
}

static void large_files_are_drawn_from_in_two_passes(void **state) {
    (void)state;
    put_large("large.csv", "row", N_LARGE);
    put_large("large test.csv", "row", 1500); /* every text of it stands in train */
    const tp_task_options base = {
        .train_file = "large.csv", .test_file = "large test.csv", .split_seed = 42, .large_rows = 1000};
    tp_task_options o = base;
    o.max_train = 500;
    o.max_test = 100;
    tp_task *small = load_large(&o);
    assert_true(small->large);
    assert_int_equal(small->n_labels, 3);
    assert_int_equal(small->train.n, 500);
    assert_int_equal(small->test.n, 100);
    assert_int_equal(small->n_overlap, 100);
    assert_in_range(small->valid.n, 500, 700); /* a tenth of 6000, give or take */
    check_order_and_ids(&small->train, "row");
    check_order_and_ids(&small->valid, "row");
    check_order_and_ids(&small->test, "row");
    size_t of[3] = {0};
    for (size_t i = 0; i < small->train.n; i++) of[small->train.examples[i].label]++;
    assert_in_range(of[0], 295, 305); /* in proportion */
    assert_in_range(of[1], 145, 155);
    assert_in_range(of[2], 45, 55);
    for (size_t i = 0; i < small->valid.n; i++) assert_false(has_text(&small->train, small->valid.examples[i].text));

    o.max_train = 900;
    tp_task *larger = load_large(&o); /* valid and test stay the same, and what was drawn is drawn again */
    assert_int_equal(larger->train.n, 900);
    assert_string_equal(larger->valid.fingerprint, small->valid.fingerprint);
    assert_string_equal(larger->test.fingerprint, small->test.fingerprint);
    size_t again = 0, at = 0;
    for (size_t i = 0; i < small->train.n; i++) {
        while (at < larger->train.n && larger->train.examples[at].id < small->train.examples[i].id) at++;
        again += at < larger->train.n && larger->train.examples[at].id == small->train.examples[i].id;
    }
    assert_int_equal(again, 500);
    tp_task_free(larger);
    o.max_train = 500;
    o.split_seed = 43;
    tp_task *other = load_large(&o);
    assert_string_not_equal(other->train.fingerprint, small->train.fingerprint);
    assert_string_not_equal(other->valid.fingerprint, small->valid.fingerprint);
    tp_task_free(other);
    tp_task_free(small);

    tp_task *all = load_large(&base);
    assert_int_equal(all->train.n + all->valid.n, N_LARGE);
    assert_int_equal(all->test.n, 1500);
    assert_int_equal(all->n_overlap, 1500);
    for (size_t i = 0; i < all->valid.n; i++) assert_false(has_text(&all->train, all->valid.examples[i].text));
    tp_task_free(all);
}

static void large_files_lose_what_overlaps_and_hold_out_a_test(void **state) {
    (void)state;
    put_large("large.csv", "row", N_LARGE);
    put_large("small test.csv", "row", 40);
    tp_task *task = load_large(&(tp_task_options){
        .train_file = "large.csv", .test_file = "small test.csv", .drop_overlap = true, .large_rows = 1000});
    assert_int_equal(task->n_overlap, 40);
    assert_int_equal(task->n_dropped, 40);
    assert_int_equal(task->train.n + task->valid.n, N_LARGE - 40);
    assert_false(has_text(&task->train, "row 7") || has_text(&task->valid, "row 7"));
    tp_task_free(task);
    task = load_large(&(tp_task_options){.train_file = "large.csv", .large_rows = 1000});
    assert_int_equal(task->train.n + task->valid.n + task->test.n, N_LARGE);
    assert_in_range(task->test.n, 1050, 1350); /* a fifth */
    assert_int_equal(task->n_overlap, 0);
    for (size_t i = 0; i < task->test.n; i++) assert_false(has_text(&task->train, task->test.examples[i].text));
    tp_task_free(task);
    task = load_large(&(tp_task_options){.train_file = "large.csv", .large_rows = N_LARGE}); /* just not too many */
    assert_false(task->large);
    assert_int_equal(task->test.n, 1200);
    tp_task_free(task);
}

static void large_files_fail_with_the_line(void **state) {
    (void)state;
    put_large("large.csv", "row", N_LARGE);
    put_large("broken.csv", "row", N_LARGE);
    char *path = path_of("broken.csv");
    FILE *f = fopen(path, "a");
    fputs("one field\n", f);
    fclose(f);
    assert_null(tp_task_load(&(tp_task_options){.train_file = path, .large_rows = 1000, .max_train = 10}));
    assert_non_null(strstr(tp_last_error(), "broken.csv, line 6002: 1 fields found, the header names 2"));
    f = fopen(path, "w"); /* a label that train lacks, far down in a large test file */
    fputs("text,label\n", f);
    for (int i = 0; i < 2000; i++) fprintf(f, "t %d,%c\n", i, i == 1900 ? 'q' : 'a');
    fclose(f);
    char *train = path_of("large.csv");
    assert_null(tp_task_load(&(tp_task_options){
        .train_file = train, .test_file = path, .large_rows = 1000, .max_train = 10, .max_test = 5}));
    assert_non_null(
        strstr(tp_last_error(), "broken.csv, line 1902: the label \"q\" is not one of those of train: a, b, c"));
    tp_free(train);
    tp_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_but_sound_files_are_read_right),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(large_files_are_drawn_from_in_two_passes),
        cmocka_unit_test(large_files_lose_what_overlaps_and_hold_out_a_test),
        cmocka_unit_test(large_files_fail_with_the_line),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
