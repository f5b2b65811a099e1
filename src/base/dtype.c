/* The table behind base/dtype.h: a row per type. */
#include "base/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[TP_N_PLAIN_TYPES] = {
    [TP_UNKNOWN] = {"unknown", 0}, [TP_F32] = {"f32", 4},   [TP_F16] = {"f16", 2}, [TP_BF16] = {"bf16", 2},
    [TP_F64] = {"f64", 8},         [TP_I8] = {"i8", 1},     [TP_I16] = {"i16", 2}, [TP_I32] = {"i32", 4},
    [TP_I64] = {"i64", 8},         [TP_U8] = {"u8", 1},     [TP_U16] = {"u16", 2}, [TP_U32] = {"u32", 4},
    [TP_U64] = {"u64", 8},         [TP_BOOL] = {"bool", 1},
};

static bool is_plain(tp_dtype dtype) {
    return (int)dtype >= 0 && (int)dtype < TP_N_PLAIN_TYPES;
}

size_t tp_dtype_size(tp_dtype dtype) {
    return is_plain(dtype) ? types[dtype].size : 0;
}

const char *tp_dtype_name(tp_dtype dtype) {
    return types[is_plain(dtype) ? dtype : TP_UNKNOWN].name;
}

tp_dtype tp_dtype_from_name(const char *name) {
    for (int i = TP_UNKNOWN + 1; i < TP_N_PLAIN_TYPES; i++)
        if (strcmp(types[i].name, name) == 0) return (tp_dtype)i;
    return TP_UNKNOWN;
}

bool tp_dtype_is_float(tp_dtype dtype) {
    return dtype == TP_F32 || dtype == TP_F16 || dtype == TP_BF16 || dtype == TP_F64;
}

bool tp_dtype_bytes(tp_dtype dtype, int64_t n, size_t *bytes) {
    size_t size = tp_dtype_size(dtype);
    return size != 0 && n >= 0 && !__builtin_mul_overflow((size_t)n, size, bytes);
}
