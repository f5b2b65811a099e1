/* "Words alone": what counting words gives, without any language model. Every table carries this row, because a bridge
 * that does not beat it has shown nothing.
 *
 * TF-IDF of word 1- and 2-grams and of character 2- to 5-grams inside words, logistic regression on top (LIBLINEAR:
 * Fan et al., JMLR 9, 2008; one against the rest). The penalty C is the best of {1, 4, 16} on the validation split;
 * then train and valid together are fitted with it, as for every baseline that has a setting to choose. */
#ifndef TP_EVAL_WORDS_H
#define TP_EVAL_WORDS_H

#include "eval/predictions.h"

/* Predicts the test split; *out is the caller's to free. */
tp_status tp_words_classify(const tp_task *task, tp_predictions *out);

#endif
