/* Reading JSON objects with typed fields, on top of jansson.
 *
 * A tp_json_reader walks one object and remembers the first thing wrong, as a sentence that names the file and the key
 * ("recipes/x.json: `bridge.depth` is a string, an integer was expected"). Keys nobody asked for are refused by
 * tp_json_end, so that a misspelt option is never silently ignored. */
#ifndef TP_BASE_JSON_H
#define TP_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses a file (gzip allowed). Duplicate keys are refused. NULL on error; free with json_decref. */
json_t *tp_json_load_file(const char *path);
/* The same with every integer read as a real, for files that hold some no integer type holds (transformers writes a
 * `model_max_length` of 10^30 for "none"). */
json_t *tp_json_load_reals(const char *path);
/* Parses n bytes; `name` is what error messages call them. */
json_t *tp_json_load_bytes(const char *bytes, size_t n, const char *name);
/* Adds every leaf in which two values differ to a list: {"key": "bridge.depth", "first": 2, "second": 4}, keys below
 * `path`; what only one of them has is null in the other. */
void tp_json_differences(json_t *list, const char *path, json_t *a, json_t *b);
/* Writes the value, keys in insertion order, indented by two, atomically. */
tp_status tp_json_save_file(const json_t *value, const char *path);

typedef struct tp_json_reader {
    json_t *object;       /* borrowed; NULL after an error or for an absent optional object */
    const char *file;     /* for messages; borrowed */
    char prefix[160];     /* "bridge." for a nested object, "" at the top */
    tp_status status;     /* the first error */
    const char *seen[96]; /* keys asked for */
    int n_seen;
} tp_json_reader;

void tp_json_begin(tp_json_reader *r, json_t *value, const char *file);
bool tp_json_has(const tp_json_reader *r, const char *key);
/* Typed fields. Absent: the fallback. Present with another type, or outside min..max: an error in r->status. */
int64_t tp_json_int(tp_json_reader *r, const char *key, int64_t fallback, int64_t min, int64_t max);
double tp_json_real(tp_json_reader *r, const char *key, double fallback, double min, double max);
bool tp_json_bool(tp_json_reader *r, const char *key, bool fallback);
const char *tp_json_text(tp_json_reader *r, const char *key, const char *fallback); /* lives as long as the object */
json_t *tp_json_any(tp_json_reader *r, const char *key);                            /* NULL if absent or null */
json_t *tp_json_array(tp_json_reader *r, const char *key);                          /* NULL if absent */
/* A text that must be one of the NULL-terminated names; returns its index. */
int tp_json_choice(tp_json_reader *r, const char *key, int fallback, const char *const *names);
/* Marks `key` as required: absent is an error. */
void tp_json_require(tp_json_reader *r, const char *key);
/* Starts reading the nested object `key` (absent: every field of `inner` takes its fallback). */
void tp_json_object(tp_json_reader *r, const char *key, tp_json_reader *inner);
/* Ends a nested object: its error moves to the outer reader. With `strict`, unknown keys are errors. */
tp_status tp_json_end(tp_json_reader *r, bool strict);
void tp_json_end_object(tp_json_reader *r, tp_json_reader *inner, bool strict);
/* Records an error about a key: "<file>: `<prefix><key>` <sentence>". */
void tp_json_error(tp_json_reader *r, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
