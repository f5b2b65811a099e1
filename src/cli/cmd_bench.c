/* `telepathy bench`: how fast a model reads and writes, in the rows that llama-bench users know. */
#include "base/clock.h"
#include "base/crowd.h"
#include "base/table.h"
#include "cli/command.h"
#include "lm/decoder.h"
#include "tensor/kernels.h"

#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const maths[] = {"f32", "bf16", NULL};                    /* in the order of tp_math */
static const char *const cache_types[] = {"f32", "f16", "bf16", "i8", NULL}; /* names of tp_dtype */
static const char *const forms[] = {"md", "csv", "json", "jsonl", NULL};
enum { MD, CSV, JSON, JSONL };

enum { ROWS_AT_ONCE = 512, MOST_TOKENS = 1 << 20, MOST_REPEATS = 1000 };

typedef struct {
    const tp_lm *lm;
    const char *path;
    tp_math math;
    tp_dtype cache_type;
    int64_t repeats;
    tp_tape *tape;
    double bytes; /* of all weights as they are stored */
} bench;

/* One row: reading `prompt` tokens or writing `made` ones, behind `depth` tokens. */
typedef struct {
    int64_t prompt, made, depth;
    double mean, sd, rates[MOST_REPEATS]; /* tokens per second */
} test;

/* ---- measuring ---- */

/* Runs tokens through the model behind what the cache holds, `at_once` in a step; logits after the last of each step,
 * as generation wants them. Which ids does not matter: they are spread over the vocabulary. */
static void run_tokens(const bench *b, tp_kv_cache *cache, int64_t n, int64_t at_once, bool logits) {
    int32_t ids[ROWS_AT_ONCE];
    const int64_t slot = 0;
    for (int64_t from = 0, m; from < n; from += m) {
        m = n - from < at_once ? n - from : at_once;
        for (int64_t i = 0; i < m; i++)
            ids[i] = (int32_t)((uint64_t)(from + i) * 2654435761u % (uint64_t)b->lm->config.vocab_size);
        const int64_t offsets[2] = {0, m}, last[2] = {0, 1};
        tp_tape_reset(b->tape);
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
        if (m > 1) batch.wanted = last;
        tp_var *x = tp_lm_embed(b->tape, b->lm, ids, m);
        x = tp_lm_blocks(b->tape, b->lm, x, &batch, 0, b->lm->config.n_layers);
        if (logits && (at_once == 1 || from + m == n)) tp_lm_logits(b->tape, b->lm, x);
    }
}

/* Tokens per second, once. */
static double rate_of(const bench *b, tp_kv_cache *cache, const test *t) {
    /* A ring that has wrapped cannot go back to the depth: then the depth is read again. None of this is timed. */
    if (cache->lengths[0] < t->depth || !tp_kv_cache_rewind(cache, 0, t->depth)) {
        tp_kv_cache_rewind(cache, 0, 0);
        run_tokens(b, cache, t->depth, ROWS_AT_ONCE, false);
    }
    double start = tp_now();
    run_tokens(b, cache, t->prompt, ROWS_AT_ONCE, true);
    run_tokens(b, cache, t->made, 1, true);
    return (double)(t->prompt + t->made) / (tp_now() - start);
}

static tp_status measure(const bench *b, test *t) {
    tp_kv_cache *cache = tp_kv_cache_new_typed(b->lm, b->cache_type, 1, t->depth + t->prompt + t->made);
    if (cache == NULL) return tp_last_status();
    double sum = 0, squares = 0, n = (double)b->repeats;
    rate_of(b, cache, t); /* the first one makes packed forms and primitives, and reads the file */
    for (int64_t i = 0; i < b->repeats; i++) {
        double rate = t->rates[i] = rate_of(b, cache, t);
        sum += rate;
        squares += rate * rate;
    }
    t->mean = sum / n;
    t->sd = n > 1 ? sqrt(fmax(0, (squares - n * t->mean * t->mean) / (n - 1))) : 0;
    tp_kv_cache_free(cache);
    return TP_OK;
}

/* ---- printing ---- */

static void human_bytes(double bytes, char out[24]) {
    if (bytes >= 0x1p30)
        snprintf(out, 24, "%.2f GiB", bytes / 0x1p30);
    else
        snprintf(out, 24, "%.2f MiB", bytes / 0x1p20);
}

static void human_count(double count, char out[24]) {
    if (count >= 1e9)
        snprintf(out, 24, "%.2f B", count / 1e9);
    else
        snprintf(out, 24, "%.2f M", count / 1e6);
}

/* "pp512", "tg64 @ d1024" */
static void test_name(const test *t, char out[64]) {
    int n = snprintf(out, 64, "%s%lld", t->prompt ? "pp" : "tg", (long long)(t->prompt + t->made));
    if (t->depth) snprintf(out + n, 64 - (size_t)n, " @ d%lld", (long long)t->depth);
}

static void add_cells(tp_table *table, const bench *b, const test *t) {
    char size[24], count[24], name[64];
    human_bytes(b->bytes, size);
    human_count((double)tp_lm_n_parameters(b->lm), count);
    test_name(t, name);
    tp_table_cell(table, "%s %s", tp_lm_family_name(b->lm->config.family), tp_dtype_name(b->lm->layers[0].q.dtype));
    tp_table_cell(table, "%s", size);
    tp_table_cell(table, "%s", count);
    tp_table_cell(table, "CPU %s", tp_cpu()->name);
    tp_table_cell(table, "%d", omp_get_max_threads());
    tp_table_cell(table, "%s", maths[b->math]);
    tp_table_cell(table, "%s", tp_dtype_name(b->cache_type));
    tp_table_cell(table, "%s", name);
    tp_table_cell(table, "%.2f ± %.2f", t->mean, t->sd);
}

/* The row under llama-bench's names, where it has the same thing. */
static json_t *as_json(const bench *b, const test *t) {
    const char *type = tp_dtype_name(b->cache_type);
    char model[64];
    snprintf(model, sizeof model, "%s %s", tp_lm_family_name(b->lm->config.family),
             tp_dtype_name(b->lm->layers[0].q.dtype));
    json_t *row = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f}",
                            "model_filename", b->path, "model_type", model, "model_size", (json_int_t)b->bytes,
                            "model_n_params", (json_int_t)tp_lm_n_parameters(b->lm), "backends", "CPU", "kernels",
                            tp_cpu()->name, "n_threads", omp_get_max_threads(), "math", maths[b->math], "type_k", type,
                            "type_v", type, "n_prompt", (json_int_t)t->prompt, "n_gen", (json_int_t)t->made, "n_depth",
                            (json_int_t)t->depth, "avg_ts", t->mean, "stddev_ts", t->sd);
    json_t *samples = json_array();
    for (int64_t i = 0; i < b->repeats; i++) json_array_append_new(samples, json_real(t->rates[i]));
    json_object_set_new(row, "samples_ts", samples);
    return row;
}

/* The same as a line; the first row brings the line of names with it. Texts stand in quotation marks. */
static void print_csv(json_t *row, bool first) {
    const char *key;
    json_t *value;
    for (int names = first; names >= 0; names--) {
        const char *comma = "";
        json_object_foreach(row, key, value) {
            if (json_is_array(value)) continue;
            if (names)
                printf("%s%s", comma, key);
            else if (json_is_string(value))
                printf("%s\"%s\"", comma, json_string_value(value));
            else if (json_is_integer(value))
                printf("%s%lld", comma, (long long)json_integer_value(value));
            else
                printf("%s%.6f", comma, json_real_value(value));
            comma = ",";
        }
        printf("\n");
    }
}

/* Where the rows go: each as soon as it is known, but for the table, whose columns need all of them. */
typedef struct {
    int form;
    tp_table *table; /* of MD */
    int n;
} output;

static void add_row(output *out, const bench *b, const test *t) {
    if (out->form == MD) {
        add_cells(out->table, b, t);
    } else {
        json_t *row = as_json(b, t);
        char *text = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(10));
        if (out->form == CSV)
            print_csv(row, out->n == 0);
        else if (out->form == JSON)
            printf("%s\n  %s", out->n ? "," : "[", text);
        else
            printf("%s\n", text);
        free(text);
        json_decref(row);
    }
    fflush(stdout);
    out->n++;
}

/* ---- the command ---- */

/* The numbers of a list; at most 64 of them. */
static tp_status numbers_of(tp_args *args, const char *option, int64_t *out, size_t *n) {
    const char *const *items;
    *n = tp_args_list(args, option, &items);
    if (*n > 64) return tp_args_refuse(args, "--%s takes at most 64 numbers", option);
    for (size_t i = 0; i < *n; i++) {
        char *end;
        out[i] = strtoll(items[i], &end, 10);
        if (*end || out[i] < 0 || out[i] > MOST_TOKENS)
            return tp_args_refuse(args, "--%s takes numbers of tokens from 0 (none) to %d, not \"%s\"", option,
                                  MOST_TOKENS, items[i]);
    }
    return TP_OK;
}

static tp_status run_tests(tp_args *args, const bench *b, output *out) {
    int64_t prompts[64], made[64], depths[64];
    size_t n_prompts, n_made, n_depths;
    TP_TRY(numbers_of(args, "n-prompt", prompts, &n_prompts));
    TP_TRY(numbers_of(args, "n-gen", made, &n_made));
    TP_TRY(numbers_of(args, "n-depth", depths, &n_depths));
    for (size_t d = 0; d < n_depths; d++)
        for (size_t i = 0; i < n_prompts + n_made; i++) {
            test t = {.depth = depths[d]};
            *(i < n_prompts ? &t.prompt : &t.made) = i < n_prompts ? prompts[i] : made[i - n_prompts];
            if (t.prompt + t.made == 0) continue;
            TP_TRY(measure(b, &t));
            add_row(out, b, &t);
        }
    return TP_OK;
}

static tp_status bench_model(tp_args *args, const bench *b) {
    output out = {.form = tp_args_flag(args, "json") ? JSON : tp_args_choice(args, "output")};
    static const char *const columns[] = {"<model", ">size",  ">params", "<backend", ">threads",
                                          "<math",  "<cache", ">test",   ">t/s"};
    if (out.form == MD) {
        out.table = tp_table_new();
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) tp_table_column(out.table, columns[i]);
    }
    tp_status status = run_tests(args, b, &out);
    if (out.form == JSON && out.n) printf("\n]\n");
    if (out.form == JSON && out.n == 0 && status == TP_OK) printf("[]\n");
    if (out.table && status == TP_OK) {
        char *text = tp_table_text(out.table, TP_TABLE_MARKDOWN);
        printf("%s", text);
        tp_free(text);
    }
    tp_table_free(out.table);
    return status;
}

static tp_status add_bytes(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)name;
    size_t bytes;
    if (tp_dtype_bytes(w->dtype, rows * cols, &bytes)) *(double *)context += (double)bytes;
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *path = tp_args_text(args, "MODEL");
    tp_lm *lm = tp_lm_load(path, false);
    if (lm == NULL) return tp_last_status();
    bench b = {.lm = lm,
               .path = path,
               .math = (tp_math)tp_args_choice(args, "math"),
               .cache_type = tp_dtype_from_name(tp_args_text(args, "cache-type")),
               .repeats = tp_args_int(args, "repetitions"),
               .tape = tp_tape_new((tp_math)tp_args_choice(args, "math"))};
    b.tape->frozen = true;
    tp_crowd_watch(false); /* a row names its threads: it keeps to them */
    tp_lm_visit(lm, add_bytes, &b.bytes);
    tp_status status = bench_model(args, &b);
    tp_tape_free(b.tape);
    tp_lm_free(lm);
    return status;
}

const tp_command tp_cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a model reads and writes",
    .text =
        "Prints tokens per second, mean and standard deviation over repetitions after one warm-up, in the rows of "
        "llama-bench: pp512 reads a prompt of 512 tokens, tg64 writes 64 tokens one by one, \"tg64 @ d1024\" does so "
        "behind 1024 tokens that were read before.\n\n"
        "The table has the stored type of the model's matrices beside its family, and the types of products and of "
        "the cache; csv, json and jsonl use llama-bench's names. Timings on shared machines are noisy: compare "
        "within one run. bench/train_step times a training step.",
    .examples = "telepathy bench models/wren -p 128,512 -n 64\n"
                "telepathy bench models/wren -p 0 -n 32 -d 0,1024,4096 -ctk i8 -o csv\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "n-prompt",
             .letter = 'p',
             .type = TP_OPT_LIST,
             .value = "N,...",
             .fallback = "128,512",
             .help = "lengths of the prompts to read; 0: none"},
            {.name = "n-gen",
             .letter = 'n',
             .type = TP_OPT_LIST,
             .value = "N,...",
             .fallback = "64",
             .help = "numbers of tokens to write; 0: none"},
            {.name = "n-depth",
             .letter = 'd',
             .type = TP_OPT_LIST,
             .value = "N,...",
             .fallback = "0",
             .help = "tokens in the cache before each test"},
            {.name = "repetitions",
             .letter = 'r',
             .type = TP_OPT_INT,
             .fallback = "5",
             .min = 1,
             .max = MOST_REPEATS,
             .help = "measurements of each"},
            {.name = "cache-type",
             .alias = "ctk",
             .type = TP_OPT_CHOICE,
             .choices = cache_types,
             .fallback = "f16",
             .help = "keys and values stored as (also -ctk)"},
            {.name = "math", .type = TP_OPT_CHOICE, .choices = maths, .fallback = "bf16", .help = "matrix products in"},
            {.name = "output",
             .letter = 'o',
             .type = TP_OPT_CHOICE,
             .choices = forms,
             .fallback = "md",
             .help = "form of the rows"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
