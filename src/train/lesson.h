/* What a bridge's family is taught with in a step (tp_bridge_lesson), and the rows of the receiver's embeddings that
 * soft tokens may be held against. */
#ifndef TP_TRAIN_LESSON_H
#define TP_TRAIN_LESSON_H

#include "bridge/relay.h"

/* Appends the example's text as the receiver writes it, cut like the sender's; an empty text is one EOS. */
tp_status tp_question_tokens(const tp_relay *relay, const tp_example *example, tp_ids *ids);

/* The embeddings of the example's answer (without its EOS) or text, stretched or averaged to M rows [M, d_receiver]. */
tp_status tp_target_rows(const tp_relay *relay, const tp_example *example, tp_anchor_target target, tp_arena *arena,
                         float *out);

/* The lesson of a step: targets if the recipe weighs a loss that asks for them, in the tape's arena. */
tp_status tp_lesson_make(const tp_relay *relay, tp_tape *tape, const tp_example *const *examples, int64_t n,
                         int64_t step, tp_bridge_lesson *lesson);

#endif
