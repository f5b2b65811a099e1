/* The receiver's vocabulary as soft tokens see it: its sizes, and the tokens nearest to a vector. */
#ifndef TP_LM_NEAREST_H
#define TP_LM_NEAREST_H

#include "lm/model.h"

typedef struct tp_vocabulary {
    const tp_lm *lm;
    double *mean;                                /* [d_model] of all embeddings */
    double rms_mean, rms_std, rms_low, rms_high; /* of the embeddings' root mean squares */
} tp_vocabulary;

tp_vocabulary tp_vocabulary_of(const tp_lm *lm);
void tp_vocabulary_free(tp_vocabulary *vocabulary);

/* The k tokens whose embeddings are most like each of n rows [n, d_model], by cosine, best first: ids and cosines
 * [n, k]; where there are fewer, ids are -1. With `centred` the vocabulary's mean is taken from both sides first, since
 * embeddings share a direction that makes every cosine look high. Products are f32.
 * The vocabulary is walked through once. */
void tp_vocabulary_nearest(const tp_vocabulary *vocabulary, const float *rows, int64_t n, bool centred, int k,
                           int32_t *ids, double *cosines);

#endif
