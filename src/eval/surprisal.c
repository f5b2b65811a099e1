/* Token surprisals of a ragged batch. See surprisal.h. */
#include "eval/surprisal.h"

#include "lm/decoder.h"

#include <math.h>

enum { MOST_LOGITS = 1 << 24 }; /* numbers at once: 64 MiB, whatever the vocabulary and the texts */

void tp_surprisal(tp_tape *tape, const tp_lm *lm, const int32_t *ids, const int64_t *offsets, int64_t n, float *out) {
    int64_t n_ids = offsets[n], n_rows = 0;
    tp_arena_mark start = tp_arena_get_mark(tape->arena);
    tp_batch batch = {.n_sequences = n, .offsets = offsets};
    tp_var *hidden = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, n_ids), &batch, 0, lm->config.n_layers);
    tp_row_ref *rows = tp_arena_alloc(tape->arena, (size_t)(n_ids + 1) * sizeof *rows);
    int32_t *targets = tp_arena_alloc(tape->arena, (size_t)(n_ids + 1) * sizeof *targets);
    for (int64_t s = 0; s < n; s++) {
        if (offsets[s] < offsets[s + 1]) out[offsets[s]] = INFINITY;
        for (int64_t i = offsets[s]; i + 1 < offsets[s + 1]; i++) {
            rows[n_rows] = (tp_row_ref){.source = 0, .row = i};
            targets[n_rows++] = ids[i + 1];
        }
    }
    int64_t at_once = MOST_LOGITS / lm->config.vocab_size > 0 ? MOST_LOGITS / lm->config.vocab_size : 1;
    for (int64_t from = 0; from < n_rows; from += at_once) {
        int64_t some = n_rows - from < at_once ? n_rows - from : at_once;
        tp_arena_mark mark = tp_arena_get_mark(tape->arena);
        const float *nll;
        tp_var *logits = tp_lm_logits(tape, lm, tp_gather(tape, &hidden, 1, rows + from, some));
        tp_cross_entropy(tape, logits, targets + from, NULL, &nll);
        for (int64_t i = 0; i < some; i++) out[rows[from + i].row + 1] = nll[i];
        tp_arena_release(tape->arena, mark);
    }
    tp_arena_release(tape->arena, start);
}
