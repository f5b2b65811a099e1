/* Reading config.json. See config.h for what is ignored and what is refused.
 *
 * The file has two spellings of the rotary settings: `rope_theta` with an optional `rope_scaling` (transformers 4), and
 * both inside `rope_parameters` (transformers 5); and two of the dtype. Either is read; a file that holds both and
 * contradicts itself is refused, since releases of transformers would disagree about it. */
#include "lm/config.h"

#include "base/mem.h"
#include "lm/config_limits.h"
#include "lm/small_json.h"

#include <string.h>

enum { LARGEST_CONFIG = 4 << 20 }; /* bytes; some carry long lists of labels */

#define SUPPORTED "llama (LlamaForCausalLM), mistral (MistralForCausalLM), qwen2 (Qwen2ForCausalLM)"

static const struct {
    const char *model_type, *architecture;
    int bos_id, eos_id;          /* the class's defaults; -1: none */
    int max_position_embeddings; /* likewise */
    int sliding_window;          /* likewise; counts for Qwen2 only with use_sliding_window */
} families[] = {
    [TP_LM_LLAMA] = {"llama", "LlamaForCausalLM", 1, 2, 2048, 0},
    [TP_LM_MISTRAL] = {"mistral", "MistralForCausalLM", 1, 2, 131072, 4096},
    [TP_LM_QWEN2] = {"qwen2", "Qwen2ForCausalLM", -1, -1, 32768, 4096},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

const char *tp_lm_family_name(tp_lm_family family) {
    return families[family].model_type;
}

const char *tp_lm_family_architecture(tp_lm_family family) {
    return families[family].architecture;
}

int tp_lm_config_window(const tp_lm_config *config, int layer) {
    return layer >= config->first_windowed_layer ? config->sliding_window : 0;
}

/* ---- pieces ---- */

/* Records that a well-formed value asks for something this program does not do. */
static void unsupported(tp_json_reader *r, const char *key, const char *what) {
    if (r->status != TP_OK) return;
    tp_json_error(r, key, "%s", what);
    r->status = tp_fail(TP_ERR_UNSUPPORTED, "%s", tp_last_error());
}

static int required_int(tp_json_reader *r, const char *key, int max) {
    tp_json_require(r, key);
    return (int)tp_json_int(r, key, 1, 1, max);
}

static bool is_null(const tp_json_reader *r, const char *key) {
    return r->object && json_is_null(json_object_get(r->object, key));
}

static void read_family(tp_json_reader *r, tp_lm_config *c) {
    tp_json_require(r, "model_type");
    const char *type = tp_json_text(r, "model_type", "");
    int family = 0;
    while (family < N_FAMILIES && strcmp(families[family].model_type, type) != 0) family++;
    if (r->status != TP_OK) return;
    if (family == N_FAMILIES) {
        char what[256];
        snprintf(what, sizeof what, "is \"%.60s\", supported are: %s", type, SUPPORTED);
        unsupported(r, "model_type", what);
        return;
    }
    c->family = (tp_lm_family)family;
    json_t *architectures = tp_json_array(r, "architectures");
    const char *first = NULL;
    for (size_t i = 0; i < json_array_size(architectures); i++) {
        const char *name = json_string_value(json_array_get(architectures, i));
        if (name == NULL)
            tp_json_error(r, "architectures", "is not a list of strings");
        else if (strcmp(name, families[family].architecture) == 0)
            return;
        if (first == NULL) first = name;
    }
    if (first == NULL) return;
    char what[256];
    snprintf(what, sizeof what, "is \"%.60s\", supported are: %s", first, SUPPORTED);
    unsupported(r, "architectures", what);
}

static void read_sizes(tp_json_reader *r, tp_lm_config *c) {
    c->vocab_size = required_int(r, "vocab_size", TP_LM_MAX_VOCAB);
    c->d_model = required_int(r, "hidden_size", TP_LM_MAX_WIDTH);
    c->n_layers = required_int(r, "num_hidden_layers", TP_LM_MAX_LAYERS);
    c->n_heads = required_int(r, "num_attention_heads", TP_LM_MAX_HEADS);
    c->d_ff = required_int(r, "intermediate_size", TP_LM_MAX_FF);
    /* Left out it means one per head in Llama, as before grouped queries; the others have odd defaults nobody relies
     * on. */
    if (c->family != TP_LM_LLAMA && !is_null(r, "num_key_value_heads")) tp_json_require(r, "num_key_value_heads");
    c->n_kv_heads = (int)tp_json_int(r, "num_key_value_heads", c->n_heads, 1, TP_LM_MAX_HEADS);
    c->head_dim = (int)tp_json_int(r, "head_dim", 0, 1, TP_LM_MAX_HEAD_DIM);
    if (r->status == TP_OK && c->head_dim == 0) {
        if (c->d_model % c->n_heads != 0)
            tp_json_error(r, "num_attention_heads",
                          "is %d, which does not divide `hidden_size` %d, and there is no `head_dim`", c->n_heads,
                          c->d_model);
        c->head_dim = c->d_model / c->n_heads;
    }
    c->norm_eps = tp_json_real(r, "rms_norm_eps", 1e-6, 0, 1);
    int positions = families[c->family].max_position_embeddings;
    c->max_position_embeddings = (int)tp_json_int(r, "max_position_embeddings", positions, 1, TP_LM_MAX_POSITIONS);
}

/* ---- rotary positions ---- */

static void read_rope_kind(tp_json_reader *rope, tp_lm_config *c) {
    static const char *const names[] = {"default", "linear", "llama3", NULL};
    if (tp_json_has(rope, "full_attention") || tp_json_has(rope, "sliding_attention"))
        unsupported(rope, "full_attention", "sets rotary positions by kind of layer, which is not supported");
    const char *key = tp_json_has(rope, "rope_type") ? "rope_type" : "type"; /* `type` is the older name */
    const char *type = tp_json_text(rope, key, "default");
    int kind = 0;
    while (names[kind] && strcmp(names[kind], type) != 0) kind++;
    if (names[kind] == NULL) {
        char what[160];
        snprintf(what, sizeof what, "is \"%.60s\", supported are: default, linear, llama3", type);
        unsupported(rope, key, what);
        return;
    }
    c->rope_scaling.kind = (tp_rope_kind)kind;
    if (kind == TP_ROPE_PLAIN) return;
    tp_json_require(rope, "factor");
    c->rope_scaling.factor = tp_json_real(rope, "factor", 1, 1, 1e6);
    if (kind != TP_ROPE_LLAMA3) return;
    tp_json_require(rope, "low_freq_factor");
    tp_json_require(rope, "high_freq_factor");
    tp_json_require(rope, "original_max_position_embeddings");
    c->rope_scaling.low_freq_factor = tp_json_real(rope, "low_freq_factor", 1, 1e-6, 1e6);
    c->rope_scaling.high_freq_factor = tp_json_real(rope, "high_freq_factor", 1, 1e-6, 1e6);
    c->rope_scaling.original_max_position_embeddings =
        (int)tp_json_int(rope, "original_max_position_embeddings", 1, 1, TP_LM_MAX_POSITIONS);
}

static void read_rope(tp_json_reader *r, tp_lm_config *c) {
    const double largest = 1e12;
    const char *key = tp_json_has(r, "rope_scaling") ? "rope_scaling" : "rope_parameters";
    tp_json_reader rope;
    tp_json_object(r, key, &rope);
    c->rope_theta = tp_json_real(r, "rope_theta", 10000, 1, largest);
    double inner = tp_json_real(&rope, "rope_theta", c->rope_theta, 1, largest);
    if (tp_json_has(r, "rope_theta") && inner != c->rope_theta)
        tp_json_error(&rope, "rope_theta", "is %g, but `rope_theta` says %g", inner, c->rope_theta);
    c->rope_theta = inner;
    if (tp_json_real(&rope, "partial_rotary_factor", 1, 0, 1) != 1)
        unsupported(&rope, "partial_rotary_factor", "is not 1: heads rotated in part are not supported");
    if (tp_json_real(r, "partial_rotary_factor", 1, 0, 1) != 1)
        unsupported(r, "partial_rotary_factor", "is not 1: heads rotated in part are not supported");
    read_rope_kind(&rope, c);
    tp_json_end_object(r, &rope, false);
}

/* ---- attention windows ---- */

/* transformers 5 writes the kind of every layer. What it may say is what max_window_layers can express. */
static void read_layer_types(tp_json_reader *r, tp_lm_config *c) {
    json_t *types = tp_json_array(r, "layer_types");
    if (types == NULL) return;
    if (json_array_size(types) != (size_t)c->n_layers) {
        tp_json_error(r, "layer_types", "has %zu entries for %d layers", json_array_size(types), c->n_layers);
        return;
    }
    int first = c->n_layers;
    for (int i = 0; i < c->n_layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (type != NULL && strcmp(type, "sliding_attention") == 0) {
            if (first == c->n_layers) first = i;
        } else if (type == NULL || strcmp(type, "full_attention") != 0) {
            unsupported(r, "layer_types", "has an entry that is neither \"full_attention\" nor \"sliding_attention\"");
        } else if (first < i) {
            unsupported(r, "layer_types", "has full attention above a sliding window, which is not supported");
        }
    }
    if (first < c->n_layers && c->sliding_window == 0)
        tp_json_error(r, "layer_types", "has \"sliding_attention\", but `sliding_window` is not in force");
    c->first_windowed_layer = first;
}

static void read_window(tp_json_reader *r, tp_lm_config *c) {
    /* An absent key means the class's default, null means no window: told apart here alone. */
    int fallback = is_null(r, "sliding_window") ? 0 : families[c->family].sliding_window;
    int window = (int)tp_json_int(r, "sliding_window", fallback, 0, TP_LM_MAX_POSITIONS);
    if (c->family == TP_LM_LLAMA) return; /* its class has no window, whatever the file says */
    if (c->family == TP_LM_QWEN2) {
        bool used = tp_json_bool(r, "use_sliding_window", false);
        c->first_windowed_layer = (int)tp_json_int(r, "max_window_layers", 28, 0, INT32_MAX);
        if (!used) window = 0;
    }
    c->sliding_window = window;
    if (c->family == TP_LM_QWEN2) read_layer_types(r, c); /* the others' classes do not know it */
    /* One spelling for "no layer has a window", so that equal models have equal configs. */
    if (c->sliding_window == 0 || c->first_windowed_layer >= c->n_layers)
        c->sliding_window = c->first_windowed_layer = 0;
}

/* ---- the rest ---- */

static void read_eos(tp_json_reader *r, tp_lm_config *c, int fallback) {
    json_t *value = tp_json_any(r, "eos_token_id");
    if (value == NULL && is_null(r, "eos_token_id")) fallback = -1;
    c->n_eos = 0;
    if (json_is_array(value)) {
        if (json_array_size(value) > TP_LM_MAX_EOS) {
            tp_json_error(r, "eos_token_id", "lists %zu ids, at most %d are supported", json_array_size(value),
                          TP_LM_MAX_EOS);
            return;
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_t *id = json_array_get(value, i);
            if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= c->vocab_size) {
                tp_json_error(r, "eos_token_id", "lists something else than ids from 0 to %d", c->vocab_size - 1);
                return;
            }
            c->eos_ids[c->n_eos++] = (int)json_integer_value(id);
        }
        return;
    }
    int id = (int)tp_json_int(r, "eos_token_id", fallback, -1, c->vocab_size - 1);
    if (id >= 0) c->eos_ids[c->n_eos++] = id;
}

static void read_dtype(tp_json_reader *r, tp_lm_config *c) {
    static const char *const names[] = {"float32", "float16", "bfloat16", NULL};
    static const tp_dtype dtypes[] = {TP_F32, TP_F16, TP_BF16};
    const char *key = tp_json_has(r, "torch_dtype") ? "torch_dtype" : "dtype"; /* the latter since transformers 5 */
    c->dtype = dtypes[tp_json_choice(r, key, 0, names)];
}

static void refuse_what_would_change_the_result(tp_json_reader *r, const tp_lm_config *c) {
    static const char *const silu[] = {"silu", "swish", NULL}; /* two names of one function */
    tp_json_choice(r, "hidden_act", 0, silu);
    if (c->family == TP_LM_LLAMA && tp_json_bool(r, "mlp_bias", false))
        unsupported(r, "mlp_bias", "is true: biases in the feed-forward layers are not supported");
    if (tp_json_has(r, "quantization_config"))
        unsupported(r, "quantization_config", "is set: quantised safetensors checkpoints are not supported");
}

static void read_config(tp_json_reader *r, tp_lm_config *c) {
    read_family(r, c);
    if (r->status != TP_OK) return; /* what follows depends on the family */
    read_sizes(r, c);
    if (r->status != TP_OK) return;
    read_rope(r, c);
    read_window(r, c);
    c->o_bias = c->family == TP_LM_LLAMA && tp_json_bool(r, "attention_bias", false);
    c->qkv_bias = c->family == TP_LM_QWEN2 || c->o_bias;
    c->tie_word_embeddings = tp_json_bool(r, "tie_word_embeddings", false);
    int bos = is_null(r, "bos_token_id") ? -1 : families[c->family].bos_id;
    c->bos_id = (int)tp_json_int(r, "bos_token_id", bos, -1, c->vocab_size - 1);
    read_eos(r, c, families[c->family].eos_id);
    read_dtype(r, c);
    refuse_what_would_change_the_result(r, c);
}

tp_status tp_lm_config_check(const tp_lm_config *c, const char *name) {
    if ((int)c->family < 0 || (int)c->family >= N_FAMILIES || c->n_eos < 0 || c->n_eos > TP_LM_MAX_EOS)
        return tp_fail(TP_ERR_ARGUMENT, "%s: the family or the number of eos ids makes no sense", name);
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
        {"bos_token_id", c->bos_id, -1, c->vocab_size - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return tp_fail(TP_ERR_FORMAT, "%s: `%s` is %d, allowed is %d to %d", name, ranges[i].key, ranges[i].value,
                           ranges[i].min, ranges[i].max);
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos_ids[i] < 0 || c->eos_ids[i] >= c->vocab_size)
            return tp_fail(TP_ERR_FORMAT, "%s: `eos_token_id` is %d, allowed is 0 to %d", name, c->eos_ids[i],
                           c->vocab_size - 1);
    if (c->n_heads % c->n_kv_heads != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `num_key_value_heads` is %d, which does not divide `num_attention_heads` %d",
                       name, c->n_kv_heads, c->n_heads);
    if (c->head_dim % 2 != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `head_dim` is %d, an even number was expected: rotary positions turn pairs",
                       name, c->head_dim);
    if (!(c->norm_eps > 0 && c->norm_eps <= 1))
        return tp_fail(TP_ERR_FORMAT, "%s: `rms_norm_eps` is %g, allowed is above 0 to 1", name, c->norm_eps);
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12))
        return tp_fail(TP_ERR_FORMAT, "%s: `rope_theta` is %g, allowed is 1 to 1e12", name, c->rope_theta);
    if (c->rope_scaling.kind == TP_ROPE_LLAMA3 && !(c->rope_scaling.high_freq_factor > c->rope_scaling.low_freq_factor))
        return tp_fail(TP_ERR_FORMAT,
                       "%s: `high_freq_factor` of the rotary scaling is %g, it must be above `low_freq_factor` %g",
                       name, c->rope_scaling.high_freq_factor, c->rope_scaling.low_freq_factor);
    return TP_OK;
}

tp_status tp_lm_config_read_file(const char *path, tp_lm_config *config) {
    *config = (tp_lm_config){0};
    json_t *value = tp_small_json_load(path, LARGEST_CONFIG);
    if (value == NULL) return tp_last_status();
    tp_json_reader r;
    tp_json_begin(&r, value, path);
    if (r.status == TP_OK) read_config(&r, config);
    tp_status status = tp_json_end(&r, false);
    json_decref(value);
    return status == TP_OK ? tp_lm_config_check(config, path) : status;
}

static tp_status read_generation_config(const char *path, tp_lm_config *config) {
    json_t *value = tp_small_json_load(path, LARGEST_CONFIG);
    if (value == NULL) return tp_last_status();
    tp_json_reader r;
    tp_json_begin(&r, value, path);
    if (tp_json_has(&r, "eos_token_id")) read_eos(&r, config, -1);
    tp_status status = tp_json_end(&r, false);
    json_decref(value);
    return status;
}

tp_status tp_lm_config_read(const char *folder, tp_lm_config *config) {
    char *path = tp_path_join(folder, "config.json");
    char *generation = tp_path_join(folder, "generation_config.json");
    tp_status status = tp_lm_config_read_file(path, config);
    if (status == TP_OK && tp_path_exists(generation)) status = read_generation_config(generation, config);
    tp_free(path);
    tp_free(generation);
    return status;
}

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
}
