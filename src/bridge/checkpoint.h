/* A trained bridge as a folder, in the form that PEFT gave adapters:
 *
 *     adapter_config.json         peft_type "TELEPATHY", base_model_name_or_path (the receiver), the complete recipe,
 *                                 names, fingerprints and widths of both models, the tapped layer, the task's labels
 *     adapter_model.safetensors   every tensor of the bridge, f32, the normaliser's statistics among them
 *     README.md                   a model card for people (card.h), which nothing reads again
 *
 * Each file is replaced atomically, the tensors first, and neither holds anything that changes during a run: a run
 * killed between the two leaves a bridge that loads. The tensors' metadata holds a fingerprint of what the
 * configuration says about them, so that files of two different runs are not taken for one bridge. */
#ifndef TP_BRIDGE_CHECKPOINT_H
#define TP_BRIDGE_CHECKPOINT_H

#include "bridge/bridge.h"
#include "bridge/recipe.h"
#include "lm/model.h"

/* One of the two models a bridge stands between. */
typedef struct tp_bridge_model {
    char *name;           /* path or name, for people; owned */
    char fingerprint[33]; /* of configuration and weights; "" if it has none (a model made in memory) */
    char tokenizer[33];   /* its tokenizer's; "" if unknown */
    int64_t d_model;
    int64_t kv_width; /* tp_lm_kv_width, of a receiver whose keys and values are injected; else 0 */
    int n_layers;
} tp_bridge_model;

/* A bridge with all that is needed to use it. */
typedef struct tp_trained_bridge {
    tp_bridge *bridge;
    tp_recipe *recipe; /* complete: layout and primer are there */
    int layer;         /* the sender's hidden state it reads */
    char *prompt;      /* the sender's prompt, {text} in it */
    tp_bridge_model sender, receiver;
    char *task;    /* name of the task, for people */
    char **labels; /* [n_labels]: what the receiver answers */
    int n_labels;
    char fingerprint[33]; /* of all of it, set by tp_bridge_load; what packets carry */
} tp_trained_bridge;

/* Puts a bridge together with copies of everything else; takes the bridge over. The recipe must be complete. */
tp_trained_bridge *tp_trained_bridge_new(tp_bridge *bridge, const tp_recipe *recipe, int layer, const char *prompt,
                                         const tp_lm *sender, const tp_lm *receiver, const char *task,
                                         const char *const *labels, int n_labels);
void tp_trained_bridge_free(tp_trained_bridge *trained); /* takes NULL; frees the bridge too */

/* Writes the folder, made if need be. */
tp_status tp_bridge_save(const char *folder, const tp_trained_bridge *trained);

/* Reads a folder. NULL on error: a key nobody knows, a tensor too many, missing, misshapen or not finite, files that do
 * not belong together. */
tp_trained_bridge *tp_bridge_load(const char *folder);

/* TP_OK if these are the models that the bridge was trained for; else one sentence that names the model. Either may be
 * NULL (not looked at). `folder` is what the sentence calls the bridge. */
tp_status tp_bridge_check_models(const tp_trained_bridge *trained, const char *folder, const tp_lm *sender,
                                 const tp_lm *receiver);

#endif
