/* A report before it is written: sections, paragraphs, tables and figures in the reader's order.
 *
 * The sections (section_*.c) fill one of these, and a writer per format (writers.h) turns it into HTML, Markdown, CSV
 * or JSON. So all formats hold the same tables, and no section knows what its text will become: all texts here are
 * plain, and escaped by the writer. */
#ifndef TP_REPORT_DOC_H
#define TP_REPORT_DOC_H

#include <stdbool.h>
#include <stddef.h>

/* What a cell means, beyond its text: colours say the same as words do, never more. */
typedef enum tp_tone { TP_TONE_NONE, TP_TONE_YES, TP_TONE_NO, TP_TONE_OPEN } tp_tone;

typedef struct tp_cell {
    char *text;   /* for people; line feeds part lines of a cell */
    double value; /* for programs, unrounded; NAN: the text is the value */
    tp_tone tone;
} tp_cell;

typedef struct tp_column {
    char *heading;
    bool number; /* flush right */
    bool prose;  /* long text: may wrap */
} tp_column;

typedef struct tp_sheet_group { /* a row that names the rows below it */
    size_t row;
    char *title;
} tp_sheet_group;

typedef struct tp_sheet {
    char *name; /* for programs: "results" */
    tp_column *columns;
    size_t n_columns, columns_capacity;
    tp_cell *cells; /* [n_cells], row by row */
    size_t n_cells, cells_capacity;
    tp_sheet_group *groups;
    size_t n_groups, groups_capacity;
    size_t *strong; /* rows that are the subject of the table */
    size_t n_strong, strong_capacity;
} tp_sheet;

typedef enum tp_block_kind {
    TP_BLOCK_SECTION, /* `id` and `text`; stands in the contents list */
    TP_BLOCK_PART,    /* a smaller heading: `text` */
    TP_BLOCK_TEXT,    /* a paragraph */
    TP_BLOCK_NOTE,    /* small print */
    TP_BLOCK_TABLE,   /* `sheet` with the caption `text` */
    TP_BLOCK_FIGURE,  /* `body` is SVG with the caption `text`; figures in a row stand side by side */
    TP_BLOCK_MARKED,  /* `words` with weights: how much each was read */
    TP_BLOCK_CODE,    /* `body` as it is, behind the title `text` */
} tp_block_kind;

typedef struct tp_word {
    char *text;
    double weight; /* 0 to 1 */
} tp_word;

typedef struct tp_block {
    tp_block_kind kind;
    char *id, *text, *body;
    bool wide; /* a figure wider than a panel: scrolls in a box of its own */
    tp_sheet sheet;
    tp_word *words;
    size_t n_words;
} tp_block;

typedef struct tp_doc {
    char *title, *subtitle;
    tp_block *blocks;
    size_t n, capacity;
} tp_doc;

tp_doc *tp_doc_new(void);
void tp_doc_free(tp_doc *doc); /* takes NULL */

/* Takes back every block from the n-th on: of a section that turned out to have nothing to show. */
void tp_doc_cut(tp_doc *doc, size_t n);

void tp_doc_section(tp_doc *doc, const char *id, const char *title);
void tp_doc_part(tp_doc *doc, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tp_doc_text(tp_doc *doc, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tp_doc_note(tp_doc *doc, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tp_doc_code(tp_doc *doc, const char *title, const char *body);
/* Takes the SVG over. A figure that is not `wide` is TP_PANEL_WIDTH wide. */
void tp_doc_figure(tp_doc *doc, char *svg, bool wide, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* n words with n weights; both are copied. */
void tp_doc_marked(tp_doc *doc, const char *caption, const char *const *words, const double *weights, size_t n);

/* A new table at the end; valid until the next block is added. */
tp_sheet *tp_doc_table(tp_doc *doc, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Columns first: "<left", ">right" for numbers, "=prose" for long text. Then cells; a full row begins the next. */
void tp_sheet_column(tp_sheet *sheet, const char *heading);
void tp_sheet_group_row(tp_sheet *sheet, const char *title); /* above the next row */
void tp_sheet_strong_row(tp_sheet *sheet);                   /* the row of the next cell */
void tp_sheet_text(tp_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tp_sheet_number(tp_sheet *sheet, double value, int decimals); /* NAN: an empty cell */
void tp_sheet_percent(tp_sheet *sheet, double share);              /* the value stays a share */
void tp_sheet_short(tp_sheet *sheet, double value);                /* three digits that matter */
void tp_sheet_value(tp_sheet *sheet, tp_tone tone, double value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

size_t tp_sheet_rows(const tp_sheet *sheet);
bool tp_sheet_is_strong(const tp_sheet *sheet, size_t row);
/* The title of the group that begins at the row, NULL if none does. */
const char *tp_sheet_group_at(const tp_sheet *sheet, size_t row);

#endif
