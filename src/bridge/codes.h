/* Codes: what a bridge sends whose soft tokens are one of finitely many.
 *
 * A token is some numbers ("parts"), part i with one of sizes[i] values: one of 4096 for VQ, eight of 8 each for FSQ
 * 8x8. M of them are a packet, and as many bits as tell all packets apart are its exact size. */
#ifndef TP_BRIDGE_CODES_H
#define TP_BRIDGE_CODES_H

#include "bridge/bridge.h"

/* Bits that tell all codes of one token apart (no whole number, in general); 0 for a family of continuous tokens. */
double tp_code_bits(const tp_bridge_recipe *recipe);

/* Whole bits of a packet of the recipe's soft tokens, written as one number; 0 for continuous tokens. */
int64_t tp_code_packet_bits(const tp_bridge_recipe *recipe);

/* How many numbers the code of one token is; 0 for continuous tokens. */
int tp_code_parts(const tp_bridge_recipe *recipe);

/* Codes [n * M, parts] of what tp_bridge_forward would give, in the tape's arena, and their parts; an error for a
 * family of continuous tokens. */
tp_status tp_bridge_encode(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                           int64_t n_sequences, const int32_t **codes, int *parts);

/* The soft tokens [n_tokens, d_target] of such codes: the rows of tp_bridge_forward, bit for bit. An error if a code is
 * out of range. */
tp_status tp_bridge_decode(tp_tape *tape, const tp_bridge *bridge, const int32_t *codes, int64_t n_tokens,
                           tp_var **soft);

/* How many different codes are among n tokens, and the perplexity of their distribution: 2 to the bits that one token
 * tells on average; 1: all tokens are the same. */
typedef struct tp_code_usage {
    int64_t n, different;
    double perplexity;
} tp_code_usage;
tp_code_usage tp_code_usage_of(const int32_t *codes, int64_t n, int parts);

/* The same of a step's tokens as figures for the log: `codes_used`, `code_perplexity`. For the families' own files. */
void tp_bridge_report_codes(tp_bridge_terms *terms, const int32_t *codes, int64_t n, int parts);

#endif
