/* A method: anything that gives each test text a label, and is measured like all the others.
 *
 * The bridge, its opponents and its controls stand behind this one interface (a file each, all of them in tp_methods),
 * so that they cannot differ in what they are asked: the same test rows in the same order, the same label words, the
 * same code that scores, generates and parses (ask.h).
 *
 * A language model's answer is read in two ways, and both are reported: *score* takes the label whose tokens are
 * likeliest, *generate* lets it write greedily and looks for a label in what it wrote (none: invalid, counted as
 * wrong). A classifier answers *directly*. */
#ifndef TP_EVAL_METHOD_H
#define TP_EVAL_METHOD_H

#include "base/progress.h"
#include "bridge/relay.h"
#include "eval/predictions.h"
#include "train/states.h"

#include <signal.h>
#include <stdbool.h>

typedef enum tp_reading { TP_READ_DIRECT, TP_READ_SCORE, TP_READ_GENERATE, TP_N_READINGS } tp_reading;

/* "direct", "score", "generate". */
const char *tp_reading_name(tp_reading reading);

/* Where the time of an answer goes. */
typedef enum tp_phase { TP_PHASE_SENDER, TP_PHASE_BRIDGE, TP_PHASE_RECEIVER, TP_N_PHASES } tp_phase;

/* What a method answered to every test row, in one reading. */
typedef struct tp_answers {
    tp_predictions predictions; /* labels NULL: this reading was not taken */
    double ms[TP_N_PHASES]; /* milliseconds per text, one text at a time (the median of a sample); NAN: no such phase */
    double per_second;      /* texts, in batches; NAN: not measured */
} tp_answers;

typedef struct tp_method_result {
    tp_answers readings[TP_N_READINGS];
    double bytes;        /* that cross from sender to receiver, mean per text; NAN: nothing crosses */
    int64_t n_truncated; /* test texts that were cut to fit */
    char *setting;       /* what was chosen on the validation split, and how; NULL: nothing to choose */
    double chosen;       /* the number that a sweep chose, for the other runs of the recipe to take; NAN: no sweep */
    char *note;          /* what a reader must know; NULL: nothing */
} tp_method_result;

/* Empty: no reading, no numbers. */
tp_method_result tp_method_result_new(void);
void tp_method_result_free(tp_method_result *result);

typedef struct tp_features tp_features; /* of the probes; see probe.h */

/* What is kept from one method, or one run of the same recipe, to the next, so that nothing is computed twice. Zeros at
 * first; freed by tp_kept_free. */
typedef struct tp_kept {
    tp_features *features[2]; /* of the sender's prompt without and with the list of labels (tp_sender_prompt) */
    bool wants_scores;        /* a method that needs all labels' scores will run: who makes them is to keep them */
    double *text_scores;      /* [n_test, n_labels]: of the receiver that reads the text; NULL: not kept */
    double *soft_scores;      /* the same of the receiver that reads the soft tokens of one bridge */
    char soft_of[33];         /* that bridge's fingerprint */
} tp_kept;

void tp_kept_free(tp_kept *kept);

struct tp_results;

/* What methods work on: all of it is the caller's, and constant but for what is kept. */
typedef struct tp_eval {
    const tp_task *task;
    const tp_relay *relay;       /* recipe, both models, layout; without a bridge only methods that need none can run */
    tp_state_cache *test_states; /* of the relay's tap on the test rows: shared by bridge, controls and probes */
    tp_state_cache *uncached;    /* the same, of kind none: computed each time, for measuring */
    uint64_t seed;               /* of the run */
    int64_t n_timed;             /* texts whose time is taken one by one */
    int64_t timed_batch;         /* 0; or texts that are timed together, for a curve over batches */
    int64_t prompt_steps;        /* most updates of prompt tuning; 0: those of the recipe */
    double chosen;               /* what the running method's sweep chose for the first run of the recipe; NAN: sweep */
    const char *doing;           /* the method's title, for the progress */
    const volatile sig_atomic_t *stop; /* when it becomes nonzero: TP_ERR_CANCELLED; or NULL */
    tp_progress *progress;             /* or NULL */
    const struct tp_results *found;    /* of this run, by methods that ran before; NULL: nothing */
    tp_kept *kept;                     /* never NULL where a method runs */
} tp_eval;

/* TP_ERR_CANCELLED once somebody wants to stop. */
tp_status tp_eval_stopped(const tp_eval *eval);

enum { /* what a method needs, or'ed */
       TP_NEEDS_SENDER = 1,
       TP_NEEDS_RECEIVER = 2,
       TP_NEEDS_BRIDGE = 4,
       TP_NEEDS_TRAINING = 8, /* it learns from the task's train split */
};

/* Methods that stand together in a table, in this order. */
typedef enum tp_group {
    TP_GROUP_NO_MODEL, /* no language model answers */
    TP_GROUP_SENDER,   /* the sender reads the text and answers */
    TP_GROUP_RECEIVER, /* the receiver reads the text, or part of it */
    TP_GROUP_WRITTEN,  /* the sender hands over text that it writes or chooses */
    TP_GROUP_TRAINED,  /* opponents that learn from train */
    TP_GROUP_BRIDGE,
    TP_GROUP_CONTROL, /* the source is destroyed: it must not work */
} tp_group;

typedef struct tp_method {
    const char *name;  /* for --methods: "probe_mean" */
    const char *title; /* for tables: "probe on mean state" */
    tp_group group;
    unsigned needs;
    bool seeded;       /* its answers depend on the run (its seed, its bridge): not the same for all runs of a recipe */
    bool free_answers; /* it can be asked for more than labels (tasks of kind text) */
    bool on_request;   /* it runs only where it is named */
    tp_status (*run)(tp_eval *eval, tp_method_result *result);
} tp_method;

/* All methods in the order of the table, NULL-terminated. */
extern const tp_method *const tp_methods[];
const tp_method *tp_method_find(const char *name); /* NULL with an error that lists the names */

extern const tp_method tp_method_random, tp_method_majority, tp_method_words;
extern const tp_method tp_method_sender, tp_method_sender_plain, tp_method_sender_shots;
extern const tp_method tp_method_receiver, tp_method_receiver_shots;
extern const tp_method tp_method_first_tokens, tp_method_last_tokens, tp_method_text_bytes, tp_method_pruned;
extern const tp_method tp_method_relay_word, tp_method_text_relay, tp_method_relay_long, tp_method_relay_thoughts;
extern const tp_method tp_method_probe_mean, tp_method_probe_last, tp_method_probe_mean_labels,
    tp_method_probe_last_labels;
extern const tp_method tp_method_pca, tp_method_ridge, tp_method_prompt_tuning, tp_method_lora;
extern const tp_method tp_method_bridge, tp_method_joint;
extern const tp_method tp_method_bridge_f32, tp_method_bridge_bf16, tp_method_bridge_int8, tp_method_bridge_int4;
extern const tp_method tp_method_zero, tp_method_noise, tp_method_shuffled, tp_method_deranged,
    tp_method_receiver_alone;

#endif
