/* LatentWire: one latent Z that N receivers read (SPEC 5, docs/latentwire.md).
 *
 *     text -> encoder -> Z [rows, d_z] -> the receiver's adapter -> soft tokens [M, d_receiver]
 *
 * Of Z's rows the first `shared` are for all receivers; behind them each receiver has `private_tokens` of its own, so a
 * packet has M = shared + private_tokens soft tokens. The encoder is one of four, behind a table of functions; the
 * adapters are all alike. Nothing here knows a receiver but by its width and the RMS of its embeddings.
 *
 *     tp_latentwire *w = tp_latentwire_new(&shape, seed);
 *     tp_var *z = tp_latentwire_encode(tape, w, &input, true);       [n * rows, d_z]
 *     tp_var *soft = tp_latentwire_soft(tape, w, z, n, receiver);    [n * M, d_receiver]
 *     ... a loss for each receiver, their sum, tp_backward, optimiser over w->trained ... */
#ifndef TP_LATENTWIRE_LATENTWIRE_H
#define TP_LATENTWIRE_LATENTWIRE_H

#include "autograd/ops.h"
#include "bridge/bridge.h"
#include "nn/params.h"

/* What a batch of n texts is to an encoder. */
typedef struct tp_latentwire_input {
    int64_t n;
    tp_var *rows;           /* hidden states [n_total, d_source], or an embedding each [n, d_source]; NULL for bytes */
    const int32_t *ids;     /* bytes and what stands around them, end to end; NULL but for bytes */
    const int64_t *offsets; /* [n + 1] into rows or ids: where each text begins; must outlive the step */
} tp_latentwire_input;

/* What makes a LatentWire. All of it is copied. */
typedef struct tp_latentwire_shape {
    const tp_latentwire_recipe *recipe;
    const tp_bridge_recipe *bridge; /* complete: soft_tokens are the shared rows */
    int64_t d_source;               /* 0 for bytes */
    int n_receivers;
    const int64_t *d_receiver; /* [n_receivers] */
    const float *rms;          /* [n_receivers] of their embeddings; NULL: 1, for whoever fills them in next */
    const float *mean, *std;   /* [d_source] of what the encoder reads; NULL: 0 and 1 */
    const float *axes;         /* [width, d_source] encoder "pca": the principal axes; NULL: zeros */
} tp_latentwire_shape;

typedef struct tp_latentwire tp_latentwire;

/* An encoder: the rows of Z from what it reads. */
typedef struct tp_latentwire_encoder_kind {
    /* Attaches its parameters to wire->params, and returns its layers. NULL with an error if it cannot be. */
    void *(*build)(tp_latentwire *wire, const tp_latentwire_shape *shape, uint64_t seed);
    tp_var *(*encode)(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input); /* [n * rows, d_z] */
    /* What it has beside wire->params, as a list of its own (a bridge's); NULL: nothing. */
    tp_bridge *(*resampler)(const tp_latentwire *wire);
    void (*free)(void *layers); /* takes NULL */
} tp_latentwire_encoder_kind;

extern const tp_latentwire_encoder_kind tp_latentwire_simple, tp_latentwire_bytes, tp_latentwire_decoder,
    tp_latentwire_pca;

typedef struct tp_latentwire_head tp_latentwire_head; /* a receiver's adapter; adapter.h */

struct tp_latentwire {
    tp_latentwire_recipe recipe; /* without the receivers' names */
    tp_bridge_recipe bridge;
    int64_t d_source;
    int n_receivers;
    int64_t shared, private_tokens, rows; /* rows = shared + n_receivers * private_tokens */
    const tp_latentwire_encoder_kind *encoder;
    void *layers;              /* the encoder's own */
    tp_latentwire_head *heads; /* [n_receivers] */
    tp_params params;          /* trained: what the encoder and the adapters attached */
    tp_params constants;       /* frozen: the encoder's statistics, the receivers' RMS */
    tp_params trained;         /* all that is trained, a bridge's parameters first: a list that owns nothing */
};

/* NULL on error: a width that attention's heads do not divide, a bridge that cannot be. */
tp_latentwire *tp_latentwire_new(const tp_latentwire_shape *shape, uint64_t seed);
void tp_latentwire_free(tp_latentwire *wire); /* takes NULL */

/* Z [n * rows, d_z] of a batch, text after text. On a tape that records, with `drop`, a share of its rows
 * (`slot_dropout`) is left out. */
tp_var *tp_latentwire_encode(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input, bool drop);

/* Soft tokens a packet has: M. */
int tp_latentwire_soft_tokens(const tp_latentwire *wire);

/* One receiver's soft tokens [n * M, d_receiver] from Z. */
tp_var *tp_latentwire_soft(tp_tape *tape, const tp_latentwire *wire, tp_var *z, int64_t n, int receiver);

/* The sum over receivers of (s - 1)^2, [1, 1]; NULL if the adapters have no scale. */
tp_var *tp_latentwire_scale_reg(tp_tape *tape, const tp_latentwire *wire);

/* Calls visit for every tensor, trained or frozen, in a fixed order. */
void tp_latentwire_visit(tp_latentwire *wire, void (*visit)(void *context, tp_weight *w), void *context);

#endif
