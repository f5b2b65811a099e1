/* Reading and writing one array as numpy does: the .npy format.
 *
 * The format (numpy/lib/format.py, NEP 1): six bytes of magic, two of version, the header's length, a Python dictionary
 * with the keys descr, fortran_order and shape, padded with blanks to a line feed, and the numbers. What is written is
 * the same, byte for byte, as numpy.save writes it. What is read is checked completely first: a type this program has,
 * little-endian, in row-major order, and exactly as many bytes as the shape asks for. Pickled objects are never read.
 */
#ifndef TP_BASE_NPY_H
#define TP_BASE_NPY_H

#include "base/dtype.h"
#include "base/file.h"

enum { TP_NPY_MAX_DIMS = 8 };

typedef struct tp_npy {
    tp_dtype dtype;
    int n_dims;                     /* 0: a single number */
    int64_t shape[TP_NPY_MAX_DIMS]; /* row-major: the last index runs fastest */
    int64_t n;                      /* numbers in all */
    const void *data;               /* aligned for its type, mapped, never NULL */
    tp_mapping mapping;
} tp_npy;

/* On an error *out is empty. Close what was opened; an empty one may be closed too. */
tp_status tp_npy_open(const char *path, tp_npy *out);
void tp_npy_close(tp_npy *array);

/* Writes a file, atomically. bf16 is refused, because numpy has no such type. */
tp_status tp_npy_write(const char *path, tp_dtype dtype, int n_dims, const int64_t *shape, const void *data);

#endif
