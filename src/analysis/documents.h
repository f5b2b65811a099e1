/* What the analyses share in writing JSON documents. */
#ifndef TP_ANALYSIS_DOCUMENTS_H
#define TP_ANALYSIS_DOCUMENTS_H

#include "base/str.h"
#include "base/table.h"
#include "eval/method.h"

#include <jansson.h>

/* Bytes as a JSON text: each byte that is not part of a UTF-8 character becomes U+FFFD. */
json_t *tp_json_of_bytes(const char *bytes, size_t n);
json_t *tp_json_of_text(const char *text); /* NULL gives null */

/* A number, or null where there is none (NaN, infinite). */
json_t *tp_json_of_number(double value);

/* [rows][cols] of a matrix; a vector is a list. */
json_t *tp_json_of_matrix(const double *values, size_t rows, size_t cols);
json_t *tp_json_of_vector(const double *values, size_t n);

/* What was looked at: task, labels, models, layer, soft tokens, how many texts, the bridge's fingerprint. */
json_t *tp_json_of_subject(const tp_eval *eval, size_t n_texts);

/* TP_OK if the task's texts have labels; what an analysis compares is classes. */
tp_status tp_wants_labels(const tp_task *task);

/* ---- reading a document again, for the text made of it ---- */

double tp_json_number(const json_t *object, const char *key);      /* NaN if there is none */
const char *tp_json_string(const json_t *object, const char *key); /* "" if there is none */

/* One line about the subject, ended by a line feed. */
void tp_subject_line(tp_str *out, const json_t *subject);
void tp_append_table(tp_str *out, tp_table *table); /* plain; frees the table */

#endif
