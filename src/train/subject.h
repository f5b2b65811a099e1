/* A task that a bridge is trained on: its relay, its texts' states, its batches. Usually there is one; with the
 * recipe's `tasks` there are several, and one bridge learns them all, each with its own prompt, layout, primer and
 * labels. */
#ifndef TP_TRAIN_SUBJECT_H
#define TP_TRAIN_SUBJECT_H

#include "train/loss_aids.h"
#include "train/sampler.h"
#include "train/states.h"

enum { TP_MAX_SUBJECTS = 16 };

typedef struct tp_subject {
    const tp_task *task;
    tp_task *own_task; /* the same, where it was loaded for this training */
    tp_relay *relay;
    tp_state_cache *train_states, *valid_states;
    tp_sampler *sampler;
    tp_loss_aids *aids;
    double weight; /* the share of batches is this over the sum of all */
    char *folder;  /* of the run's folder, where its bridge is kept; NULL: that folder itself */
} tp_subject;

/* The relay and sampler-to-be of the recipe's own task (index 0; takes the recipe over), or of a further one. `raw` is
 * the recipe as given, `main` its complete form (NULL for index 0). */
tp_status tp_subject_open(tp_subject *subject, tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver,
                          const tp_task *task);
tp_status tp_subject_open_further(tp_subject *subject, const tp_recipe *raw, const tp_subject *main, int i);

/* The caches of its states; at most max_bytes for both. `number` from 0 names their files in the folder. */
tp_status tp_subject_open_states(tp_subject *subject, const char *folder, int number, int64_t max_bytes);

/* Gives it the bridge, which stays the first subject's, and what its losses need; the heads are the first's. */
tp_status tp_subject_share(tp_subject *subject, const tp_subject *main, const tp_calibration *calibration);

void tp_subject_set_seed(tp_subject *subject, uint64_t seed);
void tp_subject_close(tp_subject *subject, bool first);

/* Which of n subjects micro-batch `number` is of: drawn by their weights. */
int tp_subject_draw(const tp_subject *subjects, int n, uint64_t seed, int64_t number);

#endif
