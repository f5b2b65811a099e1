/* Ops for bridges that send one of finitely many values: a step through which gradients pass as if it were not there,
 * and the losses that keep values and codes together and all codes in use. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void straight_through_backward(tp_tape *tape, tp_node *node) {
    tp_add_to_grad(tape, node->in[0], 1, node->out->grad);
}

tp_var *tp_straight_through(tp_tape *tape, tp_var *x, const float *values) {
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    memcpy(y->data, values, (size_t)(x->rows * x->cols) * sizeof(float));
    tp_record(tape, straight_through_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    return y;
}

/* With v_j the variance of column j (over n - 1) and s = mean_j v_j + eps: d log s / d x_ij = 2 (x_ij - mean_j) /
 * ((n - 1) cols s). */
typedef struct {
    float *means; /* [cols] */
    double sum;   /* s */
} variance;

static void log_variance_backward(tp_tape *tape, tp_node *node) {
    const variance *c = node->extra;
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x);
    float factor = (float)(2.0 * node->out->grad[0] / ((double)(x->rows - 1) * (double)x->cols * c->sum));
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < x->cols; j++) dx[i * x->cols + j] += factor * (x->data[i * x->cols + j] - c->means[j]);
}

tp_var *tp_log_variance(tp_tape *tape, tp_var *x, float eps) {
    assert(x->rows > 1 && eps > 0);
    float *means = tp_arena_alloc(tape->arena, (size_t)x->cols * sizeof(float));
    double total = 0;
    for (int64_t j = 0; j < x->cols; j++) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < x->rows; i++) mean += x->data[i * x->cols + j];
        mean /= (double)x->rows;
        for (int64_t i = 0; i < x->rows; i++) {
            double d = x->data[i * x->cols + j] - mean;
            squares += d * d;
        }
        means[j] = (float)mean;
        total += squares / (double)(x->rows - 1) / (double)x->cols;
    }
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)log(total + eps);
    tp_node *node = tp_record(tape, log_variance_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) {
        variance *c = node->extra = tp_arena_alloc(tape->arena, sizeof *c);
        *c = (variance){means, total + eps};
    }
    return out;
}

/* With scores s_ij = (2 x_i.c_j - |c_j|^2) / t (the softmax does not see |x_i|^2), p_i = softmax(s_i), q = mean_i p_i
 * and H = -sum_j q_j log q_j:  dH/dp_ij = -(log q_j + 1) / n, and the 1 drops out in the softmax's gradient. */
typedef struct {
    float *p;       /* [n, codes] */
    float *log_q;   /* [codes] */
    float t;        /* the temperature */
    double largest; /* log(codes) */
} entropy;

static void code_entropy_backward(tp_tape *tape, tp_node *node) {
    const entropy *e = node->extra;
    tp_var *x = node->in[0], *codes = node->in[1];
    int64_t n = x->rows, k = codes->rows, d = x->cols;
    const tp_kernels *cpu = tp_cpu();
    float factor = -node->out->grad[0] / (float)((double)n * e->largest * e->t);
    float *ds = tp_arena_alloc(tape->arena, (size_t)(n * k) * sizeof(float)); /* d/ds_ij, over t */
    for (int64_t i = 0; i < n; i++) {
        float *row = ds + i * k;
        const float *p = e->p + i * k;
        double both = 0;
        for (int64_t j = 0; j < k; j++) both += (double)p[j] * e->log_q[j];
        for (int64_t j = 0; j < k; j++) row[j] = factor * p[j] * (e->log_q[j] - (float)both);
    }
    if (x->wants_grad) {
        float *sum = tp_arena_zalloc(tape->arena, (size_t)(n * d) * sizeof(float));
        cpu->gemm(n, d, k, ds, k, codes->data, d, sum, d);
        tp_add_to_grad(tape, x, 2, sum);
    }
    if (codes->wants_grad) {
        float *sum = tp_arena_zalloc(tape->arena, (size_t)(k * d) * sizeof(float)), *dc = tp_var_grad(tape, codes);
        cpu->gemm_at(k, d, n, ds, k, x->data, d, sum, d);
        for (int64_t j = 0; j < k; j++) {
            float column = 0;
            for (int64_t i = 0; i < n; i++) column += ds[i * k + j];
            for (int64_t c = 0; c < d; c++) dc[j * d + c] += 2 * (sum[j * d + c] - column * codes->data[j * d + c]);
        }
    }
}

tp_var *tp_code_entropy(tp_tape *tape, tp_var *x, tp_var *codes, float temperature) {
    int64_t n = x->rows, k = codes->rows, d = x->cols;
    assert(codes->cols == d && n > 0 && k > 1 && temperature > 0);
    entropy *e = tp_arena_alloc(tape->arena, sizeof *e);
    *e = (entropy){tp_arena_alloc(tape->arena, (size_t)(n * k) * sizeof(float)),
                   tp_arena_alloc(tape->arena, (size_t)k * sizeof(float)), temperature, log((double)k)};
    double *q = tp_arena_zalloc(tape->arena, (size_t)k * sizeof(double)), h = 0;
    tp_weight table = {.name = "codes", .dtype = TP_F32, .rows = k, .cols = d, .data = codes->data};
    tp_matmul(TP_MATH_F32, tape->arena, e->p, x->data, n, &table);
    const tp_kernels *cpu = tp_cpu();
    for (int64_t i = 0; i < n; i++) {
        float *p = e->p + i * k;
        for (int64_t j = 0; j < k; j++) {
            if (i == 0) e->log_q[j] = (float)cpu->sum_squares(codes->data + j * d, d); /* |c_j|^2, for now */
            p[j] = (2 * p[j] - e->log_q[j]) / temperature;
        }
        double sum = cpu->exp_sum(p, cpu->max(p, k), k);
        for (int64_t j = 0; j < k; j++) {
            p[j] = (float)(p[j] / sum);
            q[j] += p[j] / (double)n;
        }
    }
    for (int64_t j = 0; j < k; j++) {
        e->log_q[j] = (float)log(fmax(q[j], 1e-30));
        h -= q[j] * e->log_q[j];
    }
    tp_weight_release(&table);
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)(h / e->largest);
    tp_node *node = tp_record(tape, code_entropy_backward, out, (tp_var *[3]){x, codes}, (const tp_weight *[2]){0});
    if (node) node->extra = e;
    return out;
}
