/* train/position_dropout: what stays is a copy of what was, in order; the share that goes is the rate; every text keeps
 * something; the choice is a function of seed and step alone. */
#include "check.h"

#include "train/position_dropout.h"

#include <math.h>

enum { N_TEXTS = 200, WIDTH = 3 };

static const double rate = 0.3;

/* 200 texts of 0, 1, ... 49 positions; row r holds r, r + 0.25 and r + 0.5. */
static tp_var *make_states(tp_tape *tape, int64_t *offsets) {
    offsets[0] = 0;
    for (int64_t i = 0; i < N_TEXTS; i++) offsets[i + 1] = offsets[i] + i % 50;
    tp_var *states = tp_var_new(tape, offsets[N_TEXTS], WIDTH);
    for (int64_t i = 0; i < states->rows * WIDTH; i++)
        states->data[i] = (float)(i / WIDTH) + 0.25f * (float)(i % WIDTH);
    return states;
}

static tp_tape *make_tape(uint64_t seed, uint64_t step) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->seed = seed;
    tape->step = step;
    return tape;
}

static void test_keeps_rows_whole_and_in_order(void **state) {
    (void)state;
    int64_t before[N_TEXTS + 1];
    tp_tape *tape = make_tape(1, 2);
    tp_var *states = make_states(tape, before);
    const int64_t *after = before;
    tp_var *left = tp_position_dropout(tape, states, &after, N_TEXTS, rate);
    assert_int_equal(left->cols, WIDTH);
    assert_int_equal(left->rows, after[N_TEXTS]);
    for (int64_t i = 0; i < N_TEXTS; i++) {
        int64_t last = before[i] - 1;
        if (before[i + 1] > before[i]) assert_true(after[i + 1] > after[i]);
        for (int64_t r = after[i]; r < after[i + 1]; r++) {
            int64_t source = (int64_t)left->data[r * WIDTH];
            assert_true(source > last && source < before[i + 1]); /* this text's, each once, in order */
            assert_memory_equal(left->data + r * WIDTH, states->data + source * WIDTH, WIDTH * sizeof(float));
            last = source;
        }
    }
    tp_tape_free(tape);
}

static void test_takes_the_share_away(void **state) {
    (void)state;
    double kept = 0, all = 0;
    for (uint64_t step = 0; step < 20; step++) {
        int64_t before[N_TEXTS + 1];
        tp_tape *tape = make_tape(1, step);
        tp_var *states = make_states(tape, before);
        const int64_t *after = before;
        tp_position_dropout(tape, states, &after, N_TEXTS, rate);
        for (int64_t i = 0; i < N_TEXTS; i++) {
            if (i % 50 < 10) continue; /* in short texts the one that always stays shows */
            kept += (double)(after[i + 1] - after[i]);
            all += (double)(before[i + 1] - before[i]);
        }
        tp_tape_free(tape);
    }
    /* of n positions n (1 - rate) + rate stay; texts are 29.5 long; 94,400 draws: a standard deviation of 0.0015 */
    assert_true(fabs(kept / all - (1 - rate + rate / 29.5)) < 0.006);
}

static void test_depends_on_seed_and_step_alone(void **state) {
    (void)state;
    const uint64_t keys[4][2] = {{1, 2}, {1, 2}, {1, 3}, {2, 2}}; /* seed, step */
    tp_tape *tapes[4];
    tp_var *left[4];
    for (int k = 0; k < 4; k++) {
        int64_t before[N_TEXTS + 1];
        tapes[k] = make_tape(keys[k][0], keys[k][1]);
        tp_var *states = make_states(tapes[k], before);
        const int64_t *after = before;
        left[k] = tp_position_dropout(tapes[k], states, &after, N_TEXTS, rate);
    }
    size_t bytes = (size_t)(left[0]->rows * WIDTH) * sizeof(float);
    assert_int_equal(left[0]->rows, left[1]->rows);
    assert_memory_equal(left[0]->data, left[1]->data, bytes);
    for (int k = 2; k < 4; k++)
        assert_true(left[k]->rows != left[0]->rows || memcmp(left[k]->data, left[0]->data, bytes) != 0);
    for (int k = 0; k < 4; k++) tp_tape_free(tapes[k]);
}

static void test_rate_zero_changes_nothing(void **state) {
    (void)state;
    int64_t before[N_TEXTS + 1];
    tp_tape *tape = make_tape(1, 2);
    tp_var *states = make_states(tape, before);
    const int64_t *after = before;
    assert_ptr_equal(tp_position_dropout(tape, states, &after, N_TEXTS, 0), states);
    assert_ptr_equal(after, before);
    tp_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_rows_whole_and_in_order),
        cmocka_unit_test(test_takes_the_share_away),
        cmocka_unit_test(test_depends_on_seed_and_step_alone),
        cmocka_unit_test(test_rate_zero_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
