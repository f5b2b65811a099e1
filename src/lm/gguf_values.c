/* Metadata of a GGUF file as numbers and texts of C. See gguf.h. */
#include "base/mem.h"
#include "lm/gguf.h"

#include <stdlib.h>
#include <string.h>

#define ELEMENT(type) ((type *)element(v, i, &(type){0}, sizeof(type)))

/* Element i copied into *out: in the file it may lie at any address. */
static void *element(const tp_gguf_value *v, uint64_t i, void *out, size_t size) {
    return memcpy(out, v->data + i * size, size);
}

int64_t tp_gguf_whole(const tp_gguf_value *v, uint64_t i) {
    uint64_t large;
    switch (v->type) {
    case TP_GGUF_U8:
        return *ELEMENT(uint8_t);
    case TP_GGUF_I8:
        return *ELEMENT(int8_t);
    case TP_GGUF_U16:
        return *ELEMENT(uint16_t);
    case TP_GGUF_I16:
        return *ELEMENT(int16_t);
    case TP_GGUF_U32:
        return *ELEMENT(uint32_t);
    case TP_GGUF_I32:
        return *ELEMENT(int32_t);
    case TP_GGUF_BOOL:
        return *ELEMENT(uint8_t) != 0;
    case TP_GGUF_U64:
        large = *ELEMENT(uint64_t);
        return large > INT64_MAX ? INT64_MAX : (int64_t)large;
    case TP_GGUF_I64:
        return *ELEMENT(int64_t);
    default:
        return 0;
    }
}

double tp_gguf_real(const tp_gguf_value *v, uint64_t i) {
    if (v->type == TP_GGUF_F32) return (double)*ELEMENT(float);
    if (v->type == TP_GGUF_F64) return *ELEMENT(double);
    return (double)tp_gguf_whole(v, i);
}

const char *tp_gguf_next_text(const tp_gguf_value *v, size_t *at, size_t *len) {
    if (v->type != TP_GGUF_TEXT || *at >= v->n_bytes) return NULL;
    uint64_t n;
    memcpy(&n, v->data + *at, sizeof n);
    const char *text = (const char *)v->data + *at + sizeof n;
    *len = (size_t)n;
    *at += sizeof n + (size_t)n;
    return text;
}

/* ---- typed fields ---- */

static const char *type_of(const tp_gguf_value *v, char *out, size_t size) {
    snprintf(out, size, "%s%s", v->is_array ? "an array of " : "", tp_gguf_type_name(v->type));
    return out;
}

static void wrong_type(tp_gguf_fields *f, const tp_gguf_value *v, const char *expected) {
    char found[40];
    f->status = tp_fail(TP_ERR_FORMAT, "%s: `%s` is %s, %s was expected", tp_gguf_path(f->file), v->key,
                        type_of(v, found, sizeof found), expected);
}

static const tp_gguf_value *field(tp_gguf_fields *f, const char *key) {
    return f->status == TP_OK ? tp_gguf_find(f->file, key) : NULL;
}

static bool is_real(const tp_gguf_value *v) {
    return v->type == TP_GGUF_F32 || v->type == TP_GGUF_F64;
}

int64_t tp_gguf_get_whole(tp_gguf_fields *f, const char *key, int64_t fallback, int64_t min, int64_t max) {
    const tp_gguf_value *v = field(f, key);
    if (v == NULL) return fallback;
    if (v->is_array || is_real(v) || v->type == TP_GGUF_TEXT || v->type == TP_GGUF_BOOL) {
        wrong_type(f, v, "a whole number");
        return fallback;
    }
    int64_t value = tp_gguf_whole(v, 0);
    if (value >= min && value <= max) return value;
    f->status = tp_fail(TP_ERR_FORMAT, "%s: `%s` is %lld, allowed is %lld to %lld", tp_gguf_path(f->file), key,
                        (long long)value, (long long)min, (long long)max);
    return fallback;
}

/* The number that somebody wrote before it became f32: 1e-05, not 9.99999975e-06. As f32 it is the same. */
static double shortest(double value) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", value);
    double written = strtod(text, NULL);
    return (float)written == (float)value ? written : value;
}

double tp_gguf_get_real(tp_gguf_fields *f, const char *key, double fallback, double min, double max) {
    const tp_gguf_value *v = field(f, key);
    if (v == NULL) return fallback;
    if (v->is_array || !is_real(v)) {
        wrong_type(f, v, "a real number");
        return fallback;
    }
    double value = v->type == TP_GGUF_F32 ? shortest(tp_gguf_real(v, 0)) : tp_gguf_real(v, 0);
    if (value >= min && value <= max) return value; /* false for NaN */
    f->status =
        tp_fail(TP_ERR_FORMAT, "%s: `%s` is %g, allowed is %g to %g", tp_gguf_path(f->file), key, value, min, max);
    return fallback;
}

bool tp_gguf_get_bool(tp_gguf_fields *f, const char *key, bool fallback) {
    const tp_gguf_value *v = field(f, key);
    if (v == NULL) return fallback;
    if (!v->is_array && v->type == TP_GGUF_BOOL) return tp_gguf_whole(v, 0) != 0;
    wrong_type(f, v, "a bool");
    return fallback;
}

char *tp_gguf_get_text(tp_gguf_fields *f, const char *key) {
    const tp_gguf_value *v = field(f, key);
    if (v == NULL) return NULL;
    size_t at = 0, len = 0;
    const char *text = v->is_array ? NULL : tp_gguf_next_text(v, &at, &len);
    if (text == NULL) {
        wrong_type(f, v, "a text");
        return NULL;
    }
    char *copy = tp_strndup(text, len);
    if (strlen(copy) == len) return copy;
    tp_free(copy);
    f->status = tp_fail(TP_ERR_FORMAT, "%s: the text `%s` holds a zero byte", tp_gguf_path(f->file), key);
    return NULL;
}

const tp_gguf_value *tp_gguf_get_array(tp_gguf_fields *f, const char *key, tp_gguf_type type) {
    const tp_gguf_value *v = field(f, key);
    if (v == NULL) return NULL;
    if (v->is_array && v->type == type) return v;
    char expected[40];
    snprintf(expected, sizeof expected, "an array of %s", tp_gguf_type_name(type));
    wrong_type(f, v, expected);
    return NULL;
}

void tp_gguf_require(tp_gguf_fields *f, const char *key) {
    if (f->status == TP_OK && tp_gguf_find(f->file, key) == NULL)
        f->status = tp_fail(TP_ERR_FORMAT, "%s: the metadata has no `%s`", tp_gguf_path(f->file), key);
}
