/* Tasks of kind text through training and evaluation: a tiny pair learns to write the kind of thing a passage is about,
 * in SQuAD's files. What is validated, written and judged is checked against the parts it is made of. A receiver with
 * random weights cannot be led to write whole answers, so what training must do is make the gold ones likelier; and to
 * see right answers among the wrong ones, what the bridge makes it write is declared gold for every other row. */
#include "tiny_pair.h"

#include "base/mem.h"
#include "base/str.h"
#include "eval/ask.h"
#include "eval/evaluate.h"
#include "eval/table.h"
#include "eval/text_scores.h"
#include "train/trainer.h"
#include "train/validate.h"

#include <math.h>
#include <omp.h>

enum { N_TRAIN = 150, N_TEST = 30, N_STEPS = 200 };

static char *dir, *run;
static tp_lm *sender, *receiver;
static tp_task *task;

static const char *const short_answers[3] = {"x", "y", "z"};

/* Texts `from` to `to` - 1 as SQuAD's own layout, the answer in two spellings. */
static void write_squad(const char *name, int from, int to) {
    tp_str out = {0};
    tp_str_append_text(&out, "{\"data\":[{\"title\":\"t\",\"paragraphs\":[");
    for (int k = from; k < to; k++) {
        char text[128];
        tiny_pair_text(k, text, sizeof text);
        tp_str_appendf(&out,
                       "%s{\"context\":\"%s\",\"qas\":[{\"question\":\"Kind?\",\"answers\":[{\"text\":\"%s\"},"
                       "{\"text\":\"the %s.\"}]}]}",
                       k > from ? "," : "", text, short_answers[k % 3], short_answers[k % 3]);
    }
    tp_str_append_text(&out, "]}]}");
    char *path = tp_path_join(dir, name);
    check_ok(tp_write_file(path, out.data, out.len));
    tp_str_free(&out);
    tp_free(path);
}

static tp_recipe *recipe_of(int steps) {
    char *path = tp_path_join(dir, "tiny.json");
    tp_recipe *recipe = tp_recipe_load(path);
    check_not_null(recipe);
    recipe->optimiser.steps = steps;
    tp_free(path);
    return recipe;
}

static tp_status train(const tp_task *on, int steps, const char *out, tp_train_result *result) {
    tp_recipe *recipe = recipe_of(steps);
    tp_status status = tp_train(
        &(tp_train_options){.recipe = recipe, .sender = sender, .receiver = receiver, .task = on, .out = out}, result);
    tp_recipe_free(recipe);
    return status;
}

static int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1);
    dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_recipe(dir, "tiny.json", 600);
    write_squad("train-v1.1.json", 0, N_TRAIN);
    write_squad("dev-v1.1.json", N_TRAIN, N_TRAIN + N_TEST);
    sender = tiny_pair_load(dir, "sender");
    receiver = tiny_pair_load(dir, "receiver");
    task = tp_task_load(&(tp_task_options){.name = "squad", .data = dir, .split_seed = 42});
    check_not_null(task);
    run = tp_path_join(dir, "run");
    tp_train_result result;
    check_ok(train(task, N_STEPS, run, &result));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    tp_free(run);
    check_remove_dir(dir);
    return 0;
}

/* What the trained bridge makes the receiver write for a row, and how likely each row's first gold answer is. */
static char *written_for(const tp_relay *relay, const tp_example *row, double *likelihood) {
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    tp_state_cache *states = tp_state_cache_new(&relay->tap, row, 1, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    const int64_t *offsets, first = 0;
    tp_var *hidden = tp_state_cache_fetch(states, tape, &first, 1, &offsets);
    tp_var *soft = tp_relay_soft(relay, tape, hidden, offsets, 1);
    tp_prompts prompts;
    char *answer;
    tp_ids gold = {0};
    check_ok(tp_relay_prompts(relay, tape, soft, row, 1, &prompts));
    check_ok(tp_relay_generate(relay, &prompts, TP_LONGEST_FREE_ANSWER, &answer));
    check_ok(tp_layout_encode_answer(relay->layout, row->answers[0], strlen(row->answers[0]), &gold));
    check_ok(tp_score_answers(receiver, relay->recipe->math, &prompts, &gold, 1, likelihood));
    tp_ids_free(&gold);
    tp_state_cache_free(states);
    tp_tape_free(tape);
    return answer;
}

static void validation_measures_the_gold_answer(void **state) {
    (void)state;
    enum { N = 12 };
    tp_relay *relay = tp_relay_load(run, sender, receiver);
    check_not_null(relay);
    assert_int_equal(relay->n_labels, 0);
    assert_int_equal(tp_relay_longest_answer(relay), TP_LONGEST_FREE_ANSWER);
    double nll = 0;
    int right = 0;
    for (int i = 0; i < N; i++) {
        double likelihood;
        char *answer = written_for(relay, &task->test.examples[i], &likelihood);
        const char *text = answer;
        size_t n = strlen(answer);
        while (n > 0 && *text == ' ') text++, n--;
        nll -= likelihood;
        right += strcmp(text, task->test.examples[i].answers[0]) == 0;
        tp_free(answer);
    }
    tp_state_cache *states = tp_state_cache_new(&relay->tap, task->test.examples, N, TP_CACHE_MEMORY, 1 << 20, NULL);
    check_not_null(states);
    tp_validation v;
    check_ok(tp_validate(relay, states, &task->test, N, &v));
    assert_true(fabs(v.loss - nll / N) < 1e-3 * (1 + nll / N));
    assert_true(fabs(v.accuracy - (double)right / N) < 1e-9);
    tp_state_cache_free(states);
    tp_relay_free(relay);
}

static double accuracy_of(const tp_results *r, const tp_method *m) {
    const tp_method_result *result = tp_results_get(r, m);
    if (result == NULL) fail_msg("%s did not run", m->name);
    assert_null(result->readings[TP_READ_SCORE].predictions.labels); /* there is nothing to score */
    const int32_t *labels = result->readings[TP_READ_GENERATE].predictions.labels;
    assert_non_null(labels);
    size_t right = 0;
    for (size_t i = 0; i < r->truth.n; i++) {
        assert_in_range(labels[i] + 1, 0, 2);
        right += labels[i] == 1;
    }
    return (double)right / (double)r->truth.n;
}

static double loss_of(const char *folder) {
    tp_relay *relay = tp_relay_load(folder, sender, receiver);
    check_not_null(relay);
    tp_state_cache *states =
        tp_state_cache_new(&relay->tap, task->test.examples, task->test.n, TP_CACHE_MEMORY, 1 << 20, NULL);
    tp_validation v;
    check_ok(tp_validate(relay, states, &task->test, (int64_t)task->test.n, &v));
    tp_state_cache_free(states);
    tp_relay_free(relay);
    return v.loss;
}

static void training_makes_the_gold_answers_likelier(void **state) {
    (void)state;
    char *early = tp_path_join(dir, "early");
    tp_train_result result;
    check_ok(train(task, 2, early, &result));
    double before = loss_of(early), after = loss_of(run);
    printf("loss of a test answer: %.2f after 2 steps, %.2f after %d\n", before, after, N_STEPS);
    assert_true(after < 0.8 * before);
    tp_free(early);
}

/* Every other row is answered right by the run's bridge from now on: gold is what it writes. */
static size_t declare_gold(void) {
    static char *golds[N_TEST];
    static const char *lists[N_TEST][2], *const never[] = {"something that is never written", NULL};
    tp_relay *relay = tp_relay_load(run, sender, receiver);
    check_not_null(relay);
    size_t n_right = 0;
    for (size_t i = 0; i < task->test.n; i++) {
        double likelihood;
        tp_example *row = &task->test.examples[i];
        golds[i] = written_for(relay, row, &likelihood);
        lists[i][0] = golds[i]; /* kept until the program ends: the task points to it */
        bool right = i % 2 == 0 && strspn(golds[i], " \n") < strlen(golds[i]);
        row->answers = right ? lists[i] : never;
        n_right += right;
    }
    tp_relay_free(relay);
    return n_right;
}

static void methods_write_and_are_judged(void **state) {
    (void)state;
    size_t n_right = declare_gold();
    tp_results *r;
    const char *runs[] = {run};
    check_ok(tp_evaluate_runs(
        &(tp_evaluate_options){
            .task = task, .sender = sender, .receiver = receiver, .runs = runs, .n_runs = 1, .n_timed = 2},
        &r));
    int ran = 0;
    for (int m = 0; tp_methods[m]; m++) {
        bool wanted = tp_methods[m]->free_answers && !tp_methods[m]->on_request;
        assert_true((tp_results_get(r, tp_methods[m]) != NULL) == wanted);
        ran += wanted;
    }
    assert_true(ran >= 10);
    assert_true(r->free_answers);
    double bridge = accuracy_of(r, &tp_method_bridge);
    printf("%zu of %zu rows made right; zero %.1f %%\n", n_right, r->truth.n, 100 * accuracy_of(r, &tp_method_zero));
    assert_true(n_right > 5 && n_right < r->truth.n);
    assert_true(fabs(bridge - (double)n_right / (double)r->truth.n) < 1e-9);
    /* row by row: what is written by the same bridge, judged by the same scores */
    tp_relay *relay = tp_relay_load(run, sender, receiver);
    double f1 = 0;
    tp_entity_transfer entities = {0};
    char **answers = tp_alloc(task->test.n * sizeof *answers);
    const tp_method_result *result = tp_results_get(r, &tp_method_bridge);
    for (size_t i = 0; i < task->test.n; i++) {
        double likelihood;
        const tp_example *row = &task->test.examples[i];
        char *answer = written_for(relay, row, &likelihood);
        assert_int_equal(result->readings[TP_READ_GENERATE].predictions.labels[i] == 1,
                         tp_score_exact(answer, strlen(answer), row->answers));
        f1 += tp_score_f1(answer, strlen(answer), row->answers);
        tp_score_entities(row->text, row->len, answer, strlen(answer), &entities);
        answers[i] = answer;
    }
    assert_true(entities.nouns.named > 0); /* else nothing below would say anything */
    char *expected = tp_format("F1 %.1f %%; ", 100 * f1 / (double)task->test.n);
    char *nouns =
        tp_format("nouns %.1f %% found again; ", 100 * (double)entities.nouns.found / (double)entities.nouns.named);
    char *different = tp_format("; %.1f %% of the answers different",
                                100 * tp_score_diversity((const char *const *)answers, task->test.n));
    if (!strstr(result->note, nouns) || !strstr(result->note, different))
        fail_msg("the note is \"%s\", without \"%s\" or \"%s\"", result->note, nouns, different);
    for (size_t i = 0; i < task->test.n; i++) tp_free(answers[i]);
    tp_free(answers);
    tp_free(nouns);
    tp_free(different);
    for (int m = 0; tp_methods[m]; m++) { /* every method says what its answers are worth in part */
        const tp_method_result *asked = tp_results_get(r, tp_methods[m]);
        if (asked) assert_non_null(strstr(asked->note, "F1 "));
    }
    if (strstr(result->note, expected) == NULL) fail_msg("the note is \"%s\", not \"%s\"", result->note, expected);
    tp_free(expected);
    tp_relay_free(relay);
    /* kept in a file and shown in a table like every other result */
    tp_results *again;
    check_ok(tp_evaluate_load(runs, 1, &again));
    assert_true(again->free_answers);
    assert_true(accuracy_of(again, &tp_method_bridge) == bridge);
    const tp_results *shown[] = {again};
    char *table = tp_eval_table(shown, 1, NULL, TP_TABLE_PLAIN), *notes = tp_eval_notes(shown, 1, NULL);
    assert_non_null(strstr(table, "30 test rows, free answers: all or nothing; sender"));
    assert_non_null(strstr(notes, "bridge: F1 "));
    tp_free(table);
    tp_free(notes);
    tp_results_free(again);
    tp_results_free(r);
}

static void long_answers_are_cut(void **state) {
    (void)state;
    tp_relay *relay = tp_relay_load(run, sender, receiver);
    check_not_null(relay);
    char words[400] = "";
    for (int i = 0; i < 70; i++) strcat(words, "red ");
    tp_arena *arena = tp_arena_new();
    tp_layout_item item = {.text = ""};
    tp_example row = {.label = -1, .answers = (const char *const[]){words, NULL}};
    check_ok(tp_relay_target(relay, &row, arena, &item));
    assert_int_equal(item.n_answer, TP_LONGEST_FREE_ANSWER);
    assert_int_equal(item.answer[item.n_answer - 1], tp_layout_eos(relay->layout));
    tp_arena_free(arena);
    tp_relay_free(relay);
}

static void what_has_no_training_file_is_not_trained(void **state) {
    (void)state;
    char *away = tp_path_join(dir, "train-v1.1.json"), *aside = tp_path_join(dir, "aside"),
         *out = tp_path_join(dir, "none");
    assert_int_equal(rename(away, aside), 0);
    tp_task *bare = tp_task_load(&(tp_task_options){.name = "squad", .data = dir});
    check_not_null(bare);
    tp_train_result result;
    assert_int_equal(train(bare, 5, out, &result), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "the task squad cannot be trained on: its train-v1.1.json is not in"));
    tp_task_free(bare);
    assert_int_equal(rename(aside, away), 0);
    tp_free(away);
    tp_free(aside);
    tp_free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validation_measures_the_gold_answer),
        cmocka_unit_test(training_makes_the_gold_answers_likelier),
        cmocka_unit_test(long_answers_are_cut),
        cmocka_unit_test(what_has_no_training_file_is_not_trained),
        cmocka_unit_test(methods_write_and_are_judged), /* the last: it changes the task */
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
