/* Reading a safetensors file: the header is walked entry by entry and everything in it is checked.
 *
 * jansson reads the strings and the tensor entries, but the outer object is walked here, one entry at a time. Parsed as
 * one value, a hostile header of 100 MB (say of empty lists) would become gigabytes of JSON nodes before the first
 * check; walked, memory stays proportional to the number of well-formed tensors. The same walk sees duplicate names,
 * which the format forbids. See safetensors.h for what a caller may rely on afterwards. */
#include "lm/safetensors.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "lm/safetensors_types.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used as they lie in the file, little-endian");

enum {
    LENGTH_BYTES = 8,       /* the u64 in front of the header */
    MAX_HEADER = 100000000, /* bytes; the bound of the reference implementation */
    MAX_ENTRY = 64 * 1024,  /* bytes of one tensor's entry, or of a name: far above any that exists */
    SHOWN_NAME = 120,       /* bytes of a name repeated in an error sentence */
};

typedef struct entry {
    const char *key, *value;
} entry;

struct tp_safetensors {
    char *path;
    tp_mapping map;
    tp_st_tensor *tensors; /* [n_tensors], by name once opened */
    size_t n_tensors, tensors_capacity;
    entry *metadata; /* [n_metadata], by key once opened */
    size_t n_metadata, metadata_capacity;
    char *strings; /* every name and text of the header, each with its zero byte: together shorter than the header */
    size_t strings_used;
    void *aligned_copies; /* of the tensors the file holds misaligned; NULL in files as they should be */
};

/* ---- types ---- */

static const struct {
    const char *name;
    tp_dtype dtype;
} types[] = {
    {"F64", TP_F64}, {"F32", TP_F32}, {"F16", TP_F16},   {"BF16", TP_BF16}, {"I64", TP_I64},
    {"I32", TP_I32}, {"I16", TP_I16}, {"I8", TP_I8},     {"U64", TP_U64},   {"U32", TP_U32},
    {"U16", TP_U16}, {"U8", TP_U8},   {"BOOL", TP_BOOL},
};

tp_dtype tp_st_dtype_from_name(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0) return types[i].dtype;
    return TP_UNKNOWN;
}

const char *tp_st_dtype_name(tp_dtype dtype) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].dtype == dtype) return types[i].name;
    return NULL;
}

/* ---- walking the header ---- */

typedef struct cursor {
    tp_safetensors *st;
    const char *text;
    size_t at, size;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->size && strchr(" \t\r\n", c->text[c->at]) && c->text[c->at] != '\0') c->at++;
}

/* The next byte that is not white space, 0 at the end. */
static char peek(cursor *c) {
    skip_space(c);
    return c->at < c->size ? c->text[c->at] : '\0';
}

static tp_status expect(cursor *c, char wanted) {
    if (peek(c) != wanted)
        return tp_fail(TP_ERR_FORMAT, "%s: the header is not valid JSON: `%c` was expected at byte %zu", c->st->path,
                       wanted, LENGTH_BYTES + c->at);
    c->at++;
    return TP_OK;
}

/* Parses the value that begins with `first`, from at most `window` bytes. NULL on error. */
static json_t *next_value(cursor *c, char first, const char *wanted, size_t window) {
    if (peek(c) != first)
        return tp_fail_null(TP_ERR_FORMAT, "%s: the header holds something else than %s at byte %zu", c->st->path,
                            wanted, LENGTH_BYTES + c->at);
    size_t left = c->size - c->at < window ? c->size - c->at : window;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL;
    json_error_t error;
    json_t *value = json_loadb(c->text + c->at, left, flags, &error);
    if (value == NULL)
        return tp_fail_null(TP_ERR_FORMAT, "%s: the header is not valid JSON: %s at byte %zu is broken or too long: %s",
                            c->st->path, wanted, LENGTH_BYTES + c->at, error.text);
    c->at += (size_t)error.position; /* how much of the text the value took */
    return value;
}

/* Keeps a string for as long as the file is open. */
static const char *keep(tp_safetensors *st, const char *text, size_t n) {
    char *kept = memcpy(st->strings + st->strings_used, text, n);
    kept[n] = '\0';
    st->strings_used += n + 1;
    return kept;
}

/* The next string, kept; NULL on error. A zero byte would cut it short. */
static const char *next_string(cursor *c, const char *wanted, size_t window) {
    json_t *value = next_value(c, '"', wanted, window);
    if (value == NULL) return NULL;
    const char *text = json_string_value(value);
    size_t n = json_string_length(value);
    const char *kept = NULL;
    if (strlen(text) == n)
        kept = keep(c->st, text, n);
    else
        tp_fail(TP_ERR_FORMAT, "%s: the header has %s with a zero byte in it", c->st->path, wanted);
    json_decref(value);
    return kept;
}

/* A name appears in messages and listings: no line breaks, no terminal sequences. */
static tp_status check_name(const tp_safetensors *st, const char *name) {
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return tp_fail(TP_ERR_FORMAT, "%s: a tensor's name holds the control character 0x%02x", st->path,
                           (unsigned)(unsigned char)*p);
    return TP_OK;
}

static tp_status read_shape(tp_json_reader *r, tp_st_tensor *t, int64_t *n_elements) {
    tp_json_require(r, "shape");
    json_t *shape = tp_json_array(r, "shape");
    if (r->status != TP_OK) return r->status;
    size_t n_dims = json_array_size(shape);
    if (n_dims > TP_ST_MAX_DIMS) {
        tp_json_error(r, "shape", "has %zu dimensions, at most %d are supported", n_dims, TP_ST_MAX_DIMS);
        return r->status;
    }
    t->n_dims = (int)n_dims;
    *n_elements = 1;
    for (size_t i = 0; i < n_dims; i++) {
        json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0) {
            tp_json_error(r, "shape", "has a dimension %zu that is not an integer from 0 up", i);
            return r->status;
        }
        t->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(*n_elements, t->shape[i], n_elements)) {
            tp_json_error(r, "shape", "has more elements than 64 bits can count (overflow)");
            return r->status;
        }
    }
    return TP_OK;
}

static tp_status read_offsets(tp_json_reader *r, size_t data_size, size_t *begin, size_t *end) {
    tp_json_require(r, "data_offsets");
    json_t *offsets = tp_json_array(r, "data_offsets");
    if (r->status != TP_OK) return r->status;
    json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second)) {
        tp_json_error(r, "data_offsets", "is not a list of two integers");
        return r->status;
    }
    long long b = json_integer_value(first), e = json_integer_value(second);
    if (b < 0 || e < 0)
        tp_json_error(r, "data_offsets", "[%lld, %lld] has a negative offset", b, e);
    else if (e < b)
        tp_json_error(r, "data_offsets", "[%lld, %lld] ends before it begins", b, e);
    else if ((unsigned long long)e > data_size)
        tp_json_error(r, "data_offsets",
                      "[%lld, %lld] ends outside the file, which holds %zu bytes of data (truncated?)", b, e,
                      data_size);
    *begin = (size_t)b;
    *end = (size_t)e;
    return r->status;
}

/* Checks the entry of one tensor and adds it. `entry_value` is its JSON object. */
static tp_status add_tensor(tp_safetensors *st, const char *name, json_t *entry_value, const unsigned char *data,
                            size_t data_size) {
    tp_st_tensor t = {.name = name, .file = st->path};
    int64_t n_elements = 0;
    size_t begin = 0, end = 0, wanted = 0;
    tp_json_reader r;
    tp_json_begin(&r, entry_value, st->path);
    snprintf(r.prefix, sizeof r.prefix, "%.*s.", SHOWN_NAME, name);
    tp_json_require(&r, "dtype");
    const char *dtype = tp_json_text(&r, "dtype", "");
    TP_TRY(r.status);
    TP_TRY(read_shape(&r, &t, &n_elements));
    TP_TRY(read_offsets(&r, data_size, &begin, &end));
    t.dtype = tp_st_dtype_from_name(dtype);
    t.file_dtype = keep(st, dtype, strlen(dtype));
    t.data = data + begin;
    t.n_bytes = end - begin;
    if (t.dtype != TP_UNKNOWN) {
        if (!tp_dtype_bytes(t.dtype, n_elements, &wanted)) {
            tp_json_error(&r, "shape", "has more bytes than 64 bits can count (overflow)");
            return r.status;
        }
        if (wanted != t.n_bytes) {
            tp_json_error(&r, "data_offsets", "span %zu bytes, its shape and dtype %s need %zu", t.n_bytes,
                          t.file_dtype, wanted);
            return r.status;
        }
    }
    tp_grow(&st->tensors, &st->tensors_capacity, st->n_tensors, sizeof *st->tensors);
    st->tensors[st->n_tensors++] = t;
    return TP_OK;
}

static tp_status read_metadata(cursor *c) {
    tp_safetensors *st = c->st;
    if (st->metadata)
        return tp_fail(TP_ERR_FORMAT, "%s: `__metadata__` stands in the header twice (duplicate)", st->path);
    tp_grow(&st->metadata, &st->metadata_capacity, 0, sizeof *st->metadata);
    if (peek(c) != '{') return tp_fail(TP_ERR_FORMAT, "%s: `__metadata__` is not an object of strings", st->path);
    c->at++;
    if (peek(c) != '}') {
        for (;;) {
            entry e = {0};
            if ((e.key = next_string(c, "a string as key of `__metadata__`", MAX_ENTRY)) == NULL)
                return tp_last_status();
            TP_TRY(expect(c, ':'));
            if ((e.value = next_string(c, "a string as value in `__metadata__`", MAX_HEADER)) == NULL)
                return tp_last_status();
            tp_grow(&st->metadata, &st->metadata_capacity, st->n_metadata, sizeof *st->metadata);
            st->metadata[st->n_metadata++] = e;
            if (peek(c) != ',') break;
            c->at++;
        }
    }
    return expect(c, '}');
}

static tp_status read_header(cursor *c, const unsigned char *data, size_t data_size) {
    tp_safetensors *st = c->st;
    if (c->size == 0 || c->text[0] != '{')
        return tp_fail(TP_ERR_FORMAT, "%s: the header is not a JSON object (it must begin with `{`)", st->path);
    c->at = 1;
    if (peek(c) != '}') {
        for (;;) {
            const char *name = next_string(c, "a tensor's name", MAX_ENTRY);
            if (name == NULL) return tp_last_status();
            TP_TRY(check_name(st, name));
            TP_TRY(expect(c, ':'));
            if (strcmp(name, "__metadata__") == 0) {
                TP_TRY(read_metadata(c));
            } else {
                json_t *value = next_value(c, '{', "a tensor's entry (an object)", MAX_ENTRY);
                if (value == NULL) return tp_fail_context("tensor `%.*s`", SHOWN_NAME, name);
                tp_status status = add_tensor(st, name, value, data, data_size);
                json_decref(value);
                TP_TRY(status);
            }
            if (peek(c) != ',') break;
            c->at++;
        }
    }
    TP_TRY(expect(c, '}'));
    if (peek(c) != '\0' || c->at != c->size)
        return tp_fail(TP_ERR_FORMAT, "%s: the header goes on after its JSON object, at byte %zu", st->path,
                       LENGTH_BYTES + c->at);
    return TP_OK;
}

/* ---- what holds between tensors ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const tp_st_tensor *)a)->name, ((const tp_st_tensor *)b)->name);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static int by_place(const void *a, const void *b) {
    const tp_st_tensor *x = *(const tp_st_tensor *const *)a, *y = *(const tp_st_tensor *const *)b;
    const unsigned char *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes); /* empty ones before what begins at their place */
}

static tp_status check_duplicates(tp_safetensors *st) {
    if (st->n_tensors > 1) qsort(st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
    for (size_t i = 1; i < st->n_tensors; i++)
        if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s: tensor `%.*s` stands in the header twice (duplicate)", st->path,
                           SHOWN_NAME, st->tensors[i].name);
    if (st->n_metadata > 1) qsort(st->metadata, st->n_metadata, sizeof *st->metadata, by_key);
    for (size_t i = 1; i < st->n_metadata; i++)
        if (strcmp(st->metadata[i - 1].key, st->metadata[i].key) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s: `__metadata__` holds the key `%.*s` twice (duplicate)", st->path,
                           SHOWN_NAME, st->metadata[i].key);
    return TP_OK;
}

/* Every byte of the data must belong to exactly one tensor. */
static tp_status check_layout(const tp_safetensors *st, const unsigned char *data, size_t data_size) {
    const tp_st_tensor **order = tp_try_alloc(st->n_tensors, sizeof *order);
    if (order == NULL) return tp_last_status();
    for (size_t i = 0; i < st->n_tensors; i++) order[i] = &st->tensors[i];
    if (st->n_tensors > 1) qsort(order, st->n_tensors, sizeof *order, by_place);
    size_t reached = 0;
    tp_status status = TP_OK;
    for (size_t i = 0; i < st->n_tensors && status == TP_OK; i++) {
        size_t begin = (size_t)((const unsigned char *)order[i]->data - data);
        if (begin < reached)
            status = tp_fail(TP_ERR_FORMAT, "%s: the tensors `%.*s` and `%.*s` overlap", st->path, SHOWN_NAME,
                             order[i - 1]->name, SHOWN_NAME, order[i]->name);
        else if (begin > reached)
            status = tp_fail(TP_ERR_FORMAT,
                             "%s: there is a hole: bytes %zu to %zu of the data, before `%.*s`, belong to no tensor",
                             st->path, reached, begin, SHOWN_NAME, order[i]->name);
        reached = begin + order[i]->n_bytes;
    }
    tp_free(order);
    if (status == TP_OK && reached != data_size)
        status = tp_fail(TP_ERR_FORMAT, "%s: there is a hole: the last %zu bytes of the file belong to no tensor",
                         st->path, data_size - reached);
    return status;
}

static bool is_aligned(const tp_st_tensor *t) {
    size_t size = tp_dtype_size(t->dtype);
    return size == 0 || (uintptr_t)t->data % size == 0;
}

static size_t room_for_copy(const tp_st_tensor *t) {
    return (t->n_bytes / TP_ALIGN + 1) * TP_ALIGN; /* never 0: an empty tensor has an aligned address, too */
}

/* The format lets a tensor begin at any byte; nobody above wants to think of that. Writers in use all align, so the
 * copies made here are rare. */
static tp_status align_tensors(tp_safetensors *st) {
    size_t total = 0;
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!is_aligned(&st->tensors[i])) total += room_for_copy(&st->tensors[i]);
    if (total == 0) return TP_OK;
    unsigned char *to = st->aligned_copies = tp_try_alloc(total, 1);
    if (to == NULL) return tp_fail_context("reading the misaligned tensors of %s", st->path);
    for (size_t i = 0; i < st->n_tensors; i++) {
        tp_st_tensor *t = &st->tensors[i];
        if (is_aligned(t)) continue;
        t->data = memcpy(to, t->data, t->n_bytes);
        to += room_for_copy(t);
    }
    return TP_OK;
}

/* ---- opening ---- */

static tp_status open_mapped(tp_safetensors *st) {
    const unsigned char *bytes = st->map.data;
    size_t size = st->map.size;
    if (size < LENGTH_BYTES)
        return tp_fail(TP_ERR_FORMAT, "%s is %zu bytes long: too short for a safetensors file (truncated?)", st->path,
                       size);
    static const char lfs[] = "version https://git-lfs";
    if (size > sizeof lfs && memcmp(bytes, lfs, sizeof lfs - 1) == 0)
        return tp_fail(TP_ERR_FORMAT, "%s is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
                       st->path);
    uint64_t length;
    memcpy(&length, bytes, sizeof length);
    if (length > MAX_HEADER)
        return tp_fail(TP_ERR_FORMAT,
                       "%s claims a header of %llu bytes, at most %d are allowed: this is no safetensors file",
                       st->path, (unsigned long long)length, MAX_HEADER);
    if (length > size - LENGTH_BYTES)
        return tp_fail(TP_ERR_FORMAT, "%s claims a header of %llu bytes, but only %zu follow (truncated?)", st->path,
                       (unsigned long long)length, size - LENGTH_BYTES);
    st->strings = tp_try_alloc((size_t)length + 1, 1);
    if (st->strings == NULL) return tp_fail_context("reading %s", st->path);
    const unsigned char *data = bytes + LENGTH_BYTES + length;
    size_t data_size = size - LENGTH_BYTES - (size_t)length;
    cursor c = {.st = st, .text = (const char *)bytes + LENGTH_BYTES, .size = (size_t)length};
    TP_TRY(read_header(&c, data, data_size));
    TP_TRY(check_duplicates(st));
    TP_TRY(check_layout(st, data, data_size));
    return align_tensors(st);
}

tp_safetensors *tp_safetensors_open(const char *path) {
    tp_safetensors *st = tp_alloc(sizeof *st);
    st->path = tp_strdup(path);
    if (tp_map_file(path, &st->map) != TP_OK || open_mapped(st) != TP_OK) {
        tp_safetensors_close(st);
        return NULL;
    }
    return st;
}

void tp_safetensors_close(tp_safetensors *st) {
    if (st == NULL) return;
    tp_unmap_file(&st->map);
    tp_free(st->aligned_copies);
    tp_free(st->tensors);
    tp_free(st->metadata);
    tp_free(st->strings);
    tp_free(st->path);
    tp_free(st);
}

/* ---- asking ---- */

tp_status tp_safetensors_lock(const tp_safetensors *st) {
    return tp_lock_mapping(&st->map, st->path);
}

size_t tp_safetensors_count(const tp_safetensors *st) {
    return st->n_tensors;
}

const tp_st_tensor *tp_safetensors_get(const tp_safetensors *st, size_t i) {
    return i < st->n_tensors ? &st->tensors[i] : NULL;
}

const tp_st_tensor *tp_safetensors_find(const tp_safetensors *st, const char *name) {
    tp_st_tensor key = {.name = name};
    const tp_st_tensor *t =
        st->n_tensors ? bsearch(&key, st->tensors, st->n_tensors, sizeof *st->tensors, by_name) : NULL;
    if (t == NULL) return tp_fail_null(TP_ERR_FORMAT, "%s has no tensor `%s`", st->path, name);
    if (t->dtype == TP_UNKNOWN)
        return tp_fail_null(TP_ERR_UNSUPPORTED, "%s: tensor `%s` has the dtype %.40s, supported are " TP_ST_TYPE_NAMES,
                            st->path, name, t->file_dtype);
    return t;
}

const char *tp_safetensors_metadata(const tp_safetensors *st, const char *key) {
    entry wanted = {.key = key};
    const entry *e =
        st->n_metadata ? bsearch(&wanted, st->metadata, st->n_metadata, sizeof *st->metadata, by_key) : NULL;
    return e ? e->value : NULL;
}

static void format_shape(char *out, size_t size, int n_dims, const int64_t *shape) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < n_dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
}

tp_status tp_st_check_shape(const tp_st_tensor *tensor, int n_dims, const int64_t *shape) {
    if (tensor->n_dims == n_dims && memcmp(tensor->shape, shape, (size_t)n_dims * sizeof *shape) == 0) return TP_OK;
    char found[200], wanted[200];
    format_shape(found, sizeof found, tensor->n_dims, tensor->shape);
    format_shape(wanted, sizeof wanted, n_dims, shape);
    return tp_fail(TP_ERR_FORMAT, "%s: tensor `%.*s` has the shape [%s], [%s] was expected", tensor->file, SHOWN_NAME,
                   tensor->name, found, wanted);
}
