/* The table behind base/dtype.h: a row per type. */
#include "base/dtype.h"

#include <strings.h>

static const struct {
    const char *name;
    size_t size;   /* bytes of a block */
    int64_t block; /* elements in it */
} types[TP_END_BLOCK_TYPES] = {
    [TP_UNKNOWN] = {"unknown", 0, 0}, [TP_F32] = {"f32", 4, 1},       [TP_F16] = {"f16", 2, 1},
    [TP_BF16] = {"bf16", 2, 1},       [TP_F64] = {"f64", 8, 1},       [TP_I8] = {"i8", 1, 1},
    [TP_I16] = {"i16", 2, 1},         [TP_I32] = {"i32", 4, 1},       [TP_I64] = {"i64", 8, 1},
    [TP_U8] = {"u8", 1, 1},           [TP_U16] = {"u16", 2, 1},       [TP_U32] = {"u32", 4, 1},
    [TP_U64] = {"u64", 8, 1},         [TP_BOOL] = {"bool", 1, 1},     [TP_I4] = {"i4", 1, 2},
    [TP_Q4_0] = {"q4_0", 18, 32},     [TP_Q4_1] = {"q4_1", 20, 32},   [TP_Q5_0] = {"q5_0", 22, 32},
    [TP_Q5_1] = {"q5_1", 24, 32},     [TP_Q8_0] = {"q8_0", 34, 32},   [TP_Q2_K] = {"q2_k", 84, 256},
    [TP_Q3_K] = {"q3_k", 110, 256},   [TP_Q4_K] = {"q4_k", 144, 256}, [TP_Q5_K] = {"q5_k", 176, 256},
    [TP_Q6_K] = {"q6_k", 210, 256},
};

static bool is_known(tp_dtype dtype) {
    return (int)dtype >= 0 && dtype < TP_END_BLOCK_TYPES && types[dtype].size > 0; /* between the ranges it is 0 */
}

size_t tp_dtype_size(tp_dtype dtype) {
    return is_known(dtype) && types[dtype].block == 1 ? types[dtype].size : 0;
}

int64_t tp_dtype_block(tp_dtype dtype) {
    return is_known(dtype) ? types[dtype].block : 0;
}

const char *tp_dtype_name(tp_dtype dtype) {
    return types[is_known(dtype) ? dtype : TP_UNKNOWN].name;
}

tp_dtype tp_dtype_from_name(const char *name) {
    for (int i = TP_UNKNOWN + 1; i < TP_END_BLOCK_TYPES; i++)
        if (is_known((tp_dtype)i) && strcasecmp(types[i].name, name) == 0) return (tp_dtype)i;
    return TP_UNKNOWN;
}

bool tp_dtype_is_float(tp_dtype dtype) {
    return dtype == TP_F32 || dtype == TP_F16 || dtype == TP_BF16 || dtype == TP_F64;
}

bool tp_dtype_bytes(tp_dtype dtype, int64_t n, size_t *bytes) {
    if (!is_known(dtype) || n < 0 || n % types[dtype].block != 0) return false;
    return !__builtin_mul_overflow((size_t)(n / types[dtype].block), types[dtype].size, bytes);
}
