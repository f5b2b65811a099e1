/* The tape: reverse-mode automatic differentiation over matrices.
 *
 * A tp_var is a value in a computation: an f32 matrix [rows, cols] (sequences of a batch lie end to end; a scalar is
 * [1, 1]). Each op of autograd/ops.h computes its output at once and, only if one of its inputs wants a gradient, puts
 * a node on the tape that knows how to hand the output's gradient back. A frozen model therefore costs nothing extra,
 * and its weights never get a gradient (tensor/weight.h).
 *
 * All memory of a step comes from the tape's arena and goes with tp_tape_reset; vars must not be used after it. */
#ifndef TP_AUTOGRAD_TAPE_H
#define TP_AUTOGRAD_TAPE_H

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/matmul.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tp_var {
    int64_t rows, cols;
    float *data; /* [rows, cols] */
    float *grad; /* same shape, made when the first gradient arrives; NULL until then */
    bool wants_grad;
} tp_var;

typedef struct tp_node tp_node;

typedef struct tp_tape {
    tp_arena *arena;
    tp_node *last;       /* nodes in reverse order of recording */
    tp_math math;        /* of matrix products */
    bool frozen;         /* record nothing (inference) */
    uint64_t seed, step; /* keys of the dropout masks */
    uint64_t n_masks;    /* drawn in this step */
} tp_tape;

tp_tape *tp_tape_new(tp_math math);
void tp_tape_free(tp_tape *tape); /* takes NULL */

/* Forgets all vars and nodes; memory is kept for the next step. */
void tp_tape_reset(tp_tape *tape);

/* A var of uninitialised (new) or given (borrowed, must outlive the step) numbers; wants no gradient. */
tp_var *tp_var_new(tp_tape *tape, int64_t rows, int64_t cols);
tp_var *tp_var_wrap(tp_tape *tape, float *data, int64_t rows, int64_t cols);

/* A leaf with a copy of `data` (zeros if NULL) that wants a gradient: read it from ->grad after tp_backward. */
tp_var *tp_var_leaf(tp_tape *tape, const float *data, int64_t rows, int64_t cols);

/* The var's gradient buffer, zeroed when made. For ops' backward functions: they add into it. */
float *tp_var_grad(tp_tape *tape, tp_var *var);

/* The same, not zeroed: *fresh tells that it holds nothing yet, so that the caller has to write all of it. */
float *tp_var_grad_fresh(tp_tape *tape, tp_var *var, bool *fresh);

/* Where nothing will be asked of inner values again (the tape is frozen), their memory serves what comes next: copies
 * var into `kept`, a var made before the mark and at least as large, gives back what was taken since, and returns
 * `kept`. With kept NULL (the tape records) it returns var. */
tp_var *tp_tape_keep(tp_tape *tape, tp_arena_mark mark, tp_var *kept, tp_var *var);

/* ---- for ops ---- */

typedef void (*tp_backward_fn)(tp_tape *tape, tp_node *node);

struct tp_node {
    tp_node *before;
    tp_backward_fn backward;
    tp_var *out;
    tp_var *in[3];
    const tp_weight *weight[2];
    void *extra; /* what else the backward function needs; from the arena */
};

/* Records a node for `out` and marks it as wanting a gradient, if any of the inputs or trainable weights does; else
 * returns NULL and records nothing. Absent inputs and weights are NULL. */
tp_node *tp_record(tp_tape *tape, tp_backward_fn backward, tp_var *out, tp_var *const in[3],
                   const tp_weight *const weight[2]);

/* Runs the tape backwards from the scalar `loss` ([1, 1]), whose gradient is set to `seed_grad` (usually 1). Gradients
 * add up in the ->grad of leaves and of trainable weights. */
void tp_backward(tp_tape *tape, tp_var *loss, float seed_grad);

#endif
