/* A report of finished runs: verdicts, tables and charts on one page. See docs/report.md. */
#ifndef TP_REPORT_REPORT_H
#define TP_REPORT_REPORT_H

#include "base/error.h"

#include <stddef.h>

typedef enum tp_report_format { TP_REPORT_HTML, TP_REPORT_MARKDOWN, TP_REPORT_CSV, TP_REPORT_JSON } tp_report_format;

/* The report on the runs of the folders (of a suite, of a run, or of several), as a text that the caller frees. The
 * same runs give the same bytes. NULL on error. */
char *tp_report_make(const char *const *folders, size_t n, tp_report_format format);

#endif
