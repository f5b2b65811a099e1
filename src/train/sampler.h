/* Which examples make up each batch: a pure function of (seed, step), so that a resumed run goes on as if never
 * stopped. */
#ifndef TP_TRAIN_SAMPLER_H
#define TP_TRAIN_SAMPLER_H

#include "data/task.h"

#include <stdbool.h>

typedef struct tp_sampler tp_sampler;

/* balanced: rows are drawn with replacement and weight N / (n_c |C|), which is a class at random, then one of its rows.
 * Otherwise every epoch is a new permutation. The examples are not kept. */
tp_sampler *tp_sampler_new(const tp_example *examples, size_t n, int32_t n_labels, bool balanced, uint64_t seed);
void tp_sampler_free(tp_sampler *sampler); /* takes NULL */

/* The indices of batch number `step` (from 0), of `batch` rows. */
void tp_sampler_batch(tp_sampler *sampler, int64_t step, int64_t batch, int64_t *indices);

#endif
