/* Training a few parameters of a receiver that reads the text itself: what prompt tuning and LoRA share.
 *
 * Losses, sampling, batch and schedule are the bridge's own. A fair opponent is a tuned one, and settings are worth a
 * factor of several in accuracy in the sources of this project: each learning rate is tried with a quarter of the
 * updates, then each other beginning with the best rate; the best on the validation split is trained in full, and the
 * best of its validations counts. The sweep is made by the first run of a recipe; its other runs take the choice over.
 */
#ifndef TP_EVAL_TUNING_H
#define TP_EVAL_TUNING_H

#include "eval/ask.h"

typedef struct tp_tuning tp_tuning;
struct tp_tuning {
    /* set by tp_tuning_open */
    tp_eval *eval;
    tp_relay relay;   /* the run's, but for its layout, its recipe and what is trained */
    tp_recipe recipe; /* the run's without diversity, which needs soft tokens that differ from text to text */

    /* set by the caller */
    const tp_params *params; /* what is trained */
    tp_asking asking;        /* how the receiver is asked with the parameters as they are */
    const char *doing;       /* for the progress */
    const double *rates;     /* [n_rates] of learning, rising */
    int n_rates;
    const char *const *starts; /* [n_starts] names of beginnings; NULL: there is one */
    int n_starts;
    void (*start)(tp_tuning *tuning, int start, uint64_t seed); /* sets the parameters to a beginning */
    /* Soft tokens [n * M, d_receiver] for n texts; NULL: none. */
    tp_var *(*soft)(const tp_tuning *tuning, tp_tape *tape, int64_t n);
    void *context;

    /* kept while it runs */
    float *best;                     /* [params->total]: of the best validation */
    double best_accuracy, best_loss; /* the latter of free answers, by which equals are told apart; else 0 */
    int64_t n_updates;
};

/* Prepares for a layout of that pattern; tp_tuning_close frees it, and is called on error too. */
tp_status tp_tuning_open(tp_tuning *tuning, tp_eval *eval, const char *pattern);
void tp_tuning_close(tp_tuning *tuning);

/* Chooses, unless eval->chosen says what (a rate's place, plus n_rates times the beginning's), and trains: the
 * parameters are then those of the best validation. Sets the result's `chosen` and `setting`. */
tp_status tp_tuning_run(tp_tuning *tuning, tp_method_result *result);

#endif
