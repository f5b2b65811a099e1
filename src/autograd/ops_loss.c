/* Ops that end in a scalar. */
#include "autograd/ops.h"
#include "autograd/pieces.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A row's probabilities are exp(x - most) / sum. They are made chunk by chunk, forward and backward, so that no second
 * matrix of the logits' size is needed. `most` and the logarithm of the sum are kept apart: added up in f32, large
 * logits would cost the loss its last digits. */
enum { CHUNK = 1024 };

typedef struct {
    const int32_t *targets;
    float *weights; /* of each row, already divided by their sum */
    float *most;    /* the row's largest logit */
    float *sum;     /* the row's sum of exp(x - most) */
} cross_entropy;

static void cross_entropy_backward(tp_tape *tape, tp_node *node) {
    const cross_entropy *c = node->extra;
    tp_var *logits = node->in[0];
    bool fresh;
    float *dx = tp_var_grad_fresh(tape, logits, &fresh), upstream = node->out->grad[0];
    const tp_kernels *cpu = tp_cpu();
    int64_t v = logits->cols;
#pragma omp parallel for if (logits->rows * v > 1 << 14)
    for (int64_t i = 0; i < logits->rows; i++) {
        float w = c->weights[i] * upstream, chunk[CHUNK];
        if (w == 0.0f) {
            tp_clear_fresh(dx + i * v, v, fresh);
            continue;
        }
        for (int64_t j = 0; j < v; j += CHUNK) {
            int64_t m = v - j < CHUNK ? v - j : CHUNK;
            memcpy(chunk, logits->data + i * v + j, (size_t)m * sizeof(float));
            cpu->exp_sum(chunk, c->most[i], m);
            tp_clear_fresh(dx + i * v + j, m, fresh);
            cpu->axpy(dx + i * v + j, w / c->sum[i], chunk, m);
        }
        dx[i * v + c->targets[i]] -= w;
    }
}

tp_var *tp_cross_entropy(tp_tape *tape, tp_var *logits, const int32_t *targets, const float *weights,
                         const float **nll) {
    int64_t n = logits->rows, v = logits->cols;
    size_t bytes = (size_t)n * sizeof(float);
    cross_entropy *c = tp_arena_alloc(tape->arena, sizeof *c);
    *c = (cross_entropy){memcpy(tp_arena_alloc(tape->arena, (size_t)n * sizeof *targets), targets, bytes),
                         tp_arena_alloc(tape->arena, bytes), tp_arena_alloc(tape->arena, bytes),
                         tp_arena_alloc(tape->arena, bytes)};
    float *losses = tp_arena_alloc(tape->arena, bytes);
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += weights ? weights[i] : 1.0f;
    const tp_kernels *cpu = tp_cpu();
#pragma omp parallel for if (n * v > 1 << 14)
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits->data + i * v;
        float most = cpu->max(row, v), chunk[CHUNK];
        double sum = 0;
        for (int64_t j = 0; j < v; j += CHUNK) {
            int64_t m = v - j < CHUNK ? v - j : CHUNK;
            memcpy(chunk, row + j, (size_t)m * sizeof(float));
            sum += cpu->exp_sum(chunk, most, m);
        }
        assert(targets[i] >= 0 && targets[i] < v);
        c->most[i] = most;
        c->sum[i] = (float)sum;
        losses[i] = (float)(log(sum) + ((double)most - row[targets[i]]));
        c->weights[i] = total > 0 ? (float)((weights ? weights[i] : 1.0f) / total) : 0.0f;
    }
    double loss = 0;
    for (int64_t i = 0; i < n; i++)
        if (c->weights[i] != 0.0f) loss += (double)c->weights[i] * losses[i];
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = (float)loss;
    if (nll) *nll = losses;
    tp_node *node = tp_record(tape, cross_entropy_backward, out, (tp_var *[3]){logits}, (const tp_weight *[2]){0});
    if (node) node->extra = c;
    return out;
}

/* With u_i = x_i / |x_i| and U their sum: loss = (|U|^2 - n) / (n (n - 1)), d loss / d u_i = 2 (U - u_i) / (n (n - 1)).
 */
typedef struct {
    float *units;    /* [n, d] */
    float *inverses; /* 1 / |x_i| */
    float *sum;      /* U [d] */
} mean_cosine;

static void mean_cosine_backward(tp_tape *tape, tp_node *node) {
    const mean_cosine *c = node->extra;
    tp_var *x = node->in[0];
    float *dx = tp_var_grad(tape, x);
    int64_t n = x->rows, d = x->cols;
    float factor = 2.0f * node->out->grad[0] / (float)(n * (n - 1));
    for (int64_t i = 0; i < n; i++) {
        const float *u = c->units + i * d;
        double along = 0; /* the part along u does not turn it */
        for (int64_t j = 0; j < d; j++) along += (double)u[j] * (c->sum[j] - u[j]);
        for (int64_t j = 0; j < d; j++)
            dx[i * d + j] += factor * c->inverses[i] * (c->sum[j] - u[j] - (float)along * u[j]);
    }
}

tp_var *tp_mean_cosine(tp_tape *tape, tp_var *x) {
    int64_t n = x->rows, d = x->cols;
    tp_var *out = tp_var_new(tape, 1, 1);
    out->data[0] = 0;
    if (n < 2) return out;
    mean_cosine *c = tp_arena_alloc(tape->arena, sizeof *c);
    c->units = tp_arena_alloc(tape->arena, (size_t)(n * d) * sizeof(float));
    c->inverses = tp_arena_alloc(tape->arena, (size_t)n * sizeof(float));
    c->sum = tp_arena_zalloc(tape->arena, (size_t)d * sizeof(float));
    double squares = 0, lengths = 0;
    for (int64_t i = 0; i < n; i++) {
        double length = sqrt(tp_cpu()->sum_squares(x->data + i * d, d));
        c->inverses[i] = length > 1e-12 ? (float)(1.0 / length) : 0.0f;
        for (int64_t j = 0; j < d; j++) c->units[i * d + j] = x->data[i * d + j] * c->inverses[i];
        lengths += tp_cpu()->sum_squares(c->units + i * d, d);
        tp_cpu()->axpy(c->sum, 1.0f, c->units + i * d, d);
    }
    squares = tp_cpu()->sum_squares(c->sum, d);
    out->data[0] = (float)((squares - lengths) / (double)(n * (n - 1)));
    tp_node *node = tp_record(tape, mean_cosine_backward, out, (tp_var *[3]){x}, (const tp_weight *[2]){0});
    if (node) node->extra = c;
    return out;
}

typedef struct {
    int n;
    tp_var **terms;
    float *weights;
} weighted_sum;

static void weighted_sum_backward(tp_tape *tape, tp_node *node) {
    const weighted_sum *s = node->extra;
    for (int i = 0; i < s->n; i++)
        if (s->terms[i]->wants_grad) tp_var_grad(tape, s->terms[i])[0] += s->weights[i] * node->out->grad[0];
}

tp_var *tp_weighted_sum(tp_tape *tape, tp_var *const *terms, const float *weights, int n) {
    tp_var *out = tp_var_new(tape, 1, 1), *wanting = NULL;
    weighted_sum *s = tp_arena_alloc(tape->arena, sizeof *s);
    s->n = n;
    s->terms = tp_arena_alloc(tape->arena, (size_t)n * sizeof *s->terms);
    s->weights = tp_arena_alloc(tape->arena, (size_t)n * sizeof *s->weights);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        assert(terms[i]->rows == 1 && terms[i]->cols == 1);
        sum += (double)weights[i] * terms[i]->data[0];
        s->terms[i] = terms[i];
        s->weights[i] = weights[i];
        if (terms[i]->wants_grad) wanting = terms[i];
    }
    out->data[0] = (float)sum;
    tp_node *node = tp_record(tape, weighted_sum_backward, out, (tp_var *[3]){wanting}, (const tp_weight *[2]){0});
    if (node) node->extra = s;
    return out;
}
