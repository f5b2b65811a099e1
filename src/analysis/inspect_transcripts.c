/* The same texts handed over twice, as a line that the sender writes and as soft tokens: those on which the receiver
 * then answers differently, with what the sender wrote. Numbers say which relay is right more often; these say how each
 * of them goes wrong. */
#include "analysis/documents.h"
#include "analysis/inspect.h"
#include "analysis/packets.h"
#include "base/mem.h"
#include "eval/texts.h"

#include <string.h>

enum { TRIES = 8 }; /* texts asked about for each transcript wanted, where no evaluation says which differ */

/* What both relays made of some texts. */
typedef struct exchange {
    char *lines[TP_ASK_BATCH], *written[TP_ASK_BATCH]; /* by the sender; by the receiver, from soft tokens */
    int32_t text[TP_ASK_BATCH], latent[TP_ASK_BATCH];  /* the receiver's answers, by score */
} exchange;

static void free_exchange(exchange *x) {
    for (int i = 0; i < TP_ASK_BATCH; i++) {
        tp_free(x->lines[i]);
        tp_free(x->written[i]);
    }
}

static tp_status ask_text(const tp_eval *eval, tp_text_relay *relay, tp_tape *tape, const tp_example *texts, int64_t n,
                          exchange *out) {
    const tp_lm *receiver = eval->relay->receiver;
    tp_asking asking = {.lm = receiver, .layout = tp_text_relay_layout(relay)};
    tp_layout_item items[TP_ASK_BATCH] = {{0}};
    tp_layout_batch batch;
    TP_TRY(tp_text_relay_write(relay, texts, n, out->lines));
    for (int64_t i = 0; i < n; i++) items[i] = (tp_layout_item){.text = out->lines[i], .len = strlen(out->lines[i])};
    TP_TRY(tp_layout_build(asking.layout, tape->arena, items, n, 0, &batch));
    const float *rows = tp_layout_input(tape, receiver, &batch, NULL)->data;
    tp_prompts prompts = {.rows = rows, .offsets = batch.offsets, .n = n};
    return tp_ask_prompts(eval->task, &asking, tape->math, &prompts, TP_READ_SCORE, out->text, NULL);
}

/* soft: the packets of these texts, end to end. */
static tp_status ask_latent(const tp_eval *eval, tp_tape *tape, const tp_example *texts, float *soft, int64_t n,
                            exchange *out) {
    const tp_relay *relay = eval->relay;
    tp_asking asking = {.lm = relay->receiver, .layout = relay->layout};
    tp_var *rows = tp_var_wrap(tape, soft, n * relay->bridge->recipe.soft_tokens, relay->bridge->d_target);
    tp_prompts prompts;
    TP_TRY(tp_relay_prompts(relay, tape, rows, texts, n, &prompts));
    TP_TRY(tp_ask_prompts(eval->task, &asking, tape->math, &prompts, TP_READ_SCORE, out->latent, NULL));
    return tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), out->written);
}

static json_t *describe(const tp_relay *relay, const tp_example *e, const exchange *x, int64_t i) {
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "row", e->id, "text", tp_json_of_bytes(e->text, e->len),
                     "label", tp_json_of_text(relay->label_names[e->label]), "relay_text", tp_json_of_text(x->lines[i]),
                     "text_answer", tp_json_of_text(relay->label_names[x->text[i]]), "latent_answer",
                     tp_json_of_text(relay->label_names[x->latent[i]]), "latent_written",
                     tp_json_of_text(x->written[i]));
}

/* The texts of the set on which the relays differed in an evaluation of this very split. Returns how many; -1 if there
 * is no such evaluation. */
static int64_t known_to_differ(const tp_eval *eval, const tp_dataset *set, const tp_results *results, int64_t *chosen) {
    const tp_dataset *test = &eval->task->test;
    const tp_method_result *text = results ? tp_results_get(results, &tp_method_text_relay) : NULL;
    const tp_method_result *latent = results ? tp_results_get(results, &tp_method_bridge) : NULL;
    if (text == NULL || latent == NULL) return -1;
    const int32_t *a = text->readings[TP_READ_SCORE].predictions.labels;
    const int32_t *b = latent->readings[TP_READ_SCORE].predictions.labels;
    bool same_rows = results->truth.n == test->n && strcmp(results->truth.fingerprint, test->fingerprint) == 0;
    if (a == NULL || b == NULL || !same_rows) return -1;
    int64_t n = 0;
    for (size_t i = 0, row = 0; i < set->n; i++) {
        while (row < test->n && test->examples[row].id != set->examples[i].id) row++; /* both are in file order */
        if (row < test->n && a[row] != b[row]) chosen[n++] = (int64_t)i;
    }
    return n;
}

/* Takes `wanted` of n, evenly spread. */
static int64_t thin_out(int64_t *chosen, int64_t n, int64_t wanted) {
    if (n <= wanted) return n;
    for (int64_t k = 0; k < wanted; k++) chosen[k] = chosen[k * n / wanted];
    return wanted;
}

/* The texts set[chosen[0 .. n - 1]], n at most TP_ASK_BATCH. */
static tp_status ask(const tp_eval *eval, tp_text_relay *relay, tp_tape *tape, const tp_dataset *set,
                     const tp_packets *packets, const int64_t *chosen, int64_t n, tp_example *texts, exchange *out) {
    size_t width = tp_packet_width(packets);
    tp_tape_reset(tape);
    float *soft = tp_arena_alloc(tape->arena, (size_t)n * width * sizeof *soft);
    for (int64_t i = 0; i < n; i++) {
        texts[i] = set->examples[chosen[i]];
        memcpy(soft + (size_t)i * width, packets->soft + (size_t)chosen[i] * width, width * sizeof *soft);
    }
    TP_TRY(ask_text(eval, relay, tape, texts, n, out));
    return ask_latent(eval, tape, texts, soft, n, out);
}

json_t *tp_inspect_transcripts(tp_eval *eval, const tp_dataset *set, const tp_packets *packets, int64_t most,
                               const tp_results *results, int64_t *n_asked, int64_t *n_differ) {
    json_t *list = json_array();
    int64_t *chosen = tp_alloc(set->n * sizeof *chosen), asked = 0, differ = 0;
    int64_t known = most > 0 ? known_to_differ(eval, set, results, chosen) : 0, n = (int64_t)set->n;
    for (int64_t i = 0; known < 0 && i < n; i++) chosen[i] = i;
    n = known < 0 ? thin_out(chosen, n, TRIES * most) : thin_out(chosen, known, most);
    tp_text_relay *relay = n > 0 ? tp_text_relay_new(eval, TP_WRITE_LINE) : NULL;
    tp_status status = n > 0 && relay == NULL ? tp_last_status() : TP_OK;
    tp_tape *tape = tp_tape_new(eval->relay->recipe->math);
    tape->frozen = true;
    tp_progress_begin(eval->progress, "transcripts", (double)n, "texts", NULL);
    while (status == TP_OK && asked < n && (int64_t)json_array_size(list) < most) {
        exchange x = {0};
        tp_example texts[TP_ASK_BATCH];
        int64_t left = n - asked, some = left < TP_ASK_BATCH ? left : TP_ASK_BATCH;
        if (some > most) some = most; /* a large model writes slowly */
        status = ask(eval, relay, tape, set, packets, chosen + asked, some, texts, &x);
        for (int64_t i = 0; status == TP_OK && i < some; i++) {
            if (x.text[i] == x.latent[i]) continue;
            differ++;
            if ((int64_t)json_array_size(list) < most)
                json_array_append_new(list, describe(eval->relay, &texts[i], &x, i));
        }
        free_exchange(&x);
        asked += some;
        tp_progress_update(eval->progress, (double)asked, 0, "%s", "");
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    tp_progress_end(eval->progress);
    tp_tape_free(tape);
    tp_text_relay_free(relay);
    tp_free(chosen);
    *n_asked = known < 0 || most <= 0 ? asked : (int64_t)set->n;
    *n_differ = known < 0 || most <= 0 ? differ : known;
    if (status == TP_OK) return list;
    json_decref(list);
    return NULL;
}
