/* The metadata of a GGUF file as a configuration. See gguf_model.h.
 *
 * Keys are those of the gguf package's constants ("<architecture>.block_count", ...). What the file does not say but
 * llama.cpp assumes is assumed here too: the base of Gemma 3's local layers, and the score scale of the 27 B Gemmas. */
#include "base/mem.h"
#include "lm/config_limits.h"
#include "lm/gguf_model.h"
#include "lm/rope_frequencies.h"

#include <math.h>
#include <string.h>

const tp_lm_names tp_gguf_weight_names = {.root = "",
                                          .layers = "blk.",
                                          .of = {[TP_W_EMBED] = "token_embd.weight",
                                                 [TP_W_POSITIONS] = "position_embd.weight",
                                                 [TP_W_FINAL_NORM] = "output_norm.weight",
                                                 [TP_W_FINAL_NORM_BIAS] = "output_norm.bias",
                                                 [TP_W_HEAD] = "output.weight",
                                                 [TP_W_ATTN_NORM] = "attn_norm.weight",
                                                 [TP_W_ATTN_NORM_BIAS] = "attn_norm.bias",
                                                 [TP_W_QKV] = "attn_qkv.weight",
                                                 [TP_W_QKV_BIAS] = "attn_qkv.bias",
                                                 [TP_W_Q] = "attn_q.weight",
                                                 [TP_W_Q_BIAS] = "attn_q.bias",
                                                 [TP_W_K] = "attn_k.weight",
                                                 [TP_W_K_BIAS] = "attn_k.bias",
                                                 [TP_W_V] = "attn_v.weight",
                                                 [TP_W_V_BIAS] = "attn_v.bias",
                                                 [TP_W_Q_NORM] = "attn_q_norm.weight",
                                                 [TP_W_K_NORM] = "attn_k_norm.weight",
                                                 [TP_W_O] = "attn_output.weight",
                                                 [TP_W_O_BIAS] = "attn_output.bias",
                                                 [TP_W_ATTN_POST_NORM] = "post_attention_norm.weight",
                                                 [TP_W_FFN_NORM] = "ffn_norm.weight",
                                                 [TP_W_FFN_NORM_BIAS] = "ffn_norm.bias",
                                                 [TP_W_GATE_UP] = "ffn_up.weight", /* Phi-3: both in one */
                                                 [TP_W_GATE] = "ffn_gate.weight",
                                                 [TP_W_GATE_BIAS] = "ffn_gate.bias",
                                                 [TP_W_UP] = "ffn_up.weight",
                                                 [TP_W_UP_BIAS] = "ffn_up.bias",
                                                 [TP_W_DOWN] = "ffn_down.weight",
                                                 [TP_W_DOWN_BIAS] = "ffn_down.bias",
                                                 [TP_W_FFN_POST_NORM] = "post_ffw_norm.weight"}};

static const struct {
    const char *name;
    tp_lm_family family;
} architectures[] = {
    {"llama", TP_LM_LLAMA},   {"qwen2", TP_LM_QWEN2}, {"qwen3", TP_LM_QWEN3}, {"gemma2", TP_LM_GEMMA2},
    {"gemma3", TP_LM_GEMMA3}, {"phi3", TP_LM_PHI3},   {"gpt2", TP_LM_GPT2},   {"gptneox", TP_LM_GPT_NEOX},
};

enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

const char *tp_gguf_architecture(tp_lm_family family) {
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (architectures[i].family == family) return architectures[i].name;
    return "llama"; /* Mistral */
}

/* What is read, and the keys' first part. */
typedef struct {
    tp_gguf_fields f;
    const char *architecture;
    char name[160]; /* of the key made last */
} reader;

static const char *key(reader *r, const char *rest) {
    snprintf(r->name, sizeof r->name, "%s.%s", r->architecture, rest);
    return r->name;
}

static int whole(reader *r, const char *rest, int64_t fallback, int64_t min, int64_t max) {
    return (int)tp_gguf_get_whole(&r->f, key(r, rest), fallback, min, max);
}

static int required(reader *r, const char *rest, int64_t max) {
    tp_gguf_require(&r->f, key(r, rest));
    return whole(r, rest, 1, 1, max);
}

static double real(reader *r, const char *rest, double fallback, double min, double max) {
    return tp_gguf_get_real(&r->f, key(r, rest), fallback, min, max);
}

static void unsupported(reader *r, const char *format, const char *what) {
    if (r->f.status != TP_OK) return;
    char sentence[300];
    snprintf(sentence, sizeof sentence, format, what);
    r->f.status = tp_fail(TP_ERR_UNSUPPORTED, "%s: %s", tp_gguf_path(r->f.file), sentence);
}

static const tp_st_tensor *tensor(const tp_gguf *g, const char *name) {
    size_t low = 0, high = tp_gguf_count(g);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, tp_gguf_get(g, middle)->name);
        if (order == 0) return tp_gguf_get(g, middle);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static tp_status read_family(reader *r, tp_lm_config *c) {
    char known[200] = "";
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        if (strcmp(architectures[i].name, r->architecture) == 0) {
            *c = tp_lm_config_of_family(architectures[i].family);
            return TP_OK;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", architectures[i].name);
    }
    return tp_fail(TP_ERR_UNSUPPORTED, "%s: `general.architecture` is \"%.60s\", supported are %s",
                   tp_gguf_path(r->f.file), r->architecture, known);
}

/* ---- sizes ---- */

static void read_sizes(reader *r, tp_lm_config *c) {
    c->d_model = required(r, "embedding_length", TP_LM_MAX_WIDTH);
    c->n_layers = required(r, "block_count", TP_LM_MAX_LAYERS);
    c->n_heads = required(r, "attention.head_count", TP_LM_MAX_HEADS);
    c->n_kv_heads = whole(r, "attention.head_count_kv", c->n_heads, 1, TP_LM_MAX_HEADS);
    c->d_ff = required(r, "feed_forward_length", TP_LM_MAX_FF);
    c->max_position_embeddings = required(r, "context_length", TP_LM_MAX_POSITIONS);
    c->head_dim = whole(r, "attention.key_length", c->d_model / c->n_heads, 1, TP_LM_MAX_HEAD_DIM);
    if (whole(r, "attention.value_length", c->head_dim, 1, TP_LM_MAX_HEAD_DIM) != c->head_dim)
        unsupported(r, "`%s` differs from the length of a key, which is not supported", r->name);
    if (whole(r, "expert_count", 0, 0, INT32_MAX) > 0)
        unsupported(r, "`%s` is not 0: this is a mixture of experts, which is not supported", r->name);
    if (tp_gguf_get_whole(&r->f, "split.count", 0, 0, INT32_MAX) > 1)
        unsupported(r, "%s: join the parts with llama.cpp's llama-gguf-split --merge first",
                    "this is one of several parts of a model");
    const char *eps = c->norm == TP_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    c->norm_eps = real(r, eps, c->norm_eps, 0, 1);
    const tp_st_tensor *embed = tensor(r->f.file, "token_embd.weight");
    if (r->f.status != TP_OK) return;
    if (embed == NULL || embed->n_dims != 2 || embed->shape[0] < 1 || embed->shape[0] > TP_LM_MAX_VOCAB) {
        r->f.status =
            tp_fail(TP_ERR_FORMAT, "%s: tensor `token_embd.weight` is %s, a matrix of up to %d rows was expected",
                    tp_gguf_path(r->f.file), embed ? "of another shape" : "missing", TP_LM_MAX_VOCAB);
        return;
    }
    c->vocab_size = (int)embed->shape[0];
    c->dtype = embed->dtype == TP_F32 || embed->dtype == TP_BF16 ? embed->dtype : TP_F16;
    c->tie_word_embeddings = tensor(r->f.file, "output.weight") == NULL;
}

/* ---- positions ---- */

/* The divisors of a `rope_freqs.weight` or `rope_factors_*.weight`, one for each pair. */
static bool read_divisors(reader *r, const char *name, int pairs, float *out) {
    const tp_st_tensor *t = tensor(r->f.file, name);
    if (t == NULL || r->f.status != TP_OK) return false;
    if (t->dtype != TP_F32 || t->n_dims != 1 || t->shape[0] != pairs || pairs > TP_LM_MAX_LONG_PAIRS) {
        r->f.status = tp_fail(TP_ERR_FORMAT, "%s: tensor `%s` does not hold %d F32 numbers (at most %d are supported)",
                              tp_gguf_path(r->f.file), name, pairs, TP_LM_MAX_LONG_PAIRS);
        return false;
    }
    memcpy(out, t->data, (size_t)pairs * sizeof *out);
    for (int i = 0; i < pairs; i++)
        if (!(out[i] >= TP_LM_MIN_LONG_FACTOR && out[i] <= TP_LM_MAX_LONG_FACTOR)) {
            r->f.status =
                tp_fail(TP_ERR_FORMAT, "%s: tensor `%s` holds the divisor %g, allowed is %g to %g",
                        tp_gguf_path(r->f.file), name, (double)out[i], TP_LM_MIN_LONG_FACTOR, TP_LM_MAX_LONG_FACTOR);
            return false;
        }
    return true;
}

/* What Llama 3.1's rule (rope_frequencies.c) must have been given to divide like this. The share of a frequency that is
 * kept grows from 0 to 1 in a straight line over the frequency; two points of it give the line. The rule is the same if
 * its context and both its factors are multiplied by one number: the lower factor is taken as 1, as in all published
 * models. False if no line is to be seen. */
static bool guess_llama3(const float *divisors, const float *inv_freq, int pairs, tp_lm_config *c) {
    double factor = divisors[pairs - 1], kept[2] = {0}, at[2] = {0};
    int n = 0;
    for (int i = 0; i < pairs; i++) {
        if (!(divisors[i] > 1.0001f && divisors[i] < 0.9999 * factor)) continue;
        kept[n > 0] = (1 / (double)divisors[i] - 1 / factor) / (1 - 1 / factor);
        at[n > 0] = inv_freq[i];
        n++;
    }
    if (n == 1) { /* a narrow head: the higher factor is taken as 4, as in all published models */
        kept[1] = 1;
        at[1] = 4 * at[0] / (1 + 3 * kept[0]);
    }
    double slope = n > 0 ? (kept[1] - kept[0]) / (at[1] - at[0]) : 0, zero = slope > 0 ? at[0] - kept[0] / slope : 0;
    if (!(zero > 0)) return false; /* no slope, or a line that no rule gives */
    const double turn = 2 * 3.14159265358979323846;
    double context = turn / zero, high = context * (zero + 1 / slope) / turn;
    if (!(context < TP_LM_MAX_POSITIONS && high > 1)) return false;
    c->rope_scaling.kind = TP_ROPE_LLAMA3;
    c->rope_scaling.factor = factor;
    c->rope_scaling.low_freq_factor = 1;
    c->rope_scaling.high_freq_factor = fabs(high - round(high)) < 1e-2 ? round(high) : high;
    c->rope_scaling.original_max_position_embeddings = (int)round(context);
    return true;
}

/* The converter stores the divisors that Llama 3.1's rule gives, not the rule. Where a rule gives just these, it is
 * taken: the configuration then says what the Hugging Face checkpoint says. Else the divisors stay as they are. */
static void recognise_llama3(tp_lm_config *c) {
    int pairs = tp_lm_config_rotary_pairs(c);
    tp_lm_config plain = *c, guess = *c;
    plain.rope_scaling.kind = TP_ROPE_PLAIN;
    float inv_freq[TP_LM_MAX_LONG_PAIRS], scaled[TP_LM_MAX_LONG_PAIRS];
    tp_rope_frequencies(&plain, TP_FREQUENCIES_USUAL, inv_freq);
    if (!guess_llama3(c->rope_scaling.short_factor, inv_freq, pairs, &guess)) return;
    tp_rope_frequencies(&guess, TP_FREQUENCIES_USUAL, scaled);
    for (int i = 0; i < pairs; i++)
        if (!(fabs((double)inv_freq[i] / scaled[i] / c->rope_scaling.short_factor[i] - 1) < 1e-5)) return;
    memset(guess.rope_scaling.short_factor, 0, sizeof guess.rope_scaling.short_factor);
    memset(guess.rope_scaling.long_factor, 0, sizeof guess.rope_scaling.long_factor);
    *c = guess;
}

static void read_divided(reader *r, tp_lm_config *c) {
    int pairs = tp_lm_config_rotary_pairs(c);
    if (read_divisors(r, "rope_freqs.weight", pairs, c->rope_scaling.short_factor)) {
        memcpy(c->rope_scaling.long_factor, c->rope_scaling.short_factor, sizeof c->rope_scaling.long_factor);
        c->rope_scaling.kind = TP_ROPE_LONG;
        c->rope_scaling.original_max_position_embeddings = c->max_position_embeddings;
        if (c->family == TP_LM_LLAMA) recognise_llama3(c);
    }
    if (read_divisors(r, "rope_factors_short.weight", pairs, c->rope_scaling.short_factor) &&
        read_divisors(r, "rope_factors_long.weight", pairs, c->rope_scaling.long_factor)) {
        c->rope_scaling.kind = TP_ROPE_LONG;
        c->rope_scaling.original_max_position_embeddings =
            whole(r, "rope.scaling.original_context_length", c->max_position_embeddings, 1, TP_LM_MAX_POSITIONS);
        c->rope_scaling.attention_factor = real(r, "rope.scaling.attn_factor", 1, 1e-3, 1e3);
    }
}

static void read_positions(reader *r, tp_lm_config *c) {
    if (c->positions == TP_POSITION_LEARNED) return;
    c->rope_adjacent = strcmp(r->architecture, "llama") == 0;
    int turned = whole(r, "rope.dimension_count", c->head_dim, 2, TP_LM_MAX_HEAD_DIM);
    c->rotary_dim = turned == c->head_dim ? 0 : turned;
    c->rope_theta = real(r, "rope.freq_base", 10000, 1e-3, 1e12);
    if (c->rope_local_theta > 0) c->rope_local_theta = real(r, "rope.freq_base_swa", c->rope_local_theta, 1e-3, 1e12);
    char *kind = tp_gguf_get_text(&r->f, key(r, "rope.scaling.type"));
    double factor = real(r, "rope.scaling.factor", 1, 1e-6, 1e6);
    /* files of 2023 say the inverse, without a type */
    double scale = kind == NULL ? real(r, "rope.scale_linear", factor, 1e-6, 1e6) : factor;
    if (kind && strcmp(kind, "none") != 0 && strcmp(kind, "linear") != 0 && strcmp(kind, "longrope") != 0)
        unsupported(r, "`rope.scaling.type` is \"%.60s\", supported are none, linear, longrope", kind);
    if (scale != 1 && (kind == NULL || strcmp(kind, "linear") == 0)) {
        c->rope_scaling.kind = TP_ROPE_LINEAR;
        c->rope_scaling.factor = scale;
    }
    tp_free(kind);
    if (r->f.status == TP_OK) read_divided(r, c);
}

/* ---- what sets families apart ---- */

static void read_windows(reader *r, tp_lm_config *c) {
    c->sliding_window = whole(r, "attention.sliding_window", 0, 0, TP_LM_MAX_POSITIONS);
    c->first_windowed_layer = 0;
    if (c->sliding_window == 0) c->full_attention_every = 0;
    if (c->family == TP_LM_LLAMA && c->sliding_window > 0) c->family = TP_LM_MISTRAL; /* only Mistral has one */
}

static void read_biases(const tp_gguf *g, tp_lm_config *c) {
    c->qkv_bias = tensor(g, "blk.0.attn_q.bias") || tensor(g, "blk.0.attn_qkv.bias");
    c->o_bias = tensor(g, "blk.0.attn_output.bias") != NULL;
    c->ffn_bias = tensor(g, "blk.0.ffn_down.bias") != NULL;
}

static void read_specials(reader *r, tp_lm_config *c) {
    bool gemma = c->family == TP_LM_GEMMA2 || c->family == TP_LM_GEMMA3;
    if (gemma) {
        c->embedding_scale = sqrt((double)c->d_model);
        bool largest = c->n_layers == (c->family == TP_LM_GEMMA2 ? 46 : 62);
        if (largest) c->query_scale = 1 / sqrt((double)c->d_model / c->n_heads);
        c->attention_softcap = real(r, "attn_logit_softcapping", c->attention_softcap, 0, 1e6);
        c->final_softcap = real(r, "final_logit_softcapping", c->final_softcap, 0, 1e6);
    }
    if (c->family == TP_LM_GPT_NEOX) {
        c->qkv_layout = TP_QKV_STACKED;
        c->parallel_residual = tp_gguf_get_bool(&r->f, key(r, "use_parallel_residual"), true);
    }
}

static void read_ids(reader *r, tp_lm_config *c) {
    c->bos_id = (int)tp_gguf_get_whole(&r->f, "tokenizer.ggml.bos_token_id", -1, 0, UINT32_MAX);
    if (c->bos_id >= c->vocab_size) c->bos_id = -1;
    c->n_eos = 0;
    const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    for (int i = 0; i < 2; i++) {
        int64_t id = tp_gguf_get_whole(&r->f, keys[i], -1, 0, UINT32_MAX);
        if (id < 0 || id >= c->vocab_size || (c->n_eos == 1 && c->eos_ids[0] == id)) continue;
        c->eos_ids[c->n_eos++] = (int)id;
    }
}

tp_status tp_lm_config_from_gguf(const tp_gguf *g, tp_lm_config *config) {
    reader r = {.f = {.file = g}};
    tp_gguf_require(&r.f, "general.architecture");
    char *architecture = tp_gguf_get_text(&r.f, "general.architecture");
    TP_TRY(r.f.status);
    r.architecture = architecture;
    tp_status status = read_family(&r, config);
    if (status == TP_OK) {
        read_sizes(&r, config);
        if (r.f.status == TP_OK) read_positions(&r, config);
        read_windows(&r, config);
        read_biases(g, config);
        read_specials(&r, config);
        if (r.f.status == TP_OK) read_ids(&r, config);
        status = r.f.status;
    }
    tp_free(architecture);
    return status == TP_OK ? tp_lm_config_check(config, tp_gguf_path(g)) : status;
}
