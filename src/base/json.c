/* Typed, strict reading of JSON objects. See json.h. */
#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { LARGEST_JSON = 512 << 20 }; /* bytes; the largest tokenizer.json in use is some 35 MB */

static json_t *parse(const char *bytes, size_t n, const char *name, size_t flags) {
    json_error_t error;
    json_t *value = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | flags, &error);
    if (value == NULL)
        return tp_fail_null(TP_ERR_FORMAT, "%s is not valid JSON: line %d, column %d: %s", name, error.line,
                            error.column, error.text);
    return value;
}

static json_t *load(const char *path, size_t flags) {
    char *bytes;
    size_t n;
    if (tp_read_file(path, LARGEST_JSON, &bytes, &n) != TP_OK) return NULL;
    json_t *value = parse(bytes, n, path, flags);
    tp_free(bytes);
    return value;
}

json_t *tp_json_load_bytes(const char *bytes, size_t n, const char *name) {
    return parse(bytes, n, name, 0);
}

json_t *tp_json_load_file(const char *path) {
    return load(path, 0);
}

json_t *tp_json_load_reals(const char *path) {
    return load(path, JSON_DECODE_INT_AS_REAL);
}

tp_status tp_json_save_file(const json_t *value, const char *path) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
    if (text == NULL) return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: the value has no JSON form", path);
    tp_writer *w = tp_writer_open(path);
    if (w == NULL) {
        free(text);
        return tp_last_status();
    }
    tp_writer_write(w, text, strlen(text));
    tp_writer_write(w, "\n", 1);
    free(text);
    return tp_writer_commit(w);
}

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

void tp_json_error(tp_json_reader *r, const char *key, const char *format, ...) {
    if (r->status != TP_OK) return; /* the first one counts */
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    r->status = tp_fail(TP_ERR_FORMAT, "%s: `%s%s` %s", r->file, r->prefix, key, sentence);
}

void tp_json_begin(tp_json_reader *r, json_t *value, const char *file) {
    *r = (tp_json_reader){.object = value, .file = file};
    if (!json_is_object(value)) {
        r->object = NULL;
        r->status =
            tp_fail(TP_ERR_FORMAT, "%s holds %s, an object was expected", file, value ? type_name(value) : "nothing");
    }
}

/* The value of `key`, remembered as known; NULL if absent or null. */
static json_t *field(tp_json_reader *r, const char *key) {
    if (r->n_seen < (int)(sizeof r->seen / sizeof r->seen[0])) r->seen[r->n_seen++] = key;
    json_t *value = r->object ? json_object_get(r->object, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

bool tp_json_has(const tp_json_reader *r, const char *key) {
    json_t *value = r->object ? json_object_get(r->object, key) : NULL;
    return value != NULL && !json_is_null(value);
}

int64_t tp_json_int(tp_json_reader *r, const char *key, int64_t fallback, int64_t min, int64_t max) {
    json_t *value = field(r, key);
    if (value == NULL) return fallback;
    if (!json_is_integer(value)) {
        tp_json_error(r, key, "is %s, an integer was expected", type_name(value));
        return fallback;
    }
    int64_t n = json_integer_value(value);
    if (n < min || n > max) {
        tp_json_error(r, key, "is %lld, allowed is %lld to %lld", (long long)n, (long long)min, (long long)max);
        return fallback;
    }
    return n;
}

double tp_json_real(tp_json_reader *r, const char *key, double fallback, double min, double max) {
    json_t *value = field(r, key);
    if (value == NULL) return fallback;
    if (!json_is_number(value)) {
        tp_json_error(r, key, "is %s, a number was expected", type_name(value));
        return fallback;
    }
    double x = json_number_value(value);
    if (!(x >= min && x <= max)) {
        tp_json_error(r, key, "is %g, allowed is %g to %g", x, min, max);
        return fallback;
    }
    return x;
}

bool tp_json_bool(tp_json_reader *r, const char *key, bool fallback) {
    json_t *value = field(r, key);
    if (value == NULL) return fallback;
    if (!json_is_boolean(value)) {
        tp_json_error(r, key, "is %s, true or false was expected", type_name(value));
        return fallback;
    }
    return json_is_true(value);
}

const char *tp_json_text(tp_json_reader *r, const char *key, const char *fallback) {
    json_t *value = field(r, key);
    if (value == NULL) return fallback;
    if (!json_is_string(value)) {
        tp_json_error(r, key, "is %s, a string was expected", type_name(value));
        return fallback;
    }
    return json_string_value(value);
}

json_t *tp_json_any(tp_json_reader *r, const char *key) {
    return field(r, key);
}

json_t *tp_json_array(tp_json_reader *r, const char *key) {
    json_t *value = field(r, key);
    if (value != NULL && !json_is_array(value)) {
        tp_json_error(r, key, "is %s, a list was expected", type_name(value));
        return NULL;
    }
    return value;
}

int tp_json_choice(tp_json_reader *r, const char *key, int fallback, const char *const *names) {
    const char *text = tp_json_text(r, key, NULL);
    if (text == NULL) return fallback;
    char known[256] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) return i;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    tp_json_error(r, key, "is \"%s\", known are: %s", text, known);
    return fallback;
}

void tp_json_require(tp_json_reader *r, const char *key) {
    if (r->object && !tp_json_has(r, key)) tp_json_error(r, key, "is missing");
}

void tp_json_object(tp_json_reader *r, const char *key, tp_json_reader *inner) {
    json_t *value = field(r, key);
    *inner = (tp_json_reader){.file = r->file};
    snprintf(inner->prefix, sizeof inner->prefix, "%.100s%.50s.", r->prefix, key);
    if (value == NULL) return;
    if (!json_is_object(value))
        tp_json_error(r, key, "is %s, an object was expected", type_name(value));
    else
        inner->object = value;
}

tp_status tp_json_end(tp_json_reader *r, bool strict) {
    if (!strict || r->object == NULL || r->status != TP_OK) return r->status;
    const char *key;
    json_t *value;
    json_object_foreach(r->object, key, value) {
        bool known = false;
        for (int i = 0; i < r->n_seen && !known; i++) known = strcmp(r->seen[i], key) == 0;
        if (known) continue;
        char names[384] = "";
        for (int i = 0; i < r->n_seen; i++) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", r->seen[i]);
        }
        tp_json_error(r, key, "is not a known key; known here: %s", names);
        break;
    }
    return r->status;
}

void tp_json_end_object(tp_json_reader *r, tp_json_reader *inner, bool strict) {
    tp_status status = tp_json_end(inner, strict);
    if (r->status == TP_OK) r->status = status;
}

void tp_json_differences(json_t *list, const char *path, json_t *a, json_t *b) {
    if (json_is_object(a) && json_is_object(b)) {
        json_t *both = json_copy(a), *ignored;
        const char *key;
        json_object_update_missing(both, b);
        json_object_foreach(both, key, ignored) {
            char *inner = tp_format("%s%s%s", path, path[0] ? "." : "", key);
            tp_json_differences(list, inner, json_object_get(a, key), json_object_get(b, key));
            tp_free(inner);
        }
        json_decref(both);
    } else if (!json_equal(a, b)) {
        json_array_append_new(list, json_pack("{s:s, s:O?, s:O?}", "key", path, "first", a, "second", b));
    }
}
