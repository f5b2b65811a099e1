/* Rows of numbers in files: hidden states that go out, embeddings that come in.
 *
 * A .safetensors file of states holds, for prompts that lie end to end:
 *
 *     layer.<l>   f32 [rows, d_model]   for each layer l asked for: the hidden states, 0 being the embeddings. Without
 *                                       pooling a row for each token of each prompt, else one row for each prompt
 *     ids         i32 [tokens]          the token ids of all prompts
 *     offsets     i64 [prompts + 1]     prompt i owns the tokens offsets[i] .. offsets[i + 1] - 1
 *
 * and as metadata: telepathy.kind "states", telepathy.version "1", pool "none" | "mean" | "last", layers "0,12",
 * model (family) and fingerprint (of configuration and weights). A .npy file holds the numbers alone: [rows, d_model],
 * or [layers, rows, d_model] where several layers were asked for. */
#ifndef TP_LM_STATES_FILE_H
#define TP_LM_STATES_FILE_H

#include "base/error.h"

typedef enum tp_states_pooling { TP_STATES_EACH, TP_STATES_MEAN, TP_STATES_LAST } tp_states_pooling;
extern const char *const tp_states_pooling_names[]; /* "none", "mean", "last", NULL */

typedef struct tp_states_file {
    const char *family, *fingerprint; /* of the model */
    tp_states_pooling pool;
    const int32_t *layers; /* [n_layers], no two the same */
    int64_t n_layers;
    const int64_t *offsets; /* [n_prompts + 1] */
    int64_t n_prompts;
    const int32_t *ids; /* [offsets[n_prompts]] */
    int64_t d_model;
    const float *states; /* [n_layers, rows, d_model] */
} tp_states_file;

/* Rows of n states [n, d] as one: their mean (summed in f64), or the last. n is at least 1. */
void tp_states_pool(tp_states_pooling pool, const float *states, int64_t n, int64_t d, float *out);

/* Writes .npy if the path ends so, else .safetensors; atomically. */
tp_status tp_states_file_write(const char *path, const tp_states_file *file);

/* Reads rows that are `width` numbers wide, [*n, width], as f32; free with tp_free. The file is .npy, or .safetensors,
 * in which `tensor` names one (NULL: the only one of that width). Its shape is [n, width], [1, n, width] or [width],
 * its type f32, f16, bf16 or f64. NULL on error. */
float *tp_rows_file_read(const char *path, const char *tensor, int64_t width, int64_t *n);

#endif
