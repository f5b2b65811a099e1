/* base/crowd.h: the rule by which threads are given up, and that only a thread that asked for it is changed. */
#include "check.h"

#include "base/crowd.h"

#include <omp.h>

static void waiting_costs_threads(void **state) {
    (void)state;
    assert_int_equal(tp_crowd_threads(2, 2, 0, 0.05), 2);
    assert_int_equal(tp_crowd_threads(2, 2, 0.009, 0.05), 2); /* less than a fifth of a thread: noise */
    assert_int_equal(tp_crowd_threads(2, 2, 0.025, 0.05), 1); /* one of two shares its core */
    assert_int_equal(tp_crowd_threads(16, 16, 0.025, 0.05), 15);
    assert_int_equal(tp_crowd_threads(16, 16, 0.06, 0.05), 14);
    assert_int_equal(tp_crowd_threads(4, 4, 5, 0.05), 1);
    assert_int_equal(tp_crowd_threads(1, 4, 0.05, 0.05), 1);
    assert_int_equal(tp_crowd_threads(3, 4, 1, 0), 3);
}

static void others_are_left_alone(void **state) {
    (void)state;
    omp_set_num_threads(5);
    for (int i = 0; i < 1000; i++) tp_crowd_adapt(true);
    assert_int_equal(omp_get_max_threads(), 5);
    tp_crowd_watch(true);
    for (int i = 0; i < 1000; i++) tp_crowd_adapt(true); /* whatever the machine does meanwhile */
    assert_true(omp_get_max_threads() >= 1 && omp_get_max_threads() <= 5);
    tp_crowd_adapt(false); /* a step that wants all threads */
    assert_int_equal(omp_get_max_threads(), 5);
    tp_crowd_watch(false);
    omp_set_num_threads(3);
    for (int i = 0; i < 1000; i++) tp_crowd_adapt(true);
    assert_int_equal(omp_get_max_threads(), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_costs_threads),
        cmocka_unit_test(others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
