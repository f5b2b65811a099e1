/* Loading, making and saving decoders. One function, tp_lm_visit_places, knows every weight's name and shape; loading,
 * making, saving and counting all go through it. See model.h. */
#include "lm/model.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "lm/encoder.h"
#include "lm/family.h"
#include "lm/gguf_model.h"
#include "lm/turn.h"
#include "tensor/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the weights there are ---- */

typedef struct {
    tp_weight *w;
    tp_weight_role role;
    int64_t rows, cols;
    bool present;
} entry;

static tp_status visit_entries(const tp_lm_names *names, int layer, const entry *entries, size_t n,
                               tp_place_visitor visit, void *context) {
    char name[160];
    for (size_t i = 0; i < n; i++) {
        const entry *e = &entries[i];
        if (!e->present) continue;
        const char *of = names->of[e->role] ? names->of[e->role] : "?"; /* a weight the family has no name for */
        if (layer >= 0)
            snprintf(name, sizeof name, "%s%s%d.%s", names->root, names->layers, layer, of);
        else
            snprintf(name, sizeof name, "%s%s", e->role == TP_W_HEAD ? "" : names->root, of);
        TP_TRY(visit(context, e->w, &(tp_weight_place){e->role, layer, name, e->rows, e->cols}));
    }
    return TP_OK;
}

tp_status tp_lm_visit_places(tp_lm *lm, const tp_lm_names *names, tp_place_visitor visit, void *context) {
    const tp_lm_config *c = &lm->config;
    if (names == NULL) names = tp_lm_family_get(c->family)->names;
    int64_t d = c->d_model, q = (int64_t)c->n_heads * c->head_dim, kv = (int64_t)c->n_kv_heads * c->head_dim;
    int64_t ff = c->d_ff;
    bool centred = c->norm == TP_NORM_LAYER, apart = c->qkv_layout == TP_QKV_APART;
    bool gate = !c->plain_ffn && !c->fused_gate_up;
    const entry first[] = {
        {&lm->embed, TP_W_EMBED, c->vocab_size, d, true},
        {&lm->positions, TP_W_POSITIONS, c->max_position_embeddings, d, c->positions == TP_POSITION_LEARNED},
    };
    TP_TRY(visit_entries(names, -1, first, sizeof first / sizeof first[0], visit, context));
    for (int l = 0; l < c->n_layers; l++) {
        tp_layer *y = &lm->layers[l];
        const entry block[] = {
            {&y->attn_norm, TP_W_ATTN_NORM, 1, d, true},
            {&y->attn_norm_bias, TP_W_ATTN_NORM_BIAS, 1, d, centred},
            {&y->qkv, TP_W_QKV, q + 2 * kv, d, !apart},
            {&y->qkv_bias, TP_W_QKV_BIAS, 1, q + 2 * kv, !apart && c->qkv_bias},
            {&y->q, TP_W_Q, q, d, apart},
            {&y->q_bias, TP_W_Q_BIAS, 1, q, apart && c->qkv_bias},
            {&y->k, TP_W_K, kv, d, apart},
            {&y->k_bias, TP_W_K_BIAS, 1, kv, apart && c->qkv_bias},
            {&y->v, TP_W_V, kv, d, apart},
            {&y->v_bias, TP_W_V_BIAS, 1, kv, apart && c->qkv_bias},
            {&y->q_norm, TP_W_Q_NORM, 1, c->head_dim, c->qk_norm},
            {&y->k_norm, TP_W_K_NORM, 1, c->head_dim, c->qk_norm},
            {&y->o, TP_W_O, d, q, true},
            {&y->o_bias, TP_W_O_BIAS, 1, d, c->o_bias},
            {&y->attn_post_norm, TP_W_ATTN_POST_NORM, 1, d, c->post_norms},
            {&y->ffn_norm, TP_W_FFN_NORM, 1, d, true},
            {&y->ffn_norm_bias, TP_W_FFN_NORM_BIAS, 1, d, centred},
            {&y->gate_up, TP_W_GATE_UP, 2 * ff, d, c->fused_gate_up},
            {&y->gate, TP_W_GATE, ff, d, gate},
            {&y->gate_bias, TP_W_GATE_BIAS, 1, ff, gate && c->ffn_bias},
            {&y->up, TP_W_UP, ff, d, !c->fused_gate_up},
            {&y->up_bias, TP_W_UP_BIAS, 1, ff, !c->fused_gate_up && c->ffn_bias},
            {&y->down, TP_W_DOWN, d, ff, true},
            {&y->down_bias, TP_W_DOWN_BIAS, 1, d, c->ffn_bias},
            {&y->ffn_post_norm, TP_W_FFN_POST_NORM, 1, d, c->post_norms},
        };
        TP_TRY(visit_entries(names, l, block, sizeof block / sizeof block[0], visit, context));
    }
    const entry last[] = {
        {&lm->final_norm, TP_W_FINAL_NORM, 1, d, true},
        {&lm->final_norm_bias, TP_W_FINAL_NORM_BIAS, 1, d, centred},
        {&lm->head, TP_W_HEAD, c->vocab_size, d, !c->tie_word_embeddings},
    };
    return visit_entries(names, -1, last, sizeof last / sizeof last[0], visit, context);
}

/* How the files behind the model spell its weights. */
static const tp_lm_names *names_of(const tp_lm *lm) {
    bool gguf = lm->checkpoint && tp_checkpoint_gguf(lm->checkpoint);
    return gguf ? &tp_gguf_weight_names : tp_lm_family_get(lm->config.family)->names;
}

typedef struct {
    tp_weight_visitor visit;
    void *context;
} plain_visit;

static tp_status visit_plainly(void *context, tp_weight *w, const tp_weight_place *at) {
    const plain_visit *p = context;
    return p->visit(p->context, w, at->name, at->rows, at->cols);
}

tp_status tp_lm_visit(tp_lm *lm, tp_weight_visitor visit, void *context) {
    return tp_lm_visit_places(lm, names_of(lm), visit_plainly, &(plain_visit){visit, context});
}

static tp_lm *new_shell(const tp_lm_config *c) {
    tp_lm *lm = tp_alloc(sizeof *lm);
    lm->config = *c;
    lm->layers = tp_alloc((size_t)c->n_layers * sizeof *lm->layers);
    int pairs = tp_lm_config_rotary_pairs(c);
    const bool has[TP_N_FREQUENCIES] = {[TP_FREQUENCIES_USUAL] = pairs > 0,
                                        [TP_FREQUENCIES_LOCAL] = pairs > 0 && c->rope_local_theta > 0,
                                        [TP_FREQUENCIES_LONG] = pairs > 0 && c->rope_scaling.kind == TP_ROPE_LONG};
    for (int i = 0; i < TP_N_FREQUENCIES; i++) {
        if (!has[i]) continue;
        lm->inv_freq[i] = tp_alloc((size_t)pairs * sizeof(float));
        tp_rope_frequencies(c, (tp_frequencies)i, lm->inv_freq[i]);
    }
    return lm;
}

/* ---- loading ---- */

static bool turned(const tp_lm_names *names, const tp_weight_place *at) {
    return names->turned && tp_role_is_block_matrix(at->role);
}

/* What the decoder cannot use as the file has it: matrices the other way round, gains without their 1. */
static void convert(tp_lm *lm, const tp_lm_names *names, tp_weight *w, const tp_weight_place *at) {
    bool turn = turned(names, at), less_one = names->gains_less_one && tp_role_is_gain(at->role);
    if (!turn && !less_one) return;
    if (lm->converted == NULL) lm->converted = tp_arena_new();
    size_t n = (size_t)(at->rows * at->cols);
    if (turn) {
        void *out = tp_arena_alloc(lm->converted, n * tp_dtype_size(w->dtype));
        tp_turn(w->data, at->rows, at->cols, tp_dtype_size(w->dtype), out);
        w->data = out;
    } else {
        float *out = tp_arena_alloc(lm->converted, n * sizeof(float));
        tp_weight_row(w, 0, out);
        for (size_t i = 0; i < n; i++) out[i] += 1;
        w->data = out;
        w->dtype = TP_F32;
    }
}

static tp_status load_weight(void *context, tp_weight *w, const tp_weight_place *at) {
    tp_lm *lm = context;
    const tp_lm_names *names = names_of(lm);
    const char *name = at->name;
    size_t root = strlen(names->root);
    /* Files of the model without its head lack the root. Some exporters store a tied pair under the head's name only.
     */
    if (!tp_checkpoint_has(lm->checkpoint, name) && strncmp(name, names->root, root) == 0 &&
        tp_checkpoint_has(lm->checkpoint, name + root))
        name += root;
    else if (w == &lm->embed && lm->config.tie_word_embeddings && !tp_checkpoint_has(lm->checkpoint, name))
        name = names->of[TP_W_HEAD];
    bool vector = tp_role_is_vector(at->role), turn = turned(names, at);
    const int64_t shape[2] = {vector || turn ? at->cols : at->rows, turn ? at->rows : at->cols};
    const tp_st_tensor *tensor = tp_checkpoint_weight(lm->checkpoint, name, vector ? 1 : 2, shape);
    if (tensor == NULL) return tp_last_status();
    *w = (tp_weight){
        .name = tensor->name, .dtype = tensor->dtype, .rows = at->rows, .cols = at->cols, .data = tensor->data};
    convert(lm, names, w, at);
    return TP_OK;
}

static void fingerprint(tp_lm *lm) {
    tp_hash *h = tp_hash_new();
    tp_lm_config_hash(&lm->config, h);
    tp_checkpoint_hash(lm->checkpoint, h);
    tp_hash_end(h, lm->fingerprint);
}

/* Opens the weights and finds out what they are the weights of. */
static tp_status open_files(const char *path, tp_checkpoint **checkpoint, tp_lm_config *config) {
    bool folder = tp_is_dir(path);
    if (!folder && !tp_gguf_is(path))
        return tp_fail(TP_ERR_IO,
                       "there is no model at %s: a folder with config.json and model.safetensors, or a GGUF file, was "
                       "expected",
                       path);
    if (folder) TP_TRY(tp_lm_config_read(path, config));
    *checkpoint = tp_checkpoint_open(path);
    if (*checkpoint == NULL) return tp_last_status();
    return folder ? TP_OK : tp_lm_config_from_gguf(tp_checkpoint_gguf(*checkpoint), config);
}

static tp_status load_tokenizer(tp_lm *lm) {
    const tp_gguf *gguf = tp_checkpoint_gguf(lm->checkpoint);
    lm->tokenizer = gguf ? tp_gguf_tokenizer(gguf) : tp_tokenizer_load(lm->path, NULL);
    if (lm->tokenizer == NULL) return tp_last_status();
    int size = tp_tokenizer_size(lm->tokenizer);
    if (size <= lm->config.vocab_size) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s: the tokenizer has %d tokens, but %s gives the model %d", lm->path, size,
                   gguf ? "`token_embd.weight`" : "config.json", lm->config.vocab_size);
}

static tp_lm *load_path(const char *path, bool with_tokenizer) {
    tp_lm_config config;
    tp_lm *lm = NULL;
    tp_checkpoint *checkpoint = NULL;
    tp_status status = open_files(path, &checkpoint, &config);
    if (status == TP_OK) {
        lm = new_shell(&config);
        lm->path = tp_strdup(path);
        lm->checkpoint = checkpoint;
        status = tp_lm_visit_places(lm, names_of(lm), load_weight, lm);
    } else {
        tp_checkpoint_close(checkpoint);
    }
    if (status == TP_OK) fingerprint(lm);
    if (status == TP_OK && with_tokenizer) status = load_tokenizer(lm);
    if (status == TP_OK) return lm;
    tp_lm_free(lm);
    return NULL;
}

tp_tokenizer *tp_lm_load_tokenizer(const char *model) {
    char *path = tp_model_path(model);
    tp_tokenizer *tokenizer = NULL;
    if (path && !tp_is_dir(path) && tp_gguf_is(path)) {
        tp_gguf *g = tp_gguf_open(path);
        tokenizer = g ? tp_gguf_tokenizer(g) : NULL;
        tp_gguf_close(g);
    } else if (path) {
        tokenizer = tp_tokenizer_load(path, NULL);
    }
    tp_free(path);
    return tokenizer;
}

tp_status tp_lm_lock(const tp_lm *lm) {
    return lm->checkpoint ? tp_checkpoint_lock(lm->checkpoint) : TP_OK;
}

tp_lm *tp_lm_load(const char *model, bool with_tokenizer) {
    char *path = tp_model_path(model);
    tp_lm *lm = NULL;
    if (path && tp_encoder_is(path))
        tp_fail(TP_ERR_UNSUPPORTED, "%s is an encoder, which neither generates nor scores; `telepathy embed` uses it",
                path);
    else if (path)
        lm = load_path(path, with_tokenizer);
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
static double initial_std(const recipe *r, tp_weight_role role) {
    if (tp_role_is_bias(role)) return -1.0;
    if (tp_role_is_gain(role)) return 0.0;
    if (role == TP_W_EMBED) return r->embed_std;
    if (role == TP_W_O || role == TP_W_DOWN) return 0.02 / sqrt(2.0 * r->lm->config.n_layers);
    return 0.02;
}

static tp_status make_trainable(void *context, tp_weight *w, const tp_weight_place *at) {
    recipe *r = context;
    tp_params_attach(&r->lm->params, w, at->name, at->rows, at->cols);
    double std = initial_std(r, at->role);
    if (std > 0)
        tp_weight_init_normal(w, r->seed, std);
    else
        tp_weight_init_value(w, std == 0.0 ? 1.0f : 0.0f);
    return TP_OK;
}

tp_lm *tp_lm_new(const tp_lm_config *config, uint64_t seed, double embed_std) {
    recipe r = {.lm = new_shell(config), .seed = seed, .embed_std = embed_std};
    tp_lm_visit_places(r.lm, NULL, make_trainable, &r);
    return r.lm;
}

/* Random numbers in bulk for models of gigabytes: quality does not matter, speed does. */
static tp_status make_frozen(void *context, tp_weight *w, const tp_weight_place *at) {
    recipe *r = context;
    double std = initial_std(r, at->role);
    int64_t n = at->rows * at->cols;
    const char *name = at->name;
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
    *w = (tp_weight){.name = NULL, .dtype = r->dtype, .rows = at->rows, .cols = at->cols, .data = data};
    return TP_OK;
}

tp_lm *tp_lm_new_frozen(const tp_lm_config *config, uint64_t seed, tp_dtype dtype) {
    if (dtype != TP_F32 && dtype != TP_F16 && dtype != TP_BF16)
        return tp_fail_null(TP_ERR_ARGUMENT, "a model cannot be made of %s: f32, f16 and bf16 are possible",
                            tp_dtype_name(dtype));
    recipe r = {.lm = new_shell(config), .seed = seed, .embed_std = 0.02, .dtype = dtype};
    tp_lm_visit_places(r.lm, NULL, make_frozen, &r);
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
    tp_arena_free(lm->converted);
    tp_free(lm->layers);
    for (int i = 0; i < TP_N_FREQUENCIES; i++) tp_free(lm->inv_freq[i]);
    tp_free(lm->path);
    tp_free(lm);
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

void tp_lm_embedding_row(const tp_lm *lm, int64_t id, float *out) {
    tp_weight_row(&lm->embed, id, out);
    float scale = (float)lm->config.embedding_scale;
    for (int64_t j = 0; scale > 0 && j < lm->embed.cols; j++) out[j] *= scale;
}

double tp_lm_embedding_rms(const tp_lm *lm) {
    int64_t d = lm->embed.cols;
    float *row = tp_alloc((size_t)d * sizeof(float));
    double sum = 0;
    for (int64_t i = 0; i < lm->embed.rows; i++) {
        tp_lm_embedding_row(lm, i, row);
        sum += sqrt(tp_cpu()->sum_squares(row, d) / (double)d);
    }
    tp_free(row);
    return sum / (double)lm->embed.rows;
}
