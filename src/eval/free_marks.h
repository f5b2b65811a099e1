/* What free answers show beside being right or wrong: how much they were worth in part, what of the text's entities is
 * found again in them, and whether they differ at all (SPEC 3). A bridge that says the same to every text, or speaks of
 * other things than its text, is seen here while its accuracy is still 0. */
#ifndef TP_EVAL_FREE_MARKS_H
#define TP_EVAL_FREE_MARKS_H

#include "eval/text_scores.h"

typedef struct tp_free_marks {
    double part; /* summed over the answers */
    tp_entity_transfer entities;
    char **written; /* [n]: every answer */
    size_t n, capacity;
} tp_free_marks;

/* Adds an answer to an example's text, and what it was worth in part. */
void tp_free_marks_add(tp_free_marks *marks, const tp_example *example, const char *answer, size_t n, double part);

/* A sentence about all of them: "F1 31.2 %; of the text's numbers 12.0 %, names 3.1 %, nouns 8.4 % found again; 75.0 %
 * of the answers different". NULL without answers; the caller frees it. */
char *tp_free_marks_note(const tp_free_marks *marks, const tp_task *task);

void tp_free_marks_free(tp_free_marks *marks); /* the content */

#endif
