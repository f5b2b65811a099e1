/* The losses that are more than one op, one idea a file; tp_objective puts them together. For objectives only. */
#ifndef TP_TRAIN_LOSSES_H
#define TP_TRAIN_LOSSES_H

#include "train/objective.h"

typedef struct tp_loss_context {
    const tp_relay *relay;
    tp_tape *tape;
    const tp_objective_batch *batch;
    const tp_layout_batch *layout; /* with the answers' tokens */
    tp_var *logits;                /* [layout->n_targets, vocab_size] */
} tp_loss_context;

/* The logits that the losses are about: as tp_answer_logits, but the receiver reads as the recipe's regime says of that
 * step, drawn by the tape's seed and step. */
tp_status tp_training_logits(const tp_relay *relay, tp_tape *tape, const tp_objective_batch *batch, int64_t step,
                             tp_layout_batch *layout, tp_var **logits);

/* Each gives its value, [1, 1]. */
tp_status tp_loss_bottleneck(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_contrastive(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_anchor(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_align(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_recon(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_bow(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_distill(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
tp_status tp_loss_scale_reg(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);

/* InfoNCE of a batch's mean soft tokens under two dropout masks, the mean of both directions. */
tp_var *tp_loss_two_views(const tp_loss_context *c, tp_var *one, tp_var *other, double temperature);

/* How far rows are from rows of the same shape, [1, 1]: 1 - their mean cosine, or the mean squared difference. */
tp_var *tp_loss_distance(tp_tape *tape, tp_distance distance, tp_var *a, tp_var *b);

/* Rows begin at 0, m, 2 m, ... n m: where each example's soft tokens lie. In the tape's arena. */
int64_t *tp_loss_even_offsets(tp_tape *tape, int64_t n, int64_t m);

#endif
