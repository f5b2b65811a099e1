/* See card.h. The lines above the text are what model hubs read (base models, library, tags). */
#include "bridge/card.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "bridge/codes.h"

#include <stdio.h>

enum { LABELS_SHOWN = 12 };

/* Names of models and labels come from outside: no line break of theirs may end a line of ours. */
static void add_plain(tp_str *card, const char *text) {
    for (; *text; text++) tp_str_append_char(card, (unsigned char)*text < ' ' ? ' ' : *text);
}

/* The same between double quotes, as YAML and JSON write strings. */
static void add_quoted(tp_str *card, const char *text) {
    tp_str_append_char(card, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') tp_str_append_char(card, '\\');
        tp_str_append_char(card, (unsigned char)*text < ' ' ? ' ' : *text);
    }
    tp_str_append_char(card, '"');
}

static void add_model(tp_str *card, const char *role, const tp_bridge_model *m) {
    tp_str_appendf(card, "| %s | `", role);
    add_plain(card, *m->name ? m->name : "(made in memory)");
    tp_str_appendf(card, "` | %d | %lld | `%s` |\n", m->n_layers, (long long)m->d_model, m->fingerprint);
}

static void add_labels(tp_str *card, const tp_trained_bridge *t) {
    if (t->n_labels == 0) return;
    tp_str_appendf(card, "The receiver answers one of %d labels: ", t->n_labels);
    for (int i = 0; i < t->n_labels && i < LABELS_SHOWN; i++) {
        if (i > 0) tp_str_appendf(card, ", ");
        add_quoted(card, t->labels[i]);
    }
    tp_str_appendf(card, "%s.\n\n", t->n_labels > LABELS_SHOWN ? ", ..." : "");
}

tp_status tp_bridge_save_card(const char *folder, const tp_trained_bridge *t) {
    tp_str card = {0};
    tp_str_appendf(&card, "---\nlibrary_name: telepathy\ntags: [telepathy, latent-communication]\n");
    if (*t->sender.name && *t->receiver.name) { /* models made in memory have no name */
        tp_str_appendf(&card, "base_model:\n  - ");
        add_quoted(&card, t->sender.name);
        tp_str_appendf(&card, "\n  - ");
        add_quoted(&card, t->receiver.name);
        tp_str_appendf(&card, "\n");
    }
    tp_str_appendf(&card,
                   "---\n\n# A bridge between two frozen language models\n\n"
                   "It turns the hidden states of one model (the sender) into soft tokens that another model\n"
                   "(the receiver) reads in the place of text. Neither model was changed; this folder holds the\n"
                   "bridge alone, and it works with these two models only:\n\n"
                   "| role | model | layers | width | fingerprint |\n| --- | --- | --- | --- | --- |\n");
    add_model(&card, "sender", &t->sender);
    add_model(&card, "receiver", &t->receiver);
    tp_str_appendf(&card, "\nTrained for the task `");
    add_plain(&card, t->task);
    char *layers = tp_recipe_layers_text(t->recipe, t->layer);
    tp_str_appendf(&card, "` with seed %llu: a %s of %lld parameters reads the sender's %s and writes %d soft\n",
                   (unsigned long long)t->recipe->seed, t->recipe->bridge.kind,
                   (long long)tp_bridge_n_parameters(t->bridge), layers, t->recipe->bridge.soft_tokens);
    tp_free(layers);
    tp_str_appendf(&card, "tokens; the receiver reads `");
    add_plain(&card, t->recipe->layout);
    tp_str_appendf(&card, "`. `adapter_config.json` holds the whole recipe.\n\n");
    if (tp_code_parts(&t->recipe->bridge) > 0)
        tp_str_appendf(&card, "Its soft tokens are codes: a packet can be told from all others by %lld bits.\n\n",
                       (long long)tp_code_packet_bits(&t->recipe->bridge));
    add_labels(&card, t);
    tp_str_appendf(&card, "    telepathy relay THIS_FOLDER \"some text\"     # ask it\n"
                          "    telepathy eval THIS_FOLDER                  # measure it against its opponents\n"
                          "    telepathy info THIS_FOLDER                  # everything else\n");
    char *path = tp_path_join(folder, "README.md");
    tp_status status = tp_write_file(path, card.data, card.len);
    tp_free(path);
    tp_str_free(&card);
    return status;
}
