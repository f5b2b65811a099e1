/* The ridge map: the mean of the sender's states, mapped by ridge regression on train to the mean embedding of the
 * answer's tokens. One soft token crosses. */
#include "base/mem.h"
#include "eval/closed_form.h"
#include "eval/probe.h"

#include <string.h>

static const double penalties[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};
enum { N_PENALTIES = sizeof penalties / sizeof penalties[0], USUAL = 2 };

/* The mean embedding of each label's tokens, without the end of sequence: [n_labels, d_R]. */
static float *label_embeddings(const tp_eval *eval) {
    const tp_lm *lm = eval->relay->receiver;
    int64_t d = lm->config.d_model;
    float *out = tp_alloc((size_t)(eval->task->n_labels * d) * sizeof *out), *row = tp_alloc((size_t)d * sizeof *row);
    for (int32_t l = 0; l < eval->task->n_labels; l++) {
        const tp_ids *ids = tp_layout_label(eval->relay->layout, l);
        size_t n = ids->len > 1 ? ids->len - 1 : ids->len;
        for (size_t i = 0; i < n; i++) {
            tp_lm_embedding_row(lm, ids->data[i], row);
            for (int64_t k = 0; k < d; k++) out[l * d + k] += row[k] / (float)n;
        }
    }
    tp_free(row);
    return out;
}

/* The sums of train, or (with_valid) of train and validation. */
static tp_ridge *answer_ridge(const tp_eval *eval, const tp_features *f, const float *labels, bool with_valid) {
    size_t n = f->n_train + (with_valid ? f->n_valid : 0), d = (size_t)eval->relay->receiver->config.d_model;
    float *targets = tp_try_alloc(n * d, sizeof *targets);
    if (targets == NULL) return NULL;
    for (size_t i = 0; i < n; i++) memcpy(targets + i * d, labels + (size_t)f->labels[i] * d, d * sizeof *targets);
    tp_ridge *ridge = tp_ridge_new(f->rows[TP_POOL_MEAN], targets, n, (size_t)f->d, d);
    tp_free(targets);
    return ridge;
}

/* The penalty with which the receiver is right most often on validation, of equals the strongest. */
static tp_status choose_penalty(tp_eval *eval, tp_closed_form *c, const tp_ridge *ridge, double *penalty) {
    size_t n = tp_ask_valid_rows(eval);
    double best = -1;
    *penalty = penalties[USUAL];
    for (int p = N_PENALTIES - 1; n > 0 && p >= 0; p--) {
        double accuracy;
        tp_affine_free(&c->map);
        TP_TRY(tp_ridge_solve(ridge, penalties[p], &c->map));
        tp_asking asking = tp_closed_form_asking(eval, c);
        TP_TRY(tp_ask_accuracy(eval, &asking, &eval->task->valid, n, &accuracy));
        if (accuracy > best) best = accuracy, *penalty = penalties[p];
    }
    return TP_OK;
}

static tp_status fit_ridge(tp_eval *eval, tp_closed_form *c, tp_method_result *result) {
    const tp_features *f = tp_features_get(eval, eval->relay->recipe->sender.prompt);
    if (f == NULL) return tp_last_status();
    float *labels = label_embeddings(eval);
    double penalty = 0;
    c->given = f->rows[TP_POOL_MEAN] + f->n_train * (size_t)f->d;
    tp_ridge *ridge = answer_ridge(eval, f, labels, false);
    tp_status status = ridge ? choose_penalty(eval, c, ridge, &penalty) : tp_last_status();
    tp_ridge_free(ridge);
    ridge = status == TP_OK ? answer_ridge(eval, f, labels, true) : NULL;
    if (status == TP_OK && ridge == NULL) status = tp_last_status();
    tp_affine_free(&c->map);
    if (status == TP_OK) status = tp_ridge_solve(ridge, penalty, &c->map);
    tp_ridge_free(ridge);
    tp_free(labels);
    c->given = f->rows[TP_POOL_MEAN] + (f->n_train + f->n_valid) * (size_t)f->d;
    result->setting = tp_format("penalty %g; one soft token", penalty);
    return status;
}

static tp_status ridge_map(tp_eval *eval, tp_method_result *result) {
    if (!tp_layout_has_soft(eval->relay->layout)) {
        result->note = tp_strdup("the layout has no place for soft tokens");
        return TP_OK;
    }
    tp_closed_form c = tp_closed_form_new(eval, 1);
    tp_status status = fit_ridge(eval, &c, result);
    if (status == TP_OK) status = tp_closed_form_answer(eval, &c, (int64_t)c.map.d_out, result);
    tp_closed_form_free(&c);
    return status;
}

const tp_method tp_method_ridge = {.name = "ridge",
                                   .title = "ridge map to the answer",
                                   .group = TP_GROUP_TRAINED,
                                   .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                   .run = ridge_map};
