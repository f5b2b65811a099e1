/* Task and models of a recipe. See experiment.h. */
#include "train/experiment.h"

#include "bridge/checkpoint.h"

#include <string.h>

tp_task *tp_recipe_load_task(const tp_recipe *r) {
    return tp_task_load(&(tp_task_options){.name = r->task.name,
                                           .data = r->task.data,
                                           .train_file = r->task.train_file,
                                           .test_file = r->task.test_file,
                                           .text_column = r->task.text_column,
                                           .label_column = r->task.label_column,
                                           .valid_fraction = r->task.valid_fraction,
                                           .split_seed = r->task.split_seed,
                                           .max_train = (size_t)r->task.max_train,
                                           .max_test = (size_t)r->task.max_test,
                                           .drop_overlap = r->task.drop_overlap});
}

tp_recipe *tp_run_recipe(const char *run, const char *sender, const char *receiver) {
    tp_trained_bridge *trained = tp_bridge_load(run);
    if (trained == NULL) return NULL;
    tp_recipe *recipe = trained->recipe;
    trained->recipe = NULL; /* taken over */
    tp_recipe_set_text(&recipe->models.sender, sender ? sender : trained->sender.name);
    tp_recipe_set_text(&recipe->models.receiver, receiver ? receiver : trained->receiver.name);
    tp_trained_bridge_free(trained);
    return recipe;
}

tp_status tp_recipe_load_models(const tp_recipe *r, tp_lm **sender, tp_lm **receiver) {
    *sender = *receiver = NULL;
    if (r->models.sender == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "no sender: give --sender DIR, or `models.sender` in the recipe");
    if (r->models.receiver == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "no receiver: give --receiver DIR, or `models.receiver` in the recipe");
    *sender = tp_lm_load(r->models.sender, true);
    if (*sender == NULL) return tp_last_status();
    *receiver = strcmp(r->models.sender, r->models.receiver) == 0 ? *sender : tp_lm_load(r->models.receiver, true);
    if (*receiver) return TP_OK;
    tp_lm_free(*sender);
    *sender = NULL;
    return tp_last_status();
}

void tp_free_models(tp_lm *sender, tp_lm *receiver) {
    if (receiver != sender) tp_lm_free(receiver);
    tp_lm_free(sender);
}
