/* Training bridges with losses of their own: they learn the task, say how many codes they use in the log, in train.json
 * (as counted here once more) and in their card, and losses that they do not have are refused. */
#include "tiny_stage.h"

#include "bridge/codes.h"
#include "train/states.h"

#include <math.h>

static tp_status train(const char *name, const char *changes, tp_train_result *result) {
    tp_recipe *recipe = tiny_recipe(changes);
    char *out = tp_path_join(stage.dir, name);
    tp_status status = tp_train(
        &(tp_train_options){
            .recipe = recipe, .sender = stage.sender, .receiver = stage.receiver, .task = stage.task, .out = out},
        result);
    tp_recipe_free(recipe);
    tp_free(out);
    return status;
}

static char *text_of(const char *run, const char *file) {
    char *path = tp_format("%s/%s/%s", stage.dir, run, file);
    size_t n;
    char *text;
    check_ok(tp_read_file(path, 1 << 20, &text, &n));
    tp_free(path);
    return text;
}

/* The codes of the validation rows by the trained bridge, one text at a time. */
static tp_code_usage count_again(const char *run) {
    char *folder = tp_path_join(stage.dir, run);
    tp_relay *relay = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(relay);
    int64_t n = (int64_t)stage.task->valid.n, m = relay->recipe->bridge.soft_tokens;
    int parts = tp_code_parts(&relay->recipe->bridge);
    int32_t *all = tp_alloc((size_t)(n * m * parts) * sizeof *all);
    tp_state_cache *states =
        tp_state_cache_new(&relay->tap, stage.task->valid.examples, stage.task->valid.n, TP_CACHE_NONE, 0, NULL);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    for (int64_t i = 0; i < n; i++) {
        const int64_t *offsets;
        const int32_t *codes;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, &i, 1, &offsets);
        check_ok(tp_bridge_encode(tape, relay->bridge, hidden, offsets, 1, &codes, &parts));
        memcpy(all + i * m * parts, codes, (size_t)(m * parts) * sizeof *all);
    }
    tp_code_usage usage = tp_code_usage_of(all, n * m, parts);
    tp_free(all);
    tp_tape_free(tape);
    tp_state_cache_free(states);
    tp_relay_free(relay);
    tp_free(folder);
    return usage;
}

/* The number `key` in the last line of the log that has one. */
static double logged(const char *run, const char *key) {
    char *text = text_of(run, "log.jsonl"), *rest = text;
    double found = NAN;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
        json_t *value = json_loads(line, 0, NULL), *number = json_object_get(value, key);
        if (number) found = json_number_value(number);
        json_decref(value);
    }
    free(text);
    return found;
}

static void discrete_bridges_learn_and_count_their_codes(void **state) {
    (void)state;
    static const struct {
        const char *name, *changes, *loss, *card;
    } runs[] = {
        {"vq", "{\"bridge\": {\"kind\": \"vq\", \"codes\": 32}, \"optimiser\": {\"steps\": 400}}", "vq", "by 15 bits"},
        {"fsq", "{\"bridge\": {\"kind\": \"fsq\", \"levels\": [5, 5, 5]}, \"optimiser\": {\"steps\": 400}}", "fsq",
         "by 21 bits"},
    };
    for (int i = 0; i < 2; i++) {
        tp_train_result result;
        check_ok(train(runs[i].name, runs[i].changes, &result));
        assert_true(result.valid_accuracy > 0.4); /* of three labels, a third by chance */
        tp_code_usage usage = count_again(runs[i].name);
        char *text = text_of(runs[i].name, "train.json"), *card = text_of(runs[i].name, "README.md");
        json_t *outcome = json_loads(text, 0, NULL), *codes = json_object_get(outcome, "codes");
        assert_int_equal(json_integer_value(json_object_get(codes, "tokens")), usage.n);
        assert_int_equal(json_integer_value(json_object_get(codes, "used")), usage.different);
        assert_true(fabs(json_number_value(json_object_get(codes, "perplexity")) - usage.perplexity) < 1e-9);
        assert_true(usage.different > 2);
        assert_non_null(strstr(card, runs[i].card));
        assert_true(logged(runs[i].name, "codes_used") >= 1 && logged(runs[i].name, "code_perplexity") >= 1);
        assert_true(isfinite(logged(runs[i].name, runs[i].loss)));
        json_decref(outcome);
        free(text);
        free(card);
    }
}

/* By the flow alone: the receiver's losses are not even listed. Its error falls below that of a model that moves
 * nothing, which is the variance of x_1 - x_0, near 2. */
static void a_diffusion_learns_from_its_flow_alone(void **state) {
    (void)state;
    tp_train_result result;
    check_ok(train("flow",
                   "{\"bridge\": {\"kind\": \"diffusion\", \"steps\": 4, \"dropout\": 0},"
                   " \"losses\": [{\"name\": \"flow\"}], \"optimiser\": {\"steps\": 300, \"ema\": 0.9}}",
                   &result));
    assert_true(logged("flow", "flow") < 1.2);
    assert_true(isnan(logged("flow", "lm")));
    char *text = text_of("flow", "train.json");
    json_t *outcome = json_loads(text, 0, NULL);
    assert_null(json_object_get(outcome, "codes"));
    json_decref(outcome);
    free(text);
}

static void losses_of_other_families_are_refused(void **state) {
    (void)state;
    tp_train_result result;
    assert_int_equal(train("wrong", "{\"bridge\": {\"kind\": \"vq\"}, \"losses\": [{\"name\": \"fsq\"}]}", &result),
                     TP_ERR_UNSUPPORTED);
    assert_non_null(strstr(tp_last_error(), "`losses[0].name` is \"fsq\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discrete_bridges_learn_and_count_their_codes),
        cmocka_unit_test(a_diffusion_learns_from_its_flow_alone),
        cmocka_unit_test(losses_of_other_families_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
