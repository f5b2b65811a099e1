/* Every op of autograd/ops.h, from one table of cases (ops_cases.h).
 *
 * Each case is made into a scalar by a random linear functional of its output. The op's result is compared with a
 * naive double-precision oracle, and its gradients with central differences of that oracle: in double precision the
 * differences are good to nine digits, so that gradients are held to the rounding of f32 and a wrong factor cannot
 * hide. The same graph is then run with some inputs frozen, with all frozen, twice over the same inputs, fifty times in
 * one arena, and with one and two threads. */
#include "check.h"

#include "base/half.h"
#include "base/rng.h"
#include "ops_cases.h"

#include <omp.h>

enum { ALL_ELEMENTS = 60, SOME_ELEMENTS = 12, DIRECTIONS = 3 };

/* ---- one run of a case ---- */

typedef struct {
    float *x[N_LEAVES], *w[N_WEIGHTS], *functional;
} inputs;

typedef enum { TRAINABLE, FROZEN, FROZEN_BF16, FROZEN_F16 } weight_kind;

typedef struct {
    bool wanted[N_LEAVES];
    weight_kind weights;
    bool frozen_tape;
    bool twice; /* the graph is built twice over the same inputs; the loss is L1 + L2 / 2 */
} setting;

typedef struct {
    float *out, loss;
    float *dx[N_LEAVES], *dw[N_WEIGHTS]; /* NULL: no gradient was made */
    int nodes;
} result;

static int64_t size_of(const int64_t shape[2]) {
    return shape[0] * shape[1];
}

static float *copy_of(const float *x, int64_t n) {
    return x ? memcpy(malloc((size_t)(n + 1) * sizeof *x), x, (size_t)n * sizeof *x) : NULL;
}

static inputs inputs_of(const op_case *c) {
    tp_rng rng = tp_rng_stream(5, c->name, 0);
    inputs in = {0};
    for (int i = 0; i < N_LEAVES + N_WEIGHTS; i++) {
        const int64_t *shape = i < N_LEAVES ? c->leaf[i] : c->weight[i - N_LEAVES];
        if (shape[1] == 0) continue;
        float *values = malloc((size_t)(size_of(shape) + 1) * sizeof *values);
        tp_rng_fill_normal(&rng, values, (size_t)size_of(shape), 1.3);
        *(i < N_LEAVES ? &in.x[i] : &in.w[i - N_LEAVES]) = values;
    }
    in.functional = malloc((size_t)(size_of(c->out) + 1) * sizeof(float));
    tp_rng_fill_normal(&rng, in.functional, (size_t)size_of(c->out), 1);
    return in;
}

static void inputs_free(inputs *in) {
    for (int i = 0; i < N_LEAVES; i++) free(in->x[i]);
    for (int i = 0; i < N_WEIGHTS; i++) free(in->w[i]);
    free(in->functional);
}

static void result_free(result *r) {
    for (int i = 0; i < N_LEAVES; i++) free(r->dx[i]);
    for (int i = 0; i < N_WEIGHTS; i++) free(r->dw[i]);
    free(r->out);
}

/* A weight of that kind. Those in 16 bits change in->w to the numbers they hold. */
static tp_weight weight_of(const int64_t shape[2], float *values, weight_kind kind) {
    int64_t n = size_of(shape);
    tp_weight w = {.name = "w", .dtype = TP_F32, .rows = shape[0], .cols = shape[1]};
    if (values == NULL) return w;
    if (kind == FROZEN_BF16 || kind == FROZEN_F16) {
        uint16_t *halves = malloc((size_t)n * sizeof *halves);
        for (int64_t i = 0; i < n; i++) {
            halves[i] = kind == FROZEN_BF16 ? tp_f32_to_bf16(values[i]) : tp_f32_to_f16(values[i]);
            values[i] = kind == FROZEN_BF16 ? tp_bf16_to_f32(halves[i]) : tp_f16_to_f32(halves[i]);
        }
        w.dtype = kind == FROZEN_BF16 ? TP_BF16 : TP_F16;
        w.data = halves;
    } else {
        w.data = copy_of(values, n);
    }
    if (kind == TRAINABLE) w.grad = calloc((size_t)n, sizeof *w.grad);
    return w;
}

/* The op's output made into a scalar: a product with the functional, a frozen weight of one row. */
static tp_var *scalar(tp_tape *tape, tp_var *out, tp_weight *functional) {
    return tp_linear(tape, tp_reshape(tape, out, 1, out->rows * out->cols), functional, NULL);
}

/* One step on the tape: build, go back. The weights' gradients are left in `weights`. */
static result step(const op_case *c, inputs *in, const setting *s, tp_tape *tape, tp_weight weights[N_WEIGHTS]) {
    result r = {0};
    tp_var *x[N_LEAVES] = {0};
    const tp_weight *w[N_WEIGHTS] = {0};
    tape->frozen = s->frozen_tape;
    for (int i = 0; i < N_LEAVES; i++)
        if (in->x[i])
            x[i] = s->wanted[i] ? tp_var_leaf(tape, in->x[i], c->leaf[i][0], c->leaf[i][1])
                                : tp_var_wrap(tape, in->x[i], c->leaf[i][0], c->leaf[i][1]);
    for (int i = 0; i < N_WEIGHTS; i++)
        if (weights[i].data) w[i] = &weights[i];
    tp_var *out = c->build(c, tape, x, w);
    assert_int_equal(out->rows, c->out[0]);
    assert_int_equal(out->cols, c->out[1]);
    tp_weight functional = {.name = "f", .dtype = TP_F32, .rows = 1, .cols = size_of(c->out), .data = in->functional};
    tp_var *loss = scalar(tape, out, &functional);
    if (s->twice) {
        uint64_t masks = tape->n_masks; /* dropout draws the same mask again */
        tape->n_masks = 0;
        tp_var *again = scalar(tape, c->build(c, tape, x, w), &functional);
        tape->n_masks = masks;
        loss = tp_weighted_sum(tape, (tp_var *[]){loss, again}, (const float[]){1, 0.5f}, 2);
    }
    for (tp_node *node = tape->last; node; node = node->before) r.nodes++;
    tp_backward(tape, loss, 1);
    assert_null(functional.grad);
    r.loss = loss->data[0];
    r.out = copy_of(out->data, size_of(c->out));
    for (int i = 0; i < N_LEAVES; i++) r.dx[i] = x[i] ? copy_of(x[i]->grad, size_of(c->leaf[i])) : NULL;
    for (int i = 0; i < N_WEIGHTS; i++) r.dw[i] = w[i] ? copy_of(w[i]->grad, size_of(c->weight[i])) : NULL;
    return r;
}

static result run(const op_case *c, inputs *in, setting s) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_weight weights[N_WEIGHTS];
    for (int i = 0; i < N_WEIGHTS; i++) weights[i] = weight_of(c->weight[i], in->w[i], s.weights);
    result r = step(c, in, &s, tape, weights);
    for (int i = 0; i < N_WEIGHTS; i++) {
        tp_weight_release(&weights[i]);
        free((void *)(uintptr_t)weights[i].data);
        free(weights[i].grad);
    }
    tp_tape_free(tape);
    return r;
}

static const setting everything = {{true, true, true}, TRAINABLE, false, false};

/* ---- comparing ---- */

static double root_mean_square(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return n > 0 ? sqrt(sum / (double)n) : 0;
}

/* Equal within `tolerance` times the larger of the element and the array's usual size. */
static void check_near(const op_case *c, const char *what, const float *a, const float *b, int64_t n,
                       double tolerance) {
    if (a == NULL && b == NULL) return;
    if (a == NULL || b == NULL) fail_msg("%s: %s is %s", c->name, what, a ? "there, but should not" : "missing");
    double usual = root_mean_square(b, n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= tolerance * fmax(fabs(b[i]), usual)))
            fail_msg("%s: %s element %lld is %.9g, expected %.9g", c->name, what, (long long)i, a[i], b[i]);
}

/* Gradients equal `factor` times those of `expected`, and absent where `s` freezes the input. */
static void check_gradients(const op_case *c, const char *when, const setting *s, const result *r,
                            const result *expected, double tolerance) {
    char what[100];
    for (int i = 0; i < N_LEAVES; i++) {
        snprintf(what, sizeof what, "gradient of leaf %d (%s)", i, when);
        check_near(c, what, r->dx[i], s->wanted[i] ? expected->dx[i] : NULL, size_of(c->leaf[i]), tolerance);
    }
    for (int i = 0; i < N_WEIGHTS; i++) {
        snprintf(what, sizeof what, "gradient of weight %d (%s)", i, when);
        check_near(c, what, r->dw[i], s->weights == TRAINABLE ? expected->dw[i] : NULL, size_of(c->weight[i]),
                   tolerance);
    }
}

static bool same_bits(const float *a, const float *b, int64_t n) {
    return (a == NULL) == (b == NULL) && (a == NULL || memcmp(a, b, (size_t)n * sizeof *a) == 0);
}

/* ---- forward, and gradients by central differences ---- */

typedef struct {
    double *x[N_LEAVES], *w[N_WEIGHTS], *out;
} oracle_state;

static double *widened(const float *x, int64_t n) {
    double *wide = x ? malloc((size_t)(n + 1) * sizeof *wide) : NULL;
    for (int64_t i = 0; x && i < n; i++) wide[i] = x[i];
    return wide;
}

static oracle_state oracle_of(const op_case *c, const inputs *in) {
    oracle_state o = {0};
    for (int i = 0; i < N_LEAVES; i++) o.x[i] = widened(in->x[i], size_of(c->leaf[i]));
    for (int i = 0; i < N_WEIGHTS; i++) o.w[i] = widened(in->w[i], size_of(c->weight[i]));
    o.out = malloc((size_t)(size_of(c->out) + 1) * sizeof *o.out);
    return o;
}

static void oracle_free(oracle_state *o) {
    for (int i = 0; i < N_LEAVES; i++) free(o->x[i]);
    for (int i = 0; i < N_WEIGHTS; i++) free(o->w[i]);
    free(o->out);
}

static double oracle_loss(const op_case *c, const inputs *in, oracle_state *o) {
    double loss = 0;
    c->oracle(c, o->x, o->w, o->out);
    for (int64_t i = 0; i < size_of(c->out); i++) loss += in->functional[i] * o->out[i];
    return loss;
}

/* The oracle's slope when `values` move along `direction` (NULL: the one element `element`). */
static double slope(const op_case *c, const inputs *in, oracle_state *o, double *values, int64_t n, int64_t element,
                    const double *direction) {
    const double h = 1e-4;
    double side[2];
    for (int sign = 0; sign < 2; sign++) {
        double move = sign ? h : -h;
        double kept = n > 0 && !direction ? values[element] : 0;
        for (int64_t i = 0; direction && i < n; i++) values[i] += move * direction[i];
        if (!direction) values[element] += move;
        side[sign] = oracle_loss(c, in, o);
        for (int64_t i = 0; direction && i < n; i++) values[i] -= move * direction[i];
        if (!direction) values[element] = kept;
    }
    return (side[1] - side[0]) / (2 * h);
}

/* All elements of a small gradient; of a large one some elements and some random directions through all of them. */
static void check_differences(const op_case *c, const inputs *in, oracle_state *o, double *values, const float *found,
                              int64_t n, const char *what) {
    if (values == NULL || n == 0) return;
    float *none = calloc((size_t)n, sizeof *none); /* no gradient came: that must be zero */
    if (found == NULL) found = none;
    double usual = root_mean_square(found, n);
    double floor = c->spec.head_dim ? 1e-6 : 1e-9; /* in attention over one key, ones cancel to a gradient of zero */
    tp_rng rng = tp_rng_stream(6, c->name, 0);
    for (int64_t i = 0; i < (n <= ALL_ELEMENTS ? n : SOME_ELEMENTS); i++) {
        int64_t element = n <= ALL_ELEMENTS ? i : (int64_t)tp_rng_below(&rng, (uint64_t)n);
        double expected = slope(c, in, o, values, n, element, NULL);
        if (!(fabs(found[element] - expected) <= 1e-5 * fmax(fabs(expected), usual) + floor))
            fail_msg("%s: gradient of %s, element %lld, is %.9g; differences say %.9g", c->name, what,
                     (long long)element, found[element], expected);
    }
    double *direction = malloc((size_t)n * sizeof *direction);
    for (int k = 0; k < DIRECTIONS && n > ALL_ELEMENTS; k++) {
        double along = 0;
        for (int64_t i = 0; i < n; i++) {
            direction[i] = tp_rng_normal(&rng);
            along += direction[i] * found[i];
        }
        double expected = slope(c, in, o, values, n, 0, direction);
        if (!(fabs(along - expected) <= (1e-5 * usual + floor) * sqrt((double)n)))
            fail_msg("%s: slope of %s along a direction is %.9g; differences say %.9g", c->name, what, along, expected);
    }
    free(direction);
    free(none);
}

static void forward_matches_the_oracle_and_gradients_the_differences(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        inputs in = inputs_of(c);
        result r = run(c, &in, everything);
        oracle_state o = oracle_of(c, &in);
        oracle_loss(c, &in, &o);
        float *expected = malloc((size_t)(size_of(c->out) + 1) * sizeof *expected);
        for (int64_t i = 0; i < size_of(c->out); i++) expected[i] = (float)o.out[i];
        check_near(c, "output", r.out, expected, size_of(c->out), c->spec.head_dim ? 5e-6 : 3e-6);
        char what[20];
        for (int i = 0; i < N_LEAVES; i++) {
            snprintf(what, sizeof what, "leaf %d", i);
            check_differences(c, &in, &o, o.x[i], r.dx[i], size_of(c->leaf[i]), what);
        }
        for (int i = 0; i < N_WEIGHTS; i++) {
            snprintf(what, sizeof what, "weight %d", i);
            check_differences(c, &in, &o, o.w[i], r.dw[i], size_of(c->weight[i]), what);
        }
        free(expected);
        oracle_free(&o);
        result_free(&r);
        inputs_free(&in);
    }
}

/* ---- what is frozen stays untouched ---- */

static void frozen_inputs_get_no_gradient_and_cost_no_node(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        inputs in = inputs_of(c);
        result all = run(c, &in, everything);
        setting s = everything;
        s.weights = FROZEN;
        for (unsigned wanted = 0; wanted < 1u << N_LEAVES; wanted++) { /* every choice of leaves, weights frozen */
            bool absent = false;
            for (int i = 0; i < N_LEAVES; i++) {
                s.wanted[i] = wanted >> i & 1u;
                absent = absent || (s.wanted[i] && !in.x[i]);
            }
            if (absent) continue;
            result r = run(c, &in, s);
            check_gradients(c, "frozen weights", &s, &r, &all, 1e-6);
            assert_true(same_bits(r.out, all.out, size_of(c->out)));
            if (wanted == 0) assert_int_equal(r.nodes, 0);
            result_free(&r);
        }
        s = (setting){.weights = TRAINABLE}; /* the weights alone */
        result r = run(c, &in, s);
        check_gradients(c, "leaves not wanted", &s, &r, &all, 1e-6);
        result_free(&r);
        s = everything; /* inference: leaves and trainable weights, but nothing is recorded */
        s.frozen_tape = true;
        r = run(c, &in, s);
        assert_int_equal(r.nodes, 0);
        for (int i = 0; i < N_LEAVES; i++) assert_null(r.dx[i]);
        for (int i = 0; i < N_WEIGHTS; i++)
            for (int64_t j = 0; r.dw[i] && j < size_of(c->weight[i]); j++) assert_true(r.dw[i][j] == 0);
        if (c->build != build_dropout) assert_true(same_bits(r.out, all.out, size_of(c->out)));
        result_free(&r);
        result_free(&all);
        inputs_free(&in);
    }
}

static void weights_of_16_bits_serve_like_their_numbers(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        for (weight_kind kind = FROZEN_BF16; kind <= FROZEN_F16 && c->weight[0][1] > 0; kind++) {
            inputs in = inputs_of(c);
            setting s = everything;
            s.weights = kind;
            result narrow = run(c, &in, s); /* in.w now holds the rounded numbers */
            s.weights = FROZEN;
            result wide = run(c, &in, s);
            check_near(c, "output with 16-bit weights", narrow.out, wide.out, size_of(c->out), 2e-6);
            check_gradients(c, "16-bit weights", &s, &narrow, &wide, 2e-6);
            result_free(&narrow);
            result_free(&wide);
            inputs_free(&in);
        }
    }
}

/* ---- gradients add up; memory does not; threads do not matter ---- */

static void gradients_add_up_over_uses(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        inputs in = inputs_of(c);
        setting s = everything;
        result once = run(c, &in, s);
        s.twice = true;
        result twice = run(c, &in, s);
        for (int i = 0; i < N_LEAVES; i++)
            for (int64_t j = 0; once.dx[i] && j < size_of(c->leaf[i]); j++) once.dx[i][j] *= 1.5f;
        for (int i = 0; i < N_WEIGHTS; i++)
            for (int64_t j = 0; once.dw[i] && j < size_of(c->weight[i]); j++) once.dw[i][j] *= 1.5f;
        check_gradients(c, "used twice", &s, &twice, &once, 5e-6);
        result_free(&once);
        result_free(&twice);
        inputs_free(&in);
    }
}

/* Fifty steps in one arena: memory stays what the first took, and what lies in it from before changes nothing. */
static void steps_do_not_grow_the_arena(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        inputs in = inputs_of(c);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tp_weight weights[N_WEIGHTS];
        for (int i = 0; i < N_WEIGHTS; i++) weights[i] = weight_of(c->weight[i], in.w[i], TRAINABLE);
        size_t peak = 0;
        result first = run(c, &in, everything);
        for (int n = 0; n < 50; n++) {
            result r = step(c, &in, &everything, tape, weights);
            bool same = same_bits(r.out, first.out, size_of(c->out));
            for (int i = 0; i < N_LEAVES; i++) same = same && same_bits(r.dx[i], first.dx[i], size_of(c->leaf[i]));
            if (!same) fail_msg("%s: step %d differs from the first", c->name, n);
            result_free(&r);
            tp_tape_reset(tape);
            if (n == 0) peak = tp_arena_peak(tape->arena);
            if (tp_arena_peak(tape->arena) != peak) fail_msg("%s: step %d takes more memory", c->name, n);
        }
        result_free(&first);
        for (int i = 0; i < N_WEIGHTS; i++) {
            free((void *)(uintptr_t)weights[i].data);
            free(weights[i].grad);
        }
        tp_tape_free(tape);
        inputs_free(&in);
    }
}

static void repetition_gives_the_same_bits_and_threads_nearly(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        inputs in = inputs_of(c);
        result r[2][2]; /* [threads - 1][repetition] */
        for (int i = 0; i < 4; i++) {
            omp_set_num_threads(i / 2 + 1);
            r[i / 2][i % 2] = run(c, &in, everything);
        }
        for (int t = 0; t < 2; t++) {
            bool same = same_bits(r[t][0].out, r[t][1].out, size_of(c->out));
            for (int i = 0; i < N_LEAVES; i++)
                same = same && same_bits(r[t][0].dx[i], r[t][1].dx[i], size_of(c->leaf[i]));
            for (int i = 0; i < N_WEIGHTS; i++)
                same = same && same_bits(r[t][0].dw[i], r[t][1].dw[i], size_of(c->weight[i]));
            if (!same) fail_msg("%s: not the same bits when repeated with %d threads", c->name, t + 1);
        }
        check_near(c, "output (threads)", r[1][0].out, r[0][0].out, size_of(c->out), 1e-5);
        check_gradients(c, "threads", &everything, &r[1][0], &r[0][0], 1e-5);
        for (int i = 0; i < 4; i++) result_free(&r[i / 2][i % 2]);
        inputs_free(&in);
    }
}

/* ---- particular promises ---- */

/* A ragged batch gives what its sequences give alone. */
static void ragged_attention_equals_one_at_a_time(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &op_cases[k];
        if (c->build != build_attention || c->n_sequences < 2) continue;
        inputs in = inputs_of(c);
        result batch = run(c, &in, everything);
        for (int s = 0; s < c->n_sequences; s++) {
            int64_t q0 = c->q_offsets[s], n_q = c->q_offsets[s + 1] - q0, k0 = c->k_begins[s];
            int64_t n_k = (c->k_ends ? c->k_ends[s] : c->k_begins[s + 1]) - k0;
            int64_t q_offsets[2] = {0, n_q}, k_offsets[2] = {0, n_k}, q_cols = c->leaf[0][1], k_cols = c->leaf[1][1];
            op_case alone = *c;
            alone.q_offsets = q_offsets;
            alone.k_begins = k_offsets;
            alone.k_ends = NULL;
            alone.n_sequences = 1;
            alone.leaf[0][0] = alone.out[0] = n_q;
            alone.leaf[1][0] = alone.leaf[2][0] = n_k;
            inputs part = {{in.x[0] + q0 * q_cols, in.x[1] + k0 * k_cols, in.x[2] + k0 * k_cols},
                           {0},
                           in.functional + q0 * q_cols};
            result one = run(&alone, &part, everything);
            check_near(&alone, "output alone", batch.out + q0 * q_cols, one.out, n_q * q_cols, 1e-6);
            check_near(&alone, "dq alone", batch.dx[0] + q0 * q_cols, one.dx[0], n_q * q_cols, 1e-6);
            check_near(&alone, "dk alone", batch.dx[1] + k0 * k_cols, one.dx[1], n_k * k_cols, 1e-6);
            check_near(&alone, "dv alone", batch.dx[2] + k0 * k_cols, one.dx[2], n_k * k_cols, 1e-6);
            result_free(&one);
        }
        result_free(&batch);
        inputs_free(&in);
    }
}

static void cross_entropy_tells_each_rows_loss(void **state) {
    (void)state;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    enum { ROWS = 30, COLS = 1100 };
    tp_var *logits = tp_var_new(tape, ROWS, COLS);
    tp_rng rng = tp_rng_stream(5, "nll", 0);
    tp_rng_fill_normal(&rng, logits->data, ROWS * COLS, 3);
    for (int j = 0; j < COLS; j++) logits->data[j] += 1e4f; /* a large common shift costs what f32 cannot hold */
    const float *nll;
    tp_cross_entropy(tape, logits, case_ids, case_row_weights, &nll);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0, shift = logits->data[i * COLS];
        for (int j = 0; j < COLS; j++) sum += exp(logits->data[i * COLS + j] - shift);
        double expected = log(sum) + shift - logits->data[i * COLS + case_ids[i]];
        assert_true(fabs(nll[i] - expected) <= 1e-6 * expected);
    }
    /* No row counts: no loss, no gradient, no NaN. */
    float none[ROWS] = {0};
    tp_var *leaf = tp_var_leaf(tape, logits->data, ROWS, COLS);
    tp_var *loss = tp_cross_entropy(tape, leaf, case_ids, none, NULL);
    tp_backward(tape, loss, 1);
    assert_true(loss->data[0] == 0);
    for (int i = 0; i < ROWS * COLS; i++) assert_true(leaf->grad[i] == 0);
    tp_tape_free(tape);
}

static void dropout_follows_its_seed_step_and_call(void **state) {
    (void)state;
    enum { N = 40000 };
    float *ones = malloc(N * sizeof *ones), *masks[5];
    for (int i = 0; i < N; i++) ones[i] = 1;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    for (int m = 0; m < 5; m++) { /* the first twice, then another seed, another step, another call */
        tape->seed = m == 2 ? 2 : 1;
        tape->step = m == 3 ? 8 : 7;
        tape->n_masks = m == 4 ? 1 : 0;
        masks[m] = copy_of(tp_dropout(tape, tp_var_wrap(tape, ones, 200, 200), 0.25f)->data, N);
        int dropped = 0;
        for (int i = 0; i < N; i++) {
            assert_true(masks[m][i] == 0 || masks[m][i] == 1 / 0.75f);
            dropped += masks[m][i] == 0;
        }
        assert_true(abs(dropped - N / 4) < 4 * 87); /* four standard deviations */
        int differing = 0;
        for (int i = 0; i < N; i++) differing += masks[m][i] != masks[0][i];
        assert_true(m < 2 ? differing == 0 : differing > N / 4);
    }
    tp_var *x = tp_var_wrap(tape, ones, 200, 200);
    assert_ptr_equal(tp_dropout(tape, x, 0), x);
    tape->frozen = true;
    assert_ptr_equal(tp_dropout(tape, x, 0.5f), x); /* inference drops nothing */
    for (int m = 0; m < 5; m++) free(masks[m]);
    free(ones);
    tp_tape_free(tape);
}

/* In bf16 mode the products of a linear layer, forward and backward, are those of rounded operands. */
static void linear_rounds_its_operands_in_bf16_mode(void **state) {
    (void)state;
    enum { N = 12, IN = 20, OUT = 9 };
    tp_rng rng = tp_rng_stream(5, "bf16", 0);
    float x[N * IN], w[OUT * IN], grad[OUT * IN] = {0}, rounded[OUT * IN], functional[N * OUT], d[N * OUT];
    tp_rng_fill_normal(&rng, x, N * IN, 1);
    tp_rng_fill_normal(&rng, w, OUT * IN, 1);
    tp_rng_fill_normal(&rng, functional, N * OUT, 1);
    tp_weight weight = {.dtype = TP_F32, .rows = OUT, .cols = IN, .data = w, .grad = grad};
    tp_weight last = {.dtype = TP_F32, .rows = 1, .cols = N * OUT, .data = functional};
    tp_tape *tape = tp_tape_new(TP_MATH_BF16);
    tp_var *leaf = tp_var_leaf(tape, x, N, IN), *y = tp_linear(tape, leaf, &weight, NULL);
    tp_backward(tape, scalar(tape, y, &last), 1);
    for (int i = 0; i < N * IN; i++) x[i] = tp_bf16_to_f32(tp_f32_to_bf16(x[i]));
    for (int i = 0; i < OUT * IN; i++) rounded[i] = tp_bf16_to_f32(tp_f32_to_bf16(w[i]));
    for (int i = 0; i < N * OUT; i++) d[i] = tp_bf16_to_f32(tp_f32_to_bf16(y->grad[i]));
    double wide_x[N * IN], wide_w[OUT * IN];
    for (int i = 0; i < N; i++)
        for (int o = 0; o < OUT; o++) {
            double sum = 0;
            for (int j = 0; j < IN; j++) sum += (double)x[i * IN + j] * rounded[o * IN + j];
            assert_true(fabs(y->data[i * OUT + o] - sum) < 1e-5);
        }
    memset(wide_x, 0, sizeof wide_x);
    memset(wide_w, 0, sizeof wide_w);
    for (int i = 0; i < N; i++)
        for (int o = 0; o < OUT; o++)
            for (int j = 0; j < IN; j++) {
                wide_x[i * IN + j] += (double)d[i * OUT + o] * rounded[o * IN + j];
                wide_w[o * IN + j] += (double)d[i * OUT + o] * x[i * IN + j];
            }
    for (int i = 0; i < N * IN; i++) assert_true(fabs(leaf->grad[i] - wide_x[i]) < 1e-5);
    for (int i = 0; i < OUT * IN; i++) assert_true(fabs(grad[i] - wide_w[i]) < 1e-5);
    tp_weight_release(&last);
    tp_tape_free(tape);
}

static void what_no_loss_uses_is_left_out(void **state) {
    (void)state;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *x = tp_var_leaf(tape, (const float[]){2}, 1, 1), *unused = tp_var_leaf(tape, NULL, 1, 1);
    tp_tanh(tape, tp_mul(tape, x, unused));
    tp_backward(tape, tp_scale(tape, x, 3), 0.5f);
    assert_true(x->grad[0] == 1.5f && unused->grad == NULL);
    tp_tape_free(tape);
}

static int fill_indices(void **state) {
    (void)state;
    make_indices();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_matches_the_oracle_and_gradients_the_differences),
        cmocka_unit_test(frozen_inputs_get_no_gradient_and_cost_no_node),
        cmocka_unit_test(weights_of_16_bits_serve_like_their_numbers),
        cmocka_unit_test(gradients_add_up_over_uses),
        cmocka_unit_test(steps_do_not_grow_the_arena),
        cmocka_unit_test(repetition_gives_the_same_bits_and_threads_nearly),
        cmocka_unit_test(ragged_attention_equals_one_at_a_time),
        cmocka_unit_test(cross_entropy_tells_each_rows_loss),
        cmocka_unit_test(dropout_follows_its_seed_step_and_call),
        cmocka_unit_test(linear_rounds_its_operands_in_bf16_mode),
        cmocka_unit_test(what_no_loss_uses_is_left_out),
    };
    return cmocka_run_group_tests(tests, fill_indices, NULL);
}
