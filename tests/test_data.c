/* data/: CSV records, the row formats, cleaning, labels, splits, answers, and the four original data sets. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/clean.h"
#include "data/csv.h"
#include "data/split.h"
#include "data/task.h"

#include <zlib.h>

static const char *put(const char *name, const char *bytes, size_t n) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    check_ok(tp_write_file(path, bytes, n));
    return path;
}
#define put_text(name, text) put(name, text, sizeof(text) - 1)

static void check_record(tp_csv *csv, size_t line, const char *const *fields) {
    assert_true(tp_csv_next(csv));
    assert_int_equal(tp_csv_line(csv), line);
    size_t n = 0, len;
    for (; fields[n]; n++) {
        assert_true(n < tp_csv_n_fields(csv));
        assert_string_equal(tp_csv_field(csv, n, &len), fields[n]);
        assert_int_equal(len, strlen(fields[n]));
    }
    assert_int_equal(tp_csv_n_fields(csv), n);
}
#define fields(...) ((const char *const[]){__VA_ARGS__, NULL})

static void csv_follows_its_standard(void **state) {
    (void)state;
    tp_csv *csv = tp_csv_open(put_text("a.csv", "\xEF\xBB\xBF"
                                                "a,\"b\",c\r\n"
                                                "\"two \"\"quotes\"\"\",\"line\nfeed\",\"cr\r\nlf\"\r\n"
                                                "\n"
                                                ",,\n"
                                                "in\"side,\"\",\"a,b\"\n"
                                                "caf\xE9,x,last"),
                              ',', true);
    check_not_null(csv);
    check_record(csv, 1, fields("a", "b", "c"));
    check_record(csv, 2, fields("two \"quotes\"", "line\nfeed", "cr\r\nlf"));
    check_record(csv, 6, fields("", "", ""));
    check_record(csv, 7, fields("in\"side", "", "a,b"));
    check_record(csv, 8, fields("caf\xE9", "x", "last"));
    assert_false(tp_csv_next(csv));
    check_ok(tp_csv_status(csv));
    tp_csv_close(csv);
    csv = tp_csv_open(put_text("a.tsv", "\"plain\" text\t\"\n"), '\t', false);
    check_record(csv, 1, fields("\"plain\" text", "\""));
    tp_csv_close(csv);
}

static void csv_errors_name_the_line(void **state) {
    (void)state;
    tp_csv *csv = tp_csv_open(put_text("open.csv", "a,b\nc,\"d\ne,f\n"), ',', true);
    assert_true(tp_csv_next(csv));
    assert_false(tp_csv_next(csv));
    assert_int_equal(tp_csv_status(csv), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "open.csv, line 2: a quote opens here and never closes"));
    tp_csv_close(csv);
    csv = tp_csv_open(put_text("after.csv", "\"a\"b,c\n"), ',', true);
    assert_false(tp_csv_next(csv));
    assert_non_null(strstr(tp_last_error(), "after.csv, line 1: a quote closes and then `b` stands"));
    tp_csv_close(csv);
}

static void ag_news_quirks_are_undone(void **state) {
    (void)state;
    static const struct {
        const char *raw, *clean;
    } cases[] = {
        {"a second\\team  of", "a second team of"},
        {"costs \\$5", "costs $5"},
        {"for the  #36;10 million", "for the $10 million"},
        {"Canada #39;s and don #39;t, said #39;so #39;", "Canada's and don't, said 'so '"},
        {" quot;free quot;", "\"free\""},
        {"AT amp;T &amp; clk;9", "AT &T & clk;9"},
        {"Corp. #151; the #233;", "Corp. \xE2\x80\x94 the \xC3\xA9"},
        {"&lt;A HREF=\"http://x/y\"&gt;KMRT.O&lt;/A&gt; &lt;KMRT.O&gt;", "KMRT.O <KMRT.O>"},
        {"a &lt;b cut off", "a <b cut off"},
        {"Microsoft; #1; #99999;", "Microsoft; #1; #99999;"},
        {"\\\\", ""},
    };
    tp_str out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_clean_ag_news(cases[i].raw, strlen(cases[i].raw), &out);
        assert_string_equal(out.data ? out.data : "", cases[i].clean);
    }
    tp_str_free(&out);
}

static tp_task *load_user(const char *train, const char *test) {
    static char train_path[4096], test_path[4096];
    snprintf(train_path, sizeof train_path, "%s/%s", dir, train);
    if (test) snprintf(test_path, sizeof test_path, "%s/%s", dir, test);
    return tp_task_load(&(tp_task_options){.train_file = train_path, .test_file = test ? test_path : NULL});
}

#define fails(train, test, sentence)                                                                                   \
    do {                                                                                                               \
        assert_null(load_user(train, test));                                                                           \
        if (strstr(tp_last_error(), sentence) == NULL)                                                                 \
            fail_msg("expected \"...%s...\", got \"%s\"", sentence, tp_last_error());                                  \
    } while (0)

static void bad_files_get_one_sentence(void **state) {
    (void)state;
    put_text("good.csv", "text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\ng,x\n");
    fails("missing.csv", NULL, "missing.csv");
    put_text("empty.csv", "");
    fails("empty.csv", NULL, "empty.csv holds no rows (it is empty)");
    put_text("header.csv", "text,label\n");
    fails("header.csv", NULL, "header.csv holds no rows;");
    put_text("column.csv", "sentence,label\na,x\n");
    fails("column.csv", NULL, "column.csv has no column `text`; its columns are `sentence`, `label`");
    put_text("fields.csv", "text,label\na,x\na,b,x\n");
    fails("fields.csv", NULL, "fields.csv, line 3: 3 fields found, the header names 2");
    put_text("nolabel.csv", "text,label\na,x\nb, \n");
    fails("nolabel.csv", NULL, "nolabel.csv, line 3: the label is empty");
    put_text("one.csv", "text,label\na,x\nb,x\n");
    fails("one.csv", NULL, "one.csv: 1 different label in 2 rows");
    put_text("few.csv", "text,label\na,x\nb,y\n");
    fails("few.csv", NULL, "few.csv holds 2 rows; at least 5");
    put_text("test.csv", "text,label\na,x\n\"two\nlines\",x\nb,z\n");
    fails("good.csv", "test.csv", "test.csv, line 5: the label \"z\" is not one of those of train: x, y");
    put_text("broken.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\",\n");
    fails("broken.jsonl", NULL, "broken.jsonl, line 2 is not valid JSON");
    put_text("key.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"txt\": \"b\", \"label\": 1}\n");
    fails("key.jsonl", NULL, "key.jsonl, line 2: the key `text` is missing");
    put_text("type.jsonl", "{\"text\": \"a\", \"label\": [1]}\n");
    fails("type.jsonl", NULL, "type.jsonl, line 1: the key `label` is none of these");
    put_text("list.jsonl", "[1]\n");
    fails("list.jsonl", NULL, "list.jsonl, line 1 holds something else than an object");
    put_text("x.txt", "a\n");
    fails("x.txt", NULL, "x.txt: the format is told by the extension");
    assert_null(tp_task_load(&(tp_task_options){.name = "nonsense"}));
    assert_non_null(strstr(tp_last_error(), "no task \"nonsense\"; built in are demo, trec"));
    assert_null(tp_task_load(&(tp_task_options){0}));
    assert_null(tp_task_load(&(tp_task_options){.name = "trec"}));
    assert_non_null(strstr(tp_last_error(), "the task trec needs a folder with its original files"));
    assert_null(tp_task_load(&(tp_task_options){.name = "trec", .data = dir}));
    assert_non_null(strstr(tp_last_error(), "train_5500.label and TREC_10.label"));
    assert_null(tp_task_load(&(tp_task_options){.name = "demo", .valid_fraction = 2}));
    put_text("train_5500.label", "NUM:date When ?\nHUMAN:x Who ?\n");
    put_text("TREC_10.label", "NUM:date When ?\n");
    assert_null(tp_task_load(&(tp_task_options){.name = "trec", .data = dir}));
    assert_non_null(strstr(tp_last_error(),
                           "train_5500.label, line 2: the label \"HUMAN\" is not one of the task's: ABBR, "
                           "ENTY, DESC, HUM, LOC, NUM"));
}

static void user_files_of_every_kind_agree(void **state) {
    (void)state;
    put_text(
        "u.csv",
        "\xEF\xBB\xBFid,label,text\r\n1,card_lost,\" a \"\r\n2,b,caf\xC3\xA9\r\n3,b,c\r\n4,b,d\r\n5,card_lost,e\r\n");
    put_text("u.tsv", "label\ttext\ncard_lost\ta\nb\tcaf\xC3\xA9\nb\tc\nb\td\ncard_lost\te\n");
    put_text("u.jsonl", "{\"text\":\"a\",\"label\":\"card_lost\"}\n\n{\"text\":\"caf\\u00e9\",\"label\":\"b\"}\n"
                        "{\"text\":\"c\",\"label\":\"b\"}\n{\"text\":\"d\",\"label\":\"b\"}\n"
                        "{\"text\":\"e\",\"label\":\"card_lost\",\"more\":[1]}");
    char path[4096];
    snprintf(path, sizeof path, "%s/u.csv.gz", dir);
    gzFile gz = gzopen(path, "wb");
    gzputs(gz, "text,label\na,card_lost\ncaf\xC3\xA9,b\nc,b\nd,b\ne,card_lost\n");
    gzclose(gz);
    static const char *const names[] = {"u.csv", "u.tsv", "u.jsonl", "u.csv.gz"};
    for (int i = 0; i < 4; i++) {
        tp_task *task = load_user("u.csv", names[i]);
        check_not_null(task);
        assert_string_equal(task->name, "u");
        assert_int_equal(task->n_labels, 2);
        assert_string_equal(task->labels[0].key, "b");
        assert_string_equal(task->labels[1].key, "card_lost");
        assert_string_equal(task->labels[1].name, "card lost");
        assert_int_equal(task->test.n, 5);
        assert_string_equal(task->test.examples[0].text, "a");
        assert_int_equal(task->test.examples[0].label, 1);
        assert_string_equal(task->test.examples[1].text, "caf\xC3\xA9");
        assert_int_equal(task->test.examples[4].id, 4);
        assert_int_equal(task->train.n + task->valid.n, 5);
        assert_int_equal(task->n_overlap, 5);
        tp_task_free(task);
    }
    /* numbers and booleans are labels too; names that would clash keep their keys; bytes that are no UTF-8 survive */
    put_text("v.csv", "text,label\na,x_y\n\xFF\xFE,x y\nc,x_y\nd,x y\ne,x y\nf,x_y\ng,x y\nh,x_y\ni,x y\nj,x_y\n");
    tp_task *task = load_user("v.csv", NULL);
    check_not_null(task);
    assert_string_equal(task->labels[0].name, "x y");
    assert_string_equal(task->labels[1].name, "x_y");
    assert_int_equal(task->test.n, 2);
    assert_int_equal(task->n_overlap, 0);
    bool survived = false;
    const tp_dataset *sets[] = {&task->train, &task->valid, &task->test};
    for (int s = 0; s < 3; s++)
        for (size_t i = 0; i < sets[s]->n; i++) survived |= strcmp(sets[s]->examples[i].text, "\xFF\xFE") == 0;
    assert_true(survived);
    tp_task_free(task);
    put_text("w.jsonl",
             "{\"text\":\"a\",\"label\":true}\n{\"text\":\"b\",\"label\":2}\n{\"text\":\"c\",\"label\":2}\n"
             "{\"text\":\"d\",\"label\":2}\n{\"text\":\"e\",\"label\":2}\n{\"text\":\"f\",\"label\":true}\n");
    task = load_user("w.jsonl", NULL);
    check_not_null(task);
    assert_string_equal(task->labels[0].key, "2");
    assert_string_equal(task->labels[1].key, "true");
    tp_task_free(task);
}

/* 1000 rows, labels 0 and 1 as 3 to 1, every tenth text repeated once (under the other label). */
static void splits_are_stratified_repeatable_and_never_part_equal_texts(void **state) {
    (void)state;
    enum { N = 1000 };
    static char texts[N][16];
    static tp_example examples[N];
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "text %d", i % 10 == 9 ? i - 1 : i);
        examples[i] = (tp_example){.text = texts[i], .len = strlen(texts[i]), .label = i % 4 == 0, .id = i};
    }
    static bool chosen[N], again[N], smaller[N];
    tp_split_choose(examples, N, 2, 200, true, 7, "s", chosen);
    tp_split_choose(examples, N, 2, 200, true, 7, "s", again);
    assert_memory_equal(chosen, again, N);
    int count[2] = {0}, rows[2] = {0};
    for (int i = 0; i < N; i++) {
        count[examples[i].label] += chosen[i], rows[examples[i].label]++;
        if (i % 10 == 9) assert_int_equal(chosen[i], chosen[i - 1]);
    }
    assert_int_equal(count[0] + count[1], 200);
    assert_true(abs(count[1] - 50) <= 6); /* groups of two carry a few rows of the other label along */
    tp_split_choose(examples, N, 2, 200, true, 8, "s", again);
    assert_memory_not_equal(chosen, again, N);
    tp_split_choose(examples, N, 2, 200, false, 7, "s", chosen);
    tp_split_choose(examples, N, 2, 100, false, 7, "s", smaller);
    count[0] = count[1] = 0;
    for (int i = 0; i < N; i++) {
        count[examples[i].label] += chosen[i];
        assert_true(chosen[i] || !smaller[i]); /* a smaller draw is part of the larger */
    }
    assert_int_equal(count[0], 150);
    assert_int_equal(count[1], 50);
    tp_split_choose(examples, 3, 2, 3, true, 7, "s", chosen); /* labels 1, 0, 0: each keeps one */
    assert_int_equal(chosen[0] + chosen[1] + chosen[2], 1);
}

static void answers_name_labels_as_whole_words(void **state) {
    (void)state;
    tp_task *demo = tp_task_load(&(tp_task_options){.name = "demo"});
    check_not_null(demo);
    static const struct {
        const char *answer, *name; /* NULL: invalid */
    } cases[] = {{" human", "human"},
                 {"It is a PERSON.", "human"},
                 {"humankind", NULL},
                 {"", NULL},
                 {"entity or location", "entity"},
                 {"\nNumber\n", "number"},
                 {"inhuman, so a place", "location"},
                 {"desc", "description"},
                 {"42", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t label = tp_task_parse_answer(demo, cases[i].answer, strlen(cases[i].answer));
        if (cases[i].name == NULL)
            assert_int_equal(label, -1);
        else
            assert_string_equal(label < 0 ? "(none)" : demo->labels[label].name, cases[i].name);
    }
    tp_task_free(demo);
    static const char *const none[] = {NULL};
    static const char *const science[] = {"science", NULL};
    tp_label labels[] = {{"card lost", "a", none}, {"card lost abroad", "b", none}, {"sci/tech", "c", science}};
    tp_task task = {.labels = labels, .n_labels = 3};
    assert_int_equal(tp_task_parse_answer(&task, "my card_lost", 12), 0);
    assert_int_equal(tp_task_parse_answer(&task, "Card-Lost Abroad!", 17), 1);
    assert_int_equal(tp_task_parse_answer(&task, "Sci/Tech", 8), 2);
    assert_int_equal(tp_task_parse_answer(&task, "science, card lost", 18), 2);
    assert_int_equal(tp_task_parse_answer(&task, "card lost", 8), -1); /* only n bytes count */
}

static void prompts_are_filled(void **state) {
    (void)state;
    size_t n;
    char *text = tp_prompt_fill("Q: {text}\nA:", "a\0{text}", 8, &n);
    assert_int_equal(n, 14);
    assert_memory_equal(text, "Q: a\0{text}\nA:", 15);
    tp_free(text);
    text = tp_prompt_fill("none", "x", 1, &n);
    assert_string_equal(text, "none");
    tp_free(text);
}

/* ---- the original files ---- */

static size_t *label_counts(const tp_task *task) {
    static size_t counts[100];
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < task->test.n; i++) counts[task->test.examples[i].label]++;
    return counts;
}

/* Loads the task from its own folder and from the one above, checks that they agree, and the promise of the splits. */
static tp_task *load_original(const char *name, const char *folder) {
    tp_task *task = tp_task_load(&(tp_task_options){.name = name, .data = check_shared("data"), .split_seed = 42});
    check_not_null(task);
    char *own = tp_format("data/%s", folder);
    tp_task *same = tp_task_load(&(tp_task_options){.name = name, .data = check_shared(own), .split_seed = 42});
    tp_free(own);
    check_not_null(same);
    assert_string_equal(task->train.fingerprint, same->train.fingerprint);
    assert_string_equal(task->valid.fingerprint, same->valid.fingerprint);
    assert_string_equal(task->test.fingerprint, same->test.fingerprint);
    tp_task_free(same);
    assert_non_null(strstr(task->prompt, "{text}"));
    assert_non_null(strstr(task->prompt_labels, task->labels[task->n_labels - 1].name));
    assert_null(strstr(task->prompt_labels, "{labels}"));
    tp_text_groups groups;
    tp_text_groups_build(&groups, task->train.examples, task->train.n);
    for (size_t i = 0; i < task->valid.n; i++)
        assert_int_equal(tp_text_groups_find(&groups, task->valid.examples[i].text, task->valid.examples[i].len), -1);
    tp_text_groups_free(&groups);
    printf("%s: train %zu, valid %zu, test %zu, labels %d; %zu test texts are also in train\n", name, task->train.n,
           task->valid.n, task->test.n, task->n_labels, task->n_overlap);
    return task;
}

static void trec_is_read_whole(void **state) {
    (void)state;
    check_needs_shared("data/trec/train_5500.label");
    tp_task *task = load_original("trec", "trec");
    assert_int_equal(task->train.n + task->valid.n, 5452);
    assert_int_equal(task->valid.n, 545);
    assert_int_equal(task->test.n, 500);
    assert_int_equal(task->n_overlap, 10);
    const size_t *counts = label_counts(task);
    static const size_t expected[] = {9, 94, 138, 65, 81, 113};
    for (int i = 0; i < 6; i++) assert_int_equal(counts[i], expected[i]);
    assert_string_equal(task->test.examples[0].text, "How far is it from Denver to Aspen ?");
    bool latin = false; /* the one byte that is not UTF-8 survives */
    for (size_t i = 0; i < task->train.n; i++)
        latin |= strstr(task->train.examples[i].text, "sister\xF0"
                                                      "city") != NULL;
    for (size_t i = 0; i < task->valid.n; i++)
        latin |= strstr(task->valid.examples[i].text, "sister\xF0"
                                                      "city") != NULL;
    assert_true(latin);
    tp_task *small = tp_task_load(&(tp_task_options){
        .name = "demo", .data = check_shared("data/trec"), .split_seed = 42, .max_train = 600, .max_test = 100});
    check_not_null(small); /* the demo on real data is TREC */
    assert_string_equal(small->name, "trec");
    assert_int_equal(small->train.n, 600);
    assert_int_equal(small->test.n, 100);
    assert_string_equal(small->valid.fingerprint, task->valid.fingerprint);
    tp_task_free(small);
    tp_task_free(task);
}

static void sst2_is_read_whole(void **state) {
    (void)state;
    check_needs_shared("data/sst2/glue/train.tsv");
    tp_task *task = load_original("sst2", "sst2");
    assert_int_equal(task->train.n + task->valid.n, 67349);
    assert_int_equal(task->valid.n, 1000);
    assert_int_equal(task->test.n, 872);
    assert_int_equal(label_counts(task)[1], 444);
    assert_int_equal(task->n_overlap, 0);
    assert_string_equal(task->test.examples[0].text, "it 's a charming and often affecting journey .");
    tp_task_free(task);
    task = load_original("sst2_sentence", "sst2/sentence");
    assert_int_equal(task->train.n + task->valid.n, 6920);
    assert_int_equal(task->test.n, 1821);
    assert_int_equal(label_counts(task)[1], 909);
    tp_task_free(task);
}

static void ag_news_is_read_whole(void **state) {
    (void)state;
    check_needs_shared("data/ag_news/train_subset.csv");
    tp_task *task = load_original("ag_news", "ag_news");
    assert_int_equal(task->train.n + task->valid.n, 23700);
    assert_int_equal(task->test.n, 7600);
    assert_int_equal(task->n_overlap, 0);
    for (int i = 0; i < 4; i++) assert_int_equal(label_counts(task)[i], 1900);
    assert_string_equal(
        task->test.examples[1].text,
        "The Race is On: Second Private Team Sets Launch Date for Human Spaceflight (SPACE.com) "
        "SPACE.com - TORONTO, Canada -- A second team of rocketeers competing for the $10 million Ansari "
        "X Prize, a contest for privately funded suborbital space flight, has officially announced the "
        "first launch date for its manned rocket.");
    for (size_t i = 0; i < task->test.n; i++) {
        assert_null(strchr(task->test.examples[i].text, '\\'));
        assert_null(strstr(task->test.examples[i].text, "#39;"));
    }
    tp_task_free(task);
}

static void banking77_is_read_whole(void **state) {
    (void)state;
    check_needs_shared("data/banking77/train.csv");
    tp_task *task = load_original("banking77", "banking77");
    assert_int_equal(task->n_labels, 77);
    assert_int_equal(task->train.n + task->valid.n, 10003);
    assert_int_equal(task->test.n, 3080);
    assert_int_equal(task->n_overlap, 6);
    for (int i = 0; i < 77; i++) assert_int_equal(label_counts(task)[i], 40);
    assert_string_equal(task->labels[task->test.examples[0].label].name, "card arrival");
    assert_int_equal(tp_task_parse_answer(task, "Refund_not_showing_up", 21),
                     tp_task_parse_answer(task, "refund not showing up", 21));
    tp_task_free(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_follows_its_standard),
        cmocka_unit_test(csv_errors_name_the_line),
        cmocka_unit_test(ag_news_quirks_are_undone),
        cmocka_unit_test(bad_files_get_one_sentence),
        cmocka_unit_test(user_files_of_every_kind_agree),
        cmocka_unit_test(splits_are_stratified_repeatable_and_never_part_equal_texts),
        cmocka_unit_test(answers_name_labels_as_whole_words),
        cmocka_unit_test(prompts_are_filled),
        cmocka_unit_test(trec_is_read_whole),
        cmocka_unit_test(sst2_is_read_whole),
        cmocka_unit_test(ag_news_is_read_whole),
        cmocka_unit_test(banking77_is_read_whole),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
