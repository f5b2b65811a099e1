/* What some losses need beside the bridge, made before training and thrown away after it.
 *
 * `recon` and `bow` read the soft tokens through heads of their own. A head's parameters are trained with the bridge's,
 * by the same optimiser, and stand with them in the state of the run, but not in the bridge that is saved: nobody needs
 * them to relay. `distill` has a layout by which the receiver reads the text itself, and a
 * warm-up with texts another, by which it reads text and soft tokens. */
#ifndef TP_TRAIN_LOSS_AIDS_H
#define TP_TRAIN_LOSS_AIDS_H

#include "bridge/relay.h"
#include "nn/layers.h"

/* Rebuilds a text's states from its soft tokens. Pooled: one matrix, of which the mean over tokens is taken (phase 8 of
 * the source documents). Per token: sinusoids of each position (Vaswani et al. 2017) ask the soft tokens. */
typedef struct tp_recon_head {
    tp_nn_linear in;           /* [d_b, d_receiver]; token only, as the next three */
    tp_nn_attention attention; /* of width d_b */
    tp_nn_norm norm;           /* [d_b] */
    tp_nn_ffn ffn;             /* d_b -> 2 d_b -> d_b */
    tp_nn_linear out;          /* [d_sender, d_receiver], or [d_sender, d_b] */
    float *mean, *inverse_std; /* [d_sender]: the states are whitened, so that no dimension drowns the others */
} tp_recon_head;

typedef struct tp_loss_aids {
    tp_params params; /* of the heads; none, if they are another's */
    bool shares_heads;
    tp_recon_head recon;
    tp_nn_linear bow;     /* [the sender's vocabulary, d_receiver] */
    double target_rms;    /* of the receiver's embeddings: what a scale of 1 means */
    tp_layout *teacher;   /* by which the receiver reads the text; NULL: no distillation */
    tp_layout *with_text; /* the relay's, with the text behind the soft tokens; NULL: `regime.text_steps` is 0 */
} tp_loss_aids;

/* What the losses of the relay's recipe need. The statistics are copied. NULL on error. */
tp_loss_aids *tp_loss_aids_new(const tp_relay *relay, const tp_calibration *calibration, const tp_task *task,
                               uint64_t seed);
/* The same for another task of the same bridge: the heads are `heads`', which must live longer. */
tp_loss_aids *tp_loss_aids_new_sharing(const tp_relay *relay, const tp_calibration *calibration, const tp_task *task,
                                       const tp_loss_aids *heads);
void tp_loss_aids_free(tp_loss_aids *aids); /* takes NULL */

#endif
