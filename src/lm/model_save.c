/* Saving a decoder as a Hugging Face folder: every weight by its name there, its rows in the order there, a few rows in
 * memory at a time. See model.h. */
#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "lm/family.h"
#include "lm/model.h"
#include "lm/turn.h"
#include "tensor/kernels.h"

typedef struct {
    const tp_weight *w;
    tp_weight_role role;
    bool turned; /* stored as [inputs, outputs] */
} source;

typedef struct {
    const tp_lm_config *config;
    const tp_lm_names *names;
    tp_dtype dtype;
    tp_st_tensor *tensors;
    source *sources;
    size_t n, tensors_capacity, sources_capacity;
    tp_arena *arena; /* names */
} collection;

/* The row of a weight that becomes row i of Hugging Face's. In GGUF files pairs that turn together are neighbours, and
 * q, k and v of GPT-NeoX follow each other. A bias is a column of such rows. */
static int64_t source_row(const tp_lm_config *c, tp_weight_role role, int64_t i) {
    int64_t d = c->head_dim, head = i / d, x = i % d, half = (c->rotary_dim ? c->rotary_dim : d) / 2;
    bool paired = role == TP_W_Q || role == TP_W_K || role == TP_W_Q_BIAS || role == TP_W_K_BIAS;
    if (c->rope_adjacent && paired && x < 2 * half) return head * d + (x < half ? 2 * x : 2 * (x - half) + 1);
    bool fused = c->family == TP_LM_GPT_NEOX && c->qkv_layout == TP_QKV_STACKED;
    if (fused && (role == TP_W_QKV || role == TP_W_QKV_BIAS)) return (head % 3 * c->n_heads + head / 3) * d + x;
    return i;
}

static tp_status collect(void *context, tp_weight *w, const tp_weight_place *at) {
    collection *c = context;
    tp_grow(&c->tensors, &c->tensors_capacity, c->n, sizeof *c->tensors);
    tp_grow(&c->sources, &c->sources_capacity, c->n, sizeof *c->sources);
    bool vector = tp_role_is_vector(at->role), turned = c->names->turned && tp_role_is_block_matrix(at->role);
    int64_t rows = turned ? at->cols : at->rows, cols = turned ? at->rows : at->cols;
    c->sources[c->n] = (source){w, at->role, turned};
    c->tensors[c->n++] = (tp_st_tensor){.name = tp_arena_strdup(c->arena, at->name),
                                        .dtype = c->dtype,
                                        .n_dims = vector ? 1 : 2,
                                        .shape = {vector ? cols : rows, vector ? 0 : cols},
                                        .n_bytes = (size_t)(rows * cols) * tp_dtype_size(c->dtype)};
    return TP_OK;
}

static void narrow(tp_dtype dtype, const float *x, int64_t n, void *out) {
    if (dtype == TP_F32)
        memcpy(out, x, (size_t)n * sizeof *x);
    else if (dtype == TP_BF16)
        tp_cpu()->f32_to_bf16(out, x, n);
    else
        for (int64_t i = 0; i < n; i++) ((tp_f16 *)out)[i] = tp_f32_to_f16(x[i]);
}

static void write_vector(const collection *c, const source *s, tp_writer *writer) {
    int64_t n = s->w->cols;
    float *row = tp_alloc((size_t)n * sizeof *row), *ordered = tp_alloc((size_t)n * sizeof *ordered);
    tp_weight_row(s->w, 0, row);
    float less = c->names->gains_less_one && tp_role_is_gain(s->role) ? 1 : 0;
    for (int64_t i = 0; i < n; i++) ordered[i] = row[source_row(c->config, s->role, i)] - less;
    narrow(c->dtype, ordered, n, row);
    tp_writer_write(writer, row, (size_t)n * tp_dtype_size(c->dtype));
    tp_free(row);
    tp_free(ordered);
}

/* Rows from .. from + n - 1 of what is written, `size` bytes an element. */
static void make_rows(const collection *c, const source *s, int64_t from, int64_t n, size_t size, char *out) {
    int64_t cols = s->w->cols;
#pragma omp parallel
    {
        float *row = tp_alloc((size_t)cols * sizeof *row);
#pragma omp for
        for (int64_t i = 0; i < n; i++) {
            tp_weight_row(s->w, source_row(c->config, s->role, from + i), row);
            narrow(c->dtype, row, cols, out + (size_t)(i * cols) * size);
        }
        tp_free(row);
    }
}

static tp_status write_matrix(const collection *c, const source *s, tp_writer *writer) {
    enum { CHUNK = 1 << 20 }; /* bytes */
    int64_t rows = s->w->rows, cols = s->w->cols;
    size_t size = tp_dtype_size(c->dtype), row_bytes = (size_t)cols * size;
    int64_t step = s->turned ? rows : (int64_t)(CHUNK / (row_bytes ? row_bytes : 1)) + 1;
    if (step > rows) step = rows;
    char *out = tp_try_alloc((size_t)step, row_bytes),
         *other = s->turned ? tp_try_alloc((size_t)step, row_bytes) : NULL;
    tp_status status = out && (other || !s->turned) ? TP_OK : tp_last_status();
    for (int64_t from = 0; from < rows && status == TP_OK; from += step) {
        int64_t n = rows - from < step ? rows - from : step;
        make_rows(c, s, from, n, size, out);
        if (s->turned) tp_turn(out, cols, rows, size, other);
        tp_writer_write(writer, s->turned ? other : out, (size_t)n * row_bytes);
    }
    tp_free(out);
    tp_free(other);
    return status;
}

static tp_status produce(void *context, size_t index, tp_writer *writer) {
    const collection *c = context;
    const source *s = &c->sources[index];
    if (!tp_role_is_vector(s->role)) return write_matrix(c, s, writer);
    write_vector(c, s, writer);
    return TP_OK;
}

tp_status tp_lm_save(const tp_lm *lm, const char *folder, tp_dtype dtype) {
    TP_TRY(tp_make_dirs(folder));
    tp_lm_config config = lm->config;
    config.dtype = dtype;
    config.rope_adjacent = false;
    if (config.family == TP_LM_GPT_NEOX) config.qkv_layout = TP_QKV_PER_HEAD;
    TP_TRY(tp_lm_config_write(&config, folder));
    collection c = {.dtype = dtype,
                    .names = tp_lm_family_get(config.family)->names,
                    .config = &lm->config,
                    .arena = tp_arena_new()};
    tp_lm_visit_places((tp_lm *)(uintptr_t)lm, c.names, collect, &c); /* collect only reads */
    char *path = tp_path_join(folder, "model.safetensors");
    tp_status status = tp_safetensors_write_made(path, c.tensors, c.n, NULL, 0, produce, &c);
    tp_free(path);
    tp_free(c.tensors);
    tp_free(c.sources);
    tp_arena_free(c.arena);
    return status;
}
