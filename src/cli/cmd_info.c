/* `telepathy info`: what a folder holds, a model or a trained bridge. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "base/table.h"
#include "bridge/checkpoint.h"
#include "cli/command.h"
#include "cli/piece.h"
#include "eval/table.h"
#include "lm/encoder.h"
#include "lm/model.h"

#include <stdio.h>
#include <string.h>

static void print_object(const json_t *object, int indent);

/* A value on one line. */
static void print_value(const json_t *value, int indent) {
    if (json_is_string(value)) {
        char *text = tp_visible_text(json_string_value(value), json_string_length(value));
        printf("  %s\n", text);
        tp_free(text);
    } else if (json_is_object(value)) {
        putchar('\n');
        print_object(value, indent + 2);
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        printf("  %s\n", text ? text : "");
        free(text);
    }
}

/* The same facts for people as JSON has for programs: a key and its value on each line. */
static void print_object(const json_t *object, int indent) {
    const char *key;
    json_t *value;
    int width = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) if ((int)strlen(key) > width) width = (int)strlen(key);
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (json_is_null(value)) continue;
        printf("%*s%-*s", indent, "", json_is_object(value) ? 0 : width, key);
        print_value(value, indent);
    }
}

/* ---- models ---- */

static json_t *describe_rope(const tp_lm_config *c) {
    if (c->positions == TP_POSITION_LEARNED) return json_string("none, positions are learned");
    static const char *const kinds[] = {"plain", "linear", "llama3", "longrope"};
    json_t *rope = json_pack("{s:f, s:s}", "theta", c->rope_theta, "scaling", kinds[c->rope_scaling.kind]);
    if (c->rope_scaling.kind == TP_ROPE_LINEAR || c->rope_scaling.kind == TP_ROPE_LLAMA3)
        json_object_set_new(rope, "factor", json_real(c->rope_scaling.factor));
    return rope;
}

static json_t *describe_tokenizer(const char *path) {
    tp_tokenizer *t = tp_lm_load_tokenizer(path);
    if (t == NULL) return json_pack("{s:s}", "none", tp_last_error());
    json_t *value =
        json_pack("{s:s, s:i, s:i, s:i, s:s}", "kind", tp_tokenizer_kind(t), "tokens", tp_tokenizer_size(t), "bos",
                  tp_tokenizer_bos(t), "eos", tp_tokenizer_eos(t), "fingerprint", tp_tokenizer_fingerprint(t));
    tp_tokenizer_free(t);
    return value;
}

static tp_status add_tensor(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    json_t *shape =
        rows == 1 ? json_pack("[I]", (json_int_t)cols) : json_pack("[I, I]", (json_int_t)rows, (json_int_t)cols);
    json_array_append_new(context,
                          json_pack("{s:s, s:s, s:o}", "name", name, "dtype", tp_dtype_name(w->dtype), "shape", shape));
    return TP_OK;
}

/* What the file says of itself, and how many of its bytes are of which type. */
static json_t *describe_gguf(const tp_gguf *g) {
    static const char *const texts[] = {"general.architecture", "general.name", "tokenizer.ggml.model",
                                        "tokenizer.ggml.pre"};
    json_t *value = json_pack("{s:i, s:I, s:I}", "version", (int)tp_gguf_version(g), "metadata_keys",
                              (json_int_t)tp_gguf_n_values(g), "tensors", (json_int_t)tp_gguf_count(g));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tp_gguf_fields f = {.file = g};
        char *text = tp_gguf_get_text(&f, texts[i]);
        if (text) json_object_set_new(value, texts[i], json_string(text));
        tp_free(text);
    }
    json_t *bytes = json_object();
    for (size_t i = 0; i < tp_gguf_count(g); i++) {
        const tp_st_tensor *t = tp_gguf_get(g, i);
        json_int_t before = json_integer_value(json_object_get(bytes, t->file_dtype));
        json_object_set_new(bytes, t->file_dtype, json_integer(before + (json_int_t)t->n_bytes));
    }
    json_object_set_new(value, "bytes", bytes);
    return value;
}

static json_t *describe_model(const char *path, bool tensors) {
    tp_lm *lm = tp_lm_load(path, false);
    if (lm == NULL) return NULL;
    const tp_lm_config *c = &lm->config;
    json_t *value = json_pack(
        "{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:i, s:i, s:b, s:s, s:f, s:s, s:o}", "family",
        tp_lm_family_name(c->family), "parameters", (json_int_t)tp_lm_n_parameters(lm), "layers", c->n_layers,
        "d_model", c->d_model, "heads", c->n_heads, "kv_heads", c->n_kv_heads, "head_dim", c->head_dim, "d_ff", c->d_ff,
        "vocabulary", c->vocab_size, "rope", describe_rope(c), "context", c->max_position_embeddings, "window",
        c->sliding_window, "tied", c->tie_word_embeddings, "dtype", tp_dtype_name(lm->embed.dtype), "embedding_rms",
        tp_lm_embedding_rms(lm), "fingerprint", lm->fingerprint, "tokenizer", describe_tokenizer(path));
    const tp_gguf *gguf = tp_checkpoint_gguf(lm->checkpoint);
    if (gguf) json_object_set_new(value, "gguf", describe_gguf(gguf));
    if (tensors) {
        json_t *list = json_array();
        tp_lm_visit(lm, add_tensor, list);
        json_object_set_new(value, "tensors", list);
    }
    tp_lm_free(lm);
    return value;
}

static json_t *describe_encoder(const char *path, bool tensors) {
    tp_encoder *e = tp_encoder_load(path, false);
    if (e == NULL) return NULL;
    const tp_encoder_config *c = &e->config;
    json_t *list = json_array();
    tp_encoder_visit(e, add_tensor, list);
    int64_t parameters = 0;
    size_t i, k;
    json_t *tensor, *size;
    json_array_foreach(list, i, tensor) {
        int64_t n = 1;
        json_array_foreach(json_object_get(tensor, "shape"), k, size) n *= json_integer_value(size);
        parameters += n;
    }
    json_t *value =
        json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:b, s:i, s:s, s:s, s:o}", "family", "bert (encoder)",
                  "parameters", (json_int_t)parameters, "layers", c->n_layers, "d_model", c->d_model, "heads",
                  c->n_heads, "d_ff", c->d_ff, "vocabulary", c->vocab_size, "context", c->n_positions, "pooling",
                  tp_pooling_names[c->pooling], "normalized", c->normalize, "longest_text", c->max_tokens, "dtype",
                  tp_dtype_name(e->words.dtype), "fingerprint", e->fingerprint, "tokenizer", describe_tokenizer(path));
    if (tensors) json_object_set(value, "tensors", list);
    json_decref(list);
    tp_encoder_free(e);
    return value;
}

static void print_tensors(const json_t *tensors) {
    tp_table *t = tp_table_new();
    tp_table_column(t, "<tensor");
    tp_table_column(t, "<dtype");
    tp_table_column(t, ">shape");
    size_t i;
    json_t *tensor;
    json_array_foreach(tensors, i, tensor) {
        json_t *shape = json_object_get(tensor, "shape");
        tp_table_cell(t, "%s", json_string_value(json_object_get(tensor, "name")));
        tp_table_cell(t, "%s", json_string_value(json_object_get(tensor, "dtype")));
        if (json_array_size(shape) == 1)
            tp_table_cell(t, "%lld", (long long)json_integer_value(json_array_get(shape, 0)));
        else
            tp_table_cell(t, "%lld x %lld", (long long)json_integer_value(json_array_get(shape, 0)),
                          (long long)json_integer_value(json_array_get(shape, 1)));
    }
    char *text = tp_table_text(t, TP_TABLE_PLAIN);
    printf("\n%s", text);
    tp_free(text);
    tp_table_free(t);
}

/* ---- runs ---- */

static json_t *describe_side(const tp_bridge_model *m) {
    return json_pack("{s:s, s:I, s:i, s:s, s:s}", "name", m->name, "d_model", (json_int_t)m->d_model, "layers",
                     m->n_layers, "fingerprint", m->fingerprint, "tokenizer", m->tokenizer);
}

static void add_bridge_tensor(void *context, tp_weight *w) {
    add_tensor(context, w, w->name, w->rows, w->cols);
}

/* The outcome of training, if the run is finished. */
static json_t *read_outcome(const char *folder) {
    char *path = tp_path_join(folder, "train.json");
    json_t *value = tp_path_exists(path) ? tp_json_load_file(path) : NULL;
    tp_free(path);
    return value ? value : json_null();
}

static json_t *describe_run(const char *path, bool tensors) {
    tp_trained_bridge *t = tp_bridge_load(path);
    if (t == NULL) return NULL;
    json_t *labels = json_array();
    for (int i = 0; i < t->n_labels; i++) json_array_append_new(labels, json_string(t->labels[i]));
    json_t *value = json_pack("{s:s, s:s, s:o, s:o, s:o, s:i, s:s, s:i, s:I, s:o, s:o, s:s}", "bridge",
                              t->recipe->bridge.kind, "task", t->task, "labels", labels, "sender",
                              describe_side(&t->sender), "receiver", describe_side(&t->receiver), "layer", t->layer,
                              "prompt", t->prompt, "soft_tokens", t->recipe->bridge.soft_tokens, "parameters",
                              (json_int_t)tp_bridge_n_parameters(t->bridge), "training", read_outcome(path), "recipe",
                              tp_recipe_to_json(t->recipe), "fingerprint", t->fingerprint);
    if (tensors) {
        json_t *list = json_array();
        tp_bridge_visit(t->bridge, add_bridge_tensor, list);
        json_object_set_new(value, "tensors", list);
    }
    tp_trained_bridge_free(t);
    return value;
}

static tp_results *read_results(const char *folder) {
    char *path = tp_path_join(folder, "eval.json");
    tp_results *results = tp_path_exists(path) ? tp_results_load(path) : NULL;
    tp_free(path);
    return results;
}

/* ---- the command ---- */

static bool holds(const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    bool there = tp_path_exists(path);
    tp_free(path);
    return there;
}

static tp_status show(tp_args *args, const char *path) {
    bool tensors = tp_args_flag(args, "tensors"), bridge = holds(path, "adapter_config.json");
    if (!tp_path_exists(path)) return tp_fail(TP_ERR_IO, "%s does not exist", path);
    bool file = !tp_is_dir(path);
    if (file && !tp_gguf_is(path)) return tp_fail(TP_ERR_ARGUMENT, "%s is neither a folder nor a GGUF file", path);
    if (!file && !bridge && !holds(path, "config.json"))
        return tp_fail(TP_ERR_ARGUMENT,
                       "%s holds neither a model (config.json) nor a trained bridge (adapter_config.json)", path);
    json_t *value = bridge                ? describe_run(path, tensors)
                    : tp_encoder_is(path) ? describe_encoder(path, tensors)
                                          : describe_model(path, tensors);
    if (value == NULL) return tp_last_status();
    tp_results *results = bridge ? read_results(path) : NULL;
    if (tp_args_flag(args, "json")) {
        if (results)
            json_object_set_new(value, "results", tp_eval_json((const tp_results *const *)&results, 1, NULL, false));
        json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        json_t *list = json_incref(json_object_get(value, "tensors"));
        json_object_del(value, "tensors");
        print_object(value, 0);
        if (list) print_tensors(list);
        json_decref(list);
        if (results) {
            char *table = tp_eval_table((const tp_results *const *)&results, 1, NULL, TP_TABLE_PLAIN);
            printf("\n%s", table);
            tp_free(table);
        }
    }
    tp_results_free(results);
    json_decref(value);
    return TP_OK;
}

static tp_status run(tp_args *args) {
    char *path = tp_model_path(tp_args_text(args, "MODEL"));
    tp_status status = path ? show(args, path) : tp_last_status();
    tp_free(path);
    return status;
}

const tp_command tp_cmd_info = {
    .name = "info",
    .summary = "say what a model or a trained bridge's folder holds",
    .text =
        "Of a model (a folder or a GGUF file): family, sizes, types, tokenizer, fingerprint. Of a trained bridge: the "
        "models it stands between with their fingerprints, the layer it reads, its recipe, the outcome of its "
        "training, and the table of its "
        "last evaluation. Everything is checked as it would be for use.",
    .examples = "telepathy info models/wren --tensors\n"
                "telepathy info llama-q4.gguf\n"
                "telepathy info runs/trec-42 --json\n",
    .options =
        (const tp_option[]){
            {.name = "MODEL",
             .letter = 'm',
             .type = TP_OPT_PATH,
             .positional = true,
             .required = true,
             .help = "a model as for generate, or the folder of a trained bridge"},
            {.name = "tensors", .type = TP_OPT_FLAG, .help = "list every tensor with its type and shape"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
