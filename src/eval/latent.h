/* The latent relay's part before the receiver: soft tokens of test rows. What the bridge and its controls share. */
#ifndef TP_EVAL_LATENT_H
#define TP_EVAL_LATENT_H

#include "eval/ask.h"

/* A tp_asking's fill: the bridge's soft tokens for these rows. The asking's context is a tp_latent. */
tp_status tp_latent_fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                         bool fresh, tp_filling *out);

typedef struct tp_latent {
    tp_tape *tape; /* scratch for running the sender on one text */
    tp_ids ids;
} tp_latent;

tp_latent tp_latent_new(const tp_eval *eval);
void tp_latent_free(tp_latent *latent);

/* Bytes of a text's packet (wire/packet.h), its soft tokens as f16 numbers, header and checksum included. */
double tp_latent_bytes(const tp_relay *relay);

#endif
