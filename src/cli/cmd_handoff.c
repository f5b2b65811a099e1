/* `telepathy handoff`: one text through several trained bridges. */
#include "base/json.h"
#include "base/str.h"
#include "base/table.h"
#include "bridge/handoff.h"
#include "cli/experiment.h"
#include "cli/input.h"
#include "cli/piece.h"
#include "wire/packet.h"

#include <stdio.h>
#include <string.h>

enum { MOST_RUNS = 16 };

/* What was loaded: a model that several runs name is loaded once. */
typedef struct {
    tp_lm *models[2 * MOST_RUNS];
    char *paths[2 * MOST_RUNS];
    size_t n_models;
    tp_relay *relays[MOST_RUNS];
    size_t n;
} stage;

static tp_lm *load_model(stage *s, const char *path) {
    for (size_t i = 0; i < s->n_models; i++)
        if (strcmp(s->paths[i], path) == 0) return s->models[i];
    tp_lm *lm = tp_lm_load(path, true);
    if (lm == NULL) return NULL;
    s->paths[s->n_models] = tp_strdup(path);
    return s->models[s->n_models++] = lm;
}

static tp_status load_run(stage *s, const char *run) {
    tp_recipe *recipe = tp_run_recipe(run, NULL, NULL);
    if (recipe == NULL) return tp_last_status();
    tp_lm *sender = load_model(s, recipe->models.sender);
    tp_lm *receiver = sender ? load_model(s, recipe->models.receiver) : NULL;
    tp_recipe_free(recipe);
    if (receiver == NULL) return tp_last_status();
    s->relays[s->n] = tp_relay_load(run, sender, receiver);
    return s->relays[s->n] ? (s->n++, TP_OK) : tp_last_status();
}

static void free_stage(stage *s) {
    for (size_t i = 0; i < s->n; i++) tp_relay_free(s->relays[i]);
    for (size_t i = 0; i < s->n_models; i++) {
        tp_lm_free(s->models[i]);
        tp_free(s->paths[i]);
    }
}

/* What a receiver says to its soft tokens. */
typedef struct {
    int32_t best; /* the likeliest label; -1: free answers */
    char *written;
    size_t bytes; /* of its packet */
} answer;

static tp_status ask(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_str *text, tp_dtype type,
                     answer *out) {
    tp_packet_info info = {.n_tokens = soft->rows, .width = soft->cols, .dtype = type};
    tp_packet_size size;
    tp_prompts prompts;
    TP_TRY(tp_packet_measure(&info, &size));
    TP_TRY(tp_relay_prompts(relay, tape, soft, &(tp_example){.text = text->data, .len = text->len}, 1, &prompts));
    *out = (answer){.best = -1, .bytes = size.total};
    if (relay->n_labels > 0) TP_TRY(tp_relay_best(relay, &prompts, &out->best, NULL, NULL));
    return tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &out->written);
}

static json_t *to_json(const tp_relay *relay, const char *run, const answer *a) {
    char *written = tp_visible_text(a->written, strlen(a->written)),
         *label =
             a->best < 0 ? NULL : tp_visible_text(relay->label_names[a->best], strlen(relay->label_names[a->best]));
    json_t *value =
        json_pack("{s:s, s:s, s:o, s:s, s:I}", "run", run, "receiver", relay->receiver->path, "label",
                  label ? json_string(label) : json_null(), "written", written, "packet_bytes", (json_int_t)a->bytes);
    tp_free(written);
    tp_free(label);
    return value;
}

static void print(const stage *s, const char *const *runs, size_t first, const answer *answers, bool json) {
    json_t *list = json_array();
    tp_table *t = tp_table_new();
    static const char *const columns[] = {"<run", "<receiver", "<answer", "<written", ">packet bytes"};
    for (int i = 0; i < 5; i++) tp_table_column(t, columns[i]);
    for (size_t i = first; i < s->n; i++) {
        const tp_relay *relay = s->relays[i];
        const answer *a = &answers[i];
        char *written = tp_visible_text(a->written, strlen(a->written));
        tp_table_cell(t, "%s", runs[i]);
        tp_table_cell(t, "%s", relay->receiver->path);
        tp_table_cell(t, "%s", a->best < 0 ? "" : relay->label_names[a->best]);
        tp_table_cell(t, "\"%s\"", written);
        tp_table_cell(t, "%zu", a->bytes);
        tp_free(written);
        json_array_append_new(list, to_json(relay, runs[i], a));
    }
    if (json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        char *text = tp_table_text(t, TP_TABLE_PLAIN);
        fputs(text, stdout);
        tp_free(text);
    }
    tp_table_free(t);
    json_decref(list);
}

static tp_status hand_over(tp_args *args, const stage *s, const char *const *runs, const tp_str *text) {
    tp_dtype type = tp_args_packet(args);
    bool broadcast = tp_args_flag(args, "broadcast");
    size_t first = broadcast ? 0 : s->n - 1; /* a chain has one answer, the last receiver's */
    answer answers[MOST_RUNS] = {{0}};
    tp_var *soft[MOST_RUNS];
    tp_tape *tape = tp_tape_new(s->relays[0]->recipe->math);
    tape->frozen = true;
    tp_status status = broadcast ? tp_broadcast_check(s->relays, s->n) : tp_chain_check(s->relays, s->n);
    if (status == TP_OK && broadcast)
        status = tp_broadcast_soft(s->relays, s->n, tape, text->data, text->len, type, soft);
    if (status == TP_OK && !broadcast) {
        soft[first] = tp_chain_soft(s->relays, s->n, tape, text->data, text->len, type);
        if (soft[first] == NULL) status = tp_last_status();
    }
    for (size_t i = first; i < s->n && status == TP_OK; i++)
        status = ask(s->relays[i], tape, soft[i], text, type, &answers[i]);
    if (status == TP_OK) print(s, runs, first, answers, tp_args_flag(args, "json"));
    for (size_t i = 0; i < s->n; i++) tp_free(answers[i].written);
    tp_tape_free(tape);
    return status;
}

static tp_status run(tp_args *args) {
    const char *const *runs;
    size_t n = tp_args_list(args, "RUN", &runs);
    if (n > MOST_RUNS) return tp_fail(TP_ERR_ARGUMENT, "%zu runs are given, at most %d were expected", n, MOST_RUNS);
    tp_str text = {0};
    tp_status status = TP_OK;
    if (tp_args_given(args, "text"))
        tp_str_append_text(&text, tp_args_text(args, "text"));
    else
        status = tp_read_text("-", true, &text);
    if (text.data == NULL) tp_str_append_text(&text, "");
    stage s = {.n = 0};
    for (size_t i = 0; i < n && status == TP_OK; i++) status = load_run(&s, runs[i]);
    if (status == TP_OK) status = hand_over(args, &s, runs, &text);
    free_stage(&s);
    tp_str_free(&text);
    return status;
}

const tp_command tp_cmd_handoff = {
    .name = "handoff",
    .summary = "send one text through several trained bridges: a chain of models, or to many at once",
    .text =
        "A chain: each run's receiver must be the next run's sender. The first sender reads the text; each receiver "
        "reads its soft tokens, and its states go over the next bridge, without a text being written between. "
        "Prints the last receiver's answer.\n\n"
        "With --broadcast all runs share one sender, which reads the text once; prints each receiver's answer. "
        "docs/deployment.md says more.",
    .examples = "telepathy handoff runs/wren-finch runs/finch-wren --text \"Who wrote Emma?\"\n"
                "telepathy handoff --broadcast runs/a runs/b --text \"Who wrote Emma?\" --packet int8\n",
    .options =
        (const tp_option[]){
            {.name = "RUN",
             .type = TP_OPT_PATH,
             .positional = true,
             .many = true,
             .required = true,
             .help = "folders of trained bridges, in the order of the chain"},
            {.name = "text", .type = TP_OPT_TEXT, .value = "TEXT", .help = "the text (default: stdin)"},
            {.name = "broadcast", .type = TP_OPT_FLAG, .help = "one sender, many receivers, instead of a chain"},
            TP_OPTION_PACKET,
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
