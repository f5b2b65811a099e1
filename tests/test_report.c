/* The report: pages from made runs are well-formed, the same bytes twice, and survive hostile names, single runs,
 * missing methods and 77 classes; verdicts say what the numbers say. */
#include "check.h"

#include "base/str.h"
#include "eval/registry.h"
#include "markup.h"
#include "one_folder.h"
#include "report/claims.h"
#include "report/number.h"
#include "report/report.h"
#include "report/writers.h"
#include "report_runs.h"

static const char *const trec[] = {"abbreviation", "entity", "description", "human", "location", "numeric value"};

static made_run trec_run(const char *folder, int seed) {
    return (made_run){
        folder,         "trec",          "TREC question classification, six coarse classes", trec, 6, 240, 8, 3, seed,
        common_methods, N_COMMON_METHODS};
}

static char *page_of(const char *name, tp_report_format format) {
    char *path = tp_path_join(dir, name);
    const char *folders[] = {path};
    char *page = tp_report_make(folders, 1, format);
    check_not_null(page);
    tp_free(path);
    return page;
}

static void expect(const char *page, const char *text) {
    if (strstr(page, text) == NULL)
        fail_msg("`%s` does not stand in the page\n%s", text, strstr(page, "</style>") ? "" : page);
}

static void expect_not(const char *page, const char *text) {
    if (strstr(page, text)) fail_msg("`%s` stands in the page: %.80s", text, strstr(page, text));
}

static void a_page_holds_all_sections(void **state) {
    (void)state;
    char folder[512];
    for (int seed = 42; seed < 45; seed++) {
        char name[64];
        snprintf(name, sizeof name, "three/trec-%d", seed);
        made_run run = trec_run(name, seed);
        make_run(dir, &run);
    }
    snprintf(folder, sizeof folder, "%s/three/trec-42", dir);
    make_file(
        folder, "log.jsonl",
        "{\"step\":50,\"loss\":7.5,\"first_token_accuracy\":0.1}\n"
        "{\"step\":100,\"loss\":3.5,\"first_token_accuracy\":0.5}\n{\"step\":100,\"valid_accuracy\":0.4}\n"
        "{\"step\":150,\"loss\":2.5,\"first_token_accuracy\":0.6}\n{\"step\":150,\"valid_accuracy\":0.6}\n{\"ste");
    make_file(folder, "train.json", "{\"parameters\": 2221505}");
    make_file(folder, "latency.json",
              "{\"curve\": [{\"method\":\"bridge\",\"length\":16,\"batch\":1,\"sender_ms\":2,\"bridge_ms\":1},"
              "{\"method\":\"bridge\",\"length\":64,\"sender_ms\":4,\"bridge_ms\":1,\"receiver_ms\":null},"
              "{\"method\":\"receiver\",\"length\":16,\"receiver_ms\":5},{\"method\":\"receiver\",\"length\":64,"
              "\"receiver_ms\":25},{\"method\":7},3]}");
    make_file(
        folder, "inspect.json",
        "{\"projection\":{\"labels\":[0,1,2,3],\"pca\":[[0,1],[1,2],[2,0],[3,1]],\"tsne\":[[0,1],[1,2],[2,0],[3,1]],"
        "\"explained\":[0.4,0.2]},\"examples\":[{\"row\":7,\"label\":\"human\",\"answer\":\"entity\","
        "\"tokens\":[\"Who\",\" wrote\",\" it\",\"?\"],\"attention\":[[0.1,0.6,0.2,0.1],[0.7,0.1,0.1,0.1]],"
        "\"nearest\":[[{\"token\":\" person\",\"cosine\":0.41}],[{\"token\":\"<b>\",\"cosine\":0.2}]]}],"
        "\"transcripts\":[{\"row\":7,\"text\":\"Who wrote it?\",\"label\":\"human\",\"relay_text\":\"It is about\","
        "\"text_answer\":null,\"latent_answer\":\"human\"}]}");
    char *page = page_of("three", TP_REPORT_HTML), *again = page_of("three", TP_REPORT_HTML);
    assert_string_equal(page, again);
    check_markup(page);
    assert_int_equal(check_drawings(page), 9); /* bars, times, a curve, accuracy, loss, confusion, PCA, t-SNE, heat */
    static const char *const parts[] = {
        "What wren tells finch without words",
        "What was asked, and the answer",
        "beats the words alone",
        "TREC question classification",
        "shuffled source",
        "Every number",
        "PCA",
        "t-SNE",
        "person\u00a00.41",
        "&lt;b&gt;\u00a00.20",
        "Who wrote it?",
        "42, 43, 44",
        "2221505",
        "class by class",
        "Cohen&#39;s h",
        "prefers-color-scheme:dark",
        "batch 1: the bridge is faster than the receiver reading texts of 16 tokens and more"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) expect(page, parts[i]);
    static const char *const absent[] = {"secret", "<script", "http://", "https://", "src=", "@import", "url("};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        char *body = strstr(page, "</style>");
        if (strcmp(absent[i], "http://") == 0) continue; /* the name space of SVG is one */
        expect_not(i > 3 ? page : body, absent[i]);
    }
    tp_free(page);
    tp_free(again);
}

/* The same runs in a registry: the same tables, and besides where they were made. */
static void a_registry_gives_the_same_tables(void **state) {
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/registry", dir);
    check_ok(tp_make_dirs(path));
    tp_registry *registry = tp_registry_open_in(path, true);
    check_not_null(registry);
    tp_suite_member members[3];
    char keys[3][33], names[3][16];
    for (int i = 2; i >= 0; i--) {
        made_run made = trec_run("", 42 + i);
        snprintf(keys[i], 33, "%032d", i);
        snprintf(names[i], 16, "trec-%d", 42 + i);
        made.folder = names[i];
        json_t *value = made_results(&made);
        tp_results *results = tp_results_from_json(value, "made");
        check_not_null(results);
        tp_document documents[] = {{"log", "{\"step\":50,\"loss\":7.5}\n", 23}, {"train", "{\"parameters\":7}", 16}};
        check_ok(tp_registry_put(registry, &(tp_finished_run){.key = keys[i],
                                                              .name = names[i],
                                                              .results = results,
                                                              .circumstances = {.started = "2026-11-22T16:00:00Z",
                                                                                .revision = "0123456789abcdef",
                                                                                .machine = "two cores",
                                                                                .threads = 2,
                                                                                .train_seconds = 77,
                                                                                .evaluate_seconds = NAN},
                                                              .documents = documents,
                                                              .n_documents = 2}));
        members[i] = (tp_suite_member){keys[i], names[i], json_object_get(value, "subject")};
        if (i == 0) {
            json_t *definition = json_pack("{s:s}", "name", "paper");
            check_ok(tp_registry_put_suite(registry, "paper", definition, members, 1));
            json_decref(definition);
        }
        tp_results_free(results);
        json_decref(value);
    }
    tp_registry_close(registry);
    char *page = page_of("registry", TP_REPORT_HTML), *again = page_of("registry", TP_REPORT_HTML);
    assert_string_equal(page, again);
    check_markup(page);
    expect(page, "two cores");
    expect(page, "0123456789ab");
    expect(page, "telepathy suite paper.json");
    tp_free(page);
    tp_free(again);
    page = page_of("registry", TP_REPORT_MARKDOWN);
    again = page_of("three", TP_REPORT_MARKDOWN);
    char *table = strstr(page, "## The table"), *same = strstr(again, "## The table");
    size_t n = (size_t)(strstr(table, "## Task by task") ? strstr(table, "## Task by task") - table
                                                         : strstr(table, "## Every number") - table);
    assert_true(n > 1000);
    assert_memory_equal(table, same, n - strlen("## Task by task"));
    tp_free(page);
    tp_free(again);
}

static void other_formats_hold_the_same_tables(void **state) {
    (void)state;
    char *page = page_of("three", TP_REPORT_MARKDOWN);
    expect(page, "## The table");
    expect(page, "| **bridge, score** | **");
    tp_free(page);
    page = page_of("three", TP_REPORT_JSON);
    json_t *value = tp_json_load_bytes(page, strlen(page), "report");
    check_not_null(value);
    json_t *tables = json_object_get(value, "tables"), *table, *row;
    size_t i, k;
    double accuracy = -1;
    json_array_foreach(tables, i, table) {
        if (strcmp(json_string_value(json_object_get(table, "name")), "results") != 0) continue;
        json_array_foreach(json_object_get(table, "rows"), k,
                           row) if (strcmp(json_string_value(json_object_get(row, "method")), "bridge, score") == 0)
            accuracy = json_number_value(json_object_get(row, "trec"));
    }
    assert_true(accuracy > 0.7 && accuracy < 0.9);
    json_decref(value);
    tp_free(page);
    page = page_of("three", TP_REPORT_CSV);
    assert_int_equal(strncmp(page, "table,group,row,column,value\n", 29), 0);
    char line[128], number[TP_NUMBER_SIZE];
    snprintf(line, sizeof line, ",trec,%s\n", tp_number_exact(accuracy, number));
    expect(page, line);
    tp_free(page);
}

static void verdicts_say_what_the_numbers_say(void **state) {
    (void)state;
    char *page = page_of("three", TP_REPORT_MARKDOWN);
    expect(page, "owes its answers to the source | yes");
    expect(page, "beats the words alone | not told apart −"); /* in two seeds only, after Holm's correction */
    expect(page, "beats the linear probe of its layer | yes ");
    expect(page, "is faster than the receiver reading the text | yes 1.29× faster");
    expect(page, "is faster than the text relay | yes 3.24× faster");
    expect(page, "takes fewer bytes than the text | no");
    tp_free(page);
    /* a shuffled source that works as well as the true one: no communication, whatever the accuracy */
    made_method methods[N_COMMON_METHODS];
    memcpy(methods, common_methods, sizeof methods);
    methods[N_COMMON_METHODS - 1].right = 0.7;
    made_run run = trec_run("leak/a", 42);
    run.methods = methods;
    make_run(dir, &run);
    page = page_of("leak", TP_REPORT_MARKDOWN);
    expect(page, "owes its answers to the source | no");
    expect(page, "Not communication: right without the source more often than blind answers are: shuffled source");
    tp_free(page);
    /* two methods that are as good as each other, and two that are as quick */
    methods[2].right = 0.75;
    methods[3].ms[2] = 18;
    run = trec_run("level/a", 42);
    run.methods = methods;
    make_run(dir, &run);
    page = page_of("level", TP_REPORT_MARKDOWN);
    expect(page, "beats the words alone | not told apart");
    expect(page, "is faster than the receiver reading the text | not told apart 1.06× faster");
    tp_free(page);
}

/* Three settings that were measured equally: the middle one is judged, and named, though another is better. */
static void what_is_judged_is_named(void **state) {
    (void)state;
    static const made_method good[] = {{"bridge", "score", 0.9, {0}}, {"shuffled", "score", 0, {0}}},
                             poor[] = {{"bridge", "score", 0.5, {0}}, {"shuffled", "score", 0, {0}}};
    for (int i = 0; i < 3; i++) {
        static const char *const folders[] = {"settings/a", "settings/b", "settings/c"};
        made_run run = trec_run(folders[i], 42);
        run.methods = i == 1 ? poor : good;
        run.n_methods = 2;
        run.soft_tokens = 4 << i;
        make_run(dir, &run);
    }
    char *page = page_of("settings", TP_REPORT_MARKDOWN);
    expect(page, "3 settings were run");
    expect(page, "never the best. Here trec with 8 soft tokens from layer ");
    tp_free(page);
    page = page_of("settings/a", TP_REPORT_MARKDOWN);
    expect_not(page, "settings were run");
    tp_free(page);
}

/* Of one run the report's p must be those of `telepathy eval`, which computes them by itself. */
static void p_values_are_those_of_the_evaluation(void **state) {
    (void)state;
    made_run run = trec_run("single/a", 9);
    run.n_rows = 60; /* few, so that not every p is next to nothing */
    make_run(dir, &run);
    char path[600];
    snprintf(path, sizeof path, "%s/single/a/eval.json", dir);
    const tp_results *results = tp_results_load(path);
    check_not_null(results);
    tp_summary summary = tp_summary_of(&results, 1, NULL);
    char *page = page_of("single", TP_REPORT_JSON);
    json_t *value = tp_json_load_bytes(page, strlen(page), "report"), *table, *row;
    size_t i, k, compared = 0;
    double moderate = 0;
    json_array_foreach(json_object_get(value, "tables"), i, table) {
        if (strcmp(json_string_value(json_object_get(table, "name")), "details") != 0) continue;
        assert_int_equal(json_array_size(json_object_get(table, "rows")), summary.n);
        json_array_foreach(json_object_get(table, "rows"), k, row) {
            const tp_row_summary *expected = &summary.rows[k];
            assert_string_equal(json_string_value(json_object_get(row, "method")), expected->method->title);
            assert_true(fabs(json_number_value(json_object_get(row, "right %")) - expected->mean) < 1e-8);
            json_t *p = json_object_get(row, "p Holm");
            assert_true(json_is_null(p) == isnan(expected->p));
            if (json_is_null(p)) continue;
            assert_true(fabs(json_number_value(p) - expected->p) < 1e-8 * fmax(1, expected->p));
            moderate += expected->p > 1e-3;
            compared++;
        }
    }
    assert_true(compared == N_COMMON_METHODS - 2 && moderate > 0);
    json_decref(value);
    tp_free(page);
    tp_summary_free(&summary);
    tp_results_free((tp_results *)results);
}

static void hostile_names_stay_text(void **state) {
    (void)state;
    static const char *const labels[] = {"<script>alert(1)</script>", "a\"b' onload='x", "]]>&amp;<!--",
                                         "\xE2\x80\xAEkcab",          "x\x01y",          "| pipe | `code` |"};
    made_run run = trec_run("hostile/<b>run", 1);
    run.task = "<img src=x>";
    run.title = "</title><script>alert(2)</script>";
    run.labels = labels;
    make_run(dir, &run);
    char *page = page_of("hostile", TP_REPORT_HTML);
    check_markup(page);
    check_drawings(page);
    expect_not(page, "<script");
    expect_not(page, "<img");
    expect_not(page, "\xE2\x80\xAE");
    expect(page, "&lt;script&gt;alert(1)&lt;/script&gt;");
    tp_free(page);
    static const tp_report_format formats[] = {TP_REPORT_MARKDOWN, TP_REPORT_CSV, TP_REPORT_JSON};
    for (int i = 0; i < 3; i++) {
        page = page_of("hostile", formats[i]);
        check_characters(page);
        if (i == 0) expect_not(page, "<script");
        tp_free(page);
    }
}

static void one_run_with_little_in_it_is_enough(void **state) {
    (void)state;
    static const made_method bridge_only[] = {{"bridge", "score", 0.5, {0}}},
                             no_bridge[] = {{"words", "direct", 0.5, {0}}};
    made_run run = trec_run("bare/a", 3);
    run.methods = bridge_only;
    run.n_methods = 1;
    make_run(dir, &run);
    char *page = page_of("bare/a", TP_REPORT_HTML);
    check_markup(page);
    expect(page, "there is no verdict");
    expect(page, "Not shown, because these runs hold no data for it: other settings");
    tp_free(page);
    run = trec_run("nobridge/a", 3);
    run.methods = no_bridge;
    run.n_methods = 1;
    make_run(dir, &run);
    page = page_of("nobridge", TP_REPORT_HTML);
    check_markup(page);
    tp_free(page);
    run.folder = "nothing/a";
    run.n_methods = 0;
    make_run(dir, &run);
    page = page_of("nothing", TP_REPORT_HTML);
    check_markup(page);
    tp_free(page);
    run = trec_run("onerow/a", 3);
    run.n_rows = 1;
    make_run(dir, &run);
    page = page_of("onerow", TP_REPORT_HTML);
    check_markup(page);
    check_drawings(page);
    tp_free(page);
}

/* Labels of free answers say right or wrong: no verdict about blind answers, no confusion of classes, no level. */
static void free_answers_have_no_classes(void **state) {
    (void)state;
    static const char *const marks[] = {"wrong", "right"};
    made_run run = trec_run("free/a", 5);
    run.labels = marks;
    run.n_labels = 2;
    make_run(dir, &run);
    char path[600];
    snprintf(path, sizeof path, "%s/free/a/eval.json", dir);
    json_t *value = tp_json_load_file(path);
    check_not_null(value);
    json_object_set_new(json_object_get(value, "subject"), "free_answers", json_true());
    check_ok(tp_json_save_file(value, path));
    json_decref(value);
    char *page = page_of("free", TP_REPORT_HTML);
    check_markup(page);
    expect_not(page, "owes its answers to the source</th>");
    expect_not(page, "What is mistaken for what");
    expect_not(page, "the most frequent label:");
    tp_free(page);
}

static void many_classes_fit(void **state) {
    (void)state;
    static char names[77][32];
    static const char *labels[77];
    for (int i = 0; i < 77; i++) {
        snprintf(names[i], sizeof names[i], "intent number %d of the bank", i);
        labels[i] = names[i];
    }
    made_run run = trec_run("many/a", 5);
    run.task = "banking77";
    run.labels = labels;
    run.n_labels = 77;
    run.n_rows = 77 * 20;
    make_run(dir, &run);
    char *page = page_of("many", TP_REPORT_HTML);
    check_markup(page);
    check_drawings(page);
    expect(page, "ordered by confusion");
    expect(page, "the most frequent mistakes of the bridge");
    tp_free(page);
}

static void sweeps_become_curves(void **state) {
    (void)state;
    static const int tokens[] = {2, 4, 8, 16};
    for (int i = 0; i < 4; i++)
        for (int seed = 1; seed < 3; seed++) {
            made_method methods[N_COMMON_METHODS];
            memcpy(methods, common_methods, sizeof methods);
            methods[7].right = 0.4 + 0.1 * i;
            char name[64];
            snprintf(name, sizeof name, "sweep/m%d-%d", tokens[i], seed);
            made_run run = trec_run(name, seed);
            run.methods = methods;
            run.soft_tokens = tokens[i];
            make_run(dir, &run);
        }
    char *page = page_of("sweep", TP_REPORT_HTML);
    check_markup(page);
    check_drawings(page);
    expect(page, "With more soft tokens, trec goes from ");
    expect(page, "(at 2) to ");
    expect(page, "(at 16)");
    expect(page, "8 runs on trec");
    tp_free(page);
}

static void mistakes_get_one_sentence(void **state) {
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/empty", dir);
    check_ok(tp_make_dirs(path));
    const char *folders[] = {path};
    assert_null(tp_report_make(folders, 1, TP_REPORT_HTML));
    assert_non_null(strstr(tp_last_error(), "empty holds no finished run"));
    made_run run = trec_run("broken/a", 1);
    make_run(dir, &run);
    snprintf(path, sizeof path, "%s/broken/a", dir);
    make_file(path, "log.jsonl", "{\"step\":1}\nnonsense\n{\"step\":2}\n");
    assert_null(tp_report_make(folders, 1, TP_REPORT_HTML));
    assert_non_null(strstr(tp_last_error(), "line 2"));
    make_file(path, "log.jsonl", "{\"step\":1}\n");
    make_file(path, "inspect.json", "{");
    assert_null(tp_report_make(folders, 1, TP_REPORT_HTML));
    assert_non_null(strstr(tp_last_error(), "inspect.json"));
    /* well-formed and senseless: read as nothing */
    make_file(path, "inspect.json",
              "{\"projection\":{\"pca\":[1,[],[\"a\",2]],\"labels\":{}},\"examples\":[{\"tokens\":[1,2],\"attention\":["
              "[],[1]],"
              "\"nearest\":[7]}],\"transcripts\":[1,{\"row\":\"x\"}]}");
    char *page = tp_report_make(folders, 1, TP_REPORT_HTML);
    check_not_null(page);
    check_markup(page);
    tp_free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_holds_all_sections),
        cmocka_unit_test(a_registry_gives_the_same_tables),
        cmocka_unit_test(other_formats_hold_the_same_tables),
        cmocka_unit_test(verdicts_say_what_the_numbers_say),
        cmocka_unit_test(what_is_judged_is_named),
        cmocka_unit_test(p_values_are_those_of_the_evaluation),
        cmocka_unit_test(hostile_names_stay_text),
        cmocka_unit_test(one_run_with_little_in_it_is_enough),
        cmocka_unit_test(free_answers_have_no_classes),
        cmocka_unit_test(many_classes_fit),
        cmocka_unit_test(sweeps_become_curves),
        cmocka_unit_test(mistakes_get_one_sentence),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
