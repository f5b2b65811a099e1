/* Tapping a sender. See tap.h. */
#include "bridge/tap.h"

#include "bridge/prompt.h"

#include <string.h>

tp_status tp_tap_tokens(const tp_tap *tap, const char *text, size_t n, tp_ids *ids, bool *truncated) {
    return tp_prompt_encode(tap->sender->tokenizer, tap->prompt, text, n, tap->max_tokens, tap->truncate,
                            TP_TOKENS_ADD_SPECIAL, ids, truncated);
}

int64_t tp_tap_width(const tp_tap *tap) {
    return (tap->n_layers > 1 ? tap->n_layers : 1) * tap->sender->config.d_model;
}

void tp_tap_run(const tp_tap *tap, tp_tape *tape, const int32_t *ids, int64_t n_ids, float *out) {
    tp_tape_reset(tape);
    int64_t offsets[2] = {0, n_ids};
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    tp_var *x = tp_lm_embed(tape, tap->sender, ids, n_ids);
    if (tap->n_layers < 2) {
        x = tp_lm_blocks(tape, tap->sender, x, &batch, 0, tap->layer);
        memcpy(out, x->data, (size_t)(n_ids * x->cols) * sizeof(float));
        return;
    }
    int64_t width = tp_tap_width(tap), d = x->cols;
    for (int l = 0; l < tap->n_layers; l++) {
        x = tp_lm_blocks(tape, tap->sender, x, &batch, l ? tap->layers[l - 1] : 0, tap->layers[l]);
        for (int64_t i = 0; i < n_ids; i++) memcpy(out + i * width + l * d, x->data + i * d, (size_t)d * sizeof(float));
    }
}
