/* Runs for the tests of the report, made without a model: an eval.json whose predictions are right as often as the test
 * says, with a log and the documents of the analysis on demand. */
#ifndef TP_TESTS_REPORT_RUNS_H
#define TP_TESTS_REPORT_RUNS_H

#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

typedef struct made_method {
    const char *name, *reading;
    double right; /* share of the rows; below 0: one and the same answer */
    double ms[3]; /* 0: no such phase */
} made_method;

typedef struct made_run {
    const char *folder; /* under the test's folder */
    const char *task, *title;
    const char *const *labels;
    int n_labels, n_rows, soft_tokens, layer;
    int seed;
    const made_method *methods;
    size_t n_methods;
} made_run;

static json_t *made_answers(const made_run *run, const made_method *m, const json_t *truth) {
    json_t *predictions = json_array();
    tp_rng rng = tp_rng_stream((uint64_t)run->seed, m->name, 0);
    for (int i = 0; i < run->n_rows; i++) {
        int right = (int)json_integer_value(json_array_get(truth, (size_t)i));
        int other = (int)tp_rng_below(&rng, (uint64_t)run->n_labels);
        int answer = m->right < 0 ? 0 : tp_rng_uniform(&rng) < m->right ? right : other;
        json_array_append_new(predictions, json_integer(answer));
    }
    json_t *answers = json_pack("{s:o}", "predictions", predictions);
    static const char *const phases[] = {"sender_ms", "bridge_ms", "receiver_ms"};
    for (int p = 0; p < 3; p++)
        if (m->ms[p] > 0) json_object_set_new(answers, phases[p], json_real(m->ms[p]));
    return answers;
}

static json_t *made_results(const made_run *run) {
    json_t *labels = json_array(), *truth = json_array(), *rows = json_array(), *methods = json_object();
    for (int i = 0; i < run->n_labels; i++) json_array_append_new(labels, json_string(run->labels[i]));
    for (int i = 0; i < run->n_rows; i++) {
        json_array_append_new(truth, json_integer(i % run->n_labels));
        json_array_append_new(rows, json_integer(i));
    }
    for (size_t m = 0; m < run->n_methods; m++) {
        const made_method *method = &run->methods[m];
        json_t *o = json_object_get(methods, method->name);
        if (o == NULL) {
            o = json_pack("{s:f, s:{}}", "bytes", 100.0 * (double)(m + 1), "readings");
            json_object_set_new(methods, method->name, o);
        }
        json_object_set_new(json_object_get(o, "readings"), method->reading, made_answers(run, method, truth));
    }
    json_t *recipe = json_pack("{s:s, s:{s:i, s:s}, s:{s:i}, s:i, s:{s:s}}", "name", run->folder, "bridge",
                               "soft_tokens", run->soft_tokens, "kind", "perceiver", "sender", "layer", run->layer,
                               "seed", run->seed, "models", "sender", "/somewhere/secret/wren");
    json_t *subject = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:{s:s, s:s, s:i}, s:{s:s, s:s, s:i}, s:i, s:i, s:i, s:s, s:o}", "task", run->task,
        "title", run->title, "labels", labels, "train", "aa", "test", "bb", "sender", "name", "/somewhere/secret/wren",
        "fingerprint", "be1402695b8db5d29bc9597f829d3d74", "layers", 6, "receiver", "name", "models/finch",
        "fingerprint", "83e21d37506912176210f837ddf50dd7", "layers", 6, "layer", run->layer, "soft_tokens",
        run->soft_tokens, "seed", run->seed, "bridge", run->folder, "recipe", recipe);
    json_object_del(recipe, "name"); /* runs of one recipe differ in their seed only */
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "run", run->folder, "subject", subject, "rows", rows, "truth", truth,
                     "methods", methods);
}

static inline void make_run(const char *root, const made_run *run) {
    char folder[512], path[600];
    snprintf(folder, sizeof folder, "%s/%s", root, run->folder);
    check_ok(tp_make_dirs(folder));
    snprintf(path, sizeof path, "%s/eval.json", folder);
    json_t *value = made_results(run);
    check_not_null(value);
    check_ok(tp_json_save_file(value, path));
    json_decref(value);
}

static inline void make_file(const char *root, const char *name, const char *text) {
    char *path = tp_path_join(root, name);
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static const made_method common_methods[] = {
    {"random", "direct", 0, {0}},
    {"majority", "direct", -1, {0}},
    {"words", "direct", 0.85, {0}},
    {"receiver", "score", 0.1, {0, 0, 22}},
    {"text_relay", "score", 0.2, {40, 0, 15}},
    {"text_relay", "generate", 0.1, {40, 0, 8}},
    {"probe_mean", "direct", 0.6, {0}},
    {"bridge", "score", 0.75, {5, 3, 9}},
    {"bridge", "generate", 0.74, {5, 3, 4}},
    {"zero", "score", -1, {0}},
    {"shuffled", "score", 0, {0}},
};

enum { N_COMMON_METHODS = sizeof common_methods / sizeof common_methods[0] };

#endif
