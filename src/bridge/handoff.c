/* Chains and broadcasts. See handoff.h. */
#include "bridge/handoff.h"

#include "base/mem.h"
#include "wire/packet.h"

#include <stdlib.h>
#include <string.h>

static const char *name_of(const tp_lm *lm) {
    return lm->path ? lm->path : "(a model made in memory)";
}

/* Soft tokens of states, as they come out of a packet. */
static tp_var *sent_soft(const tp_relay *relay, tp_tape *tape, tp_var *states, const int64_t *offsets, tp_dtype sent) {
    tp_var *soft = tp_relay_soft(relay, tape, states, offsets, 1);
    tp_packet_cross(sent, soft->data, soft->rows, soft->cols);
    return soft;
}

/* ---- chains ---- */

tp_status tp_chain_check(tp_relay *const *relays, size_t n) {
    for (size_t i = 0; i + 1 < n; i++) {
        const tp_lm *receiver = relays[i]->receiver, *sender = relays[i + 1]->sender;
        bool same =
            receiver == sender || (receiver->fingerprint[0] && strcmp(receiver->fingerprint, sender->fingerprint) == 0);
        if (!same)
            return tp_fail(
                TP_ERR_ARGUMENT,
                "bridges %zu and %zu make no chain: the receiver of the first is %s, the sender of the second %s",
                i + 1, i + 2, name_of(receiver), name_of(sender));
        if (tp_layout_injected(relays[i]->layout)) TP_TRY(tp_relay_read_prefix(relays[i]));
    }
    return TP_OK;
}

tp_status tp_chain_states(const tp_relay *relay, const tp_relay *next, tp_tape *tape, tp_var *soft, const char *text,
                          size_t len, tp_var **states, const int64_t **offsets) {
    tp_prompts prompts;
    TP_TRY(tp_relay_prompts(relay, tape, soft, &(tp_example){.text = text, .len = len}, 1, &prompts));
    tp_batch batch = {.n_sequences = 1, .offsets = prompts.offsets};
    if (prompts.injected) batch.prefix = relay->prefix, batch.injected = soft, batch.n_injected = prompts.n_injected;
    int64_t rows = prompts.offsets[1];
    float *input = (float *)(uintptr_t)prompts.rows; /* only read: the tape is frozen */
    *states = tp_var_new(tape, rows, tp_tap_width(&next->tap));
    *offsets = prompts.offsets;
    tp_tap_rows(&next->tap, tape, tp_var_wrap(tape, input, rows, relay->receiver->config.d_model), &batch,
                (*states)->data);
    return TP_OK;
}

/* One text's states, as the relay's tap wants them. */
static tp_status read_text(const tp_tap *tap, tp_tape *tape, const char *text, size_t len, tp_var **states,
                           const int64_t **offsets) {
    tp_ids ids = {0};
    tp_status status = tp_tap_tokens(tap, text, len, &ids, NULL);
    if (status == TP_OK) {
        int64_t n = (int64_t)ids.len, *at = tp_arena_alloc(tape->arena, 2 * sizeof *at);
        at[0] = 0, at[1] = n;
        *offsets = at;
        *states = tp_var_new(tape, n, tp_tap_width(tap));
        tp_tape *scratch = tp_tape_new(tap->math);
        scratch->frozen = true;
        tp_tap_run(tap, scratch, ids.data, n, (*states)->data);
        tp_tape_free(scratch);
    }
    tp_ids_free(&ids);
    return status;
}

tp_var *tp_chain_soft(tp_relay *const *relays, size_t n, tp_tape *tape, const char *text, size_t len, tp_dtype sent) {
    tp_var *states, *soft;
    const int64_t *offsets;
    tp_tape_reset(tape);
    if (read_text(&relays[0]->tap, tape, text, len, &states, &offsets) != TP_OK) return NULL;
    soft = sent_soft(relays[0], tape, states, offsets, sent);
    for (size_t i = 1; i < n; i++) {
        if (tp_chain_states(relays[i - 1], relays[i], tape, soft, text, len, &states, &offsets) != TP_OK) return NULL;
        soft = sent_soft(relays[i], tape, states, offsets, sent);
    }
    return soft;
}

/* ---- broadcasts ---- */

tp_status tp_broadcast_check(tp_relay *const *relays, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const tp_tap *a = &relays[0]->tap, *b = &relays[i]->tap;
        if (a->sender != b->sender &&
            (a->sender->fingerprint[0] == 0 || strcmp(a->sender->fingerprint, b->sender->fingerprint) != 0))
            return tp_fail(TP_ERR_ARGUMENT, "bridges 1 and %zu have no sender in common: %s and %s", i + 1,
                           name_of(a->sender), name_of(b->sender));
        if (strcmp(a->prompt, b->prompt) != 0 || a->max_tokens != b->max_tokens || a->truncate != b->truncate ||
            a->segment != b->segment || a->math != b->math)
            return tp_fail(TP_ERR_ARGUMENT,
                           "bridges 1 and %zu do not ask the sender the same (its prompt, how many tokens and in what "
                           "segments it reads, or its arithmetic): it cannot be read once for both",
                           i + 1);
    }
    return TP_OK;
}

/* The layers that a relay's bridge reads, from low to high. */
static int layers_of(const tp_tap *tap, const int **layers) {
    *layers = tap->n_layers > 1 ? tap->layers : &tap->layer;
    return tap->n_layers > 1 ? tap->n_layers : 1;
}

static int by_layer(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* All layers that any of the relays reads, from low to high, in the tape's arena. */
static int *all_layers(tp_relay *const *relays, size_t n, tp_tape *tape, int *n_layers) {
    const int *layers;
    size_t most = 0;
    for (size_t i = 0; i < n; i++) most += (size_t)layers_of(&relays[i]->tap, &layers);
    int *all = tp_arena_alloc(tape->arena, most * sizeof *all), found = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0, of = layers_of(&relays[i]->tap, &layers); k < of; k++) all[found++] = layers[k];
    qsort(all, (size_t)found, sizeof *all, by_layer);
    *n_layers = 0;
    for (int k = 0; k < found; k++)
        if (*n_layers == 0 || all[*n_layers - 1] != all[k]) all[(*n_layers)++] = all[k];
    return all;
}

/* Of rows with the states of all layers side by side, those that the relay's bridge reads. */
static tp_var *states_for(const tp_relay *relay, tp_tape *tape, const tp_var *all, const int *layers, int n_layers) {
    const int *wanted;
    int n = layers_of(&relay->tap, &wanted);
    int64_t d = relay->sender->config.d_model;
    tp_var *out = tp_var_new(tape, all->rows, n * d);
    for (int k = 0; k < n; k++) {
        const int *at = bsearch(&wanted[k], layers, (size_t)n_layers, sizeof *layers, by_layer);
        for (int64_t i = 0; i < all->rows; i++)
            memcpy(out->data + i * n * d + k * d, all->data + i * all->cols + (at - layers) * d,
                   (size_t)d * sizeof(float));
    }
    return out;
}

tp_status tp_broadcast_soft(tp_relay *const *relays, size_t n, tp_tape *tape, const char *text, size_t len,
                            tp_dtype sent, tp_var **soft) {
    tp_tape_reset(tape);
    tp_tap tap = relays[0]->tap;
    tap.layers = all_layers(relays, n, tape, &tap.n_layers);
    tap.layer = tap.layers[tap.n_layers - 1];
    tp_var *all;
    const int64_t *offsets;
    TP_TRY(read_text(&tap, tape, text, len, &all, &offsets));
    for (size_t i = 0; i < n; i++)
        soft[i] = sent_soft(relays[i], tape, states_for(relays[i], tape, all, tap.layers, tap.n_layers), offsets, sent);
    return TP_OK;
}
