/* libFuzzer: any bytes are either refused with a sentence or read as a config whose numbers make sense together. Inputs
 * are tried as they are (whole files, also gzipped), as more keys of a sound config, and as choices of keys and values:
 * the last gets past the JSON parser every time. */
#include "base/str.h"
#include "lm/config.h"
#include "lm/rope_frequencies.h"
#include "memory_file.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static void try_file(const char *path) {
    tp_lm_config c;
    if (tp_lm_config_read_file(path, &c) != TP_OK) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), path) != NULL);
        return;
    }
    must(c.vocab_size > 0 && c.d_model > 0 && c.n_layers > 0 && c.d_ff > 0 && c.max_position_embeddings > 0);
    must(c.n_kv_heads > 0 && c.n_heads % c.n_kv_heads == 0);
    must(c.head_dim >= 2 && c.head_dim <= 1024);
    int pairs = tp_lm_config_rotary_pairs(&c);
    must(c.positions == TP_POSITION_LEARNED ? pairs == 0 : pairs >= 1 && 2 * pairs <= c.head_dim);
    must(c.attention_softcap >= 0 && c.final_softcap >= 0 && c.query_scale >= 0 && c.embedding_scale >= 0);
    must(c.rope_scaling.kind != TP_ROPE_LONG || c.rope_scaling.attention_factor > 0);
    must(c.norm_eps > 0 && c.bos_id >= -1 && c.bos_id < c.vocab_size);
    must(c.n_eos >= 0 && c.n_eos <= TP_LM_MAX_EOS);
    for (int i = 0; i < c.n_eos; i++) must(c.eos_ids[i] >= 0 && c.eos_ids[i] < c.vocab_size);
    for (int i = 0; i < c.n_layers; i++) must(tp_lm_config_window(&c, i) >= 0);
    float inv_freq[512];
    for (int which = 0; which < TP_N_FREQUENCIES; which++) {
        if (which == TP_FREQUENCIES_LONG && c.rope_scaling.kind != TP_ROPE_LONG) continue;
        tp_rope_frequencies(&c, (tp_frequencies)which, inv_freq);
        for (int i = 0; i < tp_lm_config_rotary_pairs(&c); i++)
            must(isfinite(inv_freq[i]) && inv_freq[i] >= 0 && inv_freq[i] <= 101);
    }
}

/* Two bytes a key. The keys every config must have come first, with a value that is nearly always sound; a key stands
 * at most once. */
static void try_composed(const uint8_t *data, size_t size) {
    enum { N_FAMILIES = TP_LM_N_FAMILIES };
    static const char *const keys[] = {
        "num_key_value_heads",
        "head_dim",
        "rms_norm_eps",
        "max_position_embeddings",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "partial_rotary_factor",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "layer_types",
        "attention_bias",
        "mlp_bias",
        "hidden_act",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
        "torch_dtype",
        "dtype",
        "architectures",
        "quantization_config",
        "rope_local_base_freq",
        "sliding_window_pattern",
        "query_pre_attn_scalar",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_activation",
        "activation_function",
        "n_inner",
        "n_positions",
        "layer_norm_epsilon",
        "layer_norm_eps",
        "rotary_pct",
        "rotary_emb_base",
        "use_parallel_residual",
        "original_max_position_embeddings",
        "scale_attn_by_inverse_layer_idx",
    };
    enum { N_KEYS = sizeof keys / sizeof keys[0] };
    static const char *const values[] = {
        "1",
        "2",
        "4",
        "6",
        "0",
        "-1",
        "64",
        "2147483648",
        "9223372036854775807",
        "1e-5",
        "0.5",
        "10000.0",
        "1e300",
        "1.0",
        "true",
        "false",
        "null",
        "{}",
        "[]",
        "[1,2]",
        "\"silu\"",
        "\"gelu\"",
        "\"gelu_new\"",
        "0.25",
        "30.0",
        "{\"type\":\"longrope\",\"short_factor\":[1.5],\"long_factor\":[30]}",
        "{\"rope_type\":\"longrope\",\"short_factor\":[1,2],\"long_factor\":[3,4],"
        "\"original_max_position_embeddings\":4,\"partial_rotary_factor\":0.5}",
        "{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":1e6},"
        "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":1e4}}",
        "\"bfloat16\"",
        "\"x\"",
        "[\"LlamaForCausalLM\"]",
        "[\"full_attention\",\"sliding_attention\"]",
        "[\"sliding_attention\",\"full_attention\"]",
        "{\"type\":\"linear\",\"factor\":4}",
        "{\"rope_type\":\"yarn\"}",
        "{\"rope_theta\":500000.0}",
        "{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
        "\"original_max_position_embeddings\":64}",
        "{\"rope_type\":\"llama3\",\"factor\":1e6,\"low_freq_factor\":1e-6,\"high_freq_factor\":1e6,"
        "\"original_max_position_embeddings\":1073741824}",
    };
    enum { N_VALUES = sizeof values / sizeof values[0] };
    if (size < 2) return;
    tp_str text = {0};
    tp_str_appendf(&text,
                   data[0] % N_FAMILIES == TP_LM_GPT2
                       ? "{\"model_type\":\"%s\",\"vocab_size\":9,\"n_embd\":%d,\"n_layer\":2,\"n_head\":%d"
                       : "{\"model_type\":\"%s\",\"vocab_size\":9,\"hidden_size\":%d,\"num_hidden_layers\":2,"
                         "\"num_attention_heads\":%d,\"intermediate_size\":8",
                   tp_lm_family_name((tp_lm_family)(data[0] % N_FAMILIES)), 1 << (data[0] / N_FAMILIES % 20),
                   1 << (data[1] % 12));
    bool used[N_KEYS] = {false};
    if (data[0] % N_FAMILIES != 0 && data[1] < 250) {
        used[0] = true;
        tp_str_append_text(&text, ",\"num_key_value_heads\":1");
    }
    for (size_t i = 2; i + 2 <= size; i += 2) {
        int key = data[i] % N_KEYS;
        if (!used[key]) tp_str_appendf(&text, ",\"%s\":%s", keys[key], values[data[i + 1] % N_VALUES]);
        used[key] = true;
    }
    tp_str_append_char(&text, '}');
    try_file(memory_file(text.data, text.len, NULL, 0));
    tp_str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const sound[] = {
        "{\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":"
        "2,"
        "\"intermediate_size\":8,",
        "{\"model_type\":\"qwen2\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":"
        "2,"
        "\"num_key_value_heads\":1,\"intermediate_size\":8,",
        "{\"model_type\":\"gemma3_text\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4,\"intermediate_size\":8,",
        "{\"model_type\":\"phi3\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":2,\"intermediate_size\":8,",
        "{\"model_type\":\"gpt2\",\"vocab_size\":9,\"n_embd\":8,\"n_layer\":2,\"n_head\":2,",
        "{\"model_type\":\"gpt_neox\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":2,\"intermediate_size\":8,",
    };
    try_file(memory_file(data, size, NULL, 0));
    for (int i = 0; i < 6; i++) try_file(memory_file(sound[i], strlen(sound[i]), data, size));
    try_composed(data, size);
    return 0;
}
