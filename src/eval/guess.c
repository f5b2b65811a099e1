/* Answers that never look at the text: a random label, and always the most frequent one. What is not above them has
 * learned nothing. */
#include "base/mem.h"
#include "base/rng.h"
#include "eval/method.h"

static tp_status guess(tp_eval *eval, tp_method_result *result) {
    const tp_task *task = eval->task;
    tp_rng rng = tp_rng_stream(eval->seed, "random labels", 0);
    tp_predictions *p = &result->readings[TP_READ_DIRECT].predictions;
    *p = tp_predictions_new(task->test.n);
    for (size_t i = 0; i < p->n; i++) p->labels[i] = (int32_t)tp_rng_below(&rng, (uint64_t)task->n_labels);
    return TP_OK;
}

/* The label most frequent in train and validation; of equals the first. */
static tp_status majority(tp_eval *eval, tp_method_result *result) {
    const tp_task *task = eval->task;
    size_t *counts = tp_alloc((size_t)task->n_labels * sizeof *counts);
    const tp_dataset *sets[] = {&task->train, &task->valid};
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < sets[s]->n; i++) counts[sets[s]->examples[i].label]++;
    int32_t most = 0;
    for (int32_t l = 1; l < task->n_labels; l++)
        if (counts[l] > counts[most]) most = l;
    tp_predictions *p = &result->readings[TP_READ_DIRECT].predictions;
    *p = tp_predictions_new(task->test.n);
    for (size_t i = 0; i < p->n; i++) p->labels[i] = most;
    result->setting = tp_format("always \"%s\"", task->labels[most].name);
    tp_free(counts);
    return TP_OK;
}

const tp_method tp_method_random = {
    .name = "random", .title = "random label", .group = TP_GROUP_NO_MODEL, .seeded = true, .run = guess};

const tp_method tp_method_majority = {.name = "majority",
                                      .title = "majority label",
                                      .group = TP_GROUP_NO_MODEL,
                                      .needs = TP_NEEDS_TRAINING,
                                      .run = majority};
