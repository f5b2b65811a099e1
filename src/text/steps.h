/* The steps that normalise a text and cut it into words: what a tokenizer's description lists, one after the other.
 *
 * A rewriting step makes one text of another; a splitting step makes words of one. Rewriting steps stand among the
 * normalisers and among the pre-tokenizers (a Metaspace writes its own blanks), splitting ones only there. */
#ifndef TP_TEXT_STEPS_H
#define TP_TEXT_STEPS_H

#include "base/str.h"
#include "text/added.h"
#include "text/charsmap.h"
#include "text/pretokenize.h"
#include "text/unicode.h"

typedef enum tp_step_kind { /* the numbers go into fingerprints, which trained bridges hold: new kinds stand at the end
                             */
                            TP_STEP_FORM,    /* one of Unicode's normalisation forms */
                            TP_STEP_SQUEEZE, /* SentencePiece: no blanks at the ends (nor `to` at the last), single ones
                                                between */
                            TP_STEP_REPLACE, /* `from` by `to` */
                            TP_STEP_PREPEND, /* `to` before every text that is not empty */
                            TP_STEP_PREFIX,  /* the same, unless it starts with `to`; with `first_only`, where the whole
                                                text starts alone */
                            TP_STEP_SPLIT,   /* pre-tokenizers only: cut by `pattern` */
                            TP_STEP_REPLACE_PATTERN, /* the matches of `pattern` by `to` */
                            TP_STEP_LOWERCASE,
                            TP_STEP_STRIP_MARKS, /* accents and all other marks */
                            TP_STEP_STRIP_LEFT,  /* white space at the start */
                            TP_STEP_STRIP_RIGHT,
                            TP_STEP_CLEAN,   /* BERT: no control characters, every white space a blank */
                            TP_STEP_CHINESE, /* BERT: blanks around Chinese characters */
                            TP_STEP_ACCENTS, /* BERT: decomposed, without nonspacing marks */
                            TP_STEP_NMT, /* the white space and the controls that Google's translation models know */
                            TP_STEP_CHARSMAP,           /* SentencePiece's precompiled map, longest match first */
                            TP_STEP_CHARSMAP_GRAPHEMES, /* the same map as Hugging Face's Precompiled applies it */
                            TP_STEP_SCRIPTS,            /* pre-tokenizers only: words are runs of one script */
} tp_step_kind;

typedef struct tp_step {
    tp_step_kind kind;
    char *from, *to; /* zero-terminated */
    bool first_only;
    tp_unicode_form form;
    tp_pattern *pattern;
    tp_split how;
    bool inverted; /* a split whose matches and gaps change places */
    tp_charsmap *charsmap;
} tp_step;

typedef struct tp_steps { /* zero-initialise; free with tp_steps_free */
    tp_step *data;
    size_t len, capacity;
} tp_steps;

tp_step *tp_steps_add(tp_steps *steps, tp_step_kind kind);
void tp_steps_free(tp_steps *steps);

typedef struct tp_step_place { /* where the text that a step works on stands */
    bool first;                /* it starts the whole text */
    bool continues;            /* the whole text continues one before it: it gets no prefix at its start */
    const tp_added *verbatim;  /* texts that a character map leaves alone */
} tp_step_place;

/* Appends to *out what a step that is no split makes of the text. */
tp_status tp_step_rewrite(const tp_step *step, const char *text, size_t n, tp_step_place place, tp_str *out);

#endif
