/* What an encoder's folder says about it: config.json, and sentence-transformers' files. See encoder.h. */
#include "base/model_path.h"
#include "base/str.h"
#include "lm/config_limits.h"
#include "lm/encoder.h"
#include "lm/small_json.h"

#include <string.h>

enum { LARGEST_CONFIG = 4 << 20 };

const char *const tp_pooling_names[] = {"mean", "cls", "last", NULL};

/* A well-formed value that asks for what this program does not do. */
static void unsupported(tp_json_reader *r, const char *key, const char *what) {
    if (r->status != TP_OK) return;
    tp_json_error(r, key, "%s", what);
    r->status = tp_fail(TP_ERR_UNSUPPORTED, "%s", tp_last_error());
}

static int required_int(tp_json_reader *r, const char *key, int max) {
    tp_json_require(r, key);
    return (int)tp_json_int(r, key, 1, 1, max);
}

static void read_bert(tp_json_reader *r, tp_encoder_config *c) {
    if (strcmp(tp_json_text(r, "model_type", ""), "bert") != 0)
        unsupported(r, "model_type", "is not \"bert\", the only kind of encoder supported");
    c->vocab_size = required_int(r, "vocab_size", TP_LM_MAX_VOCAB);
    c->d_model = required_int(r, "hidden_size", TP_LM_MAX_WIDTH);
    c->n_layers = required_int(r, "num_hidden_layers", TP_LM_MAX_LAYERS);
    c->n_heads = required_int(r, "num_attention_heads", TP_LM_MAX_HEADS);
    c->d_ff = required_int(r, "intermediate_size", TP_LM_MAX_FF);
    c->n_positions = (int)tp_json_int(r, "max_position_embeddings", 512, 1, TP_LM_MAX_VOCAB);
    c->n_types = (int)tp_json_int(r, "type_vocab_size", 2, 1, 1024);
    c->norm_eps = tp_json_real(r, "layer_norm_eps", 1e-12, 1e-30, 1);
    if (strcmp(tp_json_text(r, "hidden_act", "gelu"), "gelu") != 0)
        unsupported(r, "hidden_act", "is not \"gelu\", the only one supported in encoders");
    if (strcmp(tp_json_text(r, "position_embedding_type", "absolute"), "absolute") != 0)
        unsupported(r, "position_embedding_type", "is not \"absolute\", the only one supported in encoders");
    if (tp_json_bool(r, "is_decoder", false)) unsupported(r, "is_decoder", "is true: such a model is no encoder");
    if (r->status == TP_OK && c->d_model % c->n_heads != 0)
        tp_json_error(r, "num_attention_heads", "is %d, which does not divide `hidden_size` %d", c->n_heads,
                      c->d_model);
}

/* ---- sentence-transformers ---- */

/* Two spellings: `pooling_mode` with a name or a list of them, and before release 6 a flag for each way. Several ways
 * make longer rows, which are not supported; none means the mean. */
static void read_pooling(tp_json_reader *r, tp_encoder_config *c) {
    static const struct {
        const char *key, *name;
        int pooling; /* -1: not supported */
    } modes[] = {
        {"pooling_mode_mean_tokens", "mean", TP_POOL_MEAN},
        {"pooling_mode_cls_token", "cls", TP_POOL_CLS},
        {"pooling_mode_lasttoken", "lasttoken", TP_POOL_LAST},
        {"pooling_mode_max_tokens", "max", -1},
        {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", -1},
        {"pooling_mode_weightedmean_tokens", "weightedmean", -1},
    };
    enum { N_MODES = sizeof modes / sizeof modes[0] };
    const json_t *named = tp_json_any(r, "pooling_mode");
    if (json_is_array(named) && json_array_size(named) == 1) named = json_array_get(named, 0);
    const char *name = json_string_value(named);
    int found = -1, n = 0;
    for (int i = 0; i < N_MODES; i++) {
        bool flag = tp_json_bool(r, modes[i].key, false);
        if (named ? name == NULL || strcmp(name, modes[i].name) != 0 : !flag) continue;
        found = i;
        n++;
    }
    const char *key = named ? "pooling_mode" : n > 0 ? modes[found].key : "pooling_mode_mean_tokens";
    if ((named && n == 0) || n > 1 || (n == 1 && modes[found].pooling < 0))
        unsupported(r, key,
                    "asks for a way of pooling that is not supported; supported is one of mean, cls, last token");
    c->pooling = n == 1 && modes[found].pooling >= 0 ? (tp_pooling)modes[found].pooling : TP_POOL_MEAN;
}

static void read_length(tp_json_reader *r, tp_encoder_config *c) {
    c->max_tokens = (int)tp_json_int(r, "max_seq_length", c->max_tokens, 1, TP_LM_MAX_VOCAB);
    if (c->max_tokens > c->n_positions) c->max_tokens = c->n_positions;
    if (tp_json_bool(r, "do_lower_case", false))
        unsupported(r, "do_lower_case", "is true; texts are lowered by tokenizers only (normalizer in tokenizer.json)");
}

/* Where sentence-transformers' own files give no length (since release 6), the tokenizer's counts. */
static tp_status read_tokenizer_length(const char *folder, tp_encoder_config *c) {
    char *path = tp_path_join(folder, "tokenizer_config.json");
    tp_status status = TP_OK;
    if (tp_path_exists(path)) {
        json_t *value = tp_json_load_reals(path);
        double length = json_number_value(json_object_get(value, "model_max_length"));
        if (length >= 1 && length < c->max_tokens) c->max_tokens = (int)length;
        if (value == NULL) status = tp_last_status();
        json_decref(value);
    }
    tp_free(path);
    return status;
}

/* Reads folder/name with that function; a file that is not there is no error. */
static tp_status read_file(const char *folder, const char *name, void (*read)(tp_json_reader *, tp_encoder_config *),
                           tp_encoder_config *c) {
    char *path = tp_path_join(folder, name);
    tp_status status = TP_OK;
    if (tp_path_exists(path)) {
        json_t *value = tp_small_json_load(path, LARGEST_CONFIG);
        tp_json_reader r;
        if (value != NULL) {
            tp_json_begin(&r, value, path);
            if (r.status == TP_OK) read(&r, c);
        }
        status = value ? tp_json_end(&r, false) : tp_last_status();
        json_decref(value);
    }
    tp_free(path);
    return status;
}

/* modules.json lists what is done one after the other; the order Transformer, Pooling, Normalize is the only one met.
 */
static tp_status read_modules(const char *folder, const json_t *modules, const char *path, tp_encoder_config *c) {
    static const char *const known[] = {".Transformer", ".Pooling", ".Normalize"};
    if (!json_is_array(modules)) return tp_fail(TP_ERR_FORMAT, "%s does not hold a list of modules", path);
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *module = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(module, "type"));
        const char *place = json_string_value(json_object_get(module, "path"));
        if (type == NULL || place == NULL)
            return tp_fail(TP_ERR_FORMAT, "%s: module %zu has no `type` or no `path`", path, i);
        if (i >= 3 || !tp_ends_with(type, known[i]))
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: module %zu is %.80s; supported are Transformer, Pooling, Normalize",
                           path, i, type);
        if (place[0] == '/' || strstr(place, "..") != NULL)
            return tp_fail(TP_ERR_FORMAT, "%s: module %zu has the path \"%.80s\", a folder in this one was expected",
                           path, i, place);
        if (i == 1) {
            char *name = tp_format("%s/config.json", place);
            tp_status status = read_file(folder, name, read_pooling, c);
            tp_free(name);
            TP_TRY(status);
        }
        c->normalize = i == 2;
    }
    return TP_OK;
}

tp_status tp_encoder_config_read(const char *folder, tp_encoder_config *c) {
    *c = (tp_encoder_config){0};
    char *path = tp_path_join(folder, "config.json");
    tp_status status = tp_path_exists(path)
                           ? read_file(folder, "config.json", read_bert, c)
                           : tp_fail(TP_ERR_IO, "%s holds no encoder: config.json was expected", folder);
    tp_free(path);
    TP_TRY(status);
    c->max_tokens = c->n_positions;
    TP_TRY(read_tokenizer_length(folder, c));
    TP_TRY(read_file(folder, "sentence_bert_config.json", read_length, c));
    path = tp_path_join(folder, "modules.json");
    if (tp_path_exists(path)) {
        json_t *modules = tp_small_json_load(path, LARGEST_CONFIG);
        status = modules ? read_modules(folder, modules, path, c) : tp_last_status();
        json_decref(modules);
    }
    tp_free(path);
    return status;
}

bool tp_encoder_is(const char *model) {
    char *folder = tp_model_path(model), *path = folder ? tp_path_join(folder, "config.json") : NULL;
    json_t *config = path && tp_path_exists(path) ? tp_small_json_load(path, LARGEST_CONFIG) : NULL;
    const char *type = json_string_value(json_object_get(config, "model_type"));
    bool is = type && strcmp(type, "bert") == 0;
    json_decref(config);
    tp_free(path);
    tp_free(folder);
    return is;
}
