/* How fast each op of the tape is, forward and backward, at the sizes of pretraining a small decoder.
 *
 *     build/bench_ops [rows] [name]
 *
 * Ops bound by memory are given in GB/s of the bytes that must move at least once (inputs read, outputs written), and
 * beside it stands what this machine copies in the same run; attention and linear layers in GFLOP/s of the products
 * that the mask leaves. The best of several runs is shown: other work on the machine only ever makes a run slower. */
#include "undisturbed.h"

#include "autograd/ops.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 256, HIDDEN = 704, VOCAB = 4096, SEQUENCE = 512, RUNS = 15, HEADS = 8, KV_HEADS = 4, WIDTH = 32 };

static int64_t rows = 4096, offsets[4097], decode_offsets[4097];
static int32_t *ids, *positions;
static tp_row_ref *refs;
static float frequencies[WIDTH / 2];
static tp_weight square, wide_weight, row, row2, table, one;

static tp_weight trainable(int64_t n_rows, int64_t n_cols) {
    size_t n = (size_t)(n_rows * n_cols);
    float *data = tp_alloc(n * sizeof *data);
    for (size_t i = 0; i < n; i++) data[i] = 0.01f * (float)(i % 97) - 0.5f;
    return (tp_weight){
        .dtype = TP_F32, .rows = n_rows, .cols = n_cols, .data = data, .grad = tp_alloc(n * sizeof(float))};
}

static tp_var *leaf(tp_tape *tape, int64_t n, int64_t cols) {
    tp_var *x = tp_var_leaf(tape, NULL, n, cols);
    for (int64_t i = 0; i < n * cols; i++) x->data[i] = (float)((i * 7919) % 1013) / 500 - 1;
    return x;
}

/* The inputs of one case; made outside the timed part. */
typedef struct {
    tp_var *a, *b, *c, *hidden, *hidden2, *logits, *q, *k, *v, *one_query;
} inputs;

static const tp_attention_spec causal = {HEADS, KV_HEADS, WIDTH, 0.177f, true, 0, 0};
static const tp_attention_spec window = {HEADS, KV_HEADS, WIDTH, 0.177f, true, 128, 0};

#define CASE(NAME, CALL)                                                                                               \
    static tp_var *NAME(tp_tape *t, const inputs *x) {                                                                 \
        (void)x;                                                                                                       \
        return CALL;                                                                                                   \
    }
CASE(do_add, tp_add(t, x->a, x->b))
CASE(do_mul, tp_mul(t, x->a, x->b))
CASE(do_scale, tp_scale(t, x->a, 0.5f))
CASE(do_add_row, tp_add_row(t, x->a, &row))
CASE(do_mul_row, tp_mul_row(t, x->a, &row))
CASE(do_mul_scalar, tp_mul_scalar(t, x->a, &one))
CASE(do_gelu, tp_gelu(t, x->a))
CASE(do_tanh, tp_tanh(t, x->a))
CASE(do_silu_mul, tp_silu_mul(t, x->hidden, x->hidden2))
CASE(do_dropout, tp_dropout(t, x->a, 0.1f))
CASE(do_rms_norm, tp_rms_norm(t, x->a, &row, 1e-5f))
CASE(do_layer_norm, tp_layer_norm(t, x->a, &row, &row2, 1e-5f))
/* As in a decoder, the angles are made once for several layers; here once for one. */
static tp_var *turned(tp_tape *t, tp_var *x) {
    tp_rotation *r = tp_rotation_new(t, x->rows, WIDTH / 2, false);
    tp_rotation_set(t, r, 0, x->rows, positions, frequencies, 1);
    return tp_rope(t, x, HEADS, r);
}
CASE(do_rope, turned(t, x->q))
CASE(do_embedding, tp_embedding(t, &table, ids, rows))
CASE(do_gather, tp_gather(t, (tp_var *[]){x->a, x->b}, 2, refs, rows))
CASE(do_mean_rows, tp_mean_rows(t, x->a, offsets, rows / SEQUENCE))
CASE(do_cross_entropy, tp_cross_entropy(t, x->logits, ids, NULL, NULL))
CASE(do_linear, tp_linear(t, x->a, &square, NULL))
CASE(do_linear_bias, tp_linear(t, x->a, &square, &row))
CASE(do_linear_wide, tp_linear(t, x->a, &wide_weight, NULL))
CASE(do_head, tp_linear(t, x->a, &table, NULL))
CASE(do_causal, tp_attention(t, x->q, x->k, x->v, offsets, offsets, rows / SEQUENCE, &causal))
CASE(do_window, tp_attention(t, x->q, x->k, x->v, offsets, offsets, rows / SEQUENCE, &window))
CASE(do_decode, tp_attention(t, x->one_query, x->k, x->v, decode_offsets, offsets, rows / SEQUENCE, &causal))

/* Work of the forward and the backward pass in units of `unit`: numbers moved for each element of the output, or
 * operations in all. */
typedef struct {
    const char *name;
    tp_var *(*run)(tp_tape *, const inputs *);
    double forward, backward;
    int64_t elements; /* 0: flops are given */
} bench_case;

static double gflop_of(double pairs) { /* scores and their sums, for each pair of a query and a key it sees */
    return 4.0 * pairs * HEADS * WIDTH * 1e-9;
}

static void bench(const bench_case *c, tp_tape *tape, const inputs *x) {
    double best[2] = {1e30, 1e30};
    for (int i = 0; i < RUNS; i++) {
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        tape->last = NULL;
        double start = undisturbed_now();
        tp_var *out = c->run(tape, x);
        double middle = undisturbed_now();
        tp_node *node = tape->last;
        float *grad = tp_var_grad(tape, out);
        for (int64_t j = 0; j < out->rows * out->cols; j++) grad[j] = 1e-3f;
        double again = undisturbed_now();
        node->backward(tape, node);
        double end = undisturbed_now();
        if (middle - start < best[0]) best[0] = middle - start;
        if (end - again < best[1]) best[1] = end - again;
        tp_var *all[] = {x->a, x->b, x->c, x->hidden, x->hidden2, x->logits, x->q, x->k, x->v, x->one_query};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) all[j]->grad = NULL;
        tp_arena_release(tape->arena, mark);
    }
    double work[2] = {c->forward, c->backward};
    if (c->elements)
        for (int i = 0; i < 2; i++) work[i] *= 4e-9 * (double)c->elements;
    printf("%-14s %9.3f ms %8.1f %-7s %9.3f ms %8.1f %s\n", c->name, best[0] * 1e3, work[0] / best[0],
           c->elements ? "GB/s" : "GFLOP/s", best[1] * 1e3, work[1] / best[1], c->elements ? "GB/s" : "GFLOP/s");
    fflush(stdout);
}

/* A copy of the ops' size with all threads. */
static double copy_gbs(void) {
    size_t n = (size_t)rows * COLS;
    float *from = tp_alloc(n * 4), *to = tp_alloc(n * 4);
    double best = 1e30;
    for (int i = 0; i < RUNS; i++) {
        double start = undisturbed_now();
#pragma omp parallel for
        for (size_t j = 0; j < n; j += 4096) memcpy(to + j, from + j, (n - j < 4096 ? n - j : 4096) * 4);
        double seconds = undisturbed_now() - start;
        if (seconds < best) best = seconds;
    }
    tp_free(from);
    tp_free(to);
    return 8e-9 * (double)n / best;
}

int main(int argc, char **argv) {
    if (argc > 1) rows = atoll(argv[1]);
    rows = rows / SEQUENCE * SEQUENCE;
    if (rows <= 0) return fprintf(stderr, "rows: a multiple of %d\n", SEQUENCE), 1;
    ids = tp_alloc((size_t)rows * sizeof *ids);
    positions = tp_alloc((size_t)rows * sizeof *positions);
    refs = tp_alloc((size_t)rows * sizeof *refs);
    for (int64_t i = 0; i < rows; i++) {
        ids[i] = (int32_t)(i * 7919 % VOCAB);
        positions[i] = (int32_t)(i % SEQUENCE);
        refs[i] = (tp_row_ref){(int32_t)(i % 2), i * 31 % rows};
    }
    for (int64_t s = 0; s <= rows / SEQUENCE; s++) {
        offsets[s] = s * SEQUENCE;
        decode_offsets[s] = s;
    }
    for (int i = 0; i < WIDTH / 2; i++) frequencies[i] = 1.0f / (float)(1 + i * i);
    square = trainable(COLS, COLS);
    wide_weight = trainable(HIDDEN, COLS);
    table = trainable(VOCAB, COLS);
    row = trainable(1, COLS);
    row2 = trainable(1, COLS);
    one = trainable(1, 1);

    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    size_t enough = (size_t)rows * (4 * VOCAB + 60 * COLS) * sizeof(float); /* as after the first steps of training: */
    tp_arena_zalloc(tape->arena, enough);                                   /* one block, its pages already there */
    tp_tape_reset(tape);
    inputs x = {.a = leaf(tape, rows, COLS),
                .b = leaf(tape, rows, COLS),
                .c = leaf(tape, rows, COLS),
                .hidden = leaf(tape, rows, HIDDEN),
                .hidden2 = leaf(tape, rows, HIDDEN),
                .logits = leaf(tape, rows, VOCAB),
                .q = leaf(tape, rows, (int64_t)HEADS * WIDTH),
                .k = leaf(tape, rows, (int64_t)KV_HEADS * WIDTH),
                .v = leaf(tape, rows, (int64_t)KV_HEADS * WIDTH),
                .one_query = leaf(tape, rows / SEQUENCE, (int64_t)HEADS * WIDTH)};
    int64_t n = rows * COLS, sequences = rows / SEQUENCE;
    double whole = gflop_of((double)sequences * SEQUENCE * (SEQUENCE + 1) / 2);
    double part = gflop_of((double)sequences * (128.0 * 129 / 2 + (SEQUENCE - 128.0) * 128));
    double single = gflop_of((double)rows), linear = 2e-9 * (double)rows * COLS;
    const bench_case cases[] = {
        {"add", do_add, 3, 3, n},
        {"mul", do_mul, 3, 5, n},
        {"scale", do_scale, 2, 2, n},
        {"add_row", do_add_row, 2, 2, n},
        {"mul_row", do_mul_row, 2, 3, n},
        {"mul_scalar", do_mul_scalar, 2, 3, n},
        {"gelu", do_gelu, 2, 3, n},
        {"tanh", do_tanh, 2, 3, n},
        {"silu_mul", do_silu_mul, 3, 5, rows * HIDDEN},
        {"dropout", do_dropout, 2, 3, n},
        {"rms_norm", do_rms_norm, 2, 3, n},
        {"layer_norm", do_layer_norm, 2, 3, n},
        {"rope", do_rope, 2, 2, n},
        {"embedding", do_embedding, 2, 2, n},
        {"gather", do_gather, 2, 2, n},
        {"mean_rows", do_mean_rows, 1, 1, n},
        {"cross_entropy", do_cross_entropy, 1, 2, rows * VOCAB},
        {"linear", do_linear, linear * COLS, 2 * linear * COLS, 0},
        {"linear, bias", do_linear_bias, linear * COLS, 2 * linear * COLS, 0},
        {"linear, wide", do_linear_wide, linear * HIDDEN, 2 * linear * HIDDEN, 0},
        {"head", do_head, linear * VOCAB, 2 * linear * VOCAB, 0},
        {"attention", do_causal, whole, 2.5 * whole, 0},
        {"window 128", do_window, part, 2.5 * part, 0},
        {"decoding", do_decode, single, 2.5 * single, 0},
    };
    printf("%lld rows of %d, %d threads; a copy of that size: %.1f GB/s\n", (long long)rows, COLS,
           omp_get_max_threads(), copy_gbs());
    printf("%-14s %30s %30s\n", "op", "forward", "backward");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc < 3 || strncmp(cases[i].name, argv[2], strlen(argv[2])) == 0) bench(&cases[i], tape, &x);
    tp_tape_free(tape);
    return 0;
}
