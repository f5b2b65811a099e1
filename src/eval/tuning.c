/* The sweep and the training. See tuning.h. */
#include "eval/tuning.h"

#include "base/mem.h"
#include "base/str.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/sampler.h"
#include "train/validate.h"

#include <math.h>
#include <string.h>

enum { N_VALIDATIONS = 8, USUAL_UPDATES = 1000 };

/* An opponent has no bridge, hence none of the losses and regimes of one: the likelihood of the answers is left. */
static void keep_losses_of_answers(tp_recipe *recipe) {
    int n = 0;
    for (int i = 0; i < recipe->n_losses; i++) {
        tp_loss_name name = recipe->losses[i].name;
        if (name == TP_LOSS_LM || name == TP_LOSS_FIRST_TOKEN || name == TP_LOSS_BOTTLENECK)
            recipe->losses[n++] = recipe->losses[i];
    }
    if (n == 0) recipe->losses[n++] = (tp_loss_term){.name = TP_LOSS_LM, .weight = 1};
    recipe->n_losses = n;
    recipe->regime = tp_regime_usual;
}

tp_status tp_tuning_open(tp_tuning *t, tp_eval *eval, const char *pattern) {
    *t = (tp_tuning){.eval = eval, .relay = *eval->relay, .recipe = *eval->relay->recipe, .n_starts = 1};
    t->relay.layout = tp_ask_layout(eval, pattern, eval->relay->receiver);
    if (t->relay.layout == NULL) return tp_last_status();
    t->relay.recipe = &t->recipe;
    t->relay.prefix = NULL; /* of another layout */
    keep_losses_of_answers(&t->recipe);
    return TP_OK;
}

void tp_tuning_close(tp_tuning *t) {
    if (t->relay.layout != t->eval->relay->layout) tp_layout_free(t->relay.layout);
    tp_free(t->best);
}

/* ---- the parameters as one list of numbers ---- */

static void keep(const tp_params *params, float *out) {
    for (size_t i = 0; i < params->n; i++) {
        size_t n = (size_t)(params->items[i]->rows * params->items[i]->cols);
        memcpy(out, params->items[i]->data, n * sizeof *out);
        out += n;
    }
}

static void restore(const tp_params *params, const float *kept) {
    for (size_t i = 0; i < params->n; i++) {
        size_t n = (size_t)(params->items[i]->rows * params->items[i]->cols);
        memcpy(tp_weight_values(params->items[i]), kept, n * sizeof *kept);
        kept += n;
    }
}

/* ---- training ---- */

/* Labels are chosen among. A free answer is right where it is what would be written, as in the bridge's validation. */
static tp_status judge(tp_tuning *t, double *accuracy, double *loss) {
    const tp_task *task = t->eval->task;
    int64_t n = (int64_t)tp_ask_valid_rows(t->eval), right = 0;
    *loss = 0;
    if (task->kind != TP_TASK_TEXT) return tp_ask_accuracy(t->eval, &t->asking, &task->valid, (size_t)n, accuracy);
    tp_tape *tape = tp_tape_new(t->recipe.math);
    tape->frozen = true;
    tp_status status = TP_OK;
    for (int64_t from = 0; from < n && status == TP_OK; from += TP_ASK_BATCH) {
        int64_t some = n - from < TP_ASK_BATCH ? n - from : TP_ASK_BATCH;
        const tp_example *rows[TP_ASK_BATCH];
        for (int64_t i = 0; i < some; i++) rows[i] = &task->valid.examples[from + i];
        tp_tape_reset(tape);
        status = tp_judge_rows(&t->relay, tape, t->soft ? t->soft(t, tape, some) : NULL, rows, some, &right, loss);
    }
    tp_tape_free(tape);
    *accuracy = n > 0 ? (double)right / (double)n : 0;
    *loss = isnan(*loss) ? INFINITY : n > 0 ? *loss / (double)n : 0;
    return status;
}

static bool is_better(double accuracy, double loss, double best_accuracy, double best_loss) {
    return accuracy > best_accuracy || (accuracy == best_accuracy && loss < best_loss);
}

static tp_status validate(tp_tuning *t) {
    double accuracy, loss;
    TP_TRY(judge(t, &accuracy, &loss));
    if (is_better(accuracy, loss, t->best_accuracy, t->best_loss)) {
        t->best_accuracy = accuracy, t->best_loss = loss;
        keep(t->params, t->best);
    }
    return TP_OK;
}

static tp_status update(tp_tuning *t, tp_adamw *adamw, tp_sampler *sampler, tp_tape *tape, double lr, int64_t step,
                        int64_t total) {
    int64_t n = t->recipe.optimiser.batch;
    tp_tape_reset(tape);
    int64_t *indices = tp_arena_alloc(tape->arena, (size_t)n * sizeof *indices);
    const tp_example **examples = tp_arena_alloc(tape->arena, (size_t)n * sizeof(const tp_example *));
    tp_sampler_batch(sampler, step, n, indices);
    for (int64_t i = 0; i < n; i++) examples[i] = &t->eval->task->train.examples[indices[i]];
    tp_var *loss, *soft = t->soft ? t->soft(t, tape, n) : NULL;
    tp_objective_values values;
    tp_objective_batch batch = {.examples = examples, .n = n, .soft = soft};
    TP_TRY(tp_objective(&t->relay, tape, &batch, step, &loss, &values));
    tp_backward(tape, loss, 1.0f);
    tp_adamw_step(adamw, tp_cosine_lr(lr, t->recipe.optimiser.min_lr_ratio, step, total / 20, total), 1.0);
    t->n_updates++;
    tp_progress_update(t->eval->progress, (double)t->n_updates, (double)(t->n_updates * n), "rate %g  loss %.4f", lr,
                       values.total);
    return tp_eval_stopped(t->eval);
}

/* Trains from a beginning; the best of its validations is kept. */
static tp_status train(tp_tuning *t, int rate, int start, int64_t steps, int64_t validations) {
    const tp_task *task = t->eval->task;
    uint64_t seed = t->eval->seed;
    t->start(t, start, seed);
    t->best_accuracy = -1, t->best_loss = 0;
    bool balanced = t->recipe.balanced && task->n_labels > 0; /* free answers have no classes */
    tp_sampler *sampler = tp_sampler_new(task->train.examples, task->train.n, task->n_labels, balanced, seed);
    tp_adamw *adamw = tp_adamw_new(t->params, &(tp_adamw_options){.beta1 = t->recipe.optimiser.beta1,
                                                                  .beta2 = t->recipe.optimiser.beta2,
                                                                  .eps = t->recipe.optimiser.eps,
                                                                  .clip = t->recipe.optimiser.clip});
    tp_tape *tape = tp_tape_new(t->recipe.math);
    tp_status status = TP_OK;
    for (int64_t step = 0; step < steps && status == TP_OK; step++) {
        status = update(t, adamw, sampler, tape, t->rates[rate], step, steps);
        bool look = (step + 1) * validations / steps > step * validations / steps;
        if (status == TP_OK && look) status = validate(t);
    }
    tp_tape_free(tape);
    tp_adamw_free(adamw);
    tp_sampler_free(sampler);
    return status;
}

/* Short trainings: of each rate, then of each other beginning with the best rate. */
static tp_status sweep(tp_tuning *t, int64_t steps, int *rate, int *start) {
    double best = -1, loss = 0;
    for (int k = 0; k < t->n_rates + t->n_starts - 1; k++) {
        int r = k < t->n_rates ? k : *rate, s = k < t->n_rates ? 0 : k - t->n_rates + 1;
        TP_TRY(train(t, r, s, steps, 1));
        if (!is_better(t->best_accuracy, t->best_loss, best, loss)) continue;
        best = t->best_accuracy, loss = t->best_loss;
        *rate = r, *start = s;
    }
    return TP_OK;
}

tp_status tp_tuning_run(tp_tuning *t, tp_method_result *result) {
    tp_eval *eval = t->eval;
    int64_t steps = t->recipe.optimiser.steps;
    if (steps == 0) steps = USUAL_UPDATES; /* a bridge that was solved for takes none; its opponent needs some */
    if (eval->prompt_steps > 0 && eval->prompt_steps < steps) steps = eval->prompt_steps;
    int64_t trial = steps / 4 > 0 ? steps / 4 : 1, n_trials = t->n_rates + t->n_starts - 1;
    bool known = eval->chosen >= 0 && eval->chosen < t->n_rates * t->n_starts; /* false for NAN */
    int rate = known ? (int)eval->chosen % t->n_rates : 0, start = known ? (int)eval->chosen / t->n_rates : 0;
    t->best = tp_alloc((size_t)t->params->total * sizeof *t->best);
    tp_progress_begin(eval->progress, t->doing, (double)(steps + (known ? 0 : n_trials * trial)), "steps", "examples");
    if (!known) TP_TRY(sweep(t, trial, &rate, &start));
    TP_TRY(train(t, rate, start, steps, N_VALIDATIONS));
    restore(t->params, t->best);
    tp_progress_end(eval->progress);
    tp_str text = {0};
    tp_str_appendf(&text, "learning rate %g of %d from %g to %g", t->rates[rate], t->n_rates, t->rates[0],
                   t->rates[t->n_rates - 1]);
    if (t->starts) tp_str_appendf(&text, ", begun from %s of %d beginnings", t->starts[start], t->n_starts);
    tp_str_appendf(&text, ", %lld updates each; then %lld updates of batch %d; validation %.1f %%", (long long)trial,
                   (long long)steps, t->recipe.optimiser.batch, 100 * t->best_accuracy);
    if (eval->task->kind == TP_TASK_TEXT) tp_str_appendf(&text, ", %.2f nats an answer", t->best_loss);
    result->setting = tp_str_take(&text);
    result->chosen = rate + t->n_rates * start;
    return TP_OK;
}
