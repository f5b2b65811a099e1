/* What a configuration means and which ones make sense, whatever file it came from. See config.h. */
#include "lm/config.h"

#include "lm/config_limits.h"

#include <string.h>

int tp_lm_config_window(const tp_lm_config *config, int layer) {
    if (layer < config->first_windowed_layer) return 0;
    if (config->full_attention_every > 0 && (layer + 1) % config->full_attention_every == 0) return 0;
    return config->sliding_window;
}

int tp_lm_config_rotary_pairs(const tp_lm_config *config) {
    if (config->positions != TP_POSITION_ROTARY) return 0;
    return (config->rotary_dim > 0 ? config->rotary_dim : config->head_dim) / 2;
}

/* ---- what makes sense ---- */

static tp_status check_ranges(const tp_lm_config *c, const char *name) {
    const struct {
        const char *key;
        int value, min, max;
    } ranges[] = {
        {"vocab_size", c->vocab_size, 1, TP_LM_MAX_VOCAB},
        {"hidden_size", c->d_model, 1, TP_LM_MAX_WIDTH},
        {"num_hidden_layers", c->n_layers, 1, TP_LM_MAX_LAYERS},
        {"num_attention_heads", c->n_heads, 1, TP_LM_MAX_HEADS},
        {"num_key_value_heads", c->n_kv_heads, 1, TP_LM_MAX_HEADS},
        {"head_dim", c->head_dim, 2, TP_LM_MAX_HEAD_DIM},
        {"intermediate_size", c->d_ff, 1, TP_LM_MAX_FF},
        {"max_position_embeddings", c->max_position_embeddings, 1, TP_LM_MAX_POSITIONS},
        {"sliding_window", c->sliding_window, 0, TP_LM_MAX_POSITIONS},
        {"first windowed layer", c->first_windowed_layer, 0, TP_LM_MAX_LAYERS},
        {"sliding_window_pattern", c->full_attention_every, 0, TP_LM_MAX_LAYERS},
        {"bos_token_id", c->bos_id, -1, c->vocab_size - 1},
        {"rotary share of head_dim", c->rotary_dim, 0, c->head_dim},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return tp_fail(TP_ERR_FORMAT, "%s: `%s` is %d, allowed is %d to %d", name, ranges[i].key, ranges[i].value,
                           ranges[i].min, ranges[i].max);
    const struct {
        const char *key;
        double value, max;
    } factors[] = {{"query_pre_attn_scalar", c->query_scale, 1e9},
                   {"attn_logit_softcapping", c->attention_softcap, 1e9},
                   {"final_logit_softcapping", c->final_softcap, 1e9},
                   {"embedding scale", c->embedding_scale, 1e9},
                   {"attention_factor", c->rope_scaling.attention_factor, 1e3}};
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
        if (!(factors[i].value >= 0 && factors[i].value <= factors[i].max))
            return tp_fail(TP_ERR_FORMAT, "%s: `%s` is %g, allowed is 0 to %g", name, factors[i].key, factors[i].value,
                           factors[i].max);
    return TP_OK;
}

static tp_status check_rope(const tp_lm_config *c, const char *name) {
    if (c->positions != TP_POSITION_ROTARY) return TP_OK;
    int pairs = tp_lm_config_rotary_pairs(c);
    if (c->head_dim % 2 != 0 || c->rotary_dim % 2 != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `head_dim` is %d, an even number was expected: rotary positions turn pairs",
                       name, c->rotary_dim % 2 ? c->rotary_dim : c->head_dim);
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12))
        return tp_fail(TP_ERR_FORMAT, "%s: `rope_theta` is %g, allowed is 1 to 1e12", name, c->rope_theta);
    if (c->rope_local_theta != 0 && !(c->rope_local_theta >= 1 && c->rope_local_theta <= 1e12))
        return tp_fail(TP_ERR_FORMAT, "%s: `rope_local_base_freq` is %g, allowed is 1 to 1e12", name,
                       c->rope_local_theta);
    if (c->rope_scaling.kind == TP_ROPE_LLAMA3 && !(c->rope_scaling.high_freq_factor > c->rope_scaling.low_freq_factor))
        return tp_fail(TP_ERR_FORMAT,
                       "%s: `high_freq_factor` of the rotary scaling is %g, it must be above `low_freq_factor` %g",
                       name, c->rope_scaling.high_freq_factor, c->rope_scaling.low_freq_factor);
    if (c->rope_scaling.kind != TP_ROPE_LONG) return TP_OK;
    if (pairs > TP_LM_MAX_LONG_PAIRS)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: `long_factor` belongs to heads of %d pairs, at most %d are supported",
                       name, pairs, TP_LM_MAX_LONG_PAIRS);
    for (int i = 0; i < pairs; i++)
        if (!(c->rope_scaling.short_factor[i] > 0 && c->rope_scaling.long_factor[i] > 0))
            return tp_fail(TP_ERR_FORMAT, "%s: pair %d of `short_factor` or `long_factor` is not above 0", name, i);
    return TP_OK;
}

tp_status tp_lm_config_check(const tp_lm_config *c, const char *name) {
    if ((int)c->family < 0 || (int)c->family >= TP_LM_N_FAMILIES || c->n_eos < 0 || c->n_eos > TP_LM_MAX_EOS)
        return tp_fail(TP_ERR_ARGUMENT, "%s: the family or the number of eos ids makes no sense", name);
    TP_TRY(check_ranges(c, name));
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos_ids[i] < 0 || c->eos_ids[i] >= c->vocab_size)
            return tp_fail(TP_ERR_FORMAT, "%s: `eos_token_id` is %d, allowed is 0 to %d", name, c->eos_ids[i],
                           c->vocab_size - 1);
    if (c->n_heads % c->n_kv_heads != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `num_key_value_heads` is %d, which does not divide `num_attention_heads` %d",
                       name, c->n_kv_heads, c->n_heads);
    if (c->qkv_layout == TP_QKV_PER_HEAD && c->n_kv_heads != c->n_heads)
        return tp_fail(TP_ERR_FORMAT, "%s: `num_key_value_heads` is %d, but the fused projection has one per head, %d",
                       name, c->n_kv_heads, c->n_heads);
    if (!(c->norm_eps > 0 && c->norm_eps <= 1))
        return tp_fail(TP_ERR_FORMAT, "%s: `%s` is %g, allowed is above 0 to 1", name,
                       c->norm == TP_NORM_RMS ? "rms_norm_eps" : "layer_norm_eps", c->norm_eps);
    if (c->plain_ffn && c->activation == TP_ACT_SILU)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: SiLU without a gate, supported without one are: gelu, gelu_new", name);
    if (c->plain_ffn && c->fused_gate_up)
        return tp_fail(TP_ERR_ARGUMENT, "%s: a gate fused with `up` in a feed-forward without a gate", name);
    return check_rope(c, name);
}

/* ---- the fingerprint ---- */

void tp_lm_config_hash(const tp_lm_config *c, tp_hash *h) {
    /* Number by number: a struct's padding has no defined content. The family is in the fields. */
    const int64_t whole[] = {c->vocab_size,
                             c->d_model,
                             c->n_layers,
                             c->n_heads,
                             c->n_kv_heads,
                             c->head_dim,
                             c->d_ff,
                             c->sliding_window,
                             c->first_windowed_layer,
                             c->qkv_bias,
                             c->o_bias,
                             c->tie_word_embeddings,
                             c->rope_scaling.kind,
                             c->rope_scaling.original_max_position_embeddings};
    const double real[] = {c->norm_eps, c->rope_theta, c->rope_scaling.factor, c->rope_scaling.low_freq_factor,
                           c->rope_scaling.high_freq_factor};
    tp_hash_add_text(h, "decoder");
    tp_hash_add(h, whole, sizeof whole);
    tp_hash_add(h, real, sizeof real);
    /* What sets other families apart from Llama counts only where it is in use: fingerprints that were written down
     * before these fields existed stay true. */
    const int64_t more_whole[] = {c->norm,
                                  c->post_norms,
                                  c->parallel_residual,
                                  c->qk_norm,
                                  c->ffn_bias,
                                  c->plain_ffn,
                                  c->activation,
                                  c->full_attention_every,
                                  c->positions,
                                  c->rotary_dim,
                                  c->positions == TP_POSITION_LEARNED ? c->max_position_embeddings : 0};
    const double more_real[] = {c->embedding_scale, c->attention_softcap, c->final_softcap,
                                c->query_scale,     c->rope_local_theta,  c->rope_scaling.attention_factor};
    bool more = false;
    for (size_t i = 0; i < sizeof more_whole / sizeof more_whole[0]; i++) more = more || more_whole[i] != 0;
    for (size_t i = 0; i < sizeof more_real / sizeof more_real[0]; i++) more = more || more_real[i] != 0;
    if (!more) return;
    tp_hash_add(h, more_whole, sizeof more_whole);
    tp_hash_add(h, more_real, sizeof more_real);
    if (c->rope_scaling.kind == TP_ROPE_LONG) {
        size_t bytes = (size_t)tp_lm_config_rotary_pairs(c) * sizeof(float);
        tp_hash_add(h, c->rope_scaling.short_factor, bytes);
        tp_hash_add(h, c->rope_scaling.long_factor, bytes);
    }
}
