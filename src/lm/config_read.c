/* Reading config.json. See config.h for what is ignored and what is refused; the rotary settings are in config_rope.c.
 */
#include "lm/config_read.h"

#include "base/mem.h"
#include "lm/config_limits.h"
#include "lm/small_json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_CONFIG = 4 << 20 }; /* bytes; some carry long lists of labels */

/* ---- pieces ---- */

void tp_config_unsupported(tp_json_reader *r, const char *key, const char *format, ...) {
    if (r->status != TP_OK) return;
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    r->status = tp_fail(TP_ERR_UNSUPPORTED, "%s: `%s%s` %s", r->file, r->prefix, key, what);
}

bool tp_config_is_null(const tp_json_reader *r, const char *key) {
    return r->object && json_is_null(json_object_get(r->object, key));
}

static int required_int(tp_json_reader *r, const char *key, int max) {
    tp_json_require(r, key);
    return (int)tp_json_int(r, key, 1, 1, max);
}

static const tp_lm_family_row *read_family(tp_json_reader *r, tp_lm_config *c) {
    tp_json_require(r, "model_type");
    const char *type = tp_json_text(r, "model_type", "");
    if (r->status != TP_OK) return NULL;
    char supported[512];
    tp_lm_family_list(supported, sizeof supported);
    tp_lm_family family;
    const tp_lm_family_row *row = tp_lm_family_find(type, &family);
    if (row == NULL) {
        tp_config_unsupported(r, "model_type", "is \"%.60s\", supported are: %s", type, supported);
        return NULL;
    }
    *c = tp_lm_config_of_family(family);
    json_t *architectures = tp_json_array(r, "architectures");
    const char *first = NULL;
    for (size_t i = 0; i < json_array_size(architectures); i++) {
        const char *name = json_string_value(json_array_get(architectures, i));
        if (name == NULL)
            tp_json_error(r, "architectures", "is not a list of strings");
        else if (strcmp(name, row->architecture) == 0)
            return row;
        if (first == NULL) first = name;
    }
    if (first != NULL) tp_config_unsupported(r, "architectures", "is \"%.60s\", supported are: %s", first, supported);
    return row;
}

static void read_sizes(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    const tp_lm_keys *k = row->keys;
    c->vocab_size = required_int(r, "vocab_size", TP_LM_MAX_VOCAB);
    c->d_model = required_int(r, k->d_model, TP_LM_MAX_WIDTH);
    c->n_layers = required_int(r, k->n_layers, TP_LM_MAX_LAYERS);
    c->n_heads = required_int(r, k->n_heads, TP_LM_MAX_HEADS);
    if (row->ff_factor == 0) tp_json_require(r, k->d_ff);
    c->d_ff = (int)tp_json_int(r, k->d_ff, row->ff_factor * (int64_t)c->d_model, 1, TP_LM_MAX_FF);
    c->n_kv_heads = c->n_heads;
    if (row->kv_heads != TP_KV_EQUAL) {
        if (row->kv_heads == TP_KV_REQUIRED && !tp_config_is_null(r, "num_key_value_heads"))
            tp_json_require(r, "num_key_value_heads");
        c->n_kv_heads = (int)tp_json_int(r, "num_key_value_heads", c->n_heads, 1, TP_LM_MAX_HEADS);
        if (tp_config_is_null(r, "head_dim")) c->head_dim = 0;
        c->head_dim = (int)tp_json_int(r, "head_dim", c->head_dim, 1, TP_LM_MAX_HEAD_DIM);
    }
    if (r->status == TP_OK && c->head_dim == 0) {
        if (c->d_model % c->n_heads != 0)
            tp_json_error(r, k->n_heads, "is %d, which does not divide `%s` %d, and there is no `head_dim`", c->n_heads,
                          k->d_model, c->d_model);
        c->head_dim = c->d_model / c->n_heads;
    }
    c->norm_eps = tp_json_real(r, k->norm_eps, c->norm_eps, 0, 1);
    c->max_position_embeddings =
        (int)tp_json_int(r, k->max_positions, c->max_position_embeddings, 1, TP_LM_MAX_POSITIONS);
}

/* ---- attention windows ---- */

/* transformers 5 writes the kind of every layer. Two patterns can be said: all layers from one on have a window, or all
 * but every n-th. */
static void read_layer_types(tp_json_reader *r, tp_lm_config *c) {
    json_t *types = tp_json_array(r, "layer_types");
    if (types == NULL) return;
    int n = c->n_layers, first_window = n, first_full = n;
    if (json_array_size(types) != (size_t)n) {
        tp_json_error(r, "layer_types", "has %zu entries for %d layers", json_array_size(types), n);
        return;
    }
    bool full[TP_LM_MAX_LAYERS];
    for (int i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (type == NULL || (strcmp(type, "sliding_attention") != 0 && strcmp(type, "full_attention") != 0)) {
            tp_config_unsupported(r, "layer_types",
                                  "has an entry that is neither \"full_attention\" nor \"sliding_attention\"");
            return;
        }
        full[i] = strcmp(type, "full_attention") == 0;
        if (full[i] && first_full == n) first_full = i;
        if (!full[i] && first_window == n) first_window = i;
    }
    if (first_window < n && c->sliding_window == 0)
        tp_json_error(r, "layer_types", "has \"sliding_attention\", but `sliding_window` is not in force");
    bool from_one_on = true, every = true;
    for (int i = 0; i < n; i++) {
        from_one_on = from_one_on && full[i] == (i < first_window);
        every = every && full[i] == ((i + 1) % (first_full + 1) == 0);
    }
    c->first_windowed_layer = from_one_on ? first_window : 0;
    c->full_attention_every = from_one_on ? 0 : first_full + 1;
    if (!from_one_on && !every)
        tp_config_unsupported(r, "layer_types",
                              "has full attention above a sliding window, but not in every n-th layer");
}

static void read_window(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    /* An absent key means the class's default, null means no window: told apart here alone. */
    int fallback = tp_config_is_null(r, "sliding_window") ? 0 : c->sliding_window;
    c->sliding_window = (int)tp_json_int(r, "sliding_window", fallback, 0, TP_LM_MAX_POSITIONS);
    if (row->window == TP_WINDOW_NONE) c->sliding_window = 0;
    if (row->window == TP_WINDOW_SWITCH) {
        bool used = tp_json_bool(r, "use_sliding_window", false);
        c->first_windowed_layer = (int)tp_json_int(r, "max_window_layers", 28, 0, INT32_MAX);
        if (!used) c->sliding_window = 0;
    }
    if (row->window == TP_WINDOW_PATTERN)
        c->full_attention_every = (int)tp_json_int(r, "sliding_window_pattern", c->full_attention_every, 1, INT32_MAX);
    if (row->window == TP_WINDOW_SWITCH || row->window == TP_WINDOW_PATTERN) read_layer_types(r, c);
    /* One spelling for "no layer has a window" and one for "all have", so that equal models have equal configs. */
    if (c->full_attention_every > c->n_layers) c->full_attention_every = 0;
    if (c->sliding_window == 0 || c->first_windowed_layer >= c->n_layers || c->full_attention_every == 1)
        c->sliding_window = c->first_windowed_layer = c->full_attention_every = 0;
}

/* ---- the rest ---- */

/* Exporters write the class's own special ids even where the vocabulary was cut below them: there is no such token
 * then.
 */
static bool is_left_over(const tp_lm_config *c, const json_t *id, int usual) {
    return json_is_integer(id) && json_integer_value(id) == usual && usual >= c->vocab_size;
}

static void read_eos(tp_json_reader *r, tp_lm_config *c) {
    json_t *value = tp_json_any(r, "eos_token_id");
    if (value == NULL) {
        if (tp_config_is_null(r, "eos_token_id")) c->n_eos = 0;
        int kept = 0; /* the class's default may lie outside of a small vocabulary */
        for (int i = 0; i < c->n_eos; i++)
            if (c->eos_ids[i] < c->vocab_size) c->eos_ids[kept++] = c->eos_ids[i];
        c->n_eos = kept;
        return;
    }
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
    if (is_left_over(c, value, tp_lm_family_get(c->family)->defaults.eos_ids[0])) return;
    int id = (int)tp_json_int(r, "eos_token_id", -1, -1, c->vocab_size - 1);
    if (id >= 0) c->eos_ids[c->n_eos++] = id;
}

static void read_bos(tp_json_reader *r, tp_lm_config *c) {
    bool left_over = is_left_over(c, tp_json_any(r, "bos_token_id"), c->bos_id);
    if (tp_config_is_null(r, "bos_token_id") || c->bos_id >= c->vocab_size) c->bos_id = -1;
    if (left_over) return;
    c->bos_id = (int)tp_json_int(r, "bos_token_id", c->bos_id, -1, c->vocab_size - 1);
}

static void read_dtype(tp_json_reader *r, tp_lm_config *c) {
    static const char *const names[] = {"float32", "float16", "bfloat16", NULL};
    static const tp_dtype dtypes[] = {TP_F32, TP_F16, TP_BF16};
    const char *key = tp_json_has(r, "torch_dtype") ? "torch_dtype" : "dtype"; /* the latter since transformers 5 */
    c->dtype = dtypes[tp_json_choice(r, key, 0, names)];
}

static void read_activation(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    static const char *const names[] = {"silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", NULL};
    static const tp_activation kinds[] = {TP_ACT_SILU,      TP_ACT_SILU,      TP_ACT_GELU,
                                          TP_ACT_GELU_TANH, TP_ACT_GELU_TANH, TP_ACT_GELU_TANH};
    int which = tp_json_choice(r, row->keys->activation, -1, names);
    if (which >= 0) c->activation = kinds[which];
    if (c->plain_ffn && c->activation == TP_ACT_SILU)
        tp_config_unsupported(r, row->keys->activation, "is \"%s\", supported without a gate are: gelu, gelu_new",
                              names[which < 0 ? 0 : which]);
}

static void read_biases(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    if (row->attention_bias) c->qkv_bias = c->o_bias = tp_json_bool(r, "attention_bias", c->o_bias);
    if (row->mlp_bias) c->ffn_bias = tp_json_bool(r, "mlp_bias", c->ffn_bias);
}

/* Gemma's: scaled embeddings and queries, soft caps. */
static void read_scales(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    if (row->scales_embeddings) c->embedding_scale = sqrt(c->d_model);
    if (row->query_scalar == 0) return;
    c->query_scale = 1 / sqrt(tp_json_real(r, "query_pre_attn_scalar", row->query_scalar, 1e-6, 1e9));
    const char *const keys[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    double *const caps[] = {&c->attention_softcap, &c->final_softcap};
    for (int i = 0; i < 2; i++) {
        if (tp_config_is_null(r, keys[i])) *caps[i] = 0;
        *caps[i] = tp_json_real(r, keys[i], *caps[i], 1e-3, 1e9);
    }
}

static void refuse_what_would_change_the_result(tp_json_reader *r) {
    static const struct {
        const char *key;
        bool usual;
        const char *what;
    } switches[] = {
        {"scale_attn_weights", true, "is false: attention scores that are not scaled are not supported"},
        {"scale_attn_by_inverse_layer_idx", false, "is true: attention scores scaled by layer are not supported"},
        {"add_cross_attention", false, "is true: decoders that read an encoder are not supported"},
        {"use_bidirectional_attention", false, "is true: only attention to what came before is supported"},
    };
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (tp_json_bool(r, switches[i].key, switches[i].usual) != switches[i].usual)
            tp_config_unsupported(r, switches[i].key, "%s", switches[i].what);
    if (tp_json_has(r, "quantization_config"))
        tp_config_unsupported(r, "quantization_config", "is set: quantised safetensors checkpoints are not supported");
}

static void read_config(tp_json_reader *r, tp_lm_config *c) {
    const tp_lm_family_row *row = read_family(r, c);
    if (r->status != TP_OK) return; /* what follows depends on the family */
    read_sizes(r, row, c);
    if (r->status != TP_OK) return;
    tp_config_read_rope(r, row, c);
    read_window(r, row, c);
    read_biases(r, row, c);
    read_activation(r, row, c);
    read_scales(r, row, c);
    if (c->parallel_residual) c->parallel_residual = tp_json_bool(r, "use_parallel_residual", true);
    c->tie_word_embeddings = tp_json_bool(r, "tie_word_embeddings", c->tie_word_embeddings);
    read_bos(r, c);
    read_eos(r, c);
    read_dtype(r, c);
    refuse_what_would_change_the_result(r);
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
    if (tp_json_has(&r, "eos_token_id")) read_eos(&r, config);
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
