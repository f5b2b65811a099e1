/* Choosing the next token.
 *
 * The steps are those of tp_sampling (telepathy.h), in llama.cpp's order: penalty, top-k, top-p, min-p, temperature,
 * draw. They work on a list of candidates in f64. The draw is one number of the stream "sample" of the seed at the
 * position the token will have (base/rng.h): the same seed gives the same text, whatever the number of threads, and a
 * session that stops and goes on, or is restored from a file, draws what it would have drawn. */
#ifndef TP_LM_SAMPLE_H
#define TP_LM_SAMPLE_H

#include "base/error.h"

typedef struct tp_candidate {
    int32_t id;
    double logit; /* after the penalty; not yet divided by the temperature */
    double p;     /* of those kept, summing to one; set by tp_sample_candidates */
} tp_candidate;

/* Ids that must not be chosen, and those that were there before. */
typedef struct tp_sample_context {
    const int32_t *banned; /* [n_banned] */
    int n_banned;
    const int32_t *last; /* [n_last]: the ids so far; negative ones (rows that were no tokens) count as none */
    int64_t n_last;
    int64_t position; /* of the token to be chosen */
} tp_sample_context;

/* TP_OK if every number makes sense; else a sentence with the field, what it is and what was expected. */
tp_status tp_sampling_check(const tp_sampling *s);

/* The candidates that remain of logits [n], likeliest first, equal ones by id: their number, at least 1. `out` has room
 * for n. With temperature 0 that is the one likeliest. A logit that is NaN counts as the smallest. */
int32_t tp_sample_candidates(const tp_sampling *s, const float *logits, int32_t n, const tp_sample_context *context,
                             tp_candidate *out);

/* The candidate at u in [0, 1) of the summed probabilities. */
int32_t tp_sample_pick(const tp_candidate *candidates, int32_t n, double u);

/* All of it: the next token's id. `scratch` has room for n. */
int32_t tp_sample(const tp_sampling *s, const float *logits, int32_t n, const tp_sample_context *context,
                  tp_candidate *scratch);

#endif
