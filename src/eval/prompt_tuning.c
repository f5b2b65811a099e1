/* Prompt tuning (Lester, Al-Rfou and Constant, EMNLP 2021): the receiver reads the text itself behind M soft tokens
 * that are trained and are the same for all texts. It is the opponent with the bridge's own means (as many soft tokens,
 * the same losses, sampling and optimiser) and without a sender.
 *
 * A fair opponent is a tuned one: the learning rate is swept and the soft tokens start as rows of the vocabulary, both
 * worth a factor of several in accuracy in the sources of this project. Each rate gets a quarter of the updates; the
 * best one on the validation split is then trained in full, and the best of its validations counts. All runs of a
 * recipe share the first one's rate. */
#include "base/mem.h"
#include "eval/texts.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/sampler.h"

#include <math.h>
#include <string.h>

static const double rates[] = {3e-4, 1e-3, 3e-3, 1e-2, 3e-2};

enum { N_RATES = sizeof rates / sizeof rates[0], N_VALIDATIONS = 8, VALID_ROWS = 500 };

typedef struct tuner {
    tp_eval *eval;
    tp_relay relay;   /* the run's, but for its layout and recipe */
    tp_recipe recipe; /* the run's without diversity, which one prompt for all texts cannot have */
    tp_params params;
    tp_weight soft; /* [M, d_receiver] */
    float *best;    /* [M, d_receiver]: of the best validation */
    double best_accuracy;
    int64_t done; /* updates, of all trainings, for the progress */
} tuner;

/* Rows of the vocabulary, drawn at random; special tokens are left out. */
static void start(tuner *t, uint64_t seed) {
    const tp_lm *lm = t->relay.receiver;
    tp_rng rng = tp_rng_stream(seed, "soft prompt", 0);
    for (int64_t m = 0; m < t->soft.rows; m++) {
        int32_t id = 0;
        for (int tries = 0; tries < 100; tries++) {
            id = (int32_t)tp_rng_below(&rng, (uint64_t)lm->config.vocab_size);
            if (!tp_tokenizer_is_special(lm->tokenizer, id)) break;
        }
        tp_lm_embedding_row(lm, id, tp_weight_values(&t->soft) + m * t->soft.cols);
    }
}

/* The prompt, once for each of n rows. */
static tp_var *repeated(const tuner *t, tp_tape *tape, int64_t n) {
    int64_t m = t->soft.rows;
    tp_var *soft = tp_parameter(tape, &t->soft);
    tp_row_ref *rows = tp_arena_alloc(tape->arena, (size_t)(n * m) * sizeof *rows);
    for (int64_t i = 0; i < n * m; i++) rows[i] = (tp_row_ref){.source = 0, .row = i % m};
    return tp_gather(tape, &soft, 1, rows, n * m);
}

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    (void)eval, (void)items, (void)fresh;
    out->soft = repeated(asking->context, tape, n);
    return TP_OK;
}

static tp_asking asking_of(tuner *t) {
    return (tp_asking){.lm = t->relay.receiver,
                       .layout = t->relay.layout,
                       .soft_tokens = (int)t->soft.rows,
                       .phase = TP_PHASE_RECEIVER,
                       .fill = fill,
                       .context = t};
}

/* Remembers the prompt if it is better on validation than all before in this training. */
static tp_status validate(tuner *t) {
    const tp_dataset *valid = &t->eval->task->valid;
    tp_asking asking = asking_of(t);
    double accuracy;
    TP_TRY(tp_ask_accuracy(t->eval, &asking, valid, valid->n < VALID_ROWS ? valid->n : VALID_ROWS, &accuracy));
    if (accuracy > t->best_accuracy) {
        t->best_accuracy = accuracy;
        memcpy(t->best, t->soft.data, (size_t)(t->soft.rows * t->soft.cols) * sizeof *t->best);
    }
    return TP_OK;
}

static tp_status update(tuner *t, tp_adamw *adamw, tp_sampler *sampler, tp_tape *tape, double lr, int64_t step,
                        int64_t total) {
    int64_t n = t->recipe.optimiser.batch;
    tp_tape_reset(tape);
    int64_t *indices = tp_arena_alloc(tape->arena, (size_t)n * sizeof *indices);
    const tp_example **examples = tp_arena_alloc(tape->arena, (size_t)n * sizeof(const tp_example *));
    tp_sampler_batch(sampler, step, n, indices);
    for (int64_t i = 0; i < n; i++) examples[i] = &t->eval->task->train.examples[indices[i]];
    tp_var *loss;
    tp_objective_values values;
    TP_TRY(tp_objective(&t->relay, tape, repeated(t, tape, n), examples, n, step, &loss, &values));
    tp_backward(tape, loss, 1.0f);
    tp_adamw_step(adamw, tp_cosine_lr(lr, t->recipe.optimiser.min_lr_ratio, step, total / 20, total), 1.0);
    t->done++;
    tp_progress_update(t->eval->progress, (double)t->done, (double)(t->done * n), "rate %g  loss %.4f", lr,
                       values.total);
    return tp_eval_stopped(t->eval);
}

/* Trains from the start; the best prompt of its validations is kept. */
static tp_status train(tuner *t, uint64_t seed, double lr, int64_t steps, int64_t validations) {
    const tp_task *task = t->eval->task;
    start(t, seed);
    t->best_accuracy = -1;
    tp_sampler *sampler = tp_sampler_new(task->train.examples, task->train.n, task->n_labels, t->recipe.balanced, seed);
    tp_adamw *adamw = tp_adamw_new(&t->params, &(tp_adamw_options){.beta1 = t->recipe.optimiser.beta1,
                                                                   .beta2 = t->recipe.optimiser.beta2,
                                                                   .eps = t->recipe.optimiser.eps,
                                                                   .clip = t->recipe.optimiser.clip});
    tp_tape *tape = tp_tape_new(t->recipe.math);
    tp_status status = TP_OK;
    for (int64_t step = 0; step < steps && status == TP_OK; step++) {
        status = update(t, adamw, sampler, tape, lr, step, steps);
        bool look = (step + 1) * validations / steps > step * validations / steps;
        if (status == TP_OK && look) status = validate(t);
    }
    tp_tape_free(tape);
    tp_adamw_free(adamw);
    tp_sampler_free(sampler);
    return status;
}

static tp_status tune(tuner *t, tp_method_result *result) {
    tp_eval *eval = t->eval;
    int64_t steps = eval->prompt_steps > 0 && eval->prompt_steps < t->recipe.optimiser.steps
                        ? eval->prompt_steps
                        : t->recipe.optimiser.steps;
    int64_t trial = steps / 4 > 0 ? steps / 4 : 1;
    bool sweep = isnan(eval->chosen);
    double best = -1, rate = eval->chosen;
    tp_progress_begin(eval->progress, "tuning the receiver's prompt", (double)(steps + (sweep ? N_RATES * trial : 0)),
                      "steps", "examples");
    for (int r = 0; sweep && r < N_RATES; r++) {
        TP_TRY(train(t, eval->seed, rates[r], trial, 1));
        if (t->best_accuracy <= best) continue;
        best = t->best_accuracy;
        rate = rates[r];
    }
    TP_TRY(train(t, eval->seed, rate, steps, N_VALIDATIONS));
    memcpy(tp_weight_values(&t->soft), t->best, (size_t)(t->soft.rows * t->soft.cols) * sizeof *t->best);
    result->setting =
        tp_format("learning rate %g of %d from %g to %g, %lld updates each; then %lld updates of batch %d; "
                  "validation %.1f %%",
                  rate, N_RATES, rates[0], rates[N_RATES - 1], (long long)trial, (long long)steps,
                  t->recipe.optimiser.batch, 100 * t->best_accuracy);
    result->chosen = rate;
    tp_progress_end(eval->progress);
    tp_asking asking = asking_of(t);
    return tp_ask_all(eval, &asking, result);
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tuner t = {.eval = eval, .relay = *eval->relay, .recipe = *eval->relay->recipe};
    char *pattern = tp_format("{bos}{soft}%s", eval->task->prompt);
    t.relay.layout = tp_ask_layout(eval, pattern, eval->relay->receiver);
    tp_free(pattern);
    if (t.relay.layout == NULL) return tp_last_status();
    t.relay.recipe = &t.recipe;
    for (int i = 0; i < t.recipe.n_losses; i++)
        if (t.recipe.losses[i].name == TP_LOSS_DIVERSITY) t.recipe.losses[i--] = t.recipe.losses[--t.recipe.n_losses];
    int64_t m = t.recipe.bridge.soft_tokens, d = t.relay.receiver->config.d_model;
    tp_params_attach(&t.params, &t.soft, "soft_prompt", m, d);
    t.best = tp_alloc((size_t)(m * d) * sizeof *t.best);
    tp_status status = tune(&t, result);
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    tp_free(t.best);
    tp_params_free(&t.params);
    tp_layout_free(t.relay.layout);
    return status;
}

const tp_method tp_method_prompt_tuning = {.name = "prompt_tuning",
                                           .title = "receiver, prompt tuned",
                                           .needs = TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                           .seeded = true,
                                           .run = run};
