/* What the probes read: each text's state at the tapped layer, as one vector. */
#ifndef TP_EVAL_PROBE_H
#define TP_EVAL_PROBE_H

#include "eval/method.h"

typedef enum tp_pooling { TP_POOL_MEAN, TP_POOL_LAST, TP_N_POOLINGS } tp_pooling;

struct tp_features {
    int64_t d;
    size_t n_train, n_valid, n_test;
    int32_t *labels;            /* [n_train + n_valid + n_test], split after split */
    float *rows[TP_N_POOLINGS]; /* [n_train + n_valid + n_test, d] */
    size_t n_left_out;          /* training rows beyond the bound on memory */
    int64_t n_truncated;        /* test texts that were cut to fit */
};

/* The features of all splits, with the task's prompt without or with the list of labels, computed once and kept
 * (tp_kept). Training rows beyond what a gigabyte holds are left out, evenly. NULL on error. */
const tp_features *tp_features_get(tp_eval *eval, tp_sender_prompt prompt);
void tp_features_free(tp_features *features); /* takes NULL */

#endif
