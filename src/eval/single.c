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

/* The packet's way: encoded, measured, decoded again. */
static tp_status cross_wire(const tp_relay *relay, const float *soft, tp_single *out) {
    tp_packet_info info = {
        .n_tokens = relay->recipe->bridge.soft_tokens, .width = relay->bridge->d_target, .dtype = TP_F16};
    snprintf(info.receiver, sizeof info.receiver, "%s", relay->receiver->fingerprint);
    snprintf(info.bridge, sizeof info.bridge, "%s", relay->trained->fingerprint);
    unsigned char *bytes;
    size_t n;
    TP_TRY(tp_packet_measure(&info, &out->packet));
    TP_TRY(tp_packet_encode(soft, &info, &bytes, &n));
    tp_free(out->soft);
    out->soft = NULL;
    tp_status status = tp_packet_decode(bytes, n, "the packet", &info, &out->soft);
    tp_free(bytes);
    return status;
}

static void to_probabilities(double *scores, int n) {
    double most = scores[tp_best_score(scores, n)], sum = 0;
    for (int i = 0; i < n; i++) sum += scores[i] = exp(scores[i] - most);
    for (int i = 0; i < n; i++) scores[i] /= sum;
}

/* One pass over the whole way; tapes[0] for the sender, tapes[1] for bridge and receiver. */
static tp_status pass(const tp_relay *relay, tp_tape *const tapes[2], const char *text, size_t n, tp_single *out) {
    tp_ids ids = {0};
    double at[6];
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
    tp_var *soft = tp_relay_soft(relay, tapes[1], hidden, offsets, 1);
    TP_TRY(cross_wire(relay, soft->data, out));
    at[2] = tp_now();
    tp_var *received = tp_var_wrap(tapes[1], out->soft, soft->rows, soft->cols);
    tp_example example = {.text = text, .len = n};
    tp_prompts prompts;
    TP_TRY(tp_relay_prompts(relay, tapes[1], received, &example, 1, &prompts));
    at[3] = tp_now();
    TP_TRY(tp_relay_score(relay, &prompts, out->probabilities));
    at[4] = tp_now();
    tp_free(out->written);
    TP_TRY(tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &out->written));
    at[5] = tp_now();
    out->ms[TP_PHASE_SENDER] = (at[1] - at[0]) * 1e3;
    out->ms[TP_PHASE_BRIDGE] = (at[2] - at[1]) * 1e3;
    out->ms[TP_PHASE_RECEIVER] = (at[4] - at[2]) * 1e3;
    out->write_ms = (at[3] - at[2] + at[5] - at[4]) * 1e3;
    if (relay->n_labels == 0) out->ms[TP_PHASE_RECEIVER] = out->write_ms; /* writing is all it does */
    return TP_OK;
}

tp_status tp_single_run(const tp_relay *relay, const tp_task *task, const char *text, size_t n, tp_single *out) {
    *out = (tp_single){.n_labels = relay->n_labels, .soft_tokens = relay->recipe->bridge.soft_tokens};
    out->probabilities = tp_alloc(((size_t)relay->n_labels + 1) * sizeof *out->probabilities);
    tp_tape *tapes[2] = {tp_tape_new(relay->recipe->math), tp_tape_new(relay->recipe->math)};
    tapes[0]->frozen = tapes[1]->frozen = true;
    tp_status status = TP_OK;
    /* the first pass maps weights and packs them: what counts is the time once that is done */
    for (int k = 0; k < 2 && status == TP_OK; k++) status = pass(relay, tapes, text, n, out);
    tp_tape_free(tapes[0]);
    tp_tape_free(tapes[1]);
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

void tp_single_free(tp_single *single) {
    tp_free(single->probabilities);
    tp_free(single->written);
    tp_free(single->soft);
    *single = (tp_single){0};
}
