/* Position dropout: while training, the bridge sees each text with some of its positions missing.
 *
 * Plain dropout inside the bridge leaves every word in place, and with a few thousand short texts a bridge learns them
 * by heart. Taking away whole positions makes each epoch show other texts, as word dropout does (Iyyer et al., "Deep
 * unordered composition rivals syntactic methods for text classification", ACL 2015). */
#ifndef TP_TRAIN_POSITION_DROPOUT_H
#define TP_TRAIN_POSITION_DROPOUT_H

#include "autograd/tape.h"

/* The states of n texts [n_total, d], lying end to end at *offsets ([n + 1]), without those positions that the stream
 * (tape's seed, step) takes away, each with probability `rate`; at least one position of each text that has one stays.
 * Returns the states left and sets *offsets (in the tape's arena) to where each text begins in them. With rate 0 both
 * stay as they are. The states must want no gradient: they are copied. */
tp_var *tp_position_dropout(tp_tape *tape, tp_var *states, const int64_t **offsets, int64_t n, double rate);

/* The same by another stream: a second look at the same texts, with other positions missing. */
tp_var *tp_position_dropout_by(tp_tape *tape, tp_var *states, const int64_t **offsets, int64_t n, double rate,
                               const char *stream);

#endif
