/* Tapping a sender. See tap.h. */
#include "bridge/tap.h"

#include "bridge/prompt.h"

#include <string.h>

/* How many tokens of a prompt fit into max_tokens if all segments but the first begin with one more. */
static int64_t room_without_begins(const tp_tap *tap) {
    int64_t whole = tap->max_tokens / tap->segment, rest = tap->max_tokens % tap->segment;
    if (whole == 0) return tap->max_tokens;
    return whole * (tap->segment - 1) + 1 + (rest > 1 ? rest - 1 : 0);
}

tp_status tp_tap_tokens(const tp_tap *tap, const char *text, size_t n, tp_ids *ids, bool *truncated) {
    const tp_tokenizer *tokenizer = tap->sender->tokenizer;
    int32_t bos = tp_tokenizer_bos(tokenizer);
    bool begins = tap->segment > 0 && bos >= 0;
    tp_ids all = {0}, *to = tap->segment > 0 ? &all : ids;
    tp_status status =
        tp_prompt_encode(tokenizer, tap->prompt, text, n, begins ? room_without_begins(tap) : tap->max_tokens,
                         tap->truncate, TP_TOKENS_ADD_SPECIAL, to, truncated);
    begins = begins && all.len > 0 && all.data[0] == bos; /* it begins texts with it */
    for (size_t i = 0, row = 0; status == TP_OK && i < all.len; i++, row++) {
        if (begins && row > 0 && row % (size_t)tap->segment == 0) tp_ids_append(ids, bos), row++;
        tp_ids_append(ids, all.data[i]);
    }
    tp_ids_free(&all);
    return status;
}

int64_t tp_tap_width(const tp_tap *tap) {
    return (tap->n_layers > 1 ? tap->n_layers : 1) * tap->sender->config.d_model;
}

void tp_tap_rows(const tp_tap *tap, tp_tape *tape, tp_var *x, const tp_batch *batch, float *out) {
    int64_t n = x->rows, width = tp_tap_width(tap), d = x->cols;
    int n_layers = tap->n_layers > 1 ? tap->n_layers : 1;
    const int *layers = tap->n_layers > 1 ? tap->layers : &tap->layer;
    for (int l = 0; l < n_layers; l++) {
        x = tp_lm_blocks(tape, tap->sender, x, batch, l ? layers[l - 1] : 0, layers[l]);
        for (int64_t i = 0; i < n; i++) memcpy(out + i * width + l * d, x->data + i * d, (size_t)d * sizeof(float));
    }
}

/* Reads n_ids tokens at once. */
static void run(const tp_tap *tap, tp_tape *tape, const int32_t *ids, int64_t n_ids, float *out) {
    tp_tape_reset(tape);
    int64_t offsets[2] = {0, n_ids};
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    tp_tap_rows(tap, tape, tp_lm_embed(tape, tap->sender, ids, n_ids), &batch, out);
}

void tp_tap_run(const tp_tap *tap, tp_tape *tape, const int32_t *ids, int64_t n_ids, float *out) {
    int64_t at_once = tap->segment > 0 && tap->segment < n_ids ? tap->segment : n_ids;
    for (int64_t from = 0; from < n_ids; from += at_once)
        run(tap, tape, ids + from, n_ids - from < at_once ? n_ids - from : at_once, out + from * tp_tap_width(tap));
}
