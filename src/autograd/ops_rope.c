/* Rotary position embedding. The backward pass is the rotation by the opposite angle. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>

typedef struct {
    int n_heads;
    int64_t half;         /* pairs per head */
    float *cosine, *sine; /* [rows, half] */
} rotation;

/* out = rotate(in) or out += rotate(in); sign -1 turns back. */
static void rotate(const rotation *r, int64_t rows, const float *in, float *out, float sign, bool accumulate) {
    int64_t half = r->half, width = 2 * half;
#pragma omp parallel for if (rows * r->n_heads * width > TP_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++) {
        const float *c = r->cosine + i * half, *s = r->sine + i * half;
        for (int h = 0; h < r->n_heads; h++) {
            const float *a = in + (i * r->n_heads + h) * width, *b = a + half;
            float *oa = out + (i * r->n_heads + h) * width, *ob = oa + half;
            for (int64_t j = 0; j < half; j++) {
                float x = a[j] * c[j] - sign * b[j] * s[j], y = b[j] * c[j] + sign * a[j] * s[j];
                oa[j] = accumulate ? oa[j] + x : x;
                ob[j] = accumulate ? ob[j] + y : y;
            }
        }
    }
}

static void rope_backward(tp_tape *tape, tp_node *node) {
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, node->in[0], &fresh);
    rotate(node->extra, node->out->rows, node->out->grad, dx, -1.0f, !fresh);
}

tp_var *tp_rope(tp_tape *tape, tp_var *x, int n_heads, const int32_t *positions, const float *inv_freq) {
    assert(x->cols % (2 * n_heads) == 0);
    rotation *r = tp_arena_alloc(tape->arena, sizeof *r);
    int64_t half = x->cols / n_heads / 2;
    *r = (rotation){.n_heads = n_heads, .half = half};
    r->cosine = tp_arena_alloc(tape->arena, (size_t)(x->rows * half) * sizeof(float));
    r->sine = tp_arena_alloc(tape->arena, (size_t)(x->rows * half) * sizeof(float));
    float *angles = tp_arena_alloc(tape->arena, (size_t)(x->rows * half) * sizeof(float));
#pragma omp parallel for if (x->rows * half > TP_PARALLEL_FROM / 8)
    for (int64_t i = 0; i < x->rows; i++) {
        float *row = angles + i * half; /* in f32, as the reference implementations have them */
        for (int64_t j = 0; j < half; j++) row[j] = (float)positions[i] * inv_freq[j];
        tp_cpu()->sine_cosine(r->sine + i * half, r->cosine + i * half, row, half);
    }
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    rotate(r, x->rows, x->data, y->data, 1.0f, false);
    tp_node *node = tp_record(tape, rope_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = r;
    return y;
}
