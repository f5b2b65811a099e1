/* How safetensors spells the element types. Shared by the reader and the writer only. */
#ifndef TP_LM_SAFETENSORS_TYPES_H
#define TP_LM_SAFETENSORS_TYPES_H

#include "base/dtype.h"

#define TP_ST_TYPE_NAMES "F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL"

tp_dtype tp_st_dtype_from_name(const char *name); /* TP_UNKNOWN if this program has no such type */
const char *tp_st_dtype_name(tp_dtype dtype);     /* NULL if the format has no such type */

#endif
