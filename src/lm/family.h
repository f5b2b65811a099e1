/* The families of decoders, as data: one row per family says what sets it apart, how its config.json spells things,
 * and what its weights are called. Adding a family is adding a row (docs/adding-a-model.md). For the readers and
 * writers of lm/ alone: code that runs a model looks at tp_lm_config. */
#ifndef TP_LM_FAMILY_H
#define TP_LM_FAMILY_H

#include "lm/config.h"
#include "lm/weight_names.h"

/* Keys of config.json that not all families spell alike. */
typedef struct tp_lm_keys {
    const char *d_model, *n_layers, *n_heads, *d_ff, *max_positions, *norm_eps, *activation;
    const char *rope_theta; /* NULL: "rope_theta" */
} tp_lm_keys;

/* Where the sliding window comes from. */
typedef enum tp_window_source {
    TP_WINDOW_NONE,    /* the class knows none, whatever the file says */
    TP_WINDOW_ALWAYS,  /* `sliding_window`, in every layer */
    TP_WINDOW_SWITCH,  /* `sliding_window` from layer `max_window_layers` on, if `use_sliding_window` */
    TP_WINDOW_PATTERN, /* `sliding_window` in all but every n-th layer, as `layer_types` says */
} tp_window_source;

/* What becomes of `num_key_value_heads`. */
typedef enum tp_kv_source {
    TP_KV_EQUAL,    /* not a key of the family: as many as heads */
    TP_KV_OPTIONAL, /* left out: as many as heads */
    TP_KV_REQUIRED, /* the class's default is odd, nobody relies on it */
} tp_kv_source;

typedef struct tp_lm_family_row {
    const char *model_type, *architecture;
    const tp_lm_keys *keys;
    const tp_lm_names *names; /* of its weights in safetensors files */
    tp_window_source window;
    tp_kv_source kv_heads;
    bool attention_bias;    /* the key of that name says whether q, k, v and o have biases */
    bool fixed_head_dim;    /* d_model / n_heads, whatever the file says */
    bool mlp_bias;          /* likewise for the feed-forward */
    int ff_factor;          /* default of `d_ff` as a multiple of the width; 0: required */
    double rotary_share;    /* default of `partial_rotary_factor`; 0: the family turns whole heads */
    bool scales_embeddings; /* by sqrt(d_model) */
    int query_scalar;       /* default of `query_pre_attn_scalar`: scores are divided by its root; 0: not a key */
    int pad_id; /* the class's default `pad_token_id`, where a small vocabulary may end below it; 0: none such */
    tp_lm_config defaults;
} tp_lm_family_row;

const tp_lm_family_row *tp_lm_family_get(tp_lm_family family);

/* The row of a `model_type`; NULL if there is none (no error is recorded). */
const tp_lm_family_row *tp_lm_family_find(const char *model_type, tp_lm_family *family);

/* "llama (LlamaForCausalLM), mistral (MistralForCausalLM), ...": for messages. */
void tp_lm_family_list(char *out, size_t size);

#endif
