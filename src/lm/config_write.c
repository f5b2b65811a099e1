/* Writing config.json and generation_config.json for transformers.
 *
 * The rotary settings and the dtype are written in the spelling of transformers 4, which release 5 reads as well; its
 * own new spelling would be lost on the old ones. Keys stand in alphabetical order, as transformers writes them. */
#include "lm/config.h"

#include "base/file.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void put(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *id_or_null(int id) {
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *eos_value(const tp_lm_config *c) {
    if (c->n_eos <= 1) return id_or_null(c->n_eos == 1 ? c->eos_ids[0] : -1);
    json_t *list = json_array();
    for (int i = 0; i < c->n_eos; i++) json_array_append_new(list, json_integer(c->eos_ids[i]));
    return list;
}

static json_t *rope_scaling_value(const tp_lm_config *c) {
    if (c->rope_scaling.kind == TP_ROPE_PLAIN) return json_null();
    json_t *rope = json_object();
    put(rope, "factor", json_real(c->rope_scaling.factor));
    if (c->rope_scaling.kind == TP_ROPE_LLAMA3) {
        put(rope, "high_freq_factor", json_real(c->rope_scaling.high_freq_factor));
        put(rope, "low_freq_factor", json_real(c->rope_scaling.low_freq_factor));
        put(rope, "original_max_position_embeddings", json_integer(c->rope_scaling.original_max_position_embeddings));
    }
    put(rope, "rope_type", json_string(c->rope_scaling.kind == TP_ROPE_LINEAR ? "linear" : "llama3"));
    return rope;
}

static const char *torch_dtype(tp_dtype dtype) {
    return dtype == TP_F16 ? "float16" : dtype == TP_BF16 ? "bfloat16" : "float32";
}

static json_t *config_value(const tp_lm_config *c) {
    json_t *o = json_object();
    put(o, "architectures", json_pack("[s]", tp_lm_family_architecture(c->family)));
    if (c->family == TP_LM_LLAMA) put(o, "attention_bias", json_boolean(c->o_bias));
    put(o, "attention_dropout", json_real(0));
    put(o, "bos_token_id", id_or_null(c->bos_id));
    put(o, "eos_token_id", eos_value(c));
    put(o, "head_dim", json_integer(c->head_dim));
    put(o, "hidden_act", json_string("silu"));
    put(o, "hidden_size", json_integer(c->d_model));
    put(o, "initializer_range", json_real(0.02));
    put(o, "intermediate_size", json_integer(c->d_ff));
    put(o, "max_position_embeddings", json_integer(c->max_position_embeddings));
    if (c->family == TP_LM_QWEN2) put(o, "max_window_layers", json_integer(c->first_windowed_layer));
    if (c->family == TP_LM_LLAMA) put(o, "mlp_bias", json_false());
    put(o, "model_type", json_string(tp_lm_family_name(c->family)));
    put(o, "num_attention_heads", json_integer(c->n_heads));
    put(o, "num_hidden_layers", json_integer(c->n_layers));
    put(o, "num_key_value_heads", json_integer(c->n_kv_heads));
    put(o, "rms_norm_eps", json_real(c->norm_eps));
    put(o, "rope_scaling", rope_scaling_value(c));
    put(o, "rope_theta", json_real(c->rope_theta));
    if (c->family != TP_LM_LLAMA)
        put(o, "sliding_window", c->sliding_window ? json_integer(c->sliding_window) : json_null());
    put(o, "tie_word_embeddings", json_boolean(c->tie_word_embeddings));
    put(o, "torch_dtype", json_string(torch_dtype(c->dtype)));
    put(o, "use_cache", json_true());
    if (c->family == TP_LM_QWEN2) put(o, "use_sliding_window", json_boolean(c->sliding_window > 0));
    put(o, "vocab_size", json_integer(c->vocab_size));
    return o;
}

/* What a family's class in transformers cannot say must not be written: it would be read as another model. */
static tp_status check_family(const tp_lm_config *c, const char *folder) {
    bool qkv = c->family == TP_LM_QWEN2 || (c->family == TP_LM_LLAMA && c->o_bias);
    bool o = c->family == TP_LM_LLAMA && c->o_bias;
    const char *what = NULL;
    if (c->qkv_bias != qkv || c->o_bias != o)
        what = "these attention biases";
    else if (c->family == TP_LM_LLAMA && c->sliding_window > 0)
        what = "a sliding window";
    else if (c->family != TP_LM_QWEN2 && c->first_windowed_layer > 0)
        what = "a sliding window in some layers only";
    else if (c->family == TP_LM_QWEN2 && (int64_t)c->head_dim * c->n_heads != c->d_model)
        what = "this head_dim";
    if (what)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s/config.json: the family %s has no way to say %s", folder,
                       tp_lm_family_name(c->family), what);
    return TP_OK;
}

/* 15 digits where they say the number exactly (0.02, not 0.020000000000000001), else all 17. */
static size_t digits_needed(const tp_lm_config *c) {
    const double real[] = {c->norm_eps, c->rope_theta, c->rope_scaling.factor, c->rope_scaling.low_freq_factor,
                           c->rope_scaling.high_freq_factor};
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        char text[40];
        snprintf(text, sizeof text, "%.15g", real[i]);
        if (strtod(text, NULL) != real[i]) return 17;
    }
    return 15;
}

static tp_status save(json_t *value, const tp_lm_config *c, const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(digits_needed(c)));
    char *line = tp_format("%s\n", text);
    tp_status status = tp_write_file(path, line, strlen(line));
    tp_free(line);
    free(text);
    tp_free(path);
    json_decref(value);
    return status;
}

tp_status tp_lm_config_write(const tp_lm_config *config, const char *folder) {
    TP_TRY(tp_lm_config_check(config, folder));
    TP_TRY(check_family(config, folder));
    TP_TRY(save(config_value(config), config, folder, "config.json"));
    json_t *generation = json_object();
    put(generation, "_from_model_config", json_true());
    put(generation, "bos_token_id", id_or_null(config->bos_id));
    put(generation, "eos_token_id", eos_value(config));
    return save(generation, config, folder, "generation_config.json");
}
