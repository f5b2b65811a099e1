/* Reading one GGUF file, version 2 or 3.
 *
 * The format (ggml, docs/gguf.md): magic, version, the number of tensors and of metadata pairs, the pairs (text key,
 * type, value), the tensors' names, shapes, types and offsets, and after padding their bytes. As with safetensors,
 * opening checks all of it before a byte of data is believed: every length lies inside the file, no key and no tensor
 * comes twice, and each tensor lies inside the data, aligned, sharing bytes with no other. Memory taken is a small
 * multiple of the header's size. The file is mapped: the tensors' bytes are not read by opening.
 *
 * Tensors are handed out as those of safetensors files are: row-major shapes (GGUF stores them the other way round) and
 * TP_UNKNOWN for types this program cannot read, so that one checkpoint interface serves both.
 *
 * Everything handed out belongs to the tp_gguf and lives until it is closed. */
#ifndef TP_LM_GGUF_H
#define TP_LM_GGUF_H

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"
#include "lm/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the file. */
typedef enum tp_gguf_type {
    TP_GGUF_U8 = 0,
    TP_GGUF_I8,
    TP_GGUF_U16,
    TP_GGUF_I16,
    TP_GGUF_U32,
    TP_GGUF_I32,
    TP_GGUF_F32,
    TP_GGUF_BOOL,
    TP_GGUF_TEXT,
    TP_GGUF_ARRAY,
    TP_GGUF_U64,
    TP_GGUF_I64,
    TP_GGUF_F64,
    TP_GGUF_N_TYPES
} tp_gguf_type;

typedef struct tp_gguf_value {
    const char *key;
    tp_gguf_type type;         /* of the elements, for an array */
    bool is_array;             /* arrays of arrays are refused */
    uint64_t n;                /* elements; 1 for a single value */
    const unsigned char *data; /* where the first one begins in the mapped file, at any address */
    size_t n_bytes;            /* of all of it */
} tp_gguf_value;

typedef struct tp_gguf tp_gguf;

tp_gguf *tp_gguf_open(const char *path); /* NULL on error */
void tp_gguf_close(tp_gguf *g);          /* takes NULL */

/* Does the file begin as a GGUF file does? False for what cannot be read, without an error. */
bool tp_gguf_is(const char *path);

const char *tp_gguf_path(const tp_gguf *g);
uint32_t tp_gguf_version(const tp_gguf *g);
size_t tp_gguf_alignment(const tp_gguf *g);
tp_status tp_gguf_lock(const tp_gguf *g); /* keeps the whole file in memory (mlock) */

/* The tensors in the order of their names (by bytes). */
size_t tp_gguf_count(const tp_gguf *g);
const tp_st_tensor *tp_gguf_get(const tp_gguf *g, size_t i);

/* The metadata in the order of the keys; the pair of a key, NULL if there is none (no error is recorded). */
size_t tp_gguf_n_values(const tp_gguf *g);
const tp_gguf_value *tp_gguf_value_at(const tp_gguf *g, size_t i);
const tp_gguf_value *tp_gguf_find(const tp_gguf *g, const char *key);

/* Element i of a value of any whole (and bool) or real type. */
int64_t tp_gguf_whole(const tp_gguf_value *v, uint64_t i); /* a u64 above INT64_MAX gives INT64_MAX; text and reals 0 */
double tp_gguf_real(const tp_gguf_value *v, uint64_t i);   /* of whole types too; text 0 */

/* Walks the texts of a value: start with *at = 0. NULL at the end, or if they are no texts. Not zero-terminated. */
const char *tp_gguf_next_text(const tp_gguf_value *v, size_t *at, size_t *len);

/* Typed fields: as in base/json.h the first thing wrong is remembered in `status` with its sentence. Absent: the
 * fallback. A whole number may be stored in any whole type, a real one as f32 (its shortest decimal is taken) or f64.
 */
typedef struct tp_gguf_fields {
    const tp_gguf *file;
    tp_status status;
} tp_gguf_fields;

int64_t tp_gguf_get_whole(tp_gguf_fields *f, const char *key, int64_t fallback, int64_t min, int64_t max);
double tp_gguf_get_real(tp_gguf_fields *f, const char *key, double fallback, double min, double max);
bool tp_gguf_get_bool(tp_gguf_fields *f, const char *key, bool fallback);
/* A text without zero bytes, malloc'ed; NULL if absent. */
char *tp_gguf_get_text(tp_gguf_fields *f, const char *key);
/* An array of that type ("TP_GGUF_TEXT", ...); NULL if absent. */
const tp_gguf_value *tp_gguf_get_array(tp_gguf_fields *f, const char *key, tp_gguf_type type);
void tp_gguf_require(tp_gguf_fields *f, const char *key); /* absent is an error */

/* "u32", "text", ...: for people. */
const char *tp_gguf_type_name(tp_gguf_type type);

/* ---- types of tensors ---- */

#define TP_GGUF_TYPE_NAMES "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K"

/* ggml's number of a type, -1 if it has none there; and the other way round, with the name that ggml gives it ("Q4_K",
 * "IQ2_XS", NULL for a number nobody knows), numbers per block and bytes per block. TP_UNKNOWN: not readable here. */
int tp_gguf_type_number(tp_dtype dtype);
tp_dtype tp_gguf_dtype(uint32_t number, const char **name, int64_t *block, size_t *bytes);

/* ---- writing: gguf_write.c ---- */

/* A pair to be written. Texts: n of them, as pointers; other arrays: numbers as they lie in memory. */
typedef struct tp_gguf_pair {
    const char *key;
    tp_gguf_type type;
    bool is_array;
    uint64_t n;
    const void *data;         /* numbers, or const char *const * */
    const size_t *text_bytes; /* [n] lengths of the texts; NULL: zero-terminated */
} tp_gguf_pair;

/* Tensor t's bytes, produced when they are due: `produce` writes all t->n_bytes of it into the file. */
typedef tp_status (*tp_gguf_producer)(void *context, size_t index, tp_writer *writer);

/* Writes a version 3 file, atomically: pairs and tensors in the given order. With `produce` the tensors' data may be
 * NULL and is asked for one tensor at a time, so that a model larger than memory can be written. */
tp_status tp_gguf_write(const char *path, const tp_gguf_pair *pairs, size_t n_pairs, const tp_st_tensor *tensors,
                        size_t n_tensors, tp_gguf_producer produce, void *context);

#endif
