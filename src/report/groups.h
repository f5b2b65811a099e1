/* Runs sorted into what a reader compares.
 *
 * A *group* is the runs of one setting: same task, models, layer, recipe; nothing but the seed differs. Of each task
 * one group, the one in which most was measured, is the *main* one (of several the middle one by soft tokens, layer and
 * training rows; never the best): verdicts and the main table are about it. The others are points of sweeps. */
#ifndef TP_REPORT_GROUPS_H
#define TP_REPORT_GROUPS_H

#include "eval/table.h"
#include "report/load.h"

typedef struct tp_report_group {
    const tp_report_run **runs; /* [n], by seed */
    const tp_results **results; /* [n], of these runs */
    size_t n;
    bool main;
    tp_summary summary;
    const tp_row_summary *bridge; /* the row that the others are compared with; NULL if the bridge was not measured */
    double *p;    /* [summary.n] McNemar against the bridge: the largest over the runs, 1 if they disagree on who is
                     better, so that a difference counts only if every run shows it; NAN for the bridge itself */
    double *holm; /* [summary.n] the same, corrected over the tables of all main groups */
} tp_report_group;

typedef struct tp_report_groups {
    tp_report_group *items; /* by number of labels and name of the task; the main one of a task first */
    size_t n;
    size_t n_main;
    size_t n_tests; /* that Holm's correction is over */
} tp_report_groups;

/* The runs stay the caller's and must outlive the groups. Runs that occur twice are taken once. */
tp_report_groups tp_report_groups_of(const tp_report_runs *runs);
void tp_report_groups_free(tp_report_groups *groups);

/* The main groups in order: the k-th, k < n_main. */
const tp_report_group *tp_report_main(const tp_report_groups *groups, size_t k);

/* The best row whose method has one of the names (NULL-terminated; a name that ends with * stands for all that begin
 * so), controls and the bridge left out; NULL if none was measured. */
const tp_row_summary *tp_report_best(const tp_report_group *group, const char *const *names);
const tp_row_summary *tp_report_row(const tp_report_group *group, const char *method, tp_reading reading);

/* The bridge's accuracy minus the row's, with the bootstrap's 95 % interval over the test rows (each row's difference
 * is its mean over the runs). */
tp_interval tp_report_gap(const tp_report_group *group, const tp_row_summary *row, double *gap);

/* The heading under which a method stands in tables, and what follows from it. An opponent is whatever answers without
 * the bridge, and is none of its controls. */
const char *tp_report_kind(const tp_method *method);
bool tp_report_is_control(const tp_method *method);
bool tp_report_is_opponent(const tp_method *method);

/* What the task's title calls it: "AG News" for ag_news. The caller frees it. */
char *tp_report_task_name(const tp_results *results);
/* "bridge, score", or the title alone where a method has one reading. The caller frees it. */
char *tp_report_row_name(const tp_row_summary *row);

#endif
