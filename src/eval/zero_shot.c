/* Zero-shot: a model reads the text itself and answers without training. The list of labels stands in its prompt; for
 * the sender also without it, because a sender that has read the labels may have its answer in its last state already,
 * and the bridge's sender is usually not told them. */
#include "base/mem.h"
#include "eval/texts.h"

/* Takes the layout over; NULL: it could not be made. */
static tp_status ask(tp_eval *eval, const tp_lm *lm, tp_layout *layout, tp_phase phase, double *scores,
                     tp_method_result *result) {
    if (layout == NULL) return tp_last_status();
    tp_asking asking = {.lm = lm, .layout = layout, .phase = phase, .scores = scores};
    tp_status status = tp_ask_all(eval, &asking, result);
    tp_layout_free(layout);
    return status;
}

static tp_status sender(tp_eval *eval, tp_method_result *result) {
    const tp_lm *lm = eval->relay->sender;
    return ask(eval, lm, tp_texts_layout(eval, lm, &result->note), TP_PHASE_SENDER, NULL, result);
}

static tp_status sender_plain(tp_eval *eval, tp_method_result *result) {
    const tp_lm *lm = eval->relay->sender;
    char *pattern = tp_format("{bos}%s", eval->task->prompt);
    tp_layout *layout = tp_ask_layout(eval, pattern, lm);
    tp_free(pattern);
    return ask(eval, lm, layout, TP_PHASE_SENDER, NULL, result);
}

static tp_status receiver(tp_eval *eval, tp_method_result *result) {
    const tp_lm *lm = eval->relay->receiver;
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    double *scores = NULL;
    if (eval->kept->wants_scores) {
        scores = tp_try_alloc(eval->task->test.n * (size_t)eval->task->n_labels, sizeof *scores);
        if (scores == NULL) return tp_last_status();
    }
    tp_status status = ask(eval, lm, tp_texts_layout(eval, lm, &result->note), TP_PHASE_RECEIVER, scores, result);
    tp_free(eval->kept->text_scores);
    eval->kept->text_scores = scores;
    return status;
}

const tp_method tp_method_sender = {.name = "sender",
                                    .free_answers = true,
                                    .title = "sender reads the text",
                                    .group = TP_GROUP_SENDER,
                                    .needs = TP_NEEDS_SENDER,
                                    .run = sender};

const tp_method tp_method_sender_plain = {.name = "sender_plain",
                                          .free_answers = true,
                                          .title = "sender, no list of labels",
                                          .group = TP_GROUP_SENDER,
                                          .needs = TP_NEEDS_SENDER,
                                          .run = sender_plain};

const tp_method tp_method_receiver = {.name = "receiver",
                                      .free_answers = true,
                                      .title = "receiver reads the text",
                                      .group = TP_GROUP_RECEIVER,
                                      .needs = TP_NEEDS_RECEIVER,
                                      .run = receiver};
