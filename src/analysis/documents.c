/* Texts and numbers as JSON. See documents.h. */
#include "analysis/documents.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <math.h>
#include <string.h>

json_t *tp_json_of_bytes(const char *bytes, size_t n) {
    tp_str clean = {0};
    for (size_t i = 0; i < n;) {
        size_t whole = tp_utf8_valid_prefix(bytes + i, n - i);
        tp_str_append(&clean, bytes + i, whole);
        i += whole;
        if (i == n) break;
        tp_str_append_text(&clean, "\xEF\xBF\xBD");
        i++;
    }
    json_t *value = json_stringn(clean.data ? clean.data : "", clean.len);
    tp_str_free(&clean);
    return value;
}

json_t *tp_json_of_text(const char *text) {
    return text ? tp_json_of_bytes(text, strlen(text)) : json_null();
}

json_t *tp_json_of_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *tp_json_of_vector(const double *values, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, tp_json_of_number(values[i]));
    return list;
}

json_t *tp_json_of_matrix(const double *values, size_t rows, size_t cols) {
    json_t *list = json_array();
    for (size_t i = 0; i < rows; i++) json_array_append_new(list, tp_json_of_vector(values + i * cols, cols));
    return list;
}

json_t *tp_json_of_subject(const tp_eval *eval, size_t n_texts) {
    const tp_relay *relay = eval->relay;
    json_t *labels = json_array();
    for (int i = 0; i < eval->task->n_labels; i++)
        json_array_append_new(labels, tp_json_of_text(eval->task->labels[i].name));
    return json_pack("{s:o, s:b, s:o, s:o, s:o, s:i, s:i, s:i, s:I, s:s}", "task", tp_json_of_text(eval->task->name),
                     "synthetic", eval->task->synthetic, "labels", labels, "sender",
                     tp_json_of_text(relay->trained->sender.name), "receiver",
                     tp_json_of_text(relay->trained->receiver.name), "layer", relay->tap.layer, "layers",
                     relay->sender->config.n_layers, "soft_tokens", relay->bridge->recipe.soft_tokens, "texts",
                     (json_int_t)n_texts, "bridge", relay->trained->fingerprint);
}

tp_status tp_wants_labels(const tp_task *task) {
    if (task->n_labels > 0 && task->kind != TP_TASK_TEXT) return TP_OK;
    return tp_fail(TP_ERR_UNSUPPORTED, "the task %s has free answers; this analysis is of tasks with labels",
                   task->name);
}

/* ---- reading ---- */

double tp_json_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *tp_json_string(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static const char *model_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

void tp_subject_line(tp_str *out, const json_t *subject) {
    tp_str_appendf(out, "%s: %.0f test texts; layer %.0f of %.0f of %s to %.0f soft tokens for %s\n",
                   tp_json_string(subject, "task"), tp_json_number(subject, "texts"), tp_json_number(subject, "layer"),
                   tp_json_number(subject, "layers"), model_name(tp_json_string(subject, "sender")),
                   tp_json_number(subject, "soft_tokens"), model_name(tp_json_string(subject, "receiver")));
    if (json_is_true(json_object_get(subject, "synthetic"))) tp_str_append_text(out, "SYNTHETIC data\n");
}

void tp_append_table(tp_str *out, tp_table *table) {
    char *lines = tp_table_text(table, TP_TABLE_PLAIN);
    tp_str_append_text(out, lines);
    tp_free(lines);
    tp_table_free(table);
}
