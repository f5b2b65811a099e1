/* eval/predictions, eval/tfidf and eval/words: scores counted by hand, vectors against scikit-learn's formulas, and the
 * baseline on small, synthetic and real data. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "eval/predictions.h"
#include "eval/tfidf.h"
#include "eval/words.h"

#include <math.h>

static void scores_are_counted(void **state) {
    (void)state;
    tp_example rows[5];
    for (int i = 0; i < 5; i++) rows[i] = (tp_example){.text = "", .label = i >= 3, .id = i};
    tp_dataset truth = {.examples = rows, .n = 5};
    tp_predictions p = tp_predictions_new(5);
    assert_int_equal(p.labels[4], -1);
    memcpy(p.labels, (int32_t[]){0, 0, 1, 1, -1}, 5 * sizeof(int32_t));
    tp_scores s = tp_scores_of(&p, &truth, 3);
    assert_int_equal(s.n_right, 3);
    assert_int_equal(s.n_invalid, 1);
    assert_true(fabs(s.accuracy - 0.6) < 1e-12 && fabs(s.invalid_rate - 0.2) < 1e-12);
    assert_true(fabs(s.class_accuracy[0] - 2.0 / 3) < 1e-12 && fabs(s.class_accuracy[1] - 0.5) < 1e-12);
    assert_true(isnan(s.class_accuracy[2]));
    const size_t confusion[] = {2, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0};
    assert_memory_equal(s.confusion, confusion, sizeof confusion);
    assert_true(fabs(s.macro_f1 - (0.8 + 0.5) / 2) < 1e-12); /* F1 4/5 and 2/4; the label nobody has does not count */
    tp_scores_free(&s);
    tp_predictions_free(&p);
    truth.n = 0;
    s = tp_scores_of(&p, &truth, 2);
    assert_true(isnan(s.accuracy) && isnan(s.macro_f1));
    tp_scores_free(&s);
}

static void tfidf_follows_its_formulas(void **state) {
    (void)state;
    tp_tfidf *t = tp_tfidf_new();
    tp_gram_count *texts[] = {tp_tfidf_count(t, "Ab ab, cd", 9, true), tp_tfidf_count(t, "cd", 2, true)};
    /* words in the order they are met: ab, "ab ab", cd, "ab cd"; then the characters of " ab ", " ab, " and " cd " */
    /* (" ab, " has 10, of which " a", "ab" and " ab" are those of " ab ") */
    assert_int_equal(tp_tfidf_size(t), 4 + 6 + 7 + 6);
    tp_tfidf_fit(t, texts, 2);
    struct feature_node *x = tp_tfidf_vector(t, texts[0]);
    double once = log(3.0 / 2) + 1; /* in one text of two; "cd", in both, weighs 1 */
    double words[] = {(1 + log(2)) * once, once, 1, once}, length = 0, characters = 0;
    for (int i = 0; i < 4; i++) length += words[i] * words[i];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(x[i].index, i + 1);
        assert_true(fabs(x[i].value - words[i] / sqrt(length)) < 1e-6);
    }
    size_t n = 4;
    for (; x[n].index <= (int)tp_tfidf_size(t); n++) characters += x[n].value * x[n].value;
    assert_true(fabs(characters - 1) < 1e-6);
    assert_int_equal(x[n].index, tp_tfidf_size(t) + 1); /* the bias */
    assert_true(x[n].value == 1);
    assert_int_equal(x[n + 1].index, -1);
    tp_free(x);
    tp_gram_count *other = tp_tfidf_count(t, "xyz", 3, false); /* nothing of it is known */
    assert_int_equal(other[0].index, 0);
    x = tp_tfidf_vector(t, other);
    assert_true(x[0].value == 1 && x[1].index == -1);
    tp_free(x);
    tp_free(other);
    other = tp_tfidf_count(t, "cd", 2, false);
    tp_tfidf_fit(t, &other, 1); /* of what the fitted text lacks nothing remains */
    x = tp_tfidf_vector(t, texts[0]);
    assert_int_equal(x[0].index, 3);
    tp_free(x);
    tp_free(other);
    other = tp_tfidf_count(t, "\xC3\xA9\xFF", 3, true); /* two characters between blanks: 3 + 2 + 1 grams, and a word */
    size_t grams = 0;
    while (other[grams].index) grams++;
    assert_int_equal(grams, 7);
    tp_free(other);
    tp_free(texts[0]);
    tp_free(texts[1]);
    tp_tfidf_free(t);
}

static double accuracy_on(const tp_task *task) {
    tp_predictions p;
    check_ok(tp_words_classify(task, &p));
    assert_int_equal(p.n, task->test.n);
    tp_scores s = tp_scores_of(&p, &task->test, task->n_labels);
    double accuracy = s.accuracy;
    assert_int_equal(s.n_invalid, 0);
    tp_scores_free(&s);
    tp_predictions_free(&p);
    return accuracy;
}

static void telling_words_are_learnt(void **state) {
    (void)state;
    static const char *const words[] = {"red", "blue", "green"};
    char *dir = check_temp_dir();
    char *train = tp_path_join(dir, "train.csv"), *test = tp_path_join(dir, "test.csv");
    for (int n_labels = 2; n_labels <= 3; n_labels++) {
        tp_writer *files[] = {tp_writer_open(train), tp_writer_open(test)};
        for (int f = 0; f < 2; f++) {
            tp_writer_printf(files[f], "text,label\n");
            for (int i = 0; i < (f ? 30 : 120); i++)
                tp_writer_printf(files[f], "the %s thing %d,%c\n", words[i % n_labels], i * (f ? 7 : 13),
                                 'z' - i % n_labels);
            check_ok(tp_writer_commit(files[f]));
        }
        tp_task *task = tp_task_load(&(tp_task_options){.train_file = train, .test_file = test});
        check_not_null(task);
        srand(5);
        int expected = rand();
        srand(5);
        assert_true(accuracy_on(task) == 1);
        assert_int_equal(rand(), expected); /* the caller's random numbers go on as if nothing had been drawn */
        tp_task_free(task);
    }
    tp_free(train);
    tp_free(test);
    check_remove_dir(dir);
}

static void the_demo_is_neither_trivial_nor_hopeless_for_words(void **state) {
    (void)state;
    tp_task *task = tp_task_load(&(tp_task_options){.name = "demo", .split_seed = 42});
    check_not_null(task);
    double accuracy = accuracy_on(task);
    printf("demo: words alone %.1f %%\n", 100 * accuracy);
    assert_true(accuracy > 0.6 && accuracy < 0.9);
    tp_task_free(task);
}

static void trec_gives_about_the_known_accuracy(void **state) {
    (void)state;
    check_needs_shared("data/trec/train_5500.label");
    tp_task *task = tp_task_load(&(tp_task_options){.name = "trec", .data = check_shared("data"), .split_seed = 42});
    check_not_null(task);
    tp_predictions first, second;
    check_ok(tp_words_classify(task, &first));
    check_ok(tp_words_classify(task, &second));
    assert_memory_equal(first.labels, second.labels, first.n * sizeof *first.labels);
    tp_scores s = tp_scores_of(&first, &task->test, task->n_labels);
    printf("trec: words alone %.1f %%\n", 100 * s.accuracy);
    assert_true(s.accuracy > 0.86);
    tp_scores_free(&s);
    tp_predictions_free(&first);
    tp_predictions_free(&second);
    tp_task_free(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_counted),
        cmocka_unit_test(tfidf_follows_its_formulas),
        cmocka_unit_test(telling_words_are_learnt),
        cmocka_unit_test(the_demo_is_neither_trivial_nor_hopeless_for_words),
        cmocka_unit_test(trec_gives_about_the_known_accuracy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
