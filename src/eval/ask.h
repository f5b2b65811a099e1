/* Asking a language model about every test row: the one way in which all methods that end in a decoder are answered,
 * scored and timed. */
#ifndef TP_EVAL_ASK_H
#define TP_EVAL_ASK_H

#include "eval/method.h"

enum { TP_ASK_BATCH = 32 };

/* What fills the layout's places for some test rows. */
typedef struct tp_filling {
    tp_var *soft;            /* [n * soft_tokens, d_model]; NULL: the layout has no {soft} */
    const tp_example *texts; /* [n], for {text}; NULL: the test rows' own */
    double ms[TP_N_PHASES];  /* added to, when `fresh`: where the time went */
} tp_filling;

typedef struct tp_asking tp_asking;
struct tp_asking {
    const tp_lm *lm;           /* who answers */
    const tp_layout *layout;   /* what it reads; made with the task's labels */
    int soft_tokens;           /* of each row */
    tp_phase phase;            /* whose time its answering is */
    bool constant;             /* all rows are asked the same: ask once */
    bool untimed;              /* its times would mean nothing */
    const tp_ids *before;      /* ids that stand before every prompt, read once for all of a batch; NULL: none */
    const tp_adapter *adapter; /* of lm; NULL: none */
    const bool *ends;          /* ids that end what lm writes, as in tp_prompts; NULL: only its own */
    double *scores; /* [n_test, n_labels]: gets the labels' log-likelihoods of the test rows; NULL: not wanted */
    /* Fills the layout for the test rows items[0 .. n - 1]. `fresh`: for measuring, so nothing may come from a cache.
     * Vars and texts live in the tape's arena. NULL: the text is all there is. */
    tp_status (*fill)(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out);
    void *context; /* of fill */
};

/* Asks about every test row and fills in both readings with their times, and how many texts were cut. */
tp_status tp_ask_all(tp_eval *eval, const tp_asking *asking, tp_method_result *result);

/* The labels of n prompts in one reading. Of TP_READ_SCORE `scores` [n, n_labels] gets the log-likelihoods; NULL: not
 * wanted. */
tp_status tp_ask_prompts(const tp_task *task, const tp_asking *asking, tp_math math, const tp_prompts *prompts,
                         tp_reading reading, int32_t *labels, double *scores);

/* Share of right answers by score on the first n rows of another split; `fill` gets indices of its rows. */
tp_status tp_ask_accuracy(tp_eval *eval, const tp_asking *asking, const tp_dataset *set, size_t n, double *accuracy);

/* The log-likelihoods [n, n_labels] of the labels for the first n rows of a split; `fill` gets indices of its rows. */
tp_status tp_ask_scores(tp_eval *eval, const tp_asking *asking, const tp_dataset *set, size_t n, double *scores);

/* A layout for that model with the task's labels as answers. The text in it may fill the model's context, but for room
 * that is left for what else stands there and for the answer. */
tp_layout *tp_ask_layout(const tp_eval *eval, const char *pattern, const tp_lm *lm);

/* The same, leaving that many tokens of the context. */
tp_layout *tp_ask_layout_leaving(const tp_eval *eval, const char *pattern, const tp_lm *lm, int64_t n_tokens);

/* How many rows of the validation split serve to choose a setting: 500, fewer where there are many labels to score. */
size_t tp_ask_valid_rows(const tp_eval *eval);

#endif
