/* Collapse detectors: training says in words what is going wrong (SPEC 2). */
#ifndef TP_TRAIN_DETECTORS_H
#define TP_TRAIN_DETECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a step shows. */
typedef struct tp_vital_signs {
    int64_t step;
    double loss;
    double gradient_norm; /* of the bridge, before clipping */
    const float *soft;    /* [n, width]: flattened soft tokens of the batch, an example each */
    int64_t n, width;
} tp_vital_signs;

/* Counters between steps; saved with the run, so that a resumed run says what an unbroken one would. */
typedef struct tp_detectors {
    double smooth_loss; /* exponential mean, memory 50 steps */
    double best_loss;   /* least smooth_loss */
    int64_t best_step;
    int64_t silent_until[5]; /* each detector speaks at most once in 500 steps */
    bool collapsed;          /* in the last step, said or not, soft tokens were all the same; not saved */
} tp_detectors;

tp_detectors tp_detectors_new(void);

/* Looks at a step. Returns true and writes one sentence if something is wrong; NaN or infinity in *fatal too. */
bool tp_detectors_look(tp_detectors *d, const tp_vital_signs *signs, char *sentence, size_t size, bool *fatal);

#endif
