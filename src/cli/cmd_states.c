/* `telepathy states`: the hidden states of any layers, to a file or to look at. */
#include "base/json.h"
#include "base/mem.h"
#include "base/table.h"
#include "cli/input.h"
#include "cli/piece.h"
#include "cli/verbs.h"
#include "lm/states_file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The prompts' ids, end to end. */
typedef struct prompts {
    tp_ids ids;
    int64_t *offsets; /* [n + 1] */
    size_t n, capacity;
} prompts;

static void end_prompt(prompts *p) {
    tp_grow(&p->offsets, &p->capacity, p->n + 1, sizeof *p->offsets);
    p->offsets[++p->n] = (int64_t)p->ids.len;
}

static tp_status add_text(prompts *p, const tp_engine *engine, const char *text, size_t length) {
    int64_t n;
    int32_t *ids = tp_engine_tokenize(engine, text, length, TP_TOKENS_ADD_SPECIAL, &n);
    if (ids == NULL) return tp_last_status();
    for (int64_t i = 0; i < n; i++) tp_ids_append(&p->ids, ids[i]);
    tp_free(ids);
    if (n == 0) return tp_fail(TP_ERR_ARGUMENT, "prompt %zu has no tokens", p->n);
    end_prompt(p);
    return TP_OK;
}

static tp_status add_lines(prompts *p, const tp_engine *engine, const char *path) {
    tp_str text = {0};
    tp_status status = tp_read_text(path, true, &text);
    for (const char *at = text.data; status == TP_OK && text.len > 0;) {
        size_t n = strcspn(at, "\n");
        status = add_text(p, engine, at, n);
        if (at[n] == '\0') break;
        at += n + 1;
    }
    tp_str_free(&text);
    return status;
}

/* A whole number of a list. */
static tp_status parse_number(tp_args *args, const char *option, const char *text, long *out) {
    char *end;
    *out = strtol(text, &end, 10);
    if (end != text && *end == '\0' && *out >= INT_MIN && *out <= INT_MAX) return TP_OK;
    return tp_args_refuse(args, "--%s has `%s`, whole numbers were expected", option, text);
}

static tp_status gather_prompts(tp_args *args, const tp_engine *engine, prompts *p) {
    const char *const *texts, *const *ids;
    size_t n_texts = tp_args_list(args, "prompt", &texts), n_ids = tp_args_list(args, "ids", &ids);
    tp_grow(&p->offsets, &p->capacity, 0, sizeof *p->offsets);
    p->offsets[0] = 0;
    for (size_t i = 0; i < n_ids; i++) {
        long id;
        TP_TRY(parse_number(args, "ids", ids[i], &id));
        tp_ids_append(&p->ids, (int32_t)id);
    }
    if (n_ids > 0) end_prompt(p);
    for (size_t i = 0; i < n_texts; i++) {
        tp_str text = {0};
        tp_status status = TP_OK;
        if (strcmp(texts[i], "-") == 0)
            status = tp_read_text("-", true, &text);
        else
            tp_str_append_text(&text, texts[i]);
        if (status == TP_OK) status = add_text(p, engine, text.data, text.len);
        tp_str_free(&text);
        TP_TRY(status);
    }
    if (tp_args_given(args, "file")) {
        tp_str text = {0};
        tp_status status = tp_read_text(tp_args_text(args, "file"), true, &text);
        if (status == TP_OK) status = add_text(p, engine, text.data, text.len);
        tp_str_free(&text);
        TP_TRY(status);
    }
    if (tp_args_given(args, "prompts")) TP_TRY(add_lines(p, engine, tp_args_text(args, "prompts")));
    return p->n ? TP_OK : tp_args_refuse(args, "give a text with --prompt, --file or --prompts, or ids with --ids");
}

/* The layers asked for, each once; the caller frees *out. */
static tp_status gather_layers(tp_args *args, int32_t last, int32_t **out, int64_t *n) {
    const char *const *items;
    size_t n_items = tp_args_list(args, "layer", &items);
    bool all = n_items == 1 && strcmp(items[0], "all") == 0;
    *out = tp_alloc(((size_t)last + 1 + n_items) * sizeof **out);
    *n = 0;
    for (int32_t l = 0; all && l <= last; l++) (*out)[(*n)++] = l;
    for (size_t i = 0; !all && i < n_items; i++) {
        long layer;
        TP_TRY(parse_number(args, "layer", items[i], &layer));
        long wanted = layer < 0 ? layer + last + 1 : layer;
        if (wanted < 0 || wanted > last)
            return tp_fail(TP_ERR_ARGUMENT,
                           "there is no layer %ld: they run from 0 (the embeddings) to %d, or from the "
                           "end -1 to %d",
                           layer, (int)last, -(int)last - 1);
        for (int64_t k = 0; k < *n; k++)
            if ((*out)[k] == wanted) return tp_args_refuse(args, "--layer names layer %ld twice", wanted);
        (*out)[(*n)++] = (int32_t)wanted;
    }
    return *n ? TP_OK : tp_args_refuse(args, "--layer names no layer");
}

/* Fills states [n_layers, rows, d_model] of the file. */
static tp_status compute(tp_args *args, const tp_engine *engine, const tp_states_file *f, int64_t rows, float *states) {
    int64_t d = f->d_model, longest = 0;
    for (int64_t i = 0; i < f->n_prompts; i++)
        if (f->offsets[i + 1] - f->offsets[i] > longest) longest = f->offsets[i + 1] - f->offsets[i];
    float *own = tp_try_alloc((size_t)(f->n_layers * longest), (size_t)d * sizeof *own); /* of one prompt */
    if (own == NULL) return tp_last_status();
    tp_progress *progress = tp_args_progress(args);
    tp_status status = TP_OK;
    if (f->n_prompts > 1) tp_progress_begin(progress, "states", (double)f->n_prompts, "prompts", "tokens");
    for (int64_t i = 0; i < f->n_prompts && status == TP_OK; i++) {
        int64_t from = f->offsets[i], n = f->offsets[i + 1] - from;
        tp_input input = {.ids = f->ids + from, .n = n};
        status = tp_engine_states(engine, &input, 1, f->layers, f->n_layers, own);
        for (int64_t l = 0; l < f->n_layers && status == TP_OK; l++) {
            const float *layer = own + l * n * d;
            if (f->pool == TP_STATES_EACH)
                memcpy(states + (l * rows + from) * d, layer, (size_t)(n * d) * sizeof *states);
            else
                tp_states_pool(f->pool, layer, n, d, states + (l * rows + i) * d);
        }
        if (f->n_prompts > 1) tp_progress_update(progress, (double)(i + 1), (double)f->offsets[i + 1], "%s", "");
    }
    if (f->n_prompts > 1) tp_progress_end(progress);
    tp_free(own);
    return status;
}

/* ---- on stdout ---- */

enum { SHOWN = 4 }; /* numbers of a row in the table */

static void print_row(tp_table *t, const tp_engine *engine, const tp_states_file *f, int64_t prompt, int64_t layer,
                      int64_t token, const float *row) {
    double sum = 0;
    for (int64_t j = 0; j < f->d_model; j++) sum += (double)row[j] * row[j];
    tp_table_cell(t, "%lld", (long long)prompt);
    tp_table_cell(t, "%d", (int)f->layers[layer]);
    if (f->pool == TP_STATES_EACH) {
        size_t n = 0;
        int32_t id = f->ids[token];
        const char *piece = tp_engine_get_facts(engine)->has_tokenizer ? tp_engine_piece(engine, id, &n) : NULL;
        char *text = piece ? tp_visible_text(piece, n) : tp_format("%d", (int)id);
        tp_table_cell(t, "%s", text);
        tp_free(text);
    } else {
        tp_table_cell(t, "%s", tp_states_pooling_names[f->pool]);
    }
    tp_table_cell(t, "%.4f", sqrt(sum / (double)f->d_model));
    for (int64_t j = 0; j < SHOWN; j++) tp_table_cell(t, j < f->d_model ? "%.4f" : "", row[j < f->d_model ? j : 0]);
}

static void print_table(const tp_engine *engine, const tp_states_file *f, int64_t rows) {
    static const char *const columns[] = {">prompt", ">layer", "<token", ">rms", ">0", ">1", ">2", ">3"};
    tp_table *t = tp_table_new();
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) tp_table_column(t, columns[i]);
    for (int64_t p = 0; p < f->n_prompts; p++)
        for (int64_t l = 0; l < f->n_layers; l++) {
            int64_t from = f->pool == TP_STATES_EACH ? f->offsets[p] : p,
                    to = f->pool == TP_STATES_EACH ? f->offsets[p + 1] : p + 1;
            for (int64_t r = from; r < to; r++)
                print_row(t, engine, f, p, l, r, f->states + (l * rows + r) * f->d_model);
        }
    char *text = tp_table_text(t, TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(t);
}

static json_t *rows_to_json(const float *rows, int64_t n, int64_t d) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        json_t *row = json_array();
        for (int64_t j = 0; j < d; j++) json_array_append_new(row, json_real(rows[i * d + j]));
        json_array_append_new(list, row);
    }
    return list;
}

static void print_json(const tp_states_file *f, int64_t rows) {
    json_t *list = json_array();
    for (int64_t p = 0; p < f->n_prompts; p++) {
        int64_t from = f->offsets[p], n = f->offsets[p + 1] - from;
        json_t *ids = json_array(), *layers = json_object();
        for (int64_t i = 0; i < n; i++) json_array_append_new(ids, json_integer(f->ids[from + i]));
        for (int64_t l = 0; l < f->n_layers; l++) {
            char name[16];
            snprintf(name, sizeof name, "%d", (int)f->layers[l]);
            bool pooled = f->pool != TP_STATES_EACH;
            json_object_set_new(
                layers, name,
                rows_to_json(f->states + (l * rows + (pooled ? p : from)) * f->d_model, pooled ? 1 : n, f->d_model));
        }
        json_array_append_new(list, json_pack("{s:o, s:o}", "ids", ids, "layers", layers));
    }
    json_dumpf(list, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(list);
}

/* ---- the command ---- */

static tp_status show(tp_args *args, const tp_engine *engine, const tp_states_file *f, int64_t rows) {
    const char *out = tp_args_text(args, "out");
    if (out) return tp_states_file_write(out, f);
    if (tp_args_flag(args, "json"))
        print_json(f, rows);
    else
        print_table(engine, f, rows);
    return TP_OK;
}

static tp_status work(tp_args *args, const tp_engine *engine, prompts *p, int32_t **layers) {
    const tp_engine_facts *facts = tp_engine_get_facts(engine);
    int64_t n_layers;
    TP_TRY(gather_layers(args, facts->n_layers, layers, &n_layers));
    TP_TRY(gather_prompts(args, engine, p));
    tp_states_file f = {.family = facts->family,
                        .fingerprint = facts->fingerprint,
                        .pool = (tp_states_pooling)tp_args_choice(args, "pool"),
                        .layers = *layers,
                        .n_layers = n_layers,
                        .offsets = p->offsets,
                        .n_prompts = (int64_t)p->n,
                        .ids = p->ids.data,
                        .d_model = facts->d_model};
    int64_t rows = f.pool == TP_STATES_EACH ? p->offsets[p->n] : f.n_prompts;
    float *states = tp_try_alloc((size_t)(n_layers * rows), (size_t)f.d_model * sizeof *states);
    f.states = states;
    tp_status status = states ? compute(args, engine, &f, rows, states) : tp_last_status();
    if (status == TP_OK) status = show(args, engine, &f, rows);
    tp_free(states);
    return status;
}

static tp_status run(tp_args *args) {
    bool texts = tp_args_given(args, "prompt") || tp_args_given(args, "file") || tp_args_given(args, "prompts");
    tp_engine *engine = tp_args_engine(args, texts ? 0 : TP_ENGINE_NO_TOKENIZER);
    if (engine == NULL) return tp_last_status();
    prompts p = {0};
    int32_t *layers = NULL;
    tp_status status = work(args, engine, &p, &layers);
    tp_free(layers);
    tp_free(p.offsets);
    tp_ids_free(&p.ids);
    tp_engine_free(engine);
    return status;
}

const tp_command tp_cmd_states = {
    .name = "states",
    .summary = "read the hidden states of a text in any layers of a model",
    .text =
        "Layer 0 is the embeddings, layer l the residual stream after l blocks, the last one before the final norm (as "
        "`hidden_states` of Hugging Face transformers has them, but for the norm of the last). Blocks above the "
        "highest "
        "layer asked for are not computed.\n\n"
        "--out FILE.safetensors holds for each layer a tensor `layer.<l>` [rows, d_model] in f32, all prompts end to "
        "end, with `ids` (the tokens of all prompts) and `offsets` (where each prompt begins); its metadata names the "
        "model, its fingerprint, the layers and the pooling. --out FILE.npy holds the numbers alone: [rows, d_model], "
        "or "
        "[layers, rows, d_model] for several layers. There is a row for each token, or with --pool one for each "
        "prompt. "
        "Without --out a table is printed, or with --json all numbers.",
    .examples = "telepathy states models/wren -p \"How many moons has Mars?\" --layer 4,8 --out states.safetensors\n"
                "telepathy states models/wren --prompts questions.txt --layer -1 --pool mean --out states.npy\n"
                "telepathy states models/wren -p \"A bee\" --layer all\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "prompt",
             .letter = 'p',
             .type = TP_OPT_TEXTS,
             .help = "a text; - reads it from stdin; can be given several times"},
            TP_OPTION_FILE,
            {.name = "prompts", .type = TP_OPT_PATH, .value = "FILE", .help = "a text a line; - is stdin"},
            {.name = "ids",
             .type = TP_OPT_LIST,
             .value = "IDS",
             .help = "a prompt of token ids; no tokenizer is needed"},
            {.name = "layer",
             .type = TP_OPT_LIST,
             .value = "LAYERS",
             .fallback = "-1",
             .help = "numbers of layers, negative ones from the end, or all"},
            {.name = "pool",
             .type = TP_OPT_CHOICE,
             .choices = tp_states_pooling_names,
             .fallback = "none",
             .help = "one row for each token, or the mean or the last of a prompt; one of"},
            {.name = "out",
             .letter = 'o',
             .type = TP_OPT_PATH,
             .value = "FILE",
             .help = "file to write, .safetensors or .npy"},
            TP_OPTION_MATH("f32"),
            TP_OPTION_MLOCK,
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
