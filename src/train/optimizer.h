/* AdamW, learning-rate schedules and gradient clipping over a list of parameters. */
#ifndef TP_TRAIN_OPTIMIZER_H
#define TP_TRAIN_OPTIMIZER_H

#include "train/ema.h"

typedef struct tp_adamw_options {
    double beta1, beta2, eps;
    double weight_decay; /* decoupled; applied to matrices only: gains, biases and scalars are left alone */
    double ema;          /* decay of an average of the parameters that is kept beside them; 0: none */
    double clip;         /* largest allowed L2 norm of all gradients together; 0: no clipping */
} tp_adamw_options;

typedef struct tp_adamw {
    tp_adamw_options options;
    const tp_params *params; /* borrowed */
    float *m, *v;            /* [params->total]: first and second moments, in the order of the list */
    tp_ema *ema;             /* NULL: no average is kept */
    int64_t t;               /* updates made */
} tp_adamw;

tp_adamw *tp_adamw_new(const tp_params *params, const tp_adamw_options *options);
void tp_adamw_free(tp_adamw *adamw); /* takes NULL */

/* One update from the gradients, which are zeroed. Gradients are first multiplied by grad_scale (1 / accumulation),
 * then clipped. Returns the gradient norm before clipping; if it is not finite nothing is updated. */
double tp_adamw_step(tp_adamw *adamw, double lr, double grad_scale);

/* The learning rate of update `step` (from 0) out of `total`: linear warm-up over `warmup` updates, then a cosine from
 * lr down to lr * min_ratio (Loshchilov and Hutter 2017); min_ratio 1 is constant. */
double tp_cosine_lr(double lr, double min_ratio, int64_t step, int64_t warmup, int64_t total);

#endif
