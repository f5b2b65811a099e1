/* The PCA packet: text compressed by linear algebra that knows no labels. The sender's states of a text are cut into M
 * stretches; of each stretch's mean its leading principal components are sent; the receiver's side maps them, by ridge
 * regression, to the mean embedding that the receiver's own tokens have in the same stretch of the text. */
#include "base/mem.h"
#include "bridge/prompt.h"
#include "eval/closed_form.h"

#include <math.h>

static const double penalties[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};
enum { N_PENALTIES = sizeof penalties / sizeof penalties[0], USUAL = 2 };
enum { MOST_VECTORS = 16384, MOST_WIDE_VECTORS = 1024, WIDE = 1024, VALID_TEXTS = 256, STATES_AT_ONCE = 64 };
static const double variance_kept = 0.99;

/* Of `count` texts spread evenly over a split: the sender's vectors [count * m, d_S] and the receiver's [.., d_R]. */
typedef struct pairs {
    size_t n; /* vectors */
    float *sender, *receiver;
} pairs;

static tp_status receiver_vectors(const tp_eval *eval, const tp_example *e, int m, float *out) {
    const tp_lm *lm = eval->relay->receiver;
    int64_t d = lm->config.d_model;
    tp_ids ids = {0};
    tp_status status =
        tp_prompt_encode(lm->tokenizer, eval->relay->prompt, e->text, e->len, lm->config.max_position_embeddings,
                         eval->relay->recipe->sender.truncate, TP_TOKENS_ADD_SPECIAL, &ids, NULL);
    if (status == TP_OK) {
        float *rows = tp_alloc(ids.len * (size_t)d * sizeof *rows);
        for (size_t i = 0; i < ids.len; i++) tp_lm_embedding_row(lm, ids.data[i], rows + i * (size_t)d);
        tp_stretch_means(rows, (int64_t)ids.len, d, m, out);
        tp_free(rows);
    }
    tp_ids_free(&ids);
    return status;
}

static tp_status gather_pairs(tp_eval *eval, const tp_dataset *set, size_t count, int m, pairs *out) {
    int64_t d = tp_tap_width(&eval->relay->tap), d_out = eval->relay->receiver->config.d_model;
    tp_example *texts = tp_alloc((count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) texts[i] = set->examples[i * set->n / count];
    *out = (pairs){.n = count * (size_t)m,
                   .sender = tp_try_alloc(count * (size_t)(m * d), sizeof(float)),
                   .receiver = tp_try_alloc(count * (size_t)(m * d_out), sizeof(float))};
    tp_state_cache *states = out->sender && out->receiver
                                 ? tp_state_cache_new(&eval->relay->tap, texts, count, TP_CACHE_NONE, 0, NULL)
                                 : NULL;
    tp_status status = states ? TP_OK : tp_last_status();
    tp_tape *tape = tp_tape_new(eval->relay->recipe->math);
    tape->frozen = true;
    for (size_t from = 0; from < count && status == TP_OK; from += STATES_AT_ONCE) {
        int64_t some = count - from < STATES_AT_ONCE ? (int64_t)(count - from) : STATES_AT_ONCE, items[STATES_AT_ONCE];
        for (int64_t i = 0; i < some; i++) items[i] = (int64_t)from + i;
        const int64_t *offsets;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, items, some, &offsets);
        for (int64_t i = 0; i < some && status == TP_OK; i++) {
            tp_stretch_means(hidden->data + offsets[i] * d, offsets[i + 1] - offsets[i], d, m,
                             out->sender + items[i] * m * d);
            status = receiver_vectors(eval, &texts[items[i]], m, out->receiver + items[i] * m * d_out);
        }
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    tp_tape_free(tape);
    tp_state_cache_free(states);
    tp_free(texts);
    return status;
}

static void free_pairs(pairs *p) {
    tp_free(p->sender);
    tp_free(p->receiver);
}

static double squared_error(const tp_affine *map, const float *x, const pairs *valid) {
    size_t n = valid->n * map->d_out;
    float *found = tp_alloc(n * sizeof *found);
    tp_affine_apply(map, x, valid->n, found);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += pow((double)found[i] - (double)valid->receiver[i], 2);
    tp_free(found);
    return sum;
}

/* Components of train's vectors, and the map from them that is nearest on validation. */
static tp_status fit_pca(tp_closed_form *c, const pairs *train, const pairs *valid, size_t d, size_t d_out,
                         tp_method_result *result) {
    double held, best = INFINITY, penalty = penalties[USUAL];
    TP_TRY(tp_pca_fit(train->sender, train->n, d, variance_kept, d_out, &c->project, &held));
    size_t width = c->project.d_out;
    float *x = tp_alloc((train->n + valid->n) * width * sizeof *x), *x_valid = x + train->n * width;
    tp_affine_apply(&c->project, train->sender, train->n, x);
    tp_affine_apply(&c->project, valid->sender, valid->n, x_valid);
    tp_ridge *ridge = tp_ridge_new(x, train->receiver, train->n, width, d_out);
    tp_status status = ridge ? TP_OK : tp_last_status();
    for (int p = 0; p < N_PENALTIES && status == TP_OK && valid->n > 0; p++) {
        tp_affine_free(&c->map);
        status = tp_ridge_solve(ridge, penalties[p], &c->map);
        double error = status == TP_OK ? squared_error(&c->map, x_valid, valid) : INFINITY;
        if (error < best) best = error, penalty = penalties[p];
    }
    tp_affine_free(&c->map);
    if (status == TP_OK) status = tp_ridge_solve(ridge, penalty, &c->map);
    result->setting = tp_format("%zu of %zu components, which hold %.1f %% of the variance; penalty %g", width, d,
                                100 * held, penalty);
    tp_ridge_free(ridge);
    tp_free(x);
    return status;
}

static tp_status pca_packet(tp_eval *eval, tp_method_result *result) {
    const tp_task *task = eval->task;
    if (!tp_layout_has_soft(eval->relay->layout)) {
        result->note = tp_strdup("the layout has no place for soft tokens");
        return TP_OK;
    }
    int m = eval->relay->recipe->bridge.soft_tokens;
    size_t d = (size_t)tp_tap_width(&eval->relay->tap), d_out = (size_t)eval->relay->receiver->config.d_model;
    size_t texts = (size_t)((d > WIDE ? MOST_WIDE_VECTORS : MOST_VECTORS) / m), n_valid = task->valid.n;
    if (texts == 0) texts = 1;
    if (texts > task->train.n) texts = task->train.n;
    if (n_valid > VALID_TEXTS) n_valid = VALID_TEXTS;
    tp_closed_form c = tp_closed_form_new(eval, m);
    pairs train = {0}, valid = {0};
    tp_status status = gather_pairs(eval, &task->train, texts, m, &train);
    if (status == TP_OK && n_valid > 0) status = gather_pairs(eval, &task->valid, n_valid, m, &valid);
    if (status == TP_OK) status = fit_pca(&c, &train, &valid, d, d_out, result);
    if (status == TP_OK) status = tp_closed_form_answer(eval, &c, (int64_t)c.project.d_out, result);
    free_pairs(&train);
    free_pairs(&valid);
    tp_closed_form_free(&c);
    return status;
}

const tp_method tp_method_pca = {.name = "pca",
                                 .title = "PCA packet",
                                 .group = TP_GROUP_TRAINED,
                                 .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                 .run = pca_packet};
