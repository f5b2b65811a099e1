/* How ops share out their work among threads: pieces of rows or numbers whose bounds do not depend on the number of
 * threads, so that results do not either. For the ops' own files only. */
#ifndef TP_AUTOGRAD_PIECES_H
#define TP_AUTOGRAD_PIECES_H

#include "autograd/tape.h"

#include <string.h>

/* Numbers are taken in pieces that fit the first-level cache; small inputs stay on one thread. */
enum { TP_PIECE = 4096, TP_PARALLEL_FROM = 1 << 15 };

/* Runs the statement behind it for i = 0, TP_PIECE, ... with m numbers at i. */
#define TP_FOR_PIECES(i, m, n)                                                                                         \
    _Pragma("omp parallel for if ((n) > TP_PARALLEL_FROM)") for (int64_t i = 0; i < (n);                               \
                                                                 i += TP_PIECE) for (int64_t m = (n)-i < TP_PIECE      \
                                                                                                     ? (n)-i           \
                                                                                                     : TP_PIECE;       \
                                                                                     m > 0; m = 0)

/* A gradient buffer just made holds nothing yet: a piece is cleared right before it is added to, while it is in the
 * cache, instead of all of it beforehand. */
static inline void tp_clear_fresh(float *piece, int64_t n, bool fresh) {
    if (fresh) memset(piece, 0, (size_t)n * sizeof *piece);
}

/* var's gradient += factor * dy */
void tp_add_to_grad(tp_tape *tape, tp_var *var, float factor, const float *dy);

/* Sums over rows, such as the gradients of gains and biases: rows are cut into TP_PARTS parts, each part sums into a
 * row of its own, and these are added up in order. */
enum { TP_PARTS = 16 };

static inline int64_t tp_part_begin(int64_t rows, int part) {
    return rows * part / TP_PARTS;
}

float *tp_parts_new(tp_tape *tape, int64_t cols);                /* [TP_PARTS, cols] of zeros */
void tp_parts_add(const float *parts, int64_t cols, float *out); /* out[cols] += the sum of the parts */
void tp_add_columns(tp_tape *tape, float *out, const float *x, int64_t rows, int64_t cols); /* out += x's rows */

/* Rows that are added to rows by index (embedding, gather): columns are shared out instead, so that whoever adds to a
 * row adds all its terms, in order. */
enum { TP_COLUMN_PIECE = 128 };

#endif
