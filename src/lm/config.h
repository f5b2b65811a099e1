/* What kind of decoder a checkpoint holds: config.json, read and written.
 *
 * The three families supported are one architecture (pre-norm blocks with RMSNorm, rotary positions, grouped-query
 * attention, gated SiLU feed-forward) with differences that all fit in the fields below; code that runs a model looks
 * at the fields, never at the family. Where config.json leaves a key out, the default is that of the family's class in
 * Hugging Face transformers. Keys this program does not know are ignored, since every release of the ecosystem adds
 * some; keys that would change the result in a way not supported are refused. */
#ifndef TP_LM_CONFIG_H
#define TP_LM_CONFIG_H

#include "base/dtype.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum tp_lm_family {
    TP_LM_LLAMA = 0, /* Llama 1, 2, 3 and all that say they are */
    TP_LM_MISTRAL,
    TP_LM_QWEN2,
} tp_lm_family;

typedef enum tp_rope_kind {
    TP_ROPE_PLAIN = 0,
    TP_ROPE_LINEAR, /* all frequencies divided by `factor` (position interpolation) */
    TP_ROPE_LLAMA3, /* long wavelengths divided, short ones kept, a blend between */
} tp_rope_kind;

enum { TP_LM_MAX_EOS = 16 };

typedef struct tp_lm_config {
    tp_lm_family family;
    int vocab_size;
    int d_model;    /* hidden_size */
    int n_layers;   /* num_hidden_layers */
    int n_heads;    /* num_attention_heads */
    int n_kv_heads; /* num_key_value_heads; divides n_heads */
    int head_dim;   /* even; need not be d_model / n_heads */
    int d_ff;       /* intermediate_size */
    double norm_eps;
    double rope_theta;
    struct {
        tp_rope_kind kind;
        double factor;                        /* linear, llama3 */
        double low_freq_factor;               /* llama3 */
        double high_freq_factor;              /* llama3 */
        int original_max_position_embeddings; /* llama3 */
    } rope_scaling;
    int max_position_embeddings;
    int sliding_window;       /* a token sees this many, itself included; 0: all before it */
    int first_windowed_layer; /* layers below it see all tokens; 0 for Mistral */
    bool qkv_bias;            /* biases on the q, k and v projections */
    bool o_bias;              /* bias on the attention's output projection */
    bool tie_word_embeddings;
    int bos_id; /* -1: none */
    int eos_ids[TP_LM_MAX_EOS];
    int n_eos;
    tp_dtype dtype; /* torch_dtype, what the weights are said to be stored in: TP_F32, TP_F16 or TP_BF16 */
} tp_lm_config;

/* Reads the config.json of a Hugging Face folder. If generation_config.json is there too, its eos ids count instead,
 * as in transformers. On error *config is unspecified. */
tp_status tp_lm_config_read(const char *folder, tp_lm_config *config);

/* Reads one file in the form of config.json. */
tp_status tp_lm_config_read_file(const char *path, tp_lm_config *config);

/* TP_OK if the values make sense together, as reading a file demands of them. `name` is who is to blame in messages. */
tp_status tp_lm_config_check(const tp_lm_config *config, const char *name);

/* Writes config.json and generation_config.json into an existing folder, each atomically, such that Hugging Face
 * transformers reads the same model from them (checked with 5.23; the spelling is that of 4.x). */
tp_status tp_lm_config_write(const tp_lm_config *config, const char *folder);

/* "llama", "mistral", "qwen2": `model_type` of config.json. */
const char *tp_lm_family_name(tp_lm_family family);

/* "LlamaForCausalLM", ...: the class in `architectures`. */
const char *tp_lm_family_architecture(tp_lm_family family);

/* The sliding window of a layer, 0 if it sees all tokens before it. */
int tp_lm_config_window(const tp_lm_config *config, int layer);

/* Adds all that decides what the weights compute to a fingerprint; token ids and the stored dtype are left out. */
void tp_lm_config_hash(const tp_lm_config *config, tp_hash *h);

#endif
