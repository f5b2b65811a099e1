/* The pre-tokenizer patterns that vocabulary files name but do not hold: a GGUF's tokenizer.ggml.pre, and the name a
 * caller gives with a tiktoken rank file. The patterns are those published with the models. */
#ifndef TP_TEXT_PATTERNS_H
#define TP_TEXT_PATTERNS_H

#include "base/str.h"

#include <stdbool.h>

enum { TP_MOST_PATTERNS = 6 };

typedef struct tp_named_patterns {
    const char *names;                   /* with a blank between them; the first is the main one */
    const char *regex[TP_MOST_PATTERNS]; /* applied one after the other; NULL-terminated where there are fewer */
    bool whole_words;                    /* a word that is a token is taken whole */
    bool adds_bos;                       /* where the file does not say */
} tp_named_patterns;

/* Whether `word` is one of those in `words`, which blanks part. */
bool tp_has_word(const char *words, const char *word);

/* NULL, without an error, if there is none of that name. */
const tp_named_patterns *tp_patterns_find(const char *name);

/* Appends all names, with blanks between them, for the sentence that says what is known. */
void tp_patterns_list(tp_str *out);

#endif
