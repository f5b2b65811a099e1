/* A small table of English synonyms of our own, for altering texts without altering what they say. */
#ifndef TP_ANALYSIS_SYNONYMS_H
#define TP_ANALYSIS_SYNONYMS_H

#include <stddef.h>

/* A word of about the same meaning and form, for n letters in lower case; NULL if the table has none. */
const char *tp_synonym(const char *word, size_t n);

#endif
