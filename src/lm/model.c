/* Loading, making and saving decoders. One function, tp_lm_visit, knows every weight's name and shape; loading, making,
 * saving and counting all go through it. See model.h. */
#include "lm/model.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "lm/rope_frequencies.h"
#include "tensor/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

tp_status tp_lm_visit(tp_lm *lm, tp_weight_visitor visit, void *context) {
    const tp_lm_config *c = &lm->config;
    int64_t d = c->d_model, q = (int64_t)c->n_heads * c->head_dim, kv = (int64_t)c->n_kv_heads * c->head_dim;
    char name[128];
    TP_TRY(visit(context, &lm->embed, "model.embed_tokens.weight", c->vocab_size, d));
    for (int l = 0; l < c->n_layers; l++) {
        tp_layer *y = &lm->layers[l];
        struct {
            tp_weight *w;
            const char *name;
            int64_t rows, cols;
            bool present;
        } weights[] = {
            {&y->attn_norm, "input_layernorm.weight", 1, d, true},
            {&y->q, "self_attn.q_proj.weight", q, d, true},
            {&y->q_bias, "self_attn.q_proj.bias", 1, q, c->qkv_bias},
            {&y->k, "self_attn.k_proj.weight", kv, d, true},
            {&y->k_bias, "self_attn.k_proj.bias", 1, kv, c->qkv_bias},
            {&y->v, "self_attn.v_proj.weight", kv, d, true},
            {&y->v_bias, "self_attn.v_proj.bias", 1, kv, c->qkv_bias},
            {&y->o, "self_attn.o_proj.weight", d, q, true},
            {&y->o_bias, "self_attn.o_proj.bias", 1, d, c->o_bias},
            {&y->ffn_norm, "post_attention_layernorm.weight", 1, d, true},
            {&y->gate, "mlp.gate_proj.weight", c->d_ff, d, true},
            {&y->up, "mlp.up_proj.weight", c->d_ff, d, true},
            {&y->down, "mlp.down_proj.weight", d, c->d_ff, true},
        };
        for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
            if (!weights[i].present) continue;
            snprintf(name, sizeof name, "model.layers.%d.%s", l, weights[i].name);
            TP_TRY(visit(context, weights[i].w, name, weights[i].rows, weights[i].cols));
        }
    }
    TP_TRY(visit(context, &lm->final_norm, "model.norm.weight", 1, d));
    if (!c->tie_word_embeddings) TP_TRY(visit(context, &lm->head, "lm_head.weight", c->vocab_size, d));
    return TP_OK;
}

static tp_lm *new_shell(const tp_lm_config *config) {
    tp_lm *lm = tp_alloc(sizeof *lm);
    lm->config = *config;
    lm->layers = tp_alloc((size_t)config->n_layers * sizeof *lm->layers);
    lm->inv_freq = tp_alloc((size_t)(config->head_dim / 2) * sizeof(float));
    tp_rope_frequencies(config, lm->inv_freq);
    return lm;
}

/* ---- loading ---- */

static tp_status load_weight(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    tp_lm *lm = context;
    /* Some exporters store a tied pair under the head's name only. */
    if (w == &lm->embed && lm->config.tie_word_embeddings && !tp_checkpoint_has(lm->checkpoint, name))
        name = "lm_head.weight";
    bool vector = rows == 1 && w != &lm->embed && w != &lm->head;
    const int64_t shape[2] = {vector ? cols : rows, cols};
    const tp_st_tensor *tensor = tp_checkpoint_weight(lm->checkpoint, name, vector ? 1 : 2, shape);
    if (tensor == NULL) return tp_last_status();
    *w = (tp_weight){.name = tensor->name, .dtype = tensor->dtype, .rows = rows, .cols = cols, .data = tensor->data};
    return TP_OK;
}

static void fingerprint(tp_lm *lm) {
    tp_hash *h = tp_hash_new();
    tp_lm_config_hash(&lm->config, h);
    tp_checkpoint_hash(lm->checkpoint, h);
    tp_hash_end(h, lm->fingerprint);
}

static tp_lm *load_path(const char *path, bool with_tokenizer) {
    tp_lm_config config;
    tp_lm *lm = NULL;
    tp_status status;
    if (tp_is_dir(path))
        status = tp_lm_config_read(path, &config);
    else
        status = tp_fail(TP_ERR_IO,
                         "there is no model at %s: a folder with config.json and model.safetensors was expected", path);
    if (status == TP_OK) {
        lm = new_shell(&config);
        lm->path = tp_strdup(path);
        lm->checkpoint = tp_checkpoint_open(path);
        status = lm->checkpoint ? tp_lm_visit(lm, load_weight, lm) : tp_last_status();
    }
    if (status == TP_OK) fingerprint(lm);
    if (status == TP_OK && with_tokenizer) {
        lm->tokenizer = tp_tokenizer_load(path, NULL);
        if (lm->tokenizer == NULL)
            status = tp_last_status();
        else if (tp_tokenizer_size(lm->tokenizer) > config.vocab_size)
            status = tp_fail(TP_ERR_FORMAT, "%s: the tokenizer has %d tokens, but config.json gives the model %d", path,
                             tp_tokenizer_size(lm->tokenizer), config.vocab_size);
    }
    if (status == TP_OK) return lm;
    tp_lm_free(lm);
    return NULL;
}

tp_lm *tp_lm_load(const char *model, bool with_tokenizer) {
    char *path = tp_model_path(model);
    tp_lm *lm = path ? load_path(path, with_tokenizer) : NULL;
    tp_free(path);
    return lm;
}

/* ---- making ---- */

typedef struct {
    tp_lm *lm;
    uint64_t seed;
    double embed_std;
    tp_dtype dtype; /* of a frozen model */
} recipe;

/* The standard deviation of a new weight; 0 means "all ones" (norm gains) and -1 "all zeros" (biases). */
static double initial_std(const recipe *r, const tp_weight *w, const char *name, int64_t rows) {
    if (rows == 1) return strstr(name, ".bias") ? -1.0 : 0.0;
    if (w == &r->lm->embed) return r->embed_std;
    if (strstr(name, "o_proj") || strstr(name, "down_proj")) return 0.02 / sqrt(2.0 * r->lm->config.n_layers);
    return 0.02;
}

static tp_status make_trainable(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    recipe *r = context;
    tp_params_attach(&r->lm->params, w, name, rows, cols);
    double std = initial_std(r, w, name, rows);
    if (std > 0)
        tp_weight_init_normal(w, r->seed, std);
    else
        tp_weight_init_value(w, std == 0.0 ? 1.0f : 0.0f);
    return TP_OK;
}

tp_lm *tp_lm_new(const tp_lm_config *config, uint64_t seed, double embed_std) {
    recipe r = {.lm = new_shell(config), .seed = seed, .embed_std = embed_std};
    tp_lm_visit(r.lm, make_trainable, &r);
    return r.lm;
}

/* Random numbers in bulk for models of gigabytes: quality does not matter, speed does. */
static tp_status make_frozen(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    recipe *r = context;
    double std = initial_std(r, w, name, rows);
    int64_t n = rows * cols;
    void *data = tp_alloc((size_t)n * tp_dtype_size(r->dtype));
#pragma omp parallel for
    for (int64_t start = 0; start < n; start += 4096) {
        tp_rng rng = tp_rng_stream(r->seed, name, (uint64_t)start);
        for (int64_t i = start; i < n && i < start + 4096; i++) {
            /* uniform with the same standard deviation */
            float u = (float)tp_rng_u32(&rng) * 0x1p-31f - 1.0f;
            float x = std > 0 ? u * (float)std * 1.7320508f : std == 0.0 ? 1.0f : 0.0f;
            if (r->dtype == TP_BF16)
                ((tp_bf16 *)data)[i] = tp_f32_to_bf16(x);
            else if (r->dtype == TP_F16)
                ((tp_f16 *)data)[i] = tp_f32_to_f16(x);
            else
                ((float *)data)[i] = x;
        }
    }
    *w = (tp_weight){.name = NULL, .dtype = r->dtype, .rows = rows, .cols = cols, .data = data};
    return TP_OK;
}

tp_lm *tp_lm_new_frozen(const tp_lm_config *config, uint64_t seed, tp_dtype dtype) {
    recipe r = {.lm = new_shell(config), .seed = seed, .embed_std = 0.02, .dtype = dtype};
    tp_lm_visit(r.lm, make_frozen, &r);
    return r.lm;
}

static tp_status release(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    const tp_lm *lm = context;
    (void)name, (void)rows, (void)cols;
    tp_weight_release(w);
    if (lm->checkpoint == NULL) tp_free((void *)(uintptr_t)w->data); /* made by make_frozen */
    return TP_OK;
}

void tp_lm_free(tp_lm *lm) {
    if (lm == NULL) return;
    if (lm->params.n > 0)
        tp_params_free(&lm->params);
    else
        tp_lm_visit(lm, release, lm);
    tp_checkpoint_close(lm->checkpoint);
    tp_tokenizer_free(lm->tokenizer);
    tp_free(lm->layers);
    tp_free(lm->inv_freq);
    tp_free(lm->path);
    tp_free(lm);
}

/* ---- saving ---- */

typedef struct {
    tp_st_tensor *tensors;
    size_t n, capacity;
    tp_dtype dtype;
    tp_arena *arena;
} collection;

static tp_status collect(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    collection *c = context;
    int64_t n = rows * cols;
    float *wide = tp_arena_alloc(c->arena, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < rows; i++) tp_weight_row(w, i, wide + i * cols);
    void *data = wide;
    if (c->dtype == TP_BF16) {
        data = tp_arena_alloc(c->arena, (size_t)n * sizeof(tp_bf16));
        tp_cpu()->f32_to_bf16(data, wide, n);
    } else if (c->dtype == TP_F16) {
        data = tp_arena_alloc(c->arena, (size_t)n * sizeof(tp_f16));
        for (int64_t i = 0; i < n; i++) ((tp_f16 *)data)[i] = tp_f32_to_f16(wide[i]);
    }
    tp_grow(&c->tensors, &c->capacity, c->n, sizeof *c->tensors);
    tp_st_tensor *tensor = &c->tensors[c->n++];
    *tensor = (tp_st_tensor){.name = tp_arena_strdup(c->arena, name),
                             .dtype = c->dtype,
                             .data = data,
                             .n_bytes = (size_t)n * tp_dtype_size(c->dtype)};
    bool vector = rows == 1;
    tensor->n_dims = vector ? 1 : 2;
    tensor->shape[0] = vector ? cols : rows;
    tensor->shape[1] = vector ? 0 : cols;
    return TP_OK;
}

tp_status tp_lm_save(const tp_lm *lm, const char *folder, tp_dtype dtype) {
    TP_TRY(tp_make_dirs(folder));
    tp_lm_config config = lm->config;
    config.dtype = dtype;
    TP_TRY(tp_lm_config_write(&config, folder));
    collection c = {.dtype = dtype, .arena = tp_arena_new()};
    tp_lm_visit((tp_lm *)(uintptr_t)lm, collect, &c); /* collect only reads */
    char *path = tp_path_join(folder, "model.safetensors");
    tp_status status = tp_safetensors_write(path, c.tensors, c.n, NULL, 0);
    tp_free(path);
    tp_free(c.tensors);
    tp_arena_free(c.arena);
    return status;
}

/* ---- facts ---- */

static tp_status count(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)w, (void)name;
    *(int64_t *)context += rows * cols;
    return TP_OK;
}

int64_t tp_lm_n_parameters(const tp_lm *lm) {
    int64_t n = 0;
    tp_lm_visit((tp_lm *)(uintptr_t)lm, count, &n);
    return n;
}

double tp_lm_embedding_rms(const tp_lm *lm) {
    int64_t d = lm->embed.cols;
    float *row = tp_alloc((size_t)d * sizeof(float));
    double sum = 0;
    for (int64_t i = 0; i < lm->embed.rows; i++) {
        tp_weight_row(&lm->embed, i, row);
        sum += sqrt(tp_cpu()->sum_squares(row, d) / (double)d);
    }
    tp_free(row);
    return sum / (double)lm->embed.rows;
}
