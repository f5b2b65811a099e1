/* Rows that need not be computed again, or at all: sequences behind a prefix that was read once, and only the wanted
 * rows of the last block. For every family both must give what the plain forward pass gives, and the gradients of the
 * rows that are there. */
#include "check.h"

#include "lm/decoder.h"

#include <math.h>
#include <string.h>

static const char *const fixtures[] = {"llama2", "llama3_1", "mistral", "qwen2", "qwen3",       "gemma2",
                                       "gemma3", "phi3",     "gpt2",    "neox",  "neox_serial", NULL};

static tp_lm *load(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, name);
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    return lm;
}

static double difference(const float *a, const float *b, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= worst)) worst = d;
        if (fabs((double)b[i]) > most) most = fabs((double)b[i]);
    }
    return worst / most;
}

/* Three sequences of 17, 13 and 20 tokens which all begin with the same 9 (more than the fixtures' windows); wanted are
 * the last 3, 1 and 4 of each. */
enum { SHARED = 9, N_SEQUENCES = 3, N = 50, OWN = N - N_SEQUENCES * SHARED, WANTED = 8 };
static const int64_t whole[] = {0, 17, 30, 50}, own[] = {0, 8, 12, 23}, wanted[] = {0, 3, 4, 8};

static int32_t id_at(int64_t s, int64_t i) {
    return (int32_t)(i < SHARED ? (5 * i + 2) % 61 : (7 * i + 11 * s + i * i) % 61);
}

/* Row of the whole batch for row i of one that is laid out by `offsets`, the last rows of each sequence. */
static int64_t place(const int64_t *offsets, int64_t i) {
    int64_t s = 0;
    while (i >= offsets[s + 1]) s++;
    return whole[s + 1] - offsets[s + 1] + i;
}

/* The loss sum(weights * out) where every wanted row has its own weights. */
static tp_var *loss_of(tp_tape *tape, tp_var *out, const float *weights) {
    tp_var *product = tp_mul(tape, out, tp_var_wrap(tape, (float *)(uintptr_t)weights, out->rows, out->cols));
    tp_var *flat = tp_reshape(tape, product, 1, product->rows * product->cols);
    static float ones[1 << 16];
    for (int64_t i = 0; i < flat->cols; i++) ones[i] = 1;
    static tp_weight sum;
    sum = (tp_weight){.dtype = TP_F32, .rows = 1, .cols = flat->cols, .data = ones};
    return tp_linear(tape, flat, &sum, NULL);
}

typedef struct {
    float out[WANTED * 256], grad[N * 256]; /* of the wanted rows; of the input, in the order of the whole batch */
} result;

/* `behind`: the shared tokens were read before; `some`: only the wanted rows of the last block are computed. */
static void run(const tp_lm *lm, bool behind, bool some, const float *weights, result *r) {
    int64_t d = lm->config.d_model;
    assert_true(d <= 256);
    const int64_t *offsets = behind ? own : whole;
    int64_t n = offsets[N_SEQUENCES];
    int32_t ids[N], first[SHARED];
    for (int64_t s = 0; s < N_SEQUENCES; s++)
        for (int64_t i = offsets[s]; i < offsets[s + 1]; i++)
            ids[i] = id_at(s, whole[s + 1] - whole[s] - offsets[s + 1] + i);
    for (int64_t i = 0; i < SHARED; i++) first[i] = id_at(0, i);
    tp_prefix *prefix = behind ? tp_prefix_new(lm, TP_MATH_F32, first, SHARED) : NULL;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *embedded = tp_lm_embed(tape, lm, ids, n), *leaf = tp_var_leaf(tape, embedded->data, n, d);
    tp_batch batch = {.n_sequences = N_SEQUENCES, .offsets = offsets, .prefix = prefix, .wanted = some ? wanted : NULL};
    tp_var *out = tp_lm_blocks(tape, lm, leaf, &batch, 0, lm->config.n_layers);
    assert_int_equal(out->rows, some ? WANTED : n);
    tp_row_ref which[WANTED];
    for (int64_t i = 0; i < WANTED; i++) {
        int64_t s = 0;
        while (i >= wanted[s + 1]) s++;
        which[i] = (tp_row_ref){0, some ? i : offsets[s + 1] - wanted[s + 1] + i};
    }
    out = tp_gather(tape, &out, 1, which, WANTED);
    memcpy(r->out, out->data, (size_t)(WANTED * d) * sizeof(float));
    tp_backward(tape, loss_of(tape, out, weights), 1);
    memset(r->grad, 0, sizeof r->grad);
    for (int64_t i = 0; i < n; i++)
        memcpy(r->grad + place(offsets, i) * d, leaf->grad + i * d, (size_t)d * sizeof(float));
    tp_tape_free(tape);
    tp_prefix_free(prefix);
}

static void shortcuts_change_nothing(void **state) {
    (void)state;
    float weights[WANTED * 256];
    for (int i = 0; i < WANTED * 256; i++) weights[i] = sinf((float)i);
    static result plain, other;
    for (int f = 0; fixtures[f]; f++) {
        tp_lm *lm = load(fixtures[f]);
        int64_t d = lm->config.d_model;
        run(lm, false, false, weights, &plain);
        for (int kind = 1; kind < 4; kind++) {
            bool behind = kind & 1, some = kind & 2;
            if (behind && !tp_prefix_possible(lm)) continue;
            run(lm, behind, some, weights, &other);
            double off = difference(other.out, plain.out, WANTED * d);
            for (int64_t i = 0; behind && i < N; i++) /* nobody asks for the shared tokens' gradients */
                for (int s = 0; s < N_SEQUENCES; s++)
                    if (i >= whole[s] && i < whole[s] + SHARED)
                        memcpy(other.grad + i * d, plain.grad + i * d, (size_t)d * sizeof(float));
            double grad_off = difference(other.grad, plain.grad, N * d);
            if (!(off < 1e-5) || !(grad_off < 1e-5))
                fail_msg("%s%s%s: states are off by %.1e, gradients by %.1e", fixtures[f],
                         behind ? ", behind a prefix" : "", some ? ", wanted rows only" : "", off, grad_off);
        }
        tp_lm_free(lm);
    }
}

/* The same rows out of a cache, which a first call has filled in part. */
static void wanted_rows_come_out_of_a_cache(void **state) {
    (void)state;
    for (int f = 0; fixtures[f]; f++) {
        tp_lm *lm = load(fixtures[f]);
        int64_t d = lm->config.d_model, slot = 0;
        int32_t ids[20];
        for (int i = 0; i < 20; i++) ids[i] = id_at(2, i);
        float last[256];
        for (int some = 0; some < 2; some++) {
            tp_kv_cache *cache = tp_kv_cache_new(lm, 1, 20);
            tp_tape *tape = tp_tape_new(TP_MATH_F32);
            tape->frozen = true;
            for (int from = 0; from < 20; from += 10) {
                tp_batch batch = {.n_sequences = 1,
                                  .offsets = (const int64_t[]){0, 10},
                                  .cache = cache,
                                  .slots = &slot,
                                  .wanted = some ? (const int64_t[]){0, 1} : NULL};
                tp_var *x =
                    tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids + from, 10), &batch, 0, lm->config.n_layers);
                assert_int_equal(x->rows, some ? 1 : 10);
                const float *row = x->data + (x->rows - 1) * d;
                if (!some && from > 0) memcpy(last, row, (size_t)d * sizeof(float));
                if (some && from > 0 && !(difference(row, last, d) < 1e-5))
                    fail_msg("%s: the last row is off by %.1e", fixtures[f], difference(row, last, d));
            }
            assert_int_equal(cache->lengths[0], 20);
            tp_tape_free(tape);
            tp_kv_cache_free(cache);
        }
        tp_lm_free(lm);
    }
}

/* With no block to run the wanted rows of the input come back. */
static void wanted_rows_of_no_block(void **state) {
    (void)state;
    tp_lm *lm = load("llama2");
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    const int32_t ids[4] = {1, 2, 3, 4};
    tp_var *x = tp_lm_embed(tape, lm, ids, 4);
    tp_batch batch = {.n_sequences = 2, .offsets = (const int64_t[]){0, 1, 4}, .wanted = (const int64_t[]){0, 0, 2}};
    tp_var *out = tp_lm_blocks(tape, lm, x, &batch, 1, 1);
    assert_int_equal(out->rows, 2);
    assert_memory_equal(out->data, x->data + 2 * lm->config.d_model, 2 * (size_t)lm->config.d_model * sizeof(float));
    tp_tape_free(tape);
    tp_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortcuts_change_nothing),
        cmocka_unit_test(wanted_rows_come_out_of_a_cache),
        cmocka_unit_test(wanted_rows_of_no_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
