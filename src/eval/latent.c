/* The bridge as a method: the sender's states, the bridge, the receiver. See latent.h. */
#include "eval/latent.h"

#include "base/clock.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/str.h"
#include "eval/texts.h"
#include "wire/packet.h"

#include <math.h>
#include <stdio.h>

tp_latent tp_latent_new(const tp_eval *eval) {
    tp_latent latent = {.tape = tp_tape_new(eval->relay->recipe->math), .sent = TP_F16};
    latent.tape->frozen = true;
    return latent;
}

void tp_latent_free(tp_latent *latent) {
    tp_tape_free(latent->tape);
    tp_ids_free(&latent->ids);
}

static double packet_bytes(int64_t n_rows, int64_t width, tp_dtype dtype) {
    tp_packet_info info = {.n_tokens = n_rows, .width = width, .dtype = dtype};
    tp_packet_size size;
    return tp_packet_measure(&info, &size) == TP_OK ? (double)size.total : NAN;
}

double tp_latent_packet_bytes(int64_t n_rows, int64_t width) {
    return packet_bytes(n_rows, width, TP_F16);
}

static double bytes_as(const tp_relay *relay, tp_dtype sent) {
    return packet_bytes(relay->recipe->bridge.soft_tokens, tp_relay_packet_width(relay->recipe, relay->receiver), sent);
}

double tp_latent_bytes(const tp_relay *relay) {
    return bytes_as(relay, TP_F16);
}

double tp_latent_sent_bytes(const tp_eval *eval, tp_dtype sent) {
    bool reads = tp_layout_has_text(eval->relay->layout);
    return bytes_as(eval->relay, sent) + (reads ? tp_texts_mean_bytes(&eval->task->test) : 0);
}

void tp_latent_cross(float *numbers, int64_t n) {
    for (int64_t i = 0; i < n; i++) numbers[i] = tp_f16_to_f32(tp_f32_to_f16(numbers[i]));
}

/* The states of one text, from the text itself and with all threads: what a single relay costs. */
static tp_status states_of_one(tp_eval *eval, tp_latent *latent, tp_tape *tape, int64_t item, tp_var **hidden,
                               const int64_t **offsets) {
    const tp_tap *tap = &eval->relay->tap;
    const tp_example *e = &eval->task->test.examples[item];
    latent->ids.len = 0;
    TP_TRY(tp_tap_tokens(tap, e->text, e->len, &latent->ids, NULL));
    int64_t n = (int64_t)latent->ids.len, *at = tp_arena_alloc(tape->arena, 2 * sizeof *at);
    at[0] = 0, at[1] = n;
    *hidden = tp_var_new(tape, n, tp_tap_width(tap));
    *offsets = at;
    tp_tap_run(tap, latent->tape, latent->ids.data, n, (*hidden)->data);
    return TP_OK;
}

tp_status tp_latent_states(tp_eval *eval, tp_latent *latent, tp_tape *tape, const int64_t *items, int64_t n, bool fresh,
                           tp_var **hidden, const int64_t **offsets) {
    if (fresh && n == 1) return states_of_one(eval, latent, tape, items[0], hidden, offsets);
    *hidden = tp_state_cache_fetch(fresh ? eval->uncached : eval->test_states, tape, items, n, offsets);
    return TP_OK;
}

tp_status tp_latent_fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                         bool fresh, tp_filling *out) {
    double began = tp_now();
    const int64_t *offsets;
    tp_var *hidden;
    TP_TRY(tp_latent_states(eval, asking->context, tape, items, n, fresh, &hidden, &offsets));
    double tapped = tp_now();
    out->ms[TP_PHASE_SENDER] = (tapped - began) * 1e3;
    out->soft = tp_relay_soft(eval->relay, tape, hidden, offsets, n);
    tp_packet_cross(((const tp_latent *)asking->context)->sent, out->soft->data, out->soft->rows, out->soft->cols);
    out->ms[TP_PHASE_BRIDGE] = (tp_now() - tapped) * 1e3;
    return TP_OK;
}

tp_asking tp_latent_asking(const tp_eval *eval, tp_latent *latent) {
    return (tp_asking){.lm = eval->relay->receiver,
                       .layout = eval->relay->layout,
                       .soft_tokens = eval->relay->recipe->bridge.soft_tokens,
                       .phase = TP_PHASE_RECEIVER,
                       .fill = tp_latent_fill,
                       .context = latent};
}

double *tp_latent_new_scores(tp_eval *eval) {
    tp_kept *kept = eval->kept;
    tp_free(kept->soft_scores);
    kept->soft_scores = tp_try_alloc(eval->task->test.n * (size_t)eval->task->n_labels, sizeof *kept->soft_scores);
    snprintf(kept->soft_of, sizeof kept->soft_of, "%s", eval->relay->trained->fingerprint);
    return kept->soft_scores;
}

/* Asks with packets of that type. */
static tp_status run_as(tp_eval *eval, tp_dtype sent, double *scores, tp_method_result *result) {
    tp_latent latent = tp_latent_new(eval);
    latent.sent = sent;
    tp_asking asking = tp_latent_asking(eval, &latent);
    asking.scores = scores;
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = tp_latent_sent_bytes(eval, sent);
    if (tp_layout_has_text(eval->relay->layout))
        result->note =
            tp_format("the receiver reads the text as well: %.0f bytes of text cross beside %.0f of the packet",
                      tp_texts_mean_bytes(&eval->task->test), bytes_as(eval->relay, sent));
    /* the receiver's texts are cut only where the layout has some; the sender's count everywhere */
    int64_t cut = tp_state_cache_describe(eval->test_states).n_truncated;
    if (cut > result->n_truncated) result->n_truncated = cut;
    tp_latent_free(&latent);
    return status;
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    if (eval->kept->wants_scores && tp_latent_new_scores(eval) == NULL) return tp_last_status();
    return run_as(eval, TP_F16, eval->kept->wants_scores ? eval->kept->soft_scores : NULL, result);
}

enum { NEEDS = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE | TP_NEEDS_TRAINING };

const tp_method tp_method_bridge = {.name = "bridge",
                                    .free_answers = true,
                                    .title = "bridge",
                                    .group = TP_GROUP_BRIDGE,
                                    .needs = NEEDS,
                                    .seeded = true,
                                    .run = run};

/* ---- the same with packets of other types: what a smaller packet costs in accuracy ---- */

static tp_status run_f32(tp_eval *eval, tp_method_result *result) {
    return run_as(eval, TP_F32, NULL, result);
}

static tp_status run_bf16(tp_eval *eval, tp_method_result *result) {
    return run_as(eval, TP_BF16, NULL, result);
}

static tp_status run_int8(tp_eval *eval, tp_method_result *result) {
    return run_as(eval, TP_I8, NULL, result);
}

static tp_status run_int4(tp_eval *eval, tp_method_result *result) {
    return run_as(eval, TP_I4, NULL, result);
}

#define SENT_AS(type)                                                                                                  \
    {                                                                                                                  \
        .name = "bridge_" #type, .free_answers = true, .on_request = true, .title = "bridge, " #type " packet",        \
        .group = TP_GROUP_BRIDGE, .needs = NEEDS, .seeded = true, .run = run_##type                                    \
    }

const tp_method tp_method_bridge_f32 = SENT_AS(f32);
const tp_method tp_method_bridge_bf16 = SENT_AS(bf16);
const tp_method tp_method_bridge_int8 = SENT_AS(int8);
const tp_method tp_method_bridge_int4 = SENT_AS(int4);
