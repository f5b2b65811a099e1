/* Reading a GGUF file: a cursor that never leaves the file walks the header once, and everything in it is checked. See
 * gguf.h for what a caller may rely on afterwards. */
#include "lm/gguf.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are used as they lie in the file, little-endian");

enum {
    MAGIC = 0x46554747, /* "GGUF" */
    MAX_DIMS = 4,       /* as ggml */
    MAX_NAME = 1024,    /* bytes of a key or a tensor's name; ggml itself allows names of 64 */
    MAX_ALIGNMENT = 1 << 20,
    DEFAULT_ALIGNMENT = 32,
    LEAST_PAIR = 8 + 4 + 1,       /* bytes that a pair takes in the file at the very least */
    LEAST_TENSOR = 8 + 4 + 4 + 8, /* and a tensor's entry */
    SHOWN = 120,                  /* bytes of a name repeated in an error sentence */
};

struct tp_gguf {
    char *path;
    tp_mapping map;
    uint32_t version;
    size_t alignment;
    tp_gguf_value *values; /* [n_values], by key */
    size_t n_values;
    tp_st_tensor *tensors; /* [n_tensors], by name */
    size_t n_tensors;
    char *names; /* every key and name with its zero byte: together shorter than the header */
    size_t names_used;
};

/* Where reading has got to. */
typedef struct cursor {
    tp_gguf *file;
    size_t at;
} cursor;

static const struct {
    const char *name;
    size_t size; /* 0: not of one size */
} value_types[TP_GGUF_N_TYPES] = {
    [TP_GGUF_U8] = {"u8", 1},   [TP_GGUF_I8] = {"i8", 1},       [TP_GGUF_U16] = {"u16", 2},
    [TP_GGUF_I16] = {"i16", 2}, [TP_GGUF_U32] = {"u32", 4},     [TP_GGUF_I32] = {"i32", 4},
    [TP_GGUF_F32] = {"f32", 4}, [TP_GGUF_BOOL] = {"bool", 1},   [TP_GGUF_TEXT] = {"text", 0},
    [TP_GGUF_U64] = {"u64", 8}, [TP_GGUF_ARRAY] = {"array", 0}, [TP_GGUF_I64] = {"i64", 8},
    [TP_GGUF_F64] = {"f64", 8},
};

const char *tp_gguf_type_name(tp_gguf_type type) {
    return (unsigned)type < TP_GGUF_N_TYPES ? value_types[type].name : "unknown";
}

/* ---- the cursor ---- */

static tp_status cut_off(const cursor *c, const char *what) {
    return tp_fail(TP_ERR_FORMAT, "%s ends at byte %zu inside its header, in %s", c->file->path, c->file->map.size,
                   what);
}

static tp_status take(cursor *c, void *out, size_t n, const char *what) {
    if (n > c->file->map.size - c->at) {
        memset(out, 0, n); /* GCC 12 cannot see that nobody uses it then */
        return cut_off(c, what);
    }
    memcpy(out, c->file->map.data + c->at, n);
    c->at += n;
    return TP_OK;
}

static tp_status skip(cursor *c, uint64_t n, const char *what) {
    if (n > c->file->map.size - c->at) return cut_off(c, what);
    c->at += (size_t)n;
    return TP_OK;
}

/* A key or a name, kept with a zero byte. */
static tp_status take_name(cursor *c, const char **name, const char *what) {
    uint64_t n;
    TP_TRY(take(c, &n, sizeof n, what));
    if (n == 0 || n > MAX_NAME)
        return tp_fail(TP_ERR_FORMAT, "%s: %s at byte %zu has %llu bytes, 1 to %d were expected", c->file->path, what,
                       c->at - sizeof n, (unsigned long long)n, MAX_NAME);
    size_t from = c->at;
    TP_TRY(skip(c, n, what));
    tp_gguf *g = c->file;
    char *kept = g->names + g->names_used;
    memcpy(kept, g->map.data + from, (size_t)n);
    kept[n] = '\0';
    if (strlen(kept) != n) return tp_fail(TP_ERR_FORMAT, "%s: %s at byte %zu holds a zero byte", g->path, what, from);
    g->names_used += (size_t)n + 1;
    *name = kept;
    return TP_OK;
}

/* ---- metadata ---- */

static tp_status skip_texts(cursor *c, const tp_gguf_value *v) {
    for (uint64_t i = 0; i < v->n; i++) {
        uint64_t n;
        TP_TRY(take(c, &n, sizeof n, v->key));
        TP_TRY(skip(c, n, v->key));
    }
    return TP_OK;
}

static tp_status read_value(cursor *c, tp_gguf_value *v) {
    TP_TRY(take_name(c, &v->key, "a metadata key"));
    uint32_t type;
    TP_TRY(take(c, &type, sizeof type, v->key));
    v->n = 1;
    if (type == TP_GGUF_ARRAY) {
        v->is_array = true;
        TP_TRY(take(c, &type, sizeof type, v->key));
        TP_TRY(take(c, &v->n, sizeof v->n, v->key));
        if (type == TP_GGUF_ARRAY)
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: `%.*s` is an array of arrays, which is not supported",
                           c->file->path, SHOWN, v->key);
    }
    if (type >= TP_GGUF_N_TYPES)
        return tp_fail(TP_ERR_FORMAT, "%s: `%.*s` has the value type %u, 0 to %d exist", c->file->path, SHOWN, v->key,
                       type, TP_GGUF_N_TYPES - 1);
    v->type = (tp_gguf_type)type;
    v->data = c->file->map.data + c->at;
    size_t from = c->at, size = value_types[type].size, left = c->file->map.size - c->at;
    if (v->n > left / (size ? size : sizeof(uint64_t))) return cut_off(c, v->key);
    TP_TRY(size ? skip(c, v->n * size, v->key) : skip_texts(c, v));
    v->n_bytes = c->at - from;
    return TP_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const tp_gguf_value *)a)->key, ((const tp_gguf_value *)b)->key);
}

static tp_status read_values(cursor *c) {
    tp_gguf *g = c->file;
    for (size_t i = 0; i < g->n_values; i++) TP_TRY(read_value(c, &g->values[i]));
    if (g->n_values > 1) qsort(g->values, g->n_values, sizeof *g->values, by_key);
    for (size_t i = 1; i < g->n_values; i++)
        if (strcmp(g->values[i - 1].key, g->values[i].key) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s: the metadata key `%.*s` comes twice", g->path, SHOWN, g->values[i].key);
    tp_gguf_fields f = {.file = g};
    int64_t alignment = tp_gguf_get_whole(&f, "general.alignment", DEFAULT_ALIGNMENT, 8, MAX_ALIGNMENT);
    if (f.status == TP_OK && (alignment & (alignment - 1)) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: `general.alignment` is %lld, a power of two was expected", g->path,
                       (long long)alignment);
    g->alignment = (size_t)alignment;
    return f.status;
}

/* ---- tensors ---- */

/* n_bytes of the shape in this type; 0 bytes for a type nobody knows. */
static tp_status read_type(cursor *c, tp_st_tensor *t, int64_t n) {
    uint32_t number;
    TP_TRY(take(c, &number, sizeof number, t->name));
    int64_t block;
    size_t bytes;
    t->dtype = tp_gguf_dtype(number, &t->file_dtype, &block, &bytes);
    if (t->file_dtype == NULL) {
        t->file_dtype = "of a type this program does not know";
        return TP_OK;
    }
    int64_t row = t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1;
    if (row % block != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: tensor `%.*s` has rows of %lld numbers, %s stores blocks of %lld",
                       c->file->path, SHOWN, t->name, (long long)row, t->file_dtype, (long long)block);
    if (__builtin_mul_overflow((size_t)(n / block), bytes, &t->n_bytes))
        return tp_fail(TP_ERR_FORMAT, "%s: tensor `%.*s` is larger than any file", c->file->path, SHOWN, t->name);
    return TP_OK;
}

/* The entry; `data` holds the offset until the data section's place is known. */
static tp_status read_tensor(cursor *c, tp_st_tensor *t, uint64_t *offset) {
    TP_TRY(take_name(c, &t->name, "a tensor's name"));
    t->file = c->file->path;
    uint32_t n_dims;
    TP_TRY(take(c, &n_dims, sizeof n_dims, t->name));
    if (n_dims > MAX_DIMS)
        return tp_fail(TP_ERR_FORMAT, "%s: tensor `%.*s` has %u dimensions, 0 to %d are allowed", c->file->path, SHOWN,
                       t->name, n_dims, MAX_DIMS);
    t->n_dims = (int)n_dims;
    int64_t n = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) { /* the file's first dimension runs fastest */
        uint64_t length;
        TP_TRY(take(c, &length, sizeof length, t->name));
        if (length > INT64_MAX || __builtin_mul_overflow(n, (int64_t)length, &n))
            return tp_fail(TP_ERR_FORMAT, "%s: the dimensions of tensor `%.*s` overflow", c->file->path, SHOWN,
                           t->name);
        t->shape[i] = (int64_t)length;
    }
    TP_TRY(read_type(c, t, n));
    return take(c, offset, sizeof *offset, t->name);
}

/* Places every tensor in the data section, which begins at `begin`. */
static tp_status place(tp_gguf *g, size_t begin, tp_st_tensor *t, uint64_t offset) {
    if (offset % g->alignment != 0)
        return tp_fail(TP_ERR_FORMAT,
                       "%s: tensor `%.*s` lies at offset %llu, which is no multiple of the alignment %zu", g->path,
                       SHOWN, t->name, (unsigned long long)offset, g->alignment);
    size_t room = begin <= g->map.size ? g->map.size - begin : 0;
    if (offset > room || t->n_bytes > room - offset)
        return tp_fail(TP_ERR_FORMAT,
                       "%s: tensor `%.*s` takes %zu bytes from offset %llu on, but the file's data section has %zu",
                       g->path, SHOWN, t->name, t->n_bytes, (unsigned long long)offset, room);
    t->data = g->map.data + (begin <= g->map.size ? begin + (size_t)offset : 0);
    return TP_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const tp_st_tensor *)a)->name, ((const tp_st_tensor *)b)->name);
}

static int by_place(const void *a, const void *b) {
    const tp_st_tensor *x = *(const tp_st_tensor *const *)a, *y = *(const tp_st_tensor *const *)b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static tp_status check_overlaps(const tp_gguf *g) {
    const tp_st_tensor **order = tp_try_alloc(g->n_tensors, sizeof *order);
    if (order == NULL) return tp_fail_context("reading %s", g->path);
    for (size_t i = 0; i < g->n_tensors; i++) order[i] = &g->tensors[i];
    if (g->n_tensors > 1) qsort(order, g->n_tensors, sizeof *order, by_place);
    tp_status status = TP_OK;
    for (size_t i = 1; i < g->n_tensors && status == TP_OK; i++)
        if ((const char *)order[i - 1]->data + order[i - 1]->n_bytes > (const char *)order[i]->data)
            status = tp_fail(TP_ERR_FORMAT, "%s: the tensors `%.*s` and `%.*s` share bytes", g->path, SHOWN,
                             order[i - 1]->name, SHOWN, order[i]->name);
    tp_free(order);
    return status;
}

static tp_status read_tensors(cursor *c) {
    tp_gguf *g = c->file;
    uint64_t *offsets = tp_try_alloc(g->n_tensors, sizeof *offsets);
    if (offsets == NULL) return tp_fail_context("reading %s", g->path);
    tp_status status = TP_OK;
    for (size_t i = 0; i < g->n_tensors && status == TP_OK; i++) status = read_tensor(c, &g->tensors[i], &offsets[i]);
    size_t begin = (c->at + g->alignment - 1) & ~(g->alignment - 1);
    for (size_t i = 0; i < g->n_tensors && status == TP_OK; i++) status = place(g, begin, &g->tensors[i], offsets[i]);
    tp_free(offsets);
    TP_TRY(status);
    TP_TRY(check_overlaps(g));
    if (g->n_tensors > 1) qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i - 1].name, g->tensors[i].name) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s: the tensor `%.*s` comes twice", g->path, SHOWN, g->tensors[i].name);
    return TP_OK;
}

/* ---- opening ---- */

static tp_status read_front(cursor *c) {
    tp_gguf *g = c->file;
    uint32_t magic;
    uint64_t n_tensors, n_values;
    TP_TRY(take(c, &magic, sizeof magic, "the magic number"));
    if (magic != MAGIC)
        return tp_fail(TP_ERR_FORMAT, "%s is no GGUF file: it does not begin with the letters GGUF", g->path);
    TP_TRY(take(c, &g->version, sizeof g->version, "the version"));
    if ((g->version & 0xFFFF) == 0)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s is a big-endian GGUF file, only little-endian ones are supported",
                       g->path);
    if (g->version != 2 && g->version != 3)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s is a GGUF file of version %u, supported are 2 and 3", g->path,
                       g->version);
    TP_TRY(take(c, &n_tensors, sizeof n_tensors, "the number of tensors"));
    TP_TRY(take(c, &n_values, sizeof n_values, "the number of metadata pairs"));
    size_t left = g->map.size - c->at;
    if (n_tensors > left / LEAST_TENSOR || n_values > left / LEAST_PAIR)
        return tp_fail(
            TP_ERR_FORMAT,
            "%s says that it holds %llu tensors and %llu metadata pairs, more than its %zu bytes have room for",
            g->path, (unsigned long long)n_tensors, (unsigned long long)n_values, g->map.size);
    g->n_tensors = (size_t)n_tensors;
    g->n_values = (size_t)n_values;
    return TP_OK;
}

/* The bytes of all names with their zero bytes: walked before they are kept, so that one allocation holds them. Each
 * has 8 bytes of length in front of it in the file, so the header's size bounds them; the file's size, which may be
 * gigabytes, is no useful bound. */
static size_t most_names(const tp_gguf *g) {
    size_t all = (g->n_values + g->n_tensors) * (MAX_NAME + 1);
    return all < g->map.size ? all : g->map.size;
}

static tp_status read_file(tp_gguf *g) {
    cursor c = {g, 0};
    TP_TRY(read_front(&c));
    g->values = tp_try_alloc(g->n_values, sizeof *g->values);
    g->tensors = tp_try_alloc(g->n_tensors, sizeof *g->tensors);
    g->names = tp_try_alloc(most_names(g), 1);
    if (g->values == NULL || g->tensors == NULL || g->names == NULL) return tp_fail_context("reading %s", g->path);
    TP_TRY(read_values(&c));
    return read_tensors(&c);
}

tp_gguf *tp_gguf_open(const char *path) {
    tp_gguf *g = tp_alloc(sizeof *g);
    g->path = tp_strdup(path);
    tp_status status = tp_map_file(path, &g->map);
    if (status == TP_OK) status = read_file(g);
    if (status == TP_OK) return g;
    tp_gguf_close(g);
    return NULL;
}

void tp_gguf_close(tp_gguf *g) {
    if (g == NULL) return;
    tp_unmap_file(&g->map);
    tp_free(g->values);
    tp_free(g->tensors);
    tp_free(g->names);
    tp_free(g->path);
    tp_free(g);
}

bool tp_gguf_is(const char *path) {
    char magic[4];
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return false;
    bool is = fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    fclose(file);
    return is;
}

tp_status tp_gguf_lock(const tp_gguf *g) {
    return tp_lock_mapping(&g->map, g->path);
}

const char *tp_gguf_path(const tp_gguf *g) {
    return g->path;
}

uint32_t tp_gguf_version(const tp_gguf *g) {
    return g->version;
}

size_t tp_gguf_alignment(const tp_gguf *g) {
    return g->alignment;
}

size_t tp_gguf_count(const tp_gguf *g) {
    return g->n_tensors;
}

const tp_st_tensor *tp_gguf_get(const tp_gguf *g, size_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

size_t tp_gguf_n_values(const tp_gguf *g) {
    return g->n_values;
}

const tp_gguf_value *tp_gguf_value_at(const tp_gguf *g, size_t i) {
    return i < g->n_values ? &g->values[i] : NULL;
}

const tp_gguf_value *tp_gguf_find(const tp_gguf *g, const char *key) {
    const tp_gguf_value wanted = {.key = key};
    return g->n_values ? bsearch(&wanted, g->values, g->n_values, sizeof *g->values, by_key) : NULL;
}
