/* Writing a GGUF file (version 3): the header is made in memory, the tensors' bytes go to the file as they come. The
 * same content gives the same bytes, and the file appears whole or not at all. See gguf.h. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/gguf.h"

#include <string.h>

enum { ALIGNMENT = 32 }; /* the format's default; so `general.alignment` need not be written */

static const size_t sizes[TP_GGUF_N_TYPES] = {
    [TP_GGUF_U8] = 1,  [TP_GGUF_I8] = 1,   [TP_GGUF_U16] = 2, [TP_GGUF_I16] = 2, [TP_GGUF_U32] = 4, [TP_GGUF_I32] = 4,
    [TP_GGUF_F32] = 4, [TP_GGUF_BOOL] = 1, [TP_GGUF_U64] = 8, [TP_GGUF_I64] = 8, [TP_GGUF_F64] = 8,
};

static void put_u32(tp_str *out, uint32_t v) {
    tp_str_append(out, &v, sizeof v);
}

static void put_u64(tp_str *out, uint64_t v) {
    tp_str_append(out, &v, sizeof v);
}

static void put_text(tp_str *out, const char *text, size_t n) {
    put_u64(out, n);
    tp_str_append(out, text, n);
}

static tp_status put_pair(tp_str *out, const tp_gguf_pair *p, const char *path) {
    bool sound = p->key && p->key[0] && (unsigned)p->type < TP_GGUF_N_TYPES && p->type != TP_GGUF_ARRAY;
    if (!sound || (!p->is_array && p->n != 1) || (p->n > 0 && p->data == NULL))
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: the metadata pair `%.120s` makes no sense", path,
                       p->key ? p->key : "");
    put_text(out, p->key, strlen(p->key));
    if (p->is_array) put_u32(out, TP_GGUF_ARRAY);
    put_u32(out, p->type);
    if (p->is_array) put_u64(out, p->n);
    if (p->type != TP_GGUF_TEXT) {
        tp_str_append(out, p->data, (size_t)p->n * sizes[p->type]);
        return TP_OK;
    }
    const char *const *texts = p->data;
    for (uint64_t i = 0; i < p->n; i++) put_text(out, texts[i], p->text_bytes ? p->text_bytes[i] : strlen(texts[i]));
    return TP_OK;
}

static size_t padded(size_t n) {
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static tp_status put_tensor(tp_str *out, const tp_st_tensor *t, size_t offset, const char *path) {
    int number = tp_gguf_type_number(t->dtype);
    int64_t n = 1;
    size_t bytes;
    bool sound = t->name && t->name[0] && strlen(t->name) < 64 && t->n_dims >= 1 && t->n_dims <= 4;
    for (int i = 0; sound && i < t->n_dims; i++)
        sound = t->shape[i] >= 0 && !__builtin_mul_overflow(n, t->shape[i], &n);
    if (!sound)
        return tp_fail(TP_ERR_ARGUMENT,
                       "cannot write %s: tensor `%.120s` needs a name of 1 to 63 bytes and 1 to 4 dimensions", path,
                       t->name ? t->name : "");
    if (number < 0 || t->shape[t->n_dims - 1] % tp_dtype_block(t->dtype) != 0)
        return tp_fail(TP_ERR_ARGUMENT, "cannot write %s: tensor `%s` with rows of %lld cannot be stored as %s", path,
                       t->name, (long long)t->shape[t->n_dims - 1], tp_dtype_name(t->dtype));
    if (!tp_dtype_bytes(t->dtype, n, &bytes) || bytes != t->n_bytes)
        return tp_fail(TP_ERR_ARGUMENT,
                       "cannot write %s: tensor `%s` comes with %zu bytes, its shape needs another number", path,
                       t->name, t->n_bytes);
    put_text(out, t->name, strlen(t->name));
    put_u32(out, (uint32_t)t->n_dims);
    for (int i = t->n_dims - 1; i >= 0; i--) put_u64(out, (uint64_t)t->shape[i]); /* the fastest first */
    put_u32(out, (uint32_t)number);
    put_u64(out, offset);
    return TP_OK;
}

static tp_status make_header(tp_str *out, const char *path, const tp_gguf_pair *pairs, size_t n_pairs,
                             const tp_st_tensor *tensors, size_t n_tensors) {
    tp_str_append(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, n_tensors);
    put_u64(out, n_pairs);
    for (size_t i = 0; i < n_pairs; i++) TP_TRY(put_pair(out, &pairs[i], path));
    size_t offset = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        TP_TRY(put_tensor(out, &tensors[i], offset, path));
        offset = padded(offset + tensors[i].n_bytes);
    }
    return TP_OK;
}

static void pad(tp_writer *w, size_t n) {
    static const char zeros[ALIGNMENT];
    tp_writer_write(w, zeros, padded(n) - n);
}

tp_status tp_gguf_write(const char *path, const tp_gguf_pair *pairs, size_t n_pairs, const tp_st_tensor *tensors,
                        size_t n_tensors, tp_gguf_producer produce, void *context) {
    tp_str header = {0};
    tp_status status = make_header(&header, path, pairs, n_pairs, tensors, n_tensors);
    tp_writer *w = status == TP_OK ? tp_writer_open(path) : NULL;
    if (status == TP_OK && w == NULL) status = tp_last_status();
    if (w) {
        tp_writer_write(w, header.data, header.len);
        pad(w, header.len);
    }
    for (size_t i = 0; i < n_tensors && w && status == TP_OK; i++) {
        if (tensors[i].data)
            tp_writer_write(w, tensors[i].data, tensors[i].n_bytes);
        else
            status = produce(context, i, w);
        pad(w, tensors[i].n_bytes);
    }
    tp_str_free(&header);
    if (status == TP_OK) return tp_writer_commit(w);
    tp_writer_abandon(w);
    return status;
}
