/* How long a suite will take: nothing is said before anything is known, jobs tell about their like, and what runs now
 * counts as far as it is. */
#include "check.h"

#include "eval/suite_parts.h"

#include <math.h>

enum { N = 4 };

/* Two tasks with a leader and a follower each; trainings of b cost three times those of a. */
static struct {
    tp_suite suite;
    tp_suite_cell cells[N];
    tp_suite_plan plan;
    tp_suite_place places[N];
    tp_known_times known[N];
    tp_recipe recipes[2];
    tp_task tasks[2];
} made;

static int set_up(void **state) {
    (void)state;
    memset(&made, 0, sizeof made);
    made.suite = (tp_suite){.cells = made.cells, .n = N};
    made.plan = (tp_suite_plan){.suite = &made.suite, .places = made.places, .known = made.known, .n = N};
    for (int t = 0; t < 2; t++) {
        made.recipes[t].optimiser.steps = t ? 300 : 100;
        made.recipes[t].optimiser.batch = made.recipes[t].optimiser.accumulate = 1;
        made.tasks[t].test.n = t ? 3000 : 1000;
    }
    for (int i = 0; i < N; i++) {
        made.cells[i].leader = (size_t)(i / 2 * 2);
        made.places[i].recipe = &made.recipes[i / 2];
        made.places[i].task = &made.tasks[i / 2];
        made.known[i] = (tp_known_times){NAN, NAN};
    }
    tp_suite_estimate(&made.plan);
    return 0;
}

static double left(const tp_suite_running *job) {
    return tp_suite_left(&made.plan, job, job ? 1 : 0);
}

static void nothing_is_known_at_first(void **state) {
    (void)state;
    assert_true(isnan(left(NULL)));
    tp_suite_running job = {.place = 0, .training = true, .seconds = 5, .share = 0.01};
    tp_suite_learn(&made.plan, &job, false); /* too little to tell */
    assert_true(isnan(left(&job)));
}

/* A tenth took 2 seconds: 20 for each training of a, 60 for each of b; evaluations are thought to take a leader as long
 * as its training, a follower half of that. */
static void the_first_training_tells_about_all(void **state) {
    (void)state;
    tp_suite_running job = {.place = 0, .training = true, .seconds = 2, .share = 0.1};
    tp_suite_learn(&made.plan, &job, false);
    assert_float_equal(left(&job), (18 + 20) + (60 + 60) + (20 + 10) + (60 + 30), 1e-9);
    made.places[0].state = TP_PLACE_TRAINED;
    job = (tp_suite_running){.place = 0, .training = true, .seconds = 30, .share = 1}; /* it slowed down */
    tp_suite_learn(&made.plan, &job, true);
    assert_float_equal(left(NULL), 30 + (90 + 90) + (30 + 15) + (90 + 45), 1e-9);
}

static void a_training_that_goes_on_has_its_own_pace(void **state) {
    (void)state;
    made.known[1].train_seconds = 20;
    made.places[1].state = TP_PLACE_DONE;
    for (int i = 2; i < N; i++) made.places[i].state = TP_PLACE_FAILED; /* nothing is left of those */
    made.known[0].evaluate_seconds = 7;
    tp_suite_estimate(&made.plan);
    tp_suite_running job = {.place = 0, .training = true, .seconds = 1, .first_share = 0.5, .share = 0.51};
    assert_float_equal(left(&job), 20 * 0.49 + 7, 1e-9);
    job.seconds = 10;
    job.share = 0.6; /* a tenth in ten seconds */
    assert_float_equal(left(&job), 40 + 7, 1e-9);
}

/* What an evaluation takes for each of its rows and besides; of leaders and followers apart. */
static void evaluations_tell_about_their_like(void **state) {
    (void)state;
    for (int i = 0; i < N; i++) made.places[i].state = TP_PLACE_TRAINED;
    for (int i = 0; i < N; i++) made.known[i].train_seconds = 10;
    tp_suite_estimate(&made.plan);
    assert_float_equal(left(NULL), 10 + 5 + 10 + 5, 1e-9);
    tp_suite_running job = {.place = 0, .from_nothing = true, .seconds = 100, .share = 1};
    made.places[0].state = TP_PLACE_DONE;
    tp_suite_learn(&made.plan, &job, true);
    assert_float_equal(left(NULL), 5 + 200 + 5, 1e-9); /* of 4000 rows, as it were, where the first had 2000 */
    job = (tp_suite_running){.place = 1, .from_nothing = true, .seconds = 50, .share = 1};
    made.places[1].state = TP_PLACE_DONE;
    tp_suite_learn(&made.plan, &job, true);
    assert_float_equal(left(NULL), 200 + 100, 1e-9);
    job = (tp_suite_running){.place = 2, .seconds = 150, .share = 0.9};
    assert_float_equal(left(&job), 50 + 100, 1e-9); /* its time counts, its last method's share does not */
    job.seconds = 500;
    assert_float_equal(left(&job), 20 + 100, 1e-9); /* longer than thought: never nothing */
    tp_suite_learn(&made.plan, &job, true);         /* an earlier call did a part of it: this tells nothing */
    assert_true(isnan(made.known[2].evaluate_seconds));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_known_at_first, set_up),
        cmocka_unit_test_setup(the_first_training_tells_about_all, set_up),
        cmocka_unit_test_setup(a_training_that_goes_on_has_its_own_pace, set_up),
        cmocka_unit_test_setup(evaluations_tell_about_their_like, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
