/* What a LatentWire is trained for: the recipe's losses for each receiver (train/objective.h), reconstruction, the
 * alignment of a mixed warm-up, and the regulariser of the scales. */
#ifndef TP_LATENTWIRE_LOSSES_H
#define TP_LATENTWIRE_LOSSES_H

#include "latentwire/group.h"
#include "train/objective.h"

/* What a receiver's losses were in a step; NAN for what was not computed. */
typedef struct tp_latentwire_values {
    tp_objective_values objective;
    double cosine, mse; /* of its soft tokens and the embeddings they are to rebuild: mean cosine, squared error */
    double scale;       /* s of its adapter */
} tp_latentwire_values;

/* TP_OK if every loss of the recipe can be had here; else a sentence about the first that cannot. Gives the relays the
 * alignment of a warm-up. */
tp_status tp_latentwire_losses_check(tp_latentwire_group *group);

/* Is the step one of a mixed warm-up that aligns packets with answers? */
bool tp_latentwire_is_text_step(const tp_latentwire_recipe *recipe, int64_t step);

/* The loss of a step, [1, 1]: the mean over receivers of theirs, and the regulariser. soft [n_receivers]. */
tp_status tp_latentwire_losses(tp_latentwire_group *group, tp_tape *tape, tp_var *const *soft,
                               const tp_example *const *examples, int64_t n, int64_t step, tp_var **loss,
                               tp_latentwire_values *values);

#endif
