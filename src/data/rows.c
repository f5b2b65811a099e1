/* Readers of the row formats: prefixed lines, CSV, TSV, JSON lines. See rows.h. */
#include "data/rows.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "data/clean.h"
#include "data/csv.h"

#include <ctype.h>
#include <string.h>

enum { POOL_PIECE = 1 << 20 };

/* Texts are packed into large pieces: an arena allocation of its own would align each to 64 bytes. */
static const char *keep(tp_rows *rows, const char *bytes, size_t n) {
    if (rows->pool_left < n + 1) {
        rows->pool_left = n + 1 > POOL_PIECE ? n + 1 : POOL_PIECE;
        rows->pool = tp_arena_alloc(rows->arena, rows->pool_left);
    }
    char *copy = rows->pool;
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    rows->pool += n + 1;
    rows->pool_left -= n + 1;
    return copy;
}

static void trim(const char **text, size_t *n) {
    while (*n > 0 && isspace((unsigned char)**text)) ++*text, --*n;
    while (*n > 0 && isspace((unsigned char)(*text)[*n - 1])) --*n;
}

void tp_rows_add(tp_rows *rows, const char *text, size_t len, const char *label, size_t label_len, size_t line) {
    trim(&text, &len);
    trim(&label, &label_len);
    tp_grow(&rows->items, &rows->capacity, rows->n, sizeof *rows->items);
    rows->items[rows->n++] =
        (tp_row){.text = keep(rows, text, len), .len = len, .label = keep(rows, label, label_len), .line = line};
}

void tp_rows_free(tp_rows *rows) {
    tp_free(rows->items);
    *rows = (tp_rows){0};
}

/* ---- prefixed lines ---- */

static tp_status read_prefixed(tp_rows *rows, const char *path, const tp_row_format *format) {
    tp_lines *lines = tp_lines_open(path);
    if (lines == NULL) return tp_last_status();
    tp_status status = TP_OK;
    char *line;
    size_t n, number = 0;
    while (status == TP_OK && tp_lines_next(lines, &line, &n)) {
        if (++number == 1 && n >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) line += 3, n -= 3;
        if (n > 0 && line[n - 1] == '\r') n--;
        if (n == 0) continue;
        char *blank = memchr(line, ' ', n);
        if (blank == NULL || blank == line) {
            status = tp_fail(TP_ERR_FORMAT, "%s, line %zu: no label found; a label, a blank and the text were expected",
                             path, number);
            break;
        }
        size_t label_len = (size_t)(blank - line);
        char *end = format->label_end ? memchr(line, format->label_end, label_len) : NULL;
        tp_rows_add(rows, blank + 1, n - label_len - 1, line, end ? (size_t)(end - line) : label_len, number);
    }
    if (status == TP_OK) status = tp_lines_status(lines);
    tp_lines_close(lines);
    return status;
}

/* ---- delimited ---- */

static tp_status find_column(const tp_csv *csv, const char *path, const char *name, size_t *column) {
    tp_str found = {0};
    for (size_t i = 0; i < tp_csv_n_fields(csv); i++) {
        size_t n;
        const char *field = tp_csv_field(csv, i, &n);
        trim(&field, &n);
        if (n == strlen(name) && memcmp(field, name, n) == 0) {
            *column = i;
            tp_str_free(&found);
            return TP_OK;
        }
        if (found.len < 300) tp_str_appendf(&found, "%s`%.*s`", i ? ", " : "", n > 60 ? 60 : (int)n, field);
    }
    tp_status status =
        tp_fail(TP_ERR_FORMAT, "%s has no column `%s`; its columns are %s", path, name, found.data ? found.data : "");
    tp_str_free(&found);
    return status;
}

static tp_status read_delimited(tp_rows *rows, const char *path, const tp_row_format *format) {
    tp_csv *csv = tp_csv_open(path, format->kind == TP_ROWS_TSV ? '\t' : ',', format->kind == TP_ROWS_CSV);
    if (csv == NULL) return tp_last_status();
    size_t text_column = 0, label_column = 0, n_columns = 0;
    tp_str joined = {0}, cleaned = {0};
    tp_status status = TP_OK;
    if (format->header && tp_csv_next(csv)) {
        n_columns = tp_csv_n_fields(csv);
        status = find_column(csv, path, format->text_column, &text_column);
        if (status == TP_OK) status = find_column(csv, path, format->label_column, &label_column);
    }
    while (status == TP_OK && tp_csv_next(csv)) {
        size_t found = tp_csv_n_fields(csv), line = tp_csv_line(csv), label_len, n;
        if (format->header ? found != n_columns : found < 2) {
            status = format->header
                         ? tp_fail(TP_ERR_FORMAT, "%s, line %zu: %zu fields found, the header names %zu", path, line,
                                   found, n_columns)
                         : tp_fail(TP_ERR_FORMAT, "%s, line %zu: %zu field found; a label and a text were expected",
                                   path, line, found);
            break;
        }
        const char *label = tp_csv_field(csv, label_column, &label_len), *text;
        if (format->header) {
            text = tp_csv_field(csv, text_column, &n);
        } else {
            tp_str_clear(&joined);
            for (size_t i = 1; i < found; i++) {
                const char *field = tp_csv_field(csv, i, &n);
                if (i > 1) tp_str_append_char(&joined, ' ');
                tp_str_append(&joined, field, n);
            }
            text = joined.data;
            n = joined.len;
        }
        if (format->clean_ag_news) {
            tp_clean_ag_news(text, n, &cleaned);
            text = cleaned.data ? cleaned.data : "";
            n = cleaned.len;
        }
        tp_rows_add(rows, text, n, label, label_len, line);
    }
    if (status == TP_OK) status = tp_csv_status(csv);
    tp_str_free(&joined);
    tp_str_free(&cleaned);
    tp_csv_close(csv);
    return status;
}

/* ---- JSON lines ---- */

/* A label may be a string, an integer or a boolean; anything else is NULL. Free with tp_free. */
static char *label_text(const json_t *value) {
    if (json_is_string(value)) return tp_strndup(json_string_value(value), json_string_length(value));
    if (json_is_integer(value)) return tp_format("%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value)) return tp_strdup(json_is_true(value) ? "true" : "false");
    return NULL;
}

static tp_status json_row(tp_rows *rows, const char *path, const tp_row_format *format, const char *line, size_t n,
                          size_t number) {
    char *where = tp_format("%s, line %zu", path, number);
    json_t *object = tp_json_load_bytes(line, n, where);
    tp_status status = object ? TP_OK : tp_last_status();
    const json_t *text = json_object_get(object, format->text_column);
    const json_t *label = json_object_get(object, format->label_column);
    char *label_string = label_text(label);
    if (status != TP_OK) {
        /* the sentence stands already */
    } else if (!json_is_object(object)) {
        status =
            tp_fail(TP_ERR_FORMAT, "%s holds something else than an object; {\"%s\": ..., \"%s\": ...} was expected",
                    where, format->text_column, format->label_column);
    } else if (!json_is_string(text)) {
        status = tp_fail(TP_ERR_FORMAT, "%s: the key `%s` is %s, a string was expected", where, format->text_column,
                         text ? "not a string" : "missing");
    } else if (label_string == NULL) {
        status = tp_fail(TP_ERR_FORMAT, "%s: the key `%s` is %s, a string, an integer or a boolean was expected", where,
                         format->label_column, label ? "none of these" : "missing");
    } else {
        tp_rows_add(rows, json_string_value(text), json_string_length(text), label_string, strlen(label_string),
                    number);
    }
    tp_free(label_string);
    json_decref(object);
    tp_free(where);
    return status;
}

static tp_status read_jsonl(tp_rows *rows, const char *path, const tp_row_format *format) {
    tp_lines *lines = tp_lines_open(path);
    if (lines == NULL) return tp_last_status();
    tp_status status = TP_OK;
    char *line;
    size_t n, number = 0;
    while (status == TP_OK && tp_lines_next(lines, &line, &n)) {
        if (++number == 1 && n >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) line += 3, n -= 3;
        const char *start = line;
        trim(&start, &n);
        if (n > 0) status = json_row(rows, path, format, start, n, number);
    }
    if (status == TP_OK) status = tp_lines_status(lines);
    tp_lines_close(lines);
    return status;
}

tp_status tp_rows_read(tp_rows *rows, const char *path, const tp_row_format *format) {
    size_t before = rows->n;
    switch (format->kind) {
    case TP_ROWS_PREFIXED:
        TP_TRY(read_prefixed(rows, path, format));
        break;
    case TP_ROWS_CSV:
    case TP_ROWS_TSV:
        TP_TRY(read_delimited(rows, path, format));
        break;
    case TP_ROWS_JSONL:
        TP_TRY(read_jsonl(rows, path, format));
        break;
    }
    for (size_t i = before; i < rows->n; i++)
        if (rows->items[i].label[0] == '\0')
            return tp_fail(TP_ERR_FORMAT, "%s, line %zu: the label is empty", path, rows->items[i].line);
    if (rows->n == before)
        return tp_fail(TP_ERR_FORMAT, "%s holds no rows%s; labelled text was expected", path,
                       tp_file_size(path) == 0 ? " (it is empty)" : "");
    return TP_OK;
}

tp_status tp_row_kind_of(const char *path, tp_row_kind *kind) {
    char *name = tp_strdup(path);
    if (tp_ends_with(name, ".gz")) name[strlen(name) - 3] = '\0';
    tp_status status = TP_OK;
    if (tp_ends_with(name, ".csv"))
        *kind = TP_ROWS_CSV;
    else if (tp_ends_with(name, ".tsv"))
        *kind = TP_ROWS_TSV;
    else if (tp_ends_with(name, ".jsonl") || tp_ends_with(name, ".ndjson"))
        *kind = TP_ROWS_JSONL;
    else
        status = tp_fail(TP_ERR_UNSUPPORTED,
                         "%s: the format is told by the extension; .csv, .tsv or .jsonl (each also with "
                         ".gz behind) was expected",
                         path);
    tp_free(name);
    return status;
}
