/* Delimited records on top of lines: a quoted field that holds a line feed simply asks for another line.
 * All fields of a record lie in one buffer, each with a zero byte behind it, so nothing is allocated per record once
 * the buffers have grown. See csv.h. */
#include "data/csv.h"

#include "base/mem.h"
#include "base/str.h"
#include "data/text_lines.h"

#include <string.h>

/* A quote that never closes would swallow the file; no sane record is this long. */
enum { LONGEST_RECORD = 64 << 20 };

struct tp_csv {
    tp_text_lines *lines;
    char *path;
    char delimiter;
    bool quotes;
    tp_str bytes;   /* the record's fields, end to end */
    size_t *starts; /* [n_fields + 1] offsets into bytes; the length of field i is starts[i + 1] - starts[i] - 1 */
    size_t n_fields, capacity;
    size_t line; /* of the record */
    tp_status status;
};

tp_csv *tp_csv_open(const char *path, char delimiter, bool quotes) {
    tp_text_lines *lines = tp_text_lines_open(path);
    if (lines == NULL) return NULL;
    tp_csv *csv = tp_alloc(sizeof *csv);
    *csv = (tp_csv){.lines = lines, .path = tp_strdup(path), .delimiter = delimiter, .quotes = quotes};
    return csv;
}

/* The next line; *cr says whether it ended in CR LF (inside quotes that is text). */
static bool next_line(tp_csv *csv, char **line, size_t *len, bool *cr) {
    if (tp_text_lines_next(csv->lines, line, len, cr)) return true;
    csv->status = tp_text_lines_status(csv->lines);
    return false;
}

static void begin_field(tp_csv *csv) {
    tp_grow(&csv->starts, &csv->capacity, csv->n_fields + 1, sizeof *csv->starts);
    csv->starts[csv->n_fields++] = csv->bytes.len;
}

static void end_field(tp_csv *csv) {
    tp_str_append_char(&csv->bytes, '\0');
    csv->starts[csv->n_fields] = csv->bytes.len; /* begin_field left room for one more */
}

/* Reads a quoted field whose opening quote is at (*line)[*at - 1], over as many lines as it takes; *at is left behind
 * the closing quote. */
static bool quoted_field(tp_csv *csv, char **line, size_t *len, size_t *at, bool *cr) {
    size_t opened = tp_text_lines_number(csv->lines);
    for (;;) {
        char *p = *line + *at, *quote = memchr(p, '"', *len - *at);
        if (quote) {
            tp_str_append(&csv->bytes, p, (size_t)(quote - p));
            *at = (size_t)(quote - *line) + 1;
            if (*at == *len || (*line)[*at] != '"') return true;
            tp_str_append_char(&csv->bytes, '"'); /* a doubled quote */
            ++*at;
            continue;
        }
        tp_str_append(&csv->bytes, p, *len - *at);
        tp_str_append_text(&csv->bytes, *cr ? "\r\n" : "\n");
        *at = 0;
        if (csv->bytes.len > LONGEST_RECORD || !next_line(csv, line, len, cr)) {
            if (csv->status == TP_OK)
                csv->status =
                    tp_fail(TP_ERR_FORMAT, "%s, line %zu: a quote opens here and never closes", csv->path, opened);
            return false;
        }
    }
}

bool tp_csv_next(tp_csv *csv) {
    char *line;
    size_t len;
    bool cr;
    if (csv->status != TP_OK) return false;
    do {
        if (!next_line(csv, &line, &len, &cr)) return false;
    } while (len == 0); /* blank lines, as at the end of many a file */
    csv->line = tp_text_lines_number(csv->lines);
    csv->n_fields = 0;
    tp_str_clear(&csv->bytes);
    for (size_t at = 0;;) {
        begin_field(csv);
        if (csv->quotes && at < len && line[at] == '"') {
            at++;
            if (!quoted_field(csv, &line, &len, &at, &cr)) return false;
            if (at < len && line[at] != csv->delimiter) {
                csv->status =
                    tp_fail(TP_ERR_FORMAT,
                            "%s, line %zu: a quote closes and then `%c` stands; the delimiter `%c` or the end "
                            "of the line was expected (a quote inside quotes is written twice)",
                            csv->path, tp_text_lines_number(csv->lines), line[at], csv->delimiter);
                return false;
            }
        } else {
            char *end = at < len ? memchr(line + at, csv->delimiter, len - at) : NULL;
            size_t n = end ? (size_t)(end - line) - at : len - at;
            tp_str_append(&csv->bytes, line + at, n);
            at += n;
        }
        end_field(csv);
        if (at >= len) return true;
        at++; /* the delimiter */
    }
}

size_t tp_csv_n_fields(const tp_csv *csv) {
    return csv->n_fields;
}

const char *tp_csv_field(const tp_csv *csv, size_t i, size_t *len) {
    *len = csv->starts[i + 1] - csv->starts[i] - 1;
    return csv->bytes.data + csv->starts[i];
}

size_t tp_csv_line(const tp_csv *csv) {
    return csv->line;
}

tp_status tp_csv_status(const tp_csv *csv) {
    return csv->status;
}

bool tp_csv_recover(tp_csv *csv) {
    if (tp_text_lines_recover(csv->lines)) csv->status = TP_OK;
    return csv->status == TP_OK;
}

void tp_csv_close(tp_csv *csv) {
    if (csv == NULL) return;
    tp_text_lines_close(csv->lines);
    tp_str_free(&csv->bytes);
    tp_free(csv->starts);
    tp_free(csv->path);
    tp_free(csv);
}
