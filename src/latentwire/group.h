/* A LatentWire with the models around it: what its encoder stands on, and the receivers with their layouts.
 *
 * Each receiver has a relay of its own (bridge/relay.h) without a bridge: the layout, the labels' answers and the ways
 * to read an answer are those of any bridge, so that nothing here scores or generates by itself. */
#ifndef TP_LATENTWIRE_GROUP_H
#define TP_LATENTWIRE_GROUP_H

#include "bridge/relay.h"
#include "latentwire/latentwire.h"
#include "lm/embed.h"

typedef struct tp_latentwire_models {
    tp_lm *sender;         /* the decoder that the encoder taps; NULL: it taps none */
    tp_embedder *embedder; /* what the encoder "simple" stands on; else NULL */
    tp_lm *receivers[TP_LATENTWIRE_MOST_RECEIVERS];
    int n_receivers;
} tp_latentwire_models;

/* Loads what the recipe names, each path once. On error nothing is left loaded. */
tp_status tp_latentwire_load_models(const tp_recipe *recipe, tp_latentwire_models *models);
void tp_latentwire_free_models(tp_latentwire_models *models); /* what is in it */

/* The fingerprints of what the encoder stands on, its tokenizer's included; "" for bytes. */
void tp_latentwire_source_fingerprint(const tp_latentwire_models *models, char hex[33]);

typedef struct tp_latentwire_group {
    tp_recipe *recipe;                              /* complete; owned */
    const tp_latentwire_models *models;             /* borrowed */
    tp_relay *relays[TP_LATENTWIRE_MOST_RECEIVERS]; /* [models->n_receivers]; owned */
    tp_tap tap;                                     /* of the sender, where the encoder taps one */
    tp_latentwire *wire;                            /* NULL until there is one; owned */
} tp_latentwire_group;

/* Puts it together, for a task. Takes the recipe over; there is no wire yet. NULL on error (the recipe is freed). */
tp_latentwire_group *tp_latentwire_group_new(tp_recipe *recipe, const tp_latentwire_models *models,
                                             const tp_task *task);
void tp_latentwire_group_free(tp_latentwire_group *group); /* takes NULL */

/* Numbers of a row that the encoder reads; 0 for bytes. */
int64_t tp_latentwire_source_width(const tp_latentwire_group *group);

/* The wire's shape but for the statistics: recipe and widths. `widths` [n_receivers] must outlive it. */
tp_latentwire_shape tp_latentwire_group_shape(const tp_latentwire_group *group, int64_t *widths);

#endif
