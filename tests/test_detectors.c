/* The deliberate faults of the early phases: training says in words what is wrong with each, in its progress and in its
 * log, and says nothing of a healthy run. The thresholds of the older detectors are tested in test_train.c. */
#include "tiny_stage.h"

#include "train/detectors.h"

/* What a run says; to be freed. Its log is `log`, in the stage's folder. */
static char *words_of_run(const char *changes, char **log) {
    static int number;
    char *name = tp_format("run%d", number++), *out = tp_path_join(stage.dir, name),
         *path = tp_path_join(out, "log.jsonl");
    tp_recipe *recipe = tiny_recipe(changes);
    tiny_watcher watcher = {0};
    tp_progress *progress = tiny_progress(&watcher);
    tp_train_result result;
    check_ok(tp_train(&(tp_train_options){.recipe = recipe,
                                          .sender = stage.sender,
                                          .receiver = stage.receiver,
                                          .task = stage.task,
                                          .out = out,
                                          .progress = progress},
                      &result));
    tp_progress_free(progress);
    tp_recipe_free(recipe);
    size_t n;
    check_ok(tp_read_file(path, 0, log, &n));
    tp_free(name);
    tp_free(out);
    tp_free(path);
    return tp_str_take(&watcher.said);
}

static void check_said(const char *changes, const char *sentence) {
    char *log, *said = words_of_run(changes, &log);
    if (strstr(said, sentence) == NULL) fail_msg("%s: nobody said \"%s\":\n%s", changes, sentence, said);
    if (strstr(log, sentence) == NULL) fail_msg("%s: the log does not hold \"%s\"", changes, sentence);
    tp_free(said);
    tp_free(log);
}

/* ---- faults that were made ---- */

static void a_healthy_run_is_not_accused(void **state) {
    (void)state;
    char *log, *said = words_of_run("{\"bridge\": {\"width\": 32}}", &log);
    if (strstr(said, "warning")) fail_msg("%s", said);
    assert_null(strstr(log, "warning"));
    tp_free(said);
    tp_free(log);
}

static void an_anchor_by_squares_of_small_numbers_is_named(void **state) {
    (void)state;
    /* phase 3: squared distance, soft tokens far smaller than what they are held against */
    const char mse[] = "{\"bridge\": {\"scale\": \"tanh\"}, \"losses\": [{\"name\": \"lm\"}, {\"name\": \"anchor\", "
                       "\"weight\": %s, \"distance\": \"%s\"}]}";
    char *bad = tp_format(mse, "0.001", "mse"), *good = tp_format(mse, "1.0", "cosine"), *log;
    check_said(bad, "anchor is measured by the mean squared distance");
    check_said(bad, "the loss anchor hardly moves the bridge");
    char *said = words_of_run(good, &log);
    if (strstr(said, "loss anchor")) fail_msg("%s", said);
    tp_free(said);
    tp_free(log);
    tp_free(bad);
    tp_free(good);
}

static void a_diversity_without_gradient_is_named(void **state) {
    (void)state;
    /* phase 15: computed and logged, but nothing flowed back; here because a batch of one has no pairs */
    const char alone[] = "{\"optimiser\": {\"batch\": 1, \"steps\": 25}}";
    check_said(alone, "the loss diversity gives the bridge no gradient: it is computed, and teaches nothing");
    check_said(alone, "`optimiser.batch` is 1: it has no pairs");
}

static void another_primer_is_named(void **state) {
    (void)state;
    /* phase 3: asked behind another primer than the task's */
    check_said("{\"optimiser\": {\"steps\": 2}, \"primer\": \"Analysis of received thought vector:\"}",
               "primer mismatch: the recipe's primer is ");
}

static void a_loss_that_drowns_the_others_is_named(void **state) {
    (void)state;
    check_said("{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"diversity\", \"weight\": 100000}]}",
               "times all that asks for the answer");
}

/* ---- thresholds ---- */

typedef struct {
    double embedding_rms, answer_loss, other_loss;
    const char *words; /* NULL: silence */
} signs_case;

static void scales_and_shares_have_thresholds(void **state) {
    (void)state;
    const float soft[8] = {1, -1, 1, 1, -1, 1, -1, 1}; /* two examples, root mean square 1 */
    const signs_case cases[] = {
        {0, 0, 0, NULL},
        {1, 1, 1, NULL},
        {0.11, 1, 1, NULL},
        {9, 1, 1, NULL},
        {1.0 / 33, 1, 1, "33 times as loud"},
        {11, 1, 1, "0.0909 times as loud"},
        {1, 1, 99, NULL},
        {1, 1, 101, "101 times all that asks"},
        {1, 0, 101, NULL},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        tp_detectors d = tp_detectors_new();
        char sentence[256] = "";
        int spoke = 0;
        for (int step = 15; step < 40; step++) {
            bool fatal;
            tp_vital_signs signs = {.step = step,
                                    .loss = 2.0 - 0.01 * step,
                                    .gradient_norm = 1,
                                    .soft = soft,
                                    .n = 2,
                                    .width = 4,
                                    .embedding_rms = cases[c].embedding_rms,
                                    .answer_loss = cases[c].answer_loss,
                                    .other = "recon",
                                    .other_loss = cases[c].other_loss};
            spoke += tp_detectors_look(&d, &signs, sentence, sizeof sentence, &fatal);
            assert_false(fatal);
        }
        assert_int_equal(spoke, cases[c].words ? 1 : 0);
        if (cases[c].words && strstr(sentence, cases[c].words) == NULL) fail_msg("case %zu: %s", c, sentence);
    }
}

static void forces_are_compared_with_the_strongest(void **state) {
    (void)state;
    const tp_loss_force forces[] = {{"lm", 2.0}, {"diversity", 0}, {"anchor", 0.0019}, {"recon", 0.0021}};
    const char *const words[] = {NULL, "the loss diversity gives the bridge no gradient",
                                 "the loss anchor hardly moves the bridge: its gradient is 0.00095 of that of lm",
                                 NULL};
    for (int i = 0; i < 4; i++) {
        char sentence[256] = "";
        assert_true(tp_detectors_weigh(forces, 4, i, sentence, sizeof sentence) == (words[i] != NULL));
        if (words[i] && strstr(sentence, words[i]) == NULL) fail_msg("%s", sentence);
    }
    assert_true(tp_detectors_weigh_at(20) && tp_detectors_weigh_at(500) && tp_detectors_weigh_at(1000));
    assert_false(tp_detectors_weigh_at(0) || tp_detectors_weigh_at(21) || tp_detectors_weigh_at(499));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_run_is_not_accused),
        cmocka_unit_test(an_anchor_by_squares_of_small_numbers_is_named),
        cmocka_unit_test(a_diversity_without_gradient_is_named),
        cmocka_unit_test(another_primer_is_named),
        cmocka_unit_test(a_loss_that_drowns_the_others_is_named),
        cmocka_unit_test(scales_and_shares_have_thresholds),
        cmocka_unit_test(forces_are_compared_with_the_strongest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
