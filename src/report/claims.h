/* The claims that a bridge may make, and what the numbers say to each, in plain words: yes, no, or not told apart; with
 * the reason when it does not hold. Wins and losses are treated alike. */
#ifndef TP_REPORT_CLAIMS_H
#define TP_REPORT_CLAIMS_H

#include "report/doc.h"
#include "report/groups.h"

enum { TP_N_CLAIMS = 10 };

typedef struct tp_claim {
    bool made;      /* what it compares was measured; else nothing below is set */
    tp_tone tone;   /* YES, NO, or OPEN: the numbers do not decide */
    char *brief;    /* for a cell: "no\n−1.2 points\np = 0.30" */
    char *sentence; /* what was compared, with numbers */
} tp_claim;

/* "beats the words alone", ... of claim 0 to TP_N_CLAIMS - 1. */
const char *tp_claim_name(size_t claim);
/* What the group says to a claim. Free with tp_claim_free. */
tp_claim tp_claim_judge(const tp_report_group *group, size_t claim);
void tp_claim_free(tp_claim *claim);

#endif
