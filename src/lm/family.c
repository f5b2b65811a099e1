/* The table of families. See family.h.
 *
 * A row's `defaults` hold what the family always does and what its class in Hugging Face transformers (5.23) takes
 * where config.json is silent; sizes have no defaults, a file must name them. */
#include "lm/family.h"

#include <stdio.h>
#include <string.h>

static const tp_lm_keys usual_keys = {.d_model = "hidden_size",
                                      .n_layers = "num_hidden_layers",
                                      .n_heads = "num_attention_heads",
                                      .d_ff = "intermediate_size",
                                      .max_positions = "max_position_embeddings",
                                      .norm_eps = "rms_norm_eps",
                                      .activation = "hidden_act"};

static const tp_lm_keys gemma_keys = {.d_model = "hidden_size",
                                      .n_layers = "num_hidden_layers",
                                      .n_heads = "num_attention_heads",
                                      .d_ff = "intermediate_size",
                                      .max_positions = "max_position_embeddings",
                                      .norm_eps = "rms_norm_eps",
                                      .activation = "hidden_activation"};

static const tp_lm_keys gpt2_keys = {.d_model = "n_embd",
                                     .n_layers = "n_layer",
                                     .n_heads = "n_head",
                                     .d_ff = "n_inner",
                                     .max_positions = "n_positions",
                                     .norm_eps = "layer_norm_epsilon",
                                     .activation = "activation_function"};

static const tp_lm_keys neox_keys = {.d_model = "hidden_size",
                                     .n_layers = "num_hidden_layers",
                                     .n_heads = "num_attention_heads",
                                     .d_ff = "intermediate_size",
                                     .max_positions = "max_position_embeddings",
                                     .norm_eps = "layer_norm_eps",
                                     .activation = "hidden_act",
                                     .rope_theta = "rotary_emb_base"};

/* Llama's names; families that have a weight more or less differ in their configs, not here. */
#define LLAMA_NAMES                                                                                                    \
    .root = "model.", .layers = "layers.", .of[TP_W_EMBED] = "embed_tokens.weight",                                    \
    .of[TP_W_FINAL_NORM] = "norm.weight", .of[TP_W_HEAD] = "lm_head.weight",                                           \
    .of[TP_W_ATTN_NORM] = "input_layernorm.weight", .of[TP_W_QKV] = "self_attn.qkv_proj.weight",                       \
    .of[TP_W_Q] = "self_attn.q_proj.weight", .of[TP_W_Q_BIAS] = "self_attn.q_proj.bias",                               \
    .of[TP_W_K] = "self_attn.k_proj.weight", .of[TP_W_K_BIAS] = "self_attn.k_proj.bias",                               \
    .of[TP_W_V] = "self_attn.v_proj.weight", .of[TP_W_V_BIAS] = "self_attn.v_proj.bias",                               \
    .of[TP_W_Q_NORM] = "self_attn.q_norm.weight", .of[TP_W_K_NORM] = "self_attn.k_norm.weight",                        \
    .of[TP_W_O] = "self_attn.o_proj.weight", .of[TP_W_O_BIAS] = "self_attn.o_proj.bias",                               \
    .of[TP_W_GATE_UP] = "mlp.gate_up_proj.weight", .of[TP_W_GATE] = "mlp.gate_proj.weight",                            \
    .of[TP_W_GATE_BIAS] = "mlp.gate_proj.bias", .of[TP_W_UP] = "mlp.up_proj.weight",                                   \
    .of[TP_W_UP_BIAS] = "mlp.up_proj.bias", .of[TP_W_DOWN] = "mlp.down_proj.weight",                                   \
    .of[TP_W_DOWN_BIAS] = "mlp.down_proj.bias"

static const tp_lm_names llama_names = {LLAMA_NAMES, .of[TP_W_FFN_NORM] = "post_attention_layernorm.weight"};

static const tp_lm_names gemma_names = {LLAMA_NAMES, .gains_less_one = true,
                                        .of[TP_W_ATTN_POST_NORM] = "post_attention_layernorm.weight",
                                        .of[TP_W_FFN_NORM] = "pre_feedforward_layernorm.weight",
                                        .of[TP_W_FFN_POST_NORM] = "post_feedforward_layernorm.weight"};

static const tp_lm_names gpt2_names = {.root = "transformer.",
                                       .layers = "h.",
                                       .turned = true,
                                       .of = {[TP_W_EMBED] = "wte.weight",
                                              [TP_W_POSITIONS] = "wpe.weight",
                                              [TP_W_FINAL_NORM] = "ln_f.weight",
                                              [TP_W_FINAL_NORM_BIAS] = "ln_f.bias",
                                              [TP_W_HEAD] = "lm_head.weight",
                                              [TP_W_ATTN_NORM] = "ln_1.weight",
                                              [TP_W_ATTN_NORM_BIAS] = "ln_1.bias",
                                              [TP_W_QKV] = "attn.c_attn.weight",
                                              [TP_W_QKV_BIAS] = "attn.c_attn.bias",
                                              [TP_W_O] = "attn.c_proj.weight",
                                              [TP_W_O_BIAS] = "attn.c_proj.bias",
                                              [TP_W_FFN_NORM] = "ln_2.weight",
                                              [TP_W_FFN_NORM_BIAS] = "ln_2.bias",
                                              [TP_W_UP] = "mlp.c_fc.weight",
                                              [TP_W_UP_BIAS] = "mlp.c_fc.bias",
                                              [TP_W_DOWN] = "mlp.c_proj.weight",
                                              [TP_W_DOWN_BIAS] = "mlp.c_proj.bias"}};

static const tp_lm_names neox_names = {.root = "gpt_neox.",
                                       .layers = "layers.",
                                       .of = {[TP_W_EMBED] = "embed_in.weight",
                                              [TP_W_FINAL_NORM] = "final_layer_norm.weight",
                                              [TP_W_FINAL_NORM_BIAS] = "final_layer_norm.bias",
                                              [TP_W_HEAD] = "embed_out.weight",
                                              [TP_W_ATTN_NORM] = "input_layernorm.weight",
                                              [TP_W_ATTN_NORM_BIAS] = "input_layernorm.bias",
                                              [TP_W_QKV] = "attention.query_key_value.weight",
                                              [TP_W_QKV_BIAS] = "attention.query_key_value.bias",
                                              [TP_W_O] = "attention.dense.weight",
                                              [TP_W_O_BIAS] = "attention.dense.bias",
                                              [TP_W_FFN_NORM] = "post_attention_layernorm.weight",
                                              [TP_W_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
                                              [TP_W_UP] = "mlp.dense_h_to_4h.weight",
                                              [TP_W_UP_BIAS] = "mlp.dense_h_to_4h.bias",
                                              [TP_W_DOWN] = "mlp.dense_4h_to_h.weight",
                                              [TP_W_DOWN_BIAS] = "mlp.dense_4h_to_h.bias"}};

static const tp_lm_family_row rows[TP_LM_N_FAMILIES] = {
    [TP_LM_LLAMA] = {.model_type = "llama",
                     .architecture = "LlamaForCausalLM",
                     .keys = &usual_keys,
                     .names = &llama_names,
                     .kv_heads = TP_KV_OPTIONAL,
                     .attention_bias = true,
                     .mlp_bias = true,
                     .defaults = {.norm_eps = 1e-6,
                                  .rope_theta = 10000,
                                  .max_position_embeddings = 2048,
                                  .bos_id = 1,
                                  .n_eos = 1,
                                  .eos_ids = {2}}},
    [TP_LM_MISTRAL] = {.model_type = "mistral",
                       .architecture = "MistralForCausalLM",
                       .keys = &usual_keys,
                       .names = &llama_names,
                       .kv_heads = TP_KV_REQUIRED,
                       .window = TP_WINDOW_ALWAYS,
                       .defaults = {.norm_eps = 1e-6,
                                    .rope_theta = 10000,
                                    .max_position_embeddings = 131072,
                                    .sliding_window = 4096,
                                    .bos_id = 1,
                                    .n_eos = 1,
                                    .eos_ids = {2}}},
    [TP_LM_QWEN2] = {.model_type = "qwen2",
                     .architecture = "Qwen2ForCausalLM",
                     .fixed_head_dim = true,
                     .keys = &usual_keys,
                     .names = &llama_names,
                     .kv_heads = TP_KV_REQUIRED,
                     .window = TP_WINDOW_SWITCH,
                     .defaults = {.qkv_bias = true,
                                  .norm_eps = 1e-6,
                                  .rope_theta = 10000,
                                  .max_position_embeddings = 32768,
                                  .sliding_window = 4096,
                                  .bos_id = -1}},
    [TP_LM_QWEN3] = {.model_type = "qwen3",
                     .architecture = "Qwen3ForCausalLM",
                     .keys = &usual_keys,
                     .names = &llama_names,
                     .kv_heads = TP_KV_REQUIRED,
                     .window = TP_WINDOW_SWITCH,
                     .attention_bias = true,
                     .defaults = {.qk_norm = true,
                                  .head_dim = 128,
                                  .norm_eps = 1e-6,
                                  .rope_theta = 10000,
                                  .max_position_embeddings = 32768,
                                  .sliding_window = 4096,
                                  .bos_id = -1}},
    [TP_LM_GEMMA2] = {.model_type = "gemma2",
                      .architecture = "Gemma2ForCausalLM",
                      .keys = &gemma_keys,
                      .names = &gemma_names,
                      .kv_heads = TP_KV_REQUIRED,
                      .window = TP_WINDOW_PATTERN,
                      .attention_bias = true,
                      .scales_embeddings = true,
                      .query_scalar = 256,
                      .defaults = {.post_norms = true,
                                   .activation = TP_ACT_GELU_TANH,
                                   .attention_softcap = 50,
                                   .final_softcap = 30,
                                   .tie_word_embeddings = true,
                                   .head_dim = 256,
                                   .norm_eps = 1e-6,
                                   .rope_theta = 10000,
                                   .max_position_embeddings = 8192,
                                   .sliding_window = 4096,
                                   .full_attention_every = 2,
                                   .bos_id = 2,
                                   .n_eos = 1,
                                   .eos_ids = {1}}},
    [TP_LM_GEMMA3] = {.model_type = "gemma3_text",
                      .architecture = "Gemma3ForCausalLM",
                      .keys = &gemma_keys,
                      .names = &gemma_names,
                      .kv_heads = TP_KV_REQUIRED,
                      .window = TP_WINDOW_PATTERN,
                      .attention_bias = true,
                      .scales_embeddings = true,
                      .query_scalar = 256,
                      .defaults = {.post_norms = true,
                                   .qk_norm = true,
                                   .activation = TP_ACT_GELU_TANH,
                                   .tie_word_embeddings = true,
                                   .head_dim = 256,
                                   .norm_eps = 1e-6,
                                   .rope_theta = 1e6,
                                   .rope_local_theta = 10000,
                                   .max_position_embeddings = 131072,
                                   .sliding_window = 4096,
                                   .full_attention_every = 6,
                                   .bos_id = 2,
                                   .n_eos = 1,
                                   .eos_ids = {1}}},
    [TP_LM_PHI3] = {.model_type = "phi3",
                    .architecture = "Phi3ForCausalLM",
                    .pad_id = 32000,
                    .fixed_head_dim = true,
                    .keys = &usual_keys,
                    .names = &llama_names,
                    .kv_heads = TP_KV_OPTIONAL,
                    .window = TP_WINDOW_ALWAYS,
                    .rotary_share = 1,
                    .defaults = {.qkv_layout = TP_QKV_STACKED,
                                 .fused_gate_up = true,
                                 .norm_eps = 1e-5,
                                 .rope_theta = 10000,
                                 .max_position_embeddings = 4096,
                                 .bos_id = 1,
                                 .n_eos = 1,
                                 .eos_ids = {32000}}},
    [TP_LM_GPT2] = {.model_type = "gpt2",
                    .architecture = "GPT2LMHeadModel",
                    .fixed_head_dim = true,
                    .keys = &gpt2_keys,
                    .names = &gpt2_names,
                    .kv_heads = TP_KV_EQUAL,
                    .ff_factor = 4,
                    .defaults = {.norm = TP_NORM_LAYER,
                                 .positions = TP_POSITION_LEARNED,
                                 .qkv_layout = TP_QKV_STACKED,
                                 .plain_ffn = true,
                                 .activation = TP_ACT_GELU_TANH,
                                 .qkv_bias = true,
                                 .o_bias = true,
                                 .ffn_bias = true,
                                 .tie_word_embeddings = true,
                                 .norm_eps = 1e-5,
                                 .max_position_embeddings = 1024,
                                 .bos_id = 50256,
                                 .n_eos = 1,
                                 .eos_ids = {50256}}},
    [TP_LM_GPT_NEOX] = {.model_type = "gpt_neox",
                        .architecture = "GPTNeoXForCausalLM",
                        .fixed_head_dim = true,
                        .keys = &neox_keys,
                        .names = &neox_names,
                        .kv_heads = TP_KV_EQUAL,
                        .attention_bias = true,
                        .rotary_share = 0.25,
                        .defaults = {.norm = TP_NORM_LAYER,
                                     .parallel_residual = true,
                                     .qkv_layout = TP_QKV_PER_HEAD,
                                     .plain_ffn = true,
                                     .activation = TP_ACT_GELU,
                                     .qkv_bias = true,
                                     .o_bias = true,
                                     .ffn_bias = true,
                                     .norm_eps = 1e-5,
                                     .rope_theta = 10000,
                                     .max_position_embeddings = 2048,
                                     .bos_id = 0,
                                     .n_eos = 1,
                                     .eos_ids = {2}}},
};

const tp_lm_family_row *tp_lm_family_get(tp_lm_family family) {
    return &rows[family];
}

const tp_lm_family_row *tp_lm_family_find(const char *model_type, tp_lm_family *family) {
    for (int i = 0; i < TP_LM_N_FAMILIES; i++)
        if (strcmp(rows[i].model_type, model_type) == 0) {
            *family = (tp_lm_family)i;
            return &rows[i];
        }
    return NULL;
}

void tp_lm_family_list(char *out, size_t size) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < TP_LM_N_FAMILIES && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s (%s)", i ? ", " : "", rows[i].model_type, rows[i].architecture);
}

const char *tp_lm_family_name(tp_lm_family family) {
    return rows[family].model_type;
}

const char *tp_lm_family_architecture(tp_lm_family family) {
    return rows[family].architecture;
}

tp_lm_config tp_lm_config_of_family(tp_lm_family family) {
    tp_lm_config config = rows[family].defaults;
    config.family = family;
    return config;
}
