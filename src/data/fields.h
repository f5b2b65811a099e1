/* Fields of a record and the texts made of them: a template such as "Premise: {sentence1}\nHypothesis: {sentence2}",
 * and paths into JSON such as `question.choices.text`. */
#ifndef TP_DATA_FIELDS_H
#define TP_DATA_FIELDS_H

#include "base/error.h"
#include "base/str.h"

#include <jansson.h>
#include <stddef.h>

/* A list of byte strings in one buffer, so that reading row after row allocates nothing once it has grown. */
typedef struct tp_strings {
    tp_str bytes;   /* each with a zero byte behind it */
    size_t *starts; /* [n] */
    size_t n, capacity;
} tp_strings;

void tp_strings_clear(tp_strings *list);
void tp_strings_add(tp_strings *list, const char *text, size_t n);
const char *tp_strings_get(const tp_strings *list, size_t i, size_t *n);
void tp_strings_free(tp_strings *list);

typedef struct tp_template_piece {
    const char *literal; /* n bytes of plain text; NULL: a field */
    size_t n;
    const char *field; /* its name, zero-terminated */
    size_t column;     /* for the reader of tables */
} tp_template_piece;

typedef struct tp_template {
    char *bytes; /* what the pieces point into */
    tp_template_piece *pieces;
    size_t n, capacity;
} tp_template;

/* Takes a pattern apart: {name} is a field, everything else is plain text. */
void tp_template_parse(tp_template *out, const char *pattern);
void tp_template_free(tp_template *template);

/* Adds the texts that `path` leads to: names parted by dots; a list on the way, or at the end, stands for each of its
 * elements, however deep. With `numbers`, integers, reals and booleans count as their JSON text. The error says which
 * key is missing or is something else; `where` names file and line. */
tp_status tp_json_strings(const json_t *object, const char *path, bool numbers, const char *where, tp_strings *out);

#endif
