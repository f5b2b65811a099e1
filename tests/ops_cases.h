/* The table of cases for the ops of autograd/ops.h: how each is called, and a naive double-precision oracle for it.
 *
 * A case names the shapes of its leaves and weights (cols 0: absent) and of its result. The harness (test_ops.c) draws
 * numbers for them, compares the op with the oracle, and the op's gradients with central differences of the oracle.
 * Oracles are written from the formulas in ops.h, plainly and one number at a time. */
#ifndef TP_TESTS_OPS_CASES_H
#define TP_TESTS_OPS_CASES_H

#include "autograd/ops.h"

#include <math.h>
#include <string.h>

enum { N_LEAVES = 3, N_WEIGHTS = 2, MAX_ROWS = 600 };

typedef struct op_case op_case;
struct op_case {
    const char *name;
    tp_var *(*build)(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w);
    void (*oracle)(const op_case *c, double *const *x, double *const *w, double *out);
    int64_t leaf[N_LEAVES][2], weight[N_WEIGHTS][2], out[2];
    float number;                                 /* a factor, an epsilon, a probability */
    int n_sequences;                              /* ragged ops */
    const int64_t *q_offsets, *k_begins, *k_ends; /* k_ends NULL: k_begins are offsets */
    tp_attention_spec spec;
};

/* What the cases index with; filled by make_indices. */
static int32_t case_ids[MAX_ROWS], case_positions[MAX_ROWS];
static float case_row_weights[MAX_ROWS], case_frequencies[64];
static tp_row_ref case_refs[MAX_ROWS];

static void make_indices(void) {
    tp_rng rng = tp_rng_stream(3, "indices", 0);
    for (int i = 0; i < MAX_ROWS; i++) {
        case_ids[i] = (int32_t)tp_rng_below(&rng, 5); /* many rows share one; every table has at least 5 */
        case_positions[i] = (int32_t)tp_rng_below(&rng, i % 7 == 6 ? 100000 : 300);
        case_row_weights[i] = i % 4 == 1 ? 0.0f : (float)(10 * tp_rng_uniform(&rng));
        case_refs[i] = (tp_row_ref){(int32_t)tp_rng_below(&rng, 3), (int64_t)tp_rng_below(&rng, 4)};
    }
    for (int i = 0; i < 64; i++) case_frequencies[i] = powf(10000, -(float)i / 64);
}

/* ---- linear and elementwise ---- */

static tp_var *build_linear(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)c;
    return tp_linear(tape, x[0], w[0], w[1]);
}

static void oracle_linear(const op_case *c, double *const *x, double *const *w, double *out) {
    int64_t n = c->out[0], outputs = c->out[1], inputs = c->leaf[0][1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < outputs; o++) {
            double sum = w[1] ? w[1][o] : 0;
            for (int64_t j = 0; j < inputs; j++) sum += x[0][i * inputs + j] * w[0][o * inputs + j];
            out[i * outputs + o] = sum;
        }
}

#define BUILD(NAME, CALL)                                                                                              \
    static tp_var *build_##NAME(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {              \
        (void)c, (void)w, (void)x;                                                                                     \
        return CALL;                                                                                                   \
    }
/* An oracle that gives each number by itself: a, b are the inputs' numbers, r the row's and s the first of w[0]. */
#define EACH(NAME, FORMULA)                                                                                            \
    static void oracle_##NAME(const op_case *c, double *const *x, double *const *w, double *out) {                     \
        for (int64_t i = 0; i < c->out[0] * c->out[1]; i++) {                                                          \
            double a = x[0][i], b = x[1] ? x[1][i] : 0, r = w[0] ? w[0][i % c->out[1]] : 0, s = w[0] ? w[0][0] : 0;    \
            (void)a, (void)b, (void)r, (void)s;                                                                        \
            out[i] = FORMULA;                                                                                          \
        }                                                                                                              \
    }

BUILD(add, tp_add(tape, x[0], x[1]))
EACH(add, a + b)
BUILD(add_itself, tp_add(tape, x[0], x[0]))
EACH(add_itself, 2 * a)
BUILD(mul, tp_mul(tape, x[0], x[1]))
EACH(mul, a *b)
BUILD(square, tp_mul(tape, x[0], x[0]))
EACH(square, a *a)
BUILD(scale, tp_scale(tape, x[0], c->number))
EACH(scale, c->number *a)
BUILD(add_row, tp_add_row(tape, x[0], w[0]))
EACH(add_row, a + r)
BUILD(mul_row, tp_mul_row(tape, x[0], w[0]))
EACH(mul_row, a *r)
BUILD(mul_scalar, tp_mul_scalar(tape, x[0], w[0]))
EACH(mul_scalar, a *s)
BUILD(gelu, tp_gelu(tape, x[0]))
EACH(gelu, a * 0.5 * erfc(-a / sqrt(2)))
BUILD(gelu_tanh, tp_gelu_tanh(tape, x[0]))
EACH(gelu_tanh, 0.5 * a * (1 + tanh(sqrt(2 / 3.14159265358979324) * (a + 0.044715 * a * a * a))))
BUILD(softcap, tp_softcap(tape, x[0], c->number))
EACH(softcap, c->number *tanh(a / c->number))
BUILD(tanh, tp_tanh(tape, x[0]))
EACH(tanh, tanh(a))
BUILD(silu_mul, tp_silu_mul(tape, x[0], x[1]))
EACH(silu_mul, a / (1 + exp(-a)) * b)
BUILD(dropout, tp_dropout(tape, x[0], c->number))
BUILD(reshape, tp_reshape(tape, x[0], c->out[0], c->out[1]))
EACH(reshape, a)
BUILD(parameter, tp_parameter(tape, w[0]))

/* The mask is what becomes of ones: same seed, step and call. */
static void oracle_dropout(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int64_t n = c->out[0] * c->out[1];
    tp_var *ones = tp_var_new(tape, c->out[0], c->out[1]);
    for (int64_t i = 0; i < n; i++) ones->data[i] = 1;
    const tp_var *mask = tp_dropout(tape, ones, c->number);
    for (int64_t i = 0; i < n; i++) out[i] = x[0][i] * mask->data[i];
    tp_tape_free(tape);
}

static void oracle_parameter(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)x;
    memcpy(out, w[0], (size_t)(c->out[0] * c->out[1]) * sizeof *out);
}

/* ---- norms, rotation ---- */

BUILD(rms_norm, tp_rms_norm(tape, x[0], w[0], c->number))
BUILD(layer_norm, tp_layer_norm(tape, x[0], w[0], w[1], c->number))

static void normalise(const op_case *c, double *const *x, double *const *w, double *out, bool centre) {
    int64_t d = c->out[1];
    for (int64_t i = 0; i < c->out[0]; i++) {
        double mean = 0, square = 0;
        for (int64_t j = 0; j < d && centre; j++) mean += x[0][i * d + j] / (double)d;
        for (int64_t j = 0; j < d; j++) square += pow(x[0][i * d + j] - mean, 2) / (double)d;
        for (int64_t j = 0; j < d; j++)
            out[i * d + j] =
                (x[0][i * d + j] - mean) / sqrt(square + c->number) * (w[0] ? w[0][j] : 1) + (w[1] ? w[1][j] : 0);
    }
}

static void oracle_rms_norm(const op_case *c, double *const *x, double *const *w, double *out) {
    normalise(c, x, w, out, false);
}

static void oracle_layer_norm(const op_case *c, double *const *x, double *const *w, double *out) {
    normalise(c, x, w, out, true);
}

/* spec: n_heads; window: pairs' worth of each head that stay; causal: adjacent pairs. number: the amplitude. Rows from
 * the middle on turn by the frequencies in reverse order, as sequences of a batch may. */
static tp_var *build_rope(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)w;
    static float reversed[64];
    int64_t rows = c->out[0], pairs = c->out[1] / c->spec.n_heads / 2 - c->spec.window;
    for (int64_t j = 0; j < pairs; j++) reversed[j] = case_frequencies[pairs - 1 - j];
    tp_rotation *r = tp_rotation_new(tape, rows, pairs, c->spec.causal);
    tp_rotation_set(tape, r, 0, rows / 2, case_positions, case_frequencies, c->number);
    tp_rotation_set(tape, r, rows / 2, rows, case_positions, reversed, c->number);
    return tp_rope(tape, x[0], c->spec.n_heads, r);
}

static void oracle_rope(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t d = c->out[1] / c->spec.n_heads, pairs = d / 2 - c->spec.window, n = c->out[0] * c->out[1];
    for (int64_t i = 0; i < n; i++) out[i] = x[0][i]; /* what does not turn */
    for (int64_t i = 0; i < c->out[0]; i++)
        for (int64_t h = 0; h < c->spec.n_heads; h++)
            for (int64_t j = 0; j < pairs; j++) {
                int64_t head = i * c->out[1] + h * d, first = head + (c->spec.causal ? 2 * j : j);
                int64_t second = first + (c->spec.causal ? 1 : pairs), f = i < c->out[0] / 2 ? j : pairs - 1 - j;
                double angle = (float)case_positions[i] * case_frequencies[f]; /* in f32, as ops.h has it */
                out[first] = c->number * (x[0][first] * cos(angle) - x[0][second] * sin(angle));
                out[second] = c->number * (x[0][second] * cos(angle) + x[0][first] * sin(angle));
            }
}

/* ---- attention ---- */

static tp_var *build_attention(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)w;
    if (c->k_ends)
        return tp_attention_spans(tape, x[0], x[1], x[2], c->q_offsets, c->k_begins, c->k_ends, c->n_sequences,
                                  &c->spec);
    return tp_attention(tape, x[0], x[1], x[2], c->q_offsets, c->k_begins, c->n_sequences, &c->spec);
}

static void oracle_attention(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    const tp_attention_spec *p = &c->spec;
    int64_t d = p->head_dim, q_cols = p->n_heads * d, k_cols = p->n_kv_heads * d;
    double *score = malloc((size_t)(c->leaf[1][0] + 1) * sizeof *score);
    memset(out, 0, (size_t)(c->out[0] * c->out[1]) * sizeof *out);
    for (int s = 0; s < c->n_sequences; s++) {
        int64_t q0 = c->q_offsets[s], n_q = c->q_offsets[s + 1] - q0, k0 = c->k_begins[s];
        int64_t n_k = (c->k_ends ? c->k_ends[s] : c->k_begins[s + 1]) - k0;
        for (int64_t i = 0; i < n_q; i++)
            for (int64_t h = 0; h < p->n_heads; h++) {
                const double *q = x[0] + (q0 + i) * q_cols + h * d;
                double *o = out + (q0 + i) * q_cols + h * d, sum = 0;
                int64_t kv = h / (p->n_heads / p->n_kv_heads) * d, place = n_k - n_q + i;
                for (int64_t j = 0; j < n_k; j++) {
                    bool seen = !p->causal || (j <= place && (p->window == 0 || j > place - p->window));
                    score[j] = 0;
                    for (int64_t e = 0; e < d && seen; e++) score[j] += q[e] * x[1][(k0 + j) * k_cols + kv + e];
                    score[j] *= p->scale;
                    if (p->softcap > 0) score[j] = p->softcap * tanh(score[j] / p->softcap);
                    score[j] = seen ? exp(score[j]) : 0;
                    sum += score[j];
                }
                for (int64_t j = 0; j < n_k; j++)
                    for (int64_t e = 0; e < d && score[j] > 0; e++)
                        o[e] += score[j] / sum * x[2][(k0 + j) * k_cols + kv + e];
            }
    }
    free(score);
}

/* ---- rows ---- */

BUILD(embedding, tp_embedding(tape, w[0], case_ids, c->out[0]))

static void oracle_embedding(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)x;
    for (int64_t i = 0; i < c->out[0]; i++)
        memcpy(out + i * c->out[1], w[0] + case_ids[i] * c->out[1], (size_t)c->out[1] * sizeof *out);
}

BUILD(gather, tp_gather(tape, x, 3, case_refs, c->out[0]))

static void oracle_gather(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    for (int64_t i = 0; i < c->out[0]; i++)
        memcpy(out + i * c->out[1], x[case_refs[i].source] + case_refs[i].row * c->out[1],
               (size_t)c->out[1] * sizeof *out);
}

BUILD(columns, tp_columns(tape, x[0], c->spec.n_heads, c->spec.n_kv_heads, c->spec.head_dim, c->spec.window))

static void oracle_columns(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    for (int64_t i = 0; i < c->out[0]; i++)
        for (int64_t j = 0; j < c->out[1]; j++)
            out[i * c->out[1] + j] = x[0][i * c->leaf[0][1] + c->spec.n_heads +
                                          j / c->spec.n_kv_heads * c->spec.head_dim + j % c->spec.n_kv_heads];
}

BUILD(mean_rows, tp_mean_rows(tape, x[0], c->q_offsets, c->n_sequences))

static void oracle_mean_rows(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t d = c->out[1];
    memset(out, 0, (size_t)(c->out[0] * d) * sizeof *out);
    for (int s = 0; s < c->n_sequences; s++)
        for (int64_t i = c->q_offsets[s]; i < c->q_offsets[s + 1]; i++)
            for (int64_t j = 0; j < d; j++)
                out[s * d + j] += x[0][i * d + j] / (double)(c->q_offsets[s + 1] - c->q_offsets[s]);
}

/* ---- losses ---- */

BUILD(cross_entropy, tp_cross_entropy(tape, x[0], case_ids, c->number > 0 ? case_row_weights : NULL, NULL))

static void oracle_cross_entropy(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    double total = 0, loss = 0;
    int64_t v = c->leaf[0][1];
    for (int64_t i = 0; i < c->leaf[0][0]; i++) {
        const double *row = x[0] + i * v;
        double weight = c->number > 0 ? case_row_weights[i] : 1, most = row[0], sum = 0;
        for (int64_t j = 0; j < v; j++) most = fmax(most, row[j]);
        for (int64_t j = 0; j < v; j++) sum += exp(row[j] - most);
        loss += weight * (most + log(sum) - row[case_ids[i]]);
        total += weight;
    }
    out[0] = loss / total;
}

BUILD(inner_product, tp_inner_product(tape, x[0], x[1], c->number))

static void oracle_inner_product(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    out[0] = 0;
    for (int64_t i = 0; i < c->leaf[0][0] * c->leaf[0][1]; i++) out[0] += c->number * x[0][i] * x[1][i];
}

BUILD(mean_square, tp_mean_square_difference(tape, x[0], x[1]))

static void oracle_mean_square(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0] * c->leaf[0][1];
    out[0] = 0;
    for (int64_t i = 0; i < n; i++) out[0] += (x[0][i] - x[1][i]) * (x[0][i] - x[1][i]) / (double)n;
}

BUILD(max_rows, tp_max_rows(tape, x[0], c->q_offsets, c->n_sequences))

static void oracle_max_rows(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t cols = c->out[1];
    for (int64_t i = 0; i < c->n_sequences * cols; i++) {
        out[i] = -INFINITY;
        for (int64_t r = c->q_offsets[i / cols]; r < c->q_offsets[i / cols + 1]; r++)
            out[i] = fmax(out[i], x[0][r * cols + i % cols]);
    }
}

/* Query i finds keys 2 and i mod keys, half each; every fourth query finds nothing. */
static float case_positive(int64_t i, int64_t j, int64_t keys) {
    return i % 4 == 3 ? 0.0f : (j == 2 ? 0.5f : 0.0f) + (j == i % keys ? 0.5f : 0.0f);
}

static tp_var *build_info_nce(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)w;
    tp_var *keys = x[1] ? x[1] : x[0]; /* number < 0: no row is compared with itself, which is no positive then */
    int64_t n = x[0]->rows, m = keys->rows;
    float *positives = tp_arena_alloc(tape->arena, (size_t)(n * m) * sizeof *positives);
    for (int64_t i = 0; i < n * m; i++)
        positives[i] = c->number < 0 ? i % m == (i / m + 1) % m : case_positive(i / m, i % m, m);
    return tp_info_nce(tape, x[0], keys, fabsf(c->number), positives, c->number < 0);
}

static void oracle_info_nce(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    const double *keys = x[1] ? x[1] : x[0];
    int64_t n = c->leaf[0][0], m = x[1] ? c->leaf[1][0] : n, d = c->leaf[0][1];
    double asked = 0, loss = 0, logits[64];
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, positives = 0;
        for (int64_t j = 0; j < m; j++) {
            logits[j] = 0;
            for (int64_t k = 0; k < d; k++) logits[j] += fabs(c->number) * x[0][i * d + k] * keys[j * d + k];
            if (c->number > 0 || i != j) sum += exp(logits[j]);
        }
        for (int64_t j = 0; j < m; j++) {
            double positive = c->number < 0 ? j == (i + 1) % m : case_positive(i, j, m);
            loss -= positive * (logits[j] - log(sum));
            positives += positive;
        }
        asked += positives > 0;
    }
    out[0] = loss / asked;
}

static tp_var *build_bag(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)c, (void)w; /* row i's bag: i ids of the list, some of them twice */
    const int32_t **ids = tp_arena_alloc(tape->arena, (size_t)x[0]->rows * sizeof *ids);
    int64_t *n_ids = tp_arena_alloc(tape->arena, (size_t)x[0]->rows * sizeof *n_ids);
    for (int64_t i = 0; i < x[0]->rows; i++) ids[i] = case_ids + i, n_ids[i] = i;
    return tp_bag_cross_entropy(tape, x[0], ids, n_ids);
}

static void oracle_bag(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0], v = c->leaf[0][1];
    out[0] = 0;
    for (int64_t i = 0; i < n * v; i++) {
        bool there = false;
        for (int64_t t = 0; t < i / v; t++) there = there || case_ids[i / v + t] == i % v;
        double p = 1 / (1 + exp(-x[0][i]));
        out[0] -= log(there ? p : 1 - p) / (double)(n * v);
    }
}

static tp_var *build_distillation(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)w; /* the teacher is the same rows in the other order, as constants */
    int64_t n = x[0]->rows, v = x[0]->cols;
    tp_var *teacher = tp_var_new(tape, n, v);
    for (int64_t i = 0; i < n * v; i++) teacher->data[i] = 3 * sinf((float)i);
    return tp_distillation(tape, x[0], teacher, case_row_weights, c->number);
}

static void oracle_distillation(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0], v = c->leaf[0][1];
    double total = 0, t = c->number;
    out[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        double p_sum = 0, q_sum = 0;
        for (int64_t j = 0; j < v; j++)
            p_sum += exp(3 * sin((double)(i * v + j)) / t), q_sum += exp(x[0][i * v + j] / t);
        for (int64_t j = 0; j < v; j++) {
            double p = exp(3 * sin((double)(i * v + j)) / t) / p_sum, q = exp(x[0][i * v + j] / t) / q_sum;
            out[0] += case_row_weights[i] * t * t * p * (log(p) - log(q));
        }
        total += case_row_weights[i];
    }
    out[0] /= total;
}

BUILD(mean_cosine, tp_mean_cosine(tape, x[0]))

static void oracle_mean_cosine(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0], d = c->leaf[0][1];
    double sum = 0;
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = 0; b < n; b++) {
            double dot = 0, aa = 0, bb = 0;
            for (int64_t j = 0; j < d; j++) {
                dot += x[0][a * d + j] * x[0][b * d + j];
                aa += x[0][a * d + j] * x[0][a * d + j];
                bb += x[0][b * d + j] * x[0][b * d + j];
            }
            if (a != b) sum += dot / sqrt(aa * bb);
        }
    out[0] = n < 2 ? 0 : sum / (double)(n * (n - 1));
}

BUILD(weighted_sum, tp_weighted_sum(tape, x, (const float[]){0.5f, -2, 3}, 3))

static void oracle_weighted_sum(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)c, (void)w;
    out[0] = 0.5 * x[0][0] - 2 * x[1][0] + 3 * x[2][0];
}

/* ---- quantisers: the gradient of a straight step is that of no step, so its oracle adds a constant ---- */

static tp_var *build_straight_through(const op_case *c, tp_tape *tape, tp_var **x, const tp_weight *const *w) {
    (void)w;
    float *values = tp_arena_alloc(tape->arena, (size_t)(c->out[0] * c->out[1]) * sizeof *values);
    for (int64_t i = 0; i < c->out[0] * c->out[1]; i++) values[i] = x[0]->data[i] + c->number;
    return tp_straight_through(tape, x[0], values);
}

EACH(straight_through, a + c->number)
BUILD(log_variance, tp_log_variance(tape, x[0], c->number))
BUILD(code_entropy, tp_code_entropy(tape, x[0], x[1], c->number))

static void oracle_log_variance(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0], d = c->leaf[0][1];
    double sum = 0;
    for (int64_t j = 0; j < d; j++) { /* half the mean square distance of two different rows */
        double squares = 0;
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b < a; b++) squares += pow(x[0][a * d + j] - x[0][b * d + j], 2);
        sum += squares / (double)(n * (n - 1)) / (double)d;
    }
    out[0] = log(sum + c->number);
}

static void oracle_code_entropy(const op_case *c, double *const *x, double *const *w, double *out) {
    (void)w;
    int64_t n = c->leaf[0][0], k = c->leaf[1][0], d = c->leaf[0][1];
    double *q = calloc((size_t)k, sizeof *q), *p = malloc((size_t)k * sizeof *p);
    for (int64_t i = 0; i < n; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < k; j++) {
            p[j] = 0;
            for (int64_t e = 0; e < d; e++) p[j] -= pow(x[0][i * d + e] - x[1][j * d + e], 2) / c->number;
            most = fmax(most, p[j]);
        }
        for (int64_t j = 0; j < k; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t j = 0; j < k; j++) q[j] += p[j] / sum / (double)n;
    }
    out[0] = 0;
    for (int64_t j = 0; j < k; j++) out[0] -= q[j] * log(q[j]) / log((double)k);
    free(p);
    free(q);
}

/* ---- the table ---- */

#define OP(NAME) .build = build_##NAME, .oracle = oracle_##NAME
#define AT(...)                                                                                                        \
    (const int64_t[]) {                                                                                                \
        __VA_ARGS__                                                                                                    \
    }
/* An attention case: heads, key heads, head width, causal, window; numbers of sequences; rows of q and of k; offsets.
 */
#define ATTENTION(H, KV, D, CAUSAL, WINDOW, N, NQ, NK, Q, K)                                                           \
    OP(attention), .leaf = {{NQ, (H) * (D)}, {NK, (KV) * (D)}, {NK, (KV) * (D)}}, .out = {NQ, (H) * (D)},              \
                   .spec = {H, KV, D, 0.15f, CAUSAL, WINDOW, 0}, .n_sequences = N, .q_offsets = Q, .k_begins = K

/* Scores of a deviation of about sqrt(D) are bent by a cap of 1.5. */
#define CAPPED(H, KV, D, WINDOW, N, NQ, NK, Q, K)                                                                      \
    OP(attention), .leaf = {{NQ, (H) * (D)}, {NK, (KV) * (D)}, {NK, (KV) * (D)}}, .out = {NQ, (H) * (D)},              \
                   .spec = {H, KV, D, 1, true, WINDOW, 1.5f}, .n_sequences = N, .q_offsets = Q, .k_begins = K

static const op_case op_cases[] = {
    {"linear", OP(linear), .leaf = {{9, 7}}, .weight = {{5, 7}, {1, 5}}, .out = {9, 5}},
    {"linear, no bias", OP(linear), .leaf = {{9, 7}}, .weight = {{5, 7}}, .out = {9, 5}},
    {"linear, one row", OP(linear), .leaf = {{1, 33}}, .weight = {{17, 33}, {1, 17}}, .out = {1, 17}},
    {"linear, three rows", OP(linear), .leaf = {{3, 33}}, .weight = {{17, 33}, {1, 17}}, .out = {3, 17}},
    {"linear, no rows", OP(linear), .leaf = {{0, 33}}, .weight = {{17, 33}, {1, 17}}, .out = {0, 17}},
    {"linear, large", OP(linear), .leaf = {{200, 64}}, .weight = {{96, 64}, {1, 96}}, .out = {200, 96}},
    {"add", OP(add), .leaf = {{5, 7}, {5, 7}}, .out = {5, 7}},
    {"add, large", OP(add), .leaf = {{300, 130}, {300, 130}}, .out = {300, 130}},
    {"add, to itself", OP(add_itself), .leaf = {{5, 7}}, .out = {5, 7}},
    {"mul", OP(mul), .leaf = {{5, 7}, {5, 7}}, .out = {5, 7}},
    {"mul, large", OP(mul), .leaf = {{300, 130}, {300, 130}}, .out = {300, 130}},
    {"mul, by itself", OP(square), .leaf = {{5, 7}}, .out = {5, 7}},
    {"scale", OP(scale), .leaf = {{5, 7}}, .out = {5, 7}, .number = -0.37f},
    {"scale, large", OP(scale), .leaf = {{300, 130}}, .out = {300, 130}, .number = -0.37f},
    {"add_row", OP(add_row), .leaf = {{9, 7}}, .weight = {{1, 7}}, .out = {9, 7}},
    {"add_row, large", OP(add_row), .leaf = {{300, 130}}, .weight = {{1, 130}}, .out = {300, 130}},
    {"mul_row", OP(mul_row), .leaf = {{9, 7}}, .weight = {{1, 7}}, .out = {9, 7}},
    {"mul_row, large", OP(mul_row), .leaf = {{300, 130}}, .weight = {{1, 130}}, .out = {300, 130}},
    {"mul_scalar", OP(mul_scalar), .leaf = {{9, 7}}, .weight = {{1, 1}}, .out = {9, 7}},
    {"mul_scalar, large", OP(mul_scalar), .leaf = {{300, 130}}, .weight = {{1, 1}}, .out = {300, 130}},
    {"gelu", OP(gelu), .leaf = {{9, 7}}, .out = {9, 7}},
    {"gelu, large", OP(gelu), .leaf = {{300, 130}}, .out = {300, 130}},
    {"gelu_tanh", OP(gelu_tanh), .leaf = {{9, 7}}, .out = {9, 7}},
    {"gelu_tanh, large", OP(gelu_tanh), .leaf = {{300, 130}}, .out = {300, 130}},
    {"softcap", OP(softcap), .leaf = {{9, 7}}, .out = {9, 7}, .number = 0.7f},
    {"softcap, large", OP(softcap), .leaf = {{300, 130}}, .out = {300, 130}, .number = 3},
    {"tanh", OP(tanh), .leaf = {{9, 7}}, .out = {9, 7}},
    {"tanh, large", OP(tanh), .leaf = {{300, 130}}, .out = {300, 130}},
    {"silu_mul", OP(silu_mul), .leaf = {{9, 7}, {9, 7}}, .out = {9, 7}},
    {"silu_mul, large", OP(silu_mul), .leaf = {{300, 130}, {300, 130}}, .out = {300, 130}},
    {"dropout", OP(dropout), .leaf = {{9, 7}}, .out = {9, 7}, .number = 0.3f},
    {"dropout, large", OP(dropout), .leaf = {{300, 130}}, .out = {300, 130}, .number = 0.3f},
    {"reshape", OP(reshape), .leaf = {{6, 10}}, .out = {15, 4}},
    {"parameter", OP(parameter), .weight = {{6, 10}}, .out = {6, 10}},

    {"rms_norm", OP(rms_norm), .leaf = {{9, 7}}, .weight = {{1, 7}}, .out = {9, 7}, .number = 1e-5f},
    {"rms_norm, no gain", OP(rms_norm), .leaf = {{9, 7}}, .out = {9, 7}, .number = 1e-5f},
    {"rms_norm, large epsilon", OP(rms_norm), .leaf = {{9, 7}}, .weight = {{1, 7}}, .out = {9, 7}, .number = 0.5f},
    {"rms_norm, no rows", OP(rms_norm), .leaf = {{0, 7}}, .weight = {{1, 7}}, .out = {0, 7}, .number = 1e-5f},
    {"rms_norm, large", OP(rms_norm), .leaf = {{300, 130}}, .weight = {{1, 130}}, .out = {300, 130}, .number = 1e-5f},
    {"layer_norm", OP(layer_norm), .leaf = {{9, 7}}, .weight = {{1, 7}, {1, 7}}, .out = {9, 7}, .number = 1e-5f},
    {"layer_norm, no bias", OP(layer_norm), .leaf = {{9, 7}}, .weight = {{1, 7}}, .out = {9, 7}, .number = 1e-5f},
    {"layer_norm, bias only", OP(layer_norm), .leaf = {{9, 7}}, .weight = {{0, 0}, {1, 7}}, .out = {9, 7}, .number = 1},
    {"layer_norm, plain", OP(layer_norm), .leaf = {{9, 7}}, .out = {9, 7}, .number = 1e-5f},
    {"layer_norm, large", OP(layer_norm), .leaf = {{300, 130}}, .weight = {{1, 130}, {1, 130}}, .out = {300, 130},
     .number = 1e-5f},

    {"rope", OP(rope), .leaf = {{14, 12}}, .out = {14, 12}, .spec = {.n_heads = 2}, .number = 1},
    {"rope, one head", OP(rope), .leaf = {{5, 34}}, .out = {5, 34}, .spec = {.n_heads = 1}, .number = 1},
    {"rope, in part", OP(rope), .leaf = {{9, 36}}, .out = {9, 36}, .spec = {.n_heads = 3, .window = 4}, .number = 1},
    {"rope, adjacent pairs", OP(rope), .leaf = {{9, 24}}, .out = {9, 24}, .spec = {.n_heads = 2, .causal = true},
     .number = 1},
    {"rope, adjacent, in part", OP(rope), .leaf = {{9, 24}}, .out = {9, 24},
     .spec = {.n_heads = 2, .causal = true, .window = 1}, .number = 1},
    {"rope, amplitude", OP(rope), .leaf = {{9, 24}}, .out = {9, 24}, .spec = {.n_heads = 2}, .number = 1.19f},
    {"rope, large", OP(rope), .leaf = {{150, 256}}, .out = {150, 256}, .spec = {.n_heads = 4}, .number = 1},

    {"attention, causal", ATTENTION(2, 2, 6, true, 0, 3, 12, 12, AT(0, 5, 5, 12), AT(0, 5, 5, 12))},
    {"attention, cross", ATTENTION(2, 2, 6, false, 0, 4, 9, 14, AT(0, 2, 5, 5, 9), AT(0, 7, 7, 9, 14))},
    {"attention, both ways", ATTENTION(3, 3, 12, false, 0, 4, 60, 60, AT(0, 1, 38, 38, 60), AT(0, 1, 38, 38, 60))},
    {"attention, one row, one key", ATTENTION(2, 1, 8, false, 0, 1, 1, 1, AT(0, 1), AT(0, 1))},
    {"attention, no sequences", ATTENTION(2, 1, 8, false, 0, 0, 0, 0, AT(0), AT(0))},
    {"attention, rows of no sequence", ATTENTION(2, 1, 8, true, 0, 2, 9, 9, AT(1, 4, 7), AT(1, 4, 7))},
    {"attention, grouped heads", ATTENTION(6, 2, 6, true, 0, 2, 20, 20, AT(0, 3, 20), AT(0, 3, 20))},
    {"attention, window 1", ATTENTION(2, 1, 8, true, 1, 2, 24, 24, AT(0, 3, 24), AT(0, 3, 24))},
    {"attention, window smaller", ATTENTION(2, 1, 8, true, 5, 2, 60, 60, AT(0, 3, 60), AT(0, 3, 60))},
    {"attention, window equal", ATTENTION(2, 1, 8, true, 21, 2, 24, 24, AT(0, 3, 24), AT(0, 3, 24))},
    {"attention, window larger", ATTENTION(2, 1, 8, true, 99, 2, 24, 24, AT(0, 3, 24), AT(0, 3, 24))},
    {"attention, window over blocks", ATTENTION(2, 1, 8, true, 40, 1, 150, 150, AT(0, 150), AT(0, 150))},
    {"attention, cached keys", ATTENTION(4, 2, 6, true, 0, 3, 8, 75, AT(0, 1, 4, 8), AT(0, 20, 37, 75))},
    {"attention, cached, window", ATTENTION(4, 2, 6, true, 9, 3, 8, 75, AT(0, 1, 4, 8), AT(0, 20, 37, 75))},
    {"attention, decoding", ATTENTION(4, 2, 32, true, 0, 3, 3, 120, AT(0, 1, 2, 3), AT(0, 50, 53, 120))},
    {"attention, rows without keys", ATTENTION(2, 1, 8, true, 0, 3, 60, 11, AT(0, 8, 50, 60), AT(0, 3, 11, 11))},
    {"attention, without keys, window", ATTENTION(2, 1, 8, true, 2, 2, 50, 11, AT(0, 8, 50), AT(0, 3, 11))},
    {"attention, cross without keys", ATTENTION(2, 1, 8, false, 0, 2, 5, 4, AT(0, 3, 5), AT(0, 0, 4))},
    {"attention, spans", ATTENTION(4, 2, 8, true, 0, 3, 11, 60, AT(0, 2, 5, 11), AT(40, 20, 3)),
     .k_ends = AT(53, 21, 15)},
    {"attention, soft cap", CAPPED(6, 2, 6, 0, 2, 50, 50, AT(0, 33, 50), AT(0, 33, 50))},
    {"attention, soft cap, window", CAPPED(2, 1, 8, 9, 2, 60, 60, AT(0, 3, 60), AT(0, 3, 60))},
    {"attention, soft cap, decoding", CAPPED(4, 2, 32, 0, 3, 3, 120, AT(0, 1, 2, 3), AT(0, 50, 53, 120))},
    {"attention, width 24", ATTENTION(2, 1, 24, true, 0, 2, 50, 50, AT(0, 33, 50), AT(0, 33, 50))},
    {"attention, width 32", ATTENTION(4, 2, 32, true, 0, 2, 100, 100, AT(0, 31, 100), AT(0, 31, 100))},
    {"attention, width 64", ATTENTION(2, 1, 64, true, 30, 2, 100, 100, AT(0, 65, 100), AT(0, 65, 100))},
    {"attention, width 128", ATTENTION(2, 2, 128, false, 0, 2, 40, 50, AT(0, 34, 40), AT(0, 17, 50))},
    {"attention, many sequences", ATTENTION(8, 4, 8, true, 0, 7, 300, 300, AT(0, 16, 48, 81, 144, 145, 208, 300),
                                            AT(0, 16, 48, 81, 144, 145, 208, 300))},

    {"embedding", OP(embedding), .weight = {{6, 9}}, .out = {20, 9}},
    {"embedding, large", OP(embedding), .weight = {{40, 130}}, .out = {300, 130}},
    {"gather", OP(gather), .leaf = {{4, 9}, {5, 9}, {4, 9}}, .out = {20, 9}},
    {"gather, large", OP(gather), .leaf = {{4, 130}, {5, 130}, {4, 130}}, .out = {300, 130}},
    {"columns, a run", OP(columns), .leaf = {{8, 11}}, .out = {8, 4},
     .spec = {.n_heads = 3, .n_kv_heads = 4, .head_dim = 4, .window = 1}},
    {"columns, per head", OP(columns), .leaf = {{300, 130}}, .out = {300, 70},
     .spec = {.n_heads = 10, .n_kv_heads = 7, .head_dim = 12, .window = 10}},
    {"mean_rows", OP(mean_rows), .leaf = {{12, 9}}, .out = {4, 9}, .n_sequences = 4, .q_offsets = AT(0, 5, 5, 6, 12)},
    {"mean_rows, large", OP(mean_rows), .leaf = {{300, 130}}, .out = {3, 130}, .n_sequences = 3,
     .q_offsets = AT(0, 5, 200, 300)},

    {"cross_entropy", OP(cross_entropy), .leaf = {{12, 9}}, .out = {1, 1}},
    {"cross_entropy, weighted", OP(cross_entropy), .leaf = {{12, 9}}, .out = {1, 1}, .number = 1},
    {"cross_entropy, large", OP(cross_entropy), .leaf = {{40, 2500}}, .out = {1, 1}, .number = 1},
    {"mean_cosine", OP(mean_cosine), .leaf = {{6, 11}}, .out = {1, 1}},
    {"mean_cosine, one row", OP(mean_cosine), .leaf = {{1, 11}}, .out = {1, 1}},
    {"mean_cosine, large", OP(mean_cosine), .leaf = {{30, 600}}, .out = {1, 1}},
    {"inner_product", OP(inner_product), .leaf = {{4, 9}, {4, 9}}, .out = {1, 1}, .number = 0.3f},
    {"mean_square_difference", OP(mean_square), .leaf = {{4, 9}, {4, 9}}, .out = {1, 1}},
    {"max_rows", OP(max_rows), .leaf = {{12, 9}}, .out = {3, 9}, .n_sequences = 3, .q_offsets = AT(0, 5, 6, 12)},
    {"info_nce", OP(info_nce), .leaf = {{9, 7}, {5, 7}}, .out = {1, 1}, .number = 0.4f},
    {"info_nce, others of its own", OP(info_nce), .leaf = {{6, 7}}, .out = {1, 1}, .number = -0.4f},
    {"bag_cross_entropy", OP(bag), .leaf = {{7, 11}}, .out = {1, 1}},
    {"bag_cross_entropy, large", OP(bag), .leaf = {{12, 1500}}, .out = {1, 1}},
    {"distillation", OP(distillation), .leaf = {{6, 11}}, .out = {1, 1}, .number = 1},
    {"distillation, warm, large", OP(distillation), .leaf = {{12, 1500}}, .out = {1, 1}, .number = 2.5f},
    {"straight_through", OP(straight_through), .leaf = {{9, 7}}, .out = {9, 7}, .number = 0.25f},
    {"log_variance", OP(log_variance), .leaf = {{9, 7}}, .out = {1, 1}, .number = 1e-3f},
    {"log_variance, two rows", OP(log_variance), .leaf = {{2, 3}}, .out = {1, 1}, .number = 0.5f},
    {"code_entropy", OP(code_entropy), .leaf = {{6, 5}, {8, 5}}, .out = {1, 1}, .number = 7},
    {"code_entropy, large", OP(code_entropy), .leaf = {{40, 30}, {60, 30}}, .out = {1, 1}, .number = 20},
    {"weighted_sum", OP(weighted_sum), .leaf = {{1, 1}, {1, 1}, {1, 1}}, .out = {1, 1}},
};

enum { N_CASES = sizeof op_cases / sizeof *op_cases };

#endif
