/* The training of a bridge: what the loop (loop.h) asks for, made from sender, bridge and receiver. See trainer.h.
 *
 * Batches and masks come from the step's number, and hidden states do not depend on the batch they are computed in. */
#include "train/trainer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "bridge/checkpoint.h"
#include "bridge/kv_statistics.h"
#include "bridge/recipe_check.h"
#include "train/check_task.h"
#include "train/lesson.h"
#include "train/log.h"
#include "train/loop.h"
#include "train/objective.h"
#include "train/position_dropout.h"
#include "train/sampler.h"
#include "train/solve.h"
#include "train/states.h"
#include "train/subject.h"
#include "train/validate.h"

#include <stdio.h>
#include <unistd.h>

enum { MOST_KV_TEXTS = 100 }; /* that the receiver reads to measure its keys and values */

typedef struct {
    const tp_train_options *o;
    tp_subject subjects[TP_MAX_SUBJECTS]; /* the recipe's own task, then its further ones */
    int n;
    tp_relay *relay;         /* the first one's, with the bridge */
    const tp_recipe *recipe; /* the relay's, complete */
    tp_calibration *calibration;
    int last;          /* the subject of the last batch */
    tp_params trained; /* the bridge's parameters and those of the losses' heads; the list is ours, they are not */
    tp_tape *tape;
    tp_bridge_terms terms; /* of the last batch */
    double embedding_rms;  /* of the receiver, to compare soft tokens with; 0: there are none */
} run;

/* What the sender is asked and the receiver answers: it stands in no file that has a fingerprint of its own. */
static void hash_words(const tp_relay *relay, char hex[33]) {
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, relay->prompt);
    for (int i = 0; i < relay->n_labels; i++) tp_hash_add_text(h, relay->label_names[i]);
    tp_hash_end(h, hex);
}

/* Of the further tasks, what identity has of the first. */
static json_t *further_identities(const run *r) {
    json_t *list = json_array();
    for (int i = 1; i < r->n; i++) {
        char words[33];
        hash_words(r->subjects[i].relay, words);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "train_rows", r->subjects[i].task->train.fingerprint,
                                              "valid_rows", r->subjects[i].task->valid.fingerprint, "prompt_and_labels",
                                              words));
    }
    return list;
}

/* What must be equal for a state to be gone on from. */
static json_t *identity(const run *r) {
    const tp_lm *sender = r->relay->sender, *receiver = r->relay->receiver;
    char words[33];
    hash_words(r->relay, words);
    json_t *own = json_pack(
        "{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "recipe", tp_recipe_to_json(r->recipe), "sender",
        sender->fingerprint, "sender_tokenizer", tp_tokenizer_fingerprint(sender->tokenizer), "receiver",
        receiver->fingerprint, "receiver_tokenizer", tp_tokenizer_fingerprint(receiver->tokenizer), "train_rows",
        r->o->task->train.fingerprint, "valid_rows", r->o->task->valid.fingerprint, "prompt_and_labels", words);
    if (r->n > 1) json_object_set_new(own, "tasks", further_identities(r));
    return own;
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
    TP_TRY(check_growth(r->recipe));
    for (int i = 0; i < r->n; i++) {
        const tp_subject *s = &r->subjects[i];
        if (!tp_layout_has_soft(s->relay->layout))
            return tp_fail(TP_ERR_ARGUMENT, "the recipe's layout \"%s\" has no place {soft}: there is nothing to train",
                           s->relay->recipe->layout);
        TP_TRY(tp_objective_check(s->relay));
        TP_TRY(tp_train_check_task(s->task, r->o->progress));
    }
    return TP_OK;
}

/* The receiver's side of the calibration: its embeddings, or its keys and values over some of the texts. */
static tp_calibration *measure_receiver(const run *r, const tp_moments *source, const int64_t *texts, int64_t n) {
    const tp_lm *receiver = r->relay->receiver;
    if (r->recipe->bridge.injection == TP_INJECT_SOFT)
        return tp_calibration_new(source, &receiver->embed, receiver->config.embedding_scale);
    if (n > MOST_KV_TEXTS) n = MOST_KV_TEXTS;
    const tp_example **examples = tp_alloc((size_t)(n + 1) * sizeof(const tp_example *));
    for (int64_t i = 0; i < n; i++) examples[i] = &r->subjects[r->n - 1].task->train.examples[texts[i]];
    int64_t context = receiver->config.max_position_embeddings, most = r->recipe->sender.max_tokens;
    double rms;
    tp_moments *target =
        tp_kv_moments(receiver, r->recipe->math, examples, n, context > 0 && context < most ? context : most, &rms);
    tp_calibration *calibration = target ? tp_calibration_of(source, target, rms) : NULL;
    tp_moments_free(target);
    tp_free(examples);
    return calibration;
}

/* Statistics of the sender's states over some training texts of each task, and of the receiver's embeddings. */
static tp_status measure(run *r) {
    const tp_recipe *recipe = r->recipe;
    tp_moments *moments = tp_moments_new(tp_tap_width(&r->relay->tap));
    for (int k = 0; k < r->n; k++) {
        const tp_subject *s = &r->subjects[k];
        int64_t n = (int64_t)s->task->train.n, wanted = (recipe->calibration_texts + r->n - 1) / r->n;
        if (wanted > n) wanted = n;
        int64_t *order = tp_alloc((size_t)n * sizeof *order);
        for (int64_t i = 0; i < n; i++) order[i] = i;
        tp_rng rng = tp_rng_stream(recipe->seed, "calibration", 0);
        tp_rng_shuffle(&rng, order, (size_t)n);
        for (int64_t i = 0; i < wanted; i += 64) {
            const int64_t *offsets;
            int64_t some = wanted - i < 64 ? wanted - i : 64;
            tp_tape_reset(r->tape);
            tp_var *states = tp_state_cache_fetch(s->train_states, r->tape, order + i, some, &offsets);
            tp_moments_add(moments, states->data, states->rows);
        }
        if (k == r->n - 1) r->calibration = measure_receiver(r, moments, order, wanted);
        tp_free(order);
    }
    tp_moments_free(moments);
    if (r->calibration && recipe->bridge.injection == TP_INJECT_SOFT) r->embedding_rms = r->calibration->target_rms;
    return r->calibration ? TP_OK : tp_last_status();
}

static tp_bridge *new_bridge(const run *r, uint64_t seed) {
    return tp_bridge_new(&r->recipe->bridge, r->relay->sender->config.d_model,
                         tp_relay_packet_width(r->recipe, r->relay->receiver), r->calibration, seed);
}

/* What is drawn after the bridge, and what a family computes instead of learning it. */
static tp_status set_seed(run *r, uint64_t seed) {
    r->tape->seed = seed;
    for (int i = 0; i < r->n; i++) tp_subject_set_seed(&r->subjects[i], seed);
    const tp_subject *first = &r->subjects[0];
    if (r->relay->bridge->family->solve == NULL) return TP_OK;
    if (r->n > 1)
        return tp_fail(TP_ERR_UNSUPPORTED, "a bridge of the kind \"%s\" is solved for one task; the recipe has %d",
                       r->recipe->bridge.kind, r->n);
    return tp_solve_bridge(r->relay, first->train_states, &first->task->train, r->tape);
}

static tp_status make_bridge(run *r) {
    tp_subject *first = &r->subjects[0];
    tp_bridge *bridge = new_bridge(r, r->recipe->seed);
    if (bridge == NULL) return tp_last_status();
    tp_relay_set_bridge(r->relay, bridge, first->task);
    first->aids = tp_loss_aids_new(r->relay, r->calibration, first->task, r->recipe->seed);
    if (first->aids == NULL) return tp_last_status();
    for (int i = 1; i < r->n; i++) TP_TRY(tp_subject_share(&r->subjects[i], first, r->calibration));
    tp_params_append(&r->trained, &bridge->params);
    tp_params_append(&r->trained, &first->aids->params);
    return set_seed(r, r->recipe->seed);
}

static tp_status prepare(run *r) {
    const tp_train_options *o = r->o;
    json_t *copy = tp_recipe_to_json(o->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, "recipe");
    json_decref(copy);
    if (recipe == NULL) return tp_last_status();
    r->n = 1;
    TP_TRY(tp_subject_open(&r->subjects[0], recipe, o->sender, o->receiver, o->task));
    r->relay = r->subjects[0].relay;
    r->recipe = r->relay->recipe;
    for (int i = 0; i < tp_recipe_n_further(r->recipe); i++)
        TP_TRY(tp_subject_open_further(&r->subjects[r->n++], o->recipe, &r->subjects[0], i));
    TP_TRY(check(r));
    r->tape = tp_tape_new(r->recipe->math);
    r->tape->seed = r->recipe->seed;
    int64_t bound = r->recipe->cache.max_bytes;
    if (o->max_cache > 0 && o->max_cache < bound && r->recipe->cache.kind == TP_CACHE_MEMORY) bound = o->max_cache;
    for (int i = 0; i < r->n; i++) TP_TRY(tp_subject_open_states(&r->subjects[i], o->out, i, bound / r->n));
    TP_TRY(measure(r));
    return make_bridge(r);
}

/* ---- what the loop asks for ---- */

/* The gradients of a micro-batch, of all losses or of one alone. */
static tp_status go_back(run *r, int64_t number, int64_t step, const tp_loss_term *alone, tp_learned *out) {
    int64_t n = r->recipe->optimiser.batch;
    tp_tape_reset(r->tape);
    r->tape->step = (uint64_t)number;
    r->last = alone ? 0 : tp_subject_draw(r->subjects, r->n, r->tape->seed, number);
    const tp_subject *s = &r->subjects[r->last];
    s->relay->tokens_in_use = tp_growth_tokens(&r->recipe->regime, step);
    int64_t *indices = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof *indices);
    const tp_example **examples = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof(const tp_example *));
    tp_sampler_batch(s->sampler, number, n, indices);
    for (int64_t i = 0; i < n; i++) examples[i] = &s->task->train.examples[indices[i]];
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(s->train_states, r->tape, indices, n, &offsets);
    const int32_t **ids = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof(const int32_t *));
    for (int64_t i = 0; i < n; i++) ids[i] = tp_state_cache_ids(s->train_states, indices[i]);
    tp_objective_batch batch = {.examples = examples,
                                .n = n,
                                .terms = &r->terms,
                                .aids = s->aids,
                                .hidden = hidden,
                                .offsets = offsets,
                                .ids = ids,
                                .alone = alone};
    hidden = tp_position_dropout(r->tape, hidden, &offsets, n, r->recipe->sender.position_dropout);
    tp_bridge_lesson lesson;
    TP_TRY(tp_lesson_make(s->relay, r->tape, examples, n, step, &lesson));
    tp_var *soft = tp_relay_soft_training(s->relay, r->tape, hidden, offsets, n, &lesson, &r->terms), *loss;
    batch.soft = soft = tp_scale_gradient(r->tape, soft, (float)r->recipe->regime.gradient_scale);
    TP_TRY(tp_objective(s->relay, r->tape, &batch, step, &loss, &out->values));
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
    const run *r = context;
    for (int i = 0; i < r->terms.n_figures; i++)
        json_object_set_new(line, r->terms.figures[i].name, json_real(r->terms.figures[i].value));
    if (r->n > 1) json_object_set_new(line, "task", tp_log_text(r->subjects[r->last].task->name));
}

/* Of several tasks the means, and in the line what each gave. */
static tp_status validate(void *context, tp_validation *result, json_t *line) {
    const run *r = context;
    json_t *each = json_array();
    tp_validation mean = {0};
    tp_status status = TP_OK;
    for (int i = 0; i < r->n && status == TP_OK; i++) {
        const tp_subject *s = &r->subjects[i];
        tp_validation v;
        s->relay->tokens_in_use = r->subjects[r->last].relay->tokens_in_use;
        status = tp_validate(s->relay, s->valid_states, &s->task->valid, (int64_t)s->task->valid.n, &v);
        mean.n += v.n;
        mean.accuracy += v.accuracy / r->n;
        mean.loss += v.loss / r->n;
        json_array_append_new(each, json_pack("{s:f, s:f, s:o}", "accuracy", v.accuracy, "loss", v.loss, "task",
                                              tp_log_text(s->task->name)));
    }
    int used = r->subjects[r->last].relay->tokens_in_use;
    mean.provisional = used > 0 && used < r->recipe->bridge.soft_tokens;
    *result = mean;
    if (r->n > 1) json_object_set(line, "tasks", each);
    json_decref(each);
    return status;
}

/* Of several tasks one at a time, in turns. */
static tp_status look(void *context, int64_t step, tp_quick_look *look) {
    const run *r = context;
    const tp_subject *s = &r->subjects[step / r->recipe->quick_eval.every % r->n];
    s->relay->tokens_in_use = r->subjects[r->last].relay->tokens_in_use;
    return tp_quick_evaluate(s->relay, s->valid_states, s->task, r->recipe->quick_eval.examples, step, look);
}

/* All parameters as a run with that seed has them at its beginning. */
static tp_status reseed(void *context, uint64_t seed) {
    run *r = context;
    tp_bridge *bridge = new_bridge(r, seed);
    tp_loss_aids *aids = bridge ? tp_loss_aids_new(r->relay, r->calibration, r->subjects[0].task, seed) : NULL;
    bool made = aids != NULL;
    if (made) tp_params_copy(&r->relay->bridge->params, &bridge->params);
    if (made) tp_params_copy(&r->subjects[0].aids->params, &aids->params);
    tp_loss_aids_free(aids);
    tp_bridge_free(bridge);
    return made ? set_seed(r, seed) : tp_last_status();
}

/* The same bridge for each task, with what is told it of that task. */
static tp_status save(void *context, const char *folder) {
    const run *r = context;
    for (int i = r->n - 1; i > 0; i--) {
        char *own = tp_path_join(folder, r->subjects[i].folder);
        tp_status status = tp_make_dirs(own);
        if (status == TP_OK) status = tp_bridge_save(own, r->subjects[i].relay->trained);
        tp_free(own);
        TP_TRY(status);
    }
    return tp_bridge_save(folder, r->relay->trained);
}

static tp_status check_saved(void *context, const char *folder) {
    const run *r = context;
    for (int i = 0; i < r->n; i++) {
        char *own = i ? tp_path_join(folder, r->subjects[i].folder) : tp_strdup(folder);
        tp_trained_bridge *best = tp_bridge_load(own);
        tp_trained_bridge_free(best);
        tp_free(own);
        if (best == NULL) return tp_last_status();
    }
    return TP_OK;
}

/* What the run says of itself. */
static char *beginning(const run *r) {
    tp_str text = {0};
    for (int i = 0; i < r->n; i++)
        tp_str_appendf(&text, "%s, %zu training and %zu validation rows, ", r->subjects[i].task->name,
                       r->subjects[i].task->train.n, r->subjects[i].task->valid.n);
    char *layers = tp_recipe_layers_text(r->recipe, r->relay->tap.layer);
    tp_str_appendf(&text, "bridge of %lld parameters, %s of %d", (long long)tp_bridge_n_parameters(r->relay->bridge),
                   layers, r->relay->sender->config.n_layers);
    tp_free(layers);
    return tp_str_take(&text);
}

/* Of a bridge that sends codes: how many of them the validation rows (of the first task) need. */
static tp_status conclude(void *context, const char *folder, json_t *outcome) {
    const run *r = context;
    const tp_subject *first = &r->subjects[0];
    if (tp_code_parts(&r->recipe->bridge) == 0) return TP_OK;
    tp_trained_bridge *kept = tp_bridge_load(folder);
    if (kept == NULL) return tp_last_status();
    tp_code_usage usage;
    tp_status status =
        tp_validate_codes(kept->bridge, r->recipe->math, first->valid_states, (int64_t)first->task->valid.n, &usage);
    if (status == TP_OK)
        json_object_set_new(outcome, "codes",
                            json_pack("{s:I, s:I, s:f, s:I}", "tokens", (json_int_t)usage.n, "used",
                                      (json_int_t)usage.different, "perplexity", usage.perplexity, "bits_per_packet",
                                      (json_int_t)tp_code_packet_bits(&r->recipe->bridge)));
    tp_trained_bridge_free(kept);
    return status;
}

static tp_status train(run *r, tp_train_result *result) {
    TP_TRY(prepare(r));
    const tp_train_options *o = r->o;
    tp_bridge *bridge = r->relay->bridge;
    json_t *own = identity(r), *remarks = tp_recipe_check(r->recipe, o->task);
    char *begins = beginning(r);
    int64_t n_truncated = 0;
    for (int i = 0; i < r->n; i++)
        n_truncated += tp_state_cache_describe(r->subjects[i].train_states).n_truncated +
                       tp_state_cache_describe(r->subjects[i].valid_states).n_truncated;
    tp_learner learner = {.context = r,
                          .recipe = r->recipe,
                          .params = &r->trained,
                          .watched = r->subjects[0].aids->params.n > 0 ? &bridge->params : NULL,
                          .starts_whole = bridge->family->solve != NULL,
                          .identity = own,
                          .begins = begins,
                          .n_truncated = n_truncated,
                          .best = "bridge",
                          .learn = learn,
                          .weigh = weigh,
                          .remarks = remarks,
                          .describe = describe,
                          .validate = validate,
                          .look = look,
                          .reseed = reseed,
                          .save = save,
                          .check_saved = check_saved,
                          .conclude = conclude};
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
    for (int i = r.n - 1; i >= 0; i--) tp_subject_close(&r.subjects[i], i == 0);
    tp_tape_free(r.tape);
    tp_free(r.trained.items);
    tp_calibration_free(r.calibration);
    return status;
}
