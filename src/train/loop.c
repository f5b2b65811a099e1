/* The loop of a training. See loop.h. */
#include "train/loop.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "train/cascade.h"
#include "train/log.h"
#include "train/state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const tp_train_options *o;
    const tp_learner *learner;
    const tp_recipe *recipe; /* the learner's */
    tp_adamw *adamw;
    tp_detectors detectors;
    int64_t step;
    int64_t best_step, misses; /* validations since the best one */
    double best_accuracy, best_loss;
    json_t *best_tasks; /* of several tasks, what each gave at the best step; NULL: there is one */
    double smooth_loss, smooth_accuracy;
    bool finished; /* by early stopping */
    tp_failures failures;
    char *state_path, *log_path, *result_path, *good_path;
} run;

/* ---- state ---- */

enum { N_SILENT = sizeof((tp_detectors){0}.silent_until) / sizeof(int64_t) };

static tp_status save_state_as(const run *r, const char *path) {
    json_t *quiet = json_array();
    for (size_t i = 0; i < N_SILENT; i++) json_array_append_new(quiet, json_integer(r->detectors.silent_until[i]));
    json_t *detectors = json_pack("{s:f, s:f, s:I, s:o}", "smooth_loss", r->detectors.smooth_loss, "best_loss",
                                  isfinite(r->detectors.best_loss) ? r->detectors.best_loss : 1e30, "best_step",
                                  (json_int_t)r->detectors.best_step, "silent_until", quiet);
    json_t *note = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:b, s:o, s:o}", "step", (json_int_t)r->step,
                             "best_step", (json_int_t)r->best_step, "misses", (json_int_t)r->misses, "best_accuracy",
                             r->best_accuracy, "best_loss", isfinite(r->best_loss) ? r->best_loss : 1e30, "smooth_loss",
                             r->smooth_loss, "smooth_accuracy", r->smooth_accuracy, "finished", r->finished,
                             "detectors", detectors, "run", json_incref(r->learner->identity));
    tp_failures_to_note(&r->failures, note);
    if (r->best_tasks) json_object_set(note, "best_tasks", r->best_tasks);
    tp_status status = tp_state_save(path, r->adamw, note);
    json_decref(note);
    return status;
}

static tp_status save_state(const run *r) {
    return save_state_as(r, r->state_path);
}

static tp_status read_counters(run *r, const char *path, json_t *note) {
    json_int_t step, best_step, misses, loss_step;
    json_t *quiet;
    int finished;
    if (json_unpack(note, "{s:I, s:I, s:I, s:F, s:F, s:F, s:F, s:b, s:{s:F, s:F, s:I, s:o}}", "step", &step,
                    "best_step", &best_step, "misses", &misses, "best_accuracy", &r->best_accuracy, "best_loss",
                    &r->best_loss, "smooth_loss", &r->smooth_loss, "smooth_accuracy", &r->smooth_accuracy, "finished",
                    &finished, "detectors", "smooth_loss", &r->detectors.smooth_loss, "best_loss",
                    &r->detectors.best_loss, "best_step", &loss_step, "silent_until", &quiet) != 0 ||
        step < 0 || json_array_size(quiet) > N_SILENT) /* an older state knew fewer detectors */
        return tp_fail(TP_ERR_FORMAT, "%s: its counters are broken", path);
    r->step = step, r->best_step = best_step, r->misses = misses, r->finished = finished;
    r->detectors.best_step = loss_step;
    for (size_t i = 0; i < json_array_size(quiet); i++)
        r->detectors.silent_until[i] = json_integer_value(json_array_get(quiet, i));
    return TP_OK;
}

static tp_status load_state_of(run *r, const char *path, json_t **note) {
    TP_TRY(tp_state_load(path, r->adamw, note));
    tp_status status = tp_state_check_run(path, *note, r->learner->identity);
    if (status == TP_OK) status = read_counters(r, path, *note);
    if (status == TP_OK) return TP_OK;
    json_decref(*note);
    return status;
}

static tp_status load_state(run *r) {
    json_t *note;
    TP_TRY(load_state_of(r, r->state_path, &note));
    bool sound = tp_failures_from_note(&r->failures, note);
    r->best_tasks = json_incref(json_object_get(note, "best_tasks"));
    json_decref(note);
    if (!sound) return tp_fail(TP_ERR_FORMAT, "%s: its failures are broken", r->state_path);
    if (r->failures.seeds == 0) return TP_OK;
    TP_TRY(r->learner->reseed(r->learner->context, tp_failures_seed(&r->failures, r->recipe->seed)));
    return tp_state_load(r->state_path, r->adamw, &note) == TP_OK ? (json_decref(note), TP_OK) : tp_last_status();
}

/* The state of a run goes with the best so far; one without the other is no run. A checkpoint that is newer than the
 * state (killed between the two) is made again, byte for byte, by the steps that are repeated. */
static tp_status check_best(const run *r) {
    if (r->best_step == 0 || r->learner->check_saved(r->learner->context, r->o->out) == TP_OK) return TP_OK;
    return tp_fail_context("the run cannot be gone on with, its best %s (of step %lld) is not whole", r->learner->best,
                           (long long)r->best_step);
}

/* ---- validation ---- */

static tp_status warn(const run *r, const char *sentence) {
    tp_progress_say(r->o->progress, "warning, step %lld: %s", (long long)r->step, sentence);
    return tp_log_add(r->log_path, json_pack("{s:I, s:s}", "step", (json_int_t)r->step, "warning", sentence));
}

/* What is odd about the recipe, before the first step. */
static tp_status say_remarks(const run *r) {
    size_t i;
    json_t *remark;
    if (r->step > 0 || json_array_size(r->failures.history) > 0) return TP_OK; /* said before */
    json_array_foreach(r->learner->remarks, i, remark)
        TP_TRY(warn(r, json_string_value(json_object_get(remark, "sentence"))));
    return TP_OK;
}

static tp_status judge(run *r) {
    tp_validation v;
    json_t *line = json_pack("{s:I}", "step", (json_int_t)r->step);
    tp_status judged = r->learner->validate(r->learner->context, &v, line);
    if (judged != TP_OK) json_decref(line);
    TP_TRY(judged);
    /* More right answers win; of equals the surer ones. */
    bool better = v.accuracy > r->best_accuracy || (v.accuracy == r->best_accuracy && v.loss < r->best_loss);
    better = better && !v.provisional;
    if (better) {
        r->best_accuracy = v.accuracy;
        r->best_loss = v.loss;
        r->best_step = r->step;
        r->misses = 0;
        json_decref(r->best_tasks);
        r->best_tasks = json_incref(json_object_get(line, "tasks"));
        tp_status saved = r->learner->save(r->learner->context, r->o->out);
        if (saved != TP_OK) json_decref(line);
        TP_TRY(saved);
    } else if (!v.provisional) {
        r->misses++;
    }
    tp_progress_say(r->o->progress, "step %lld  validation accuracy %.2f %%, loss %.4f%s", (long long)r->step,
                    100 * v.accuracy, v.loss, better ? "  (best so far)" : "");
    r->finished = r->recipe->early_stopping.patience > 0 && r->misses >= r->recipe->early_stopping.patience;
    json_object_set_new(line, "valid_accuracy", json_real(v.accuracy));
    json_object_set_new(line, "valid_loss", json_real(v.loss));
    json_object_set_new(line, "best", json_boolean(better));
    TP_TRY(tp_log_add(r->log_path, line));
    bool collapsed = r->recipe->cascade.collapse && r->detectors.collapsed;
    return r->recipe->cascade.restarts > 0 && isfinite(v.loss) && !collapsed ? save_state_as(r, r->good_path) : TP_OK;
}

/* What is judged, and kept if it is the best, is the average of the parameters where one is kept. */
static tp_status validate(run *r) {
    tp_ema_swap(r->adamw->ema);
    tp_status status = judge(r);
    tp_ema_swap(r->adamw->ema);
    return status;
}

/* A quick look: what the receiver actually says, on a few validation rows. */
static tp_status quick_look(run *r) {
    tp_quick_look look;
    tp_ema_swap(r->adamw->ema);
    tp_status looked = r->learner->look(r->learner->context, r->step, &look);
    tp_ema_swap(r->adamw->ema);
    TP_TRY(looked);
    tp_progress_say(r->o->progress, "step %lld  quick look: %.1f %% of %lld right, %.1f %% of answers different%s%s",
                    (long long)r->step, 100 * look.accuracy, (long long)look.n, 100 * look.diversity,
                    look.by_class[0] ? ", by class " : "", look.by_class);
    tp_progress_say(r->o->progress, "    %s", look.samples);
    return tp_log_add(r->log_path, json_pack("{s:I, s:{s:I, s:f, s:f, s:o}}", "step", (json_int_t)r->step, "quick", "n",
                                             (json_int_t)look.n, "accuracy", look.accuracy, "diversity", look.diversity,
                                             "by_class", tp_log_text(look.by_class)));
}

/* ---- failures ---- */

/* The counters of a run that has not begun. The best of all attempts stays. */
static void forget_progress(run *r) {
    memset(r->adamw->m, 0, (size_t)r->adamw->params->total * sizeof(float));
    memset(r->adamw->v, 0, (size_t)r->adamw->params->total * sizeof(float));
    r->adamw->t = 0;
    r->step = 0;
    r->smooth_loss = r->smooth_accuracy = 0;
    r->detectors = tp_detectors_new();
}

/* From the beginning, with another seed. */
static tp_status begin_again(run *r, uint64_t seed) {
    forget_progress(r);
    TP_TRY(r->learner->reseed(r->learner->context, seed));
    tp_ema_restart(r->adamw->ema);
    return TP_OK;
}

/* Back to the last good state of this seed, if there is one. */
static tp_status go_back(run *r) {
    json_t *note = NULL;
    tp_failures then = tp_failures_new();
    tp_status status = tp_path_exists(r->good_path) ? load_state_of(r, r->good_path, &note) : TP_OK;
    bool usable = status == TP_OK && note && tp_failures_from_note(&then, note) && then.seeds == r->failures.seeds;
    tp_failures_free(&then);
    if (note) json_decref(note);
    if (status != TP_OK || usable) return status;
    if (r->learner->reseed == NULL)
        return tp_fail(TP_ERR_ARGUMENT,
                       "training failed before its first validation, which it could have gone back to");
    return begin_again(r, tp_failures_seed(&r->failures, r->recipe->seed));
}

/* Goes on from somewhere else after a failure, or gives up. The state is saved at once: whoever is killed afterwards
 * must not fail a second time from a state that is older than the good one. */
static tp_status recover(run *r, const char *sentence) {
    tp_remedy remedy = tp_failures_remedy(&r->failures, &r->recipe->cascade);
    if (remedy == TP_REMEDY_SEED && r->learner->reseed == NULL) remedy = TP_REMEDY_NONE;
    if (remedy == TP_REMEDY_NONE) return tp_fail(TP_ERR_ARGUMENT, "training failed: %s", sentence);
    double best_accuracy = r->best_accuracy, best_loss = r->best_loss;
    int64_t best_step = r->best_step, seen = r->step;
    if (remedy == TP_REMEDY_SEED) {
        tp_failures next = {.seeds = r->failures.seeds + 1};
        TP_TRY(begin_again(r, tp_failures_seed(&next, r->recipe->seed)));
    } else {
        TP_TRY(go_back(r));
    }
    r->best_accuracy = best_accuracy, r->best_loss = best_loss, r->best_step = best_step;
    r->misses = 0;
    r->finished = false;
    tp_failures_add(&r->failures, remedy, sentence, seen, r->step);
    tp_progress_say(r->o->progress, "step %lld: %s; going on from step %lld with %s, rate times %g", (long long)seen,
                    sentence, (long long)r->step, remedy == TP_REMEDY_SEED ? "another seed" : "the last good state",
                    tp_failures_rate(&r->failures));
    TP_TRY(save_state(r));
    TP_TRY(tp_log_begin(r->log_path, r->step));
    return tp_failures_log(&r->failures, r->log_path);
}

/* ---- one update ---- */

/* Which losses teach nothing: said in the steps where it is worth finding out. */
static tp_status weigh(run *r) {
    tp_loss_force forces[TP_N_LOSSES];
    int n = 0;
    if (r->learner->weigh == NULL || !tp_detectors_weigh_at(r->step)) return TP_OK;
    TP_TRY(r->learner->weigh(r->learner->context, r->step * r->recipe->optimiser.accumulate, r->step, forces, &n));
    char sentence[256];
    for (int i = 0; i < n; i++)
        if (tp_detectors_weigh(forces, n, i, sentence, sizeof sentence)) TP_TRY(warn(r, sentence));
    return TP_OK;
}

/* Splits the losses into those that ask for the answer and the loudest other, for the detectors. */
static void compare_losses(const run *r, const tp_objective_values *values, tp_vital_signs *signs) {
    for (int i = 0; i < r->recipe->n_losses; i++) {
        const tp_loss_term *term = &r->recipe->losses[i];
        double value = tp_loss_weight(term, r->step) * values->losses[term->name];
        if (!isfinite(value)) continue; /* not computed */
        if (tp_loss_asks_for_the_answer(term->name)) {
            signs->answer_loss += value;
        } else if (value > signs->other_loss) {
            signs->other = tp_loss_name_text(term->name);
            signs->other_loss = value;
        }
    }
}

/* `failed`: the run has gone back to an earlier step. */
static tp_status update(run *r, bool *failed) {
    const tp_recipe *recipe = r->recipe;
    int64_t parts = recipe->optimiser.accumulate;
    tp_objective_values mean = {0};
    tp_learned learned = {0};
    TP_TRY(weigh(r));
    for (int64_t part = 0; part < parts; part++) {
        TP_TRY(r->learner->learn(r->learner->context, r->step * parts + part, r->step, &learned));
        mean.total += learned.values.total / (double)parts;
        mean.accuracy += learned.values.accuracy / (double)parts;
    }
    tp_vital_signs signs = learned.signs;
    signs.step = r->step;
    bool cosine = recipe->optimiser.schedule == TP_LR_COSINE;
    double lr = tp_cosine_lr(recipe->optimiser.lr, cosine ? recipe->optimiser.min_lr_ratio : 1.0, r->step,
                             recipe->optimiser.warmup, recipe->optimiser.steps) *
                tp_failures_rate(&r->failures);
    signs.loss = mean.total;
    compare_losses(r, &learned.values, &signs);
    const tp_params *watched = r->learner->watched; /* what is thrown away in the end has gradients of its own */
    signs.gradient_norm = watched ? tp_params_grad_norm(watched) / (double)parts : 0;
    double norm = tp_adamw_step(r->adamw, lr, 1.0 / (double)parts);
    if (watched == NULL || !isfinite(norm)) signs.gradient_norm = norm;
    r->step++; /* from here on this update is made, and all it says belongs to the step it leads to */
    char sentence[256];
    bool fatal;
    bool spoke = tp_detectors_look(&r->detectors, &signs, sentence, sizeof sentence, &fatal);
    if (spoke) TP_TRY(warn(r, sentence));
    bool collapsed = recipe->cascade.restarts > 0 && recipe->cascade.collapse && r->detectors.collapsed;
    *failed = fatal || (spoke && collapsed);
    if (*failed) return recover(r, sentence);
    double memory = r->step < 50 ? 1.0 - 1.0 / (double)r->step : 0.98;
    r->smooth_loss = memory * r->smooth_loss + (1.0 - memory) * mean.total;
    r->smooth_accuracy = memory * r->smooth_accuracy + (1.0 - memory) * mean.accuracy;
    tp_progress_update(r->o->progress, (double)r->step, (double)(r->step * parts * recipe->optimiser.batch),
                       "loss %.4f  first token %.1f %%", r->smooth_loss, 100 * r->smooth_accuracy);
    if (r->step % 50 == 0) {
        json_t *line =
            json_pack("{s:I, s:f, s:f, s:f, s:f}", "step", (json_int_t)r->step, "loss", r->smooth_loss,
                      "first_token_accuracy", r->smooth_accuracy, "lr", lr, "gradient_norm", signs.gradient_norm);
        for (int i = 0; i < TP_N_LOSSES; i++)
            if (isfinite(learned.values.losses[i]))
                json_object_set_new(line, tp_loss_name_text((tp_loss_name)i), json_real(learned.values.losses[i]));
        if (r->learner->describe) r->learner->describe(r->learner->context, line);
        TP_TRY(tp_log_add(r->log_path, line));
    }
    return TP_OK;
}

/* What there is before the first step: all there is without steps, and with them what a solved bridge is worth by
 * itself. A run that was stopped before its first step does it again, and writes the same. */
static tp_status validate_start(run *r) {
    if (r->step > 0 || (r->recipe->optimiser.steps > 0 && !r->learner->starts_whole)) return TP_OK;
    r->best_accuracy = -1;
    r->misses = 0;
    return validate(r);
}

static tp_status loop(run *r) {
    const tp_train_options *o = r->o;
    const tp_recipe *recipe = r->recipe;
    int64_t total = recipe->optimiser.steps;
    tp_progress_begin(o->progress, "train", (double)total, "steps", "examples");
    tp_progress_resume(o->progress, (double)r->step,
                       (double)(r->step * recipe->optimiser.accumulate * recipe->optimiser.batch));
    TP_TRY(validate_start(r));
    while (r->step < total && !r->finished) {
        if (o->stop && *o->stop) {
            TP_TRY(save_state(r));
            return tp_fail(TP_ERR_CANCELLED, "stopped at step %lld; the same command goes on from there",
                           (long long)r->step);
        }
        bool failed;
        TP_TRY(update(r, &failed));
        if (failed) continue;
        if (r->step % recipe->early_stopping.every == 0 || r->step == total) TP_TRY(validate(r));
        if (r->learner->look && recipe->quick_eval.every > 0 && r->step % recipe->quick_eval.every == 0)
            TP_TRY(quick_look(r));
        if (o->save_every > 0 && r->step % o->save_every == 0) TP_TRY(save_state(r));
    }
    tp_progress_end(o->progress);
    return save_state(r);
}

/* ---- from start to finish ---- */

static tp_status read_result(const run *r, tp_train_result *result) {
    json_t *value = tp_json_load_file(r->result_path);
    if (value == NULL) return tp_last_status();
    json_int_t steps = 0, best = 0, parameters = 0, truncated = 0;
    int failed = json_unpack(value, "{s:I, s:I, s:F, s:F, s:I, s:I}", "steps", &steps, "best_step", &best,
                             "valid_accuracy", &result->valid_accuracy, "train_loss", &result->train_loss, "parameters",
                             &parameters, "truncated", &truncated);
    json_decref(value);
    if (failed) return tp_fail(TP_ERR_FORMAT, "%s is not the outcome of a training run", r->result_path);
    result->steps = steps, result->best_step = best, result->n_parameters = parameters, result->n_truncated = truncated;
    result->already_done = true;
    return TP_OK;
}

static tp_status train(run *r, tp_train_result *result) {
    const tp_learner *learner = r->learner;
    double start = tp_now();
    result->resumed = tp_path_exists(r->state_path);
    if (result->resumed) TP_TRY(load_state(r));
    if (result->resumed) TP_TRY(check_best(r));
    bool at_end = r->finished || r->step >= r->recipe->optimiser.steps;
    if (result->resumed && at_end && tp_path_exists(r->result_path)) return read_result(r, result);
    unlink(r->result_path); /* an outcome that is there now is of another run */
    if (!result->resumed) unlink(r->good_path);
    TP_TRY(tp_log_begin(r->log_path, r->step));
    TP_TRY(tp_failures_log(&r->failures, r->log_path));
    result->n_truncated = learner->n_truncated;
    result->n_parameters = (learner->watched ? learner->watched : learner->params)->total;
    tp_progress_say(r->o->progress, "%s%s", learner->begins, result->resumed ? ", resumed" : "");
    if (result->n_truncated > 0)
        tp_progress_say(r->o->progress, "%lld texts were cut to fit %s", (long long)result->n_truncated, learner->room);
    TP_TRY(say_remarks(r));
    TP_TRY(loop(r));
    result->steps = r->step;
    result->best_step = r->best_step;
    result->valid_accuracy = r->best_accuracy;
    result->train_loss = r->smooth_loss;
    result->seconds = tp_now() - start;
    json_t *outcome =
        json_pack("{s:I, s:I, s:f, s:f, s:I, s:I}", "steps", (json_int_t)r->step, "best_step", (json_int_t)r->best_step,
                  "valid_accuracy", r->best_accuracy, "train_loss", r->smooth_loss, "parameters",
                  (json_int_t)result->n_parameters, "truncated", (json_int_t)result->n_truncated);
    if (r->best_tasks) json_object_set(outcome, "tasks", r->best_tasks);
    if (json_array_size(r->failures.history) > 0) json_object_set(outcome, "failures", r->failures.history);
    tp_status status = learner->conclude ? learner->conclude(learner->context, r->o->out, outcome) : TP_OK;
    if (status == TP_OK) status = tp_json_save_file(outcome, r->result_path);
    json_decref(outcome);
    if (status == TP_OK) unlink(r->good_path); /* nothing can go wrong any more */
    return status;
}

int tp_loop_enter(const char *folder) {
    if (tp_make_dirs(folder) != TP_OK) return -1;
    int lock = tp_lock_folder(folder, "a training");
    if (lock >= 0) tp_remove_leftovers(folder);
    return lock;
}

tp_status tp_loop_run(const tp_train_options *o, const tp_learner *learner, tp_train_result *result) {
    const tp_recipe *recipe = learner->recipe;
    run r = {.o = o,
             .learner = learner,
             .recipe = recipe,
             .detectors = tp_detectors_new(),
             .best_loss = INFINITY,
             .best_accuracy = -1,
             .failures = tp_failures_new(),
             .good_path = tp_path_join(o->out, "good.safetensors"),
             .state_path = tp_path_join(o->out, "state.safetensors"),
             .log_path = tp_path_join(o->out, "log.jsonl"),
             .result_path = tp_path_join(o->out, "train.json")};
    r.adamw = tp_adamw_new(learner->params, &(tp_adamw_options){.beta1 = recipe->optimiser.beta1,
                                                                .beta2 = recipe->optimiser.beta2,
                                                                .eps = recipe->optimiser.eps,
                                                                .weight_decay = recipe->optimiser.weight_decay,
                                                                .ema = recipe->optimiser.ema,
                                                                .clip = recipe->optimiser.clip});
    tp_status status = train(&r, result);
    tp_adamw_free(r.adamw);
    tp_free(r.state_path);
    tp_free(r.log_path);
    tp_free(r.result_path);
    tp_free(r.good_path);
    tp_failures_free(&r.failures);
    json_decref(r.best_tasks);
    return status;
}
