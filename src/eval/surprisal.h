/* How surprising each token of a text is to a decoder that reads it: -log p(token | those before it), in nats. */
#ifndef TP_EVAL_SURPRISAL_H
#define TP_EVAL_SURPRISAL_H

#include "autograd/tape.h"
#include "lm/model.h"

/* Of n texts whose ids lie end to end (offsets [n + 1]; no text longer than the model's context): out
 * [offsets[n]]. A text's first token, which nothing precedes, gets INFINITY. The tape is scratch: frozen, and what is
 * computed is given back. */
void tp_surprisal(tp_tape *tape, const tp_lm *lm, const int32_t *ids, const int64_t *offsets, int64_t n, float *out);

#endif
