/* Packets of whole splits. See packets.h. */
#include "analysis/packets.h"

#include "base/half.h"
#include "base/mem.h"
#include "bridge/codes.h"

#include <string.h>

enum { BATCH = 64 };

/* The codes of some texts' packets, into the places from `at` on. */
static tp_status keep_codes(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n,
                            size_t at, tp_packets *out) {
    const int32_t *codes;
    int parts;
    if (out->code_parts == 0) return TP_OK;
    TP_TRY(tp_bridge_encode(tape, relay->bridge, hidden, offsets, n, &codes, &parts));
    size_t each = (size_t)(out->soft_tokens * parts);
    memcpy(out->codes + at * each, codes, (size_t)n * each * sizeof *codes);
    return TP_OK;
}

/* The texts of one split, into the places from `at` on. */
static tp_status make_split(const tp_eval *eval, const tp_dataset *set, size_t at, tp_packets *out) {
    const tp_relay *relay = eval->relay;
    tp_state_cache *states = tp_state_cache_new(&relay->tap, set->examples, set->n, TP_CACHE_NONE, 0, NULL);
    if (states == NULL) return tp_last_status();
    size_t width = tp_packet_width(out), d = (size_t)out->d_sender;
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    tp_status status = TP_OK;
    for (size_t from = 0; from < set->n && status == TP_OK; from += BATCH) {
        int64_t some = set->n - from < BATCH ? (int64_t)(set->n - from) : BATCH, items[BATCH];
        for (int64_t i = 0; i < some; i++) {
            items[i] = (int64_t)from + i;
            out->labels[at + from + (size_t)i] = set->examples[items[i]].label;
        }
        const int64_t *offsets;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, items, some, &offsets);
        const tp_var *soft = tp_relay_soft(relay, tape, hidden, offsets, some);
        const tp_var *mean = tp_mean_rows(tape, hidden, offsets, some);
        float *packet = out->soft + (at + from) * width;
        for (size_t k = 0; k < (size_t)some * width; k++) packet[k] = tp_f16_to_f32(tp_f32_to_f16(soft->data[k]));
        memcpy(out->mean + (at + from) * d, mean->data, (size_t)some * d * sizeof(float));
        tp_progress_update(eval->progress, (double)(at + from + (size_t)some), 0, "%s", "");
        status = keep_codes(relay, tape, hidden, offsets, some, at + from, out);
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    tp_tape_free(tape);
    tp_state_cache_free(states);
    return status;
}

tp_status tp_packets_make(const tp_eval *eval, const char *what, const tp_dataset *const *sets, size_t n_sets,
                          tp_packets *out) {
    const tp_bridge *bridge = eval->relay->bridge;
    *out = (tp_packets){
        .soft_tokens = bridge->recipe.soft_tokens, .d_receiver = bridge->d_target, .d_sender = bridge->d_source};
    for (size_t s = 0; s < n_sets; s++) out->n += sets[s]->n;
    out->soft = tp_try_alloc(out->n, tp_packet_width(out) * sizeof *out->soft);
    out->mean = out->soft ? tp_try_alloc(out->n, (size_t)out->d_sender * sizeof *out->mean) : NULL;
    if (out->mean == NULL) {
        tp_packets_free(out);
        return tp_last_status();
    }
    out->labels = tp_alloc(out->n * sizeof *out->labels);
    out->code_parts = tp_code_parts(&bridge->recipe);
    if (out->code_parts > 0)
        out->codes = tp_alloc(out->n * (size_t)(out->soft_tokens * out->code_parts) * sizeof *out->codes);
    tp_progress_begin(eval->progress, what, (double)out->n, "texts", NULL);
    tp_status status = TP_OK;
    for (size_t s = 0, at = 0; s < n_sets && status == TP_OK; at += sets[s]->n, s++)
        status = make_split(eval, sets[s], at, out);
    tp_progress_end(eval->progress);
    if (status != TP_OK) tp_packets_free(out);
    return status;
}

void tp_packets_free(tp_packets *packets) {
    tp_free(packets->soft);
    tp_free(packets->mean);
    tp_free(packets->labels);
    tp_free(packets->codes);
    *packets = (tp_packets){0};
}
