/* Words alone on the original data sets: accuracy and time. Usage: bench_words DATA [TASK...] */
#include "eval/words.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: %s DATA [TASK...]\n", argv[0]), 2;
    int n_names = 0, n = argc - 2;
    while (tp_task_names()[n_names]) n_names++;
    for (int i = 0; i < (n ? n : n_names); i++) {
        const char *name = n ? argv[2 + i] : tp_task_names()[i];
        tp_task *task = tp_task_load(
            &(tp_task_options){.name = name, .data = strcmp(name, "demo") ? argv[1] : NULL, .split_seed = 42});
        tp_predictions predictions;
        double start = tp_now();
        if (task == NULL || tp_words_classify(task, &predictions) != TP_OK) {
            fprintf(stderr, "%s\n", tp_last_error());
            return 1;
        }
        double seconds = tp_now() - start;
        tp_scores scores = tp_scores_of(&predictions, &task->test, task->n_labels);
        printf("%-14s %5.1f %% of %zu, macro F1 %.1f, %zu test texts also in train, %.1f s\n", name,
               100 * scores.accuracy, scores.n, 100 * scores.macro_f1, task->n_overlap, seconds);
        for (int32_t l = 0; l < task->n_labels && task->n_labels < 10; l++)
            printf("    %-14s %5.1f\n", task->labels[l].name, 100 * scores.class_accuracy[l]);
        fflush(stdout);
        tp_scores_free(&scores);
        tp_predictions_free(&predictions);
        tp_task_free(task);
    }
    return 0;
}
