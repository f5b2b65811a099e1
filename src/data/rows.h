/* Rows of labelled text: what every file format is turned into, before labels become numbers and splits are made.
 *
 * Texts are cut free of blanks at both ends and otherwise kept byte for byte (but see `clean`); they live in an arena,
 * packed, so that the 67,349 rows of SST-2 cost their bytes and little more. */
#ifndef TP_DATA_ROWS_H
#define TP_DATA_ROWS_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_row {
    const char *text; /* zero-terminated */
    size_t len;
    const char *label; /* as the file says it */
    size_t line;       /* where it stands in its file, from 1; for messages */
} tp_row;

typedef struct tp_rows {
    tp_arena *arena; /* where texts and labels go; the owner's */
    tp_row *items;   /* [n]; free with tp_rows_free */
    size_t n, capacity;
    char *pool; /* unused bytes of the arena's last piece */
    size_t pool_left;
} tp_rows;

typedef enum tp_row_kind {
    TP_ROWS_PREFIXED, /* "label text" on each line, parted by the first blank */
    TP_ROWS_CSV,
    TP_ROWS_TSV,
    TP_ROWS_JSONL, /* an object on each line */
} tp_row_kind;

typedef struct tp_row_format {
    tp_row_kind kind;
    char label_end;          /* prefixed: the label ends before this character ("NUM:date" is NUM); 0: none */
    bool header;             /* CSV, TSV: the first record names the columns */
    const char *text_column; /* with a header, or JSONL: names; without a header the label is the first field and the */
    const char *label_column; /* text the others, joined by a blank (AG News: title and description) */
    bool clean_ag_news;       /* undo the quirks of AG News (see clean.h) */
} tp_row_format;

/* Appends the rows of a file (gzipped or not). Errors name the file and the line; a file without rows is one. */
tp_status tp_rows_read(tp_rows *rows, const char *path, const tp_row_format *format);
/* Appends one row; text and label are copied. */
void tp_rows_add(tp_rows *rows, const char *text, size_t len, const char *label, size_t label_len, size_t line);
void tp_rows_free(tp_rows *rows); /* the list, not the arena */

/* The format of a user's file by its extension (.csv, .tsv, .jsonl, .ndjson, each also with .gz behind). */
tp_status tp_row_kind_of(const char *path, tp_row_kind *kind);

#endif
