/* The angles per position by which rotary position embedding turns each pair of a head's elements. */
#ifndef TP_LM_ROPE_FREQUENCIES_H
#define TP_LM_ROPE_FREQUENCIES_H

#include "lm/config.h"

/* Fills inv_freq [head_dim / 2], in radians per position; pair i of a head is its elements i and i + head_dim / 2. */
void tp_rope_frequencies(const tp_lm_config *config, float *inv_freq);

#endif
