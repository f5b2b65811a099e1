/* Matrices that files hold the other way round (GPT-2's). */
#ifndef TP_LM_TURN_H
#define TP_LM_TURN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* data [cols, rows] as out [rows, cols], elements of `size` bytes; by squares that stay in the cache. */
static inline void tp_turn(const void *data, int64_t rows, int64_t cols, size_t size, void *out) {
    enum { SQUARE = 64 };
#pragma omp parallel for
    for (int64_t i0 = 0; i0 < rows; i0 += SQUARE)
        for (int64_t j0 = 0; j0 < cols; j0 += SQUARE)
            for (int64_t i = i0; i < i0 + SQUARE && i < rows; i++)
                for (int64_t j = j0; j < j0 + SQUARE && j < cols; j++)
                    memcpy((char *)out + (size_t)(i * cols + j) * size,
                           (const char *)data + (size_t)(j * rows + i) * size, size);
}

#endif
