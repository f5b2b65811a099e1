/* The bridge as a method: the sender's states, the bridge, the receiver. See latent.h. */
#include "eval/latent.h"

#include "base/clock.h"
#include "base/half.h"
#include "base/mem.h"
#include "wire/packet.h"

#include <math.h>

tp_latent tp_latent_new(const tp_eval *eval) {
    tp_latent latent = {.tape = tp_tape_new(eval->relay->recipe->math)};
    latent.tape->frozen = true;
    return latent;
}

void tp_latent_free(tp_latent *latent) {
    tp_tape_free(latent->tape);
    tp_ids_free(&latent->ids);
}

double tp_latent_bytes(const tp_relay *relay) {
    tp_packet_info info = {
        .n_tokens = relay->recipe->bridge.soft_tokens, .width = relay->receiver->config.d_model, .dtype = TP_F16};
    tp_packet_size size;
    return tp_packet_measure(&info, &size) == TP_OK ? (double)size.total : NAN;
}

/* The soft tokens as the receiver gets them: what is counted as f16 must be read as f16. */
static void cross_wire(tp_var *soft) {
    for (int64_t i = 0; i < soft->rows * soft->cols; i++) soft->data[i] = tp_f16_to_f32(tp_f32_to_f16(soft->data[i]));
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
    *hidden = tp_var_new(tape, n, tap->sender->config.d_model);
    *offsets = at;
    tp_tap_run(tap, latent->tape, latent->ids.data, n, (*hidden)->data);
    return TP_OK;
}

tp_status tp_latent_fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                         bool fresh, tp_filling *out) {
    double began = tp_now();
    const int64_t *offsets;
    tp_var *hidden;
    if (fresh && n == 1)
        TP_TRY(states_of_one(eval, asking->context, tape, items[0], &hidden, &offsets));
    else
        hidden = tp_state_cache_fetch(fresh ? eval->uncached : eval->test_states, tape, items, n, &offsets);
    double tapped = tp_now();
    out->ms[TP_PHASE_SENDER] = (tapped - began) * 1e3;
    out->soft = tp_relay_soft(eval->relay, tape, hidden, offsets, n);
    cross_wire(out->soft);
    out->ms[TP_PHASE_BRIDGE] = (tp_now() - tapped) * 1e3;
    return TP_OK;
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_latent latent = tp_latent_new(eval);
    tp_asking asking = {.lm = eval->relay->receiver,
                        .layout = eval->relay->layout,
                        .soft_tokens = eval->relay->recipe->bridge.soft_tokens,
                        .phase = TP_PHASE_RECEIVER,
                        .fill = tp_latent_fill,
                        .context = &latent};
    tp_status status = tp_ask_all(eval, &asking, result);
    result->bytes = tp_latent_bytes(eval->relay);
    /* the receiver's texts are cut only where the layout has some; the sender's count everywhere */
    int64_t cut = tp_state_cache_describe(eval->test_states).n_truncated;
    if (cut > result->n_truncated) result->n_truncated = cut;
    tp_latent_free(&latent);
    return status;
}

const tp_method tp_method_bridge = {.name = "bridge",
                                    .title = "bridge",
                                    .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE | TP_NEEDS_TRAINING,
                                    .seeded = true,
                                    .run = run};
