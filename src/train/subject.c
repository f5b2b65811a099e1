/* Tasks of a training. See subject.h. */
#include "train/subject.h"

#include "base/file.h"
#include "base/mem.h"
#include "train/experiment.h"

#include <string.h>

tp_status tp_subject_open(tp_subject *s, tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver,
                          const tp_task *task) {
    s->task = task;
    s->weight = 1;
    s->relay = tp_relay_new(recipe, sender, receiver, task);
    return s->relay ? tp_relay_read_prefix(s->relay) : tp_last_status();
}

/* The complete recipe with another task; losses without a weight are weighed by that task. */
static tp_recipe *recipe_for(const tp_recipe *raw, const tp_recipe *complete, int i) {
    json_t *given = tp_recipe_to_json(raw), *all = tp_recipe_to_json(complete),
           *losses = json_object_get(given, "losses");
    json_object_del(all, "losses");
    if (losses) json_object_set(all, "losses", losses);
    tp_recipe *recipe = tp_recipe_further(all, i);
    json_decref(given);
    json_decref(all);
    return recipe;
}

tp_status tp_subject_open_further(tp_subject *s, const tp_recipe *raw, const tp_subject *main, int i) {
    const tp_relay *first = main->relay;
    tp_recipe *recipe = recipe_for(raw, first->recipe, i);
    if (recipe == NULL) return tp_last_status();
    if (recipe->task.data == NULL && recipe->task.name) tp_recipe_set_text(&recipe->task.data, raw->task.data);
    s->own_task = tp_recipe_load_task(recipe);
    if (s->own_task == NULL) {
        tp_recipe_free(recipe);
        return tp_fail_context("`tasks[%d]`", i);
    }
    s->folder = recipe->task.name ? tp_strdup(recipe->task.name) : tp_format("task-%d", i + 2);
    TP_TRY(tp_subject_open(s, recipe, first->sender, first->receiver, s->own_task));
    s->weight = tp_recipe_further_weight(raw, i);
    return TP_OK;
}

static tp_status open_states(const tp_subject *s, const tp_dataset *set, const char *folder, const char *name,
                             int number, int64_t max_bytes, tp_state_cache **out) {
    char *file = number ? tp_format("states-%s-%d.cache", name, number + 1) : tp_format("states-%s.cache", name);
    char *path = tp_path_join(folder, file);
    *out = tp_state_cache_new(&s->relay->tap, set->examples, set->n, s->relay->recipe->cache.kind, max_bytes, path);
    tp_free(file);
    tp_free(path);
    return *out ? TP_OK : tp_last_status();
}

tp_status tp_subject_open_states(tp_subject *s, const char *folder, int number, int64_t max_bytes) {
    TP_TRY(open_states(s, &s->task->valid, folder, "valid", number, max_bytes, &s->valid_states));
    max_bytes -= tp_state_cache_describe(s->valid_states).most_bytes; /* what validation needs, training cannot have */
    return open_states(s, &s->task->train, folder, "train", number, max_bytes, &s->train_states);
}

tp_status tp_subject_share(tp_subject *s, const tp_subject *main, const tp_calibration *calibration) {
    tp_relay_set_bridge(s->relay, main->relay->bridge, s->task);
    s->aids = tp_loss_aids_new_sharing(s->relay, calibration, s->task, main->aids);
    return s->aids ? TP_OK : tp_last_status();
}

void tp_subject_set_seed(tp_subject *s, uint64_t seed) {
    bool balanced = s->relay->recipe->balanced && s->task->n_labels > 0; /* free answers have no classes */
    tp_sampler_free(s->sampler);
    s->sampler = tp_sampler_new(s->task->train.examples, s->task->train.n, s->task->n_labels, balanced, seed);
}

void tp_subject_close(tp_subject *s, bool first) {
    tp_state_cache_free(s->train_states);
    tp_state_cache_free(s->valid_states);
    tp_sampler_free(s->sampler);
    tp_loss_aids_free(s->aids);
    if (s->relay && s->relay->trained && !first) s->relay->trained->bridge = NULL; /* it is the first one's */
    tp_relay_free(s->relay);
    tp_task_free(s->own_task);
    tp_free(s->folder);
}

int tp_subject_draw(const tp_subject *subjects, int n, uint64_t seed, int64_t number) {
    if (n == 1) return 0;
    double sum = 0;
    for (int i = 0; i < n; i++) sum += subjects[i].weight;
    tp_rng rng = tp_rng_stream(seed, "task of a batch", (uint64_t)number);
    double left = tp_rng_uniform(&rng) * sum;
    int i = 0;
    while (i < n - 1 && left >= subjects[i].weight) left -= subjects[i++].weight;
    return i;
}
