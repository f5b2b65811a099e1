/* Models into Hugging Face folders that transformers loads. */
#ifndef TP_LM_HF_EXPORT_H
#define TP_LM_HF_EXPORT_H

#include "base/error.h"
#include "lm/gguf.h"

/* Writes `model` (a GGUF file or a folder) into `folder`: config.json, generation_config.json, model.safetensors,
 * tokenizer.json and tokenizer_config.json. `type` is "f32", "f16", "bf16" or "keep": as they are, quantised weights as
 * f16. A GGUF file without vocabulary gives a folder without tokenizer. */
tp_status tp_hf_export(const char *model, const char *type, const char *folder);

/* The tokenizer part: the vocabulary of a GGUF file as tokenizer.json and tokenizer_config.json (hf_tokenizer.c). */
tp_status tp_hf_write_tokenizer(const tp_gguf *g, const char *folder);

#endif
