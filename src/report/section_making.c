/* How the numbers were made: data, models, recipes, seeds, machine; enough to make them again. Paths are shown by their
 * last part: where somebody keeps files is no result. */
#include "report/sections.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/documents.h"
#include "report/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a table: a column per task ---- */

typedef struct maker {
    tp_sheet *sheet;
    const tp_report_view *view;
} maker;

static const tp_results *of_task(const maker *m, size_t k) {
    return tp_report_main(&m->view->groups, k)->results[0];
}

static void row_of_texts(const maker *m, const char *heading, char *(*text)(const tp_report_group *g)) {
    tp_sheet_text(m->sheet, "%s", heading);
    for (size_t k = 0; k < m->view->groups.n_main; k++) {
        char *value = text(tp_report_main(&m->view->groups, k));
        tp_sheet_text(m->sheet, "%s", value);
        tp_free(value);
    }
}

/* A value of the recipe by its path, as text; "" if it is not there. */
static char *recipe_text(const tp_report_group *g, const char *section, const char *key) {
    json_t *o = json_object_get(g->results[0]->subject, "recipe");
    if (section) o = json_object_get(o, section);
    json_t *value = json_object_get(o, key);
    char number[TP_NUMBER_SIZE];
    if (json_is_string(value)) return tp_strdup(json_string_value(value));
    if (json_is_boolean(value)) return tp_strdup(json_is_true(value) ? "yes" : "no");
    return tp_strdup(json_is_number(value) ? tp_number_exact(json_number_value(value), number) : "");
}

static char *title(const tp_report_group *g) {
    return tp_strdup(g->results[0]->title);
}

static char *rows(const tp_report_group *g) {
    const tp_results *r = g->results[0];
    tp_str out = {0};
    tp_str_appendf(&out, "%zu test rows, %d labels", r->truth.n, r->n_labels);
    if (r->n_overlap) tp_str_appendf(&out, "; %zu of the test texts also stand in train", r->n_overlap);
    return tp_str_take(&out);
}

static char *fingerprint(const tp_report_group *g, const char *key) {
    const char *hex = tp_document_text(g->results[0]->subject, key);
    return tp_format("%.12s", hex);
}

static char *train_print(const tp_report_group *g) {
    return fingerprint(g, "train");
}

static char *test_print(const tp_report_group *g) {
    return fingerprint(g, "test");
}

static char *model(const tp_report_group *g, const char *key) {
    json_t *o = json_object_get(g->results[0]->subject, key);
    char *name = tp_path_last(tp_document_text(o, "name"));
    char *out = tp_format("%s (%.12s)", name, tp_document_text(o, "fingerprint"));
    tp_free(name);
    return out;
}

static char *sender(const tp_report_group *g) {
    return model(g, "sender");
}

static char *receiver(const tp_report_group *g) {
    return model(g, "receiver");
}

static char *layer(const tp_report_group *g) {
    return tp_format("%d of %d", g->results[0]->layer, g->results[0]->n_layers);
}

static char *bridge(const tp_report_group *g) {
    char *kind = recipe_text(g, "bridge", "kind"), *width = recipe_text(g, "bridge", "width"),
         *depth = recipe_text(g, "bridge", "depth");
    char *out = tp_format("%s, %d soft tokens, depth %s, width %s", kind, g->results[0]->soft_tokens, depth, width);
    tp_free(kind);
    tp_free(width);
    tp_free(depth);
    return out;
}

static char *layout(const tp_report_group *g) {
    return recipe_text(g, NULL, "layout");
}

static char *losses(const tp_report_group *g) {
    json_t *list = json_object_get(json_object_get(g->results[0]->subject, "recipe"), "losses"), *loss;
    tp_str out = {0};
    size_t i;
    char number[TP_NUMBER_SIZE];
    json_array_foreach(list, i, loss) tp_str_appendf(&out, "%s%s × %s", i ? ", " : "", tp_document_text(loss, "name"),
                                                     tp_number_exact(tp_document_number(loss, "weight"), number));
    return tp_str_take(&out);
}

static char *optimiser(const tp_report_group *g) {
    char *steps = recipe_text(g, "optimiser", "steps"), *batch = recipe_text(g, "optimiser", "batch"),
         *rate = recipe_text(g, "optimiser", "lr"), *decay = recipe_text(g, "optimiser", "weight_decay");
    char *out = tp_format("%s updates of %s texts, rate %s, weight decay %s", steps, batch, rate, decay);
    tp_free(steps);
    tp_free(batch);
    tp_free(rate);
    tp_free(decay);
    return out;
}

static char *seeds(const tp_report_group *g) {
    tp_str out = {0};
    for (size_t k = 0; k < g->n; k++)
        tp_str_appendf(&out, "%s%llu", k ? ", " : "", (unsigned long long)g->results[k]->seed);
    return tp_str_take(&out);
}

static char *parameters(const tp_report_group *g) {
    double n = tp_document_number(g->runs[0]->outcome, "parameters");
    char number[TP_NUMBER_SIZE];
    return tp_strdup(tp_number_fixed(n, 0, number));
}

static void table(tp_doc *doc, const tp_report_view *view) {
    maker m = {tp_doc_table(doc, "making", "What was run"), view};
    tp_sheet_column(m.sheet, "<what");
    for (size_t k = 0; k < view->groups.n_main; k++) {
        char *heading = tp_format("=%s", of_task(&m, k)->task);
        tp_sheet_column(m.sheet, heading);
        tp_free(heading);
    }
    row_of_texts(&m, "data", title);
    row_of_texts(&m, "rows", rows);
    row_of_texts(&m, "fingerprint of train", train_print);
    row_of_texts(&m, "fingerprint of test", test_print);
    row_of_texts(&m, "sender", sender);
    row_of_texts(&m, "tapped layer", layer);
    row_of_texts(&m, "receiver", receiver);
    row_of_texts(&m, "bridge", bridge);
    row_of_texts(&m, "trained parameters", parameters);
    row_of_texts(&m, "layout", layout);
    row_of_texts(&m, "losses", losses);
    row_of_texts(&m, "training", optimiser);
    row_of_texts(&m, "seeds", seeds);
}

/* ---- recipes ---- */

static void shorten(json_t *object, const char *key) {
    const char *path = json_string_value(json_object_get(object, key));
    if (path == NULL) return;
    char *name = tp_path_last(path);
    json_object_set_new(object, key, json_string(name));
    tp_free(name);
}

static void recipes(tp_doc *doc, const tp_report_view *view) {
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_results *r = tp_report_main(&view->groups, k)->results[0];
        json_t *recipe = json_deep_copy(json_object_get(r->subject, "recipe"));
        if (!json_is_object(recipe)) {
            json_decref(recipe);
            continue;
        }
        shorten(json_object_get(recipe, "models"), "sender");
        shorten(json_object_get(recipe, "models"), "receiver");
        shorten(json_object_get(recipe, "task"), "data");
        char *text = json_dumps(recipe, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        char *heading = tp_format("The recipe of %s", r->task);
        tp_doc_code(doc, heading, text);
        free(text);
        tp_free(heading);
        json_decref(recipe);
    }
}

/* ---- each run, and the commands ---- */

static void origins(tp_doc *doc, const tp_report_view *view) {
    static const char *const columns[] = {"<run",     "<task",       "<revision",     "<machine", "<kernels",
                                          ">threads", ">training s", ">evaluation s", ">peak MiB"};
    size_t start = doc->n, n = 0;
    tp_sheet *s = tp_doc_table(doc, "runs", "Each run: the program's revision, where it ran, how long it took");
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
    for (size_t i = 0; i < view->runs->n; i++) {
        const tp_report_run *run = &view->runs->items[i];
        if (run->origin == NULL) continue;
        n++;
        tp_sheet_text(s, "%s", run->name);
        tp_sheet_text(s, "%s", run->results->task);
        tp_sheet_text(s, "%.12s", tp_document_text(run->origin, "revision"));
        tp_sheet_text(s, "%s", tp_document_text(run->origin, "machine"));
        tp_sheet_text(s, "%s", tp_document_text(run->origin, "kernels"));
        tp_sheet_number(s, tp_document_number(run->origin, "threads"), 0);
        tp_sheet_number(s, tp_document_number(run->origin, "train_seconds"), 0);
        tp_sheet_number(s, tp_document_number(run->origin, "evaluate_seconds"), 0);
        tp_sheet_number(s, tp_document_number(run->origin, "peak_bytes") / 1048576, 0);
    }
    if (n == 0) tp_doc_cut(doc, start);
}

/* Of a suite one command; of runs by themselves what makes each again from its recipe. */
static void commands(tp_doc *doc, const tp_report_view *view) {
    tp_str text = {0};
    json_t *suite;
    size_t i;
    json_array_foreach(view->runs->suites, i, suite) {
        const char *name = tp_document_text(suite, "name");
        tp_str_appendf(&text, "telepathy suite %s.json --data DIR --out %s\ntelepathy report %s\n", name, name, name);
    }
    if (text.len == 0) {
        for (size_t k = 0; k < view->groups.n_main; k++) {
            const tp_report_group *g = tp_report_main(&view->groups, k);
            const char *task = g->results[0]->task;
            for (size_t r = 0; r < g->n; r++)
                tp_str_appendf(&text, "telepathy train --recipe %s.json --data DIR --seed %llu --out %s\n", task,
                               (unsigned long long)g->results[r]->seed, g->runs[r]->name);
            tp_str_append_text(&text, "telepathy eval");
            for (size_t r = 0; r < g->n; r++) tp_str_appendf(&text, " %s", g->runs[r]->name);
            tp_str_append_text(&text, " --data DIR\n");
        }
        tp_str_append_text(&text, "telepathy report DIR_OF_THE_RUNS\n");
    }
    tp_doc_code(doc, "The commands, DIR being the folder of the data", text.data);
    tp_str_free(&text);
}

static void definitions(tp_doc *doc, const tp_report_view *view) {
    json_t *suite;
    size_t i;
    json_array_foreach(view->runs->suites, i, suite) {
        json_t *definition = json_object_get(suite, "definition");
        char *text =
            json_is_object(definition) ? json_dumps(definition, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
        char *heading = tp_format("The suite %s", tp_document_text(suite, "name"));
        if (text) tp_doc_code(doc, heading, text);
        tp_free(heading);
        free(text);
    }
}

bool tp_section_making(tp_doc *doc, const tp_report_view *view) {
    tp_doc_section(doc, "making", "How it was made");
    table(doc, view);
    origins(doc, view);
    commands(doc, view);
    definitions(doc, view);
    recipes(doc, view);
    return true;
}
