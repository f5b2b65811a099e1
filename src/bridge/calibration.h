/* Calibration: the statistics that a bridge's normaliser and output scale start from (SPEC 1.2, 1.4).
 *
 * They are measured, never assumed: each dimension's mean and standard deviation of the sender's hidden states at the
 * tapped layer, over some hundred texts, and of the rows of the receiver's embedding table, with those rows' RMS. */
#ifndef TP_BRIDGE_CALIBRATION_H
#define TP_BRIDGE_CALIBRATION_H

#include "tensor/weight.h"

#include <stdint.h>

/* Mean and variance of each dimension over rows that come a batch at a time (Welford 1962, in double precision: hidden
 * states have dimensions whose mean is a thousand times their deviation). */
typedef struct tp_moments {
    int64_t d, n;      /* dimensions; rows seen */
    double *mean, *m2; /* [d]; m2: sums of squared distances from the mean */
} tp_moments;

tp_moments *tp_moments_new(int64_t d);
void tp_moments_free(tp_moments *moments);                              /* takes NULL */
void tp_moments_add(tp_moments *moments, const float *rows, int64_t n); /* rows [n, d] */

typedef struct tp_calibration {
    int64_t d_source, d_target;
    int64_t n_source, n_target;      /* rows measured */
    float *source_mean, *source_std; /* [d_source] */
    float *target_mean, *target_std; /* [d_target] */
    float target_rms;                /* the mean over embedding rows of their root mean square */
} tp_calibration;

/* From the sender's moments and the receiver's embedding table [vocab_size, d_target], whose rows the receiver
 * multiplies by `scale` (0: by nothing). A table of more than 50,000 rows is sampled: 50,000 of them, evenly spaced.
 * Deviations are at least 1e-6, so that a dimension that never changes can be divided by its own. */
tp_calibration *tp_calibration_new(const tp_moments *source, const tp_weight *embedding, double scale);

/* From measured moments of both sides, and what the mean RMS of the target's rows is. */
tp_calibration *tp_calibration_of(const tp_moments *source, const tp_moments *target, double target_rms);
void tp_calibration_free(tp_calibration *calibration); /* takes NULL */

#endif
