/* Keeping rows: texts packed into an arena. See rows.h. */
#include "data/rows.h"

#include "base/file.h"
#include "base/str.h"

#include <stdint.h>
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

static size_t list_length(const char *const *list) {
    size_t n = 0;
    while (list && list[n]) n++;
    return n;
}

static const char *const *keep_list(tp_rows *rows, const char *const *list) {
    if (list == NULL) return NULL;
    size_t n = list_length(list);
    const char **copy = tp_arena_zalloc(rows->arena, (n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++) copy[i] = keep(rows, list[i], strlen(list[i]));
    return copy;
}

void tp_rows_add(tp_rows *rows, const tp_row *row) {
    tp_grow(&rows->items, &rows->capacity, rows->n, sizeof *rows->items);
    rows->items[rows->n++] = (tp_row){.text = keep(rows, row->text, row->len),
                                      .len = row->len,
                                      .label = row->label ? keep(rows, row->label, strlen(row->label)) : NULL,
                                      .options = keep_list(rows, row->options),
                                      .answers = keep_list(rows, row->answers),
                                      .line = row->line};
}

/* Moves *at over a copy of the text. */
static char *place(char **at, const char *text, size_t n) {
    char *copy = *at;
    memcpy(copy, text, n);
    copy[n] = '\0';
    *at += n + 1;
    return copy;
}

tp_row *tp_row_copy(const tp_row *row) {
    size_t n_options = list_length(row->options), n_answers = list_length(row->answers);
    size_t bytes = row->len + 1 + (row->label ? strlen(row->label) + 1 : 0);
    for (size_t i = 0; i < n_options; i++) bytes += strlen(row->options[i]) + 1;
    for (size_t i = 0; i < n_answers; i++) bytes += strlen(row->answers[i]) + 1;
    tp_row *copy = tp_alloc(sizeof *copy + (n_options + n_answers + 2) * sizeof(char *) + bytes);
    const char **options = (const char **)(copy + 1), **answers = options + n_options + 1;
    char *at = (char *)(answers + n_answers + 1);
    *copy = (tp_row){.text = place(&at, row->text, row->len), .len = row->len, .line = row->line};
    if (row->label) copy->label = place(&at, row->label, strlen(row->label));
    for (size_t i = 0; i < n_options; i++) options[i] = place(&at, row->options[i], strlen(row->options[i]));
    for (size_t i = 0; i < n_answers; i++) answers[i] = place(&at, row->answers[i], strlen(row->answers[i]));
    if (row->options) copy->options = options;
    if (row->answers) copy->answers = answers;
    return copy;
}

void tp_rows_free(tp_rows *rows) {
    tp_free(rows->items);
    *rows = (tp_rows){0};
}

tp_status tp_rows_missing(const char *path) {
    return tp_fail(TP_ERR_FORMAT, "%s holds no rows%s; labelled text was expected", path,
                   tp_file_size(path) == 0 ? " (it is empty)" : "");
}

tp_status tp_rows_read_some(tp_rows *rows, const char *path, const tp_row_format *format, size_t most,
                            size_t most_bytes, bool *large) {
    size_t before = rows->n, bytes = 0;
    *large = false;
    tp_reader *reader = tp_reader_open(path, format);
    if (reader == NULL) return tp_last_status();
    tp_row row;
    while (!*large && tp_reader_next(reader, &row)) {
        tp_rows_add(rows, &row);
        bytes += row.len;
        *large = rows->n - before > most || bytes > most_bytes;
    }
    tp_status status = tp_reader_status(reader);
    tp_reader_close(reader);
    return status == TP_OK && rows->n == before ? tp_rows_missing(path) : status;
}

tp_status tp_rows_read(tp_rows *rows, const char *path, const tp_row_format *format) {
    bool large;
    return tp_rows_read_some(rows, path, format, SIZE_MAX, SIZE_MAX, &large);
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
