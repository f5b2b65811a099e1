/* Token pruning after LLMLingua (Jiang et al., EMNLP 2023): the sender reads the text and keeps the M tokens that
 * surprise it most, in their order; the receiver reads what they spell. As many tokens as the bridge has soft tokens,
 * chosen by a model that knows nothing of the task: text compressed without training. (LLMLingua itself also gives
 * parts of a long prompt budgets of their own and prunes in rounds; for texts of a few lines there is one part and one
 * round.) */
#include "base/clock.h"
#include "base/mem.h"
#include "eval/surprisal.h"
#include "eval/texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pruning {
    double bytes, texts; /* handed over in answering */
    int64_t n_cut;       /* of them, those the sender could not read whole */
} pruning;

typedef struct place {
    float surprisal;
    int64_t at;
} place;

static int most_surprising_first(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->surprisal != y->surprisal) return x->surprisal < y->surprisal ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* What the `most` most surprising of n ids spell, in the arena. */
static const char *spell(const tp_tokenizer *tokenizer, tp_arena *arena, const int32_t *ids, const float *surprisals,
                         int64_t n, int64_t most, size_t *len) {
    place *places = tp_arena_alloc(arena, (size_t)(n + 1) * sizeof *places);
    int32_t *kept = tp_arena_alloc(arena, (size_t)(n + 1) * sizeof *kept);
    for (int64_t i = 0; i < n; i++) places[i] = (place){surprisals[i], i};
    qsort(places, (size_t)n, sizeof *places, most_surprising_first);
    if (n > most) n = most;
    qsort(places, (size_t)n, sizeof *places, by_place);
    for (int64_t i = 0; i < n; i++) kept[i] = ids[places[i].at];
    char *text = tp_tokenizer_decode(tokenizer, kept, (size_t)n, TP_TOKENS_SKIP_SPECIAL, len);
    char *copy = tp_arena_alloc(arena, *len + 1);
    memcpy(copy, text, *len + 1);
    tp_free(text);
    return copy;
}

/* The texts' ids in the sender's tokens, each behind a begin of sequence where the model has one, cut to its context.
 */
static tp_status encode(const tp_lm *lm, const tp_example *texts, int64_t n, tp_ids *ids, int64_t *offsets,
                        int64_t *n_cut) {
    int32_t bos = tp_tokenizer_bos(lm->tokenizer);
    for (int64_t i = 0; i < n; i++) {
        offsets[i] = (int64_t)ids->len;
        if (bos >= 0) tp_ids_append(ids, bos);
        TP_TRY(tp_tokenizer_encode(lm->tokenizer, texts[i].text, texts[i].len, TP_TOKENS_PLAIN, ids));
        size_t end = (size_t)offsets[i] + (size_t)lm->config.max_position_embeddings;
        if (ids->len <= end) continue;
        ids->len = end;
        ++*n_cut;
    }
    offsets[n] = (int64_t)ids->len;
    return TP_OK;
}

static tp_status prune(tp_eval *eval, tp_tape *tape, tp_example *texts, int64_t n, int64_t *n_cut) {
    const tp_lm *lm = eval->relay->sender;
    int64_t most = eval->relay->recipe->bridge.soft_tokens, begin = tp_tokenizer_bos(lm->tokenizer) >= 0;
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    tp_ids ids = {0};
    tp_status status = encode(lm, texts, n, &ids, offsets, n_cut);
    if (status == TP_OK && ids.len > 0) {
        float *surprisals = tp_arena_alloc(tape->arena, ids.len * sizeof *surprisals);
        tp_surprisal(tape, lm, ids.data, offsets, n, surprisals);
        for (int64_t i = 0; i < n; i++) {
            int64_t first = offsets[i] + begin;
            texts[i].text = spell(lm->tokenizer, tape->arena, ids.data + first, surprisals + first,
                                  offsets[i + 1] - first, most, &texts[i].len);
        }
    }
    tp_ids_free(&ids);
    return status;
}

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    pruning *p = asking->context;
    double began = tp_now();
    tp_example *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    for (int64_t i = 0; i < n; i++) texts[i] = eval->task->test.examples[items[i]];
    int64_t n_cut = 0;
    TP_TRY(prune(eval, tape, texts, n, &n_cut));
    if (!fresh) p->n_cut += n_cut;
    for (int64_t i = 0; !fresh && i < n; i++) p->bytes += (double)texts[i].len, p->texts++;
    out->texts = texts;
    out->ms[TP_PHASE_SENDER] = (tp_now() - began) * 1e3;
    return TP_OK;
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_layout *layout = tp_texts_layout(eval, eval->relay->receiver, &result->note);
    if (layout == NULL) return tp_last_status();
    pruning p = {0};
    tp_asking asking = {
        .lm = eval->relay->receiver, .layout = layout, .phase = TP_PHASE_RECEIVER, .fill = fill, .context = &p};
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = p.texts > 0 ? p.bytes / p.texts : NAN;
    if (p.n_cut > result->n_truncated) result->n_truncated = p.n_cut;
    tp_layout_free(layout);
    return status;
}

const tp_method tp_method_pruned = {.name = "pruned",
                                    .free_answers = true,
                                    .title = "text pruned to M tokens",
                                    .group = TP_GROUP_WRITTEN,
                                    .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER,
                                    .run = run};
