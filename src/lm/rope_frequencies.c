/* Rotary frequencies, plain and scaled.
 *
 * Plain: inv_freq[i] = theta^(-2 i / d), d the elements that turn (Su et al., "RoFormer: Enhanced Transformer with
 * Rotary Position Embedding", 2021). Linear: positions are interpolated, which is the same as dividing every frequency
 * by the factor (Chen et al., "Extending Context Window of Large Language Models via Positional Interpolation", 2023).
 * Llama 3.1: only wavelengths that the original context did not see turn fully are stretched; see below. LongRoPE (Ding
 * et al., "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens", 2024): each frequency has a divisor of its
 * own, found by search and stored with the model.
 *
 * Computed in double and rounded once: at position 100,000 an error of one float ulp in a frequency is already visible.
 */
#include "lm/rope_frequencies.h"

#include <math.h>

/* The scaling of Llama 3.1 (documented as `_compute_llama3_parameters`, rope type "llama3", in Hugging Face
 * transformers): a frequency that turns more than high_freq_factor times within the original context is kept, one that
 * turns fewer than low_freq_factor times is divided by factor, and between the two the share of each is linear in the
 * number of turns. */
static double llama3_frequency(const tp_lm_config *c, double inv_freq) {
    const double pi = 3.14159265358979323846;
    double turns = c->rope_scaling.original_max_position_embeddings * inv_freq / (2 * pi);
    double low = c->rope_scaling.low_freq_factor, high = c->rope_scaling.high_freq_factor;
    double stretched = inv_freq / c->rope_scaling.factor;
    if (turns > high) return inv_freq;
    if (turns < low) return stretched;
    double kept = (turns - low) / (high - low);
    return kept * inv_freq + (1 - kept) * stretched;
}

void tp_rope_frequencies(const tp_lm_config *c, tp_frequencies which, float *inv_freq) {
    int pairs = tp_lm_config_rotary_pairs(c);
    bool local = which == TP_FREQUENCIES_LOCAL && c->rope_local_theta > 0;
    const float *divisors = which == TP_FREQUENCIES_LONG ? c->rope_scaling.long_factor : c->rope_scaling.short_factor;
    for (int i = 0; i < pairs; i++) {
        double f = pow(local ? c->rope_local_theta : c->rope_theta, -1.0 * i / pairs);
        if (!local && c->rope_scaling.kind == TP_ROPE_LINEAR) f /= c->rope_scaling.factor;
        if (!local && c->rope_scaling.kind == TP_ROPE_LLAMA3) f = llama3_frequency(c, f);
        if (!local && c->rope_scaling.kind == TP_ROPE_LONG) f /= (double)divisors[i];
        inv_freq[i] = (float)f;
    }
}
