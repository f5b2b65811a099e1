/* A decoder-only language model: configuration, weights, tokenizer.
 *
 * Loaded from a Hugging Face folder its weights are frozen and stay mapped; made new it is trainable. What it computes
 * is in lm/decoder.h, and is the same for both. */
#ifndef TP_LM_MODEL_H
#define TP_LM_MODEL_H

#include "base/mem.h"
#include "lm/checkpoint.h"
#include "lm/config.h"
#include "lm/rope_frequencies.h"
#include "lm/weight_names.h"
#include "nn/params.h"
#include "tensor/weight.h"
#include "text/tokenizer.h"

/* Of these a family has some; the others are absent. Biases stand behind what they belong to. */
typedef struct tp_layer {
    tp_weight attn_norm, attn_norm_bias; /* [d_model] */
    tp_weight qkv, qkv_bias;             /* [(n_heads + 2 n_kv_heads) * head_dim, d_model] in config.qkv_layout, or */
    tp_weight q, k, v;                   /* [n_heads * head_dim, d_model], twice [n_kv_heads * head_dim, d_model] */
    tp_weight q_bias, k_bias, v_bias;
    tp_weight q_norm, k_norm;          /* [head_dim] */
    tp_weight o, o_bias;               /* [d_model, n_heads * head_dim] */
    tp_weight attn_post_norm;          /* [d_model] */
    tp_weight ffn_norm, ffn_norm_bias; /* [d_model] */
    tp_weight gate_up;                 /* [2 d_ff, d_model], or */
    tp_weight gate, gate_bias;         /* [d_ff, d_model] */
    tp_weight up, up_bias;             /* [d_ff, d_model] */
    tp_weight down, down_bias;         /* [d_model, d_ff] */
    tp_weight ffn_post_norm;           /* [d_model] */
} tp_layer;

typedef struct tp_lm {
    tp_lm_config config;
    tp_weight embed;                       /* [vocab_size, d_model] */
    tp_weight positions;                   /* [max_position_embeddings, d_model], where positions are learned */
    tp_layer *layers;                      /* [n_layers] */
    tp_weight final_norm, final_norm_bias; /* [d_model] */
    tp_weight head;                        /* [vocab_size, d_model]; absent when tied: embed serves */
    float *inv_freq[TP_N_FREQUENCIES];     /* [rotary pairs] each; NULL where the family has no such set */
    tp_tokenizer *tokenizer;               /* NULL if the folder has none */
    tp_checkpoint *checkpoint;             /* what frozen weights are mapped from; NULL for a new model */
    tp_arena *converted;                   /* the few weights that could not stay as they are in the file */
    tp_params params;                      /* of a new model; empty when frozen */
    char *path;                            /* the folder; NULL for a new model */
    char fingerprint[33];                  /* of configuration and weights; "" for a new model */
} tp_lm;

/* Loads what tp_model_path (base/model_path.h) understands: a folder, a name in the Hugging Face cache. With
 * `with_tokenizer` a missing or broken tokenizer is an error. NULL on error. */
tp_lm *tp_lm_load(const char *model, bool with_tokenizer);

/* A new trainable model with random weights: normal numbers of standard deviation `embed_std` for the embedding and
 * 0.02 for matrices (those that write into the residual stream divided by sqrt(2 n_layers), as in GPT-2). */
tp_lm *tp_lm_new(const tp_lm_config *config, uint64_t seed, double embed_std);

/* A frozen model with random weights of one type (f32, f16 or bf16), for benchmarks and tests: no file, nothing
 * trainable. NULL with an error for another type. */
tp_lm *tp_lm_new_frozen(const tp_lm_config *config, uint64_t seed, tp_dtype dtype);

void tp_lm_free(tp_lm *lm); /* takes NULL */

/* The tokenizer alone of what tp_lm_load would load. NULL on error. */
tp_tokenizer *tp_lm_load_tokenizer(const char *model);

/* Keeps the model's files in memory (mlock): nothing of them is read from disk again. An error if the system forbids
 * it; the model can be used all the same. */
tp_status tp_lm_lock(const tp_lm *lm);

/* Writes config.json, generation_config.json and model.safetensors (in that type: f32, f16 or bf16) into the folder. In
 * memory there are a few rows of one tensor at a time, but for GPT-2, whose matrices are turned one by one. */
tp_status tp_lm_save(const tp_lm *lm, const char *folder, tp_dtype dtype);

/* One weight of the model: what it is for, what the file calls it, its shape (a vector has rows = 1). */
typedef struct tp_weight_place {
    tp_weight_role role;
    int layer; /* -1: of the model */
    const char *name;
    int64_t rows, cols;
} tp_weight_place;

/* Calls visit for every weight the configuration asks for, in file order, with its name in that spelling (NULL: that of
 * the family's safetensors files). Stops at the first error and returns it. */
typedef tp_status (*tp_place_visitor)(void *context, tp_weight *w, const tp_weight_place *place);
tp_status tp_lm_visit_places(tp_lm *lm, const tp_lm_names *names, tp_place_visitor visit, void *context);

/* The same, plainly. */
typedef tp_status (*tp_weight_visitor)(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols);
tp_status tp_lm_visit(tp_lm *lm, tp_weight_visitor visit, void *context);

int64_t tp_lm_n_parameters(const tp_lm *lm);

/* The embedding of a token as the first block gets it (scaled, where the family scales), [d_model]. A learned position
 * is not part of it: tp_lm_blocks adds that, to rows from anywhere. */
void tp_lm_embedding_row(const tp_lm *lm, int64_t id, float *out);

/* The mean over tokens of their embedding's root mean square: the scale that soft tokens should have. */
double tp_lm_embedding_rms(const tp_lm *lm);

#endif
