/* The .npy format. See npy.h. */
#include "base/npy.h"

#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum {
    MAGIC = 8,  /* bytes: "\x93NUMPY", major and minor version */
    ALIGN = 64, /* the data of what is written begins at a multiple of it */
    LONGEST_HEADER = 1 << 16,
    GROWTH_DIGITS = 21, /* numpy leaves room for the first dimension to become any 64-bit number */
};

static const struct {
    tp_dtype dtype;
    const char *descr;
} types[] = {
    {TP_F32, "<f4"}, {TP_F16, "<f2"}, {TP_F64, "<f8"}, {TP_I8, "|i1"},  {TP_I16, "<i2"}, {TP_I32, "<i4"},
    {TP_I64, "<i8"}, {TP_U8, "|u1"},  {TP_U16, "<u2"}, {TP_U32, "<u4"}, {TP_U64, "<u8"}, {TP_BOOL, "|b1"},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* ---- reading ---- */

/* The header's dictionary, read as the few literals that numpy writes. */
typedef struct {
    const char *at, *end;
    const char *path;
    tp_status status;
} cursor;

static void broken(cursor *c, const char *expected) {
    if (c->status != TP_OK) return;
    c->status = tp_fail(TP_ERR_FORMAT, "%s: the .npy header is broken before its last %zu bytes, %s was expected",
                        c->path, (size_t)(c->end - c->at), expected);
}

static void skip_blanks(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n')) c->at++;
}

static bool take(cursor *c, char what) {
    skip_blanks(c);
    if (c->status != TP_OK || c->at == c->end || *c->at != what) return false;
    c->at++;
    return true;
}

static void demand(cursor *c, char what) {
    char expected[] = {'\'', what, '\'', '\0'};
    if (!take(c, what)) broken(c, expected);
}

/* A string without escapes into text[32], cut off if it is longer. */
static void read_string(cursor *c, char text[32]) {
    text[0] = '\0';
    char quote = take(c, '\'') ? '\'' : take(c, '"') ? '"' : '\0';
    if (quote == '\0') {
        broken(c, "a string");
        return;
    }
    size_t n = 0;
    for (; c->at < c->end && *c->at != quote && *c->at != '\n'; c->at++)
        if (n < 31) text[n++] = *c->at >= ' ' && *c->at < 0x7F ? *c->at : '?';
    text[n] = '\0';
    if (c->at == c->end || *c->at != quote)
        broken(c, "the end of a string");
    else
        c->at++;
}

static bool take_word(cursor *c, const char *word) {
    skip_blanks(c);
    size_t n = strlen(word);
    if (c->status != TP_OK || (size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
    c->at += n;
    return true;
}

static int64_t read_number(cursor *c) {
    skip_blanks(c);
    const char *begin = c->at;
    int64_t n = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c->at - '0', &n)) {
            broken(c, "a number below 2^63");
            return 0;
        }
    if (c->at == begin) broken(c, "a number");
    return n;
}

/* A tuple: (), (3,), (3, 4), (3, 4,). */
static void read_shape(cursor *c, tp_npy *out) {
    demand(c, '(');
    bool comma = true;
    while (c->status == TP_OK && !take(c, ')')) {
        if (!comma) {
            broken(c, "',' or ')'");
        } else if (out->n_dims == TP_NPY_MAX_DIMS) {
            c->status = tp_fail(TP_ERR_UNSUPPORTED, "%s has more than %d dimensions", c->path, TP_NPY_MAX_DIMS);
        } else {
            out->shape[out->n_dims++] = read_number(c);
            comma = take(c, ',');
            if (!comma && out->n_dims == 1) broken(c, "','");
        }
    }
}

static void read_type(cursor *c, tp_npy *out) {
    char descr[32];
    skip_blanks(c);
    if (c->at < c->end && *c->at == '[') {
        c->status =
            tp_fail(TP_ERR_UNSUPPORTED, "%s holds records with several fields, plain numbers are supported", c->path);
        return;
    }
    read_string(c, descr);
    if (c->status != TP_OK) return;
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].descr, descr) == 0) out->dtype = types[i].dtype;
    if (out->dtype != TP_UNKNOWN) return;
    tp_str known = {0};
    for (int i = 0; i < N_TYPES; i++) tp_str_appendf(&known, "%s%s", i ? " " : "", types[i].descr);
    c->status = tp_fail(TP_ERR_UNSUPPORTED, "%s: `descr` is \"%s\", supported are %s", c->path, descr, known.data);
    tp_str_free(&known);
}

static void read_order(cursor *c) {
    if (take_word(c, "False")) return;
    if (take_word(c, "True"))
        c->status =
            tp_fail(TP_ERR_UNSUPPORTED,
                    "%s is in column-major order (`fortran_order`), save it with numpy.ascontiguousarray", c->path);
    else
        broken(c, "True or False");
}

static void read_header(cursor *c, tp_npy *out) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false};
    demand(c, '{');
    bool comma = true;
    while (c->status == TP_OK && !take(c, '}')) {
        if (!comma) broken(c, "',' or '}'");
        char name[32];
        read_string(c, name);
        demand(c, ':');
        int key = 0;
        while (key < 3 && strcmp(keys[key], name) != 0) key++;
        if (c->status != TP_OK) return;
        if (key == 3 || seen[key]) {
            c->status = tp_fail(TP_ERR_FORMAT,
                                "%s: the .npy header has the key `%s`%s, once each are expected: "
                                "descr, fortran_order, shape",
                                c->path, name, key == 3 ? "" : " twice");
            return;
        }
        seen[key] = true;
        if (key == 0) read_type(c, out);
        if (key == 1) read_order(c);
        if (key == 2) read_shape(c, out);
        comma = take(c, ',');
    }
    skip_blanks(c);
    if (c->at < c->end) broken(c, "nothing but blanks");
    for (int i = 0; i < 3 && c->status == TP_OK; i++)
        if (!seen[i]) c->status = tp_fail(TP_ERR_FORMAT, "%s: the .npy header lacks the key `%s`", c->path, keys[i]);
}

/* The data behind the header: all of it, and nothing else. */
static tp_status check_data(const char *path, size_t at, tp_npy *out) {
    out->n = 1;
    bool fits = true, empty = false;
    for (int i = 0; i < out->n_dims; i++) empty = empty || out->shape[i] == 0;
    for (int i = 0; i < out->n_dims && !empty; i++)
        fits = fits && !__builtin_mul_overflow(out->n, out->shape[i], &out->n);
    if (empty) out->n = 0;
    size_t bytes, there = out->mapping.size - at;
    if (!fits || !tp_dtype_bytes(out->dtype, out->n, &bytes) || bytes != there)
        return tp_fail(TP_ERR_FORMAT, "%s holds %zu bytes of data, its shape and type ask for %s", path, there,
                       !fits || bytes > there ? "more" : "fewer");
    if (at % tp_dtype_size(out->dtype) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: the data begins at byte %zu, a multiple of %zu was expected", path, at,
                       tp_dtype_size(out->dtype));
    out->data = out->mapping.data + at;
    return TP_OK;
}

static tp_status read_mapped(const char *path, tp_npy *out) {
    const unsigned char *b = out->mapping.data;
    size_t size = out->mapping.size;
    if (size < MAGIC + 2 || memcmp(b, "\x93NUMPY", 6) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s is no .npy file: it does not begin with \\x93NUMPY", path);
    int major = b[6], minor = b[7];
    if (major < 1 || major > 3 || minor != 0)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s has the .npy version %d.%d, supported are 1.0, 2.0 and 3.0", path, major,
                       minor);
    size_t begin = MAGIC + (major == 1 ? 2 : 4);
    if (size < begin) return tp_fail(TP_ERR_FORMAT, "%s ends within its header", path);
    size_t length = (size_t)b[8] | (size_t)b[9] << 8;
    if (major > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > LONGEST_HEADER || length > size - begin)
        return tp_fail(TP_ERR_FORMAT, "%s: the .npy header is said to have %zu bytes, there are %zu (allowed are %d)",
                       path, length, size - begin, LONGEST_HEADER);
    cursor c = {(const char *)b + begin, (const char *)b + begin + length, path, TP_OK};
    read_header(&c, out);
    TP_TRY(c.status);
    return check_data(path, begin + length, out);
}

tp_status tp_npy_open(const char *path, tp_npy *out) {
    *out = (tp_npy){0};
    TP_TRY(tp_map_file(path, &out->mapping));
    tp_status status = read_mapped(path, out);
    if (status != TP_OK) tp_npy_close(out);
    return status;
}

void tp_npy_close(tp_npy *array) {
    tp_unmap_file(&array->mapping);
    *array = (tp_npy){0};
}

/* ---- writing ---- */

tp_status tp_npy_write(const char *path, tp_dtype dtype, int n_dims, const int64_t *shape, const void *data) {
    assert(n_dims >= 0 && n_dims <= TP_NPY_MAX_DIMS);
    const char *descr = NULL;
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].dtype == dtype) descr = types[i].descr;
    if (descr == NULL)
        return tp_fail(TP_ERR_UNSUPPORTED, "cannot write %s: .npy has no type %s, save f32 or use .safetensors", path,
                       tp_dtype_name(dtype));
    int64_t n = 1;
    for (int i = 0; i < n_dims; i++) n *= shape[i];
    tp_str header = {0};
    tp_str_appendf(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < n_dims; i++) tp_str_appendf(&header, "%s%" PRId64, i ? ", " : "", shape[i]);
    tp_str_append_text(&header, n_dims == 1 ? ",), }" : "), }");
    int digits = n_dims > 0 ? snprintf(NULL, 0, "%" PRId64, shape[0]) : GROWTH_DIGITS;
    for (int i = digits; i < GROWTH_DIGITS; i++) tp_str_append_char(&header, ' ');
    size_t padding = ALIGN - (MAGIC + 2 + header.len + 1) % ALIGN;
    for (size_t i = 0; i < padding; i++) tp_str_append_char(&header, ' ');
    tp_str_append_char(&header, '\n');
    tp_writer *w = tp_writer_open(path);
    if (w != NULL) {
        const unsigned char head[MAGIC + 2] = {
            0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)header.len, (unsigned char)(header.len >> 8)};
        tp_writer_write(w, head, sizeof head);
        tp_writer_write(w, header.data, header.len);
        tp_writer_write(w, data, (size_t)n * tp_dtype_size(dtype));
    }
    tp_str_free(&header);
    return w ? tp_writer_commit(w) : tp_last_status();
}
