/* See fields.h. */
#include "data/fields.h"

#include "base/mem.h"

#include <string.h>

void tp_strings_clear(tp_strings *list) {
    tp_str_clear(&list->bytes);
    list->n = 0;
}

void tp_strings_add(tp_strings *list, const char *text, size_t n) {
    tp_grow(&list->starts, &list->capacity, list->n, sizeof *list->starts);
    list->starts[list->n++] = list->bytes.len;
    tp_str_append(&list->bytes, text, n);
    tp_str_append_char(&list->bytes, '\0');
}

const char *tp_strings_get(const tp_strings *list, size_t i, size_t *n) {
    size_t end = i + 1 < list->n ? list->starts[i + 1] : list->bytes.len;
    *n = end - list->starts[i] - 1;
    return list->bytes.data + list->starts[i];
}

void tp_strings_free(tp_strings *list) {
    tp_str_free(&list->bytes);
    tp_free(list->starts);
    *list = (tp_strings){0};
}

/* ---- templates ---- */

static tp_template_piece *add_piece(tp_template *t) {
    tp_grow(&t->pieces, &t->capacity, t->n, sizeof *t->pieces);
    t->pieces[t->n] = (tp_template_piece){0};
    return &t->pieces[t->n++];
}

void tp_template_parse(tp_template *out, const char *pattern) {
    *out = (tp_template){.bytes = tp_strdup(pattern)};
    for (char *p = out->bytes; *p;) {
        char *open = strchr(p, '{'), *close = open ? strchr(open, '}') : NULL;
        size_t n = close ? (size_t)(open - p) : strlen(p);
        if (n > 0) {
            tp_template_piece *piece = add_piece(out);
            piece->literal = p;
            piece->n = n;
        }
        if (close == NULL) return;
        *close = '\0';
        add_piece(out)->field = open + 1;
        p = close + 1;
    }
}

void tp_template_free(tp_template *t) {
    tp_free(t->bytes);
    tp_free(t->pieces);
    *t = (tp_template){0};
}

/* ---- paths into JSON ---- */

typedef struct walk {
    const char *path, *where; /* for the message */
    bool numbers;
    tp_strings *out;
} walk;

static tp_status add_scalar(const walk *w, const json_t *value) {
    if (json_is_string(value)) {
        tp_strings_add(w->out, json_string_value(value), json_string_length(value));
        return TP_OK;
    }
    if (!w->numbers || !(json_is_number(value) || json_is_boolean(value)))
        return tp_fail(TP_ERR_FORMAT, "%s: the key `%s` is %s, a string%s was expected", w->where, w->path,
                       w->numbers ? "none of these" : "not a string", w->numbers ? ", a number or a boolean" : "");
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    tp_strings_add(w->out, text, strlen(text));
    free(text);
    return TP_OK;
}

static tp_status follow(const walk *w, const json_t *value, const char *rest) {
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) TP_TRY(follow(w, json_array_get(value, i), rest));
        return TP_OK;
    }
    if (*rest == '\0') return add_scalar(w, value);
    size_t n = strcspn(rest, ".");
    char *key = tp_strndup(rest, n);
    const json_t *inner = json_object_get(value, key);
    tp_free(key);
    if (inner == NULL) return tp_fail(TP_ERR_FORMAT, "%s: the key `%s` is missing", w->where, w->path);
    return follow(w, inner, rest[n] ? rest + n + 1 : rest + n);
}

tp_status tp_json_strings(const json_t *object, const char *path, bool numbers, const char *where, tp_strings *out) {
    return follow(&(walk){.path = path, .where = where, .numbers = numbers, .out = out}, object, path);
}
