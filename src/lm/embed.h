/* Embeddings of texts: one row of numbers for each, from an encoder or from a decoder's hidden states.
 *
 * An encoder is read as its own files ask for it (lm/encoder.h). A decoder was not trained for this; its states of a
 * layer, pooled, are still what probes and bridges read, so it is offered with the same settings: by default the last
 * layer's states (before the final norm), their mean, not normalised. */
#ifndef TP_LM_EMBED_H
#define TP_LM_EMBED_H

#include "base/progress.h"
#include "lm/decoder.h"
#include "lm/encoder.h"

struct tp_embedder {
    tp_encoder *encoder; /* one of the two */
    tp_lm *lm;
    int d_model, n_layers;
    int max_tokens; /* longer texts are cut */
    /* What may be changed after loading: */
    int layer; /* 0 .. n_layers: hidden states of which layer are pooled */
    tp_pooling pooling;
    bool normalize; /* rows get length 1 */
};                  /* loaded and freed as telepathy.h says */

/* Rows of zero-terminated texts into out [n_texts, d_model]; texts are taken some thousand tokens at a time. A text
 * without any token is an error. `progress` may be NULL. */
tp_status tp_embedder_texts(const tp_embedder *e, const char *const *texts, size_t n_texts, tp_math math,
                            tp_progress *progress, float *out);

/* The cosine of the angle between two rows of n numbers; 0 if one of them is all zeros. */
double tp_cosine(const float *a, const float *b, int64_t n);

#endif
