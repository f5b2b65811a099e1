/* What people write where a model is wanted, made into a path: a path, or the name of a model on the Hugging Face Hub
 * that is in this machine's cache. Nothing is ever downloaded. */
#ifndef TP_BASE_MODEL_PATH_H
#define TP_BASE_MODEL_PATH_H

#include "base/error.h"

/* The folder or file that `model` means; the caller frees it. NULL on error.
 *
 * A path that exists is taken as it is, except that a folder without safetensors that holds one .gguf file means that
 * file (several are an error that lists them). Otherwise "name", "org/name" or "org/name@revision" is looked up where
 * huggingface_hub keeps downloads: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
 * ~/.cache/huggingface/hub; the revision is a branch, a tag or a commit, "main" if none is given. What is not there is
 * an error that names the place and the command that downloads it. A path that does not exist and could not be such a
 * name is given back unchanged: whoever opens it knows best what was expected there. */
char *tp_model_path(const char *model);

#endif
