/* The list of methods, and what they share. See method.h. */
#include "eval/method.h"

#include "base/mem.h"
#include "base/str.h"
#include "eval/probe.h"

#include <math.h>
#include <string.h>

const tp_method *const tp_methods[] = {
    /* no model */
    &tp_method_random,
    &tp_method_majority,
    &tp_method_words,
    /* the sender */
    &tp_method_sender,
    &tp_method_sender_plain,
    &tp_method_sender_shots,
    /* the receiver */
    &tp_method_receiver,
    &tp_method_receiver_shots,
    &tp_method_first_tokens,
    &tp_method_last_tokens,
    &tp_method_text_bytes,
    /* the sender writes, or chooses */
    &tp_method_pruned,
    &tp_method_relay_word,
    &tp_method_text_relay,
    &tp_method_relay_long,
    &tp_method_relay_thoughts,
    /* trained */
    &tp_method_probe_mean,
    &tp_method_probe_last,
    &tp_method_probe_mean_labels,
    &tp_method_probe_last_labels,
    &tp_method_pca,
    &tp_method_ridge,
    &tp_method_prompt_tuning,
    &tp_method_lora,
    /* the bridge */
    &tp_method_bridge,
    &tp_method_bridge_f32,
    &tp_method_bridge_bf16,
    &tp_method_bridge_int8,
    &tp_method_bridge_int4,
    &tp_method_joint,
    /* controls */
    &tp_method_zero,
    &tp_method_noise,
    &tp_method_shuffled,
    &tp_method_deranged,
    &tp_method_receiver_alone,
    NULL,
};

const tp_method *tp_method_find(const char *name) {
    tp_str names = {0};
    for (size_t i = 0; tp_methods[i]; i++) {
        if (strcmp(tp_methods[i]->name, name) == 0) {
            tp_str_free(&names);
            return tp_methods[i];
        }
        tp_str_appendf(&names, "%s%s", i ? ", " : "", tp_methods[i]->name);
    }
    tp_fail(TP_ERR_ARGUMENT, "there is no method `%s`; there are %s", name, names.data);
    tp_str_free(&names);
    return NULL;
}

const char *tp_reading_name(tp_reading reading) {
    static const char *const names[TP_N_READINGS] = {"direct", "score", "generate"};
    return names[reading];
}

tp_method_result tp_method_result_new(void) {
    tp_method_result result = {.bytes = NAN, .chosen = NAN};
    for (int r = 0; r < TP_N_READINGS; r++) {
        result.readings[r].per_second = NAN;
        for (int p = 0; p < TP_N_PHASES; p++) result.readings[r].ms[p] = NAN;
    }
    return result;
}

void tp_method_result_free(tp_method_result *result) {
    for (int r = 0; r < TP_N_READINGS; r++) tp_predictions_free(&result->readings[r].predictions);
    tp_free(result->setting);
    tp_free(result->note);
    *result = tp_method_result_new();
}

tp_status tp_eval_stopped(const tp_eval *eval) {
    return eval->stop && *eval->stop ? tp_fail(TP_ERR_CANCELLED, "the evaluation was interrupted") : TP_OK;
}

void tp_kept_free(tp_kept *kept) {
    for (int k = 0; k < 2; k++) tp_features_free(kept->features[k]);
    tp_free(kept->text_scores);
    tp_free(kept->soft_scores);
    *kept = (tp_kept){0};
}
