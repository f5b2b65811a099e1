/* The training of a bridge: what the loop (loop.h) asks for, made from sender, bridge and receiver. See trainer.h.
 *
 * Batches and masks come from the step's number, and hidden states do not depend on the batch they are computed in. */
#include "train/trainer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "bridge/checkpoint.h"
#include "bridge/kv_statistics.h"
#include "bridge/recipe_check.h"
#include "train/check_task.h"
#include "train/lesson.h"
#include "train/loop.h"
#include "train/objective.h"
#include "train/position_dropout.h"
#include "train/sampler.h"
#include "train/solve.h"
#include "train/states.h"
#include "train/validate.h"

#include <stdio.h>
#include <unistd.h>

enum { MOST_KV_TEXTS = 100 }; /* that the receiver reads to measure its keys and values */

typedef struct {
    const tp_train_options *o;
    tp_relay *relay;
    const tp_recipe *recipe; /* the relay's, complete */
    tp_state_cache *train_states, *valid_states;
    tp_sampler *sampler;
    tp_calibration *calibration;
    tp_loss_aids *aids;
    tp_params trained; /* the bridge's parameters and those of the losses' heads; the list is ours, they are not */
    tp_tape *tape;
    tp_bridge_terms terms; /* of the last batch */
    double embedding_rms;  /* of the receiver, to compare soft tokens with; 0: there are none */
} run;

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

/* ---- before the first step ---- */

/* The last stage must be what the bridge is used with, and must come. */
static tp_status check_growth(const tp_recipe *recipe) {
    const tp_regime *regime = &recipe->regime;
    if (regime->n_stages == 0) return TP_OK;
    const tp_growth_stage *last = &regime->grow[regime->n_stages - 1];
    if (last->tokens != recipe->bridge.soft_tokens)
        return tp_fail(TP_ERR_ARGUMENT, "recipe: `bridge.grow` ends with %d soft tokens, `bridge.soft_tokens` is %d",
                       last->tokens, recipe->bridge.soft_tokens);
    if (last->step >= recipe->optimiser.steps)
        return tp_fail(TP_ERR_ARGUMENT,
                       "recipe: `bridge.grow` has all soft tokens from step %lld on, but there are only %lld",
                       (long long)last->step, (long long)recipe->optimiser.steps);
    return TP_OK;
}

/* Mistakes that training would not notice, or only after a long time. */
static tp_status check(const run *r) {
    if (r->recipe->latentwire)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the recipe has a section `latentwire`: it trains no bridge between two models");
    if (!tp_layout_has_soft(r->relay->layout))
        return tp_fail(TP_ERR_ARGUMENT, "the recipe's layout \"%s\" has no place {soft}: there is nothing to train",
                       r->recipe->layout);
    TP_TRY(tp_objective_check(r->relay));
    TP_TRY(check_growth(r->recipe));
    return tp_train_check_task(r->o->task, r->o->progress);
}

static tp_status open_states(const run *r, const tp_dataset *set, const char *name, int64_t max_bytes,
                             tp_state_cache **out) {
    char *file = tp_format("states-%s.cache", name), *path = tp_path_join(r->o->out, file);
    *out = tp_state_cache_new(&r->relay->tap, set->examples, set->n, r->recipe->cache.kind, max_bytes, path);
    tp_free(file);
    tp_free(path);
    return *out ? TP_OK : tp_last_status();
}

/* The receiver's side of the calibration: its embeddings, or its keys and values over some of the texts. */
static tp_calibration *measure_receiver(const run *r, const tp_moments *source, const int64_t *texts, int64_t n) {
    const tp_lm *receiver = r->relay->receiver;
    if (r->recipe->bridge.injection == TP_INJECT_SOFT)
        return tp_calibration_new(source, &receiver->embed, receiver->config.embedding_scale);
    if (n > MOST_KV_TEXTS) n = MOST_KV_TEXTS;
    const tp_example **examples = tp_alloc((size_t)(n + 1) * sizeof(const tp_example *));
    for (int64_t i = 0; i < n; i++) examples[i] = &r->o->task->train.examples[texts[i]];
    int64_t context = receiver->config.max_position_embeddings, most = r->recipe->sender.max_tokens;
    double rms;
    tp_moments *target =
        tp_kv_moments(receiver, r->recipe->math, examples, n, context > 0 && context < most ? context : most, &rms);
    tp_calibration *calibration = target ? tp_calibration_of(source, target, rms) : NULL;
    tp_moments_free(target);
    tp_free(examples);
    return calibration;
}

/* Statistics of the sender's states over some training texts, and of the receiver's embeddings. */
static tp_status measure(run *r) {
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
    r->calibration = measure_receiver(r, moments, order, wanted);
    if (r->calibration && recipe->bridge.injection == TP_INJECT_SOFT) r->embedding_rms = r->calibration->target_rms;
    tp_moments_free(moments);
    tp_free(order);
    return r->calibration ? TP_OK : tp_last_status();
}

static tp_bridge *new_bridge(const run *r, uint64_t seed) {
    return tp_bridge_new(&r->recipe->bridge, r->relay->sender->config.d_model,
                         tp_relay_packet_width(r->recipe, r->relay->receiver), r->calibration, seed);
}

/* What is drawn after the bridge, and what a family computes instead of learning it. */
static tp_status set_seed(run *r, uint64_t seed) {
    const tp_task *task = r->o->task;
    r->tape->seed = seed;
    tp_sampler_free(r->sampler);
    r->sampler = tp_sampler_new(task->train.examples, task->train.n, task->n_labels,
                                r->recipe->balanced && task->n_labels > 0, /* free answers have no classes */
                                seed);
    return r->relay->bridge->family->solve ? tp_solve_bridge(r->relay, r->train_states, &task->train, r->tape) : TP_OK;
}

static tp_status make_bridge(run *r) {
    tp_bridge *bridge = new_bridge(r, r->recipe->seed);
    if (bridge == NULL) return tp_last_status();
    tp_relay_set_bridge(r->relay, bridge, r->o->task);
    r->aids = tp_loss_aids_new(r->relay, r->calibration, r->o->task, r->recipe->seed);
    if (r->aids == NULL) return tp_last_status();
    tp_params_append(&r->trained, &bridge->params);
    tp_params_append(&r->trained, &r->aids->params);
    return set_seed(r, r->recipe->seed);
}

static tp_status prepare(run *r) {
    const tp_train_options *o = r->o;
    json_t *copy = tp_recipe_to_json(o->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, "recipe");
    json_decref(copy);
    if (recipe == NULL) return tp_last_status();
    r->relay = tp_relay_new(recipe, o->sender, o->receiver, o->task);
    if (r->relay == NULL) return tp_last_status();
    TP_TRY(tp_relay_read_prefix(r->relay));
    r->recipe = r->relay->recipe;
    TP_TRY(check(r));
    r->tape = tp_tape_new(r->recipe->math);
    r->tape->seed = r->recipe->seed;
    /* one bound for both: what validation needs, training cannot have */
    int64_t bound = r->recipe->cache.max_bytes;
    if (o->max_cache > 0 && o->max_cache < bound && r->recipe->cache.kind == TP_CACHE_MEMORY) bound = o->max_cache;
    TP_TRY(open_states(r, &o->task->valid, "valid", bound, &r->valid_states));
    bound -= tp_state_cache_describe(r->valid_states).most_bytes;
    TP_TRY(open_states(r, &o->task->train, "train", bound, &r->train_states));
    TP_TRY(measure(r));
    return make_bridge(r);
}

/* ---- what the loop asks for ---- */

/* The gradients of a micro-batch, of all losses or of one alone. */
static tp_status go_back(run *r, int64_t number, int64_t step, const tp_loss_term *alone, tp_learned *out) {
    int64_t n = r->recipe->optimiser.batch;
    tp_tape_reset(r->tape);
    r->tape->step = (uint64_t)number;
    r->relay->tokens_in_use = tp_growth_tokens(&r->recipe->regime, step);
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
                                .terms = &r->terms,
                                .aids = r->aids,
                                .hidden = hidden,
                                .offsets = offsets,
                                .ids = ids,
                                .alone = alone};
    hidden = tp_position_dropout(r->tape, hidden, &offsets, n, r->recipe->sender.position_dropout);
    tp_bridge_lesson lesson;
    TP_TRY(tp_lesson_make(r->relay, r->tape, examples, n, step, &lesson));
    tp_var *soft = tp_relay_soft_training(r->relay, r->tape, hidden, offsets, n, &lesson, &r->terms), *loss;
    batch.soft = soft = tp_scale_gradient(r->tape, soft, (float)r->recipe->regime.gradient_scale);
    TP_TRY(tp_objective(r->relay, r->tape, &batch, step, &loss, &out->values));
    tp_backward(r->tape, loss, 1.0f);
    out->signs = (tp_vital_signs){
        .soft = soft->data, .n = n, .width = soft->rows / n * soft->cols, .embedding_rms = r->embedding_rms};
    return TP_OK;
}

static tp_status learn(void *context, int64_t number, int64_t step, tp_learned *out) {
    return go_back(context, number, step, NULL, out);
}

static tp_status weigh(void *context, int64_t number, int64_t step, tp_loss_force forces[TP_N_LOSSES], int *n) {
    run *r = context;
    tp_learned ignored;
    tp_bridge_terms kept = r->terms;
    tp_status status = TP_OK;
    *n = 0;
    for (int i = 0; i < r->recipe->n_losses && status == TP_OK; i++) {
        const tp_loss_term *term = &r->recipe->losses[i];
        /* a scale that is where it belongs has a regulariser without gradient, and should */
        if (tp_loss_weight(term, step) == 0 || term->name == TP_LOSS_SCALE_REG) continue;
        status = go_back(r, number, step, term, &ignored);
        forces[(*n)++] = (tp_loss_force){.name = tp_loss_name_text(term->name),
                                         .gradient_norm = tp_params_grad_norm(&r->relay->bridge->params)};
        tp_params_zero_grad(&r->trained);
    }
    r->terms = kept;
    return status;
}

static void describe(void *context, json_t *line) {
    const tp_bridge_terms *terms = &((run *)context)->terms;
    for (int i = 0; i < terms->n_figures; i++)
        json_object_set_new(line, terms->figures[i].name, json_real(terms->figures[i].value));
}

static tp_status validate(void *context, tp_validation *result, json_t *line) {
    const run *r = context;
    (void)line;
    const tp_dataset *valid = &r->o->task->valid;
    TP_TRY(tp_validate(r->relay, r->valid_states, valid, (int64_t)valid->n, result));
    result->provisional = r->relay->tokens_in_use > 0 && r->relay->tokens_in_use < r->recipe->bridge.soft_tokens;
    return TP_OK;
}

static tp_status look(void *context, int64_t step, tp_quick_look *look) {
    const run *r = context;
    return tp_quick_evaluate(r->relay, r->valid_states, r->o->task, r->recipe->quick_eval.examples, step, look);
}

/* All parameters as a run with that seed has them at its beginning. */
static tp_status reseed(void *context, uint64_t seed) {
    run *r = context;
    tp_bridge *bridge = new_bridge(r, seed);
    tp_loss_aids *aids = bridge ? tp_loss_aids_new(r->relay, r->calibration, r->o->task, seed) : NULL;
    bool made = aids != NULL;
    if (made) tp_params_copy(&r->relay->bridge->params, &bridge->params);
    if (made) tp_params_copy(&r->aids->params, &aids->params);
    tp_loss_aids_free(aids);
    tp_bridge_free(bridge);
    return made ? set_seed(r, seed) : tp_last_status();
}

static tp_status save(void *context, const char *folder) {
    return tp_bridge_save(folder, ((run *)context)->relay->trained);
}

static tp_status check_saved(void *context, const char *folder) {
    (void)context;
    tp_trained_bridge *best = tp_bridge_load(folder);
    tp_trained_bridge_free(best);
    return best ? TP_OK : tp_last_status();
}

static tp_status train(run *r, tp_train_result *result) {
    TP_TRY(prepare(r));
    const tp_train_options *o = r->o;
    tp_bridge *bridge = r->relay->bridge;
    json_t *own = identity(r), *remarks = tp_recipe_check(r->recipe, o->task);
    char *begins =
        tp_format("%s, %zu training and %zu validation rows, bridge of %lld parameters, layer %d of %d", o->task->name,
                  o->task->train.n, o->task->valid.n, (long long)tp_bridge_n_parameters(bridge), r->relay->tap.layer,
                  r->relay->sender->config.n_layers);
    tp_learner learner = {.context = r,
                          .recipe = r->recipe,
                          .params = &r->trained,
                          .watched = r->aids->params.n > 0 ? &bridge->params : NULL,
                          .starts_whole = bridge->family->solve != NULL,
                          .identity = own,
                          .begins = begins,
                          .n_truncated = tp_state_cache_describe(r->train_states).n_truncated +
                                         tp_state_cache_describe(r->valid_states).n_truncated,
                          .best = "bridge",
                          .learn = learn,
                          .weigh = weigh,
                          .remarks = remarks,
                          .describe = describe,
                          .validate = validate,
                          .look = look,
                          .reseed = reseed,
                          .save = save,
                          .check_saved = check_saved};
    snprintf(learner.room, sizeof learner.room, "%d tokens", r->relay->tap.max_tokens);
    tp_status status = tp_loop_run(o, &learner, result);
    json_decref(own);
    json_decref(remarks);
    tp_free(begins);
    return status;
}

tp_status tp_train(const tp_train_options *options, tp_train_result *result) {
    *result = (tp_train_result){0};
    run r = {.o = options};
    int lock = tp_loop_enter(options->out);
    tp_status status = lock >= 0 ? train(&r, result) : tp_last_status();
    if (lock >= 0) close(lock);
    tp_state_cache_free(r.train_states);
    tp_state_cache_free(r.valid_states);
    tp_sampler_free(r.sampler);
    tp_tape_free(r.tape);
    tp_free(r.trained.items);
    tp_loss_aids_free(r.aids);
    tp_calibration_free(r.calibration);
    tp_relay_free(r.relay);
    return status;
}
