/* What kind of decoder a checkpoint holds: config.json, read and written.
 *
 * All families are one decoder with differences that fit in the fields below: how it normalises, what its feed-forward
 * does, how it knows positions, what each layer sees. Code that runs a model looks at the fields, never at the family;
 * which family sets which fields is in lm/family.c. Where config.json leaves a key out, the default is that of the
 * family's class in Hugging Face transformers. Keys this program does not know are ignored, since every release of the
 * ecosystem adds some; keys that would change the result in a way not supported are refused. */
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
    TP_LM_QWEN3,
    TP_LM_GEMMA2,
    TP_LM_GEMMA3,
    TP_LM_PHI3,
    TP_LM_GPT2,
    TP_LM_GPT_NEOX,
    TP_LM_N_FAMILIES
} tp_lm_family;

typedef enum tp_norm_kind {
    TP_NORM_RMS = 0, /* by the root mean square, with a gain */
    TP_NORM_LAYER,   /* mean taken off, gain and bias */
} tp_norm_kind;

typedef enum tp_activation {
    TP_ACT_SILU = 0,
    TP_ACT_GELU,      /* x Phi(x), exact */
    TP_ACT_GELU_TANH, /* its approximation with tanh: "gelu_new", "gelu_pytorch_tanh" */
} tp_activation;

typedef enum tp_position_kind {
    TP_POSITION_ROTARY = 0,
    TP_POSITION_LEARNED, /* a row of a table is added to each embedding */
} tp_position_kind;

typedef enum tp_qkv_layout {
    TP_QKV_APART = 0, /* three matrices */
    TP_QKV_STACKED,   /* one matrix: the rows of q, then those of k, then those of v */
    TP_QKV_PER_HEAD,  /* one matrix: q, k and v of head 0, then those of head 1, ... (as many key heads as heads) */
} tp_qkv_layout;

typedef enum tp_rope_kind {
    TP_ROPE_PLAIN = 0,
    TP_ROPE_LINEAR, /* all frequencies divided by `factor` (position interpolation) */
    TP_ROPE_LLAMA3, /* long wavelengths divided, short ones kept, a blend between */
    TP_ROPE_LONG,   /* LongRoPE: a divisor for each frequency, one set for short texts and one for long ones */
} tp_rope_kind;

enum { TP_LM_MAX_EOS = 16, TP_LM_MAX_LONG_PAIRS = 256 };

/* Zero means "as in Llama" in every field that says what a family does, so that a new field changes nothing for others.
 */
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

    /* the block */
    tp_norm_kind norm;
    bool post_norms;        /* what attention and feed-forward give is normalised too, before it is added (Gemma) */
    bool parallel_residual; /* both read the block's input: x + attention(norm1 x) + ffn(norm2 x) */
    bool qk_norm;           /* the RMS norm of each head's query and key, before they are turned */
    bool qkv_bias;          /* biases on the q, k and v projections */
    bool o_bias;            /* bias on the attention's output projection */
    bool ffn_bias;          /* biases in the feed-forward */
    bool plain_ffn;         /* down(act(up x)); false: down(act(gate x) * up x) */
    tp_activation activation;
    tp_qkv_layout qkv_layout;
    bool fused_gate_up; /* one matrix: the rows of gate, then those of up */

    /* the ends */
    bool tie_word_embeddings;
    double embedding_scale;   /* embeddings are multiplied by it; 0: by nothing */
    double attention_softcap; /* scores become cap * tanh(score / cap); 0: left alone */
    double final_softcap;     /* likewise the logits */
    double query_scale;       /* scores are multiplied by it; 0: by 1 / sqrt(head_dim) */

    /* positions */
    tp_position_kind positions;
    int max_position_embeddings;
    int rotary_dim;     /* the leading elements of each head that are turned, even; 0: all of them */
    bool rope_adjacent; /* pairs are elements 2i and 2i + 1 (GGUF files of Llama), not i and i + rotary_dim / 2 */
    double rope_theta;
    double rope_local_theta; /* of layers with a window, whose frequencies are never scaled; 0: as the others */
    struct {
        tp_rope_kind kind;
        double factor;                        /* linear, llama3 */
        double low_freq_factor;               /* llama3 */
        double high_freq_factor;              /* llama3 */
        int original_max_position_embeddings; /* llama3, long: texts up to it take short_factor */
        double attention_factor;              /* long: what turned queries and keys are multiplied by; 0: nothing */
        float short_factor[TP_LM_MAX_LONG_PAIRS], long_factor[TP_LM_MAX_LONG_PAIRS]; /* long: of each pair */
    } rope_scaling;

    /* what a layer sees */
    int sliding_window;       /* a token sees this many, itself included; 0: all before it */
    int first_windowed_layer; /* layers below it see all tokens; 0 for Mistral */
    int full_attention_every; /* of so many layers the last one sees all tokens (Gemma 2: 2, Gemma 3: 6); 0: none */

    int bos_id; /* -1: none */
    int eos_ids[TP_LM_MAX_EOS];
    int n_eos;
    tp_dtype dtype; /* torch_dtype, what the weights are said to be stored in: TP_F32, TP_F16 or TP_BF16 */
} tp_lm_config;

/* What the family is, and its class's defaults, with all sizes 0: where reading a file of any format begins. */
tp_lm_config tp_lm_config_of_family(tp_lm_family family);

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

/* "llama", "mistral", "qwen2", ...: `model_type` of config.json. */
const char *tp_lm_family_name(tp_lm_family family);

/* "LlamaForCausalLM", ...: the class in `architectures`. */
const char *tp_lm_family_architecture(tp_lm_family family);

/* The sliding window of a layer, 0 if it sees all tokens before it. */
int tp_lm_config_window(const tp_lm_config *config, int layer);

/* How many pairs of each head are turned; 0 where positions are learned. */
int tp_lm_config_rotary_pairs(const tp_lm_config *config);

/* Adds all that decides what the weights compute to a fingerprint; token ids and the stored dtype are left out. */
void tp_lm_config_hash(const tp_lm_config *config, tp_hash *h);

#endif
