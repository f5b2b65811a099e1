/* Tapping a sender: how a text becomes hidden states. */
#ifndef TP_BRIDGE_TAP_H
#define TP_BRIDGE_TAP_H

#include "bridge/recipe.h"
#include "lm/decoder.h"

/* Where and how a sender is read. Everything is borrowed. */
typedef struct tp_tap {
    const tp_lm *sender;
    int layer;          /* hidden state to read: 0 = embeddings, n_layers = the last, before the final norm */
    const int *layers;  /* several hidden states, from low to high, read in one pass; NULL: `layer` alone */
    int n_layers;       /* of those; 0: `layer` alone */
    const char *prompt; /* template with {text} in it */
    int max_tokens; /* of the whole prompt, BOS included; never more than the sender can read, at once or in segments */
    int segment;    /* tokens that are read at once; what is beyond is read by itself, behind a BOS of its own (if the
                       sender has one), and so on; 0: all are */
    tp_side truncate; /* the side of the text that is cut off when it does not fit */
    tp_math math;
} tp_tap;

/* Appends the ids of the text's prompt, at most max_tokens of them, those that begin segments included; *truncated (may
 * be NULL) says whether text was cut off. An error if the template alone does not fit. */
tp_status tp_tap_tokens(const tp_tap *tap, const char *text, size_t n, tp_ids *ids, bool *truncated);

/* Numbers of a token's row of hidden states: d_model for each layer that is read. */
int64_t tp_tap_width(const tp_tap *tap);

/* The states [x->rows, tp_tap_width] of rows x of embeddings, in a batch without a cache, into out; the tape is frozen.
 */
void tp_tap_rows(const tp_tap *tap, tp_tape *tape, tp_var *x, const tp_batch *batch, float *out);

/* The hidden states [n_ids, tp_tap_width] of one prompt, into out; those of several layers stand side by side in a row.
 * Layers above the tapped ones are not computed. `tape` is scratch: frozen, and reset here. */
void tp_tap_run(const tp_tap *tap, tp_tape *tape, const int32_t *ids, int64_t n_ids, float *out);

#endif
