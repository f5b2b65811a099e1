/* How alike soft tokens are: the M tokens of one text, and the packets of texts of one class and of different ones.
 *
 * A bridge that collapsed gives every text the same packet, and one that wastes its tokens gives a text the same token
 * M times: both show here as cosines near 1. Packets share a large common part (the mean packet), so the cosines are
 * also taken after the mean over all texts is subtracted; those say whether classes lie apart. */
#ifndef TP_ANALYSIS_SIMILARITY_H
#define TP_ANALYSIS_SIMILARITY_H

#include "analysis/packets.h"

typedef struct tp_similarity {
    int64_t soft_tokens;
    int32_t n_labels;
    double *tokens;     /* [M, M]: cosine of a text's soft tokens i and j, mean over texts */
    double within_text; /* the mean of its entries off the diagonal; NaN for M = 1 */
    double *classes;    /* [n_labels, n_labels]: centred cosine of packets of classes a and b, mean over pairs of
                           different texts; NaN where there is no pair */
    double same_class[2], different_class[2]; /* mean over pairs of texts: [0] plain, [1] centred; NaN without pairs */
    double *rms;              /* [M]: root mean square of each position's soft tokens, mean over texts */
    double rms_low, rms_high; /* of single soft tokens, over all */
} tp_similarity;

tp_similarity tp_similarity_of(const tp_packets *packets, int32_t n_labels);
void tp_similarity_free(tp_similarity *similarity);

#endif
