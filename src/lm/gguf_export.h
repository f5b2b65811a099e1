/* Models into GGUF files that llama.cpp loads: converted from a Hugging Face folder, or quantised anew. */
#ifndef TP_LM_GGUF_EXPORT_H
#define TP_LM_GGUF_EXPORT_H

#include "base/error.h"
#include "base/progress.h"

/* The kinds of files by llama.cpp's names for them, NULL-terminated: "keep" (as they are), "f32", "f16", "bf16",
 * "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k_s", "q4_k_s", "q5_k_s", "q6_k" (matrices of one type) and
 * "q3_k_m", "q4_k_m", "q5_k_m" (the value and down projections, which suffer most, in a larger one). Vectors are always
 * f32. In the quantised kinds but q8_0 the output matrix is q6_k, as llama.cpp has it. A matrix whose rows are no whole
 * number of blocks is stored in the nearest type that fits: legacy blocks of 32, else f16. */
extern const char *const tp_gguf_kinds[];

/* Writes `model` (a Hugging Face folder, or a GGUF file of any architecture) to `out`, atomically. In memory there are
 * a few rows of one tensor at a time. From a folder the tokenizer is carried over; from a GGUF file all metadata is. */
tp_status tp_gguf_export(const char *model, const char *kind, const char *out, tp_progress *progress);

#endif
