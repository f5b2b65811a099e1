/* The text relay, today's way for two models to work together: the sender writes, the receiver reads what it wrote. How
 * much it writes makes four opponents: a word, a line, a paragraph, its thoughts. And what all hand-overs of text
 * share. See texts.h. */
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

tp_layout *tp_texts_layout_of(const tp_eval *eval, const tp_lm *lm, char *const patterns[2], int64_t n_tokens,
                              char **note) {
    for (int k = 0; k < 2; k++) {
        tp_layout *layout = tp_ask_layout_leaving(eval, patterns[k], lm, n_tokens);
        if (layout == NULL || k == 1) return layout;
        tp_arena *arena = tp_arena_new(); /* does the list leave room for text? */
        tp_layout_batch batch;
        tp_layout_item item = {.text = "a short text of a few words", .len = 27};
        bool fits = tp_layout_build(layout, arena, &item, 1, 0, &batch) == TP_OK && batch.n_truncated == 0;
        tp_arena_free(arena);
        if (fits) return layout;
        tp_layout_free(layout);
        if (*note == NULL)
            *note = tp_format("the list of %d labels does not fit into a context of %d tokens: asked without it",
                              eval->task->n_labels, lm->config.max_position_embeddings);
    }
    return NULL;
}

tp_layout *tp_texts_layout(const tp_eval *eval, const tp_lm *lm, char **note) {
    char *patterns[2] = {tp_format("{bos}%s", eval->task->prompt_labels), tp_format("{bos}%s", eval->task->prompt)};
    int64_t left = lm->config.max_position_embeddings / 8 + eval->relay->recipe->bridge.soft_tokens;
    tp_layout *layout = tp_texts_layout_of(eval, lm, patterns, left, note);
    tp_free(patterns[0]);
    tp_free(patterns[1]);
    return layout;
}

/* ---- writing ---- */

typedef struct style {
    int most_tokens;
    bool with_labels; /* the list of labels stands in the sender's prompt */
    bool thinks;      /* asked for its thoughts instead of for an answer */
    const char *end;  /* what ends the part that is handed over; "": nothing does */
} style;

static const style styles[] = {
    [TP_WRITE_WORD] = {.most_tokens = 8, .with_labels = true, .end = " \t\r\n"},
    [TP_WRITE_LINE] = {.most_tokens = 16, .end = "\r\n"},
    [TP_WRITE_LONG] = {.most_tokens = 50, .end = ""},
    [TP_WRITE_THOUGHTS] = {.most_tokens = 100, .with_labels = true, .thinks = true, .end = ""},
};

struct tp_text_relay {
    const tp_eval *eval;
    const style *style;
    tp_layout *write, *read; /* of the sender, of the receiver */
    char *note;
    double n_bytes, n_texts; /* written so far, and about how many texts, in answering (not in measuring) */
};

/* The sender's prompt. Thinking is asked for in place of the primer that ends the task's prompt, as by Kojima et al.
 * (NeurIPS 2022). */
static char *pattern_of(const tp_task *task, const style *s, bool with_labels) {
    const char *prompt = with_labels ? task->prompt_labels : task->prompt, *primer = task->primer ? task->primer : "";
    size_t n = strlen(prompt), end = strlen(primer);
    if (!s->thinks) return tp_format("{bos}%s", prompt);
    if (n >= end && strcmp(prompt + n - end, primer) == 0) n -= end;
    while (n > 0 && strchr(" \n", prompt[n - 1])) n--;
    return tp_format("{bos}%.*s\nLet's think step by step:", (int)n, prompt);
}

static tp_layout *writing_layout(tp_text_relay *r) {
    const tp_lm *lm = r->eval->relay->sender;
    char *patterns[2] = {pattern_of(r->eval->task, r->style, true), pattern_of(r->eval->task, r->style, false)};
    int64_t context = lm->config.max_position_embeddings, left = context / 8;
    if (left < r->style->most_tokens) left = r->style->most_tokens;
    tp_layout *layout = r->style->with_labels ? tp_texts_layout_of(r->eval, lm, patterns, left, &r->note)
                                              : tp_ask_layout_leaving(r->eval, patterns[1], lm, left);
    tp_free(patterns[0]);
    tp_free(patterns[1]);
    return layout;
}

tp_text_relay *tp_text_relay_new(const tp_eval *eval, tp_writing writing) {
    tp_text_relay *r = tp_alloc(sizeof *r);
    *r = (tp_text_relay){.eval = eval, .style = &styles[writing]};
    r->write = writing_layout(r);
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

/* What is handed over of it: from the first character that is not blank to what ends it, without blanks at its end;
 * malloc'ed. */
static char *handed_over(const char *text, const char *end) {
    text += strspn(text, " \t\r\n");
    size_t n = strcspn(text, end);
    while (n > 0 && strchr(" \t\r\n", text[n - 1])) n--;
    return tp_strndup(text, n);
}

tp_status tp_text_relay_write(tp_text_relay *relay, const tp_example *texts, int64_t n, char **written) {
    const tp_lm *sender = relay->eval->relay->sender;
    tp_tape *tape = tp_tape_new(relay->eval->relay->recipe->math);
    tape->frozen = true;
    tp_layout_item *items = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; i < n; i++) items[i] = (tp_layout_item){.text = texts[i].text, .len = texts[i].len};
    tp_ids *ids = tp_alloc((size_t)n * sizeof *ids);
    tp_layout_batch batch;
    tp_status status = tp_layout_build(relay->write, tape->arena, items, n, 0, &batch);
    if (status == TP_OK) {
        tp_prompts prompts = {
            .rows = tp_layout_input(tape, sender, &batch, NULL)->data, .offsets = batch.offsets, .n = n};
        status = tp_generate_greedy(sender, tape->math, &prompts, relay->style->most_tokens, ids);
    }
    for (int64_t i = 0; i < n; i++) {
        written[i] = NULL;
        if (status == TP_OK) {
            char *text = tp_tokenizer_decode(sender->tokenizer, ids[i].data, ids[i].len, TP_TOKENS_SKIP_SPECIAL, NULL);
            written[i] = handed_over(text, relay->style->end);
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
    char **written = tp_arena_alloc(tape->arena, (size_t)n * sizeof *written);
    for (int64_t i = 0; i < n; i++) texts[i] = eval->task->test.examples[items[i]];
    TP_TRY(tp_text_relay_write(relay, texts, n, written));
    for (int64_t i = 0; i < n; i++) {
        texts[i].text = tp_arena_strdup(tape->arena, written[i]);
        texts[i].len = strlen(written[i]);
        if (!fresh) relay->n_bytes += (double)texts[i].len;
        tp_free(written[i]);
    }
    if (!fresh) relay->n_texts += (double)n;
    out->texts = texts;
    out->ms[TP_PHASE_SENDER] = (tp_now() - began) * 1e3;
    return TP_OK;
}

static tp_status relay_text(tp_eval *eval, tp_writing writing, tp_method_result *result) {
    tp_text_relay *relay = tp_text_relay_new(eval, writing);
    if (relay == NULL) return tp_last_status();
    tp_asking asking = {
        .lm = eval->relay->receiver, .layout = relay->read, .phase = TP_PHASE_RECEIVER, .fill = fill, .context = relay};
    result->note = tp_strdup(relay->note); /* asking may add to it */
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = relay->n_texts > 0 ? relay->n_bytes / relay->n_texts : NAN;
    tp_text_relay_free(relay);
    return status;
}

static tp_status word(tp_eval *eval, tp_method_result *result) {
    return relay_text(eval, TP_WRITE_WORD, result);
}

static tp_status line(tp_eval *eval, tp_method_result *result) {
    return relay_text(eval, TP_WRITE_LINE, result);
}

static tp_status paragraph(tp_eval *eval, tp_method_result *result) {
    return relay_text(eval, TP_WRITE_LONG, result);
}

static tp_status thoughts(tp_eval *eval, tp_method_result *result) {
    return relay_text(eval, TP_WRITE_THOUGHTS, result);
}

enum { NEEDS = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER };

const tp_method tp_method_relay_word = {.name = "relay_word",
                                        .free_answers = true,
                                        .title = "text relay, one word",
                                        .group = TP_GROUP_WRITTEN,
                                        .needs = NEEDS,
                                        .run = word};

const tp_method tp_method_text_relay = {.name = "text_relay",
                                        .free_answers = true,
                                        .title = "text relay, one line",
                                        .group = TP_GROUP_WRITTEN,
                                        .needs = NEEDS,
                                        .run = line};

const tp_method tp_method_relay_long = {.name = "relay_long",
                                        .free_answers = true,
                                        .title = "text relay, 50 tokens",
                                        .group = TP_GROUP_WRITTEN,
                                        .needs = NEEDS,
                                        .run = paragraph};

const tp_method tp_method_relay_thoughts = {.name = "relay_thoughts",
                                            .title = "text relay, thinks first",
                                            .group = TP_GROUP_WRITTEN,
                                            .needs = NEEDS,
                                            .run = thoughts};
