/* What a training step minimises: the recipe's losses over one batch of soft tokens. */
#ifndef TP_TRAIN_OBJECTIVE_H
#define TP_TRAIN_OBJECTIVE_H

#include "bridge/relay.h"

/* The value of each loss in a step, before its weight; NAN for one that was not computed. */
typedef struct tp_objective_values {
    double total;
    double losses[TP_N_LOSSES]; /* by tp_loss_name */
    double accuracy;            /* share of first answer tokens that are the likeliest: a free look at progress */
} tp_objective_values;

/* TP_OK if every loss of the relay's recipe can be computed; else a sentence about the first that cannot. */
tp_status tp_objective_check(const tp_relay *relay);

/* The weighted sum of the recipe's losses at this step, [1, 1], from the soft tokens [n * M, d_receiver] of the
 * examples. The receiver reads layout and answers; gradients flow through it to the soft tokens. `terms` holds what the
 * bridge's family gave beside them (NULL: there is no bridge, or it has no losses of its own). */
tp_status tp_objective(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_bridge_terms *terms,
                       const tp_example *const *examples, int64_t n, int64_t step, tp_var **loss,
                       tp_objective_values *values);

/* The receiver's logits at the rows that predict the tokens of the examples' answers, [batch->n_targets, vocab_size].
 */
tp_status tp_answer_logits(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *examples,
                           int64_t n, tp_layout_batch *batch, tp_var **logits);

#endif
