/* What tests against a reference's fixture share: its numbers, a loss with a given gradient, and how far off is. */
#ifndef TP_TESTS_COMPARE_H
#define TP_TESTS_COMPARE_H

#include "check.h"

#include "autograd/ops.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/safetensors.h"

#include <math.h>

/* The fixture, tests/fixtures/NAME; for a program's set-up: NULL, and a sentence, if it cannot be opened. */
static inline tp_safetensors *compare_open(const char *name) {
    char *path = tp_format("%s/tests/fixtures/%s", TP_SOURCE_DIR, name);
    tp_safetensors *st = tp_safetensors_open(path);
    if (st == NULL) fprintf(stderr, "%s\n", tp_last_error());
    tp_free(path);
    return st;
}

/* The f32 tensor of that name, which must have `n` numbers. */
static inline const float *compare_numbers(const tp_safetensors *st, const char *name, int64_t n) {
    const tp_st_tensor *t = tp_safetensors_find(st, name);
    check_not_null(t);
    assert_int_equal(t->dtype, TP_F32);
    assert_int_equal(t->n_bytes, (size_t)n * sizeof(float));
    return t->data;
}

/* The largest difference over the largest expected magnitude. */
static inline double compare_error(const float *found, const float *expected, int64_t n) {
    double difference = 0, magnitude = 0;
    for (int64_t i = 0; i < n; i++) {
        difference = fmax(difference, fabs((double)found[i] - expected[i]));
        magnitude = fmax(magnitude, fabs(expected[i]));
        if (isnan(found[i])) return INFINITY;
    }
    return difference / magnitude;
}

/* sum(y * g) as a loss: its gradient with respect to y is g. */
static inline tp_var *compare_weighted(tp_tape *tape, tp_var *y, const float *g) {
    int64_t n = y->rows * y->cols;
    tp_weight *kept = tp_arena_alloc(tape->arena, sizeof *kept);
    *kept = (tp_weight){.name = "g", .dtype = TP_F32, .rows = 1, .cols = n, .data = g};
    return tp_linear(tape, tp_reshape(tape, y, 1, n), kept, NULL);
}

#endif
