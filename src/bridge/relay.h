/* The relay: sender, bridge and receiver put together as the recipe says, from text to answer.
 *
 *     text -> tokens -> hidden states -> soft tokens -> the receiver's prompt -> answer
 *
 * Each arrow is one function here, so that training, evaluation and serving walk the same way and may stop, time or
 * replace (controls!) anything between two arrows. */
#ifndef TP_BRIDGE_RELAY_H
#define TP_BRIDGE_RELAY_H

#include "bridge/checkpoint.h"
#include "bridge/layout.h"
#include "bridge/tap.h"
#include "data/task.h"
#include "lm/generate.h"
#include "lm/prefix.h"

typedef struct tp_relay {
    tp_recipe *recipe;          /* complete; owned */
    const tp_lm *sender;        /* borrowed */
    const tp_lm *receiver;      /* borrowed */
    tp_layout *layout;          /* owned; NULL without a receiver */
    tp_bridge *bridge;          /* NULL until there is one; part of `trained` */
    tp_trained_bridge *trained; /* owned */
    int tokens_in_use;          /* only so many of the bridge's soft tokens are handed on, the first ones; 0: all */
    const tp_adapter *adapter;  /* of the receiver, while an opponent is trained that has one; NULL; borrowed */
    tp_tap tap;
    char *prompt;             /* of the sender; owned */
    const char **label_names; /* [n_labels], owned copies */
    int n_labels;
    tp_prefix *prefix; /* what the layout begins with, as the receiver read it; NULL: not read beforehand; owned */
    tp_kv_cache
        *head; /* the same as a cache of one slot, where keys and values are injected behind it; else NULL; owned */
} tp_relay;

/* Puts the parts together. Takes over the recipe (completed with the task's facts); models are borrowed. There is no
 * bridge yet. NULL on error (the recipe is freed). */
tp_relay *tp_relay_new(tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver, const tp_task *task);

/* Gives the relay its bridge, which it takes over. */
void tp_relay_set_bridge(tp_relay *relay, tp_bridge *bridge, const tp_task *task);

/* A trained bridge's relay: all but the models comes from its folder. The bridge is frozen, for use only. Either model
 * may be NULL where its end of the relay is not used (without a receiver there is no layout). NULL on error: the folder
 * is broken, or the bridge was trained for other models. */
tp_relay *tp_relay_load(const char *folder, const tp_lm *sender, const tp_lm *receiver);
void tp_relay_free(tp_relay *relay); /* takes NULL */

/* Has the receiver read what the layout begins with (if anything), once for all steps of a training. */
tp_status tp_relay_read_prefix(tp_relay *relay);

/* The numbers of one soft token: the width of the receiver's embeddings, or of its keys and values in all layers. */
int64_t tp_relay_packet_width(const tp_recipe *recipe, const tp_lm *receiver);

/* Soft tokens [n * M, packet width] of n texts whose hidden states lie end to end. */
tp_var *tp_relay_soft(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n);

/* The same in a step of training: *terms gets what the bridge's family gives beside them (bridge.h). */
tp_var *tp_relay_soft_training(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n,
                               const tp_bridge_lesson *lesson, tp_bridge_terms *terms);

/* The receiver's prompts from soft tokens (NULL if the layout has none), in the tape's arena. `texts` serve {text} in
 * the layout and may be NULL without it. */
tp_status tp_relay_prompts(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *texts, int64_t n,
                           tp_prompts *prompts);

/* Reading 1, score: log-likelihood of each label's answer, EOS included, after each prompt: scores [n, n_labels]. (With
 * free answers there are no labels, hence no scores.) */
tp_status tp_relay_score(const tp_relay *relay, const tp_prompts *prompts, double *scores);

/* The same reading where only the likeliest label is asked for: best [n], and in likelihoods [n] the log-likelihood of
 * the label that `wanted` [n] names for each prompt (both may be NULL). */
tp_status tp_relay_best(const tp_relay *relay, const tp_prompts *prompts, int32_t *best, const int32_t *wanted,
                        double *likelihoods);

/* Reading 2, generate: up to max_new greedy tokens after each prompt, as text (owned by the caller) in answers[n]. */
tp_status tp_relay_generate(const tp_relay *relay, const tp_prompts *prompts, int64_t max_new, char **answers);

enum { TP_LONGEST_FREE_ANSWER = 48 };  /* tokens, EOS included */
enum { TP_LONGEST_TAUGHT_TEXT = 160 }; /* the same, of text and answer together (recipe `target`) */

/* The number of tokens of the longest label's answer, EOS included: what generate needs for classification. Without
 * labels (free answers) TP_LONGEST_FREE_ANSWER. */
int64_t tp_relay_longest_answer(const tp_relay *relay);

/* Puts into the item what is to be learned of an example: its label's answer, or its first gold answer (cut to
 * TP_LONGEST_FREE_ANSWER tokens; its ids lie in the arena). */
tp_status tp_relay_target(const tp_relay *relay, const tp_example *example, tp_arena *arena, tp_layout_item *item);

/* The index of the largest of n scores (the first, if equal). */
int32_t tp_best_score(const double *scores, int n);

#endif
