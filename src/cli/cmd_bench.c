/* `telepathy bench`: how fast a model reads and writes, in the rows that llama-bench users know. */
#include "base/clock.h"
#include "base/table.h"
#include "cli/command.h"
#include "lm/generate.h"
#include "tensor/kernels.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const maths[] = {"f32", "bf16", NULL}; /* in the order of tp_math */

typedef struct {
    const tp_lm *lm;
    tp_math math;
    int64_t repeats;
} bench;

/* Tokens per second of reading `tokens` ids at once: "pp". Ids are spread over the vocabulary. */
static double read_rate(const bench *b, int64_t tokens) {
    tp_tape *tape = tp_tape_new(b->math);
    tape->frozen = true;
    int32_t *ids = tp_alloc((size_t)tokens * sizeof *ids);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)b->lm->config.vocab_size);
    int64_t offsets[2] = {0, tokens};
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    double start = tp_now();
    tp_var *x = tp_lm_blocks(tape, b->lm, tp_lm_embed(tape, b->lm, ids, tokens), &batch, 0, b->lm->config.n_layers);
    tp_row_ref last = {0, tokens - 1};
    tp_lm_logits(tape, b->lm, tp_gather(tape, &x, 1, &last, 1)); /* a prompt needs the last row's logits only */
    double rate = (double)tokens / (tp_now() - start);
    tp_free(ids);
    tp_tape_free(tape);
    return rate;
}

/* Tokens per second of writing `tokens` ids one by one with a cache: "tg". Which ids does not matter. 0 on error. */
static double write_rate(const bench *b, int64_t tokens) {
    tp_kv_cache *cache = tp_kv_cache_new(b->lm, 1, tokens);
    if (cache == NULL) return 0;
    tp_tape *tape = tp_tape_new(b->math);
    tape->frozen = true;
    int64_t offsets[2] = {0, 1}, slot = 0;
    double start = tp_now();
    for (int64_t i = 0; i < tokens; i++) {
        int32_t id = (int32_t)(i % b->lm->config.vocab_size);
        tp_tape_reset(tape);
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
        tp_var *x = tp_lm_blocks(tape, b->lm, tp_lm_embed(tape, b->lm, &id, 1), &batch, 0, b->lm->config.n_layers);
        tp_lm_logits(tape, b->lm, x);
    }
    double rate = (double)tokens / (tp_now() - start);
    tp_tape_free(tape);
    tp_kv_cache_free(cache);
    return rate;
}

typedef struct {
    double mean, sd;
} rate;

static rate repeat(const bench *b, double (*run)(const bench *, int64_t), int64_t tokens) {
    double sum = 0, squares = 0;
    run(b, tokens); /* the first one makes packed forms and primitives, and reads the file */
    for (int64_t i = 0; i < b->repeats; i++) {
        double r = run(b, tokens);
        sum += r;
        squares += r * r;
    }
    double n = (double)b->repeats, mean = sum / n;
    return (rate){mean, n > 1 ? sqrt(fmax(0, (squares - n * mean * mean) / (n - 1))) : 0};
}

/* Where the rows go: a table for people or the entries of a JSON list. */
typedef struct {
    tp_table *table; /* NULL: JSON */
    bool any;
} output;

static void print_row(output *out, const bench *b, const char *prefix, long tokens, rate r) {
    const char *family = tp_lm_family_name(b->lm->config.family), *dtype = tp_dtype_name(b->lm->embed.dtype);
    if (out->table == NULL) {
        printf("%s\n  {\"model\": \"%s\", \"dtype\": \"%s\", \"math\": \"%s\", \"threads\": %d, \"test\": \"%s%ld\", "
               "\"tokens_per_second\": %.3f, \"sd\": %.3f}",
               out->any ? "," : "", family, dtype, maths[b->math], omp_get_max_threads(), prefix, tokens, r.mean, r.sd);
    } else {
        tp_table_cell(out->table, "%s %s", family, dtype);
        tp_table_cell(out->table, "%.2fM", (double)tp_lm_n_parameters(b->lm) / 1e6);
        tp_table_cell(out->table, "%s", maths[b->math]);
        tp_table_cell(out->table, "%d", omp_get_max_threads());
        tp_table_cell(out->table, "%s%ld", prefix, tokens);
        tp_table_cell(out->table, "%.2f ± %.2f", r.mean, r.sd);
    }
    out->any = true;
}

static tp_status bench_list(tp_args *args, const bench *b, const char *option, const char *prefix,
                            double (*run)(const bench *, int64_t), output *out) {
    const char *const *items;
    size_t n = tp_args_list(args, option, &items);
    for (size_t i = 0; i < n; i++) {
        char *end;
        long tokens = strtol(items[i], &end, 10);
        if (*end || tokens < 1 || tokens > 1 << 20)
            return tp_args_refuse(args, "--%s takes numbers of tokens from 1 to %d, not \"%s\"", option, 1 << 20,
                                  items[i]);
        rate r = repeat(b, run, tokens);
        if (r.mean == 0) return tp_last_status();
        print_row(out, b, prefix, tokens, r);
    }
    return TP_OK;
}

static tp_status bench_model(tp_args *args, const bench *b) {
    bool json = tp_args_flag(args, "json");
    output out = {.table = json ? NULL : tp_table_new()};
    static const char *const columns[] = {"<model", ">size", "<math", ">threads", "<test", ">t/s", NULL};
    for (int i = 0; !json && columns[i]; i++) tp_table_column(out.table, columns[i]);
    if (json) printf("[");
    tp_status status = bench_list(args, b, "n-prompt", "pp", read_rate, &out);
    if (status == TP_OK) status = bench_list(args, b, "n-gen", "tg", write_rate, &out);
    if (json) {
        printf("\n]\n");
    } else {
        char *text = tp_table_text(out.table, TP_TABLE_MARKDOWN);
        if (status == TP_OK) printf("%s\nkernels: %s\n", text, tp_cpu()->name);
        tp_free(text);
        tp_table_free(out.table);
    }
    return status;
}

static tp_status run(tp_args *args) {
    tp_lm *lm = tp_lm_load(tp_args_text(args, "MODEL"), false);
    if (lm == NULL) return tp_last_status();
    bench b = {.lm = lm, .math = (tp_math)tp_args_choice(args, "math"), .repeats = tp_args_int(args, "repetitions")};
    tp_status status = bench_model(args, &b);
    tp_lm_free(lm);
    return status;
}

const tp_command tp_cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a model reads and writes",
    .text =
        "Prints tokens per second, mean and standard deviation over repetitions after one warm-up, in the rows of "
        "llama-bench: pp512 reads a prompt of 512 tokens at once, tg64 writes 64 tokens one by one with a cache.\n\n"
        "Timings on shared machines are noisy: compare within one run. bench/train_step times a training step.",
    .examples = "telepathy bench models/wren --n-prompt 128,512 --n-gen 64\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "n-prompt",
             .letter = 'p',
             .type = TP_OPT_LIST,
             .value = "N,...",
             .fallback = "128,512",
             .help = "lengths of the prompts to read"},
            {.name = "n-gen",
             .letter = 'n',
             .type = TP_OPT_LIST,
             .value = "N,...",
             .fallback = "64",
             .help = "numbers of tokens to write"},
            {.name = "repetitions",
             .letter = 'r',
             .type = TP_OPT_INT,
             .fallback = "5",
             .min = 1,
             .max = 1000,
             .help = "measurements of each"},
            {.name = "math", .type = TP_OPT_CHOICE, .choices = maths, .fallback = "bf16", .help = "matrix products in"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
