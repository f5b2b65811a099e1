/* A GGUF file as a model: its metadata as a configuration, its tensors' names, its vocabulary as a tokenizer.
 *
 * llama.cpp's converter changes three things on the way from a Hugging Face checkpoint, and all are met without
 * touching a weight: the rows of q and k of its "llama" architecture are put in another order, such that the pairs that
 * turn together are neighbours (the configuration says so: rope_adjacent); Gemma's norm gains come with their 1 added
 * (the names say so: gains_less_one is false); GPT-NeoX's fused projection is q, k and v one after the other
 * (qkv_layout). Mistral models come as "llama". */
#ifndef TP_LM_GGUF_MODEL_H
#define TP_LM_GGUF_MODEL_H

#include "lm/config.h"
#include "lm/gguf.h"
#include "lm/weight_names.h"
#include "text/gguf_vocab.h"

/* Fills *config from the metadata (and from which tensors there are). What this program cannot run is refused by name.
 */
tp_status tp_lm_config_from_gguf(const tp_gguf *g, tp_lm_config *config);

/* What GGUF files of every architecture call the weights. */
extern const tp_lm_names tp_gguf_weight_names;

/* "llama" for TP_LM_LLAMA and TP_LM_MISTRAL, "gptneox", ...: `general.architecture`. */
const char *tp_gguf_architecture(tp_lm_family family);

/* The metadata `tokenizer.ggml.*` as a plain struct, which points into the file and into memory that release gives
 * back; on error there is nothing to release. */
tp_status tp_gguf_read_vocab(const tp_gguf *g, tp_gguf_vocab *vocab);
void tp_gguf_release_vocab(tp_gguf_vocab *vocab);

/* The tokenizer made from the metadata `tokenizer.ggml.*`. NULL on error, also if there is no vocabulary. */
tp_tokenizer *tp_gguf_tokenizer(const tp_gguf *g);

#endif
