/* Training a LatentWire: encoder and adapters together, through all frozen receivers at once. The folder of a run, how
 * it is stopped and gone on with, and the loop are those of any training (train/trainer.h); what is kept is a
 * LatentWire (checkpoint.h). The best step is the one with the best mean validation accuracy over the receivers. */
#ifndef TP_LATENTWIRE_TRAIN_H
#define TP_LATENTWIRE_TRAIN_H

#include "latentwire/group.h"
#include "train/trainer.h"

/* The options' sender and receiver are not used: `models` are, which the recipe names. */
tp_status tp_latentwire_train(const tp_train_options *options, const tp_latentwire_models *models,
                              tp_train_result *result);

/* The same with the models that the options' recipe names, loaded for it. */
tp_status tp_latentwire_train_recipe(const tp_train_options *options, tp_train_result *result);

#endif
