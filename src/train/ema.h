/* The exponential moving average of parameters (Polyak and Juditsky 1992; as diffusion models use it): smoother than
 * what the optimiser holds at any one step, and what is validated and kept in its place. */
#ifndef TP_TRAIN_EMA_H
#define TP_TRAIN_EMA_H

#include "nn/params.h"

typedef struct tp_ema {
    const tp_params *params; /* borrowed */
    double decay;
    float *values; /* [params->total], in the order of the list */
} tp_ema;

/* The average begins as the parameters are. */
tp_ema *tp_ema_new(const tp_params *params, double decay);
void tp_ema_free(tp_ema *ema);    /* takes NULL */
void tp_ema_restart(tp_ema *ema); /* the average is what the parameters are now; takes NULL */

/* After update t (from 1): values += (1 - d) (parameters - values), with d = min(decay, t / (t + 9)), so that what a
 * training begins with is soon forgotten. */
void tp_ema_update(tp_ema *ema, int64_t t);

/* The average in the parameters' place and the other way round; twice is nothing. Takes NULL. */
void tp_ema_swap(tp_ema *ema);

#endif
