/* Deranged labels: the bridge's answers judged against labels that are permuted so that none stays itself. What is
 * measured is whether the judging can tell right from wrong: a bridge that is right must be wrong here. With two labels
 * there is one such permutation, and this row is what the bridge gets wrong.
 *
 * Answers are what is kept of a method, so it is they that are renamed, by the inverse permutation: an answer then
 * equals the true label where the bridge's own equals the permuted one. */
#include "base/mem.h"
#include "eval/latent.h"
#include "eval/results.h"

#include <math.h>

/* The label that each answer becomes. */
static void rename_answers(tp_predictions *p, const int64_t *becomes) {
    for (size_t i = 0; p->labels && i < p->n; i++)
        if (p->labels[i] >= 0) p->labels[i] = (int32_t)becomes[p->labels[i]];
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    const tp_task *task = eval->task;
    if (task->n_labels < 2) {
        result->note = tp_strdup("one label alone cannot become another");
        return TP_OK;
    }
    const tp_method_result *bridge = eval->found ? tp_results_get(eval->found, &tp_method_bridge) : NULL;
    if (bridge)
        *result = tp_method_result_copy(bridge);
    else
        TP_TRY(tp_method_bridge.run(eval, result));
    /* any permutation without a fixed point has an inverse that is one, too: it need not be inverted */
    int64_t *becomes = tp_derangement((size_t)task->n_labels, eval->seed, "deranged labels");
    for (tp_reading r = 0; r < TP_N_READINGS; r++) {
        tp_answers *a = &result->readings[r];
        rename_answers(&a->predictions, becomes);
        a->per_second = NAN; /* no relay of its own that could be timed */
        for (int p = 0; p < TP_N_PHASES; p++) a->ms[p] = NAN;
    }
    tp_free(becomes);
    tp_free(result->setting);
    tp_free(result->note);
    result->setting = NULL;
    result->note = task->n_labels == 2 ? tp_strdup("with two labels this is what the bridge gets wrong") : NULL;
    return TP_OK;
}

const tp_method tp_method_deranged = {.name = "deranged",
                                      .title = "deranged labels",
                                      .group = TP_GROUP_CONTROL,
                                      .needs =
                                          TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE | TP_NEEDS_TRAINING,
                                      .seeded = true,
                                      .run = run};
