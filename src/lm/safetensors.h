/* Reading and writing one safetensors file.
 *
 * The format (huggingface/safetensors, README, "Format"): a little-endian u64 with the length of a JSON header, the
 * header, the tensors' bytes. It is small enough to be checked completely before a byte of data is believed, and that
 * is what opening does: after it every tensor lies inside the file, has exactly the bytes its shape and type ask for,
 * and shares them with no other. The file is mapped, so opening costs the header alone and weights stay where they are.
 *
 * Everything handed out belongs to the tp_safetensors and lives until it is closed. A file that another program
 * shortens while it is open cannot be protected against: replace files by renaming, as this program does. */
#ifndef TP_LM_SAFETENSORS_H
#define TP_LM_SAFETENSORS_H

#include "base/dtype.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { TP_ST_MAX_DIMS = 8 };

typedef struct tp_st_tensor {
    const char *name;
    tp_dtype dtype; /* TP_UNKNOWN if this program has no such type */
    int n_dims;
    int64_t shape[TP_ST_MAX_DIMS]; /* row-major: the last index runs fastest */
    const void *data;              /* aligned for its dtype; never NULL in what a reader hands out */
    size_t n_bytes;
    const char *file_dtype; /* the type as the file spells it, "BF16"; ignored by the writer */
    const char *file;       /* the path it was read from, for messages; ignored by the writer */
} tp_st_tensor;

typedef struct tp_safetensors tp_safetensors;

tp_safetensors *tp_safetensors_open(const char *path);   /* NULL on error */
void tp_safetensors_close(tp_safetensors *st);           /* takes NULL */
tp_status tp_safetensors_lock(const tp_safetensors *st); /* keeps the whole file in memory (mlock) */

/* The tensors in the order of their names (by bytes). get never fails for i < count, and shows tensors of unknown types
 * too: look at dtype before data. */
size_t tp_safetensors_count(const tp_safetensors *st);
const tp_st_tensor *tp_safetensors_get(const tp_safetensors *st, size_t i);

/* The tensor of that name. NULL with an error if there is none, or if its type is unknown to this program. */
const tp_st_tensor *tp_safetensors_find(const tp_safetensors *st, const char *name);

/* A text from `__metadata__`, NULL if there is none; that is not an error. */
const char *tp_safetensors_metadata(const tp_safetensors *st, const char *key);

/* TP_OK if the tensor has this shape; else a sentence with its file, its name and both shapes. */
tp_status tp_st_check_shape(const tp_st_tensor *tensor, int n_dims, const int64_t *shape);

typedef struct tp_st_metadata {
    const char *key, *value;
} tp_st_metadata;

/* Writes a file, atomically. Of each tensor name, dtype, n_dims, shape, data and n_bytes count. The same content gives
 * the same bytes in whatever order it comes: wide types stand first, then names decide, so that every tensor is
 * aligned for its type; the data begins at a multiple of 64 bytes. `format: pt` is added to the metadata unless a
 * format is given, because transformers refuses files without. */
tp_status tp_safetensors_write(const char *path, const tp_st_tensor *tensors, size_t n_tensors,
                               const tp_st_metadata *metadata, size_t n_metadata);

/* The same for tensors whose bytes are made while they are written: for each one `produce` is called, in the order of
 * the file, and writes the n_bytes of tensors[index]; their `data` is not looked at. */
struct tp_writer;
typedef tp_status (*tp_st_producer)(void *context, size_t index, struct tp_writer *writer);
tp_status tp_safetensors_write_made(const char *path, const tp_st_tensor *tensors, size_t n_tensors,
                                    const tp_st_metadata *metadata, size_t n_metadata, tp_st_producer produce,
                                    void *context);

#endif
