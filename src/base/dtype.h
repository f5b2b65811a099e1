/* The types an element can have, in memory and in files.
 *
 * One list for the whole program: checkpoint readers say what a file holds, the tensor engine says what it computes on,
 * and nobody translates between two enums. Plain types store their elements one by one in tp_dtype_size bytes. Block
 * types (quantised weights, as in GGUF files) pack a fixed number of elements into a struct, see tensor/quant.h; they
 * have their own range from TP_BLOCK_TYPES on, and a row of them is a whole number of blocks. Those who must know bytes
 * ask tp_dtype_bytes, which can tell for both kinds. */
#ifndef TP_BASE_DTYPE_H
#define TP_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tp_dtype {
    TP_UNKNOWN = 0, /* a file holds it, this program cannot read it */
    TP_F32,
    TP_F16,
    TP_BF16,
    TP_F64,
    TP_I8,
    TP_I16,
    TP_I32,
    TP_I64,
    TP_U8,
    TP_U16,
    TP_U32,
    TP_U64,
    TP_BOOL, /* one byte, 0 or 1 */
    TP_I4,   /* two in a byte: of packets only (wire/packet.h), so it has no size of its own */
    TP_N_PLAIN_TYPES,
    TP_BLOCK_TYPES = 64, /* block-quantised types are numbered from here */
    TP_Q4_0 = TP_BLOCK_TYPES,
    TP_Q4_1,
    TP_Q5_0,
    TP_Q5_1,
    TP_Q8_0,
    TP_Q2_K,
    TP_Q3_K,
    TP_Q4_K,
    TP_Q5_K,
    TP_Q6_K,
    TP_END_BLOCK_TYPES,
} tp_dtype;

/* Bytes of one element; 0 for TP_UNKNOWN and anything that is not stored element by element. */
size_t tp_dtype_size(tp_dtype dtype);

/* Elements that are stored together: 32 or 256 for block types, 1 for plain ones, 0 for TP_UNKNOWN. */
int64_t tp_dtype_block(tp_dtype dtype);

static inline bool tp_dtype_is_block(tp_dtype dtype) {
    return dtype >= TP_BLOCK_TYPES && dtype < TP_END_BLOCK_TYPES;
}

/* The name people read and recipes write: "f32", "bf16", "i64", "q4_k", ...; "unknown" for anything else. */
const char *tp_dtype_name(tp_dtype dtype);

/* The type of that name in small or capital letters, TP_UNKNOWN if there is none. */
tp_dtype tp_dtype_from_name(const char *name);

/* True for f32, f16, bf16 and f64. */
bool tp_dtype_is_float(tp_dtype dtype);

/* Bytes of n elements in *bytes; false on overflow, a negative n, a part of a block or an unknown type. */
bool tp_dtype_bytes(tp_dtype dtype, int64_t n, size_t *bytes);

#endif
