/* Solving for a bridge: what a family in closed form gets instead of gradient descent, or before it. */
#ifndef TP_TRAIN_SOLVE_H
#define TP_TRAIN_SOLVE_H

#include "bridge/relay.h"
#include "train/states.h"

/* Sets the parameters of the relay's bridge in closed form, from the training rows: of each the mean of its hidden
 * states, and the embeddings of its answer (label or first gold answer) as the receiver reads them, without the end of
 * sequence. Soft token j of M is to be the mean of the j-th of M stretches of the answer's tokens: with one soft token
 * the mean of all, with many each token by itself. Of more rows than fit into memory some are taken, evenly spread. The
 * tape is scratch. */
tp_status tp_solve_bridge(const tp_relay *relay, tp_state_cache *states, const tp_dataset *train, tp_tape *tape);

#endif
