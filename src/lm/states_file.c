/* Rows of numbers in files. See states_file.h. */
#include "lm/states_file.h"

#include "base/half.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/str.h"
#include "lm/safetensors.h"

#include <stdio.h>
#include <string.h>

const char *const tp_states_pooling_names[] = {"none", "mean", "last", NULL};

void tp_states_pool(tp_states_pooling pool, const float *states, int64_t n, int64_t d, float *out) {
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t i = 0; pool == TP_STATES_MEAN && i < n; i++) sum += states[i * d + j];
        out[j] = pool == TP_STATES_MEAN ? (float)(sum / (double)n) : states[(n - 1) * d + j];
    }
}

/* ---- writing ---- */

static int64_t n_rows(const tp_states_file *f) {
    return f->pool == TP_STATES_EACH ? f->offsets[f->n_prompts] : f->n_prompts;
}

static tp_status write_npy(const char *path, const tp_states_file *f) {
    int64_t shape[3] = {f->n_layers, n_rows(f), f->d_model};
    return f->n_layers == 1 ? tp_npy_write(path, TP_F32, 2, shape + 1, f->states)
                            : tp_npy_write(path, TP_F32, 3, shape, f->states);
}

static tp_status write_safetensors(const char *path, const tp_states_file *f) {
    size_t n_tensors = (size_t)f->n_layers + 2, row = (size_t)f->d_model * sizeof(float);
    int64_t rows = n_rows(f), tokens = f->offsets[f->n_prompts];
    tp_st_tensor *tensors = tp_alloc(n_tensors * sizeof *tensors);
    char(*names)[32] = tp_alloc((size_t)f->n_layers * sizeof *names);
    tp_str layers = {0};
    for (int64_t l = 0; l < f->n_layers; l++) {
        snprintf(names[l], sizeof names[l], "layer.%d", (int)f->layers[l]);
        tp_str_appendf(&layers, "%s%d", l ? "," : "", (int)f->layers[l]);
        tensors[l] = (tp_st_tensor){.name = names[l],
                                    .dtype = TP_F32,
                                    .n_dims = 2,
                                    .shape = {rows, f->d_model},
                                    .data = f->states + l * rows * f->d_model,
                                    .n_bytes = (size_t)rows * row};
    }
    tensors[f->n_layers] = (tp_st_tensor){.name = "ids",
                                          .dtype = TP_I32,
                                          .n_dims = 1,
                                          .shape = {tokens},
                                          .data = f->ids,
                                          .n_bytes = (size_t)tokens * sizeof *f->ids};
    tensors[f->n_layers + 1] = (tp_st_tensor){.name = "offsets",
                                              .dtype = TP_I64,
                                              .n_dims = 1,
                                              .shape = {f->n_prompts + 1},
                                              .data = f->offsets,
                                              .n_bytes = (size_t)(f->n_prompts + 1) * sizeof *f->offsets};
    const tp_st_metadata metadata[] = {{"telepathy.kind", "states"}, {"telepathy.version", "1"},
                                       {"layers", layers.data},      {"pool", tp_states_pooling_names[f->pool]},
                                       {"model", f->family},         {"fingerprint", f->fingerprint}};
    tp_status status = tp_safetensors_write(path, tensors, n_tensors, metadata, sizeof metadata / sizeof metadata[0]);
    tp_str_free(&layers);
    tp_free(names);
    tp_free(tensors);
    return status;
}

tp_status tp_states_file_write(const char *path, const tp_states_file *file) {
    return tp_ends_with(path, ".npy") ? write_npy(path, file) : write_safetensors(path, file);
}

/* ---- reading ---- */

static bool is_wide(int n_dims, const int64_t *shape, int64_t width) {
    bool rows = n_dims == 2 || n_dims == 1 || (n_dims == 3 && shape[0] == 1);
    return rows && shape[n_dims - 1] == width;
}

/* The numbers as f32 rows; `what` names them for messages. */
static float *read_rows(const char *what, tp_dtype dtype, int n_dims, const int64_t *shape, const void *data,
                        int64_t width, int64_t *n) {
    if (!is_wide(n_dims, shape, width)) {
        tp_str found = {0};
        for (int i = 0; i < n_dims; i++) tp_str_appendf(&found, "%s%lld", i ? ", " : "", (long long)shape[i]);
        tp_fail(TP_ERR_ARGUMENT, "%s has shape [%s]; rows of %lld numbers, [n, %lld], were expected", what,
                found.data ? found.data : "", (long long)width, (long long)width);
        tp_str_free(&found);
        return NULL;
    }
    if (!tp_dtype_is_float(dtype))
        return tp_fail_null(TP_ERR_ARGUMENT, "%s is %s; f32, f16, bf16 or f64 was expected", what,
                            tp_dtype_name(dtype));
    *n = n_dims == 1 ? 1 : shape[n_dims - 2];
    float *rows = tp_try_alloc((size_t)*n * (size_t)width + 1, sizeof *rows);
    for (int64_t i = 0; rows && i < *n * width; i++)
        rows[i] = dtype == TP_F32    ? ((const float *)data)[i]
                  : dtype == TP_F16  ? tp_f16_to_f32(((const tp_f16 *)data)[i])
                  : dtype == TP_BF16 ? tp_bf16_to_f32(((const tp_bf16 *)data)[i])
                                     : (float)((const double *)data)[i];
    return rows;
}

static float *read_npy(const char *path, int64_t width, int64_t *n) {
    tp_npy array;
    if (tp_npy_open(path, &array) != TP_OK) return NULL;
    float *rows = read_rows(path, array.dtype, array.n_dims, array.shape, array.data, width, n);
    tp_npy_close(&array);
    return rows;
}

/* The tensor of that name; without one, the only tensor of floats of that width. */
static const tp_st_tensor *choose_tensor(const tp_safetensors *st, const char *path, const char *name, int64_t width) {
    if (name) return tp_safetensors_find(st, name);
    const tp_st_tensor *only = NULL;
    tp_str names = {0};
    int n_fit = 0;
    for (size_t i = 0; i < tp_safetensors_count(st); i++) {
        const tp_st_tensor *t = tp_safetensors_get(st, i);
        if (!tp_dtype_is_float(t->dtype) || !is_wide(t->n_dims, t->shape, width)) continue;
        only = t;
        if (n_fit++ < 8) tp_str_appendf(&names, "%s%s", names.len ? ", " : "", t->name);
    }
    if (n_fit > 1)
        only = tp_fail_null(TP_ERR_ARGUMENT, "%s holds %d tensors of rows %lld wide (%s%s): name the one to take", path,
                            n_fit, (long long)width, names.data, n_fit > 8 ? ", ..." : "");
    else if (n_fit == 0)
        tp_fail(TP_ERR_ARGUMENT, "%s holds no tensor of rows %lld wide", path, (long long)width);
    tp_str_free(&names);
    return only;
}

float *tp_rows_file_read(const char *path, const char *tensor, int64_t width, int64_t *n) {
    if (tp_ends_with(path, ".npy")) {
        if (tensor == NULL) return read_npy(path, width, n);
        return tp_fail_null(TP_ERR_ARGUMENT, "%s is one array, there is no tensor `%s` in it", path, tensor);
    }
    tp_safetensors *st = tp_safetensors_open(path);
    const tp_st_tensor *t = st ? choose_tensor(st, path, tensor, width) : NULL;
    float *rows = NULL;
    if (t) {
        char *what = tp_format("%s: `%s`", path, t->name);
        rows = read_rows(what, t->dtype, t->n_dims, t->shape, t->data, width, n);
        tp_free(what);
    }
    tp_safetensors_close(st);
    return rows;
}
