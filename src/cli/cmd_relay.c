/* `telepathy relay`: one text through a trained bridge. */
#include "base/json.h"
#include "base/str.h"
#include "cli/experiment.h"
#include "cli/input.h"
#include "cli/piece.h"
#include "eval/single.h"
#include "lm/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST = 3, MOST_BYTES = 1 << 30 };

/* The labels' numbers, likeliest first. */
static int *by_probability(const tp_single *s) {
    int *order = tp_alloc(((size_t)s->n_labels + 1) * sizeof *order);
    for (int i = 0; i < s->n_labels; i++) {
        int at = i;
        while (at > 0 && s->probabilities[i] > s->probabilities[order[at - 1]]) order[at] = order[at - 1], at--;
        order[at] = i;
    }
    return order;
}

/* The vocabulary's tokens nearest to each soft token: ids and cosines [soft_tokens, NEAREST], to be freed. */
static void find_nearest(const tp_relay *relay, const tp_single *s, int32_t **ids, double **cosines) {
    tp_vocabulary vocabulary = tp_vocabulary_of(relay->receiver);
    *ids = tp_alloc((size_t)s->soft_tokens * NEAREST * sizeof **ids);
    *cosines = tp_alloc((size_t)s->soft_tokens * NEAREST * sizeof **cosines);
    tp_vocabulary_nearest(&vocabulary, s->soft, s->soft_tokens, false, NEAREST, *ids, *cosines);
    tp_vocabulary_free(&vocabulary);
}

static void print_soft(const tp_relay *relay, const tp_single *s) {
    int32_t *ids;
    double *cosines;
    find_nearest(relay, s, &ids, &cosines);
    puts("\nsoft tokens: nearest of the receiver's vocabulary, by cosine");
    for (int64_t m = 0; m < s->soft_tokens; m++) {
        printf("%4lld ", (long long)m + 1);
        for (int64_t i = m * NEAREST; i < (m + 1) * NEAREST && ids[i] >= 0; i++) {
            char *piece = tp_piece_text(relay->receiver->tokenizer, ids[i]);
            printf("  %s %.2f", piece, cosines[i]);
            tp_free(piece);
        }
        putchar('\n');
    }
    tp_free(ids);
    tp_free(cosines);
}

static void print(const tp_relay *relay, const tp_single *s, size_t n, bool verbose) {
    double total = s->ms[TP_PHASE_SENDER] + s->ms[TP_PHASE_BRIDGE] + s->ms[TP_PHASE_RECEIVER];
    int *order = by_probability(s), width = 0;
    char *written = tp_visible_text(s->written, strlen(s->written));
    for (int i = 0; i < s->n_labels; i++)
        if ((int)strlen(relay->label_names[i]) > width) width = (int)strlen(relay->label_names[i]);
    if (s->n_labels > 0) printf("%s\n\n", relay->label_names[s->best]);
    for (int i = 0; i < s->n_labels && (verbose || i < 6); i++)
        printf("  %-*s %5.1f %%\n", width, relay->label_names[order[i]], 100 * s->probabilities[order[i]]);
    if (!verbose && s->n_labels > 6) printf("  and %d others (--verbose shows them)\n", s->n_labels - 6);
    if (s->n_labels == 0)
        printf("%s\n\n", written); /* a free answer */
    else
        printf("\nwritten by the receiver: \"%s\"%s%s\n", written,
               s->written_label < 0 ? ", which names no label" : " = ",
               s->written_label < 0 ? "" : relay->label_names[s->written_label]);
    char *layers = tp_recipe_layers_text(relay->recipe, relay->tap.layer);
    if (relay->sender == NULL)
        printf("receiver %.2f ms\n", s->ms[TP_PHASE_RECEIVER]);
    else
        printf("sender %.2f ms (%lld tokens%s, %s of %d) + bridge %.2f ms + receiver %.2f ms = %.2f ms\n",
               s->ms[TP_PHASE_SENDER], (long long)s->n_tokens, s->truncated ? ", text cut to fit" : "", layers,
               relay->sender->config.n_layers, s->ms[TP_PHASE_BRIDGE], s->ms[TP_PHASE_RECEIVER], total);
    tp_free(layers);
    printf("packet %zu bytes (%lld soft tokens of %d numbers, %s)", s->packet.total, (long long)s->soft_tokens,
           (int)relay->bridge->d_target, tp_dtype_name(s->sent));
    if (relay->sender) printf("; the text has %zu", n);
    putchar('\n');
    if (verbose && !tp_layout_injected(relay->layout)) print_soft(relay, s);
    tp_free(written);
    tp_free(order);
}

static json_t *nearest_to_json(const tp_relay *relay, const tp_single *s) {
    int32_t *ids;
    double *cosines;
    find_nearest(relay, s, &ids, &cosines);
    json_t *tokens = json_array();
    for (int64_t m = 0; m < s->soft_tokens; m++) {
        json_t *nearest = json_array();
        for (int64_t i = m * NEAREST; i < (m + 1) * NEAREST && ids[i] >= 0; i++) {
            char *piece = tp_piece_text(relay->receiver->tokenizer, ids[i]);
            json_array_append_new(nearest,
                                  json_pack("{s:i, s:s, s:f}", "id", ids[i], "piece", piece, "cosine", cosines[i]));
            tp_free(piece);
        }
        json_array_append_new(tokens, nearest);
    }
    tp_free(ids);
    tp_free(cosines);
    return tokens;
}

static void print_json(const tp_relay *relay, const tp_single *s, size_t n, bool verbose) {
    json_t *labels = json_array();
    char **names = tp_alloc(((size_t)s->n_labels + 1) * sizeof *names),
         *written = tp_visible_text(s->written, strlen(s->written));
    for (int i = 0; i < s->n_labels; i++) {
        names[i] = tp_visible_text(relay->label_names[i], strlen(relay->label_names[i]));
        json_array_append_new(labels, json_pack("{s:s, s:f}", "label", names[i], "probability", s->probabilities[i]));
    }
    json_t *value =
        json_pack("{s:s, s:o, s:s, s:o, s:{s:f, s:f, s:f, s:f}, s:I, s:b, s:{s:I, s:I, s:I}, s:I}", "answer",
                  s->n_labels > 0 ? names[s->best] : written, "labels", labels, "written", written, "written_label",
                  s->written_label < 0 ? json_null() : json_string(names[s->written_label]), "ms", "sender",
                  s->ms[TP_PHASE_SENDER], "bridge", s->ms[TP_PHASE_BRIDGE], "receiver", s->ms[TP_PHASE_RECEIVER],
                  "write", s->write_ms, "sender_tokens", (json_int_t)s->n_tokens, "truncated", s->truncated, "packet",
                  "bytes", (json_int_t)s->packet.total, "payload", (json_int_t)s->packet.payload, "header",
                  (json_int_t)s->packet.header, "text_bytes", (json_int_t)n);
    json_object_set_new(value, "packet_type", json_string(tp_dtype_name(s->sent)));
    if (verbose && !tp_layout_injected(relay->layout)) json_object_set_new(value, "nearest", nearest_to_json(relay, s));
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(value);
    for (int i = 0; i < s->n_labels; i++) tp_free(names[i]);
    tp_free(names);
    tp_free(written);
}

/* The receiver's end alone, from the packet in a file. */
static tp_status receive(tp_args *args, const tp_relay *relay, const tp_str *text, tp_single *single) {
    const char *path = tp_args_text(args, "read");
    char *packet;
    size_t n;
    TP_TRY(tp_read_file(path, MOST_BYTES, &packet, &n));
    tp_status status = tp_single_receive(relay, NULL, packet, n, path, text->data, text->len, single);
    tp_free(packet);
    return status;
}

static tp_status relay_text(tp_args *args, const tp_str *text, const tp_lm *sender, const tp_lm *receiver) {
    tp_relay *relay = tp_relay_load(tp_args_text(args, "RUN"), sender, receiver);
    if (relay == NULL) return tp_last_status();
    tp_single single = {0};
    tp_status status = sender ? tp_single_run_as(relay, NULL, tp_args_packet(args), text->data, text->len, &single)
                              : receive(args, relay, text, &single);
    if (status == TP_OK && tp_args_given(args, "write"))
        status = tp_write_file(tp_args_text(args, "write"), single.bytes, single.packet.total);
    if (status == TP_OK) {
        bool verbose = tp_args_flag(args, "verbose");
        if (tp_args_flag(args, "json"))
            print_json(relay, &single, text->len, verbose);
        else
            print(relay, &single, text->len, verbose);
    }
    if (single.probabilities) tp_single_free(&single);
    tp_relay_free(relay);
    return status;
}

/* Both models of the run, or the receiver alone where a packet is read. */
static tp_status load_models(tp_args *args, const tp_recipe *recipe, tp_lm **sender, tp_lm **receiver) {
    if (!tp_args_given(args, "read")) return tp_recipe_load_models(recipe, sender, receiver);
    *sender = NULL;
    *receiver = tp_lm_load(recipe->models.receiver, true);
    return *receiver ? TP_OK : tp_last_status();
}

static tp_status run(tp_args *args) {
    tp_lm *sender, *receiver;
    if (tp_args_given(args, "read") && tp_args_given(args, "write"))
        return tp_fail(TP_ERR_ARGUMENT, "--read takes a packet that was written, there is none to write");
    tp_recipe *recipe =
        tp_run_recipe(tp_args_text(args, "RUN"), tp_args_text(args, "sender"), tp_args_text(args, "receiver"));
    if (recipe == NULL) return tp_last_status();
    bool needs_text = !tp_args_given(args, "read") || strstr(recipe->layout, "{text}") != NULL;
    tp_status status = load_models(args, recipe, &sender, &receiver);
    tp_recipe_free(recipe);
    TP_TRY(status);
    tp_str text = {0};
    tp_str_append_text(&text, "");
    if (tp_args_given(args, "TEXT"))
        tp_str_append_text(&text, tp_args_text(args, "TEXT"));
    else if (needs_text)
        status = tp_read_text("-", true, &text);
    if (status == TP_OK) status = relay_text(args, &text, sender, receiver);
    tp_str_free(&text);
    tp_free_models(sender, receiver);
    return status;
}

const tp_command tp_cmd_relay = {
    .name = "relay",
    .summary = "send one text through a trained bridge",
    .text = "The sender reads the text, its hidden states cross the bridge as a packet of soft tokens, the receiver "
            "answers. Prints the likeliest label with all labels' probabilities, what the receiver writes by itself, "
            "the milliseconds of each phase (taken on a second pass, when weights are in memory), and the bytes that "
            "crossed. Without TEXT the text is read from stdin.\n\n"
            "--write keeps the packet, --read answers to one, without the sender and (unless the receiver reads it as "
            "well) without the text: the two ends of a relay on two machines. docs/wire.md has its bytes.",
    .examples = "telepathy relay runs/trec-42 \"Who wrote Emma?\"\n"
                "echo \"Where is the Louvre?\" | telepathy relay runs/trec-42 --json\n"
                "telepathy relay runs/trec-42 \"Who wrote Emma?\" --packet int4 --write emma.packet\n"
                "telepathy relay runs/trec-42 --read emma.packet\n",
    .options =
        (const tp_option[]){
            {.name = "RUN",
             .type = TP_OPT_PATH,
             .positional = true,
             .required = true,
             .help = "folder of a trained bridge"},
            {.name = "TEXT", .type = TP_OPT_TEXT, .positional = true, .help = "the text (default: stdin)"},
            {.name = "verbose",
             .type = TP_OPT_FLAG,
             .help = "all labels, and the vocabulary's tokens nearest to each soft token"},
            TP_OPTION_PACKET,
            {.name = "write", .type = TP_OPT_PATH, .value = "FILE", .help = "write the packet to this file, too"},
            {.name = "read",
             .type = TP_OPT_PATH,
             .value = "FILE",
             .help = "the receiver's end alone: answer to a packet that was written; no sender is loaded"},
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
