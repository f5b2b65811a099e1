/* Foreign text made harmless for what it is written into. Labels, texts and names in a report come from data, and data
 * may hold anything: markup, control characters, bytes that are no UTF-8, marks that turn the direction of writing
 * around. What XML cannot carry or a reader cannot see becomes U+FFFD. */
#ifndef TP_REPORT_ESCAPE_H
#define TP_REPORT_ESCAPE_H

#include "base/str.h"

/* For HTML, XML and SVG, in text and in attributes with double quotes. Tabs become blanks; a line feed stays. */
void tp_escape_html(tp_str *out, const char *text);
/* For a cell of a Markdown table or a paragraph: on one line, and what Markdown or HTML would take for markup is told
 * with a backslash or an entity. */
void tp_escape_markdown(tp_str *out, const char *text);
/* A field of CSV (RFC 4180), in quotes if it needs them. A text that a spreadsheet would take for a formula gets an
 * apostrophe in front. */
void tp_escape_csv(tp_str *out, const char *text);
/* Valid UTF-8 without control characters but the line feed, for JSON and for measuring. The caller frees it. */
char *tp_clean_text(const char *text);

#endif
