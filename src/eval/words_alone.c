/* The words alone, as a method: see words.h. The row that every table carries. */
#include "eval/method.h"
#include "eval/words.h"

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_progress_begin(eval->progress, eval->doing, 1, "fit", NULL);
    tp_status status = tp_words_classify(eval->task, &result->readings[TP_READ_DIRECT].predictions);
    tp_progress_update(eval->progress, 1, 0, "%s", "");
    tp_progress_end(eval->progress);
    return status;
}

const tp_method tp_method_words = {.name = "words",
                                   .title = "words alone (TF-IDF)",
                                   .group = TP_GROUP_NO_MODEL,
                                   .needs = TP_NEEDS_TRAINING,
                                   .run = run};
