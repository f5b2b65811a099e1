/* analysis/: texts altered as each kind says, by rule and by seed; methods measured on them; and a bridge asked about
 * another task. */
#include "tiny_finished_run.h"

#include "analysis/alter.h"
#include "analysis/perturb.h"
#include "analysis/synonyms.h"
#include "analysis/transfer.h"
#include "base/mem.h"

/* ---- altering ---- */

static tp_dataset texts_of(const char *const *texts, const int32_t *labels, size_t n) {
    tp_dataset set = {.examples = tp_alloc(n * sizeof *set.examples), .n = n};
    for (size_t i = 0; i < n; i++)
        set.examples[i] = (tp_example){.text = texts[i], .len = strlen(texts[i]), .label = labels[i]};
    return set;
}

static const char *const some[] = {"The film is great, it was very funny and not boring at all.",
                                   "Who wrote \"Emma\"? Nobody knows.", "x", "",
                                   "caf\xE9 d\xC3\xA9j\xC3\xA0 vu 1234 !!"};
static const int32_t some_labels[] = {0, 1, 0, 0, 1};

static int kind_of(const char *name) {
    for (int k = 0; tp_alterations[k].name; k++)
        if (strcmp(tp_alterations[k].name, name) == 0) return k;
    fail_msg("there is no alteration %s", name);
    return -1;
}

static char *alter(size_t row, const char *kind, double strength, uint64_t seed) {
    tp_dataset set = texts_of(some, some_labels, 5);
    char *out = tp_alter_text(&set, row, kind_of(kind), strength, seed);
    tp_free(set.examples);
    return out;
}

static void expect(size_t row, const char *kind, double strength, const char *expected) {
    char *out = alter(row, kind, strength, 1);
    if (strcmp(out, expected) != 0) fail_msg("%s %g gave \"%s\", expected was \"%s\"", kind, strength, out, expected);
    tp_free(out);
}

static void every_kind_is_a_function_of_seed_and_row(void **state) {
    (void)state;
    for (int k = 0; tp_alterations[k].name; k++)
        for (int s = 0; s < tp_alterations[k].n_strengths; s++) {
            assert_true(s == 0 || tp_alterations[k].strengths[s] > tp_alterations[k].strengths[s - 1]);
            for (size_t row = 0; row < 5; row++) {
                char *one = alter(row, tp_alterations[k].name, tp_alterations[k].strengths[s], 3);
                char *two = alter(row, tp_alterations[k].name, tp_alterations[k].strengths[s], 3);
                assert_string_equal(one, two);
                tp_free(one);
                tp_free(two);
            }
        }
    char *a = alter(0, "typos", 0.6, 1), *b = alter(0, "typos", 0.6, 2);
    assert_string_not_equal(a, b);
    tp_free(a);
    tp_free(b);
}

static int by_letter(const void *a, const void *b) {
    return *(const char *)a - *(const char *)b;
}

/* Words of two texts, as sorted letters, are the same. */
static bool same_letters(const char *a, const char *b) {
    char x[256], y[256];
    snprintf(x, sizeof x, "%s", a);
    snprintf(y, sizeof y, "%s", b);
    qsort(x, strlen(x), 1, by_letter);
    qsort(y, strlen(y), 1, by_letter);
    return strcmp(x, y) == 0;
}

static size_t count_words(const char *text) {
    size_t n = 0;
    for (const char *c = text; *c; c++) n += *c != ' ' && (c == text || c[-1] == ' ');
    return n;
}

static size_t equal_words(const char *a, const char *b) {
    size_t n = 0;
    while (*a && *b) {
        size_t la = strcspn(a, " "), lb = strcspn(b, " ");
        n += la == lb && memcmp(a, b, la) == 0;
        a += la + (a[la] == ' ');
        b += lb + (b[lb] == ' ');
    }
    return n;
}

static void typos_touch_the_share_of_words(void **state) {
    (void)state;
    static const struct {
        double share;
        size_t touched;
    } cases[] = {{0.1, 1}, {0.3, 4}, {0.6, 8}}; /* of 13 words, rounded */
    for (int c = 0; c < 3; c++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            char *out = alter(0, "typos", cases[c].share, seed);
            assert_int_equal(count_words(out), 13);
            size_t touched = 13 - equal_words(some[0], out);
            assert_true(touched <= cases[c].touched && touched + 3 > cases[c].touched); /* two equal letters may swap */
            assert_true(strlen(out) + cases[c].touched >= strlen(some[0]) &&
                        strlen(out) <= strlen(some[0]) + cases[c].touched);
            assert_non_null(strchr(out, '.')); /* punctuation stays */
            tp_free(out);
        }
    expect(2, "typos", 0.6, "x"); /* nothing to slip in */
    expect(3, "typos", 0.6, "");
}

static void word_order_keeps_the_words(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        char *out = alter(0, "word order", 1, seed), *few = alter(0, "word order", 0.25, seed);
        assert_true(same_letters(out, some[0]) && same_letters(few, some[0]));
        assert_int_equal(equal_words(out, some[0]), 0); /* every word moves; no word of this text stands twice */
        assert_int_equal(equal_words(few, some[0]), 13 - 3);
        tp_free(out);
        tp_free(few);
    }
    expect(2, "word order", 1, "x");
}

static void foreign_words_come_in_between(void **state) {
    (void)state;
    char *out = alter(0, "random words", 1, 5);
    assert_int_equal(count_words(out), 26);
    const char *at = out; /* its own words stand there in their order */
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", some[0]);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        at = strstr(at, word);
        assert_non_null(at);
        at += strlen(word);
    }
    tp_free(out);
}

static void synonyms_keep_form_and_capitals(void **state) {
    (void)state;
    expect(0, "synonyms", 1, "The movie is excellent, it was extremely amusing and not dull at all.");
    char *half = alter(0, "synonyms", 0.5, 1);
    assert_int_equal(equal_words(half, some[0]), 13 - 3); /* of five that the table knows */
    tp_free(half);
    const char *const text[] = {"Film, FILM; films?"};
    tp_dataset set = texts_of(text, some_labels, 1);
    char *out = tp_alter_text(&set, 0, kind_of("synonyms"), 1, 1);
    assert_string_equal(out, "Movie, Movie; movies?");
    tp_free(out);
    tp_free(set.examples);
    assert_string_equal(tp_synonym("movie", 5), "film");
    assert_null(tp_synonym("filmy", 5));
    assert_string_equal(tp_synonym("filmy", 4), "movie"); /* the first four letters only */
    assert_null(tp_synonym("", 0));
}

static void negation_finds_the_verb(void **state) {
    (void)state;
    expect(0, "negation", 1, "The film is not great, it was very funny and not boring at all.");
    expect(0, "negation", 2, "The film is not great, it was not very funny and not boring at all.");
    expect(1, "negation", 1, "It is not true that Who wrote \"Emma\"? Nobody knows.");
    const char *const text[] = {"This is not good."};
    tp_dataset set = texts_of(text, some_labels, 1);
    char *out = tp_alter_text(&set, 0, kind_of("negation"), 1, 1);
    assert_string_equal(out, "This is good."); /* taken back */
    tp_free(out);
    tp_free(set.examples);
}

static void contradictions_take_the_other_side(void **state) {
    (void)state;
    char *one = alter(0, "contradiction", 1, 1), *half = alter(0, "contradiction", 2, 1);
    assert_true(strncmp(one, some[0], strlen(some[0])) == 0 && strlen(one) > strlen(some[0]) + 10);
    assert_true(strncmp(half, some[0], strlen(some[0])) == 0);
    for (uint64_t seed = 0; seed < 20; seed++) { /* the whole of a text of the other label follows */
        char *all = alter(0, "contradiction", 3, seed);
        const char *rest = strstr(all, " On the other hand, ");
        assert_non_null(rest);
        rest += strlen(" On the other hand, ");
        assert_true(strcmp(rest, some[1]) == 0 || strcmp(rest, some[4]) == 0);
        tp_free(all);
    }
    tp_free(one);
    tp_free(half);
    const char *const alone[] = {"a", "b"};
    const int32_t equal[] = {1, 1};
    tp_dataset set = texts_of(alone, equal, 2); /* nobody to contradict: a sentence does it */
    char *out = tp_alter_text(&set, 0, kind_of("contradiction"), 3, 1);
    assert_null(strstr(out, "On the other hand"));
    assert_true(strlen(out) > 10);
    tp_free(out);
    tp_free(set.examples);
}

static void paraphrases_hold_the_text(void **state) {
    (void)state;
    for (int s = 1; s <= 2; s++) {
        char *out = alter(1, "paraphrase", s, 9);
        assert_non_null(strstr(out, some[1]));
        assert_true(strlen(out) > strlen(some[1]) + (s == 1 ? 5 : 40));
        tp_free(out);
    }
}

/* ---- methods on altered texts ---- */

static const json_t *method_at(const json_t *list, size_t i, const char *name) {
    const json_t *m = json_array_get(list, i);
    assert_string_equal(json_string_value(json_object_get(m, "method")), name);
    return m;
}

static double number(const json_t *object, const char *key) {
    if (!json_is_number(json_object_get(object, key))) fail_msg("`%s` is no number", key);
    return json_number_value(json_object_get(object, key));
}

static void methods_are_measured_on_all_variants(void **state) {
    (void)state;
    tp_eval eval = tiny_run_eval();
    const tp_method *const methods[] = {&tp_method_bridge, &tp_method_words, &tp_method_majority};
    json_t *document = tp_perturb(&eval, methods, 3);
    check_not_null(document);
    const json_t *before = json_object_get(document, "before");
    double right = number(method_at(before, 0, "bridge"), "accuracy");
    /* what the methods say of the texts as they are is what they say by themselves */
    tp_method_result plain = tp_method_result_new();
    tp_kept kept = {0};
    eval.kept = &kept;
    eval.test_states = tp_state_cache_new(&relay->tap, task->test.examples, task->test.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(eval.test_states);
    check_ok(tp_method_bridge.run(&eval, &plain));
    size_t hits = 0;
    for (size_t i = 0; i < task->test.n; i++)
        hits += plain.readings[TP_READ_SCORE].predictions.labels[i] == task->test.examples[i].label;
    assert_true(fabs(right - (double)hits / (double)task->test.n) < 1.5 / (double)task->test.n); /* a tie, in a batch */
    tp_method_result_free(&plain);
    tp_state_cache_free(eval.test_states);
    tp_kept_free(&kept);

    size_t v, kinds = 0;
    json_t *variant;
    json_array_foreach(json_object_get(document, "variants"), v, variant) {
        const json_t *list = json_object_get(variant, "methods"), *majority = method_at(list, 2, "majority");
        assert_true(number(majority, "change") == 0 && number(majority, "answers_changed") == 0);
        assert_true(number(majority, "p") == 1 && number(majority, "p_holm") == 1);
        const json_t *bridge = method_at(list, 0, "bridge");
        assert_true(fabs(number(bridge, "accuracy") - right - number(bridge, "change")) < 1e-12);
        double difference = (number(bridge, "only_after") - number(bridge, "only_before")) / (double)task->test.n;
        assert_true(fabs(number(bridge, "change") - difference) < 1e-12);
        assert_true(number(bridge, "p_holm") >= number(bridge, "p"));
        if (number(variant, "texts_changed") > 0) {
            const json_t *example = json_object_get(variant, "example");
            assert_string_not_equal(json_string_value(json_object_get(example, "before")),
                                    json_string_value(json_object_get(example, "after")));
        }
        kinds++;
    }
    assert_int_equal(kinds, 18);
    char *text = tp_perturb_text(document);
    assert_non_null(strstr(text, "as they are"));
    assert_non_null(strstr(text, "contradiction"));
    tp_free(text);
    json_decref(document);
}

static void an_interruption_ends_it(void **state) {
    (void)state;
    volatile sig_atomic_t stop = 1;
    tp_eval eval = tiny_run_eval();
    eval.stop = &stop;
    const tp_method *const methods[] = {&tp_method_bridge};
    assert_null(tp_perturb(&eval, methods, 1));
    assert_int_equal(tp_last_status(), TP_ERR_CANCELLED);
}

/* ---- another task ---- */

/* A task of two labels on the same texts: is it about a colour? */
static tp_task *other_task(void) {
    for (int test = 0; test < 2; test++) {
        char *path = tp_path_join(dir, test ? "other-test.csv" : "other-train.csv");
        tp_writer *w = tp_writer_open(path);
        check_not_null(w);
        tp_writer_printf(w, "text,label\n");
        for (int k = test ? 90 : 0; k < (test ? 135 : 90); k++) {
            char text[128];
            tiny_pair_text(k, text, sizeof text);
            tp_writer_printf(w, "\"%s\",%s\n", text, k % 3 == 0 ? "yes" : "no");
        }
        check_ok(tp_writer_commit(w));
        free(path);
    }
    char *train = tp_path_join(dir, "other-train.csv"), *test = tp_path_join(dir, "other-test.csv");
    tp_task *other = tp_task_load(&(tp_task_options){.train_file = train, .test_file = test, .split_seed = 42});
    check_not_null(other);
    free(train);
    free(test);
    return other;
}

static const json_t *find(const json_t *document, const char *method, const char *reading) {
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(document, "methods"), i,
                       m) if (strcmp(json_string_value(json_object_get(m, "method")), method) == 0 &&
                              strcmp(json_string_value(json_object_get(m, "reading")), reading) == 0) return m;
    fail_msg("no %s by %s", method, reading);
    return NULL;
}

static void a_bridge_is_asked_about_another_task(void **state) {
    (void)state;
    tp_task *other = other_task();
    tp_eval eval = tiny_run_eval();
    eval.task = other;
    for (int prompt = 0; prompt < 2; prompt++) {
        json_t *document = tp_transfer(&eval, prompt);
        check_not_null(document);
        assert_true(number(document, "chance") == 0.5);
        assert_true(fabs(number(find(document, "majority", "direct"), "accuracy") - 30.0 / 45) < 1e-9);
        /* colours against the rest is a coarsening of what the bridge was trained to tell: its packets hold it */
        assert_true(number(find(document, "probe_packet", "direct"), "accuracy") > 0.75);
        assert_true(number(find(document, "probe_mean", "direct"), "accuracy") > 0.75);
        assert_true(number(find(document, "words", "direct"), "accuracy") > 0.9);
        assert_true(json_is_null(json_object_get(find(document, "majority", "direct"), "p")));
        find(document, "bridge", "score");
        find(document, "bridge", "generate");
        find(document, "shuffled", "score");
        assert_true(number(find(document, "zero", "score"), "invalid") == 0);
        char *text = tp_transfer_text(document);
        assert_non_null(strstr(text, "Zero-shot the bridge of"));
        assert_non_null(strstr(text, "A linear probe reads"));
        tp_free(text);
        json_decref(document);
    }
    assert_int_equal(relay->n_labels, 3); /* the run's relay is as it was */
    assert_string_equal(relay->label_names[0], task->labels[0].name);
    tp_task_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_a_function_of_seed_and_row),
        cmocka_unit_test(typos_touch_the_share_of_words),
        cmocka_unit_test(word_order_keeps_the_words),
        cmocka_unit_test(foreign_words_come_in_between),
        cmocka_unit_test(synonyms_keep_form_and_capitals),
        cmocka_unit_test(negation_finds_the_verb),
        cmocka_unit_test(contradictions_take_the_other_side),
        cmocka_unit_test(paraphrases_hold_the_text),
        cmocka_unit_test(methods_are_measured_on_all_variants),
        cmocka_unit_test(an_interruption_ends_it),
        cmocka_unit_test(a_bridge_is_asked_about_another_task),
    };
    return cmocka_run_group_tests(tests, tiny_run_set_up, tiny_run_tear_down);
}
