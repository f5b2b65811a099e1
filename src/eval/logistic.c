/* Softmax regression on dense rows. See logistic.h.
 *
 * Rows are taken in blocks: standardised, multiplied by the weights (the engine's product, f32), turned into
 * probabilities, multiplied back into the gradient. So memory does not grow with the rows, and 60,000 rows of 256
 * numbers in 77 classes cost some 5 GFLOP a step. Sums over blocks and all of L-BFGS are in double precision. */
#include "eval/logistic.h"

#include "base/mem.h"
#include "tensor/matmul.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 2048, MEMORY = 10, MOST_STEPS = 500, MOST_HALVINGS = 30 };
static const double smallest_gradient = 1e-5; /* stop where no entry is larger; f32 sums hold about 1e-7 */

/* What is minimised, as a function of parameters [n_classes * d weights, then n_classes biases]. */
typedef struct objective {
    const float *x;
    const int32_t *y;
    size_t n, d, classes;
    double l2;
    tp_logistic *model; /* for mean and scale; its weights and bias hold the parameters last looked at */
    float *rows;        /* [BLOCK, d] standardised */
    float *logits;      /* [BLOCK, classes] */
    float *grad;        /* [classes, d] of one block */
    tp_arena *scratch;
} objective;

static void standardise(const tp_logistic *m, const float *x, size_t n, float *out) {
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m->d; k++) out[i * m->d + k] = (x[i * m->d + k] - m->mean[k]) * m->scale[k];
}

static void block_logits(const tp_logistic *m, const float *rows, size_t n, float *logits, tp_arena *scratch) {
    tp_weight w = {.name = "probe",
                   .dtype = TP_F32,
                   .rows = m->n_classes,
                   .cols = (int64_t)m->d,
                   .data = m->weights,
                   .grad = m->weights}; /* has a gradient, so nothing made of it is kept */
    tp_matmul(TP_MATH_F32, scratch, logits, rows, (int64_t)n, &w);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (int32_t c = 0; c < m->n_classes; c++) logits[i * (size_t)m->n_classes + (size_t)c] += m->bias[c];
}

/* Logits become probabilities minus one at the label: the gradient; returns the sum of the rows' losses. */
static double softmax_loss(float *logits, const int32_t *y, size_t n, size_t classes) {
    double total = 0;
#pragma omp parallel for schedule(static) reduction(+ : total)
    for (size_t i = 0; i < n; i++) {
        float *row = logits + i * classes, highest = row[0];
        for (size_t c = 1; c < classes; c++) highest = fmaxf(highest, row[c]);
        double sum = 0, right = row[y[i]] - highest;
        for (size_t c = 0; c < classes; c++) sum += row[c] = expf(row[c] - highest);
        for (size_t c = 0; c < classes; c++) row[c] = (float)(row[c] / sum);
        row[y[i]] -= 1;
        total += log(sum) - right;
    }
    return total;
}

static double evaluate(objective *o, const double *parameters, double *gradient) {
    tp_logistic *m = o->model;
    size_t n_weights = o->classes * o->d, n_all = n_weights + o->classes;
    for (size_t k = 0; k < n_weights; k++) m->weights[k] = (float)parameters[k];
    for (size_t c = 0; c < o->classes; c++) m->bias[c] = (float)parameters[n_weights + c];
    memset(gradient, 0, n_all * sizeof *gradient);
    double loss = 0;
    for (size_t start = 0; start < o->n; start += BLOCK) {
        size_t n = o->n - start < BLOCK ? o->n - start : BLOCK;
        standardise(m, o->x + start * o->d, n, o->rows);
        block_logits(m, o->rows, n, o->logits, o->scratch);
        loss += softmax_loss(o->logits, o->y + start, n, o->classes);
        memset(o->grad, 0, n_weights * sizeof *o->grad);
        tp_weight w = {.name = "probe",
                       .dtype = TP_F32,
                       .rows = (int64_t)o->classes,
                       .cols = (int64_t)o->d,
                       .data = m->weights,
                       .grad = o->grad};
        tp_matmul_weight_grad(TP_MATH_F32, o->scratch, o->logits, o->rows, (int64_t)n, &w);
        for (size_t k = 0; k < n_weights; k++) gradient[k] += (double)o->grad[k];
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < o->classes; c++) gradient[n_weights + c] += (double)o->logits[i * o->classes + c];
    }
    loss /= (double)o->n;
    for (size_t k = 0; k < n_all; k++) gradient[k] /= (double)o->n;
    for (size_t k = 0; k < n_weights; k++) {
        loss += 0.5 * o->l2 * parameters[k] * parameters[k];
        gradient[k] += o->l2 * parameters[k];
    }
    return loss;
}

/* ---- L-BFGS ---- */

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double largest(const double *a, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

typedef struct history {
    double *s, *y; /* [MEMORY, n] steps and changes of the gradient; the k-th stands at k % MEMORY */
    double rho[MEMORY];
    size_t n;
    int count;
} history;

/* direction = -H gradient, by the two-loop recursion. */
static void descend(const history *h, const double *gradient, double *direction) {
    double alpha[MEMORY];
    int first = h->count > MEMORY ? h->count - MEMORY : 0;
    for (size_t i = 0; i < h->n; i++) direction[i] = -gradient[i];
    for (int k = h->count - 1; k >= first; k--) {
        const double *s = h->s + (size_t)(k % MEMORY) * h->n, *y = h->y + (size_t)(k % MEMORY) * h->n;
        double a = alpha[k % MEMORY] = h->rho[k % MEMORY] * dot(s, direction, h->n);
        for (size_t i = 0; i < h->n; i++) direction[i] -= a * y[i];
    }
    if (h->count > 0) {
        const double *s = h->s + (size_t)((h->count - 1) % MEMORY) * h->n;
        const double *y = h->y + (size_t)((h->count - 1) % MEMORY) * h->n;
        double scale = dot(s, y, h->n) / dot(y, y, h->n);
        for (size_t i = 0; i < h->n; i++) direction[i] *= scale;
    }
    for (int k = first; k < h->count; k++) {
        const double *s = h->s + (size_t)(k % MEMORY) * h->n, *y = h->y + (size_t)(k % MEMORY) * h->n;
        double b = alpha[k % MEMORY] - h->rho[k % MEMORY] * dot(y, direction, h->n);
        for (size_t i = 0; i < h->n; i++) direction[i] += b * s[i];
    }
}

/* Remembers a step if the curvature along it is positive, as it is for a convex function but for rounding. */
static void remember(history *h, const double *old, const double *new, const double *old_grad, const double *new_grad) {
    double *s = h->s + (size_t)(h->count % MEMORY) * h->n, *y = h->y + (size_t)(h->count % MEMORY) * h->n;
    for (size_t i = 0; i < h->n; i++) s[i] = new[i] - old[i], y[i] = new_grad[i] - old_grad[i];
    double curvature = dot(s, y, h->n);
    if (!(curvature > 1e-10 * dot(y, y, h->n))) return;
    h->rho[h->count % MEMORY] = 1 / curvature;
    h->count++;
}

static void minimise(objective *o) {
    size_t n = o->classes * (o->d + 1);
    double *at = tp_alloc(n * sizeof *at), *grad = tp_alloc(n * sizeof *grad), *next = tp_alloc(n * sizeof *next);
    double *next_grad = tp_alloc(n * sizeof *next_grad), *direction = tp_alloc(n * sizeof *direction);
    history h = {.s = tp_alloc(MEMORY * n * sizeof(double)), .y = tp_alloc(MEMORY * n * sizeof(double)), .n = n};
    double loss = evaluate(o, at, grad); /* from zero: the problem is convex, any start leads to the same place */
    int step = 0;
    for (; step < MOST_STEPS && largest(grad, n) > smallest_gradient; step++) {
        descend(&h, grad, direction);
        double slope = dot(grad, direction, n), length = h.count > 0 ? 1 : 1 / fmax(1, sqrt(dot(grad, grad, n)));
        double next_loss = INFINITY;
        bool lower = false;
        for (int k = 0; k < MOST_HALVINGS && !lower; k++, length *= lower ? 1 : 0.5) {
            for (size_t i = 0; i < n; i++) next[i] = at[i] + length * direction[i];
            next_loss = evaluate(o, next, next_grad);
            lower = next_loss <= loss + 1e-4 * length * slope; /* Armijo's condition */
        }
        if (!lower) break; /* what is left to gain is below the rounding of the sums */
        remember(&h, at, next, grad, next_grad);
        memcpy(at, next, n * sizeof *at);
        memcpy(grad, next_grad, n * sizeof *grad);
        loss = next_loss;
    }
    o->model->loss = evaluate(o, at, grad); /* also puts the parameters into the model */
    o->model->gradient = largest(grad, n);
    o->model->n_steps = step;
    tp_free(at);
    tp_free(grad);
    tp_free(next);
    tp_free(next_grad);
    tp_free(direction);
    tp_free(h.s);
    tp_free(h.y);
}

/* ---- the model ---- */

static void measure_inputs(tp_logistic *m, const float *x, size_t n) {
    double *sum = tp_alloc(m->d * sizeof *sum), *square = tp_alloc(m->d * sizeof *square);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m->d; k++) sum[k] += (double)x[i * m->d + k];
    for (size_t k = 0; k < m->d; k++) m->mean[k] = (float)(sum[k] / (double)n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m->d; k++) {
            double away = (double)x[i * m->d + k] - (double)m->mean[k];
            square[k] += away * away;
        }
    for (size_t k = 0; k < m->d; k++) {
        double std = sqrt(square[k] / (double)n);
        m->scale[k] = std > 1e-6 * fabs((double)m->mean[k]) && std > 1e-20 ? (float)(1 / std) : 0;
    }
    tp_free(sum);
    tp_free(square);
}

static tp_status check_rows(const float *x, const int32_t *y, size_t n, size_t d, int32_t n_classes) {
    if (n == 0 || d == 0 || n_classes < 2)
        return tp_fail(TP_ERR_ARGUMENT, "a probe wants rows, inputs and at least 2 classes: %zu, %zu and %d were given",
                       n, d, n_classes);
    for (size_t i = 0; i < n; i++) {
        if (y[i] < 0 || y[i] >= n_classes)
            return tp_fail(TP_ERR_ARGUMENT, "row %zu for the probe has label %d; 0 to %d was expected", i, y[i],
                           n_classes - 1);
        for (size_t k = 0; k < d; k++)
            if (!isfinite(x[i * d + k]))
                return tp_fail(TP_ERR_ARGUMENT, "row %zu for the probe holds %g at %zu; finite numbers were expected",
                               i, (double)x[i * d + k], k);
    }
    return TP_OK;
}

tp_status tp_logistic_fit(const float *x, const int32_t *y, size_t n, size_t d, int32_t n_classes, double l2,
                          tp_logistic **out) {
    *out = NULL;
    TP_TRY(check_rows(x, y, n, d, n_classes));
    size_t classes = (size_t)n_classes;
    tp_logistic *m = tp_alloc(sizeof *m);
    *m = (tp_logistic){.d = d,
                       .n_classes = n_classes,
                       .l2 = l2,
                       .mean = tp_alloc(d * sizeof(float)),
                       .scale = tp_alloc(d * sizeof(float)),
                       .weights = tp_alloc(classes * d * sizeof(float)),
                       .bias = tp_alloc(classes * sizeof(float))};
    measure_inputs(m, x, n);
    tp_arena *arena = tp_arena_new();
    objective o = {.x = x,
                   .y = y,
                   .n = n,
                   .d = d,
                   .classes = classes,
                   .l2 = l2,
                   .model = m,
                   .rows = tp_arena_alloc(arena, BLOCK * d * sizeof(float)),
                   .logits = tp_arena_alloc(arena, BLOCK * classes * sizeof(float)),
                   .grad = tp_arena_alloc(arena, classes * d * sizeof(float)),
                   .scratch = arena};
    minimise(&o);
    tp_arena_free(arena);
    *out = m;
    return TP_OK;
}

tp_status tp_logistic_fit_best(const float *x, const int32_t *y, size_t n_train, size_t n_valid, size_t d,
                               int32_t n_classes, tp_logistic **out) {
    static const double penalties[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5};
    double best = 1e-3;
    size_t most = 0;
    int32_t *predicted = tp_alloc(n_valid * sizeof *predicted);
    tp_status status = TP_OK;
    *out = NULL;
    for (size_t k = 0; k < sizeof penalties / sizeof penalties[0] && n_valid > 0 && status == TP_OK; k++) {
        tp_logistic *model;
        status = tp_logistic_fit(x, y, n_train, d, n_classes, penalties[k], &model);
        if (status != TP_OK) break;
        tp_logistic_predict(model, x + n_train * d, n_valid, predicted);
        size_t right = 0;
        for (size_t i = 0; i < n_valid; i++) right += predicted[i] == y[n_train + i];
        if (right > most) most = right, best = penalties[k];
        tp_logistic_free(model);
    }
    tp_free(predicted);
    return status == TP_OK ? tp_logistic_fit(x, y, n_train + n_valid, d, n_classes, best, out) : status;
}

/* Hands the logits [count, n_classes] of the rows from `start` on to `take`, block after block. */
static void each_block(const tp_logistic *model, const float *x, size_t n,
                       void (*take)(void *out, size_t start, size_t count, size_t classes, const float *logits),
                       void *out) {
    tp_arena *arena = tp_arena_new();
    size_t classes = (size_t)model->n_classes;
    float *rows = tp_arena_alloc(arena, BLOCK * model->d * sizeof(float));
    float *logits = tp_arena_alloc(arena, BLOCK * classes * sizeof(float));
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t count = n - start < BLOCK ? n - start : BLOCK;
        standardise(model, x + start * model->d, count, rows);
        block_logits(model, rows, count, logits, arena);
        take(out, start, count, classes, logits);
    }
    tp_arena_free(arena);
}

static void take_best(void *out, size_t start, size_t count, size_t classes, const float *logits) {
    int32_t *labels = out;
    for (size_t i = 0; i < count; i++) {
        const float *row = logits + i * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        labels[start + i] = (int32_t)best;
    }
}

void tp_logistic_predict(const tp_logistic *model, const float *x, size_t n, int32_t *labels) {
    each_block(model, x, n, take_best, labels);
}

static void take_logs(void *out, size_t start, size_t count, size_t classes, const float *logits) {
    double *logs = (double *)out + start * classes;
    for (size_t i = 0; i < count; i++) {
        const float *row = logits + i * classes;
        double highest = (double)row[0], sum = 0;
        for (size_t c = 1; c < classes; c++) highest = fmax(highest, (double)row[c]);
        for (size_t c = 0; c < classes; c++) sum += exp((double)row[c] - highest);
        for (size_t c = 0; c < classes; c++) logs[i * classes + c] = (double)row[c] - highest - log(sum);
    }
}

void tp_logistic_log_probabilities(const tp_logistic *model, const float *x, size_t n, double *out) {
    each_block(model, x, n, take_logs, out);
}

void tp_logistic_free(tp_logistic *model) {
    if (model == NULL) return;
    tp_free(model->mean);
    tp_free(model->scale);
    tp_free(model->weights);
    tp_free(model->bias);
    tp_free(model);
}
