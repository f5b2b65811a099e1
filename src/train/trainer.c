/* The training loop of a bridge. See trainer.h.
 *
 * Everything a step does is a function of (recipe, models, data, step): batches, masks and learning rate come from the
 * step's number, hidden states do not depend on the batch they are computed in, and what must survive an interruption
 * stands in one state file. That is all there is to resuming bit by bit. */
#include "train/trainer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "bridge/checkpoint.h"
#include "train/detectors.h"
#include "train/log.h"
#include "train/objective.h"
#include "train/position_dropout.h"
#include "train/sampler.h"
#include "train/solve.h"
#include "train/state.h"
#include "train/states.h"
#include "train/validate.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
    const tp_train_options *o;
    tp_relay *relay;
    const tp_recipe *recipe; /* the relay's, complete */
    tp_state_cache *train_states, *valid_states;
    tp_sampler *sampler;
    tp_loss_aids *aids;
    tp_params trained; /* the bridge's parameters and those of the losses' heads; the list is ours, they are not */
    tp_adamw *adamw;
    tp_tape *tape;
    tp_detectors detectors;
    int64_t step;
    int64_t best_step, misses; /* validations since the best one */
    double best_accuracy, best_loss;
    double smooth_loss, smooth_accuracy;
    bool finished; /* by early stopping */
    int lock;      /* on the folder */
    char *state_path, *log_path, *result_path;
} run;

/* ---- state ---- */

/* What the sender is asked and the receiver answers: it stands in no file that has a fingerprint of its own. */
static void hash_words(const run *r, char hex[33]) {
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, r->relay->prompt);
    for (int i = 0; i < r->relay->n_labels; i++) tp_hash_add_text(h, r->relay->label_names[i]);
    tp_hash_end(h, hex);
}

/* What must be equal for a state to be gone on from. */
static json_t *identity(const run *r) {
    const tp_lm *sender = r->relay->sender, *receiver = r->relay->receiver;
    char words[33];
    hash_words(r, words);
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "recipe", tp_recipe_to_json(r->recipe), "sender",
                     sender->fingerprint, "sender_tokenizer", tp_tokenizer_fingerprint(sender->tokenizer), "receiver",
                     receiver->fingerprint, "receiver_tokenizer", tp_tokenizer_fingerprint(receiver->tokenizer),
                     "train_rows", r->o->task->train.fingerprint, "valid_rows", r->o->task->valid.fingerprint,
                     "prompt_and_labels", words);
}

enum { N_SILENT = sizeof((tp_detectors){0}.silent_until) / sizeof(int64_t) };

static tp_status save_state(const run *r) {
    json_t *quiet = json_array();
    for (size_t i = 0; i < N_SILENT; i++) json_array_append_new(quiet, json_integer(r->detectors.silent_until[i]));
    json_t *detectors = json_pack("{s:f, s:f, s:I, s:o}", "smooth_loss", r->detectors.smooth_loss, "best_loss",
                                  isfinite(r->detectors.best_loss) ? r->detectors.best_loss : 1e30, "best_step",
                                  (json_int_t)r->detectors.best_step, "silent_until", quiet);
    json_t *note = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:b, s:o, s:o}", "step", (json_int_t)r->step,
                             "best_step", (json_int_t)r->best_step, "misses", (json_int_t)r->misses, "best_accuracy",
                             r->best_accuracy, "best_loss", isfinite(r->best_loss) ? r->best_loss : 1e30, "smooth_loss",
                             r->smooth_loss, "smooth_accuracy", r->smooth_accuracy, "finished", r->finished,
                             "detectors", detectors, "run", identity(r));
    tp_status status = tp_state_save(r->state_path, r->adamw, note);
    json_decref(note);
    return status;
}

static tp_status read_counters(run *r, json_t *note) {
    json_int_t step, best_step, misses, loss_step;
    json_t *quiet;
    int finished;
    if (json_unpack(note, "{s:I, s:I, s:I, s:F, s:F, s:F, s:F, s:b, s:{s:F, s:F, s:I, s:o}}", "step", &step,
                    "best_step", &best_step, "misses", &misses, "best_accuracy", &r->best_accuracy, "best_loss",
                    &r->best_loss, "smooth_loss", &r->smooth_loss, "smooth_accuracy", &r->smooth_accuracy, "finished",
                    &finished, "detectors", "smooth_loss", &r->detectors.smooth_loss, "best_loss",
                    &r->detectors.best_loss, "best_step", &loss_step, "silent_until", &quiet) != 0 ||
        step < 0 || json_array_size(quiet) != N_SILENT)
        return tp_fail(TP_ERR_FORMAT, "%s: its counters are broken", r->state_path);
    r->step = step, r->best_step = best_step, r->misses = misses, r->finished = finished;
    r->detectors.best_step = loss_step;
    for (size_t i = 0; i < N_SILENT; i++) r->detectors.silent_until[i] = json_integer_value(json_array_get(quiet, i));
    return TP_OK;
}

static tp_status load_state(run *r) {
    json_t *note;
    TP_TRY(tp_state_load(r->state_path, r->adamw, &note));
    json_t *mine = identity(r);
    tp_status status = tp_state_check_run(r->state_path, note, mine);
    if (status == TP_OK) status = read_counters(r, note);
    json_decref(mine);
    json_decref(note);
    return status;
}

/* The state of a run goes with the best bridge so far; one without the other is no run. A bridge that is newer than the
 * state (killed between the two) is made again, byte for byte, by the steps that are repeated. */
static tp_status check_best(const run *r) {
    if (r->best_step == 0) return TP_OK;
    tp_trained_bridge *best = tp_bridge_load(r->o->out);
    tp_trained_bridge_free(best);
    return best ? TP_OK
                : tp_fail_context("the run cannot be gone on with, its best bridge (of step %lld) is not whole",
                                  (long long)r->best_step);
}

/* ---- before the first step ---- */

/* Mistakes that training would not notice, or only after a long time. */
static tp_status check_task(const run *r) {
    const tp_task *task = r->o->task;
    if (r->recipe->latentwire)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the recipe has a section `latentwire`: it trains no bridge between two models");
    if (!tp_layout_has_soft(r->relay->layout))
        return tp_fail(TP_ERR_ARGUMENT, "the recipe's layout \"%s\" has no place {soft}: there is nothing to train",
                       r->recipe->layout);
    TP_TRY(tp_objective_check(r->relay));
    TP_TRY(tp_task_needs_train(task));
    if (task->valid.n == 0)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the task %s has no validation rows to choose the best bridge by: its %zu training rows are too "
                       "few to carve some out (`task.valid_fraction`)",
                       task->name, task->train.n);
    if (task->kind == TP_TASK_TEXT) return TP_OK; /* the rest is about labels */
    int64_t *rows = tp_alloc((size_t)task->n_labels * sizeof *rows);
    for (size_t i = 0; i < task->train.n; i++) rows[task->train.examples[i].label]++;
    int32_t empty = 0, an_empty_one = 0;
    for (int32_t l = 0; l < task->n_labels; l++)
        if (rows[l] == 0) empty++, an_empty_one = l;
    tp_free(rows);
    if (task->n_labels - empty < 2)
        return tp_fail(TP_ERR_ARGUMENT,
                       "all %zu training rows of the task %s have the same label: there is nothing to tell apart",
                       task->train.n, task->name);
    if (empty > 0)
        tp_progress_say(r->o->progress, "%d of %d labels have no training row (\"%s\" for one): they cannot be learned",
                        empty, task->n_labels, task->labels[an_empty_one].name);
    return TP_OK;
}

static tp_status open_states(const run *r, const tp_dataset *set, const char *name, int64_t max_bytes,
                             tp_state_cache **out) {
    char *file = tp_format("states-%s.cache", name), *path = tp_path_join(r->o->out, file);
    *out = tp_state_cache_new(&r->relay->tap, set->examples, set->n, r->recipe->cache.kind, max_bytes, path);
    tp_free(file);
    tp_free(path);
    return *out ? TP_OK : tp_last_status();
}

/* Statistics of the sender's states over some training texts, and of the receiver's embeddings; then the bridge. */
static tp_status make_bridge(run *r) {
    const tp_recipe *recipe = r->recipe;
    int64_t n = (int64_t)r->o->task->train.n, wanted = recipe->calibration_texts < n ? recipe->calibration_texts : n;
    int64_t *order = tp_alloc((size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    tp_rng rng = tp_rng_stream(recipe->seed, "calibration", 0);
    tp_rng_shuffle(&rng, order, (size_t)n);
    tp_moments *moments = tp_moments_new(tp_tap_width(&r->relay->tap));
    for (int64_t i = 0; i < wanted; i += 64) {
        const int64_t *offsets;
        int64_t some = wanted - i < 64 ? wanted - i : 64;
        tp_tape_reset(r->tape);
        tp_var *states = tp_state_cache_fetch(r->train_states, r->tape, order + i, some, &offsets);
        tp_moments_add(moments, states->data, states->rows);
    }
    tp_calibration *calibration =
        tp_calibration_new(moments, &r->relay->receiver->embed, r->relay->receiver->config.embedding_scale);
    tp_bridge *bridge = tp_bridge_new(&recipe->bridge, r->relay->sender->config.d_model,
                                      r->relay->receiver->config.d_model, calibration, recipe->seed);
    if (bridge) r->aids = tp_loss_aids_new(r->relay, calibration, r->o->task, recipe->seed);
    tp_calibration_free(calibration);
    tp_moments_free(moments);
    tp_free(order);
    if (bridge == NULL) return tp_last_status();
    tp_relay_set_bridge(r->relay, bridge, r->o->task);
    if (r->aids == NULL) return tp_last_status();
    tp_params_append(&r->trained, &bridge->params);
    tp_params_append(&r->trained, &r->aids->params);
    return bridge->family->solve ? tp_solve_bridge(r->relay, r->train_states, &r->o->task->train, r->tape) : TP_OK;
}

static tp_status prepare(run *r) {
    const tp_train_options *o = r->o;
    TP_TRY(tp_make_dirs(o->out));
    r->lock = tp_lock_folder(o->out, "a training");
    if (r->lock < 0) return tp_last_status();
    tp_remove_leftovers(o->out);
    r->state_path = tp_path_join(o->out, "state.safetensors");
    r->log_path = tp_path_join(o->out, "log.jsonl");
    r->result_path = tp_path_join(o->out, "train.json");
    json_t *copy = tp_recipe_to_json(o->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, "recipe");
    json_decref(copy);
    if (recipe == NULL) return tp_last_status();
    r->relay = tp_relay_new(recipe, o->sender, o->receiver, o->task);
    if (r->relay == NULL) return tp_last_status();
    TP_TRY(tp_relay_read_prefix(r->relay));
    r->recipe = r->relay->recipe;
    TP_TRY(check_task(r));
    r->tape = tp_tape_new(r->recipe->math);
    r->tape->seed = r->recipe->seed;
    /* one bound for both: what validation needs, training cannot have */
    int64_t bound = r->recipe->cache.max_bytes;
    if (o->max_cache > 0 && o->max_cache < bound && r->recipe->cache.kind == TP_CACHE_MEMORY) bound = o->max_cache;
    TP_TRY(open_states(r, &o->task->valid, "valid", bound, &r->valid_states));
    bound -= tp_state_cache_describe(r->valid_states).most_bytes;
    TP_TRY(open_states(r, &o->task->train, "train", bound, &r->train_states));
    TP_TRY(make_bridge(r));
    r->sampler = tp_sampler_new(o->task->train.examples, o->task->train.n, o->task->n_labels,
                                r->recipe->balanced && o->task->n_labels > 0, /* free answers have no classes */
                                r->recipe->seed);
    r->adamw = tp_adamw_new(&r->trained, &(tp_adamw_options){.beta1 = r->recipe->optimiser.beta1,
                                                             .beta2 = r->recipe->optimiser.beta2,
                                                             .eps = r->recipe->optimiser.eps,
                                                             .weight_decay = r->recipe->optimiser.weight_decay,
                                                             .clip = r->recipe->optimiser.clip});
    r->detectors = tp_detectors_new();
    r->best_loss = INFINITY;
    r->best_accuracy = -1;
    return TP_OK;
}

/* ---- validation ---- */

static tp_status warn(const run *r, const char *sentence) {
    tp_progress_say(r->o->progress, "warning, step %lld: %s", (long long)r->step, sentence);
    return tp_log_add(r->log_path, json_pack("{s:I, s:s}", "step", (json_int_t)r->step, "warning", sentence));
}

static tp_status validate(run *r) {
    tp_validation v;
    TP_TRY(tp_validate(r->relay, r->valid_states, &r->o->task->valid, (int64_t)r->o->task->valid.n, &v));
    /* More right answers win; of equals the surer ones. */
    bool better = v.accuracy > r->best_accuracy || (v.accuracy == r->best_accuracy && v.loss < r->best_loss);
    if (better) {
        r->best_accuracy = v.accuracy;
        r->best_loss = v.loss;
        r->best_step = r->step;
        r->misses = 0;
        TP_TRY(tp_bridge_save(r->o->out, r->relay->trained));
    } else {
        r->misses++;
    }
    tp_progress_say(r->o->progress, "step %lld  validation accuracy %.2f %%, loss %.4f%s", (long long)r->step,
                    100 * v.accuracy, v.loss, better ? "  (best so far)" : "");
    r->finished = r->recipe->early_stopping.patience > 0 && r->misses >= r->recipe->early_stopping.patience;
    return tp_log_add(r->log_path, json_pack("{s:I, s:f, s:f, s:b}", "step", (json_int_t)r->step, "valid_accuracy",
                                             v.accuracy, "valid_loss", v.loss, "best", better));
}

/* A quick look: what the receiver actually says, on a few validation rows. */
static tp_status quick_look(run *r) {
    const tp_task *task = r->o->task;
    tp_quick_look look;
    TP_TRY(tp_quick_evaluate(r->relay, r->valid_states, task, r->recipe->quick_eval.examples, r->step, &look));
    tp_progress_say(r->o->progress, "step %lld  quick look: %.1f %% of %lld right, %.1f %% of answers different%s%s",
                    (long long)r->step, 100 * look.accuracy, (long long)look.n, 100 * look.diversity,
                    look.by_class[0] ? ", by class " : "", look.by_class);
    tp_progress_say(r->o->progress, "    %s", look.samples);
    return tp_log_add(r->log_path, json_pack("{s:I, s:{s:I, s:f, s:f, s:o}}", "step", (json_int_t)r->step, "quick", "n",
                                             (json_int_t)look.n, "accuracy", look.accuracy, "diversity", look.diversity,
                                             "by_class", tp_log_text(look.by_class)));
}

/* ---- one update ---- */

static tp_status micro_batch(run *r, int64_t number, tp_bridge_terms *terms, tp_objective_values *values,
                             tp_vital_signs *signs) {
    int64_t n = r->recipe->optimiser.batch;
    tp_tape_reset(r->tape);
    r->tape->step = (uint64_t)number;
    int64_t *indices = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof *indices);
    const tp_example **examples = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof(const tp_example *));
    tp_sampler_batch(r->sampler, number, n, indices);
    for (int64_t i = 0; i < n; i++) examples[i] = &r->o->task->train.examples[indices[i]];
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(r->train_states, r->tape, indices, n, &offsets);
    const int32_t **ids = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof(const int32_t *));
    for (int64_t i = 0; i < n; i++) ids[i] = tp_state_cache_ids(r->train_states, indices[i]);
    tp_objective_batch batch = {.examples = examples,
                                .n = n,
                                .terms = terms,
                                .aids = r->aids,
                                .hidden = hidden,
                                .offsets = offsets,
                                .ids = ids};
    hidden = tp_position_dropout(r->tape, hidden, &offsets, n, r->recipe->sender.position_dropout);
    tp_bridge_lesson lesson = {.tokens_taught = true};
    tp_var *soft = tp_relay_soft_training(r->relay, r->tape, hidden, offsets, n, &lesson, terms), *loss;
    batch.soft = soft;
    TP_TRY(tp_objective(r->relay, r->tape, &batch, r->step, &loss, values));
    tp_backward(r->tape, loss, 1.0f);
    signs->soft = soft->data;
    signs->n = n;
    signs->width = soft->rows / n * soft->cols;
    return TP_OK;
}

static tp_status update(run *r) {
    const tp_recipe *recipe = r->recipe;
    int64_t parts = recipe->optimiser.accumulate;
    tp_objective_values mean = {0}, values;
    tp_bridge_terms terms;
    tp_vital_signs signs = {.step = r->step};
    for (int64_t part = 0; part < parts; part++) {
        TP_TRY(micro_batch(r, r->step * parts + part, &terms, &values, &signs));
        mean.total += values.total / (double)parts;
        mean.accuracy += values.accuracy / (double)parts;
    }
    bool cosine = recipe->optimiser.schedule == TP_LR_COSINE;
    double lr = tp_cosine_lr(recipe->optimiser.lr, cosine ? recipe->optimiser.min_lr_ratio : 1.0, r->step,
                             recipe->optimiser.warmup, recipe->optimiser.steps);
    signs.loss = mean.total;
    bool heads = r->aids->params.n > 0; /* theirs is not the bridge's gradient */
    signs.gradient_norm = heads ? tp_params_grad_norm(&r->relay->bridge->params) / (double)parts : 0;
    double norm = tp_adamw_step(r->adamw, lr, 1.0 / (double)parts);
    if (!heads || !isfinite(norm)) signs.gradient_norm = norm;
    r->step++; /* from here on this update is made, and all it says belongs to the step it leads to */
    char sentence[256];
    bool fatal;
    if (tp_detectors_look(&r->detectors, &signs, sentence, sizeof sentence, &fatal)) TP_TRY(warn(r, sentence));
    if (fatal) return tp_fail(TP_ERR_ARGUMENT, "training failed: %s", sentence);
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
            if (isfinite(values.losses[i]))
                json_object_set_new(line, tp_loss_name_text((tp_loss_name)i), json_real(values.losses[i]));
        for (int i = 0; i < terms.n_figures; i++)
            json_object_set_new(line, terms.figures[i].name, json_real(terms.figures[i].value));
        TP_TRY(tp_log_add(r->log_path, line));
    }
    return TP_OK;
}

/* The bridge as it is before the first step: all there is without steps, and with them what a solved one is worth by
 * itself. A run that was stopped before its first step does it again, and writes the same. */
static tp_status validate_start(run *r) {
    if (r->step > 0 || (r->recipe->optimiser.steps > 0 && !r->relay->bridge->family->solve)) return TP_OK;
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
        TP_TRY(update(r));
        if (r->step % recipe->early_stopping.every == 0 || r->step == total) TP_TRY(validate(r));
        if (recipe->quick_eval.every > 0 && r->step % recipe->quick_eval.every == 0) TP_TRY(quick_look(r));
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
    double start = tp_now();
    TP_TRY(prepare(r));
    result->resumed = tp_path_exists(r->state_path);
    if (result->resumed) TP_TRY(load_state(r));
    if (result->resumed) TP_TRY(check_best(r));
    bool at_end = r->finished || r->step >= r->recipe->optimiser.steps;
    if (result->resumed && at_end && tp_path_exists(r->result_path)) return read_result(r, result);
    unlink(r->result_path); /* an outcome that is there now is of another run */
    TP_TRY(tp_log_begin(r->log_path, r->step));
    tp_state_cache_info train_info = tp_state_cache_describe(r->train_states);
    tp_state_cache_info valid_info = tp_state_cache_describe(r->valid_states);
    result->n_truncated = train_info.n_truncated + valid_info.n_truncated;
    result->n_parameters = tp_bridge_n_parameters(r->relay->bridge);
    tp_progress_say(r->o->progress,
                    "%s, %zu training and %zu validation rows, bridge of %lld parameters, layer %d of %d%s",
                    r->o->task->name, r->o->task->train.n, r->o->task->valid.n, (long long)result->n_parameters,
                    r->relay->tap.layer, r->relay->sender->config.n_layers, result->resumed ? ", resumed" : "");
    if (result->n_truncated > 0)
        tp_progress_say(r->o->progress, "%lld texts were cut to fit %d tokens", (long long)result->n_truncated,
                        r->relay->tap.max_tokens);
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
    tp_status status = tp_json_save_file(outcome, r->result_path);
    json_decref(outcome);
    return status;
}

tp_status tp_train(const tp_train_options *options, tp_train_result *result) {
    *result = (tp_train_result){0};
    run r = {.o = options, .lock = -1};
    tp_status status = train(&r, result);
    if (r.lock >= 0) close(r.lock);
    tp_state_cache_free(r.train_states);
    tp_state_cache_free(r.valid_states);
    tp_sampler_free(r.sampler);
    tp_adamw_free(r.adamw);
    tp_free(r.trained.items);
    tp_loss_aids_free(r.aids);
    tp_tape_free(r.tape);
    tp_relay_free(r.relay);
    tp_free(r.state_path);
    tp_free(r.log_path);
    tp_free(r.result_path);
    return status;
}
