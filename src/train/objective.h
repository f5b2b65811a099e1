/* What a training step minimises: the recipe's losses over one batch of soft tokens. */
#ifndef TP_TRAIN_OBJECTIVE_H
#define TP_TRAIN_OBJECTIVE_H

#include "bridge/relay.h"
#include "train/loss_aids.h"

/* The value of each loss in a step, before its weight; NAN for one that was not computed. */
typedef struct tp_objective_values {
    double total;
    double losses[TP_N_LOSSES]; /* by tp_loss_name */
    double accuracy;            /* share of first answer tokens that are the likeliest: a free look at progress */
} tp_objective_values;

/* What the losses of a step are about. Everything is borrowed. */
typedef struct tp_objective_batch {
    const tp_example *const *examples; /* [n] */
    int64_t n;
    tp_var *soft;                 /* [n * M, d_receiver]; NULL: the layout has none */
    const tp_bridge_terms *terms; /* what the bridge's family gave beside them; NULL: nothing */
    /* What only some losses and regimes ask for. */
    const tp_loss_aids *aids;  /* heads of their own, the teacher */
    tp_var *hidden;            /* the sender's states of the texts, end to end; all of them, whatever the bridge saw */
    const int64_t *offsets;    /* [n + 1] into them */
    const int32_t *const *ids; /* [n]: the sender's tokens */
    const tp_loss_term *alone; /* the only one of the recipe's losses that is computed; NULL: all */
} tp_objective_batch;

/* TP_OK if every loss of the relay's recipe can be computed in training; else a sentence about the first that cannot.
 */
tp_status tp_objective_check(const tp_relay *relay);

/* The weighted sum of the recipe's losses at this step, [1, 1]. The receiver reads layout and answers; gradients flow
 * through it to the soft tokens. */
tp_status tp_objective(const tp_relay *relay, tp_tape *tape, const tp_objective_batch *batch, int64_t step,
                       tp_var **loss, tp_objective_values *values);

/* The receiver's logits at the rows that predict the tokens of the examples' answers, [batch->n_targets, vocab_size].
 */
tp_status tp_answer_logits(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *examples,
                           int64_t n, tp_layout_batch *batch, tp_var **logits);

#endif
