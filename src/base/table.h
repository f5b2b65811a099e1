/* Tables for people: columns aligned by what a terminal shows, not by bytes. */
#ifndef TP_BASE_TABLE_H
#define TP_BASE_TABLE_H

#include <stddef.h>

typedef struct tp_table tp_table;

typedef enum tp_table_style {
    TP_TABLE_PLAIN,    /* a heading, a rule, rows; two blanks between columns */
    TP_TABLE_MARKDOWN, /* the same with bars, for documents */
} tp_table_style;

tp_table *tp_table_new(void);
void tp_table_free(tp_table *t); /* takes NULL */

/* Columns first, then rows cell by cell. The heading "<method" is a column flush left, ">accuracy" flush right
 * (numbers). */
void tp_table_column(tp_table *t, const char *heading);
/* The next cell; after the last column a new row begins by itself. Control characters become blanks. */
void tp_table_cell(tp_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A rule between the row that was finished last and the next (nothing in Markdown, which has none). */
void tp_table_rule(tp_table *t);

/* The table, ending with a line feed; the caller frees it. A row that was not finished is filled with empty cells. */
char *tp_table_text(tp_table *t, tp_table_style style);

/* Columns that n bytes take on a terminal; a byte that is no UTF-8 counts as one. */
size_t tp_text_width(const char *text, size_t n);
/* How many bytes of the text fit into `columns`. */
size_t tp_text_fit(const char *text, size_t n, size_t columns);

#endif
