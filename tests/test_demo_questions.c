/* The demonstration's questions: as many as promised, balanced, all different, the same every time, and no template or
 * word of test in train. */
#include "check.h"

#include "base/mem.h"
#include "base/str.h"
#include "data/description.h"
#include "data/split.h"
#include "data/task.h"

#include <ctype.h>

static void the_promised_questions_come_out(void **state) {
    (void)state;
    tp_task *task = tp_task_load(&(tp_task_options){.name = "demo", .split_seed = 42});
    check_not_null(task);
    assert_true(task->synthetic);
    assert_non_null(strstr(task->title, "synthetic"));
    assert_int_equal(task->n_labels, 6);
    assert_int_equal(task->train.n + task->valid.n, 4000);
    assert_int_equal(task->valid.n, 400);
    assert_int_equal(task->test.n, 600);
    assert_int_equal(task->n_overlap, 0);
    size_t counts[6] = {0}, what[6] = {0};
    for (size_t i = 0; i < task->test.n; i++) counts[task->test.examples[i].label]++;
    for (int l = 0; l < 6; l++) assert_int_equal(counts[l], 100);
    tp_text_groups groups;
    tp_text_groups_build(&groups, task->train.examples, task->train.n);
    assert_int_equal(groups.n_groups, task->train.n); /* no text twice */
    tp_text_groups_free(&groups);
    tp_text_groups_build(&groups, task->test.examples, task->test.n);
    assert_int_equal(groups.n_groups, task->test.n);
    tp_text_groups_free(&groups);
    for (size_t i = 0; i < task->train.n; i++) {
        const char *text = task->train.examples[i].text;
        assert_null(strpbrk(text, "{}|"));
        assert_true(isupper((unsigned char)text[0]));
        char last = text[task->train.examples[i].len - 1];
        assert_true(last == '?' || last == '.');
        what[task->train.examples[i].label] += strstr(text, "What") != NULL || strstr(text, "what") != NULL;
    }
    for (int l = 0; l < 6; l++) assert_true(what[l] > 100); /* the first word does not give the class away */
    for (int i = 0; i < 12; i++)
        printf("  %-12s %s\n", task->labels[task->test.examples[i].label].name, task->test.examples[i].text);
    tp_task *again = tp_task_load(&(tp_task_options){.name = "demo", .split_seed = 42});
    assert_string_equal(task->train.fingerprint, again->train.fingerprint);
    assert_string_equal(task->test.fingerprint, again->test.fingerprint);
    tp_task_free(again);
    tp_task_free(task);
}

static bool occurs_as_words(const char *text, const char *words) {
    size_t n = strlen(words);
    for (const char *p = text; (p = strcasestr(p, words)) != NULL; p++)
        if ((p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[n])) return true;
    return false;
}

static void no_word_or_template_of_test_stands_in_train(void **state) {
    (void)state;
    tp_arena *arena = tp_arena_new();
    tp_task description = {0};
    tp_description d;
    check_ok(tp_description_load("demo", arena, &description, &d));
    tp_task *task = tp_task_load(&(tp_task_options){.name = "demo"});
    tp_str all = {0};
    for (size_t i = 0; i < task->train.n; i++) tp_str_appendf(&all, "%s\n", task->train.examples[i].text);
    for (size_t i = 0; i < task->valid.n; i++) tp_str_appendf(&all, "%s\n", task->valid.examples[i].text);
    const char *name;
    json_t *list, *entry;
    size_t i, n_words = 0;
    json_object_foreach(json_object_get(d.generator, "lists"), name, list) {
        n_words += json_array_size(json_object_get(list, "train"));
        json_array_foreach(json_object_get(list, "test"), i, entry) {
            const char *words = json_string_value(entry);
            if (tp_starts_with(words, "the ") || tp_starts_with(words, "an ") || tp_starts_with(words, "a "))
                words = strchr(words, ' ') + 1;
            n_words++;
            if (occurs_as_words(all.data, words)) fail_msg("\"%s\" of test (%s) stands in train", words, name);
        }
    }
    assert_true(n_words > 500);
    json_object_foreach(json_object_get(d.generator, "templates"), name, list) {
        const json_t *train = json_object_get(list, "train");
        assert_true(json_array_size(train) >= 25);
        json_array_foreach(json_object_get(list, "test"), i, entry) for (size_t j = 0; j < json_array_size(train); j++)
            assert_string_not_equal(json_string_value(entry), json_string_value(json_array_get(train, j)));
    }
    tp_str_free(&all);
    tp_task_free(task);
    tp_description_free(&d);
    tp_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_promised_questions_come_out),
        cmocka_unit_test(no_word_or_template_of_test_stands_in_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
