/* LoRA (Hu et al., ICLR 2022): the receiver itself is tuned to read the text, by factors of rank 8 beside the query and
 * value projections of every block, which are the ones that paper adapts; alpha is 16. It is the opponent that may
 * change the receiver, which the bridge never does; losses, sampling and updates are the bridge's. Three learning rates
 * are tried (tuning.h). */
#include "base/mem.h"
#include "eval/texts.h"
#include "eval/tuning.h"

static const double rates[] = {3e-4, 2e-3, 1e-2};
enum { N_RATES = sizeof rates / sizeof rates[0], RANK = 8, ALPHA = 16 };

static void start(tp_tuning *t, int start, uint64_t seed) {
    (void)start; /* there is one: no change */
    tp_adapter_init(t->context, seed);
}

static tp_status tune(tp_tuning *t, const tp_adapter *adapter, tp_method_result *result) {
    t->params = &adapter->params;
    t->relay.adapter = adapter;
    t->asking =
        (tp_asking){.lm = t->relay.receiver, .layout = t->relay.layout, .phase = TP_PHASE_RECEIVER, .adapter = adapter};
    t->doing = "tuning the receiver's low-rank factors";
    t->rates = rates, t->n_rates = N_RATES;
    t->start = start;
    t->context = (void *)(uintptr_t)adapter;
    TP_TRY(tp_tuning_run(t, result));
    return tp_ask_all(t->eval, &t->asking, result);
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_tuning t;
    tp_adapter *adapter = tp_adapter_new(&eval->relay->receiver->config, RANK, ALPHA);
    char *pattern = tp_format("{bos}%s", eval->task->prompt);
    tp_status status = tp_tuning_open(&t, eval, pattern);
    tp_free(pattern);
    if (status == TP_OK) status = tune(&t, adapter, result);
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    tp_tuning_close(&t);
    tp_adapter_free(adapter);
    return status;
}

const tp_method tp_method_lora = {.name = "lora",
                                  .free_answers = true,
                                  .title = "receiver, LoRA",
                                  .group = TP_GROUP_TRAINED,
                                  .needs = TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                  .seeded = true,
                                  .run = run};
