/* The linear probe: logistic regression on the sender's state at the tapped layer. It says what the state holds of the
 * answer for anybody who reads it linearly: the bridge, which sees the same states, should not be below.
 *
 * It comes with both prompts of the sender. Behind a list of the labels the last state may hold the sender's own answer
 * already, so that a probe of it measures the sender, not what a text's states say by themselves. */
#include "eval/probe.h"

#include "base/mem.h"
#include "eval/logistic.h"

#include <string.h>

enum { BATCH = 64, MOST_BYTES = 1 << 30 };

void tp_features_free(tp_features *f) {
    if (f == NULL) return;
    for (int p = 0; p < TP_N_POOLINGS; p++) tp_free(f->rows[p]);
    tp_free(f->labels);
    tp_free(f);
}

/* Both features of one text from its states [n, d]. */
static void pool(const float *states, int64_t n, int64_t d, float *mean, float *last) {
    for (int64_t k = 0; k < d; k++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += states[i * d + k];
        mean[k] = (float)(sum / (double)n);
    }
    memcpy(last, states + (n - 1) * d, (size_t)d * sizeof *last);
}

/* Features of `count` rows, evenly spread over the split, from place `begin` on. */
static tp_status gather(tp_eval *eval, tp_features *f, size_t begin, size_t count, const tp_dataset *set,
                        tp_state_cache *states) {
    tp_tape *tape = tp_tape_new(eval->relay->recipe->math);
    tape->frozen = true;
    tp_status status = TP_OK;
    for (size_t from = 0; from < count && status == TP_OK; from += BATCH) {
        int64_t some = count - from < BATCH ? (int64_t)(count - from) : BATCH, items[BATCH];
        for (int64_t i = 0; i < some; i++) items[i] = (int64_t)((from + (size_t)i) * set->n / count);
        const int64_t *offsets;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, items, some, &offsets);
        for (int64_t i = 0; i < some; i++) {
            size_t row = begin + from + (size_t)i, at = row * (size_t)f->d;
            f->labels[row] = set->examples[items[i]].label;
            pool(hidden->data + offsets[i] * f->d, offsets[i + 1] - offsets[i], f->d, f->rows[TP_POOL_MEAN] + at,
                 f->rows[TP_POOL_LAST] + at);
        }
        tp_progress_update(eval->progress, (double)(begin + from + (size_t)some), 0, "%s", "");
        status = tp_eval_stopped(eval);
    }
    tp_tape_free(tape);
    return status;
}

/* The same for a split whose states nobody else wants. */
static tp_status gather_split(tp_eval *eval, const tp_tap *tap, tp_features *f, size_t begin, size_t count,
                              const tp_dataset *set) {
    tp_state_cache *states = tp_state_cache_new(tap, set->examples, set->n, TP_CACHE_NONE, 0, NULL);
    if (states == NULL) return tp_last_status();
    tp_status status = gather(eval, f, begin, count, set, states);
    f->n_truncated = tp_state_cache_describe(states).n_truncated;
    tp_state_cache_free(states);
    return status;
}

static tp_status compute(tp_eval *eval, const tp_tap *tap, tp_features *f) {
    const tp_task *task = eval->task;
    size_t most = MOST_BYTES / ((size_t)f->d * sizeof(float) * TP_N_POOLINGS);
    f->n_train = task->train.n < most ? task->train.n : most;
    f->n_left_out = task->train.n - f->n_train;
    f->n_valid = task->valid.n;
    f->n_test = task->test.n;
    size_t n_fit = f->n_train + f->n_valid, n = n_fit + f->n_test;
    f->labels = tp_alloc(n * sizeof *f->labels);
    for (int p = 0; p < TP_N_POOLINGS; p++) {
        f->rows[p] = tp_try_alloc(n * (size_t)f->d, sizeof *f->rows[p]);
        if (f->rows[p] == NULL) return tp_last_status();
    }
    tp_progress_begin(eval->progress, "states for the probes", (double)n, "texts", NULL);
    TP_TRY(gather_split(eval, tap, f, 0, f->n_train, &task->train));
    TP_TRY(gather_split(eval, tap, f, f->n_train, f->n_valid, &task->valid));
    if (tap == &eval->relay->tap) {
        TP_TRY(gather(eval, f, n_fit, f->n_test, &task->test, eval->test_states));
        f->n_truncated = tp_state_cache_describe(eval->test_states).n_truncated;
    } else {
        TP_TRY(gather_split(eval, tap, f, n_fit, f->n_test, &task->test));
    }
    tp_progress_end(eval->progress);
    return TP_OK;
}

const tp_features *tp_features_get(tp_eval *eval, tp_sender_prompt prompt) {
    tp_features **kept = &eval->kept->features[prompt];
    if (*kept) return *kept;
    const tp_relay *relay = eval->relay;
    tp_tap other = relay->tap; /* its prompt is longer or shorter by the list: the context is the only bound */
    other.prompt = prompt == TP_PROMPT_LABELS ? eval->task->prompt_labels : eval->task->prompt;
    other.max_tokens = relay->sender->config.max_position_embeddings;
    tp_features *f = tp_alloc(sizeof *f);
    f->d = tp_tap_width(&relay->tap);
    if (compute(eval, prompt == relay->recipe->sender.prompt ? &relay->tap : &other, f) != TP_OK) {
        tp_features_free(f);
        return NULL;
    }
    return *kept = f;
}

/* Whether a text of a few words fits into the sender's context beside the list of labels. */
static bool labels_fit(const tp_eval *eval) {
    tp_tap tap = eval->relay->tap;
    tap.prompt = eval->task->prompt_labels;
    tap.max_tokens = eval->relay->sender->config.max_position_embeddings;
    tp_ids ids = {0};
    bool cut = true, fits = tp_tap_tokens(&tap, "a short text of a few words", 27, &ids, &cut) == TP_OK && !cut;
    tp_ids_free(&ids);
    return fits;
}

static tp_status classify(tp_eval *eval, tp_sender_prompt prompt, tp_pooling pooling, tp_method_result *result) {
    if (prompt == TP_PROMPT_LABELS && !labels_fit(eval)) {
        result->note = tp_format("the list of %d labels does not fit into a context of %d tokens: not measured",
                                 eval->task->n_labels, eval->relay->sender->config.max_position_embeddings);
        return TP_OK;
    }
    const tp_features *f = tp_features_get(eval, prompt);
    if (f == NULL) return tp_last_status();
    tp_logistic *model;
    tp_progress_begin(eval->progress, eval->doing, 1, "fit", NULL);
    TP_TRY(tp_logistic_fit_best(f->rows[pooling], f->labels, f->n_train, f->n_valid, (size_t)f->d, eval->task->n_labels,
                                &model));
    tp_progress_update(eval->progress, 1, 0, "%s", "");
    tp_progress_end(eval->progress);
    tp_predictions *p = &result->readings[TP_READ_DIRECT].predictions;
    *p = tp_predictions_new(f->n_test);
    tp_logistic_predict(model, f->rows[pooling] + (f->n_train + f->n_valid) * (size_t)f->d, f->n_test, p->labels);
    result->setting = tp_format("penalty %g", model->l2);
    result->n_truncated = f->n_truncated;
    if (f->n_left_out > 0) result->note = tp_format("%zu training rows were left out to bound memory", f->n_left_out);
    tp_logistic_free(model);
    return TP_OK;
}

static tp_status mean(tp_eval *eval, tp_method_result *result) {
    return classify(eval, TP_PROMPT_PLAIN, TP_POOL_MEAN, result);
}

static tp_status last(tp_eval *eval, tp_method_result *result) {
    return classify(eval, TP_PROMPT_PLAIN, TP_POOL_LAST, result);
}

static tp_status mean_labels(tp_eval *eval, tp_method_result *result) {
    return classify(eval, TP_PROMPT_LABELS, TP_POOL_MEAN, result);
}

static tp_status last_labels(tp_eval *eval, tp_method_result *result) {
    return classify(eval, TP_PROMPT_LABELS, TP_POOL_LAST, result);
}

enum { NEEDS = TP_NEEDS_SENDER | TP_NEEDS_TRAINING };

const tp_method tp_method_probe_mean = {
    .name = "probe_mean", .title = "linear probe, mean state", .group = TP_GROUP_TRAINED, .needs = NEEDS, .run = mean};

const tp_method tp_method_probe_last = {
    .name = "probe_last", .title = "linear probe, last state", .group = TP_GROUP_TRAINED, .needs = NEEDS, .run = last};

const tp_method tp_method_probe_mean_labels = {.name = "probe_mean_labels",
                                               .title = "probe, mean, told labels",
                                               .group = TP_GROUP_TRAINED,
                                               .needs = NEEDS,
                                               .run = mean_labels};

const tp_method tp_method_probe_last_labels = {.name = "probe_last_labels",
                                               .title = "probe, last, told labels",
                                               .group = TP_GROUP_TRAINED,
                                               .needs = NEEDS,
                                               .run = last_labels};
