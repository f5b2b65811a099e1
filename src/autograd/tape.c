/* The tape itself: vars, nodes, and the walk back. See tape.h. */
#include "autograd/tape.h"

#include <string.h>

tp_tape *tp_tape_new(tp_math math) {
    tp_tape *tape = tp_alloc(sizeof *tape);
    tape->arena = tp_arena_new();
    tape->math = math;
    return tape;
}

void tp_tape_free(tp_tape *tape) {
    if (tape == NULL) return;
    tp_arena_free(tape->arena);
    tp_free(tape);
}

void tp_tape_reset(tp_tape *tape) {
    tp_arena_reset(tape->arena);
    tape->last = NULL;
    tape->n_masks = 0;
}

tp_var *tp_var_wrap(tp_tape *tape, float *data, int64_t rows, int64_t cols) {
    tp_var *var = tp_arena_alloc(tape->arena, sizeof *var);
    *var = (tp_var){.rows = rows, .cols = cols, .data = data};
    return var;
}

tp_var *tp_var_new(tp_tape *tape, int64_t rows, int64_t cols) {
    return tp_var_wrap(tape, tp_arena_alloc(tape->arena, (size_t)(rows * cols) * sizeof(float)), rows, cols);
}

tp_var *tp_tape_keep(tp_tape *tape, tp_arena_mark mark, tp_var *kept, tp_var *var) {
    if (kept == NULL) return var;
    memcpy(kept->data, var->data, (size_t)(var->rows * var->cols) * sizeof(float));
    kept->rows = var->rows;
    kept->cols = var->cols;
    tp_arena_release(tape->arena, mark);
    return kept;
}

tp_var *tp_var_leaf(tp_tape *tape, const float *data, int64_t rows, int64_t cols) {
    tp_var *var = tp_var_new(tape, rows, cols);
    size_t bytes = (size_t)(rows * cols) * sizeof(float);
    if (data)
        memcpy(var->data, data, bytes);
    else
        memset(var->data, 0, bytes);
    var->wants_grad = !tape->frozen;
    return var;
}

float *tp_var_grad_fresh(tp_tape *tape, tp_var *var, bool *fresh) {
    *fresh = var->grad == NULL;
    if (*fresh) var->grad = tp_arena_alloc(tape->arena, (size_t)(var->rows * var->cols) * sizeof(float));
    return var->grad;
}

float *tp_var_grad(tp_tape *tape, tp_var *var) {
    bool fresh;
    float *grad = tp_var_grad_fresh(tape, var, &fresh);
    int64_t n = var->rows * var->cols;
    enum { PIECE = 1 << 16 };
    if (fresh) {
#pragma omp parallel for if (n > 4 * PIECE)
        for (int64_t i = 0; i < n; i += PIECE) memset(grad + i, 0, (size_t)(n - i < PIECE ? n - i : PIECE) * 4);
    }
    return grad;
}

tp_node *tp_record(tp_tape *tape, tp_backward_fn backward, tp_var *out, tp_var *const in[3],
                   const tp_weight *const weight[2]) {
    if (tape->frozen) return NULL;
    bool wanted = false;
    for (int i = 0; i < 3; i++) wanted = wanted || (in[i] && in[i]->wants_grad);
    for (int i = 0; i < 2; i++) wanted = wanted || (weight[i] && weight[i]->grad);
    if (!wanted) return NULL;
    tp_node *node = tp_arena_alloc(tape->arena, sizeof *node);
    *node = (tp_node){.before = tape->last, .backward = backward, .out = out};
    for (int i = 0; i < 3; i++) node->in[i] = in[i];
    for (int i = 0; i < 2; i++) node->weight[i] = weight[i];
    tape->last = node;
    out->wants_grad = true;
    return node;
}

void tp_backward(tp_tape *tape, tp_var *loss, float seed_grad) {
    if (!loss->wants_grad) return; /* nothing in it can be trained */
    tp_var_grad(tape, loss)[0] += seed_grad;
    for (tp_node *node = tape->last; node; node = node->before)
        if (node->out->grad) node->backward(tape, node); /* an output that no loss depends on has none */
}
