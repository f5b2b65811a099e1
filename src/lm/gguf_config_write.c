/* A configuration as the metadata that llama.cpp's converter writes for the same model: the inverse of gguf_config.c.
 * See gguf_pairs.h. Scalings of single frequencies are not metadata there but tensors: see gguf_export.c. */
#include "lm/gguf_model.h"
#include "lm/gguf_pairs.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    tp_gguf_pairs *pairs;
    const char *architecture;
    char name[160];
} writer;

static const char *key(writer *w, const char *rest) {
    snprintf(w->name, sizeof w->name, "%s.%s", w->architecture, rest);
    return w->name;
}

static void whole(writer *w, const char *rest, int value) {
    tp_gguf_put_u32(w->pairs, key(w, rest), (uint32_t)value);
}

static void real(writer *w, const char *rest, double value) {
    tp_gguf_put_f32(w->pairs, key(w, rest), value);
}

static void put_sizes(writer *w, const tp_lm_config *c) {
    whole(w, "block_count", c->n_layers);
    whole(w, "context_length", c->max_position_embeddings);
    whole(w, "embedding_length", c->d_model);
    whole(w, "feed_forward_length", c->d_ff);
    whole(w, "attention.head_count", c->n_heads);
    whole(w, "attention.head_count_kv", c->n_kv_heads);
    whole(w, "attention.key_length", c->head_dim);
    whole(w, "attention.value_length", c->head_dim);
    whole(w, "vocab_size", c->vocab_size);
    real(w, c->norm == TP_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", c->norm_eps);
}

static void put_positions(writer *w, const tp_lm_config *c) {
    if (c->positions == TP_POSITION_LEARNED) return;
    whole(w, "rope.dimension_count", c->rotary_dim ? c->rotary_dim : c->head_dim);
    real(w, "rope.freq_base", c->rope_theta);
    if (c->rope_local_theta > 0) real(w, "rope.freq_base_swa", c->rope_local_theta);
    if (c->rope_scaling.kind == TP_ROPE_LINEAR) {
        tp_gguf_put_text(w->pairs, key(w, "rope.scaling.type"), "linear");
        real(w, "rope.scaling.factor", c->rope_scaling.factor);
    }
    if (c->rope_scaling.kind == TP_ROPE_LONG && c->family == TP_LM_PHI3) {
        whole(w, "rope.scaling.original_context_length", c->rope_scaling.original_max_position_embeddings);
        real(w, "rope.scaling.attn_factor",
             c->rope_scaling.attention_factor > 0 ? c->rope_scaling.attention_factor : 1);
    }
}

static void put_specials(writer *w, const tp_lm_config *c) {
    if (c->sliding_window > 0) whole(w, "attention.sliding_window", c->sliding_window);
    if (c->attention_softcap > 0) real(w, "attn_logit_softcapping", c->attention_softcap);
    if (c->final_softcap > 0) real(w, "final_logit_softcapping", c->final_softcap);
    if (c->family == TP_LM_GPT_NEOX) tp_gguf_put_bool(w->pairs, key(w, "use_parallel_residual"), c->parallel_residual);
}

/* What GGUF has no way to say must not be written: it would be read as another model. */
static tp_status check(const tp_lm_config *c) {
    const char *what = NULL;
    bool gemma = c->family == TP_LM_GEMMA2 || c->family == TP_LM_GEMMA3;
    double scale = c->query_scale > 0 ? c->query_scale * c->query_scale * c->head_dim : 1;
    double by_width = c->query_scale * c->query_scale * c->d_model / c->n_heads;
    bool largest = gemma && c->n_layers == (c->family == TP_LM_GEMMA2 ? 46 : 62);
    if (largest ? !(by_width > 0.999 && by_width < 1.001) : !(scale > 0.999 && scale < 1.001))
        what = "this `query_pre_attn_scalar`: llama.cpp knows that of the published models only";
    int period = c->family == TP_LM_GEMMA2 ? 2 : 6;
    for (int l = 0; gemma && c->sliding_window > 0 && l < c->n_layers; l++)
        if ((tp_lm_config_window(c, l) == 0) != ((l + 1) % period == 0))
            what = "which layers have windows, other than that of the published models";
    if (c->activation != tp_lm_config_of_family(c->family).activation) what = "this activation";
    if (c->sliding_window > 0 && c->first_windowed_layer > 0) what = "windows in the upper layers only";
    if (what) return tp_fail(TP_ERR_UNSUPPORTED, "a GGUF file of this family has no way to say %s", what);
    return TP_OK;
}

tp_status tp_gguf_put_config(tp_gguf_pairs *p, const tp_lm_config *c, const char *name) {
    TP_TRY(check(c));
    writer w = {.pairs = p, .architecture = tp_gguf_architecture(c->family)};
    tp_gguf_put_text(p, "general.architecture", w.architecture);
    tp_gguf_put_text(p, "general.type", "model");
    tp_gguf_put_text(p, "general.name", name);
    put_sizes(&w, c);
    put_positions(&w, c);
    put_specials(&w, c);
    return TP_OK;
}
