/* The claims that a bridge may make, and what the numbers say to each, in plain words: yes, no, or not told apart; with
 * the reason when it does not hold. Wins and losses are treated alike. */
#ifndef TP_REPORT_CLAIMS_H
#define TP_REPORT_CLAIMS_H

#include "report/doc.h"
#include "report/groups.h"

enum { TP_N_CLAIMS = 13 };

typedef struct tp_claim {
    bool made;      /* what it compares was measured; else nothing below is set */
    tp_tone tone;   /* YES, NO, or OPEN: the numbers do not decide */
    char *brief;    /* for a cell, the verdict and figures: "no\n−1.2 points\np = 0.30" */
    char *sentence; /* what was compared, with numbers, and why it does not hold */
} tp_claim;

/* Of claim 0 to TP_N_CLAIMS - 1: "beats the words alone"; what can be joined with others, "the words alone"; and for
 * claims that cannot (object NULL), how it is said that they do not hold, "does not beat every opponent". */
const char *tp_claim_name(size_t claim);
const char *tp_claim_object(size_t claim);
const char *tp_claim_denial(size_t claim);
const char *tp_verdict_word(tp_tone tone); /* "yes", "no", "not told apart" */
/* What the group says to a claim. Free with tp_claim_free. */
tp_claim tp_claim_judge(const tp_report_group *group, size_t claim);
void tp_claim_free(tp_claim *claim);

#endif
