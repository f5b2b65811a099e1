/* base/progress and base/table: what people see while they wait, and when it is done. The clock is the test's own. */
#include "check.h"

#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "base/table.h"

static double fake_time;

static double fake_clock(void) {
    return fake_time;
}

static void collect(void *context, const char *bytes, size_t n) {
    tp_str_append(context, bytes, n);
}

static void numbers_are_short(void **state) {
    (void)state;
    char out[16];
    assert_string_equal(tp_format_seconds(4.25, out), "4.2s");
    assert_string_equal(tp_format_seconds(59.4, out), "59s");
    assert_string_equal(tp_format_seconds(59.6, out), "1m00s");
    assert_string_equal(tp_format_seconds(724, out), "12m04s");
    assert_string_equal(tp_format_seconds(3599.9, out), "1h00m");
    assert_string_equal(tp_format_seconds(3600 * 3 + 300, out), "3h05m");
    assert_string_equal(tp_format_seconds(-1, out), "?");
    assert_string_equal(tp_format_count(950, out), "950");
    assert_string_equal(tp_format_count(0.5, out), "0.50");
    assert_string_equal(tp_format_count(999.6, out), "1.00k");
    assert_string_equal(tp_format_count(15230, out), "15.2k");
    assert_string_equal(tp_format_count(3.4e6, out), "3.40M");
}

static void a_log_gets_few_whole_lines(void **state) {
    (void)state;
    tp_str log = {0};
    fake_time = 100;
    tp_progress *p = tp_progress_new((tp_progress_sink){.write = collect, .context = &log, .clock = fake_clock});
    tp_progress_begin(p, "pretrain", 400, "steps", "tokens");
    for (int step = 1; step <= 400; step++) {
        fake_time += 0.1; /* 10 steps, 5000 tokens a second */
        tp_progress_update(p, step, 500.0 * step, "loss %.2f", 4.0 - step / 200.0);
        if (step == 200) tp_progress_say(p, "validation: 1.93 bits per byte");
    }
    tp_progress_end(p);
    tp_progress_free(p);
    assert_null(strchr(log.data, '\r'));
    assert_null(strchr(log.data, '\x1b'));
    int lines = 0;
    for (size_t i = 0; i < log.len; i++) lines += log.data[i] == '\n';
    assert_true(lines >= 5 && lines <= 6); /* 40 s: three or four, the sentence, the end */
    assert_non_null(strstr(log.data, "\nvalidation: 1.93 bits per byte\n"));
    assert_non_null(strstr(log.data, "/400 steps  25%  5.00k tokens/s  ETA 30s  loss 3.50\n"));
    assert_non_null(strstr(log.data, "pretrain  400/400 steps  100%  5.00k tokens/s  in 40s  loss 2.00\n"));
    tp_str_free(&log);
}

static void a_terminal_line_is_rewritten_and_never_wraps(void **state) {
    (void)state;
    tp_str log = {0};
    fake_time = 5;
    tp_progress *p = tp_progress_new(
        (tp_progress_sink){.write = collect, .context = &log, .clock = fake_clock, .rewrite = true, .columns = 40});
    tp_progress_begin(p, "reading", 0, "files", NULL);
    for (int i = 1; i <= 50; i++) {
        fake_time += 0.02;
        tp_progress_update(p, i, 0, "a text that is far too long for so narrow a terminal");
    }
    int rewrites = 0;
    for (char *at = log.data; (at = strstr(at, "\r\x1b[K")) != NULL; at++) rewrites++;
    assert_true(rewrites >= 7 && rewrites <= 9); /* in one second, the first line not counted */
    char *last = strrchr(log.data, 'K') + 1;
    assert_int_equal(strlen(last), 39);
    assert_null(strchr(log.data, '\n'));
    tp_progress_say(p, "note");
    assert_non_null(strstr(log.data, "\r\x1b[Knote\nreading  50 files"));
    tp_progress_free(p); /* ends the line */
    assert_int_equal(log.data[log.len - 1], '\n');
    assert_non_null(strstr(log.data, "50 files/s  in 1.0s"));
    tp_str_free(&log);
}

static void a_resumed_run_counts_only_its_own_steps(void **state) {
    (void)state;
    tp_str log = {0};
    fake_time = 0;
    tp_progress *p = tp_progress_new((tp_progress_sink){.write = collect, .context = &log, .clock = fake_clock});
    tp_progress_begin(p, "train", 1000, "steps", NULL);
    tp_progress_resume(p, 900, 0);
    fake_time = 20;
    tp_progress_update(p, 920, 0, "%s", "");
    assert_string_equal(log.data, "train  920/1000 steps  92%  1 steps/s  ETA 1m20s\n");
    tp_progress_free(p);
    tp_str_free(&log);
}

static void nobody_watching_is_fine(void **state) {
    (void)state;
    tp_progress_begin(NULL, "x", 1, "steps", NULL);
    tp_progress_resume(NULL, 0, 0);
    tp_progress_update(NULL, 1, 0, "%d", 1);
    tp_progress_say(NULL, "x");
    tp_progress_end(NULL);
    tp_progress_free(NULL);
}

static void tables_align_what_people_see(void **state) {
    (void)state;
    tp_table *t = tp_table_new();
    tp_table_column(t, "<method");
    tp_table_column(t, ">accuracy");
    tp_table_column(t, "<note");
    tp_table_cell(t, "majority");
    tp_table_cell(t, "%.1f", 18.8);
    tp_table_cell(t, "%s", "");
    tp_table_rule(t);
    tp_table_cell(t, "Brücke\t漢");
    tp_table_cell(t, "100.0");
    tp_table_cell(t, "\xFF is kept");
    tp_table_cell(t, "half");
    char *plain = tp_table_text(t, TP_TABLE_PLAIN);
    assert_string_equal(plain, "method     accuracy  note\n"
                               "---------  --------  ---------\n"
                               "majority       18.8\n"
                               "---------  --------  ---------\n"
                               "Brücke 漢     100.0  \xFF is kept\n"
                               "half\n");
    char *markdown = tp_table_text(t, TP_TABLE_MARKDOWN);
    assert_string_equal(markdown, "| method    | accuracy | note      |\n"
                                  "|-----------|---------:|-----------|\n"
                                  "| majority  |     18.8 |           |\n"
                                  "| Brücke 漢 |    100.0 | \xFF is kept |\n"
                                  "| half      |          |           |\n");
    tp_free(plain);
    tp_free(markdown);
    tp_table_free(t);
    tp_table_free(NULL);
}

static void widths_are_those_of_a_terminal(void **state) {
    (void)state;
    assert_int_equal(tp_text_width("abc", 3), 3);
    assert_int_equal(tp_text_width("漢字", 6), 4);
    assert_int_equal(tp_text_width("e\xCC\x81", 3), 1); /* e and a combining accent */
    assert_int_equal(tp_text_width("\xFF\xFE", 2), 2);
    assert_int_equal(tp_text_fit("漢字x", 7, 3), 3);
    assert_int_equal(tp_text_fit("漢字x", 7, 5), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(a_log_gets_few_whole_lines),
        cmocka_unit_test(a_terminal_line_is_rewritten_and_never_wraps),
        cmocka_unit_test(a_resumed_run_counts_only_its_own_steps),
        cmocka_unit_test(nobody_watching_is_fine),
        cmocka_unit_test(tables_align_what_people_see),
        cmocka_unit_test(widths_are_those_of_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
