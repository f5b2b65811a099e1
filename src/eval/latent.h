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
    tp_dtype sent; /* the type of the packets' numbers */
} tp_latent;

tp_latent tp_latent_new(const tp_eval *eval); /* packets of f16 numbers */
void tp_latent_free(tp_latent *latent);

/* How the receiver is asked through the bridge. */
tp_asking tp_latent_asking(const tp_eval *eval, tp_latent *latent);

/* Room for the scores of the test rows through this run's bridge, kept for others (tp_kept), in place of those of
 * another bridge; NULL on error. */
double *tp_latent_new_scores(tp_eval *eval);

/* The tapped states of these rows, end to end; *offsets [n + 1] says where each begins. Both live in the tape's arena.
 * `fresh` as in tp_asking. */
tp_status tp_latent_states(tp_eval *eval, tp_latent *latent, tp_tape *tape, const int64_t *items, int64_t n, bool fresh,
                           tp_var **hidden, const int64_t **offsets);

/* Numbers as the receiver gets them: what is counted as f16 must be read as f16. */
void tp_latent_cross(float *numbers, int64_t n);

/* A random cyclic permutation of n things (Sattolo 1986): none keeps its place. The caller frees it. */
int64_t *tp_derangement(size_t n, uint64_t seed, const char *stream);

/* Bytes that cross for a text of the test split, on average, as the latent sends: its packet, and the text itself where
 * the receiver reads that too (a layout with {text}). */
double tp_latent_sent_bytes(const tp_eval *eval, tp_dtype sent);

/* Bytes of a text's packet (wire/packet.h), its soft tokens as f16 numbers, header and checksum included; and of an f16
 * packet with that many rows of that width. */
double tp_latent_bytes(const tp_relay *relay);
double tp_latent_packet_bytes(int64_t n_rows, int64_t width);

#endif
