/* `telepathy embed`: texts as rows of numbers, and how alike they are. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/piece.h"
#include "lm/embed.h"

#include <stdio.h>
#include <string.h>

static const char *const maths[] = {"f32", "bf16", NULL}; /* in the order of tp_math */

typedef struct {
    char **data;
    size_t n, capacity;
} texts;

static void add_text(texts *t, const char *text, size_t n) {
    tp_grow(&t->data, &t->capacity, t->n, sizeof *t->data);
    t->data[t->n++] = tp_strndup(text, n);
}

static void free_texts(texts *t) {
    for (size_t i = 0; i < t->n; i++) tp_free(t->data[i]);
    tp_free(t->data);
}

/* One text a line; a CR before the line feed is not part of it. */
static tp_status read_lines(const char *path, texts *out) {
    tp_lines *lines = tp_lines_open(path);
    if (lines == NULL) return tp_last_status();
    char *line;
    size_t n;
    while (tp_lines_next(lines, &line, &n)) add_text(out, line, n - (n > 0 && line[n - 1] == '\r'));
    tp_status status = tp_lines_status(lines);
    tp_lines_close(lines);
    return status;
}

static tp_status read_texts(tp_args *args, texts *out) {
    const char *const *given;
    size_t n = tp_args_list(args, "TEXTS", &given);
    const char *file = tp_args_text(args, "file");
    if (n > 0 && file) return tp_args_refuse(args, "give the texts or --file, not both");
    for (size_t i = 0; i < n; i++) add_text(out, given[i], strlen(given[i]));
    if (n == 0) TP_TRY(read_lines(file && strcmp(file, "-") != 0 ? file : "/dev/stdin", out));
    return out->n > 0 ? TP_OK : tp_fail(TP_ERR_ARGUMENT, "there is no text to embed");
}

/* ---- answers ---- */

static void print_rows(const float *rows, size_t n, int d) {
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < d; j++) printf("%.9g%c", (double)rows[i * (size_t)d + (size_t)j], j + 1 < d ? ' ' : '\n');
}

static json_t *json_row(const texts *t, size_t i, const float *rows, int d) {
    json_t *numbers = json_array();
    for (int j = 0; j < d; j++) json_array_append_new(numbers, json_real((double)rows[i * (size_t)d + (size_t)j]));
    json_t *text = json_string(t->data[i]); /* NULL for what is no UTF-8 */
    char *visible = text ? NULL : tp_visible_text(t->data[i], strlen(t->data[i]));
    if (text == NULL) text = json_string(visible);
    tp_free(visible);
    return json_pack("{s:I, s:o, s:o}", "index", (json_int_t)i, "text", text, "embedding", numbers);
}

static void print_json(FILE *out, const texts *t, const float *rows, int d) {
    for (size_t i = 0; i < t->n; i++) {
        json_t *row = json_row(t, i, rows, d);
        json_dumpf(row, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputc('\n', out);
        json_decref(row);
    }
}

static void print_similarity(const texts *t, const float *rows, int d, bool json) {
    tp_table *table = tp_table_new();
    json_t *matrix = json_array();
    tp_table_column(table, "<text");
    for (size_t j = 0; j < t->n; j++) {
        char heading[24];
        snprintf(heading, sizeof heading, ">%zu", j + 1);
        tp_table_column(table, heading);
    }
    for (size_t i = 0; i < t->n; i++) {
        char *text = tp_visible_text(t->data[i], strlen(t->data[i]));
        size_t fits = tp_text_fit(text, strlen(text), 40);
        tp_table_cell(table, "%zu  %.*s%s", i + 1, (int)fits, text, text[fits] ? "..." : "");
        tp_free(text);
        json_t *line = json_array();
        for (size_t j = 0; j < t->n; j++) {
            double cosine = tp_cosine(rows + i * (size_t)d, rows + j * (size_t)d, d);
            tp_table_cell(table, "%.4f", cosine);
            json_array_append_new(line, json_real(cosine));
        }
        json_array_append_new(matrix, line);
    }
    if (json) {
        json_dumpf(matrix, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        char *text = tp_table_text(table, TP_TABLE_PLAIN);
        fputs(text, stdout);
        tp_free(text);
    }
    json_decref(matrix);
    tp_table_free(table);
}

static tp_status write_json(const char *path, const texts *t, const float *rows, int d) {
    tp_writer *w = tp_writer_open(path);
    if (w == NULL) return tp_last_status();
    for (size_t i = 0; i < t->n; i++) {
        json_t *row = json_row(t, i, rows, d);
        char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9));
        tp_writer_printf(w, "%s\n", line);
        free(line);
        json_decref(row);
    }
    return tp_writer_commit(w);
}

static tp_status write_file(const char *path, const tp_embedder *e, const texts *t, const float *rows) {
    const int64_t shape[2] = {(int64_t)t->n, e->d_model};
    if (tp_ends_with(path, ".npy")) return tp_npy_write(path, TP_F32, 2, shape, rows);
    if (!tp_ends_with(path, ".safetensors")) return write_json(path, t, rows, e->d_model);
    char layer[16];
    snprintf(layer, sizeof layer, "%d", e->layer);
    const tp_st_metadata metadata[] = {
        {"model", e->encoder ? e->encoder->fingerprint : e->lm->fingerprint},
        {"layer", layer},
        {"pooling", tp_pooling_names[e->pooling]},
        {"normalized", e->normalize ? "true" : "false"},
    };
    const tp_st_tensor tensor = {.name = "embeddings",
                                 .dtype = TP_F32,
                                 .n_dims = 2,
                                 .shape = {shape[0], shape[1]},
                                 .data = rows,
                                 .n_bytes = (size_t)(shape[0] * shape[1]) * sizeof *rows};
    return tp_safetensors_write(path, &tensor, 1, metadata, 4);
}

/* ---- the command ---- */

static tp_status set_up(tp_args *args, tp_embedder *e) {
    if (tp_args_given(args, "layer")) {
        int64_t layer = tp_args_int(args, "layer");
        if (layer > e->n_layers)
            return tp_args_refuse(args, "--layer is %lld, the model has %d layers", (long long)layer, e->n_layers);
        e->layer = (int)layer;
    }
    if (tp_args_given(args, "pool")) e->pooling = (tp_pooling)tp_args_choice(args, "pool");
    if (tp_args_given(args, "normalize")) e->normalize = tp_args_flag(args, "normalize");
    return TP_OK;
}

static tp_status answer(tp_args *args, const tp_embedder *e, const texts *t, const float *rows) {
    const char *path = tp_args_text(args, "out");
    if (path) TP_TRY(write_file(path, e, t, rows));
    if (tp_args_flag(args, "similarity"))
        print_similarity(t, rows, e->d_model, tp_args_flag(args, "json"));
    else if (path == NULL && tp_args_flag(args, "json"))
        print_json(stdout, t, rows, e->d_model);
    else if (path == NULL)
        print_rows(rows, t->n, e->d_model);
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *path = tp_args_text(args, "out");
    if (path && !tp_ends_with(path, ".npy") && !tp_ends_with(path, ".safetensors") && !tp_ends_with(path, ".jsonl"))
        return tp_args_refuse(args, "--out is %s, a name that ends in .npy, .safetensors or .jsonl was expected", path);
    texts t = {0};
    float *rows = NULL;
    tp_embedder *e = NULL;
    tp_status status = read_texts(args, &t);
    if (status == TP_OK) {
        e = tp_embedder_load(tp_args_text(args, "MODEL"));
        status = e ? set_up(args, e) : tp_last_status();
    }
    if (status == TP_OK) {
        rows = tp_try_alloc(t.n, (size_t)e->d_model * sizeof *rows);
        status = rows ? tp_embedder_texts(e, (const char *const *)t.data, t.n, (tp_math)tp_args_choice(args, "math"),
                                          tp_args_progress(args), rows)
                      : tp_last_status();
    }
    if (status == TP_OK) status = answer(args, e, &t, rows);
    tp_free(rows);
    tp_embedder_free(e);
    free_texts(&t);
    return status;
}

const tp_command tp_cmd_embed = {
    .name = "embed",
    .summary = "turn texts into vectors, and say how alike they are",
    .text =
        "Prints one line of numbers for each text. An encoder (BERT, MiniLM) pools and normalises as its own files "
        "ask for it; a decoder gives the mean of its last layer's hidden states. The texts are arguments, or the lines "
        "of a file or of stdin.\n\nWith --out the vectors go to a file: .npy or .safetensors (tensor `embeddings`, "
        "f32, a row for each text) or .jsonl. With --similarity the cosines between all texts are shown instead.",
    .examples = "telepathy embed all-MiniLM-L6-v2 \"A man is eating.\" \"Somebody has lunch.\" --similarity\n"
                "telepathy embed models/wren -f questions.txt --layer 4 --pool last --normalize --out questions.npy\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "TEXTS",
             .type = TP_OPT_TEXT,
             .positional = true,
             .many = true,
             .help = "the texts (default: stdin)"},
            {.name = "file",
             .letter = 'f',
             .type = TP_OPT_PATH,
             .help = "read the texts from this file, one a line; - is stdin"},
            {.name = "out", .letter = 'o', .type = TP_OPT_PATH, .help = "write .npy, .safetensors or .jsonl"},
            {.name = "similarity", .type = TP_OPT_FLAG, .help = "show the cosines between the texts"},
            {.name = "pool",
             .type = TP_OPT_CHOICE,
             .choices = (const char *const[]){"mean", "cls", "last", NULL}, /* in the order of tp_pooling */
             .help = "which row stands for a text (default: as the model's files say, else mean)"},
            {.name = "layer",
             .type = TP_OPT_INT,
             .min = 0,
             .max = 1 << 16,
             .help = "hidden states of this layer (default: the last)"},
            {.name = "normalize",
             .type = TP_OPT_FLAG,
             .help = "vectors of length 1 (default: as the model's files say)"},
            {.name = "math", .type = TP_OPT_CHOICE, .choices = maths, .fallback = "f32", .help = "matrix products in"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
