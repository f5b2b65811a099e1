/* The text relay, today's way for two models to work together: the sender writes, the receiver reads what it wrote. And
 * what all hand-overs of text share. See texts.h. */
#include "base/clock.h"
#include "base/mem.h"
#include "eval/texts.h"

#include <math.h>
#include <string.h>

double tp_texts_mean_bytes(const tp_dataset *set) {
    double sum = 0;
    for (size_t i = 0; i < set->n; i++) sum += (double)set->examples[i].len;
    return set->n > 0 ? sum / (double)set->n : NAN;
}

tp_layout *tp_texts_layout(const tp_eval *eval, const tp_lm *lm, char **note) {
    const char *prompts[] = {eval->task->prompt_labels, eval->task->prompt};
    for (int k = 0; k < 2; k++) {
        char *pattern = tp_format("{bos}%s", prompts[k]);
        tp_layout *layout = tp_ask_layout(eval, pattern, lm);
        tp_free(pattern);
        if (layout == NULL || k == 1) return layout;
        tp_arena *arena = tp_arena_new(); /* does the list leave room for text? */
        tp_layout_batch batch;
        tp_layout_item item = {.text = "a short text of a few words", .len = 27};
        bool fits = tp_layout_build(layout, arena, &item, 1, 0, &batch) == TP_OK && batch.n_truncated == 0;
        tp_arena_free(arena);
        if (fits) return layout;
        tp_layout_free(layout);
        *note = tp_format("the list of %d labels does not fit into a context of %d tokens: asked without it",
                          eval->task->n_labels, lm->config.max_position_embeddings);
    }
    return NULL;
}

struct tp_text_relay {
    const tp_eval *eval;
    tp_layout *write, *read; /* of the sender, of the receiver */
    char *note;
    double n_bytes, n_lines; /* written so far, and by how many texts, in answering (not in measuring) */
};

tp_text_relay *tp_text_relay_new(const tp_eval *eval) {
    tp_text_relay *r = tp_alloc(sizeof *r);
    r->eval = eval;
    char *pattern = tp_format("{bos}%s", eval->task->prompt);
    r->write = tp_ask_layout(eval, pattern, eval->relay->sender);
    tp_free(pattern);
    if (r->write) r->read = tp_texts_layout(eval, eval->relay->receiver, &r->note);
    if (r->read) return r;
    tp_text_relay_free(r);
    return NULL;
}

void tp_text_relay_free(tp_text_relay *relay) {
    if (relay == NULL) return;
    tp_layout_free(relay->write);
    tp_layout_free(relay->read);
    tp_free(relay->note);
    tp_free(relay);
}

const tp_layout *tp_text_relay_layout(const tp_text_relay *relay) {
    return relay->read;
}

const char *tp_text_relay_note(const tp_text_relay *relay) {
    return relay->note;
}

/* The first line that is not blank, without blanks at its ends; malloc'ed. */
static char *first_line(const char *text) {
    text += strspn(text, " \t\r\n");
    size_t n = strcspn(text, "\r\n");
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    return tp_strndup(text, n);
}

tp_status tp_text_relay_write(tp_text_relay *relay, const tp_example *texts, int64_t n, char **lines) {
    const tp_lm *sender = relay->eval->relay->sender;
    tp_tape *tape = tp_tape_new(relay->eval->relay->recipe->math);
    tape->frozen = true;
    tp_layout_item *items = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; i < n; i++) items[i] = (tp_layout_item){.text = texts[i].text, .len = texts[i].len};
    tp_ids *ids = tp_alloc((size_t)n * sizeof *ids);
    tp_layout_batch batch;
    tp_status status = tp_layout_build(relay->write, tape->arena, items, n, 0, &batch);
    if (status == TP_OK) {
        tp_prompts prompts = {tp_layout_input(tape, sender, &batch, NULL)->data, batch.offsets, n};
        status = tp_generate_greedy(sender, tape->math, &prompts, TP_HINT_TOKENS, ids);
    }
    for (int64_t i = 0; i < n; i++) {
        lines[i] = NULL;
        if (status == TP_OK) {
            char *text = tp_tokenizer_decode(sender->tokenizer, ids[i].data, ids[i].len, TP_TOKENS_SKIP_SPECIAL, NULL);
            lines[i] = first_line(text);
            tp_free(text);
        }
        tp_ids_free(&ids[i]);
    }
    tp_free(ids);
    tp_tape_free(tape);
    return status;
}

/* ---- as a method ---- */

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    tp_text_relay *relay = asking->context;
    double began = tp_now();
    tp_example *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    char **lines = tp_arena_alloc(tape->arena, (size_t)n * sizeof *lines);
    for (int64_t i = 0; i < n; i++) texts[i] = eval->task->test.examples[items[i]];
    TP_TRY(tp_text_relay_write(relay, texts, n, lines));
    for (int64_t i = 0; i < n; i++) {
        texts[i].text = tp_arena_strdup(tape->arena, lines[i]);
        texts[i].len = strlen(lines[i]);
        if (!fresh) relay->n_bytes += (double)texts[i].len;
        tp_free(lines[i]);
    }
    if (!fresh) relay->n_lines += (double)n;
    out->texts = texts;
    out->ms[TP_PHASE_SENDER] = (tp_now() - began) * 1e3;
    return TP_OK;
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_text_relay *relay = tp_text_relay_new(eval);
    if (relay == NULL) return tp_last_status();
    tp_asking asking = {
        .lm = eval->relay->receiver, .layout = relay->read, .phase = TP_PHASE_RECEIVER, .fill = fill, .context = relay};
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = relay->n_lines > 0 ? relay->n_bytes / relay->n_lines : NAN;
    result->note = tp_strdup(relay->note);
    tp_text_relay_free(relay);
    return status;
}

const tp_method tp_method_text_relay = {.name = "text_relay",
                                        .title = "text relay (sender writes)",
                                        .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER,
                                        .run = run};
