/* Collapse detectors: training says in words what is going wrong (SPEC 2), and which of its losses teach nothing.
 *
 * The experiments that this program repeats lost phases to losses that were computed, logged, and moved nothing: a
 * squared distance between small numbers, a count of codes that has no derivative. A value cannot show that; the
 * gradient can. */
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
    double embedding_rms; /* of the receiver, which soft tokens should be about as loud as; 0: they are no embeddings */
    double answer_loss;   /* weighted sum of the losses that ask for the answer; 0: there are none */
    const char *other;    /* the loss with the largest weighted value among the others; NULL: there are none */
    double other_loss;    /* and that value */
} tp_vital_signs;

enum { TP_N_DETECTORS = 6 };

/* Counters between steps; saved with the run, so that a resumed run says what an unbroken one would. */
typedef struct tp_detectors {
    double smooth_loss; /* exponential mean, memory 50 steps */
    double best_loss;   /* least smooth_loss */
    int64_t best_step;
    int64_t silent_until[TP_N_DETECTORS]; /* each detector speaks at most once in 500 steps */
    bool collapsed;                       /* in the last step, said or not, soft tokens were all the same; not saved */
} tp_detectors;

tp_detectors tp_detectors_new(void);

/* Looks at a step. Returns true and writes one sentence if something is wrong; NaN or infinity in *fatal too. */
bool tp_detectors_look(tp_detectors *d, const tp_vital_signs *signs, char *sentence, size_t size, bool *fatal);

/* How strongly one loss, times its weight, moves the bridge. */
typedef struct tp_loss_force {
    const char *name;
    double gradient_norm; /* of the bridge, of this loss alone */
} tp_loss_force;

/* At which steps the forces are worth measuring: seldom, because each loss takes a step of its own. */
bool tp_detectors_weigh_at(int64_t step);

/* What is wrong with the i-th of the forces, if anything: true, and one sentence. */
bool tp_detectors_weigh(const tp_loss_force *forces, int n, int i, char *sentence, size_t size);

#endif
