/* A model's weights: one safetensors file, shards with an index, or a GGUF file, behind one way to find a tensor.
 *
 * Tensors belong to the checkpoint and live until it is closed; their bytes are mapped, not read. */
#ifndef TP_LM_CHECKPOINT_H
#define TP_LM_CHECKPOINT_H

#include "base/hash.h"
#include "lm/gguf.h"
#include "lm/safetensors.h"

#include <stdbool.h>

typedef struct tp_checkpoint tp_checkpoint;

/* Opens the weights in a Hugging Face folder: model.safetensors if it is there, otherwise the shards that
 * model.safetensors.index.json names. A path that is a file is opened as one safetensors or GGUF file, whichever it
 * begins like. With an index, the tensors are those the index lists, each checked to be in the shard it names. NULL on
 * error. */
tp_checkpoint *tp_checkpoint_open(const char *path);
void tp_checkpoint_close(tp_checkpoint *c); /* takes NULL */

/* The GGUF file behind it, with its metadata; NULL if it is none. Lives until the checkpoint is closed. */
const tp_gguf *tp_checkpoint_gguf(const tp_checkpoint *c);

/* Keeps all of the files in memory (mlock): nothing of them is read again later. An error if the system forbids it. */
tp_status tp_checkpoint_lock(const tp_checkpoint *c);

/* Tensors in the order of their names, those of unknown types too, as in safetensors.h. */
size_t tp_checkpoint_count(const tp_checkpoint *c);
const tp_st_tensor *tp_checkpoint_get(const tp_checkpoint *c, size_t i);

/* Is there a tensor of that name? Of tensors that share their bytes (tied embeddings) PyTorch's writer stores one and
 * notes the others in the metadata as "other name": "stored name"; both names are found here. */
bool tp_checkpoint_has(const tp_checkpoint *c, const char *name);

/* The tensor of that name. NULL with an error if there is none, or if its type is unknown to this program. */
const tp_st_tensor *tp_checkpoint_find(const tp_checkpoint *c, const char *name);

/* The same for a weight: it must have this shape and be f32, f16, bf16 or, a matrix, of a block type. */
const tp_st_tensor *tp_checkpoint_weight(const tp_checkpoint *c, const char *name, int n_dims, const int64_t *shape);

/* The fingerprint of the weights: names, types, shapes and bytes, whatever the files are called and however the tensors
 * are spread over them. Models of up to 64 MiB are hashed whole. Of larger ones each tensor above 64 KiB is sampled:
 * its size and 16 pieces of 4 KiB, evenly spaced, the first and the last bytes among them; an 8 B model then costs some
 * 20 MB of reading instead of 16 GB, and is ready at once. That tells trained models apart (training moves every row it
 * reaches); a single number patched by hand in a large matrix can escape it. */
void tp_checkpoint_hash(const tp_checkpoint *c, tp_hash *h); /* adds to a fingerprint in the making */
void tp_checkpoint_fingerprint(const tp_checkpoint *c, char hex[33]);

#endif
