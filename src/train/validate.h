/* Looking at a bridge in training: accuracy and loss on validation rows, and what the receiver says. */
#ifndef TP_TRAIN_VALIDATE_H
#define TP_TRAIN_VALIDATE_H

#include "bridge/codes.h"
#include "bridge/relay.h"
#include "train/states.h"

typedef struct tp_validation {
    int64_t n;
    double accuracy;  /* of the likeliest label; free answers: share whose first gold answer is written word for word */
    double loss;      /* mean negative log-likelihood of the right label's (the first gold) answer, nats */
    bool provisional; /* the bridge was not used as it will be (it is still growing): never the best of a run */
} tp_validation;

/* The first n rows of the set, whose states the cache gives. */
tp_status tp_validate(const tp_relay *relay, tp_state_cache *states, const tp_dataset *set, int64_t n,
                      tp_validation *result);

/* Of n rows whose soft tokens (NULL: the layout has none) are given, on a frozen tape: adds how many are right, and the
 * right answers' negative log-likelihoods. */
tp_status tp_judge_rows(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *rows, int64_t n,
                        int64_t *right, double *nll);

/* The codes that a bridge which sends some (bridge/codes.h) gives to the first n rows whose states the cache gives. */
tp_status tp_validate_codes(const tp_bridge *bridge, tp_math math, tp_state_cache *states, int64_t n,
                            tp_code_usage *usage);

typedef struct tp_quick_look {
    int64_t n;
    double accuracy;    /* of generated answers, parsed; an answer that names no label is wrong. A free answer is right
                           if it is one of the gold answers, capitals and all */
    double diversity;   /* different answers / answers */
    char by_class[512]; /* "human 80 %, number 100 %, ..." */
    char samples[512];  /* a few texts with what the receiver said */
} tp_quick_look;

/* Generates answers to n validation rows (all, if there are fewer), drawn without repetition by the recipe's seed and
 * the step. */
tp_status tp_quick_evaluate(const tp_relay *relay, tp_state_cache *states, const tp_task *task, int64_t n, int64_t step,
                            tp_quick_look *look);

#endif
