/* The sections of a report, in the reader's order, each in a file of its own (section_*.c). A section adds itself to
 * the document if there is anything to show, and says whether there was. */
#ifndef TP_REPORT_SECTIONS_H
#define TP_REPORT_SECTIONS_H

#include "report/chart.h"
#include "report/doc.h"
#include "report/groups.h"

/* What a report is about. */
typedef struct tp_report_view {
    const tp_report_runs *runs;
    tp_report_groups groups;
} tp_report_view;

bool tp_section_answer(tp_doc *doc, const tp_report_view *view);      /* what was asked; a verdict per claim */
bool tp_section_table(tp_doc *doc, const tp_report_view *view);       /* all methods on all tasks */
bool tp_section_phases(tp_doc *doc, const tp_report_view *view);      /* their verdict beside ours */
bool tp_section_accuracy(tp_doc *doc, const tp_report_view *view);    /* bars per task */
bool tp_section_sweeps(tp_doc *doc, const tp_report_view *view);      /* soft tokens, layers, training rows */
bool tp_section_latency(tp_doc *doc, const tp_report_view *view);     /* where the time goes */
bool tp_section_training(tp_doc *doc, const tp_report_view *view);    /* loss and validation accuracy */
bool tp_section_confusion(tp_doc *doc, const tp_report_view *view);   /* which classes are mistaken */
bool tp_section_projection(tp_doc *doc, const tp_report_view *view);  /* soft tokens in the plane */
bool tp_section_reading(tp_doc *doc, const tp_report_view *view);     /* attention and nearest tokens */
bool tp_section_transcripts(tp_doc *doc, const tp_report_view *view); /* text beside latent */
bool tp_section_details(tp_doc *doc, const tp_report_view *view);     /* every number, task by task */
bool tp_section_making(tp_doc *doc, const tp_report_view *view);      /* recipes, seeds, data, machine */

#endif
