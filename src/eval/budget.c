/* The receiver reads part of the text: as many of its own tokens as the bridge has soft tokens, from the beginning or
 * from the end, or as many bytes as the bridge's packet has. A bridge that does not beat these has compressed nothing
 * that cutting would not. */
#include "base/mem.h"
#include "eval/latent.h"
#include "eval/results.h"
#include "eval/texts.h"

#include <string.h>

typedef struct budget {
    int64_t most;        /* tokens or bytes */
    bool from_end;       /* the last ones */
    bool in_bytes;       /* else in tokens of the receiver */
    int64_t n_whole;     /* texts that were not cut, in answering */
    double bytes, texts; /* handed over in answering */
} budget;

static bool continues_a_character(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* The first bytes that make whole characters. */
static tp_status cut_bytes(const budget *b, tp_example *text) {
    if ((int64_t)text->len <= b->most) return TP_OK;
    text->len = (size_t)b->most;
    while (text->len > 0 && continues_a_character(text->text[text->len])) text->len--;
    return TP_OK;
}

static tp_status cut_tokens(const budget *b, const tp_tokenizer *tokenizer, tp_arena *arena, tp_example *text) {
    tp_ids ids = {0};
    tp_status status = tp_tokenizer_encode(tokenizer, text->text, text->len, TP_TOKENS_PLAIN, &ids);
    if (status == TP_OK && (int64_t)ids.len > b->most) {
        const int32_t *first = ids.data + (b->from_end ? ids.len - (size_t)b->most : 0);
        char *kept = tp_tokenizer_decode(tokenizer, first, (size_t)b->most, TP_TOKENS_SKIP_SPECIAL, &text->len);
        char *copy = tp_arena_alloc(arena, text->len + 1);
        memcpy(copy, kept, text->len + 1);
        text->text = copy;
        tp_free(kept);
    }
    tp_ids_free(&ids);
    return status;
}

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    budget *b = asking->context;
    tp_example *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    for (int64_t i = 0; i < n; i++) {
        const tp_example *whole = &eval->task->test.examples[items[i]];
        texts[i] = *whole;
        TP_TRY(b->in_bytes ? cut_bytes(b, &texts[i]) : cut_tokens(b, asking->lm->tokenizer, tape->arena, &texts[i]));
        if (fresh) continue;
        b->n_whole += texts[i].text == whole->text && texts[i].len == whole->len;
        b->bytes += (double)texts[i].len;
        b->texts++;
    }
    out->texts = texts;
    return TP_OK;
}

static tp_status ask(tp_eval *eval, budget *b, tp_method_result *result) {
    tp_layout *layout = tp_texts_layout(eval, eval->relay->receiver, &result->note);
    if (layout == NULL) return tp_last_status();
    tp_asking asking = {
        .lm = eval->relay->receiver, .layout = layout, .phase = TP_PHASE_RECEIVER, .fill = fill, .context = b};
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = b->texts > 0 ? b->bytes / b->texts : 0;
    result->setting = tp_format("%lld %s; %lld of %zu texts are no longer than that and read whole", (long long)b->most,
                                b->in_bytes ? "bytes" : "tokens", (long long)b->n_whole, eval->task->test.n);
    tp_layout_free(layout);
    return status;
}

static tp_status first_tokens(tp_eval *eval, tp_method_result *result) {
    return ask(eval, &(budget){.most = eval->relay->recipe->bridge.soft_tokens}, result);
}

static tp_status last_tokens(tp_eval *eval, tp_method_result *result) {
    return ask(eval, &(budget){.most = eval->relay->recipe->bridge.soft_tokens, .from_end = true}, result);
}

/* The answers to whole texts are known already where the packet has room for the longest. */
static tp_status text_bytes(tp_eval *eval, tp_method_result *result) {
    const tp_dataset *test = &eval->task->test;
    int64_t most = (int64_t)tp_latent_bytes(eval->relay);
    size_t longest = 0;
    for (size_t i = 0; i < test->n; i++) longest = test->examples[i].len > longest ? test->examples[i].len : longest;
    const tp_method_result *whole = eval->found ? tp_results_get(eval->found, &tp_method_receiver) : NULL;
    if (whole == NULL || (int64_t)longest > most) return ask(eval, &(budget){.most = most, .in_bytes = true}, result);
    *result = tp_method_result_copy(whole);
    tp_free(result->setting);
    result->setting =
        tp_format("%lld bytes; no text is longer, so this is the receiver that reads the text", (long long)most);
    return TP_OK;
}

const tp_method tp_method_first_tokens = {.name = "first_tokens",
                                          .free_answers = true,
                                          .title = "receiver, first M tokens",
                                          .group = TP_GROUP_RECEIVER,
                                          .needs = TP_NEEDS_RECEIVER,
                                          .run = first_tokens};

const tp_method tp_method_last_tokens = {.name = "last_tokens",
                                         .free_answers = true,
                                         .title = "receiver, last M tokens",
                                         .group = TP_GROUP_RECEIVER,
                                         .needs = TP_NEEDS_RECEIVER,
                                         .run = last_tokens};

const tp_method tp_method_text_bytes = {.name = "text_bytes",
                                        .free_answers = true,
                                        .title = "receiver, packet's bytes",
                                        .group = TP_GROUP_RECEIVER,
                                        .needs = TP_NEEDS_RECEIVER,
                                        .run = text_bytes};
