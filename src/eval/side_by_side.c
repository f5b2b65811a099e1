/* Text relay against latent relay on one text. See side_by_side.h. */
#include "eval/side_by_side.h"

#include "base/clock.h"
#include "base/mem.h"
#include "eval/single.h"

#include <string.h>

/* The sender writes a line, the receiver labels it. */
static tp_status relay_text(const tp_eval *eval, tp_text_relay *relay, tp_tape *tape, const tp_example *example,
                            tp_side_by_side *out) {
    const tp_lm *receiver = eval->relay->receiver;
    tp_asking asking = {.lm = receiver, .layout = tp_text_relay_layout(relay), .phase = TP_PHASE_RECEIVER};
    double began = tp_now();
    tp_free(out->line);
    out->line = NULL;
    TP_TRY(tp_text_relay_write(relay, example, 1, &out->line));
    tp_tape_reset(tape);
    tp_layout_item item = {.text = out->line, .len = strlen(out->line)};
    tp_layout_batch batch;
    TP_TRY(tp_layout_build(asking.layout, tape->arena, &item, 1, 0, &batch));
    tp_prompts prompts = {
        .rows = tp_layout_input(tape, receiver, &batch, NULL)->data, .offsets = batch.offsets, .n = 1};
    TP_TRY(tp_ask_prompts(eval->task, &asking, tape->math, &prompts, TP_READ_SCORE, &out->text.label, NULL));
    out->text.ms = (tp_now() - began) * 1e3;
    out->text.bytes = (double)item.len;
    return TP_OK;
}

static tp_status relay_states(const tp_eval *eval, const tp_example *example, tp_side_by_side *out) {
    tp_single single;
    TP_TRY(tp_single_run(eval->relay, eval->task, example->text, example->len, &single));
    out->latent = (tp_hand_over){.label = single.best, .bytes = (double)single.packet.total};
    for (int p = 0; p < TP_N_PHASES; p++) out->latent.ms += single.ms[p];
    tp_single_free(&single);
    return TP_OK;
}

tp_status tp_side_by_side_run(const tp_eval *eval, const tp_example *example, tp_side_by_side *out) {
    *out = (tp_side_by_side){0};
    tp_text_relay *relay = tp_text_relay_new(eval, TP_WRITE_LINE);
    if (relay == NULL) return tp_last_status();
    tp_tape *tape = tp_tape_new(eval->relay->recipe->math);
    tape->frozen = true;
    tp_status status = TP_OK;
    for (int k = 0; k < 2 && status == TP_OK; k++) status = relay_text(eval, relay, tape, example, out); /* warm up */
    if (status == TP_OK) status = relay_states(eval, example, out);
    tp_tape_free(tape);
    tp_text_relay_free(relay);
    if (status != TP_OK) tp_side_by_side_free(out);
    return status;
}

void tp_side_by_side_free(tp_side_by_side *sides) {
    tp_free(sides->line);
    *sides = (tp_side_by_side){0};
}
