/* What a packet holds, as far as a linear reader can tell: words of the source text, and the label.
 *
 * Words: a linear map from the packet to the bag of the source's words, fitted on train and read on test: of the k
 * words it thinks likeliest, how many stand in the text (precision), and how many of the text's words are among them
 * (recall).
 *
 * Label: the mutual information of packet and label is at least H(label) - CE, where CE is the cross-entropy of any
 * classifier on texts it has not seen (Barber and Agakov, NIPS 2003); here of logistic regression.
 *
 * Beside the packet stand the sender's mean state, which says what there was to hand over, and controls that must find
 * nothing: the packet of another text, words by their frequency alone, shuffled labels. */
#ifndef TP_ANALYSIS_PACKET_PROBE_H
#define TP_ANALYSIS_PACKET_PROBE_H

#include "analysis/packets.h"
#include "base/json.h"
#include "eval/stats.h"

/* The document of `telepathy probe` (docs/analysis.md): words, if n_words > 0, and label. Of the evaluation `task` (all
 * three splits), `relay` with its bridge and `seed` are used. NULL on error; free with json_decref. */
json_t *tp_packet_probe(tp_eval *eval, size_t n_words);

/* The same for people. The caller frees it. */
char *tp_packet_probe_text(const json_t *document);

/* ---- its parts ---- */

enum { TP_N_CUTS = 3 };
extern const size_t tp_word_cuts[TP_N_CUTS]; /* k: 1, 5, 10 */

typedef struct tp_word_scores {
    double precision[TP_N_CUTS], recall[TP_N_CUTS]; /* means over test texts that hold words of the vocabulary */
    tp_interval recall_interval;                    /* of the last cut: 95 %, bootstrap over texts */
    double l2;                                      /* the penalty chosen on valid; NaN: nothing was fitted */
    double *word_recall;                            /* [n_words]: share of the texts with a word in which the last cut
                                                       has it; NaN where no test text holds it */
} tp_word_scores;

/* Reads words from x [n_train + n_valid + n_test, d], split after split: y [the same, n_words] says which stand in each
 * text. x NULL: by frequency in train and valid alone. Free scores->word_recall with tp_free. */
tp_status tp_read_words(const float *x, size_t d, const float *y, size_t n_words, const size_t n[3], uint64_t seed,
                        tp_word_scores *scores);

typedef struct tp_label_information {
    double bits; /* H(label) - CE on test: at least so much is known; below 0 the classifier is worse than none */
    tp_interval interval; /* 95 %, bootstrap over test texts */
    double entropy, cross_entropy, accuracy, l2;
} tp_label_information;

/* The bound from x [n_train + n_valid + n_test, d] and labels, split after split. The penalty is the one of least
 * cross-entropy on valid; then train and valid are fitted together. */
tp_status tp_measure_information(const float *x, size_t d, const int32_t *labels, int32_t n_labels, const size_t n[3],
                                 uint64_t seed, tp_label_information *out);

#endif
