/* Altering texts: typos, synonyms, word order, foreign words, negation, contradiction, paraphrase, each at two or three
 * strengths. Deterministic: the same text, place, kind, strength and seed give the same bytes.
 *
 * Texts are taken apart at blanks; a word keeps the punctuation that stands at its ends. Only ASCII letters are
 * altered, other bytes pass through. */
#ifndef TP_ANALYSIS_ALTER_H
#define TP_ANALYSIS_ALTER_H

#include "data/task.h"

enum { TP_MOST_STRENGTHS = 3 };

typedef struct tp_alteration {
    const char *name;                    /* "typos" */
    const char *does;                    /* what the strength means: "share of words with a slip of the keyboard" */
    double strengths[TP_MOST_STRENGTHS]; /* rising */
    int n_strengths;
    bool keeps_label; /* the label should be what it was; false where the altered text may well mean something else */
} tp_alteration;

/* All of them, ended by a NULL name. */
extern const tp_alteration tp_alterations[];

/* Text `row` of the set, altered; `kind` is the place in tp_alterations, `strength` one of its strengths. Other texts
 * of the set lend words and contradictions. malloc'ed, zero-terminated. */
char *tp_alter_text(const tp_dataset *set, size_t row, int kind, double strength, uint64_t seed);

#endif
