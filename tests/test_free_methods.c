/* eval/: what methods that can answer in words must be true of, beyond what test_methods says of them with labels: few
 * shots, and the receiver tuned. The task is the tiny pair's, each text's label being its gold answer. */
#include "tiny_scene.h"

#include <string.h>

/* The task with free answers: the labels' names, or of the odd rows of train one of two lines. */
typedef struct free_scene {
    tp_task task;
    tp_relay relay;
    scene scene;
} free_scene;

static void open_free(free_scene *f, bool lines) {
    static const char *const names[3][2] = {{"colour"}, {"animal"}, {"number"}}, *const two[2] = {"two\nlines"};
    f->task = *task;
    f->task.kind = TP_TASK_TEXT;
    f->task.n_labels = 0;
    tp_dataset *sets[3] = {&f->task.train, &f->task.valid, &f->task.test};
    for (int k = 0; k < 3; k++) {
        size_t bytes = sets[k]->n * sizeof *sets[k]->examples;
        sets[k]->examples = memcpy(tp_alloc(bytes), sets[k]->examples, bytes);
        for (size_t i = 0; i < sets[k]->n; i++) {
            tp_example *e = &sets[k]->examples[i];
            e->answers = lines && k == 0 && i % 2 ? two : names[e->label];
            e->label = -1;
        }
    }
    open_scene(&f->scene, &f->task);
    f->relay = *relay;
    f->relay.n_labels = 0;
    f->scene.eval.relay = &f->relay;
}

static void close_free(free_scene *f) {
    close_scene(&f->scene);
    tp_free(f->task.train.examples);
    tp_free(f->task.valid.examples);
    tp_free(f->task.test.examples);
}

/* Share of right answers; what is written only, since there are no labels to score. */
static double right(const free_scene *f, const tp_method_result *r) {
    const tp_predictions *p = &r->readings[TP_READ_GENERATE].predictions;
    assert_null(r->readings[TP_READ_SCORE].predictions.labels);
    assert_int_equal(p->n, f->task.test.n);
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) n += p->labels[i] == 1;
    return (double)n / (double)p->n;
}

static void shots_are_lines(void **state) {
    (void)state;
    free_scene f;
    open_free(&f, true);
    const tp_dataset *train = &f.task.train;
    int n, found = 0;
    char *text = shots_of(&f.scene, sender, 100000, &n), *rest = text;
    bool seen[200] = {false};
    for (char *end; (end = strstr(rest, "\n\n")) != NULL; rest = end + 2, found++) {
        *end = 0;
        size_t row = 0;
        for (; row < train->n; row++) {
            const tp_example *e = &train->examples[row];
            char wanted[512];
            snprintf(wanted, sizeof wanted, "Text: %s\nLabel: %s", e->text, e->answers[0]);
            if (row % 2 == 0 && strcmp(rest, wanted) == 0 && !seen[row]) break;
        }
        if (row == train->n) fail_msg("\"%s\" is no shot", rest);
        seen[row] = true;
    }
    assert_true(*rest == 0 && found == 8 && n == 8);
    tp_free(text);
    tp_method_result result = ask(&f.scene, &tp_method_receiver_shots);
    assert_non_null(strstr(result.setting, "shots of at most 8 fit into 128 tokens"));
    right(&f, &result);
    tp_method_result_free(&result);
    close_free(&f);
}

static void tuning_teaches_the_receiver(void **state) {
    (void)state;
    free_scene f;
    open_free(&f, false);
    f.scene.eval.prompt_steps = 0;
    int64_t steps = relay->recipe->optimiser.steps;
    relay->recipe->optimiser.steps = 600;
    tp_method_result before = ask(&f.scene, &tp_method_receiver), lora = ask(&f.scene, &tp_method_lora);
    relay->recipe->optimiser.steps = steps;
    assert_true(right(&f, &before) < 0.05); /* it was never taught the words */
    if (right(&f, &lora) < 0.5) fail_msg("LoRA brought the receiver to %g only", right(&f, &lora));
    assert_non_null(strstr(lora.setting, " nats an answer"));
    f.scene.eval.prompt_steps = 20;
    tp_method_result prompt = ask(&f.scene, &tp_method_prompt_tuning);
    assert_non_null(strstr(prompt.setting, " nats an answer"));
    right(&f, &prompt);
    tp_method_result_free(&before);
    tp_method_result_free(&lora);
    tp_method_result_free(&prompt);
    close_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shots_are_lines),
        cmocka_unit_test(tuning_teaches_the_receiver),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
