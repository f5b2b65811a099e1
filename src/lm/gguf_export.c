/* Writing models as GGUF: which tensor becomes what type, which row goes where, and the streaming of the bytes. See
 * gguf_export.h.
 *
 * Rows of q and k of the "llama" architecture are put in the order that llama.cpp turns them in (neighbours are a
 * pair), and GPT-NeoX's fused projection is taken apart into q, k and v; everything else keeps its order. */
#include "lm/gguf_export.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "lm/gguf_model.h"
#include "lm/gguf_pairs.h"
#include "lm/model.h"
#include "lm/rope_frequencies.h"
#include "tensor/kernels.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>

const char *const tp_gguf_kinds[] = {"keep", "f32",    "f16",    "bf16",   "q8_0", "q4_0",   "q4_1",   "q5_0",   "q5_1",
                                     "q2_k", "q3_k_s", "q4_k_s", "q5_k_s", "q6_k", "q3_k_m", "q4_k_m", "q5_k_m", NULL};

typedef struct {
    tp_dtype type; /* of most matrices; TP_UNKNOWN: as they are */
    tp_dtype more; /* of those that suffer most; TP_UNKNOWN: the same */
    int number;    /* llama.cpp's `general.file_type` */
} kind;

static const kind kinds[] = {
    {TP_UNKNOWN, TP_UNKNOWN, -1}, {TP_F32, TP_UNKNOWN, 0},   {TP_F16, TP_UNKNOWN, 1},   {TP_BF16, TP_UNKNOWN, 32},
    {TP_Q8_0, TP_UNKNOWN, 7},     {TP_Q4_0, TP_UNKNOWN, 2},  {TP_Q4_1, TP_UNKNOWN, 3},  {TP_Q5_0, TP_UNKNOWN, 8},
    {TP_Q5_1, TP_UNKNOWN, 9},     {TP_Q2_K, TP_UNKNOWN, 10}, {TP_Q3_K, TP_UNKNOWN, 11}, {TP_Q4_K, TP_UNKNOWN, 14},
    {TP_Q5_K, TP_UNKNOWN, 16},    {TP_Q6_K, TP_UNKNOWN, 18}, {TP_Q3_K, TP_Q4_K, 12},    {TP_Q4_K, TP_Q6_K, 15},
    {TP_Q5_K, TP_Q6_K, 17},
};

/* Which row of the source becomes row r. */
typedef enum { ORDER_SAME, ORDER_PAIRS, ORDER_HEADS } order;

typedef struct {
    tp_weight w; /* what is read, row by row */
    order order;
    int heads, head_dim;
} source;

typedef struct {
    const kind *kind;
    tp_lm *lm;                 /* from a folder */
    tp_checkpoint *checkpoint; /* from a file */
    tp_gguf_pairs pairs;
    tp_st_tensor *tensors;
    source *sources;
    size_t n, tensors_capacity, sources_capacity;
    tp_arena *arena; /* names, reordered vectors */
    tp_progress *progress;
    size_t done, total; /* bytes */
} export;

/* ---- types ---- */

static bool contains(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

/* The layers whose value and down projections get the larger type: the first and last eighth, and every third between
 * (as in llama.cpp's mixtures). */
static bool layer_needs_more(const char *name, int n_layers) {
    int layer = strncmp(name, "blk.", 4) == 0 ? atoi(name + 4) : 0;
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

/* A type that rows of `cols` numbers fit. */
static tp_dtype fitting(tp_dtype type, int64_t cols) {
    if (tp_dtype_block(type) == 1 || cols % tp_dtype_block(type) == 0) return type;
    if (cols % TP_QK != 0) return TP_F16;
    return type == TP_Q6_K ? TP_Q8_0 : type == TP_Q5_K ? TP_Q5_1 : type == TP_Q4_K ? TP_Q5_0 : TP_Q4_0;
}

static tp_dtype type_of(const export *e, const tp_st_tensor *t, tp_dtype now, bool output, int n_layers) {
    if (tp_dtype_block(now) == 1 && now != TP_F32 && now != TP_F16 && now != TP_BF16)
        return now; /* whole numbers, f64 */
    bool vector = t->n_dims < 2 || contains(t->name, "_norm.") || contains(t->name, "position_embd");
    if (vector) return TP_F32;
    if (e->kind->type == TP_UNKNOWN) return now;
    tp_dtype type = e->kind->type;
    if (tp_dtype_is_block(type) && type != TP_Q8_0 && output)
        type = TP_Q6_K;
    else if (e->kind->more && (contains(t->name, "attn_v.") || contains(t->name, "ffn_down.")) &&
             layer_needs_more(t->name, n_layers))
        type = e->kind->more;
    return fitting(type, t->shape[t->n_dims - 1]);
}

/* ---- collecting ---- */

static void add(export *e, tp_st_tensor t, source s, bool output, int n_layers) {
    tp_grow(&e->tensors, &e->tensors_capacity, e->n, sizeof *e->tensors);
    tp_grow(&e->sources, &e->sources_capacity, e->n, sizeof *e->sources);
    t.dtype = type_of(e, &t, s.w.dtype, output, n_layers);
    t.data = NULL;                                            /* asked for when it is due */
    tp_dtype_bytes(t.dtype, s.w.rows * s.w.cols, &t.n_bytes); /* what was read, or fits the type */
    e->total += t.n_bytes;
    e->tensors[e->n] = t;
    e->sources[e->n++] = s;
}

static int64_t source_row(const source *s, int64_t r) {
    if (s->order == ORDER_SAME) return r;
    int64_t d = s->head_dim, head = r / d, x = r % d;
    if (s->order == ORDER_PAIRS) return head * d + x / 2 + x % 2 * (d / 2); /* element i, then i + d / 2 */
    return (head % s->heads * 3 + head / s->heads) * d + x;
}

/* A vector in its new order, as f32. */
static void reorder_vector(export *e, source *s) {
    float *old = tp_arena_alloc(e->arena, (size_t)s->w.cols * sizeof *old);
    float *new = tp_arena_alloc(e->arena, (size_t)s->w.cols * sizeof *new);
    tp_weight_row(&s->w, 0, old);
    for (int64_t i = 0; i < s->w.cols; i++) new[i] = old[source_row(s, i)];
    s->w.data = new;
    s->w.dtype = TP_F32;
    s->order = ORDER_SAME;
}

static tp_status add_weight(void *context, tp_weight *w, const tp_weight_place *at) {
    export *e = context;
    const tp_lm_config *c = &e->lm->config;
    bool vector = tp_role_is_vector(at->role);
    source s = {.w = *w, .heads = c->n_heads, .head_dim = c->head_dim};
    bool paired = strcmp(tp_gguf_architecture(c->family), "llama") == 0;
    if (paired && (at->role == TP_W_Q || at->role == TP_W_K || at->role == TP_W_Q_BIAS || at->role == TP_W_K_BIAS))
        s.order = ORDER_PAIRS;
    if (c->qkv_layout == TP_QKV_PER_HEAD && (at->role == TP_W_QKV || at->role == TP_W_QKV_BIAS)) s.order = ORDER_HEADS;
    if (vector && s.order != ORDER_SAME) reorder_vector(e, &s);
    tp_st_tensor t = {.name = tp_arena_strdup(e->arena, at->name), .n_dims = vector ? 1 : 2};
    t.shape[0] = vector ? at->cols : at->rows;
    t.shape[1] = vector ? 0 : at->cols;
    bool output = at->role == TP_W_HEAD || (at->role == TP_W_EMBED && c->tie_word_embeddings);
    add(e, t, s, output, c->n_layers);
    return TP_OK;
}

static void add_vector(export *e, const char *name, const float *values, int n) {
    tp_st_tensor t = {.name = name, .n_dims = 1, .shape = {n}};
    add(e, t, (source){.w = {.dtype = TP_F32, .rows = 1, .cols = n, .data = values}}, false, 1);
}

/* What the frequencies are divided by, where that differs from pair to pair. */
static void add_divisors(export *e, const tp_lm_config *c) {
    int pairs = tp_lm_config_rotary_pairs(c);
    if (c->rope_scaling.kind == TP_ROPE_LLAMA3) {
        tp_lm_config plain = *c;
        plain.rope_scaling.kind = TP_ROPE_PLAIN;
        float *divisors = tp_arena_alloc(e->arena, (size_t)pairs * sizeof *divisors);
        float *scaled = tp_arena_alloc(e->arena, (size_t)pairs * sizeof *scaled);
        tp_rope_frequencies(&plain, TP_FREQUENCIES_USUAL, divisors);
        tp_rope_frequencies(c, TP_FREQUENCIES_USUAL, scaled);
        for (int i = 0; i < pairs; i++) divisors[i] /= scaled[i];
        add_vector(e, "rope_freqs.weight", divisors, pairs);
    }
    if (c->rope_scaling.kind == TP_ROPE_LONG) {
        add_vector(e, "rope_factors_long.weight", c->rope_scaling.long_factor, pairs);
        add_vector(e, "rope_factors_short.weight", c->rope_scaling.short_factor, pairs);
    }
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static tp_status collect_folder(export *e, const char *model) {
    const tp_lm_config *c = &e->lm->config;
    TP_TRY(tp_gguf_put_config(&e->pairs, c, last_part(model)));
    if (e->lm->tokenizer) TP_TRY(tp_gguf_put_tokenizer(&e->pairs, e->lm->path, e->lm->tokenizer, c->vocab_size));
    add_divisors(e, c);
    return tp_lm_visit_places(e->lm, &tp_gguf_weight_names, add_weight, e);
}

static tp_status collect_file(export *e, const tp_gguf *g) {
    tp_gguf_fields f = {.file = g};
    char *architecture = tp_gguf_get_text(&f, "general.architecture");
    char *key = tp_format("%s.block_count", architecture ? architecture : "");
    int n_layers = (int)tp_gguf_get_whole(&f, key, 1, 1, 1 << 20);
    tp_free(key);
    tp_free(architecture);
    TP_TRY(f.status);
    bool tied = true;
    for (size_t i = 0; i < tp_gguf_count(g); i++) tied = tied && strcmp(tp_gguf_get(g, i)->name, "output.weight") != 0;
    for (size_t i = 0; i < tp_gguf_n_values(g); i++) {
        const tp_gguf_value *v = tp_gguf_value_at(g, i);
        bool ours = strcmp(v->key, "general.file_type") == 0 || strcmp(v->key, "general.quantization_version") == 0 ||
                    strcmp(v->key, "general.alignment") == 0;
        if (!ours || (e->kind->number < 0 && strcmp(v->key, "general.alignment") != 0)) tp_gguf_put_value(&e->pairs, v);
    }
    for (size_t i = 0; i < tp_gguf_count(g); i++) {
        const tp_st_tensor *t = tp_gguf_get(g, i);
        if (t->dtype == TP_UNKNOWN || t->n_dims == 0)
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: tensor `%s` has the dtype %s, supported are " TP_GGUF_TYPE_NAMES,
                           t->file, t->name, t->file_dtype);
        int64_t cols = t->shape[t->n_dims - 1], rows = cols ? 1 : 0;
        for (int d = 0; d + 1 < t->n_dims; d++) rows *= t->shape[d];
        source s = {.w = {.dtype = t->dtype, .rows = rows, .cols = cols, .data = t->data}};
        bool output = strcmp(t->name, "output.weight") == 0 || (tied && strcmp(t->name, "token_embd.weight") == 0);
        add(e, *t, s, output, n_layers);
    }
    return TP_OK;
}

/* ---- writing ---- */

static void convert_row(tp_dtype to, const float *row, int64_t n, void *out) {
    if (to == TP_F32)
        memcpy(out, row, (size_t)n * sizeof *row);
    else if (to == TP_BF16)
        tp_cpu()->f32_to_bf16(out, row, n);
    else if (to == TP_F16)
        for (int64_t i = 0; i < n; i++) ((tp_f16 *)out)[i] = tp_f32_to_f16(row[i]);
    else
        tp_quantize_row(to, row, n, out);
}

/* Rows from .. from + n - 1 in the file's type into `out`; `row_bytes` apart. */
static void make_rows(const source *s, tp_dtype to, int64_t from, int64_t n, size_t row_bytes, unsigned char *out) {
    bool same = to == s->w.dtype;
#pragma omp parallel
    {
        float *row = tp_alloc((size_t)s->w.cols * sizeof *row);
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < n; i++) {
            int64_t at = source_row(s, from + i);
            if (same) {
                memcpy(out + (size_t)i * row_bytes, (const unsigned char *)s->w.data + (size_t)at * row_bytes,
                       row_bytes);
            } else {
                tp_weight_row(&s->w, at, row);
                convert_row(to, row, s->w.cols, out + (size_t)i * row_bytes);
            }
        }
        tp_free(row);
    }
}

static tp_status produce(void *context, size_t index, tp_writer *writer) {
    export *e = context;
    const source *s = &e->sources[index];
    const tp_st_tensor *t = &e->tensors[index];
    enum { CHUNK = 4 << 20 }; /* bytes */
    if (s->w.rows == 0) return TP_OK;
    size_t row_bytes = t->n_bytes / (size_t)s->w.rows;
    int64_t step = row_bytes < CHUNK ? (int64_t)(CHUNK / (row_bytes ? row_bytes : 1)) : 1;
    if (step > s->w.rows) step = s->w.rows;
    unsigned char *out = tp_try_alloc((size_t)step, row_bytes);
    if (out == NULL) return tp_last_status();
    for (int64_t from = 0; from < s->w.rows; from += step) {
        int64_t n = s->w.rows - from < step ? s->w.rows - from : step;
        make_rows(s, t->dtype, from, n, row_bytes, out);
        tp_writer_write(writer, out, (size_t)n * row_bytes);
        e->done += (size_t)n * row_bytes;
        tp_progress_update(e->progress, (double)e->done / 1e6, 0, "%s", t->name);
    }
    tp_free(out);
    return TP_OK;
}

static const kind *find_kind(const char *name) {
    for (int i = 0; tp_gguf_kinds[i]; i++)
        if (strcmp(tp_gguf_kinds[i], name) == 0) return &kinds[i];
    return tp_fail_null(TP_ERR_ARGUMENT, "there is no kind of GGUF file called `%.40s`", name);
}

tp_status tp_gguf_export(const char *model, const char *kind_name, const char *out, tp_progress *progress) {
    export e = {.kind = find_kind(kind_name), .progress = progress};
    if (e.kind == NULL) return tp_last_status();
    e.arena = tp_arena_new();
    char *path = tp_model_path(model);
    tp_status status = path ? TP_OK : tp_last_status();
    if (path && tp_gguf_is(path)) {
        e.checkpoint = tp_checkpoint_open(path);
        status = e.checkpoint ? collect_file(&e, tp_checkpoint_gguf(e.checkpoint)) : tp_last_status();
    } else if (path) {
        char *tokenizer = tp_path_join(path, "tokenizer.json");
        e.lm = tp_lm_load(path, tp_path_exists(tokenizer));
        tp_free(tokenizer);
        if (e.lm && e.lm->tokenizer == NULL)
            tp_progress_say(progress, "%s has no tokenizer.json: the GGUF file will have no vocabulary", path);
        status = e.lm ? collect_folder(&e, model) : tp_last_status();
    }
    if (status == TP_OK) {
        if (e.kind->number >= 0) {
            tp_gguf_put_u32(&e.pairs, "general.file_type", (uint32_t)e.kind->number);
            tp_gguf_put_u32(&e.pairs, "general.quantization_version", 2);
        }
        tp_progress_begin(progress, "writing", (double)e.total / 1e6, "MB", NULL);
        status = tp_gguf_write(out, e.pairs.items, e.pairs.n, e.tensors, e.n, produce, &e);
        tp_progress_end(progress);
    }
    tp_free(path);
    tp_gguf_pairs_free(&e.pairs);
    tp_free(e.tensors);
    tp_free(e.sources);
    tp_arena_free(e.arena);
    tp_checkpoint_close(e.checkpoint);
    tp_lm_free(e.lm);
    return status;
}
