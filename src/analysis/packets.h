/* Packets of whole splits: what the analyses look at. */
#ifndef TP_ANALYSIS_PACKETS_H
#define TP_ANALYSIS_PACKETS_H

#include "eval/method.h"

typedef struct tp_packets {
    size_t n;            /* texts */
    int64_t soft_tokens; /* of each */
    int64_t d_receiver, d_sender;
    float *soft;     /* [n, soft_tokens * d_receiver], as the receiver gets them: rounded to f16 numbers */
    float *mean;     /* [n, d_sender]: the sender's state at the tapped layer, the mean over its tokens */
    int32_t *labels; /* [n] */
    int code_parts;  /* numbers of a soft token's code, if the bridge sends codes (bridge/codes.h); else 0 */
    int32_t *codes;  /* [n * soft_tokens, code_parts]; NULL without codes */
} tp_packets;

/* The packets of the splits' texts, split after split, by the evaluation's relay, which has its bridge. `what` names
 * the work for the progress. Free with tp_packets_free. */
tp_status tp_packets_make(const tp_eval *eval, const char *what, const tp_dataset *const *sets, size_t n_sets,
                          tp_packets *out);
void tp_packets_free(tp_packets *packets); /* frees the content; zeros are fine */

static inline size_t tp_packet_width(const tp_packets *p) { /* numbers in one packet */
    return (size_t)(p->soft_tokens * p->d_receiver);
}

#endif
