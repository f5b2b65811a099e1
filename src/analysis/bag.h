/* Bags of words: which words of a vocabulary stand in a text, as the targets of a probe that is to read them out of a
 * packet. A word is a run of letters, digits and `_` in lower case (bytes outside ASCII count as letters). */
#ifndef TP_ANALYSIS_BAG_H
#define TP_ANALYSIS_BAG_H

#include "data/task.h"

typedef struct tp_bag {
    char **words;  /* [n], most frequent first */
    size_t *texts; /* [n]: how many of the texts it was made from hold the word */
    size_t n;
    size_t *sorted; /* [n]: places in the order of the alphabet */
    void *memory;   /* what the words live in */
} tp_bag;

/* The `most` words that stand in the most texts, but in at least 3 and in no more than a tenth of them: function words
 * stand everywhere, and whoever predicts them shows nothing. */
tp_bag *tp_bag_new(const tp_example *texts, size_t n, size_t most);
void tp_bag_free(tp_bag *bag); /* takes NULL */

/* Sets marks [bag->n] to 1 for the words that stand in the text, to 0 for the others; returns how many do. */
size_t tp_bag_mark(const tp_bag *bag, const char *text, size_t n, float *marks);

#endif
