/* train/ema: the average by its formula, and in training: it is what is validated and kept, it does not touch what is
 * learned, and a run killed half way ends with the same bytes. */
#include "tiny_stage.h"

#include "lm/safetensors.h"
#include "train/optimizer.h"

#include <math.h>

static void the_average_follows_its_formula(void **state) {
    (void)state;
    tp_params params = {0};
    tp_weight a = {0}, b = {0};
    tp_params_attach(&params, &a, "a", 2, 3);
    tp_params_attach(&params, &b, "b", 1, 1);
    tp_weight_init_normal(&a, 1, 1);
    tp_weight_init_value(&b, 5);
    tp_adamw *adamw =
        tp_adamw_new(&params, &(tp_adamw_options){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .ema = 0.25});
    double expected[7];
    for (int i = 0; i < 6; i++) expected[i] = tp_weight_values(&a)[i];
    expected[6] = 5;
    for (int t = 1; t <= 9; t++) {
        for (int i = 0; i < 6; i++) a.grad[i] = (float)sin(i + t);
        b.grad[0] = t == 4 ? NAN : 1; /* an update that is not made moves nothing */
        tp_adamw_step(adamw, 0.1, 1);
        double updates = t < 4 ? t : t - 1, decay = fmin(0.25, updates / (updates + 9));
        for (int i = 0; i < 7 && t != 4; i++) {
            double now = i < 6 ? tp_weight_values(&a)[i] : tp_weight_values(&b)[0];
            expected[i] = decay * expected[i] + (1 - decay) * now;
        }
        for (int i = 0; i < 7; i++) assert_true(fabs(adamw->ema->values[i] - expected[i]) < 1e-5);
    }
    float kept = tp_weight_values(&a)[2];
    tp_ema_swap(adamw->ema);
    assert_true(fabs(tp_weight_values(&a)[2] - expected[2]) < 1e-5 && adamw->ema->values[2] == kept);
    assert_true(fabs(tp_weight_values(&b)[0] - expected[6]) < 1e-5);
    tp_ema_swap(adamw->ema);
    assert_true(tp_weight_values(&a)[2] == kept);
    tp_ema_restart(adamw->ema);
    assert_true(adamw->ema->values[2] == kept && adamw->ema->values[6] == tp_weight_values(&b)[0]);
    tp_ema_swap(NULL);
    tp_adamw_free(adamw);
    tp_params_free(&params);
}

/* Trains in the stage's folder `name`, to be stopped at a step (0: never). */
static tp_status train(const char *name, const char *changes, int64_t stop_at) {
    tp_recipe *recipe = tiny_recipe(changes);
    tiny_watcher watcher = {.stop_at = stop_at};
    tp_progress *progress = tiny_progress(&watcher);
    char *out = tp_path_join(stage.dir, name);
    tp_train_result result;
    tp_status status = tp_train(&(tp_train_options){.recipe = recipe,
                                                    .sender = stage.sender,
                                                    .receiver = stage.receiver,
                                                    .task = stage.task,
                                                    .out = out,
                                                    .stop = &watcher.stop,
                                                    .progress = progress},
                                &result);
    tp_progress_free(progress);
    tp_str_free(&watcher.said);
    tp_recipe_free(recipe);
    tp_free(out);
    return status;
}

/* Validated at step 20 only: so that is the bridge that is kept. */
#define ONCE "\"early_stopping\": {\"every\": 20, \"patience\": 0}"
static const char without[] = "{\"optimiser\": {\"steps\": 20}, " ONCE "}";
static const char with[] = "{\"optimiser\": {\"steps\": 20, \"ema\": 0.9}, " ONCE "}";

static tp_safetensors *open_file(const char *run, const char *name) {
    char *path = tp_format("%s/%s/%s", stage.dir, run, name);
    tp_safetensors *file = tp_safetensors_open(path);
    check_not_null(file);
    tp_free(path);
    return file;
}

/* How many tensors of the bridge are the same bytes as the tensor of that name behind `prefix` in the other file; all
 * of those that are there are counted in *found. */
static int count_equal(const tp_safetensors *bridge, const tp_safetensors *other, const char *prefix, int *found) {
    int same = 0;
    *found = 0;
    for (size_t i = 0; i < tp_safetensors_count(bridge); i++) {
        const tp_st_tensor *t = tp_safetensors_get(bridge, i), *o;
        char *name = tp_format("%s%s", prefix, t->name);
        if ((o = tp_safetensors_find(other, name)) != NULL) {
            ++*found;
            same += o->n_bytes == t->n_bytes && memcmp(o->data, t->data, t->n_bytes) == 0;
        }
        tp_free(name);
    }
    return same;
}

static void the_average_is_what_is_kept_and_training_goes_on_without_it(void **state) {
    (void)state;
    check_ok(train("without", without, 0));
    check_ok(train("with", with, 0));
    tp_safetensors *kept = open_file("with", "adapter_model.safetensors");
    tp_safetensors *own = open_file("with", "state.safetensors"), *plain = open_file("without", "state.safetensors");
    int found, all, same = count_equal(kept, own, "ema.", &all);
    assert_true(same == all && all > 10);
    same = count_equal(kept, own, "", &found);
    assert_true(same < found / 2); /* and it is not what the optimiser holds */
    tp_safetensors *last = open_file("without", "adapter_model.safetensors");
    same = count_equal(last, own, "", &found);
    assert_true(same == all && found == all); /* which is the same as without an average */
    assert_int_equal(tp_safetensors_count(own), 4 * all);
    assert_int_equal(tp_safetensors_count(plain), 3 * all);
    tp_safetensors_close(kept);
    tp_safetensors_close(own);
    tp_safetensors_close(plain);
    tp_safetensors_close(last);
}

static void a_killed_run_ends_with_the_same_bytes(void **state) {
    (void)state;
    static const char often[] = "{\"optimiser\": {\"steps\": 24, \"ema\": 0.9}}"; /* validates at 10 and 20, too */
    check_ok(train("whole", often, 0));
    assert_int_equal(train("killed", often, 13), TP_ERR_CANCELLED);
    check_ok(train("killed", often, 0));
    char *whole = tp_path_join(stage.dir, "whole"), *killed = tp_path_join(stage.dir, "killed");
    assert_true(tiny_same_folders(whole, killed));
    /* the state of a run with an average is not one of a run without */
    assert_int_equal(train("whole", "{\"optimiser\": {\"steps\": 24}}", 0), TP_ERR_FORMAT);
    tp_free(whole);
    tp_free(killed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_average_follows_its_formula),
        cmocka_unit_test(the_average_is_what_is_kept_and_training_goes_on_without_it),
        cmocka_unit_test(a_killed_run_ends_with_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
