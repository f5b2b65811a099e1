/* Rotary position embedding. The backward pass is the rotation by the opposite angle. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>

tp_rotation *tp_rotation_new(tp_tape *tape, int64_t rows, int64_t pairs, bool adjacent) {
    tp_rotation *r = tp_arena_alloc(tape->arena, sizeof *r);
    *r = (tp_rotation){.rows = rows, .pairs = pairs, .adjacent = adjacent};
    r->cosine = tp_arena_alloc(tape->arena, (size_t)(rows * pairs) * sizeof(float));
    r->sine = tp_arena_alloc(tape->arena, (size_t)(rows * pairs) * sizeof(float));
    return r;
}

void tp_rotation_set(tp_tape *tape, tp_rotation *r, int64_t from, int64_t to, const int32_t *positions,
                     const float *inv_freq, float amplitude) {
    assert(0 <= from && from <= to && to <= r->rows);
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t pairs = r->pairs;
    float *angles = tp_arena_alloc(tape->arena, (size_t)((to - from) * pairs) * sizeof(float));
#pragma omp parallel for if ((to - from) * pairs > TP_PARALLEL_FROM / 8)
    for (int64_t i = from; i < to; i++) {
        float *row = angles + (i - from) * pairs; /* in f32, as the reference implementations have them */
        float *sine = r->sine + i * pairs, *cosine = r->cosine + i * pairs;
        for (int64_t j = 0; j < pairs; j++) row[j] = (float)positions[i] * inv_freq[j];
        tp_cpu()->sine_cosine(sine, cosine, row, pairs);
        for (int64_t j = 0; j < pairs && amplitude != 1.0f; j++) sine[j] *= amplitude, cosine[j] *= amplitude;
    }
    tp_arena_release(tape->arena, mark);
}

typedef struct {
    const tp_rotation *rotation;
    int n_heads;
} turn;

/* The pairs (a[j], b[j]) of one head, `step` numbers apart: out = rotate(in) or out += rotate(in); sign -1 turns back.
 */
static inline void rotate_pairs(int64_t n, int64_t step, const float *cosine, const float *sine, float sign,
                                const float *a, const float *b, float *oa, float *ob, bool accumulate) {
    for (int64_t j = 0; j < n; j++) {
        int64_t at = j * step;
        float x = a[at] * cosine[j] - sign * b[at] * sine[j], y = b[at] * cosine[j] + sign * a[at] * sine[j];
        oa[at] = accumulate ? oa[at] + x : x;
        ob[at] = accumulate ? ob[at] + y : y;
    }
}

static void rotate(const turn *t, int64_t rows, int64_t cols, const float *in, float *out, float sign,
                   bool accumulate) {
    const tp_rotation *r = t->rotation;
    int64_t d = cols / t->n_heads, n = r->pairs;
#pragma omp parallel for if (rows * cols > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++) {
        const float *c = r->cosine + i * n, *s = r->sine + i * n;
        for (int64_t at = i * cols; at < (i + 1) * cols; at += d) {
            const float *x = in + at;
            float *y = out + at;
            if (r->adjacent)
                rotate_pairs(n, 2, c, s, sign, x, x + 1, y, y + 1, accumulate);
            else
                rotate_pairs(n, 1, c, s, sign, x, x + n, y, y + n, accumulate);
            for (int64_t j = 2 * n; j < d; j++) y[j] = accumulate ? y[j] + x[j] : x[j];
        }
    }
}

static void rope_backward(tp_tape *tape, tp_node *node) {
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, node->in[0], &fresh);
    rotate(node->extra, node->out->rows, node->out->cols, node->out->grad, dx, -1.0f, !fresh);
}

tp_var *tp_rope(tp_tape *tape, tp_var *x, int n_heads, const tp_rotation *r) {
    assert(x->cols % n_heads == 0 && x->cols / n_heads >= 2 * r->pairs && x->rows == r->rows);
    turn *t = tp_arena_alloc(tape->arena, sizeof *t);
    *t = (turn){r, n_heads};
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    rotate(t, x->rows, x->cols, x->data, y->data, 1.0f, false);
    tp_node *node = tp_record(tape, rope_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = t;
    return y;
}
