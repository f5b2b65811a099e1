/* Bridges in closed form: linear maps that are solved for, without gradient descent and without a look through the
 * receiver. What the ridge map (ridge_map.c) and the PCA packet (pca_packet.c) share: states become vectors, vectors
 * soft tokens, which are scaled to the receiver's embeddings in root mean square as the bridge's are.
 *
 * What a trained bridge is worth shows against these: the answer is a linear function of the states in part, and linear
 * functions are cheap. */
#ifndef TP_EVAL_CLOSED_FORM_H
#define TP_EVAL_CLOSED_FORM_H

#include "eval/latent.h"
#include "tensor/affine.h"

typedef struct tp_closed_form {
    tp_latent latent;
    int n_vectors;      /* of each text */
    tp_layout *layout;  /* where the bridge's own injects keys and values: the same one with soft tokens; else NULL */
    tp_affine project;  /* what is sent of a vector; empty: the soft token itself */
    tp_affine map;      /* to soft tokens */
    double rms;         /* of each soft token */
    const float *given; /* [rows of the split, n_vectors, d_S]: vectors that are known already; NULL: from states */
} tp_closed_form;

tp_closed_form tp_closed_form_new(const tp_eval *eval, int n_vectors); /* without maps */
void tp_closed_form_free(tp_closed_form *c);

/* Asks the receiver with the bridge's layout. (A layout that could not be made is an error of tp_closed_form_answer.)
 */
tp_asking tp_closed_form_asking(const tp_eval *eval, tp_closed_form *c);

/* Answers every test row; `width` numbers of each vector cross. */
tp_status tp_closed_form_answer(tp_eval *eval, tp_closed_form *c, int64_t width, tp_method_result *result);

#endif
