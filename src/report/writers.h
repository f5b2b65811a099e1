/* Writing a document in each of the formats. Each gives the whole text, owned by the caller. */
#ifndef TP_REPORT_WRITERS_H
#define TP_REPORT_WRITERS_H

#include "report/doc.h"

/* One page that loads nothing and needs no script; well-formed XML as well. */
char *tp_doc_html(const tp_doc *doc);
/* Headings, paragraphs and tables; charts are left out. */
char *tp_doc_markdown(const tp_doc *doc);
/* Every cell of every table on a line: table, group, row, column, value. Numbers unrounded. */
char *tp_doc_csv(const tp_doc *doc);
/* {"title", "text": [...], "tables": [{"name", "caption", "columns", "rows": [{column: value, ...}, ...]}, ...]} */
char *tp_doc_json(const tp_doc *doc);

/* The style of the page in parts, NULL-terminated: colours of both schemes, letters and tables, figures and charts. */
extern const char *const tp_report_style[];

#endif
