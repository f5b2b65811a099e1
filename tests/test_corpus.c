/* data/corpus: documents streamed from JSON lines and plain text, and the sentences for broken files. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/corpus.h"

#include <zlib.h>

/* Writes `text` as dir/name (gzipped if the name says so) and gives the path. */
static char *put(const char *dir, const char *name, const char *text, size_t n) {
    char *path = tp_path_join(dir, name);
    if (tp_ends_with(name, ".gz")) {
        gzFile gz = gzopen(path, "wb");
        assert_int_equal(gzwrite(gz, text, (unsigned)n), (int)n);
        gzclose(gz);
    } else {
        check_ok(tp_write_file(path, text, n));
    }
    return path;
}

static void expect(tp_corpus *c, const char *document) {
    const char *text;
    size_t n;
    if (!tp_corpus_next(c, &text, &n)) fail_msg("no document, `%s` was expected: %s", document, tp_last_error());
    assert_int_equal(n, strlen(document));
    assert_string_equal(text, document);
}

static void expect_end(tp_corpus *c) {
    const char *text;
    size_t n;
    assert_false(tp_corpus_next(c, &text, &n));
    check_ok(tp_corpus_status(c));
}

static void documents_come_in_order_from_every_format(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    const char *json =
        "\xEF\xBB\xBF{\"id\": 1, \"text\": \"one\\nline\"}\n\n{\"text\": \"\"}\n{\"text\": \"zwei \\u00e4\"}";
    const char *plain = "\n\nA title\r\n\nand its\ntext \xFF\n\n\n";
    char *paths[] = {put(dir, "b.jsonl", json, strlen(json)), put(dir, "a.txt", plain, strlen(plain)),
                     put(dir, "c.jsonl.gz", "{\"text\": \"three\"}\n", 18), put(dir, "d.txt.gz", "four", 4)};
    tp_corpus *c = tp_corpus_open((const char *const *)paths, 4);
    check_not_null(c);
    for (int epoch = 0; epoch < 2; epoch++) {
        expect(c, "one\nline");
        expect(c, "zwei \xC3\xA4");
        expect(c, "A title\r\n\nand its\ntext \xFF"); /* what is no UTF-8 is kept */
        expect(c, "three");
        expect(c, "four");
        expect_end(c);
        tp_corpus_rewind(c);
    }
    tp_corpus_close(c);

    /* a folder: the same files by name, others left alone */
    tp_free(put(dir, "notes.csv", "x", 1));
    c = tp_corpus_open((const char *const[]){dir}, 1);
    check_not_null(c);
    expect(c, "A title\r\n\nand its\ntext \xFF");
    expect(c, "one\nline");
    size_t done, total;
    tp_corpus_position(c, &done, &total);
    assert_int_equal(done, 1);
    assert_int_equal(total, 4);
    tp_corpus_close(c);
    for (int i = 0; i < 4; i++) tp_free(paths[i]);
    check_remove_dir(dir);
}

static void a_long_text_is_split_at_blank_lines(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    tp_str text = {0};
    enum { PARAGRAPHS = 5000 };
    for (int i = 0; i < PARAGRAPHS; i++)
        tp_str_appendf(&text, "paragraph %d,\nsecond line\n%s", i, i % 3 ? "\n" : " \t\n\n");
    char *path = put(dir, "long.txt.gz", text.data, text.len);
    tp_corpus *c = tp_corpus_open((const char *const[]){path}, 1);
    check_not_null(c);
    for (int i = 0; i < PARAGRAPHS; i++) {
        char *document = tp_format("paragraph %d,\nsecond line", i);
        expect(c, document);
        tp_free(document);
    }
    expect_end(c);
    tp_corpus_close(c);
    tp_str_free(&text);
    tp_free(path);
    check_remove_dir(dir);
}

static void a_text_at_the_limit_is_one_document(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    for (int over = 0; over < 2; over++) {
        tp_str text = {0};
        tp_str_append_text(&text, "first\n\n");
        while (text.len < 65535 + (size_t)over) tp_str_append_char(&text, 'x');
        tp_str_append_char(&text, '\n'); /* 65536 bytes, or one more */
        char *path = put(dir, "limit.txt", text.data, text.len);
        tp_corpus *c = tp_corpus_open((const char *const[]){path}, 1);
        check_not_null(c);
        const char *document;
        size_t n;
        assert_true(tp_corpus_next(c, &document, &n));
        assert_int_equal(n, over ? 5 : 65535);
        tp_corpus_close(c);
        tp_str_free(&text);
        tp_free(path);
    }
    check_remove_dir(dir);
}

/* Reads a one-file corpus to its end, which must be an error that holds every one of the NULL-terminated parts. */
static void expect_error(const char *dir, const char *name, const char *content, const char *const *parts) {
    char *path = put(dir, name, content, strlen(content));
    tp_corpus *c = tp_corpus_open((const char *const[]){path}, 1);
    if (c != NULL) {
        const char *text;
        size_t n;
        while (tp_corpus_next(c, &text, &n)) continue;
        assert_int_not_equal(tp_corpus_status(c), TP_OK);
        tp_corpus_rewind(c); /* an error is not forgotten */
        assert_false(tp_corpus_next(c, &text, &n));
        tp_corpus_close(c);
    }
    assert_non_null(strstr(tp_last_error(), name));
    for (; *parts; parts++)
        if (strstr(tp_last_error(), *parts) == NULL) fail_msg("`%s` is not in: %s", *parts, tp_last_error());
    tp_free(path);
}

static void broken_files_are_named_with_their_line(void **state) {
    (void)state;
    char *dir = check_temp_dir();
#define PARTS(...) (const char *const[]){__VA_ARGS__, NULL}
    expect_error(dir, "broken.jsonl", "{\"text\": \"a\"}\n\n{\"text\": \n", PARTS("line 3", "not valid JSON"));
    expect_error(dir, "nofield.jsonl", "{\"Text\": \"a\"}\n", PARTS("line 1", "no field `text`"));
    expect_error(dir, "number.jsonl", "{\"text\": \"a\"}\n{\"text\": 7}\n", PARTS("line 2", "not a string"));
    expect_error(dir, "list.jsonl", "[1]\n", PARTS("line 1", "an object was expected"));
    expect_error(dir, "twice.jsonl", "{\"text\": \"a\", \"text\": \"b\"}\n", PARTS("line 1", "duplicate"));
    expect_error(dir, "latin1.jsonl", "{\"text\": \"\xE4\"}\n", PARTS("line 1"));
    expect_error(dir, "empty.txt", "", PARTS("holds no text"));
    expect_error(dir, "blank.txt.gz", " \n\n", PARTS("holds no text"));
    expect_error(dir, "empty.jsonl", "{\"text\": \"\"}", PARTS("holds no text"));
    expect_error(dir, "table.csv", "text\n", PARTS(".jsonl, .jsonl.gz, .txt or .txt.gz"));
    char *absent = tp_path_join(dir, "absent.txt"), *sub = tp_path_join(dir, "sub");
    assert_null(tp_corpus_open((const char *const[]){absent}, 1));
    assert_non_null(strstr(tp_last_error(), "absent.txt"));
    check_ok(tp_make_dirs(sub));
    assert_null(tp_corpus_open((const char *const[]){sub}, 1));
    assert_non_null(strstr(tp_last_error(), "holds no"));
    assert_null(tp_corpus_open(NULL, 0));
    tp_free(absent);
    tp_free(sub);
    check_remove_dir(dir);
}

/* A gzip file that was cut off must not pass for a shorter one. */
static void a_truncated_gzip_file_is_an_error(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    tp_str text = {0};
    for (unsigned i = 0; i < 20000; i++) tp_str_appendf(&text, "{\"text\": \"%u\"}\n", i * 2654435761u);
    char *path = put(dir, "cut.jsonl.gz", text.data, text.len);
    assert_int_equal(truncate(path, tp_file_size(path) - 4000), 0);
    tp_corpus *c = tp_corpus_open((const char *const[]){path}, 1);
    check_not_null(c);
    const char *document;
    size_t n;
    while (tp_corpus_next(c, &document, &n)) continue;
    assert_int_equal(tp_corpus_status(c), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "cut.jsonl.gz"));
    tp_corpus_close(c);
    char *bytes;
    assert_int_equal(tp_read_file(path, 0, &bytes, &n), TP_ERR_IO);
    tp_str_free(&text);
    tp_free(path);
    check_remove_dir(dir);
}

static void the_shared_corpus_reads_to_its_end(void **state) {
    (void)state;
    check_needs_shared("corpus/open/gsm8k_train.jsonl.gz");
    tp_corpus *c = tp_corpus_open((const char *const[]){check_shared("corpus/open/gsm8k_train.jsonl.gz")}, 1);
    check_not_null(c);
    const char *text;
    size_t n, documents = 0, bytes = 0;
    while (tp_corpus_next(c, &text, &n)) documents++, bytes += n;
    check_ok(tp_corpus_status(c));
    assert_int_equal(documents, 7473); /* the size of GSM8K's train split */
    assert_true(bytes > 3000000);
    tp_corpus_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_in_order_from_every_format),
        cmocka_unit_test(a_long_text_is_split_at_blank_lines),
        cmocka_unit_test(a_text_at_the_limit_is_one_document),
        cmocka_unit_test(broken_files_are_named_with_their_line),
        cmocka_unit_test(a_truncated_gzip_file_is_an_error),
        cmocka_unit_test(the_shared_corpus_reads_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
