/* How good a free answer is: what SQuAD, GSM8K, passkey retrieval and free generation are judged by.
 *
 * Every function takes bytes that need not be valid UTF-8 and keeps nothing. */
#ifndef TP_EVAL_TEXT_SCORES_H
#define TP_EVAL_TEXT_SCORES_H

#include "data/task.h"

/* SQuAD's own definition (Rajpurkar et al. 2016, evaluate-v1.1): both texts are put in lower case, lose ASCII's
 * punctuation and the articles a, an and the, and have their blanks made one; then they are equal (exact), or share
 * words (F1 of the words with their multiplicity). The best of the gold answers (NULL-terminated) counts. */
bool tp_score_exact(const char *answer, size_t n, const char *const *golds);
double tp_score_f1(const char *answer, size_t n, const char *const *golds); /* 0..1 */

/* The last number of a text, behind the last "####" if there is one (GSM8K's own mark): "so 1,234.50 dollars." is
 * 1234.5. False if there is none. Commas that part thousands are left out. */
bool tp_score_last_number(const char *text, size_t n, double *number);
/* Whether the answer's last number is that of one of the gold answers. */
bool tp_score_number(const char *answer, size_t n, const char *const *golds);

/* The first run of digits of an answer against a code: how many of the code's digits stand in their places (the code's
 * length: it is the code, if nothing follows). Digits behind the code's length make `exact` false. */
typedef struct tp_code_score {
    int digits, right; /* of the code; of these, right */
    bool exact;
} tp_code_score;
tp_code_score tp_score_code(const char *answer, size_t n, const char *code);

/* An answer read as its task's answer_form says. */
typedef struct tp_answer_score {
    bool exact;
    double part; /* 0..1: F1 of words, share of digits; of numbers 1 or 0 */
} tp_answer_score;
tp_answer_score tp_score_answer(const tp_task *task, const tp_example *example, const char *answer, size_t n);

/* Entity transfer (SPEC 3): how much of what a text names is found again in another. Numbers are runs of digits (with
 * points and commas inside); names are words with a capital that do not begin a sentence; nouns, for which a tagger
 * would be needed, are approximated by the words of at least four letters that are in a lower-case form and in no short
 * list of function words: verbs and adjectives count too. Each different one counts once, case ignored, whole words. */
typedef struct tp_entity_count {
    int64_t named, found;
} tp_entity_count;
typedef struct tp_entity_transfer {
    tp_entity_count numbers, names, nouns;
} tp_entity_transfer;
/* Adds what `from` names and `to` has of it, so that the counts of many texts can be summed. */
void tp_score_entities(const char *from, size_t n_from, const char *to, size_t n_to, tp_entity_transfer *sum);

/* Different outputs / outputs; 0 of none. Blanks at both ends do not count. */
double tp_score_diversity(const char *const *outputs, size_t n);

#endif
