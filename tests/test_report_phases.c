/* The report's section of experiments made again: their verdict stands beside ours, and ours is what figures and
 * detectors say. */
#include "report_runs.h"

#include "eval/registry.h"
#include "one_folder.h"
#include "report/report.h"

#include <math.h>

typedef struct experiment {
    const char *recipe, *verdict; /* theirs; NULL: the recipe has no comment */
    double bridge, shuffled, words;
    const char *log;
    const char *ours; /* NULL: no row */
} experiment;

static const char calm[] = "{\"step\":50,\"loss\":2.5}\n{\"step\":300,\"loss\":1.5}\n";
static const char early[] = "{\"step\":0,\"warning\":\"primer mismatch\"}\n"
                            "{\"step\":21,\"warning\":\"soft tokens of different examples point the same way: mean "
                            "cosine 0.99\"}\n{\"step\":300,\"loss\":1.5}\n";
static const char late[] = "{\"step\":250,\"warning\":\"soft tokens hardly differ between examples: standard deviation "
                           "0.0010 of their size\"}\n{\"step\":300,\"loss\":1.5}\n";

static const experiment experiments[] = {
    {"01-works", "they gave it up", 0.97, 0.02, 0.4, calm, "works"},
    {"02-beaten", "a success", 0.4, 0.02, 0.97, calm, "beaten by the words"},
    {"03-level", "they were unsure", 0.8, 0.02, 0.8, early, "level with the words"},
    {"04-nothing", "promising", 0.05, 0.05, 0.8, calm, "nothing comes across"},
    {"05-collapsed", "mode collapse", 0.05, 0.05, 0.8, late, "collapsed"},
    {"06-recovered", "mode collapse", 0.97, 0.02, 0.4, late, "works"}, /* a detector alone condemns nobody */
    {"07-own", NULL, 0.97, 0.02, 0.4, calm, NULL},
};
enum { N = sizeof experiments / sizeof experiments[0] };

static void put(tp_registry *registry, int i, char key[33], json_t **cell) {
    static const char *const labels[] = {"abbreviation", "entity", "description", "human", "location", "numeric value"};
    const experiment *e = &experiments[i];
    const made_method methods[] = {{"majority", "direct", -1, {0}},
                                   {"words", "direct", e->words, {0}},
                                   {"bridge", "score", e->bridge, {0}},
                                   {"shuffled", "score", e->shuffled, {0}}};
    made_run made = {e->recipe, "trec", "TREC", labels, 6, 240, 8 + i, 3, 42, methods, 4};
    json_t *value = made_results(&made);
    tp_results *results = tp_results_from_json(value, "made");
    check_not_null(results);
    snprintf(key, 33, "%032d", i);
    tp_document log = {"log", e->log, strlen(e->log)};
    check_ok(
        tp_registry_put(registry, &(tp_finished_run){.key = key,
                                                     .name = e->recipe,
                                                     .results = results,
                                                     .circumstances = {.train_seconds = NAN, .evaluate_seconds = NAN},
                                                     .documents = &log,
                                                     .n_documents = 1}));
    *cell = json_pack("{s:s}", "recipe", e->recipe);
    if (e->verdict)
        json_object_set_new(*cell, "comment", json_pack("{s:s, s:s}", "verdict", e->verdict, "reported", "94.72 %"));
    tp_results_free(results);
    json_decref(value);
}

static void our_verdict_is_what_figures_and_detectors_say(void **state) {
    (void)state;
    tp_registry *registry = tp_registry_open_in(dir, true);
    check_not_null(registry);
    char keys[N][33];
    tp_suite_member members[N];
    for (int i = 0; i < N; i++) {
        json_t *cell;
        put(registry, i, keys[i], &cell);
        members[i] = (tp_suite_member){keys[i], experiments[i].recipe, cell};
    }
    json_t *definition = json_pack("{s:s}", "name", "phases");
    check_ok(tp_registry_put_suite(registry, "phases", definition, members, N));
    json_decref(definition);
    for (int i = 0; i < N; i++) json_decref(members[i].cell);
    tp_registry_close(registry);

    const char *folders[] = {dir};
    char *page = tp_report_make(folders, 1, TP_REPORT_CSV);
    check_not_null(page);
    for (int i = 0; i < N; i++) {
        const experiment *e = &experiments[i];
        int rows = 0;
        char row[200], *line;
        for (line = strstr(page, "phases,"); line; line = strstr(line + 1, "\nphases,")) {
            const char *end = strchr(line + 1, '\n');
            snprintf(row, sizeof row, "%.*s", (int)(end ? end - line : 199), line);
            rows += strstr(row, e->recipe) != NULL;
        }
        if ((rows > 0) != (e->ours != NULL)) fail_msg("%s stands in %d lines\n%s", e->recipe, rows, page);
    }
    tp_free(page);
    page = tp_report_make(folders, 1, TP_REPORT_MARKDOWN);
    char *section = strstr(page, "Experiments of others, made again");
    assert_non_null(section);
    for (int i = 0; i < N; i++) {
        const experiment *e = &experiments[i];
        if (e->ours == NULL) continue;
        char *row = strstr(section, e->recipe), *end = strchr(row, '\n'), rest = *end;
        *end = '\0';
        char ours[64];
        snprintf(ours, sizeof ours, "| %s", e->ours);
        if (strstr(row, ours) == NULL || strstr(row, e->verdict) == NULL || strstr(row, "94.72 %") == NULL)
            fail_msg("expected were \"%s\" and \"%s\": %s", e->verdict, e->ours, row);
        *end = rest;
    }
    tp_free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(our_verdict_is_what_figures_and_detectors_say)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
