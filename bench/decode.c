/* Where the time of a decode step goes: a whole step, against its matrix products alone, on random models of small
 * shapes. What is left over is everything around the products: norms, rotations, attention, the cache, the tape, and
 * handing work from thread to thread. Rounds alternate between the two and the best of each counts: other work on the
 * machine only ever makes a round slower.
 *
 *     OMP_NUM_THREADS=1 build/bench_decode [tokens per round]
 *
 * Or of a model of the user's, which is bound by memory if it is large: how many bytes of weights a token reads, and
 * what share that is of what a plain loop reads in the same round. Rounds alternate here too; medians are printed,
 * and the share's range.
 *
 *     build/bench_decode MODEL [tokens per round, 8] [rounds, 7] */
#include "median.h"
#include "memory.h"

#include "lm/decoder.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 40 };

static const struct {
    const char *name;
    int vocab, d, layers, heads, kv_heads, head_dim, d_ff;
} shapes[] = {
    {"stories 15M", 32000, 288, 6, 6, 6, 48, 768},
    {"finch 3.5M", 4096, 256, 4, 4, 4, 64, 704},
};

static tp_status multiply(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    tp_tape *tape = context;
    (void)name;
    if (rows == 1) return TP_OK;
    tp_var *x = tp_var_new(tape, 1, cols), *y = tp_var_new(tape, 1, rows);
    for (int64_t i = 0; i < cols; i++) x->data[i] = (float)(i % 7) - 3;
    tp_matmul(tape->math, tape->arena, y->data, x->data, 1, w);
    return TP_OK;
}

static double products_alone(tp_lm *lm, tp_tape *tape, int tokens) {
    double start = undisturbed_now();
    for (int i = 0; i < tokens; i++) {
        tp_tape_reset(tape);
        tp_lm_visit(lm, multiply, tape);
    }
    return (undisturbed_now() - start) / tokens;
}

static double steps(const tp_lm *lm, tp_tape *tape, tp_kv_cache *cache, int tokens) {
    const int64_t offsets[2] = {0, 1}, slot = 0;
    tp_kv_cache_rewind(cache, 0, 0);
    double start = undisturbed_now();
    for (int i = 0; i < tokens; i++) {
        int32_t id = i % lm->config.vocab_size;
        tp_tape_reset(tape);
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
        tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, &id, 1), &batch, 0, lm->config.n_layers));
    }
    return (undisturbed_now() - start) / tokens;
}

static void measure(size_t shape, tp_dtype type, tp_math math, int tokens) {
    tp_lm_config c = {.family = TP_LM_LLAMA,
                      .vocab_size = shapes[shape].vocab,
                      .d_model = shapes[shape].d,
                      .n_layers = shapes[shape].layers,
                      .n_heads = shapes[shape].heads,
                      .n_kv_heads = shapes[shape].kv_heads,
                      .head_dim = shapes[shape].head_dim,
                      .d_ff = shapes[shape].d_ff,
                      .norm_eps = 1e-5,
                      .rope_theta = 1e4,
                      .max_position_embeddings = 2048,
                      .tie_word_embeddings = true,
                      .bos_id = -1,
                      .dtype = type};
    tp_lm *lm = tp_lm_new_frozen(&c, 1, type);
    tp_kv_cache *cache = tp_kv_cache_new_typed(lm, TP_F16, 1, tokens);
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    double w = INFINITY, p = INFINITY;
    steps(lm, tape, cache, tokens);
    for (int i = 0; i < ROUNDS; i++) {
        w = fmin(w, steps(lm, tape, cache, tokens));
        p = fmin(p, products_alone(lm, tape, tokens));
    }
    printf("%-12s %-5s %d threads: %8.1f tokens/s, %7.1f us a token, products alone %7.1f us (%4.1f GB/s), around them "
           "%4.1f %%\n",
           shapes[shape].name, tp_dtype_name(type), omp_get_max_threads(), 1 / w, 1e6 * w, 1e6 * p,
           (double)tp_lm_n_parameters(lm) * (double)tp_dtype_size(type) / p / 1e9, 100 * (w - p) / w);
    fflush(stdout);
    tp_tape_free(tape);
    tp_kv_cache_free(cache);
    tp_lm_free(lm);
}

/* ---- a model of the user's ---- */

typedef struct {
    const tp_lm *lm;
    double bytes;
} what_is_read;

/* A token reads every weight once, but of tables that are looked up only a row. */
static tp_status count_bytes(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    what_is_read *r = context;
    size_t bytes = 0;
    bool table = w == &r->lm->positions || (w == &r->lm->embed && !r->lm->config.tie_word_embeddings);
    if (!table && !tp_dtype_bytes(w->dtype, rows * cols, &bytes))
        return tp_fail(TP_ERR_FORMAT, "%s is too large", name);
    r->bytes += (double)bytes;
    return TP_OK;
}

static int measure_model(const char *path, int tokens, int rounds) {
    tp_lm *lm = tp_lm_load(path, false);
    what_is_read read = {.lm = lm};
    if (lm == NULL || tp_lm_visit(lm, count_bytes, &read) != TP_OK)
        return fprintf(stderr, "bench_decode: %s\n", tp_last_error()), 1;
    tp_kv_cache *cache = tp_kv_cache_new_typed(lm, TP_F16, 1, tokens);
    tp_tape *tape = tp_tape_new(TP_MATH_BF16);
    tape->frozen = true;
    double rate[rounds], memory[rounds], share[rounds];
    steps(lm, tape, cache, tokens);
    for (int i = 0; i < rounds; i++) {
        double before = memory_read_rate();
        rate[i] = 1 / steps(lm, tape, cache, tokens);
        memory[i] = (before + memory_read_rate()) / 2;
        share[i] = 100e-9 * read.bytes * rate[i] / memory[i];
    }
    double middle = median(share, rounds); /* sorts: its range lies at the ends */
    printf("%s: %d threads, %d rounds of %d tokens: %.2f tokens/s of %.2f GB each, %.1f GB/s; "
           "a plain loop reads %.1f GB/s; share %.0f %% (%.0f to %.0f)\n",
           path, omp_get_max_threads(), rounds, tokens, median(rate, rounds), read.bytes * 1e-9,
           read.bytes * 1e-9 * median(rate, rounds), median(memory, rounds), middle, share[0], share[rounds - 1]);
    tp_tape_free(tape);
    tp_kv_cache_free(cache);
    tp_lm_free(lm);
    return 0;
}

int main(int argc, char **argv) {
    bool model = argc > 1 && argv[1][strspn(argv[1], "0123456789")]; /* not a number: "8b.gguf" begins with one */
    int at = model ? 2 : 1, tokens = argc > at ? atoi(argv[at]) : 8, rounds = argc > at + 1 ? atoi(argv[at + 1]) : 7;
    if (tokens < 1 || rounds < 1)
        return fprintf(stderr, "usage: bench_decode [MODEL] [tokens per round] [rounds]\n"), 2;
    if (model) return measure_model(argv[1], tokens, rounds);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        measure(s, TP_F32, TP_MATH_F32, tokens);
        measure(s, TP_BF16, TP_MATH_BF16, tokens);
    }
    return 0;
}
