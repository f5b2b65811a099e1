/* What a decoder answers to prompts: by generating, and by scoring given answers.
 *
 * Prompts are rows of embeddings, so text, soft tokens and mixtures are all the same here. All functions work on
 * ragged batches with a cache of keys and values, in bounded memory. */
#ifndef TP_LM_GENERATE_H
#define TP_LM_GENERATE_H

#include "lm/decoder.h"

/* Prompts lying end to end. */
typedef struct tp_prompts {
    const float *rows;      /* [offsets[n], d_model] */
    const int64_t *offsets; /* [n + 1]; no prompt is empty */
    int64_t n;
    const tp_kv_cache *before; /* of one slot: what stands before every prompt; NULL: nothing does */
    const float *injected; /* [n * n_injected, tp_lm_kv_width]: keys and values that stand behind `before` and before
                              each prompt's rows (tp_batch.injected); NULL: none */
    int64_t n_injected;
    const tp_adapter *adapter; /* of the model; NULL: none */
    const bool *ends; /* [vocab_size]: ids that end what is written, as the model's own do; NULL: only its own */
} tp_prompts;

/* Reads rows [n, d_model] that stand before every prompt, once for all of them. NULL on error (positions are learned,
 * and fewer than n); the caller frees it. */
tp_kv_cache *tp_read_before(const tp_lm *lm, tp_math math, const float *rows, int64_t n, const tp_adapter *adapter);

/* The most likely next token, of equal ones the smallest; -1 if it ends the sequence. logits [vocab_size]. */
int32_t tp_greedy_token(const tp_lm *lm, const float *logits);

/* Greedy continuation: appends up to max_new ids to out[i] for each prompt i, without the id that ends it: end of
 * sequence, or one of prompts->ends. */
tp_status tp_generate_greedy(const tp_lm *lm, tp_math math, const tp_prompts *prompts, int64_t max_new, tp_ids *out);

/* Log-likelihood in nats of each answer (a non-empty list of ids) after each prompt: scores [n, n_answers]. The prompt
 * is computed once for all answers, and beginnings that answers share once for all that share them. */
tp_status tp_score_answers(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                           int64_t n_answers, double *scores);

/* The likeliest of the answers after each prompt, of equal ones the first: best [n]. The same as the largest of
 * tp_score_answers' numbers, but answers that fall behind one that is known to its end are not followed: with many
 * answers and a sure model that is most of them. `wanted` [n], or NULL, names an answer for each prompt whose
 * log-likelihood goes into likelihoods [n] in any case. */
tp_status tp_best_answers(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                          int64_t n_answers, int32_t *best, const int32_t *wanted, double *likelihoods);

/* tp_best_answers (with `scores` [n, n_answers]: tp_score_answers) and tp_generate_greedy together, for which the
 * prompts are read once instead of twice: best [n], out [n] as there. */
tp_status tp_answer_both_ways(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                              int64_t n_answers, int32_t *best, double *scores, int64_t max_new, tp_ids *out);

#endif
