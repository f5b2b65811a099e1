/* One relay, watched. See single.h. */
#include "eval/single.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* A task that knows nothing but the labels' names. */
static tp_task bare_task(const tp_relay *relay, tp_label *labels) {
    static const char *const none[] = {NULL};
    for (int i = 0; i < relay->n_labels; i++)
        labels[i] = (tp_label){.name = relay->label_names[i], .key = relay->label_names[i], .synonyms = none};
    return (tp_task){.labels = labels, .n_labels = relay->n_labels};
}

/* Soft tokens as a packet, out->bytes. */
static tp_status pack(const tp_relay *relay, const float *soft, tp_dtype sent, tp_single *out) {
    tp_packet_info info = {.n_tokens = out->soft_tokens, .width = relay->bridge->d_target, .dtype = sent};
    snprintf(info.receiver, sizeof info.receiver, "%s", relay->receiver->fingerprint);
    snprintf(info.bridge, sizeof info.bridge, "%s", relay->trained->fingerprint);
    size_t n;
    tp_free(out->bytes);
    out->bytes = NULL;
    TP_TRY(tp_packet_measure(&info, &out->packet));
    return tp_packet_encode(soft, &info, &out->bytes, &n);
}

/* The packet of n bytes decoded, into out->soft; it must be this bridge's for this receiver. */
static tp_status unpack(const tp_relay *relay, const void *bytes, size_t n, const char *name, tp_single *out) {
    tp_packet_info info;
    tp_free(out->soft);
    out->soft = NULL;
    TP_TRY(tp_packet_decode(bytes, n, name, &info, &out->soft));
    TP_TRY(tp_packet_measure(&info, &out->packet));
    TP_TRY(tp_packet_check(&info, name, relay->receiver->fingerprint, relay->trained->fingerprint));
    if (info.n_tokens != out->soft_tokens || info.width != relay->bridge->d_target)
        return tp_fail(TP_ERR_FORMAT, "%s holds %lld soft tokens of width %lld, %lld of width %lld were expected", name,
                       (long long)info.n_tokens, (long long)info.width, (long long)out->soft_tokens,
                       (long long)relay->bridge->d_target);
    out->sent = info.dtype;
    return TP_OK;
}

static void to_probabilities(double *scores, int n) {
    double most = scores[tp_best_score(scores, n)], sum = 0;
    for (int i = 0; i < n; i++) sum += scores[i] = exp(scores[i] - most);
    for (int i = 0; i < n; i++) scores[i] /= sum;
}

/* The receiver's part of the way, from out->soft. */
static tp_status answer(const tp_relay *relay, tp_tape *tape, const char *text, size_t n, tp_single *out) {
    double at[4];
    at[0] = tp_now();
    tp_var *received = tp_var_wrap(tape, out->soft, out->soft_tokens, relay->bridge->d_target);
    tp_example example = {.text = text, .len = n};
    tp_prompts prompts;
    TP_TRY(tp_relay_prompts(relay, tape, received, &example, 1, &prompts));
    at[1] = tp_now();
    TP_TRY(tp_relay_score(relay, &prompts, out->probabilities));
    at[2] = tp_now();
    tp_free(out->written);
    TP_TRY(tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &out->written));
    at[3] = tp_now();
    out->ms[TP_PHASE_RECEIVER] = (at[2] - at[0]) * 1e3;
    out->write_ms = (at[1] - at[0] + at[3] - at[2]) * 1e3;
    if (relay->n_labels == 0) out->ms[TP_PHASE_RECEIVER] = out->write_ms; /* writing is all it does */
    return TP_OK;
}

/* One pass over the whole way; tapes[0] for the sender, tapes[1] for bridge and receiver. */
static tp_status pass(const tp_relay *relay, tp_tape *const tapes[2], const char *text, size_t n, tp_single *out) {
    tp_ids ids = {0};
    double at[3];
    at[0] = tp_now();
    tp_status status = tp_tap_tokens(&relay->tap, text, n, &ids, &out->truncated);
    if (status != TP_OK) {
        tp_ids_free(&ids);
        return status;
    }
    out->n_tokens = (int64_t)ids.len;
    tp_tape_reset(tapes[1]);
    int64_t *offsets = tp_arena_alloc(tapes[1]->arena, 2 * sizeof *offsets);
    offsets[0] = 0, offsets[1] = out->n_tokens;
    tp_var *hidden = tp_var_new(tapes[1], out->n_tokens, tp_tap_width(&relay->tap));
    tp_tap_run(&relay->tap, tapes[0], ids.data, out->n_tokens, hidden->data);
    tp_ids_free(&ids);
    at[1] = tp_now();
    const tp_var *soft = tp_relay_soft(relay, tapes[1], hidden, offsets, 1);
    TP_TRY(pack(relay, soft->data, out->sent, out));
    TP_TRY(unpack(relay, out->bytes, out->packet.total, "the packet", out));
    at[2] = tp_now();
    out->ms[TP_PHASE_SENDER] = (at[1] - at[0]) * 1e3;
    out->ms[TP_PHASE_BRIDGE] = (at[2] - at[1]) * 1e3;
    return answer(relay, tapes[1], text, n, out);
}

static void begin(const tp_relay *relay, tp_dtype sent, tp_single *out) {
    *out = (tp_single){.n_labels = relay->n_labels, .soft_tokens = relay->recipe->bridge.soft_tokens, .sent = sent};
    out->probabilities = tp_alloc(((size_t)relay->n_labels + 1) * sizeof *out->probabilities);
}

/* What the scores and what was written say; on error all is freed. */
static tp_status end(const tp_relay *relay, const tp_task *task, tp_status status, tp_single *out) {
    if (status != TP_OK) {
        tp_single_free(out);
        return status;
    }
    out->written_label = -1;
    if (relay->n_labels == 0) return TP_OK; /* free answers: what was written is all */
    out->best = tp_best_score(out->probabilities, out->n_labels);
    to_probabilities(out->probabilities, out->n_labels);
    tp_label *labels = tp_alloc((size_t)relay->n_labels * sizeof *labels);
    tp_task bare = bare_task(relay, labels);
    out->written_label = tp_task_parse_answer(task ? task : &bare, out->written, strlen(out->written));
    tp_free(labels);
    return TP_OK;
}

tp_status tp_single_run_as(const tp_relay *relay, const tp_task *task, tp_dtype sent, const char *text, size_t n,
                           tp_single *out) {
    begin(relay, sent, out);
    tp_tape *tapes[2] = {tp_tape_new(relay->recipe->math), tp_tape_new(relay->recipe->math)};
    tapes[0]->frozen = tapes[1]->frozen = true;
    tp_status status = TP_OK;
    /* the first pass maps weights and packs them: what counts is the time once that is done */
    for (int k = 0; k < 2 && status == TP_OK; k++) status = pass(relay, tapes, text, n, out);
    tp_tape_free(tapes[0]);
    tp_tape_free(tapes[1]);
    return end(relay, task, status, out);
}

tp_status tp_single_run(const tp_relay *relay, const tp_task *task, const char *text, size_t n, tp_single *out) {
    return tp_single_run_as(relay, task, TP_F16, text, n, out);
}

tp_status tp_single_receive(const tp_relay *relay, const tp_task *task, const void *packet, size_t n_packet,
                            const char *name, const char *text, size_t n, tp_single *out) {
    begin(relay, TP_UNKNOWN, out);
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    tp_status status = unpack(relay, packet, n_packet, name, out);
    for (int k = 0; k < 2 && status == TP_OK; k++) {
        tp_tape_reset(tape);
        status = answer(relay, tape, text, n, out);
    }
    tp_tape_free(tape);
    return end(relay, task, status, out);
}

void tp_single_free(tp_single *single) {
    tp_free(single->probabilities);
    tp_free(single->written);
    tp_free(single->soft);
    tp_free(single->bytes);
    *single = (tp_single){0};
}
