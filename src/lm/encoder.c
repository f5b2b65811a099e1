/* Encoders: weights, the forward pass, pooling. See encoder.h. */
#include "lm/encoder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "base/str.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- weights ---- */

tp_status tp_encoder_visit(tp_encoder *e, tp_encoder_visitor visit, void *context) {
    const tp_encoder_config *c = &e->config;
    int64_t d = c->d_model, f = c->d_ff;
    TP_TRY(visit(context, &e->words, "embeddings.word_embeddings.weight", c->vocab_size, d));
    TP_TRY(visit(context, &e->positions, "embeddings.position_embeddings.weight", c->n_positions, d));
    TP_TRY(visit(context, &e->types, "embeddings.token_type_embeddings.weight", c->n_types, d));
    TP_TRY(visit(context, &e->embed_norm, "embeddings.LayerNorm.weight", 1, d));
    TP_TRY(visit(context, &e->embed_norm_bias, "embeddings.LayerNorm.bias", 1, d));
    for (int l = 0; l < c->n_layers; l++) {
        tp_encoder_layer *y = &e->layers[l];
        const struct {
            tp_weight *w;
            const char *name;
            int64_t rows, cols;
        } weights[] = {
            {&y->q, "attention.self.query.weight", d, d},
            {&y->q_bias, "attention.self.query.bias", 1, d},
            {&y->k, "attention.self.key.weight", d, d},
            {&y->k_bias, "attention.self.key.bias", 1, d},
            {&y->v, "attention.self.value.weight", d, d},
            {&y->v_bias, "attention.self.value.bias", 1, d},
            {&y->o, "attention.output.dense.weight", d, d},
            {&y->o_bias, "attention.output.dense.bias", 1, d},
            {&y->attn_norm, "attention.output.LayerNorm.weight", 1, d},
            {&y->attn_norm_bias, "attention.output.LayerNorm.bias", 1, d},
            {&y->up, "intermediate.dense.weight", f, d},
            {&y->up_bias, "intermediate.dense.bias", 1, f},
            {&y->down, "output.dense.weight", d, f},
            {&y->down_bias, "output.dense.bias", 1, d},
            {&y->ffn_norm, "output.LayerNorm.weight", 1, d},
            {&y->ffn_norm_bias, "output.LayerNorm.bias", 1, d},
        };
        for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
            char name[96];
            snprintf(name, sizeof name, "encoder.layer.%d.%s", l, weights[i].name);
            TP_TRY(visit(context, weights[i].w, name, weights[i].rows, weights[i].cols));
        }
    }
    return TP_OK;
}

/* The name that the file has for a weight: with or without the prefix of models with a head, and in files made from
 * TensorFlow's with gamma and beta. */
static void name_in_file(const tp_checkpoint *c, const char *name, char out[128]) {
    const char *const prefixes[] = {"", "bert."};
    for (int i = 0; i < 4; i++) {
        snprintf(out, 128, "%s%s", prefixes[i % 2], name);
        char *dot = strrchr(out, '.');
        if (i >= 2 && strstr(out, "LayerNorm.")) strcpy(dot + 1, strcmp(dot, ".weight") == 0 ? "gamma" : "beta");
        if (tp_checkpoint_has(c, out)) return;
    }
    snprintf(out, 128, "%s", name); /* for the message */
}

static tp_status load_weight(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    tp_encoder *e = context;
    char found[128];
    name_in_file(e->checkpoint, name, found);
    bool vector = !tp_starts_with(name, "embeddings.") && tp_ends_with(name, ".bias");
    vector = vector || strstr(name, "LayerNorm") != NULL;
    const int64_t shape[2] = {vector ? cols : rows, cols};
    const tp_st_tensor *t = tp_checkpoint_weight(e->checkpoint, found, vector ? 1 : 2, shape);
    if (t == NULL) return tp_last_status();
    *w = (tp_weight){.name = t->name, .dtype = t->dtype, .rows = rows, .cols = cols, .data = t->data};
    return TP_OK;
}

static tp_status release_weight(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)context, (void)name, (void)rows, (void)cols;
    tp_weight_release(w);
    return TP_OK;
}

static tp_status load(tp_encoder *e, bool with_tokenizer) {
    if (!tp_is_dir(e->path)) return tp_fail(TP_ERR_IO, "%s is no folder with config.json and weights", e->path);
    TP_TRY(tp_encoder_config_read(e->path, &e->config));
    e->layers = tp_alloc((size_t)e->config.n_layers * sizeof *e->layers);
    e->checkpoint = tp_checkpoint_open(e->path);
    if (e->checkpoint == NULL) return tp_last_status();
    TP_TRY(tp_encoder_visit(e, load_weight, e));
    tp_hash *h = tp_hash_new();
    const double numbers[] = {e->config.n_heads, e->config.norm_eps, e->config.max_tokens, e->config.pooling,
                              e->config.normalize};
    tp_hash_add(h, numbers, sizeof numbers);
    tp_checkpoint_hash(e->checkpoint, h);
    tp_hash_end(h, e->fingerprint);
    if (!with_tokenizer) return TP_OK;
    e->tokenizer = tp_tokenizer_load(e->path, NULL);
    if (e->tokenizer == NULL) return tp_last_status();
    if (tp_tokenizer_size(e->tokenizer) > e->config.vocab_size)
        return tp_fail(TP_ERR_FORMAT, "%s: the tokenizer has %d tokens, but config.json gives the model %d", e->path,
                       tp_tokenizer_size(e->tokenizer), e->config.vocab_size);
    return TP_OK;
}

tp_encoder *tp_encoder_load(const char *model, bool with_tokenizer) {
    char *path = tp_model_path(model);
    if (path == NULL) return NULL;
    tp_encoder *e = tp_alloc(sizeof *e);
    e->path = path;
    if (load(e, with_tokenizer) == TP_OK) return e;
    tp_encoder_free(e);
    return NULL;
}

void tp_encoder_free(tp_encoder *e) {
    if (e == NULL) return;
    if (e->layers) tp_encoder_visit(e, release_weight, NULL);
    tp_tokenizer_free(e->tokenizer);
    tp_checkpoint_close(e->checkpoint);
    tp_free(e->layers);
    tp_free(e->path);
    tp_free(e);
}

/* ---- the forward pass ---- */

tp_var *tp_encoder_embed(tp_tape *tape, const tp_encoder *e, const int32_t *ids, const int32_t *types,
                         const int64_t *offsets, int64_t n_sequences) {
    int64_t n = offsets[n_sequences];
    int32_t *places = tp_arena_alloc(tape->arena, (size_t)n * sizeof *places);
    for (int64_t s = 0; s < n_sequences; s++) {
        assert(offsets[s + 1] - offsets[s] <= e->config.n_positions);
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++) places[i] = (int32_t)(i - offsets[s]);
    }
    if (types == NULL) types = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *types);
    tp_var *x = tp_embedding(tape, &e->words, ids, n);
    x = tp_add(tape, x, tp_embedding(tape, &e->types, types, n));
    x = tp_add(tape, x, tp_embedding(tape, &e->positions, places, n));
    return tp_layer_norm(tape, x, &e->embed_norm, &e->embed_norm_bias, (float)e->config.norm_eps);
}

static tp_var *block(tp_tape *tape, const tp_encoder *e, const tp_encoder_layer *y, tp_var *x, const int64_t *offsets,
                     int64_t n_sequences) {
    const tp_encoder_config *c = &e->config;
    int d = c->d_model / c->n_heads;
    float eps = (float)c->norm_eps;
    tp_attention_spec spec = {
        .n_heads = c->n_heads, .n_kv_heads = c->n_heads, .head_dim = d, .scale = 1.0f / sqrtf((float)d)};
    tp_var *q = tp_linear(tape, x, &y->q, &y->q_bias); /* [n, d_model] */
    tp_var *k = tp_linear(tape, x, &y->k, &y->k_bias);
    tp_var *v = tp_linear(tape, x, &y->v, &y->v_bias);
    tp_var *a = tp_attention(tape, q, k, v, offsets, offsets, n_sequences, &spec);
    x = tp_add(tape, tp_linear(tape, a, &y->o, &y->o_bias), x);
    x = tp_layer_norm(tape, x, &y->attn_norm, &y->attn_norm_bias, eps);
    tp_var *hidden = tp_gelu(tape, tp_linear(tape, x, &y->up, &y->up_bias)); /* [n, d_ff] */
    x = tp_add(tape, tp_linear(tape, hidden, &y->down, &y->down_bias), x);
    return tp_layer_norm(tape, x, &y->ffn_norm, &y->ffn_norm_bias, eps);
}

tp_var *tp_encoder_blocks(tp_tape *tape, const tp_encoder *e, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                          int from, int to) {
    assert(x->rows == offsets[n_sequences] && 0 <= from && from <= to && to <= e->config.n_layers);
    for (int l = from; l < to; l++) x = block(tape, e, &e->layers[l], x, offsets, n_sequences);
    return x;
}

tp_var *tp_pool(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences, tp_pooling pooling) {
    if (pooling == TP_POOL_MEAN) return tp_mean_rows(tape, x, offsets, n_sequences);
    tp_row_ref *rows = tp_arena_alloc(tape->arena, (size_t)n_sequences * sizeof *rows);
    for (int64_t s = 0; s < n_sequences; s++) {
        assert(offsets[s] < offsets[s + 1]);
        rows[s] = (tp_row_ref){0, pooling == TP_POOL_CLS ? offsets[s] : offsets[s + 1] - 1};
    }
    return tp_gather(tape, &x, 1, rows, n_sequences);
}

tp_var *tp_unit_rows(tp_tape *tape, tp_var *x) {
    /* divided by the root mean square, which is the length over sqrt(cols); the epsilon spares a row of zeros */
    return tp_scale(tape, tp_rms_norm(tape, x, NULL, 1e-30f), 1.0f / sqrtf((float)x->cols));
}

tp_status tp_encoder_tokenize(const tp_encoder *e, const char *text, size_t n, tp_ids *out) {
    assert(e->tokenizer != NULL);
    size_t before = out->len, most = (size_t)e->config.max_tokens;
    TP_TRY(tp_tokenizer_encode(e->tokenizer, text, n, TP_TOKENS_ADD_SPECIAL, out));
    if (out->len - before <= most) return TP_OK;
    int32_t last = out->data[out->len - 1];
    out->len = before + most;
    if (tp_tokenizer_is_special(e->tokenizer, last)) out->data[out->len - 1] = last;
    return TP_OK;
}
