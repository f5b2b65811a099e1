/* Scores of free answers: exact match and F1 against values of torchmetrics, numbers, codes, entities, diversity. */
#include "check.h"

#include "base/json.h"
#include "eval/text_scores.h"

#include <math.h>

static void exact_and_f1_are_those_of_squad(void **state) {
    (void)state;
    json_t *rows = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/text_scores.json"), *row;
    check_not_null(rows);
    size_t i, n_exact = 0;
    double sum = 0, worst = 0;
    json_array_foreach(rows, i, row) {
        const char *answer = json_string_value(json_object_get(row, "answer")), *golds[8] = {NULL};
        json_t *list = json_object_get(row, "golds");
        for (size_t g = 0; g < json_array_size(list); g++) golds[g] = json_string_value(json_array_get(list, g));
        bool exact = tp_score_exact(answer, strlen(answer), golds);
        double f1 = tp_score_f1(answer, strlen(answer), golds);
        double expected = json_number_value(json_object_get(row, "f1"));
        if (exact != (json_integer_value(json_object_get(row, "exact")) == 1) || fabs(f1 - expected) > 1e-6)
            fail_msg("\"%s\" against \"%s\", ...: exact %d, F1 %.9g; %.9g was expected", answer, golds[0], exact, f1,
                     expected);
        n_exact += exact;
        sum += f1;
        worst = fmax(worst, fabs(f1 - expected));
    }
    printf("%zu answers, %zu exact, mean F1 %.4f, largest difference %.2g\n", i, n_exact, sum / (double)i, worst);
    assert_true(i > 100 && n_exact > 10 && n_exact < i / 2);
    json_decref(rows);
    static const char *const golds[] = {"b\xFF c", NULL}; /* bytes that are no UTF-8 */
    assert_true(tp_score_exact("The b\xFF  C.", 9, golds));
    assert_false(tp_score_exact("b\xFE c", 4, golds));
}

static void the_last_number_counts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double number; /* NAN: none */
    } cases[] = {{"so 1,234.50 dollars.", 1234.5},
                 {"4 + 4 = 8", 8},
                 {"The answer is -3.", -3},
                 {"12-5", 5},
                 {"x-7", 7},
                 {"(-7)", -7},
                 {"#### 72", 72},
                 {"#### 72\nQuestion 5", 5},
                 {"1 #### 2 #### $3.", 3},
                 {"7 #### none", NAN},
                 {".5", 0.5},
                 {"-.25 of it", -0.25},
                 {"3.14.", 3.14},
                 {"1,000,000", 1e6},
                 {"in 10, 20 and 30%", 30},
                 {"no number", NAN},
                 {"", NAN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double number = 0;
        bool found = tp_score_last_number(cases[i].text, strlen(cases[i].text), &number);
        if (found != !isnan(cases[i].number) || (found && fabs(number - cases[i].number) > 1e-12))
            fail_msg("\"%s\": %s %g, expected %g", cases[i].text, found ? "found" : "none", number, cases[i].number);
    }
    static const char *const golds[] = {"1,006", NULL};
    assert_true(tp_score_number("that is 1006.0", 14, golds));
    assert_false(tp_score_number("that is 100", 11, golds));
    assert_false(tp_score_number("1006", 3, golds)); /* only n bytes count */
}

static void codes_are_read_digit_by_digit(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        int right;
        bool exact;
    } cases[] = {{" 71432.", 5, true}, {"is 71433", 4, false}, {"7143", 4, false}, {"714325", 5, false},
                 {"17432", 3, false},  {"none", 0, false},     {"", 0, false},     {"code 71432 or 5", 5, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_code_score s = tp_score_code(cases[i].answer, strlen(cases[i].answer), "71432");
        assert_int_equal(s.digits, 5);
        if (s.right != cases[i].right || s.exact != cases[i].exact)
            fail_msg("\"%s\": %d right, exact %d", cases[i].answer, s.right, s.exact);
    }
}

static void answers_are_scored_in_their_tasks_form(void **state) {
    (void)state;
    static const char *const golds[] = {"the 12345", NULL};
    tp_example example = {.label = -1, .answers = golds};
    tp_task task = {.kind = TP_TASK_TEXT, .answer_form = TP_ANSWER_WORDS};
    tp_answer_score s = tp_score_answer(&task, &example, "12345 it", 8);
    assert_false(s.exact);
    assert_true(fabs(s.part - 2.0 / 3) < 1e-12);
    task.answer_form = TP_ANSWER_NUMBER;
    s = tp_score_answer(&task, &example, "12345 it", 8);
    assert_true(s.exact && s.part == 1);
    task.answer_form = TP_ANSWER_CODE;
    example.answers = (const char *const[]){"12345", NULL};
    s = tp_score_answer(&task, &example, "12340", 5);
    assert_false(s.exact);
    assert_true(fabs(s.part - 0.8) < 1e-12);
}

static void entities_are_found_again(void **state) {
    (void)state;
    static const char from[] = "Yesterday Marie Curie sold 1,200 small bottles in Paris. The bottles cost 3.50 each; I "
                               "think Curie was happy about that.";
    static const char to[] = "curie had 1,200 BOTTLES, not 12, in Parisian shops";
    tp_entity_transfer t = {0};
    tp_score_entities(from, strlen(from), to, strlen(to), &t);
    assert_int_equal(t.numbers.named, 2); /* 1,200 and 3.50 */
    assert_int_equal(t.numbers.found, 1);
    assert_int_equal(t.names.named, 3); /* Marie, Curie, Paris: not the words that begin a sentence, not I */
    assert_int_equal(t.names.found, 1); /* Parisian is another word */
    assert_int_equal(t.nouns.named, 6); /* sold, small, bottles, cost, think, happy */
    assert_int_equal(t.nouns.found, 1);
    tp_score_entities(from, strlen(from), from, strlen(from), &t); /* counts add up */
    assert_int_equal(t.numbers.named, 4);
    assert_int_equal(t.numbers.found, 3);
    assert_int_equal(t.names.found, 4);
    assert_int_equal(t.nouns.found, 7);
    tp_entity_transfer none = {0};
    tp_score_entities("", 0, to, strlen(to), &none);
    assert_int_equal(none.numbers.named + none.names.named + none.nouns.named, 0);
    tp_score_entities("zur \xC3\x9C"
                      "bung in K\xC3\xB6ln\xFF",
                      19,
                      "\xC3\xBC"
                      "bung k\xC3\xB6ln",
                      12, &none);
    assert_int_equal(none.names.named, 2); /* capitals outside ASCII, bytes that are no UTF-8 */
    assert_int_equal(none.names.found, 2);
}

static void diversity_is_the_share_of_different_outputs(void **state) {
    (void)state;
    static const char *const outputs[] = {"a", " a\n", "b", "B"};
    assert_true(tp_score_diversity(outputs, 4) == 0.75);
    assert_true(tp_score_diversity(outputs, 1) == 1);
    assert_true(tp_score_diversity(NULL, 0) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_and_f1_are_those_of_squad),
        cmocka_unit_test(the_last_number_counts),
        cmocka_unit_test(codes_are_read_digit_by_digit),
        cmocka_unit_test(answers_are_scored_in_their_tasks_form),
        cmocka_unit_test(entities_are_found_again),
        cmocka_unit_test(diversity_is_the_share_of_different_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
