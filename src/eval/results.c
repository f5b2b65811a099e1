/* Results in memory and as JSON. See results.h.
 *
 * The file holds more than tables need (intervals, confusion matrix, macro F1): other programs read it too. What is
 * read back is what cannot be computed from the rest. */
#include "eval/results.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Text as JSON. Labels and paths are the user's and may not be UTF-8, which JSON must be: what is not ASCII becomes `?`
 * in such a text. NULL gives null. */
static json_t *text_to_json(const char *text) {
    if (text == NULL) return json_null();
    json_t *value = json_string(text);
    if (value) return value;
    char *ascii = tp_strdup(text);
    for (char *c = ascii; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    value = json_string(ascii);
    tp_free(ascii);
    return value;
}

/* ---- in memory ---- */

static json_t *describe_model(const tp_lm *lm) {
    return json_pack("{s:o, s:s, s:i}", "name", text_to_json(lm->path ? lm->path : "in memory"), "fingerprint",
                     lm->fingerprint, "layers", lm->config.n_layers);
}

static json_t *describe(const tp_eval *eval) {
    const tp_task *task = eval->task;
    const tp_relay *relay = eval->relay;
    const tp_trained_bridge *trained = relay->trained;
    json_t *labels = json_array();
    for (int32_t i = 0; i < task->n_labels; i++) json_array_append_new(labels, text_to_json(task->labels[i].name));
    if (task->kind == TP_TASK_TEXT) { /* what stands for labels: see tp_results */
        json_array_append_new(labels, json_string("wrong"));
        json_array_append_new(labels, json_string("right"));
    }
    json_t *subject = json_pack(
        "{s:o, s:o, s:o, s:b, s:o, s:s, s:s, s:s, s:I, s:o, s:o, s:i, s:i, s:s, s:I, s:I, s:I, s:o}", "task",
        text_to_json(task->name), "title", text_to_json(task->title), "source", text_to_json(task->source), "synthetic",
        task->synthetic, "labels", labels, "train", task->train.fingerprint, "valid", task->valid.fingerprint, "test",
        task->test.fingerprint, "overlap", (json_int_t)task->n_overlap, "sender", describe_model(relay->sender),
        "receiver", describe_model(relay->receiver), "layer", relay->tap.layer, "soft_tokens",
        relay->recipe->bridge.soft_tokens, "bridge", trained ? trained->fingerprint : "", "seed",
        (json_int_t)eval->seed, "timed", (json_int_t)eval->n_timed, "prompt_steps", (json_int_t)eval->prompt_steps,
        "recipe", tp_recipe_to_json(relay->recipe));
    if (task->kind == TP_TASK_TEXT) json_object_set_new(subject, "free_answers", json_true());
    return subject;
}

/* Reads what tables show of the subject. */
static tp_status read_subject(tp_results *r, const char *file) {
    tp_json_reader subject, sender, receiver;
    tp_json_begin(&subject, r->subject, file);
    static const char *const required[] = {"task", "title", "test", "sender", "receiver", "layer", "seed", "labels"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) tp_json_require(&subject, required[i]);
    r->task = tp_json_text(&subject, "task", "");
    r->title = tp_json_text(&subject, "title", "");
    r->synthetic = tp_json_bool(&subject, "synthetic", false);
    r->free_answers = tp_json_bool(&subject, "free_answers", false);
    r->layer = (int)tp_json_int(&subject, "layer", 0, 0, 1 << 20);
    r->soft_tokens = (int)tp_json_int(&subject, "soft_tokens", 0, 0, 1 << 20);
    r->seed = (uint64_t)tp_json_int(&subject, "seed", 0, 0, INT64_MAX);
    r->n_overlap = (size_t)tp_json_int(&subject, "overlap", 0, 0, INT64_MAX);
    r->n_timed = tp_json_int(&subject, "timed", 0, 0, INT64_MAX);
    r->n_labels = (int32_t)json_array_size(tp_json_array(&subject, "labels"));
    const char *test = tp_json_text(&subject, "test", "");
    snprintf(r->truth.fingerprint, sizeof r->truth.fingerprint, "%s", test);
    tp_json_object(&subject, "sender", &sender);
    r->sender = tp_json_text(&sender, "name", "");
    r->n_layers = (int)tp_json_int(&sender, "layers", 0, 0, 1 << 20);
    tp_json_end_object(&subject, &sender, false);
    tp_json_object(&subject, "receiver", &receiver);
    r->receiver = tp_json_text(&receiver, "name", "");
    tp_json_end_object(&subject, &receiver, false);
    return tp_json_end(&subject, false);
}

tp_results *tp_results_new(const tp_eval *eval, const char *run) {
    tp_results *r = tp_alloc(sizeof *r);
    *r = (tp_results){.run = tp_strdup(run), .subject = describe(eval)};
    r->truth.n = eval->task->test.n;
    r->truth.examples = tp_alloc(r->truth.n * sizeof *r->truth.examples);
    for (size_t i = 0; i < r->truth.n; i++) {
        const tp_example *row = &eval->task->test.examples[i];
        r->truth.examples[i] = (tp_example){.label = row->label < 0 ? 1 : row->label, .id = row->id};
    }
    read_subject(r, run);
    return r;
}

void tp_results_free(tp_results *r) {
    if (r == NULL) return;
    for (int m = 0; m < TP_MOST_METHODS; m++)
        if (r->present[m]) tp_method_result_free(&r->methods[m]);
    json_decref(r->subject);
    tp_free(r->truth.examples);
    tp_free(r->run);
    tp_free(r);
}

static int index_of(const tp_method *method) {
    int i = 0;
    while (tp_methods[i] != method) i++;
    return i;
}

void tp_results_put(tp_results *results, const tp_method *method, tp_method_result *result) {
    int m = index_of(method);
    if (results->present[m]) tp_method_result_free(&results->methods[m]);
    results->methods[m] = *result;
    results->present[m] = true;
    *result = tp_method_result_new();
}

const tp_method_result *tp_results_get(const tp_results *results, const tp_method *method) {
    int m = index_of(method);
    return results->present[m] ? &results->methods[m] : NULL;
}

tp_method_result tp_method_result_copy(const tp_method_result *result) {
    tp_method_result copy = *result;
    for (int r = 0; r < TP_N_READINGS; r++) {
        const tp_predictions *from = &result->readings[r].predictions;
        if (from->labels == NULL) continue;
        copy.readings[r].predictions = tp_predictions_new(from->n);
        memcpy(copy.readings[r].predictions.labels, from->labels, from->n * sizeof *from->labels);
    }
    copy.setting = tp_strdup(result->setting);
    copy.note = tp_strdup(result->note);
    return copy;
}

/* The subject without what differs between runs of one recipe. */
static json_t *shared_subject(const tp_results *r) {
    json_t *s = json_deep_copy(r->subject);
    json_object_del(s, "seed");
    json_object_del(s, "bridge");
    json_object_del(s, "timed");
    json_object_del(json_object_get(s, "recipe"), "seed");
    return s;
}

bool tp_results_comparable(const tp_results *a, const tp_results *b) {
    json_t *x = shared_subject(a), *y = shared_subject(b);
    bool equal = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return equal;
}

void tp_results_merge(tp_results *results, tp_results *older) {
    if (!json_equal(results->subject, older->subject) || results->truth.n != older->truth.n) return;
    for (int m = 0; tp_methods[m]; m++) {
        if (results->present[m] || !older->present[m]) continue;
        results->methods[m] = older->methods[m];
        results->present[m] = true;
        older->present[m] = false;
    }
}

tp_mcnemar tp_results_mcnemar(const tp_results *r, const tp_method *first, tp_reading first_reading,
                              const tp_method *second, tp_reading second_reading) {
    int32_t *truth = tp_alloc(r->truth.n * sizeof *truth);
    for (size_t i = 0; i < r->truth.n; i++) truth[i] = r->truth.examples[i].label;
    tp_mcnemar test =
        tp_mcnemar_compare(tp_results_get(r, first)->readings[first_reading].predictions.labels,
                           tp_results_get(r, second)->readings[second_reading].predictions.labels, truth, r->truth.n);
    tp_free(truth);
    return test;
}

/* ---- to JSON ---- */

static json_t *number(double value) { /* NAN has no place in JSON */
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *labels_to_json(const int32_t *labels, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, json_integer(labels[i]));
    return array;
}

static void add_scores(json_t *o, const tp_scores *s) {
    tp_interval wilson = tp_wilson(s->n_right, s->n, 0.95);
    json_object_set_new(o, "accuracy", number(s->accuracy));
    json_object_set_new(o, "interval", json_pack("[f, f]", wilson.low, wilson.high));
    json_object_set_new(o, "invalid", number(s->invalid_rate));
    json_object_set_new(o, "macro_f1", number(s->macro_f1));
    json_t *classes = json_array(), *rows = json_array();
    for (int32_t l = 0; l < s->n_labels; l++) {
        json_t *row = json_array();
        json_array_append_new(classes, number(s->class_accuracy[l]));
        for (int32_t k = 0; k <= s->n_labels; k++)
            json_array_append_new(row, json_integer((json_int_t)s->confusion[l * (s->n_labels + 1) + k]));
        json_array_append_new(rows, row);
    }
    json_object_set_new(o, "class_accuracy", classes);
    json_object_set_new(o, "confusion", rows);
}

static const char *const phase_keys[TP_N_PHASES] = {"sender_ms", "bridge_ms", "receiver_ms"};

static json_t *answers_to_json(const tp_answers *a, const tp_results *r) {
    json_t *o = json_object();
    tp_scores scores = tp_scores_of(&a->predictions, &r->truth, r->n_labels);
    add_scores(o, &scores);
    tp_scores_free(&scores);
    for (int p = 0; p < TP_N_PHASES; p++) json_object_set_new(o, phase_keys[p], number(a->ms[p]));
    json_object_set_new(o, "per_second", number(a->per_second));
    json_object_set_new(o, "predictions", labels_to_json(a->predictions.labels, a->predictions.n));
    return o;
}

static json_t *method_to_json(const tp_method *method, const tp_method_result *m, const tp_results *r) {
    json_t *o = json_object(), *readings = json_object();
    json_object_set_new(o, "title", json_string(method->title));
    json_object_set_new(o, "bytes", number(m->bytes));
    json_object_set_new(o, "truncated", json_integer(m->n_truncated));
    json_object_set_new(o, "setting", text_to_json(m->setting));
    json_object_set_new(o, "chosen", number(m->chosen));
    json_object_set_new(o, "note", text_to_json(m->note));
    for (tp_reading k = 0; k < TP_N_READINGS; k++)
        if (m->readings[k].predictions.labels)
            json_object_set_new(readings, tp_reading_name(k), answers_to_json(&m->readings[k], r));
    json_object_set_new(o, "readings", readings);
    return o;
}

json_t *tp_results_to_json(const tp_results *r) {
    json_t *methods = json_object(), *truth = json_array(), *ids = json_array();
    for (int m = 0; tp_methods[m]; m++)
        if (r->present[m])
            json_object_set_new(methods, tp_methods[m]->name, method_to_json(tp_methods[m], &r->methods[m], r));
    for (size_t i = 0; i < r->truth.n; i++) {
        json_array_append_new(truth, json_integer(r->truth.examples[i].label));
        json_array_append_new(ids, json_integer(r->truth.examples[i].id));
    }
    return json_pack("{s:o, s:O, s:o, s:o, s:o}", "run", text_to_json(r->run), "subject", r->subject, "rows", ids,
                     "truth", truth, "methods", methods);
}

tp_status tp_results_save(const tp_results *results, const char *path) {
    json_t *value = tp_results_to_json(results);
    tp_status status = tp_json_save_file(value, path);
    json_decref(value);
    return status;
}

/* ---- from JSON ---- */

/* The labels of a list of n; each between `lowest` and n_labels - 1. */
static int32_t *read_labels(json_t *array, size_t n, int32_t lowest, int32_t n_labels) {
    if (json_array_size(array) != n) return NULL;
    int32_t *labels = tp_alloc(n * sizeof *labels);
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_array_get(array, i);
        json_int_t label = json_integer_value(value);
        if (!json_is_integer(value) || label < lowest || label >= n_labels) {
            tp_free(labels);
            return NULL;
        }
        labels[i] = (int32_t)label;
    }
    return labels;
}

static double read_number(json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool read_answers(json_t *o, tp_answers *a, const tp_results *r) {
    for (int p = 0; p < TP_N_PHASES; p++) a->ms[p] = read_number(o, phase_keys[p]);
    a->per_second = read_number(o, "per_second");
    a->predictions.labels = read_labels(json_object_get(o, "predictions"), r->truth.n, -1, r->n_labels);
    a->predictions.n = r->truth.n;
    return a->predictions.labels != NULL;
}

static tp_status read_method(tp_results *r, const char *path, const tp_method *method, json_t *o) {
    tp_method_result m = tp_method_result_new();
    m.bytes = read_number(o, "bytes");
    m.n_truncated = json_integer_value(json_object_get(o, "truncated"));
    m.chosen = read_number(o, "chosen");
    m.setting = tp_strdup(json_string_value(json_object_get(o, "setting")));
    m.note = tp_strdup(json_string_value(json_object_get(o, "note")));
    json_t *readings = json_object_get(o, "readings");
    for (tp_reading k = 0; k < TP_N_READINGS; k++) {
        json_t *answers = json_object_get(readings, tp_reading_name(k));
        if (answers && !read_answers(answers, &m.readings[k], r)) {
            tp_method_result_free(&m);
            return tp_fail(TP_ERR_FORMAT, "%s: `methods.%s.readings.%s.predictions` is not a list of %zu labels", path,
                           method->name, tp_reading_name(k), r->truth.n);
        }
    }
    tp_results_put(r, method, &m);
    return TP_OK;
}

static tp_status read_truth(tp_results *r, const char *path, json_t *truth, json_t *rows) {
    size_t n = json_array_size(truth);
    int32_t *labels = read_labels(truth, n, 0, r->n_labels), *ids = read_labels(rows, n, 0, INT32_MAX);
    if (labels && ids) {
        r->truth.n = n;
        r->truth.examples = tp_alloc(n * sizeof *r->truth.examples);
        for (size_t i = 0; i < n; i++) r->truth.examples[i] = (tp_example){.label = labels[i], .id = ids[i]};
    }
    bool complete = labels && ids;
    tp_free(labels);
    tp_free(ids);
    return complete ? TP_OK : tp_fail(TP_ERR_FORMAT, "%s: `truth` and `rows` are not lists of labels and rows", path);
}

static tp_status read_all(tp_results *r, const char *path, json_t *value) {
    tp_json_reader reader;
    tp_json_begin(&reader, value, path);
    tp_json_require(&reader, "subject");
    r->run = tp_strdup(tp_json_text(&reader, "run", ""));
    r->subject = json_incref(tp_json_any(&reader, "subject"));
    json_t *truth = tp_json_array(&reader, "truth"), *rows = tp_json_array(&reader, "rows");
    json_t *methods = tp_json_any(&reader, "methods");
    TP_TRY(tp_json_end(&reader, false));
    TP_TRY(read_subject(r, path));
    TP_TRY(read_truth(r, path, truth, rows));
    for (int m = 0; tp_methods[m]; m++) {
        json_t *o = json_object_get(methods, tp_methods[m]->name);
        if (o) TP_TRY(read_method(r, path, tp_methods[m], o));
    }
    return TP_OK;
}

tp_results *tp_results_from_json(json_t *value, const char *name) {
    tp_results *r = tp_alloc(sizeof *r);
    if (read_all(r, name, value) == TP_OK) return r;
    tp_results_free(r);
    return NULL;
}

tp_results *tp_results_load(const char *path) {
    json_t *value = tp_json_load_file(path);
    if (value == NULL) return NULL;
    tp_results *r = tp_results_from_json(value, path);
    json_decref(value);
    return r;
}
