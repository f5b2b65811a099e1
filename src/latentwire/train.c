/* What the loop (train/loop.h) asks a LatentWire for. See train.h. */
#include "latentwire/train.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "latentwire/checkpoint.h"
#include "latentwire/losses.h"
#include "latentwire/prepare.h"
#include "latentwire/source.h"
#include "train/check_task.h"
#include "train/loop.h"
#include "train/position_dropout.h"
#include "train/sampler.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_AT_ONCE = 64 };

typedef struct {
    const tp_train_options *o;
    tp_latentwire_group *group;
    tp_latentwire_source *train, *valid;
    tp_sampler *sampler;
    tp_tape *tape, *judge;                                     /* the second is frozen */
    tp_latentwire_values values[TP_LATENTWIRE_MOST_RECEIVERS]; /* of the last batch */
    char names[TP_LATENTWIRE_MOST_RECEIVERS][64];              /* of the receivers, for the log */
} run;

/* ---- before the first step ---- */

static json_t *identity(const run *r) {
    const tp_latentwire_group *g = r->group;
    const tp_relay *first = g->relays[0];
    char source[33], words[33], key[32];
    tp_latentwire_source_fingerprint(g->models, source);
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, first->prompt);
    for (int i = 0; i < first->n_labels; i++) tp_hash_add_text(h, first->label_names[i]);
    tp_hash_end(h, words);
    json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s}", "recipe", tp_recipe_to_json(g->recipe), "source", source,
                          "train_rows", r->o->task->train.fingerprint, "valid_rows", r->o->task->valid.fingerprint,
                          "prompt_and_labels", words);
    for (int i = 0; i < g->models->n_receivers; i++) {
        const tp_lm *lm = g->models->receivers[i];
        snprintf(key, sizeof key, "receiver_%d", i + 1);
        json_object_set_new(o, key, json_string(lm->fingerprint));
        snprintf(key, sizeof key, "receiver_%d_tokenizer", i + 1);
        json_object_set_new(o, key, json_string(tp_tokenizer_fingerprint(lm->tokenizer)));
    }
    return o;
}

static tp_status open_source(const run *r, const tp_dataset *set, const char *name, int64_t max_bytes,
                             tp_latentwire_source **out) {
    char *file = tp_format("states-%s.cache", name), *path = tp_path_join(r->o->out, file);
    *out = tp_latentwire_source_new(r->group, set->examples, set->n, r->group->recipe->cache.kind, max_bytes, path,
                                    r->o->progress);
    tp_free(file);
    tp_free(path);
    return *out ? TP_OK : tp_last_status();
}

/* Names for the log: the folders' last parts, numbered where two are the same. */
static void name_receivers(run *r) {
    const tp_latentwire_models *m = r->group->models;
    for (int i = 0; i < m->n_receivers; i++) {
        char *last = tp_path_last(m->receivers[i]->path ? m->receivers[i]->path : "receiver");
        bool again = false;
        for (int j = 0; j < m->n_receivers; j++) again = again || (j != i && m->receivers[j] == m->receivers[i]);
        if (again || m->receivers[i]->path == NULL)
            snprintf(r->names[i], sizeof r->names[i], "%.32s %d", last, i + 1);
        else
            snprintf(r->names[i], sizeof r->names[i], "%.40s", last);
        tp_free(last);
    }
}

static tp_status prepare(run *r, const tp_latentwire_models *models) {
    const tp_train_options *o = r->o;
    json_t *copy = tp_recipe_to_json(o->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, "recipe");
    json_decref(copy);
    if (recipe == NULL) return tp_last_status();
    r->group = tp_latentwire_group_new(recipe, models, o->task);
    if (r->group == NULL) return tp_last_status();
    TP_TRY(tp_latentwire_losses_check(r->group));
    TP_TRY(tp_train_check_task(o->task, o->progress));
    for (int i = 0; i < models->n_receivers; i++) TP_TRY(tp_relay_read_prefix(r->group->relays[i]));
    name_receivers(r);
    r->tape = tp_tape_new(recipe->math);
    r->tape->seed = recipe->seed;
    r->judge = tp_tape_new(recipe->math);
    r->judge->frozen = true;
    int64_t bound = recipe->cache.max_bytes;
    if (o->max_cache > 0 && o->max_cache < bound && recipe->cache.kind == TP_CACHE_MEMORY) bound = o->max_cache;
    TP_TRY(open_source(r, &o->task->valid, "valid", bound, &r->valid));
    bound -= tp_latentwire_source_bytes(r->valid);
    TP_TRY(open_source(r, &o->task->train, "train", bound, &r->train));
    TP_TRY(tp_latentwire_make(r->group, r->train, (int64_t)o->task->train.n, r->judge));
    r->sampler = tp_sampler_new(o->task->train.examples, o->task->train.n, o->task->n_labels,
                                recipe->balanced && o->task->n_labels > 0, recipe->seed);
    return TP_OK;
}

/* ---- what the loop asks for ---- */

/* All packets of each example, side by side: what the detectors look at. */
static void collect_signs(const run *r, tp_var *const *soft, int64_t n, tp_vital_signs *signs) {
    int64_t width = 0, at = 0;
    for (int k = 0; k < r->group->models->n_receivers; k++) width += soft[k]->rows / n * soft[k]->cols;
    float *all = tp_arena_alloc(r->tape->arena, (size_t)(n * width) * sizeof *all);
    for (int k = 0; k < r->group->models->n_receivers; k++) {
        int64_t own = soft[k]->rows / n * soft[k]->cols;
        for (int64_t i = 0; i < n; i++)
            memcpy(all + i * width + at, soft[k]->data + i * own, (size_t)own * sizeof *all);
        at += own;
    }
    *signs = (tp_vital_signs){.soft = all, .n = n, .width = width};
}

static tp_status learn(void *context, int64_t number, int64_t step, tp_learned *out) {
    run *r = context;
    const tp_recipe *recipe = r->group->recipe;
    const tp_latentwire *wire = r->group->wire;
    int64_t n = recipe->optimiser.batch;
    tp_tape *tape = r->tape;
    tp_tape_reset(tape);
    tape->step = (uint64_t)number;
    int64_t *indices = tp_arena_alloc(tape->arena, (size_t)n * sizeof *indices);
    const tp_example **examples = tp_arena_alloc(tape->arena, (size_t)n * sizeof(const tp_example *));
    tp_sampler_batch(r->sampler, number, n, indices);
    for (int64_t i = 0; i < n; i++) examples[i] = &r->o->task->train.examples[indices[i]];
    tp_latentwire_input input = tp_latentwire_source_fetch(r->train, tape, indices, n);
    if (tp_latentwire_taps(recipe->latentwire))
        input.rows = tp_position_dropout(tape, input.rows, &input.offsets, n, recipe->sender.position_dropout);
    bool text_step = tp_latentwire_is_text_step(recipe->latentwire, step);
    tp_var *z = tp_latentwire_encode(tape, wire, &input, !text_step), *loss;
    tp_var *soft[TP_LATENTWIRE_MOST_RECEIVERS];
    for (int k = 0; k < wire->n_receivers; k++) soft[k] = tp_latentwire_soft(tape, wire, z, n, k);
    TP_TRY(tp_latentwire_losses(r->group, tape, soft, examples, n, step, &loss, r->values));
    tp_backward(tape, loss, 1.0f);
    out->values = (tp_objective_values){.total = loss->data[0]};
    for (int i = 0; i < TP_N_LOSSES; i++) out->values.losses[i] = 0; /* NAN where a receiver has none */
    for (int k = 0; k < wire->n_receivers; k++) {
        out->values.accuracy += r->values[k].objective.accuracy / wire->n_receivers;
        for (int i = 0; i < TP_N_LOSSES; i++)
            out->values.losses[i] += r->values[k].objective.losses[i] / wire->n_receivers;
    }
    collect_signs(r, soft, n, &out->signs);
    return TP_OK;
}

static void put(json_t *line, const char *what, const char *name, double value) {
    if (!isfinite(value)) return;
    char *key = tp_format("%s of %s", what, name);
    json_object_set_new(line, key, json_real(value));
    tp_free(key);
}

static void describe(void *context, json_t *line) {
    const run *r = context;
    for (int k = 0; k < r->group->models->n_receivers; k++) {
        const tp_latentwire_values *v = &r->values[k];
        put(line, "loss", r->names[k], v->objective.total);
        put(line, "cosine", r->names[k], v->cosine);
        put(line, "mse", r->names[k], v->mse);
        put(line, "scale", r->names[k], v->scale);
    }
}

static tp_status validate(void *context, tp_validation *result, json_t *line) {
    const run *r = context;
    const tp_latentwire *wire = r->group->wire;
    const tp_dataset *set = &r->o->task->valid;
    int64_t n = (int64_t)set->n, right[TP_LATENTWIRE_MOST_RECEIVERS] = {0}, total = 0;
    double nll = 0;
    for (int64_t from = 0; from < n; from += ROWS_AT_ONCE) {
        int64_t some = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE, indices[ROWS_AT_ONCE];
        const tp_example *rows[ROWS_AT_ONCE];
        for (int64_t i = 0; i < some; i++) indices[i] = from + i, rows[i] = &set->examples[from + i];
        tp_tape_reset(r->judge);
        tp_latentwire_input input = tp_latentwire_source_fetch(r->valid, r->judge, indices, some);
        tp_var *z = tp_latentwire_encode(r->judge, wire, &input, false);
        for (int k = 0; k < wire->n_receivers; k++)
            TP_TRY(tp_judge_rows(r->group->relays[k], r->judge, tp_latentwire_soft(r->judge, wire, z, some, k), rows,
                                 some, &right[k], &nll));
    }
    for (int k = 0; k < wire->n_receivers; k++) {
        total += right[k];
        put(line, "valid_accuracy", r->names[k], n > 0 ? (double)right[k] / (double)n : NAN);
    }
    double asked = (double)n * wire->n_receivers;
    *result = (tp_validation){.n = n, .accuracy = asked > 0 ? (double)total / asked : 0};
    result->loss = asked > 0 ? nll / asked : 0;
    return TP_OK;
}

static tp_status save(void *context, const char *folder) {
    const run *r = context;
    return tp_latentwire_save(folder, r->group, r->o->task);
}

static tp_status check_saved(void *context, const char *folder) {
    (void)context;
    return tp_latentwire_check(folder);
}

static char *beginning(const run *r) {
    const tp_latentwire *wire = r->group->wire;
    return tp_format("%s, %zu training and %zu validation rows, one latent for %d receivers, encoder \"%s\", %lld "
                     "parameters",
                     r->o->task->name, r->o->task->train.n, r->o->task->valid.n, wire->n_receivers,
                     tp_latentwire_encoder_name(wire->recipe.encoder), (long long)wire->trained.total);
}

static tp_status train(run *r, const tp_latentwire_models *models, tp_train_result *result) {
    TP_TRY(prepare(r, models));
    json_t *own = identity(r);
    char *begins = beginning(r);
    bool bytes = r->group->recipe->latentwire->encoder == TP_LATENTWIRE_BYTES;
    tp_learner learner = {.context = r,
                          .recipe = r->group->recipe,
                          .params = &r->group->wire->trained,
                          .identity = own,
                          .begins = begins,
                          .n_truncated =
                              tp_latentwire_source_truncated(r->train) + tp_latentwire_source_truncated(r->valid),
                          .best = "LatentWire",
                          .learn = learn,
                          .describe = describe,
                          .validate = validate,
                          .save = save,
                          .check_saved = check_saved};
    snprintf(learner.room, sizeof learner.room, "%d %s",
             bytes ? r->group->recipe->latentwire->max_bytes : r->group->tap.max_tokens, bytes ? "bytes" : "tokens");
    tp_status status = tp_loop_run(r->o, &learner, result);
    json_decref(own);
    tp_free(begins);
    return status;
}

tp_status tp_latentwire_train(const tp_train_options *options, const tp_latentwire_models *models,
                              tp_train_result *result) {
    *result = (tp_train_result){0};
    run r = {.o = options};
    int lock = tp_loop_enter(options->out);
    tp_status status = lock >= 0 ? train(&r, models, result) : tp_last_status();
    if (lock >= 0) close(lock);
    tp_latentwire_source_free(r.train);
    tp_latentwire_source_free(r.valid);
    tp_sampler_free(r.sampler);
    tp_tape_free(r.tape);
    tp_tape_free(r.judge);
    tp_latentwire_group_free(r.group);
    return status;
}

tp_status tp_latentwire_train_recipe(const tp_train_options *options, tp_train_result *result) {
    tp_latentwire_models models;
    TP_TRY(tp_latentwire_load_models(options->recipe, &models));
    tp_status status = tp_latentwire_train(options, &models, result);
    tp_latentwire_free_models(&models);
    return status;
}
