/* The angles per position by which rotary position embedding turns each pair of a head's elements. */
#ifndef TP_LM_ROPE_FREQUENCIES_H
#define TP_LM_ROPE_FREQUENCIES_H

#include "lm/config.h"

typedef enum tp_frequencies {
    TP_FREQUENCIES_USUAL = 0, /* of layers that see all tokens, and of all where they do not differ */
    TP_FREQUENCIES_LOCAL,     /* of layers with a window, where they have a base of their own */
    TP_FREQUENCIES_LONG,      /* LongRoPE: of texts longer than the original context; usual: of others */
    TP_N_FREQUENCIES
} tp_frequencies;

/* Fills inv_freq [tp_lm_config_rotary_pairs], in radians per position. */
void tp_rope_frequencies(const tp_lm_config *config, tp_frequencies which, float *inv_freq);

#endif
