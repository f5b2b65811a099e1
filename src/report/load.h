/* The finished runs that a report is about, with every document that lies beside them. */
#ifndef TP_REPORT_LOAD_H
#define TP_REPORT_LOAD_H

#include "eval/results.h"

typedef struct tp_report_run {
    char *name;          /* of its folder */
    tp_results *results; /* never NULL */
    json_t *log;         /* the lines of log.jsonl, an array; or NULL, as all below */
    json_t *outcome;     /* train.json */
    json_t *inspect;     /* what `telepathy inspect --json` printed */
    json_t *latency;     /* the curve over the text's length */
    json_t *origin;      /* what the registry knows of how the run came about: revision, machine, seconds */
} tp_report_run;

typedef struct tp_report_runs {
    tp_report_run *items;
    size_t n, capacity;
    json_t *suites; /* names and definitions of the suites they come from, an array; NULL: none */
} tp_report_runs;

/* Reads the runs of the folders: of a suite, of a run, or of runs that lie in it. They come in an order that does not
 * depend on the file system. On an error, or if there is none, *out is empty. Free with tp_report_runs_free. */
tp_status tp_report_load(const char *const *folders, size_t n, tp_report_runs *out);
void tp_report_runs_free(tp_report_runs *runs);

#endif
