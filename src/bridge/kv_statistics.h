/* What a receiver's own keys and values look like: the statistics that injected ones start from.
 *
 * A bridge whose `injection` is "kv" hands the receiver no soft tokens that it would read as it reads a text, but what
 * reading leaves behind: M positions of keys and values for each of its layers (prefix tuning, Li and Liang 2021, with
 * a prefix of each text's own). Any family makes them: its output is as wide as all layers' keys and values together,
 * and its own width is the bottleneck that keeps the last matrix small. Keys are given as they are before they are
 * turned to their positions. There their dimensions have means and deviations that do not depend on where a token
 * stands, which is what the family's numbers are coloured with; and the receiver turns them to where they come to
 * stand, whatever the layout has before them. */
#ifndef TP_BRIDGE_KV_STATISTICS_H
#define TP_BRIDGE_KV_STATISTICS_H

#include "bridge/calibration.h"
#include "data/task.h"
#include "lm/decoder.h"

/* Mean and variance of each of the tp_lm_kv_width numbers over the tokens of n texts, which the receiver reads one by
 * one (the first max_tokens tokens of each); *rms gets the mean over tokens of their root mean square. A text's first
 * token is left out: all others look at it, and its keys and values are unlike theirs. NULL on error: a text that
 * cannot be tokenised, or not two tokens in all of them. */
tp_moments *tp_kv_moments(const tp_lm *receiver, tp_math math, const tp_example *const *texts, int64_t n,
                          int64_t max_tokens, double *rms);

#endif
