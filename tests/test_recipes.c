/* The recipes that come with the program, and what is said of a recipe before it is run: every shipped one can be read,
 * completed and trained; a comment is no part of a run; each mistake has its sentence; names find their file. */
#include "tiny_training.h"

#include "bridge/recipe_check.h"
#include "bridge/recipe_list.h"
#include "data/description.h"
#include "eval/suite.h"

static tp_recipe *recipe_of(const char *text) {
    json_t *value = tp_json_load_bytes(text, strlen(text), "r.json");
    check_not_null(value);
    tp_recipe *recipe = tp_recipe_from_json(value, "r.json");
    json_decref(value);
    return recipe;
}

/* ---- those that are shipped ---- */

static void check_comment(const tp_listed_recipe *item) {
    const tp_recipe_comment *c = &item->recipe->comment;
    const char *const texts[] = {c->did, c->reported, c->verdict, c->where};
    for (int i = 0; i < 4; i++)
        if (texts[i] == NULL || strlen(texts[i]) < 10) fail_msg("%s: its comment lacks something", item->name);
}

/* Completes the recipe by its task; sentences of the kind "wrong" fail the test. */
static void check_recipe(const tp_listed_recipe *item) {
    tp_arena *arena = tp_arena_new();
    tp_task task = {0};
    tp_description description;
    if (item->recipe->task.name == NULL) fail_msg("%s: it names no task", item->name);
    check_ok(tp_description_load(item->recipe->task.name, arena, &task, &description));
    tp_description_free(&description);
    tp_recipe_complete(item->recipe, task.kind == TP_TASK_TEXT ? 0 : task.n_labels, task.primer);
    json_t *found = tp_recipe_check(item->recipe, &task), *one;
    size_t i;
    json_array_foreach(found, i, one) if (strcmp(json_string_value(json_object_get(one, "what")), "wrong") == 0)
        fail_msg("%s: %s", item->name, json_string_value(json_object_get(one, "sentence")));
    json_decref(found);
    tp_arena_free(arena);
    if (item->recipe->latentwire == NULL) assert_true(tp_bridge_count(&item->recipe->bridge, 256, 192) > 0);
}

static void every_shipped_recipe_can_be_trained(void **state) {
    (void)state;
    tp_recipe_list list;
    check_ok(tp_recipe_list_read(TP_SOURCE_DIR "/recipes", &list));
    bool phases[21] = {false};
    for (size_t i = 0; i < list.n; i++) {
        check_recipe(&list.items[i]);
        if (strncmp(list.items[i].name, "phases/", 7) != 0) continue;
        check_comment(&list.items[i]);
        int number = atoi(list.items[i].name + 7);
        assert_in_range(number, 1, 20);
        phases[number] = true;
    }
    for (int p = 1; p <= 20; p++)
        if (!phases[p]) fail_msg("there is no recipe of phase %d", p);
    tp_recipe_list_free(&list);
}

static void a_recipe_is_found_by_what_people_call_it(void **state) {
    (void)state;
    tp_recipe_list list;
    check_ok(tp_recipe_list_read(TP_SOURCE_DIR "/recipes", &list));
    static const char *const names[] = {"phases/15a-vq", "15a-vq", "15a", "vq"};
    for (size_t i = 0; i < 4; i++) {
        char *path = tp_recipe_find(&list, names[i]);
        check_not_null(path);
        assert_true(tp_ends_with(path, "/recipes/phases/15a-vq.json"));
        tp_free(path);
    }
    char *path = tp_recipe_find(&list, TP_SOURCE_DIR "/recipes/trec.json"); /* a file is taken as it is */
    assert_string_equal(path, TP_SOURCE_DIR "/recipes/trec.json");
    tp_free(path);
    assert_null(tp_recipe_find(&list, "sst2")); /* one of ours, and the words of phase 17 */
    assert_non_null(strstr(tp_last_error(), "both sst2 and phases/17-sst2"));
    assert_null(tp_recipe_find(&list, "99"));
    assert_non_null(strstr(tp_last_error(), "no recipe `99`"));
    tp_recipe_list_free(&list);
    assert_int_not_equal(tp_recipe_list_read(TP_SOURCE_DIR "/no-such-folder", &list), TP_OK);
    tp_recipe_list_free(&list);
}

static void every_shipped_suite_can_be_read(void **state) {
    (void)state;
    static const char *const suites[] = {"phases", "latentwire", "ablation",  "controls", "demo",   "latency",
                                         "layers", "paper",      "quantised", "reverse",  "tokens", "train-size"};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        char *path = tp_format("%s/recipes/suites/%s.json", TP_SOURCE_DIR, suites[i]);
        tp_suite *suite = tp_suite_load(path, NULL);
        check_not_null(suite);
        bool comments = true;
        for (size_t c = 0; c < suite->n; c++)
            comments = comments && json_object_get(suite->cells[c].where, "comment") != NULL;
        assert_true(comments == (i < 2)); /* what the report shows beside its own verdict */
        if (i == 0) assert_int_equal(suite->n, 72);
        tp_suite_free(suite);
        tp_free(path);
    }
}

/* ---- keys ---- */

static void a_comment_is_no_part_of_a_run(void **state) {
    (void)state;
    tp_recipe *with = recipe_of("{\"comment\": {\"did\": \"a\", \"reported\": \"b\", \"verdict\": \"c\", "
                                "\"where\": \"d\", \"here\": \"e\"}, \"seed\": 3}");
    tp_recipe *without = recipe_of("{\"seed\": 3}");
    check_not_null(with);
    assert_string_equal(with->comment.verdict, "c");
    assert_null(without->comment.did);
    json_t *a = tp_recipe_to_json(with), *b = tp_recipe_to_json(without);
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    tp_recipe_free(with);
    tp_recipe_free(without);
    assert_null(recipe_of("{\"comment\": {\"verdikt\": \"a\"}}"));
    assert_non_null(strstr(tp_last_error(), "comment.verdikt"));
}

static void what_is_learned_may_begin_with_the_text(void **state) {
    (void)state;
    tiny_stage stage = tiny_stage_make();
    static const char *const targets[] = {"answer", "text_and_answer"};
    const tp_example *example = &stage.task->train.examples[0];
    const char *label = stage.task->labels[example->label].name;
    char *expected[] = {tp_format(" %s", label), tp_format(" %s\nSay: %s", example->text, label)};
    for (int i = 0; i < 2; i++) {
        char *changes = tp_format("{\"target\": \"%s\", \"primer\": \"Say:\"}", targets[i]);
        tp_recipe *recipe = tiny_recipe(changes);
        json_t *written = tp_recipe_to_json(recipe); /* the default is not written: recipes of before stay the same */
        assert_true((json_object_get(written, "target") != NULL) == (i == 1));
        tp_recipe *again = tp_recipe_from_json(written, "again");
        assert_true(again->target == recipe->target);
        tp_recipe_free(again);
        json_decref(written);
        tp_relay *relay = tp_relay_new(recipe, stage.sender, stage.receiver, stage.task);
        check_not_null(relay);
        tp_arena *arena = tp_arena_new();
        tp_layout_item item = {0};
        check_ok(tp_relay_target(relay, example, arena, &item));
        assert_int_equal(item.answer[item.n_answer - 1], tp_layout_eos(relay->layout));
        size_t n;
        char *text = tp_tokenizer_decode(stage.receiver->tokenizer, item.answer, item.n_answer - 1, 0, &n);
        if (strcmp(text, expected[i]) != 0 && strcmp(text, expected[i] + 1) != 0)
            fail_msg("\"%s\" was to be learned, not \"%s\"", text, expected[i]);
        tp_free(text);
        tp_arena_free(arena);
        tp_relay_free(relay);
        tp_free(changes);
        tp_free(expected[i]);
    }
    tiny_stage_free(&stage);
}

/* ---- what is wrong ---- */

static void each_mistake_has_its_sentence(void **state) {
    (void)state;
    const tp_task two = {.kind = TP_TASK_CLASSES, .n_labels = 2, .primer = "Sentiment:"},
                  six = {.kind = TP_TASK_CLASSES, .n_labels = 6, .primer = "Type:"},
                  open = {.kind = TP_TASK_TEXT, .primer = "The answer is"};
    const struct {
        const char *recipe;
        const tp_task *task;
        const char *what, *words; /* NULL: nothing is to be said */
    } cases[] = {
        {"{}", &two, NULL, NULL},
        {"{}", &six, NULL, NULL},
        {"{}", &open, NULL, NULL},
        {"{}", NULL, NULL, NULL},
        {"{\"layout\": \"{bos}{primer}\"}", &six, "wrong", "no place {soft}"},
        {"{\"layout\": \"{soft}{primer}\"}", &six, "unusual", "has no {bos}"},
        {"{\"primer\": \"Analysis:\"}", &six, "unusual", "primer mismatch: the recipe's primer is \"Analysis:\""},
        {"{\"primer\": \"Type:\"}", &six, NULL, NULL},
        {"{\"layout\": \"{bos}{soft}\"}", &six, "unusual", "never reads the primer \"Type:\""},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"diversity\", \"weight\": 0.1}]}", &two, "unusual",
         "the task has 2 classes"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"diversity\", \"weight\": 0.1}]}", &six, NULL, NULL},
        {"{\"optimiser\": {\"batch\": 1}}", &six, "wrong", "it has no pairs"},
        {"{\"optimiser\": {\"batch\": 1}}", &two, NULL, NULL},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"contrastive\"}]}", &six, "wrong", "both are the same"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"contrastive\"}], \"bridge\": {\"dropout\": 0.1}}", &six, NULL,
         NULL},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"contrastive\", \"positives\": \"label\"}]}", &open, "wrong",
         "free answers"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"anchor\", \"distance\": \"mse\"}]}", &six, "unusual",
         "mean squared distance"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"anchor\"}]}", &six, NULL, NULL},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"anchor\", \"target\": \"question\"}]}", &six, "unusual",
         "work against each other"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"vq\"}]}", &six, "wrong", "\"perceiver\" do not have"},
        {"{\"bridge\": {\"kind\": \"vq\"}, \"losses\": [{\"name\": \"lm\"}]}", &six, "unusual", "no weight here"},
        {"{\"losses\": [{\"name\": \"lm\", \"weight\": 0}]}", &six, "wrong", "nothing to learn"},
        {"{\"losses\": [{\"name\": \"anchor\"}]}", &six, "unusual", "no loss asks for the answer"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"first_token\", \"schedule\": {\"kind\": \"anneal\", "
         "\"from\": 2000, \"to\": 2100}}]}",
         &six, "wrong", "begins at step 2000, but training ends at 2000"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"first_token\", \"schedule\": {\"kind\": \"anneal\", "
         "\"from\": 1000, \"to\": 2100}}]}",
         &six, "unusual", "full weight at step 2100"},
        {"{\"bridge\": {\"soft_tokens\": 128}}", &six, "unusual", "128 soft tokens"},
        {"{\"optimiser\": {\"warmup\": 2000}}", &six, "unusual", "2000 of 2000 steps"},
        {"{\"early_stopping\": {\"every\": 2001}}", &six, "unusual", "only the last bridge"},
        {"{\"bridge\": {\"scale\": \"tanh\"}}", &six, "unusual", "tanh"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_recipe *recipe = recipe_of(cases[i].recipe);
        check_not_null(recipe);
        const tp_task *task = cases[i].task;
        tp_recipe_complete(recipe,
                           task == NULL                 ? 3
                           : task->kind == TP_TASK_TEXT ? 0
                                                        : task->n_labels,
                           task ? task->primer : NULL);
        json_t *found = tp_recipe_check(recipe, task), *first = json_array_get(found, 0);
        if (json_array_size(found) != (cases[i].words ? 1 : 0))
            fail_msg("%s: %zu sentences: %s", cases[i].recipe, json_array_size(found), json_dumps(found, 0));
        if (cases[i].words) {
            assert_string_equal(json_string_value(json_object_get(first, "what")), cases[i].what);
            const char *sentence = json_string_value(json_object_get(first, "sentence"));
            if (strstr(sentence, cases[i].words) == NULL) fail_msg("%s: %s", cases[i].recipe, sentence);
        }
        json_decref(found);
        tp_recipe_free(recipe);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shipped_recipe_can_be_trained),
        cmocka_unit_test(a_recipe_is_found_by_what_people_call_it),
        cmocka_unit_test(every_shipped_suite_can_be_read),
        cmocka_unit_test(a_comment_is_no_part_of_a_run),
        cmocka_unit_test(what_is_learned_may_begin_with_the_text),
        cmocka_unit_test(each_mistake_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
