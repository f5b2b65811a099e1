/* The rows of the regression that a bridge in closed form is solved from. See solve.h. */
#include "train/solve.h"

#include "base/mem.h"
#include "tensor/affine.h"
#include "train/lesson.h"

enum { ROWS_AT_ONCE = 64, MOST_BYTES = 512 << 20 };

tp_status tp_solve_bridge(const tp_relay *relay, tp_state_cache *states, const tp_dataset *train, tp_tape *tape) {
    int64_t d_in = relay->bridge->d_input, d_out = relay->recipe->bridge.soft_tokens * relay->bridge->d_target;
    int64_t most = MOST_BYTES / ((d_in + d_out) * (int64_t)sizeof(float)), all = (int64_t)train->n;
    int64_t n = all < most ? all : most > 0 ? most : 1;
    float *means = tp_try_alloc((size_t)(n * d_in), sizeof *means);
    float *targets = means ? tp_try_alloc((size_t)(n * d_out), sizeof *targets) : NULL;
    tp_status status = targets ? TP_OK : tp_last_status();
    for (int64_t from = 0; from < n && status == TP_OK; from += ROWS_AT_ONCE) {
        int64_t some = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE, indices[ROWS_AT_ONCE];
        for (int64_t i = 0; i < some; i++) indices[i] = (from + i) * all / n;
        const int64_t *offsets;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, indices, some, &offsets);
        for (int64_t i = 0; i < some && status == TP_OK; i++) {
            tp_stretch_means(hidden->data + offsets[i] * d_in, offsets[i + 1] - offsets[i], d_in, 1,
                             means + (from + i) * d_in);
            status = tp_target_rows(relay, &train->examples[indices[i]], TP_ANCHOR_ANSWER, tape->arena,
                                    targets + (from + i) * d_out);
        }
    }
    if (status == TP_OK) status = tp_bridge_solve(relay->bridge, means, targets, n);
    tp_free(means);
    tp_free(targets);
    return status;
}
