/* The parts of a checkpoint, for whoever writes one that is no bridge between two models: how models, labels and
 * tensors stand in its two files. */
#ifndef TP_BRIDGE_CHECKPOINT_PARTS_H
#define TP_BRIDGE_CHECKPOINT_PARTS_H

#include "bridge/checkpoint.h"
#include "lm/safetensors.h"

/* A model as it is: its name is the caller's to free. */
tp_bridge_model tp_bridge_model_of(const tp_lm *lm);
json_t *tp_bridge_model_to_json(const tp_bridge_model *model);
void tp_bridge_model_read(tp_json_reader *r, const char *key, tp_bridge_model *model); /* mistakes go to r->status */

/* TP_OK if the model is the one that stands there; else a sentence that calls the checkpoint `folder`, and the model
 * `role` ("receiver"). */
tp_status tp_bridge_model_check(const tp_bridge_model *model, const char *folder, const char *role, const tp_lm *lm);

json_t *tp_bridge_labels_to_json(char *const *labels, int n_labels);
void tp_bridge_labels_read(tp_json_reader *r, char ***labels, int *n_labels); /* of the key `labels` */

/* Writes f32 weights with one line of metadata; reads them back into weights of the same names and shapes, which must
 * be all that the file holds, and finite. */
tp_status tp_bridge_tensors_write(const char *path, tp_weight *const *weights, size_t n, const tp_st_metadata *line);
tp_status tp_bridge_tensors_read(const tp_safetensors *file, tp_weight *const *weights, size_t n);

#endif
