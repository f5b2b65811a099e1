/* The recipe's section `latentwire`: one latent Z that several receivers read (docs/latentwire.md).
 *
 * A recipe that has this section trains one encoder and an adapter for each receiver, together; all its other keys
 * (task, layout, losses, optimiser, ...) mean what they always mean. Without it nothing is written and nothing differs.
 */
#ifndef TP_BRIDGE_LATENTWIRE_RECIPE_H
#define TP_BRIDGE_LATENTWIRE_RECIPE_H

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum tp_latentwire_encoder {
    TP_LATENTWIRE_SIMPLE,  /* a frozen sentence encoder's embedding, added to learned queries */
    TP_LATENTWIRE_BYTES,   /* a small transformer over bytes, read by learned queries */
    TP_LATENTWIRE_DECODER, /* the sender's hidden states, resampled by the recipe's bridge */
    TP_LATENTWIRE_PCA,     /* the sender's hidden states on their principal axes, frozen: the reconstruction phases */
} tp_latentwire_encoder;

typedef enum tp_latentwire_adapter {
    TP_LATENTWIRE_TANH, /* tanh(3 s W LN(z)) / 3 */
    TP_LATENTWIRE_MLP,  /* W z + down(dropout(gelu(up(LN(z))))) */
} tp_latentwire_adapter;

enum { TP_LATENTWIRE_MOST_RECEIVERS = 8 };

typedef struct tp_latentwire_recipe {
    tp_latentwire_encoder encoder;
    char *receivers[TP_LATENTWIRE_MOST_RECEIVERS]; /* paths or names; owned */
    int n_receivers;                               /* 0: given on the command line */
    int width;                                     /* d_z */
    int private_tokens; /* `private`: rows of Z for each receiver alone, behind the shared `bridge.soft_tokens` */
    int max_bytes;      /* of a text; what is beyond is cut off (encoder "bytes") */
    tp_latentwire_adapter adapter;
    int hidden;     /* width of the MLP's hidden layer */
    double dropout; /* in it, while training */
    bool calibrate; /* bring each packet to the receiver's embedding RMS */
    double scale_reg;
    double slot_dropout; /* the share of rows of Z that are left out, while training */
    int64_t warmup;      /* steps of mixed warm-up: every other one also aligns the packet with the answer; 0: none */
    double align;        /* weight of that alignment */
    int align_tokens;    /* answer tokens that are aligned */
    double recon_cosine, recon_mse; /* weights of reconstructing the receiver's own embeddings of the text; 0: not */
} tp_latentwire_recipe;

/* Reads the section of a recipe: NULL if it has none, or if it is wrong (top->status says so). */
tp_latentwire_recipe *tp_latentwire_recipe_read(tp_json_reader *top);

/* All of it as a new JSON object. */
json_t *tp_latentwire_recipe_to_json(const tp_latentwire_recipe *recipe);

void tp_latentwire_recipe_free(tp_latentwire_recipe *recipe); /* takes NULL */

/* The receivers of a comma-separated list in place of those there are. An error if they are too many. */
tp_status tp_latentwire_recipe_set_receivers(tp_latentwire_recipe *recipe, const char *list);

/* "simple", "bytes", "decoder", "pca". */
const char *tp_latentwire_encoder_name(tp_latentwire_encoder encoder);

/* Does the encoder read hidden states of the sender, a decoder? */
bool tp_latentwire_taps(const tp_latentwire_recipe *recipe);

#endif
