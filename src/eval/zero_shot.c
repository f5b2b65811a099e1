/* Zero-shot: a model reads the text itself, with the list of labels in its prompt, and answers without training. */
#include "base/mem.h"
#include "eval/texts.h"

static tp_status ask(tp_eval *eval, const tp_lm *lm, tp_phase phase, tp_method_result *result) {
    tp_layout *layout = tp_texts_layout(eval, lm, &result->note);
    if (layout == NULL) return tp_last_status();
    tp_asking asking = {.lm = lm, .layout = layout, .phase = phase};
    tp_status status = tp_ask_all(eval, &asking, result);
    tp_layout_free(layout);
    return status;
}

static tp_status sender(tp_eval *eval, tp_method_result *result) {
    return ask(eval, eval->relay->sender, TP_PHASE_SENDER, result);
}

static tp_status receiver(tp_eval *eval, tp_method_result *result) {
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    return ask(eval, eval->relay->receiver, TP_PHASE_RECEIVER, result);
}

const tp_method tp_method_sender = {
    .name = "sender", .title = "sender reads the text", .needs = TP_NEEDS_SENDER, .run = sender};

const tp_method tp_method_receiver = {
    .name = "receiver", .title = "receiver reads the text", .needs = TP_NEEDS_RECEIVER, .run = receiver};
