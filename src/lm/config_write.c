/* Writing config.json and generation_config.json for transformers.
 *
 * The rotary settings and the dtype are written in the spelling of transformers 4, which release 5 reads as well; its
 * own new spelling would be lost on the old ones. Keys stand in alphabetical order, as transformers writes them. */
#include "lm/config.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/family.h"

#include <jansson.h>
#include <math.h>
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

static json_t *divisors(const float *values, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.9g", (double)values[i]); /* tells floats apart, and is shorter than a double */
        json_array_append_new(list, json_real(strtod(text, NULL)));
    }
    return list;
}

/* What follows from how far the context was stretched need not be written; transformers 4 refuses more keys. */
static bool usual_attention_factor(const tp_lm_config *c) {
    double original = c->rope_scaling.original_max_position_embeddings;
    double factor = c->max_position_embeddings / original;
    double usual = factor > 1 && original > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
    return fabs(usual - c->rope_scaling.attention_factor) < 1e-9 * usual;
}

static json_t *rope_scaling_value(const tp_lm_config *c) {
    static const char *const names[] = {"default", "linear", "llama3", "longrope"};
    if (c->rope_scaling.kind == TP_ROPE_PLAIN) return json_null();
    json_t *rope = json_object();
    if (c->rope_scaling.kind == TP_ROPE_LONG) {
        int pairs = tp_lm_config_rotary_pairs(c);
        if (!usual_attention_factor(c)) put(rope, "attention_factor", json_real(c->rope_scaling.attention_factor));
        put(rope, "long_factor", divisors(c->rope_scaling.long_factor, pairs));
        put(rope, "short_factor", divisors(c->rope_scaling.short_factor, pairs));
        put(rope, "type", json_string("longrope"));
        return rope;
    }
    put(rope, "factor", json_real(c->rope_scaling.factor));
    if (c->rope_scaling.kind == TP_ROPE_LLAMA3) {
        put(rope, "high_freq_factor", json_real(c->rope_scaling.high_freq_factor));
        put(rope, "low_freq_factor", json_real(c->rope_scaling.low_freq_factor));
        put(rope, "original_max_position_embeddings", json_integer(c->rope_scaling.original_max_position_embeddings));
    }
    put(rope, "rope_type", json_string(names[c->rope_scaling.kind]));
    return rope;
}

static const char *torch_dtype(tp_dtype dtype) {
    return dtype == TP_F16 ? "float16" : dtype == TP_BF16 ? "bfloat16" : "float32";
}

static const char *activation_name(const tp_lm_config *c) {
    if (c->activation == TP_ACT_SILU) return "silu";
    if (c->activation == TP_ACT_GELU) return "gelu";
    return c->plain_ffn ? "gelu_new" : "gelu_pytorch_tanh"; /* one function, two names */
}

static void put_sizes(json_t *o, const tp_lm_family_row *row, const tp_lm_config *c) {
    const tp_lm_keys *k = row->keys;
    put(o, "vocab_size", json_integer(c->vocab_size));
    put(o, k->d_model, json_integer(c->d_model));
    put(o, k->n_layers, json_integer(c->n_layers));
    put(o, k->n_heads, json_integer(c->n_heads));
    put(o, k->d_ff, json_integer(c->d_ff));
    put(o, k->max_positions, json_integer(c->max_position_embeddings));
    put(o, k->norm_eps, json_real(c->norm_eps));
    put(o, k->activation, json_string(activation_name(c)));
    if (row->kv_heads == TP_KV_EQUAL) return;
    put(o, "num_key_value_heads", json_integer(c->n_kv_heads));
    put(o, "head_dim", json_integer(c->head_dim));
}

static void put_rope(json_t *o, const tp_lm_family_row *row, const tp_lm_config *c) {
    if (c->positions != TP_POSITION_ROTARY) return;
    bool neox = row->keys->rope_theta != NULL;
    put(o, neox ? row->keys->rope_theta : "rope_theta", json_real(c->rope_theta));
    put(o, "rope_scaling", rope_scaling_value(c));
    if (row->rotary_share > 0)
        put(o, neox ? "rotary_pct" : "partial_rotary_factor",
            json_real(c->rotary_dim ? (double)c->rotary_dim / c->head_dim : 1));
    if (c->rope_local_theta > 0) put(o, "rope_local_base_freq", json_real(c->rope_local_theta));
    if (c->rope_scaling.kind == TP_ROPE_LONG)
        put(o, "original_max_position_embeddings", json_integer(c->rope_scaling.original_max_position_embeddings));
}

static void put_window(json_t *o, const tp_lm_family_row *row, const tp_lm_config *c) {
    if (row->window == TP_WINDOW_NONE) return;
    put(o, "sliding_window", c->sliding_window ? json_integer(c->sliding_window) : json_null());
    if (row->window == TP_WINDOW_SWITCH) {
        put(o, "max_window_layers", json_integer(c->first_windowed_layer));
        put(o, "use_sliding_window", json_boolean(c->sliding_window > 0));
    }
    if (row->window == TP_WINDOW_ALWAYS || (row->window == TP_WINDOW_SWITCH && c->full_attention_every == 0)) return;
    if (c->full_attention_every > 0) put(o, "sliding_window_pattern", json_integer(c->full_attention_every));
    json_t *types = json_array();
    for (int i = 0; i < c->n_layers; i++)
        json_array_append_new(types, json_string(tp_lm_config_window(c, i) ? "sliding_attention" : "full_attention"));
    put(o, "layer_types", types);
}

static json_t *cap_or_null(double cap) {
    return cap > 0 ? json_real(cap) : json_null();
}

static void put_scales(json_t *o, const tp_lm_family_row *row, const tp_lm_config *c) {
    if (row->query_scalar == 0) return;
    double scalar = c->query_scale > 0 ? 1 / (c->query_scale * c->query_scale) : c->head_dim;
    bool whole = fabs(scalar - round(scalar)) < 1e-6 * scalar; /* what it is in published models */
    put(o, "query_pre_attn_scalar", whole ? json_integer(llround(scalar)) : json_real(scalar));
    put(o, "attn_logit_softcapping", cap_or_null(c->attention_softcap));
    put(o, "final_logit_softcapping", cap_or_null(c->final_softcap));
}

static json_t *config_value(const tp_lm_config *c) {
    const tp_lm_family_row *row = tp_lm_family_get(c->family);
    json_t *o = json_object();
    put(o, "architectures", json_pack("[s]", row->architecture));
    put(o, "model_type", json_string(row->model_type));
    put_sizes(o, row, c);
    put_rope(o, row, c);
    put_window(o, row, c);
    put_scales(o, row, c);
    if (row->pad_id >= c->vocab_size) put(o, "pad_token_id", json_null()); /* else its class refuses the model */
    if (row->attention_bias) put(o, "attention_bias", json_boolean(c->o_bias));
    if (row->mlp_bias) put(o, "mlp_bias", json_boolean(c->ffn_bias));
    if (row->defaults.parallel_residual) put(o, "use_parallel_residual", json_boolean(c->parallel_residual));
    put(o, "attention_dropout", json_real(0));
    put(o, "bos_token_id", id_or_null(c->bos_id));
    put(o, "eos_token_id", eos_value(c));
    put(o, "initializer_range", json_real(0.02));
    put(o, "tie_word_embeddings", json_boolean(c->tie_word_embeddings));
    put(o, "torch_dtype", json_string(torch_dtype(c->dtype)));
    put(o, "use_cache", json_true());
    return o;
}

/* What a family's class in transformers cannot say must not be written: it would be read as another model. */
static tp_status check_family(const tp_lm_config *c, const char *folder) {
    const tp_lm_family_row *row = tp_lm_family_get(c->family);
    const tp_lm_config *usual = &row->defaults;
    const char *what = NULL;
    double scale = row->scales_embeddings ? sqrt(c->d_model) : 0;
    if (row->attention_bias ? c->qkv_bias != c->o_bias : c->qkv_bias != usual->qkv_bias || c->o_bias != usual->o_bias)
        what = "these attention biases";
    else if (!row->mlp_bias && c->ffn_bias != usual->ffn_bias)
        what = "these feed-forward biases";
    else if (c->norm != usual->norm || c->post_norms != usual->post_norms || c->qk_norm != usual->qk_norm)
        what = "these norms";
    else if (c->plain_ffn != usual->plain_ffn || c->fused_gate_up != usual->fused_gate_up ||
             c->qkv_layout != usual->qkv_layout || (c->parallel_residual && !usual->parallel_residual))
        what = "this kind of block";
    else if (c->positions != usual->positions || c->rope_adjacent || (c->rotary_dim > 0 && row->rotary_share <= 0) ||
             (c->rope_local_theta > 0) != (usual->rope_local_theta > 0))
        what = "these positions";
    else if (fabs(c->embedding_scale - scale) > 1e-9 * scale ||
             (row->query_scalar == 0 && (c->query_scale > 0 || c->attention_softcap > 0 || c->final_softcap > 0)))
        what = "these scales or soft caps";
    else if (row->window == TP_WINDOW_NONE && c->sliding_window > 0)
        what = "a sliding window";
    else if (row->window == TP_WINDOW_ALWAYS && (c->first_windowed_layer > 0 || c->full_attention_every > 0))
        what = "a sliding window in some layers only";
    else if (row->fixed_head_dim && (int64_t)c->head_dim * c->n_heads != c->d_model)
        what = "this head_dim";
    else if (row->kv_heads == TP_KV_EQUAL && c->n_kv_heads != c->n_heads)
        what = "this number of key heads";
    if (what)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s/config.json: the family %s has no way to say %s", folder,
                       row->model_type, what);
    return TP_OK;
}

/* 15 digits where they say the number exactly (0.02, not 0.020000000000000001), else all 17. */
static size_t digits_needed(const tp_lm_config *c) {
    const double real[] = {c->norm_eps,
                           c->rope_theta,
                           c->rope_local_theta,
                           c->rope_scaling.factor,
                           c->rope_scaling.low_freq_factor,
                           c->rope_scaling.high_freq_factor,
                           c->rope_scaling.attention_factor,
                           c->attention_softcap,
                           c->final_softcap,
                           c->rotary_dim > 0 ? (double)c->rotary_dim / c->head_dim : 1};
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        char text[40];
        snprintf(text, sizeof text, "%.15g", real[i]);
        if (strtod(text, NULL) != real[i]) return 17;
    }
    return 15;
}

static tp_status save(json_t *value, const tp_lm_config *c, const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(digits_needed(c)));
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
