/* See position_dropout.h. */
#include "train/position_dropout.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

tp_var *tp_position_dropout(tp_tape *tape, tp_var *states, const int64_t **offsets, int64_t n, double rate) {
    return tp_position_dropout_by(tape, states, offsets, n, rate, "position dropout");
}

tp_var *tp_position_dropout_by(tp_tape *tape, tp_var *states, const int64_t **offsets, int64_t n, double rate,
                               const char *stream) {
    if (rate <= 0) return states;
    assert(!states->wants_grad);
    const int64_t *from = *offsets;
    int64_t *to = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *to);
    int64_t *kept = tp_arena_alloc(tape->arena, (size_t)(from[n] + 1) * sizeof *kept);
    tp_rng rng = tp_rng_stream(tape->seed, stream, tape->step);
    to[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t length = from[i + 1] - from[i], count = to[i];
        /* drawn for every text, so that one text's luck does not shift the next one's */
        int64_t saved = length > 0 ? from[i] + (int64_t)tp_rng_below(&rng, (uint64_t)length) : 0;
        for (int64_t p = from[i]; p < from[i + 1]; p++) {
            bool stays = tp_rng_uniform(&rng) >= rate;
            if (stays || p == saved) kept[count++] = p;
        }
        to[i + 1] = count;
    }
    tp_var *out = tp_var_new(tape, to[n], states->cols);
    size_t bytes = (size_t)states->cols * sizeof(float);
    for (int64_t r = 0; r < to[n]; r++) memcpy(out->data + r * out->cols, states->data + kept[r] * states->cols, bytes);
    *offsets = to;
    return out;
}
