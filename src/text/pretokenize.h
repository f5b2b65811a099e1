/* Pre-tokenizers: a regular expression cuts a text into the words that BPE may not merge across. */
#ifndef TP_TEXT_PRETOKENIZE_H
#define TP_TEXT_PRETOKENIZE_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* The patterns published with the models. */
extern const char *const TP_PATTERN_GPT2;
extern const char *const TP_PATTERN_LLAMA3;
extern const char *const TP_PATTERN_QWEN2;

typedef struct tp_span { /* bytes begin..end-1 of a text */
    size_t begin, end;
} tp_span;

typedef struct tp_spans { /* zero-initialise; free with tp_spans_free */
    tp_span *data;
    size_t len;
    size_t capacity;
} tp_spans;

void tp_spans_append(tp_spans *spans, size_t begin, size_t end); /* empty spans are left out */
void tp_spans_free(tp_spans *spans);

typedef enum tp_split {                         /* what becomes of the matches and of the text between them */
                        TP_SPLIT_ISOLATED,      /* both are words */
                        TP_SPLIT_CONTIGUOUS,    /* both are; matches that touch each other are one word */
                        TP_SPLIT_GAPS,          /* only the text between is, the matches are dropped */
                        TP_SPLIT_WITH_PREVIOUS, /* a match belongs to the end of the text before it */
                        TP_SPLIT_WITH_NEXT,     /* a match belongs to the start of the text after it */
} tp_split;

typedef struct tp_pattern tp_pattern; /* a compiled regular expression; may be used by many threads */

/* `name` is what error messages call its origin. NULL on error. */
tp_pattern *tp_pattern_compile(const char *regex, size_t n, const char *name);
void tp_pattern_free(tp_pattern *pattern); /* takes NULL */

/* Appends the words of text[within] to *out; `inverted`, matches and the text between them change places. A byte
 * outside valid UTF-8, which the pattern cannot see, is a word of its own whatever `how` says, so that it is never
 * lost. */
tp_status tp_pattern_split(const tp_pattern *pattern, const char *text, tp_span within, tp_split how, bool inverted,
                           tp_spans *out);

/* Appends the text with `to` in place of each match. */
tp_status tp_pattern_replace(const tp_pattern *pattern, const char *text, size_t n, const char *to, tp_str *out);

#endif
