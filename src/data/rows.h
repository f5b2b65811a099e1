/* Rows of text: what every file format is turned into, before labels become numbers and splits are made.
 *
 * A reader gives one row at a time and keeps nothing, so that a file of any length can be gone through in the memory of
 * its longest row. tp_rows_read keeps all rows: their texts live in an arena, packed, so that the 67,349 rows of SST-2
 * cost their bytes and little more. Texts are cut free of blanks at both ends and otherwise kept byte for byte (but see
 * `clean_ag_news`). */
#ifndef TP_DATA_ROWS_H
#define TP_DATA_ROWS_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_row {
    const char *text; /* zero-terminated */
    size_t len;
    const char *label;          /* as the file says it; NULL with free answers */
    const char *const *options; /* NULL-terminated; NULL if the format names none */
    const char *const *answers; /* NULL-terminated; NULL if the format names none */
    size_t line;                /* where it stands in its file, from 1 (see tp_row_place); for messages */
} tp_row;

typedef enum tp_row_kind {
    TP_ROWS_PREFIXED, /* "label text" on each line, parted by the first blank */
    TP_ROWS_CSV,
    TP_ROWS_TSV,
    TP_ROWS_JSONL, /* an object on each line */
    TP_ROWS_JSON,  /* one list of objects */
    TP_ROWS_SQUAD, /* SQuAD's own layout: a row for each question, with `title`, `context`, `question`, `answers.text`
                    */
} tp_row_kind;

/* All texts are borrowed. */
typedef struct tp_row_format {
    tp_row_kind kind;
    char label_end;          /* prefixed: the label ends before this character ("NUM:date" is NUM); 0: none */
    bool header;             /* CSV, TSV: the first record names the columns */
    const char *text;        /* how the text is made of fields: "{question}\n{passage}"; fields are columns, or paths
                                into JSON (fields.h), and {options} stands for the options behind their letters */
    const char *text_column; /* used where `text` is NULL: the one field that is the text. Without a header the label is
                                the first field and the text the others, joined by a blank (AG News: title and
                                description) */
    const char *label_column;   /* NULL: the rows have no label */
    const char *const *options; /* JSON: fields that hold the options, NULL-terminated; NULL: none */
    const char *answers;        /* JSON: the field that holds the gold answers; NULL: none */
    const char *answer_after;   /* an answer is what stands behind the last of these ("####"); NULL: all of it */
    const char *label_file;     /* a file beside it that holds a label on each line, row for row; NULL: none */
    const char *skip_label;     /* rows with this label are left out (MNLI's "-"); NULL: none */
    const char *const *keys; /* pairs: a label in this file, and how the task calls it; NULL-terminated; NULL: none */
    bool clean_ag_news;      /* undo the quirks of AG News (see clean.h) */
} tp_row_format;

/* ---- one row at a time ---- */

typedef struct tp_reader tp_reader;

/* A file, gzipped or not. NULL on error. The format must live as long as the reader. */
tp_reader *tp_reader_open(const char *path, const tp_row_format *format);
/* The next row, valid until the one after it is asked for. False at the end or on error, which names file and line. */
bool tp_reader_next(tp_reader *reader, tp_row *row);
tp_status tp_reader_status(const tp_reader *reader);
/* Forgets an error in one row, so that reading goes on behind it; false if the file cannot be read any further. */
bool tp_reader_recover(tp_reader *reader);
void tp_reader_close(tp_reader *reader); /* takes NULL */

/* What `line` counts: "line", "record" (of a JSON list) or "question". */
const char *tp_row_place(tp_row_kind kind);

/* ---- all rows ---- */

typedef struct tp_rows {
    tp_arena *arena; /* where texts and labels go; the owner's */
    tp_row *items;   /* [n]; free with tp_rows_free */
    size_t n, capacity;
    char *pool; /* unused bytes of the arena's last piece */
    size_t pool_left;
} tp_rows;

/* Appends the rows of a file. Errors name the file and the line; a file without rows is one. */
tp_status tp_rows_read(tp_rows *rows, const char *path, const tp_row_format *format);
/* The same, but stops as soon as there are more than `most` rows or more than `most_bytes` bytes of text: *large says
 * so, and `rows` holds what was read so far. */
tp_status tp_rows_read_some(tp_rows *rows, const char *path, const tp_row_format *format, size_t most,
                            size_t most_bytes, bool *large);
/* Appends one row; everything in it is copied. */
void tp_rows_add(tp_rows *rows, const tp_row *row);
void tp_rows_free(tp_rows *rows); /* the list, not the arena */

/* A row of its own, in one piece of memory; free with tp_free. */
tp_row *tp_row_copy(const tp_row *row);

/* The error of a file without rows. */
tp_status tp_rows_missing(const char *path);

/* The format of a user's file by its extension (.csv, .tsv, .jsonl, .ndjson, each also with .gz behind). */
tp_status tp_row_kind_of(const char *path, tp_row_kind *kind);

#endif
