/* Writing a safetensors file: the same content gives the same bytes, and the file appears whole or not at all.
 *
 * The order is the reference implementation's: wide types first, then by name. With no holes allowed between tensors
 * this is what keeps every tensor aligned for its type. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/safetensors.h"
#include "lm/safetensors_types.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int by_width_and_name(const void *a, const void *b) {
    const tp_st_tensor *x = *(const tp_st_tensor *const *)a, *y = *(const tp_st_tensor *const *)b;
    size_t w = tp_dtype_size(x->dtype), v = tp_dtype_size(y->dtype);
    if (w != v) return w > v ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tp_st_tensor *const *)a)->name, (*(const tp_st_tensor *const *)b)->name);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const tp_st_metadata *)a)->key, ((const tp_st_metadata *)b)->key);
}

static tp_status check_tensor(const char *path, const tp_st_tensor *t, bool has_data) {
    if (t->name == NULL || strcmp(t->name, "__metadata__") == 0)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: a tensor has no name, or the name __metadata__", path);
    if (tp_st_dtype_name(t->dtype) == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: tensor `%s` has a type the format does not know", path,
                       t->name);
    if (t->n_dims < 0 || t->n_dims > TP_ST_MAX_DIMS)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: tensor `%s` has %d dimensions, allowed is 0 to %d", path,
                       t->name, t->n_dims, TP_ST_MAX_DIMS);
    int64_t n = 1;
    size_t bytes;
    for (int i = 0; i < t->n_dims; i++)
        if (t->shape[i] < 0 || __builtin_mul_overflow(n, t->shape[i], &n))
            return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: the shape of tensor `%s` makes no sense", path, t->name);
    if (!tp_dtype_bytes(t->dtype, n, &bytes) || bytes != t->n_bytes || (has_data && bytes > 0 && t->data == NULL))
        return tp_fail(TP_ERR_ARGUMENT,
                       "cannot write %s: tensor `%s` comes with %zu bytes, its shape needs another number", path,
                       t->name, t->n_bytes);
    return TP_OK;
}

/* Appends the text as a JSON string; fails for text that is not UTF-8, which JSON cannot hold. */
static tp_status append_string(tp_str *out, const char *text, const char *path) {
    json_t *value = json_string(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    if (quoted) tp_str_append_text(out, quoted);
    free(quoted);
    json_decref(value);
    return quoted ? TP_OK : tp_fail(TP_ERR_ARGUMENT, "cannot write %s: a name or metadata text is not UTF-8", path);
}

static tp_status append_metadata(tp_str *out, const tp_st_metadata *metadata, size_t n, const char *path) {
    tp_st_metadata *sorted = tp_alloc((n + 1) * sizeof *sorted);
    bool has_format = false;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = metadata[i];
        has_format = has_format || strcmp(metadata[i].key, "format") == 0;
    }
    if (!has_format) sorted[n++] = (tp_st_metadata){"format", "pt"};
    qsort(sorted, n, sizeof *sorted, by_key);
    tp_status status = TP_OK;
    tp_str_append_text(out, "{\"__metadata__\":{");
    for (size_t i = 0; i < n && status == TP_OK; i++) {
        if (i > 0 && strcmp(sorted[i].key, sorted[i - 1].key) == 0)
            status = tp_fail(TP_ERR_ARGUMENT, "cannot write %s: metadata key `%s` given twice", path, sorted[i].key);
        if (i > 0) tp_str_append_char(out, ',');
        if (status == TP_OK) status = append_string(out, sorted[i].key, path);
        tp_str_append_char(out, ':');
        if (status == TP_OK) status = append_string(out, sorted[i].value, path);
    }
    tp_str_append_char(out, '}');
    tp_free(sorted);
    return status;
}

static tp_status append_entry(tp_str *out, const tp_st_tensor *t, size_t begin, const char *path) {
    tp_str_append_char(out, ',');
    TP_TRY(append_string(out, t->name, path));
    tp_str_appendf(out, ":{\"dtype\":\"%s\",\"shape\":[", tp_st_dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims; i++) tp_str_appendf(out, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    tp_str_appendf(out, "],\"data_offsets\":[%zu,%zu]}", begin, begin + t->n_bytes);
    return TP_OK;
}

/* The header's text, padded so that the data begins at a multiple of TP_ALIGN. */
static tp_status make_header(tp_str *out, const tp_st_tensor **order, size_t n_tensors, const tp_st_metadata *metadata,
                             size_t n_metadata, const char *path) {
    TP_TRY(append_metadata(out, metadata, n_metadata, path));
    size_t at = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        TP_TRY(append_entry(out, order[i], at, path));
        at += order[i]->n_bytes;
    }
    tp_str_append_char(out, '}');
    while ((sizeof(uint64_t) + out->len) % TP_ALIGN != 0) tp_str_append_char(out, ' ');
    return TP_OK;
}

/* All tensors sound, no name twice; leaves them in the order of the file. */
static tp_status check_and_order(const tp_st_tensor **order, const tp_st_tensor *tensors, size_t n, bool has_data,
                                 const char *path) {
    for (size_t i = 0; i < n; i++) {
        TP_TRY(check_tensor(path, &tensors[i], has_data));
        order[i] = &tensors[i];
    }
    if (n > 1) qsort(order, n, sizeof *order, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: tensor `%s` given twice", path, order[i]->name);
    if (n > 1) qsort(order, n, sizeof *order, by_width_and_name);
    return TP_OK;
}

/* The tensors behind the header, as they are or as they are made. */
static tp_status write_tensors(tp_writer *w, const tp_st_tensor **order, const tp_st_tensor *tensors, size_t n,
                               tp_st_producer produce, void *context) {
    for (size_t i = 0; i < n; i++) {
        if (produce)
            TP_TRY(produce(context, (size_t)(order[i] - tensors), w));
        else
            tp_writer_write(w, order[i]->data, order[i]->n_bytes);
    }
    return TP_OK;
}

tp_status tp_safetensors_write_made(const char *path, const tp_st_tensor *tensors, size_t n_tensors,
                                    const tp_st_metadata *metadata, size_t n_metadata, tp_st_producer produce,
                                    void *context) {
    const tp_st_tensor **order = tp_alloc(n_tensors * sizeof *order);
    tp_str header = {0};
    tp_status status = check_and_order(order, tensors, n_tensors, produce == NULL, path);
    if (status == TP_OK) status = make_header(&header, order, n_tensors, metadata, n_metadata, path);
    tp_writer *w = status == TP_OK ? tp_writer_open(path) : NULL;
    if (w) {
        uint64_t length = header.len;
        tp_writer_write(w, &length, sizeof length);
        tp_writer_write(w, header.data, header.len);
        status = write_tensors(w, order, tensors, n_tensors, produce, context);
        if (status == TP_OK)
            status = tp_writer_commit(w);
        else
            tp_writer_abandon(w);
    } else if (status == TP_OK) {
        status = tp_last_status();
    }
    tp_str_free(&header);
    tp_free(order);
    return status;
}

tp_status tp_safetensors_write(const char *path, const tp_st_tensor *tensors, size_t n_tensors,
                               const tp_st_metadata *metadata, size_t n_metadata) {
    return tp_safetensors_write_made(path, tensors, n_tensors, metadata, n_metadata, NULL, NULL);
}
