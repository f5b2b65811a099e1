/* Losses that hold soft tokens against rows of the receiver's embeddings, and what they share. `anchor` pulls the mean
 * soft token towards the mean embedding of the answer or of the question; `align` teaches the first soft tokens to be
 * the answer's first embeddings. Both keep soft tokens where the receiver's words are. */
#include "train/lesson.h"
#include "train/losses.h"

#include <string.h>

static const float rms_eps = 1e-12f; /* embeddings are small: their mean squares are of the order 1e-4 */

tp_var *tp_loss_distance(tp_tape *tape, tp_distance distance, tp_var *a, tp_var *b) {
    if (distance == TP_DISTANCE_MSE) return tp_mean_square_difference(tape, a, b);
    tp_var *one = tp_var_new(tape, 1, 1), *cosine;
    one->data[0] = 1;
    cosine = tp_inner_product(tape, tp_rms_norm(tape, a, NULL, rms_eps), tp_rms_norm(tape, b, NULL, rms_eps),
                              1.0f / (float)(a->rows * a->cols));
    return tp_weighted_sum(tape, (tp_var *[]){one, cosine}, (const float[]){1, -1}, 2);
}

int64_t *tp_loss_even_offsets(tp_tape *tape, int64_t n, int64_t m) {
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    for (int64_t i = 0; i <= n; i++) offsets[i] = i * m;
    return offsets;
}

/* The tokens of the answers without their ends, at most `most` of each (0: all); one is always left. */
static int32_t *answer_tokens(const tp_loss_context *c, int64_t most, int64_t *offsets) {
    const tp_layout_batch *l = c->layout;
    int32_t *ids = tp_arena_alloc(c->tape->arena, (size_t)(l->n_targets + 1) * sizeof *ids);
    offsets[0] = 0;
    for (int64_t i = 0; i < c->batch->n; i++) {
        int64_t n = l->target_offsets[i + 1] - l->target_offsets[i];
        if (n > 1) n--;
        if (most > 0 && n > most) n = most;
        memcpy(ids + offsets[i], l->targets + l->target_offsets[i], (size_t)n * sizeof *ids);
        offsets[i + 1] = offsets[i] + n;
    }
    return ids;
}

/* The tokens of the texts, as the receiver writes them. */
static tp_status question_tokens(const tp_loss_context *c, int64_t *offsets, int32_t **out) {
    tp_ids ids = {0};
    tp_status status = TP_OK;
    offsets[0] = 0;
    for (int64_t i = 0; i < c->batch->n && status == TP_OK; i++) {
        status = tp_question_tokens(c->relay, c->batch->examples[i], &ids);
        offsets[i + 1] = (int64_t)ids.len;
    }
    *out = tp_arena_alloc(c->tape->arena, (ids.len + 1) * sizeof **out);
    if (ids.len) memcpy(*out, ids.data, ids.len * sizeof **out);
    tp_ids_free(&ids);
    return status;
}

tp_status tp_loss_anchor(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    const tp_objective_batch *b = c->batch;
    int64_t n = b->n, *offsets = tp_arena_alloc(c->tape->arena, (size_t)(n + 1) * sizeof *offsets);
    int32_t *ids = NULL;
    if (term->target == TP_ANCHOR_QUESTION)
        TP_TRY(question_tokens(c, offsets, &ids));
    else
        ids = answer_tokens(c, 0, offsets);
    tp_var *target = tp_mean_rows(c->tape, tp_lm_embed(c->tape, c->relay->receiver, ids, offsets[n]), offsets, n);
    tp_var *mean = tp_mean_rows(c->tape, b->soft, tp_loss_even_offsets(c->tape, n, b->soft->rows / n), n);
    *value = tp_loss_distance(c->tape, term->distance, mean, target);
    return TP_OK;
}

tp_status tp_loss_align(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    const tp_objective_batch *b = c->batch;
    int64_t n = b->n, m = b->soft->rows / n,
            *offsets = tp_arena_alloc(c->tape->arena, (size_t)(n + 1) * sizeof *offsets);
    int32_t *ids = answer_tokens(c, term->tokens < m ? term->tokens : m, offsets);
    tp_row_ref *rows = tp_arena_alloc(c->tape->arena, (size_t)offsets[n] * sizeof *rows);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = offsets[i]; k < offsets[i + 1]; k++) rows[k] = (tp_row_ref){0, i * m + k - offsets[i]};
    tp_var *first = tp_gather(c->tape, &(tp_var *){b->soft}, 1, rows, offsets[n]);
    *value = tp_mean_square_difference(c->tape, first, tp_lm_embed(c->tape, c->relay->receiver, ids, offsets[n]));
    return TP_OK;
}

tp_status tp_loss_scale_reg(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    (void)term; /* a scale of 1 is the size of the receiver's embeddings */
    tp_var *one = tp_var_new(c->tape, 1, 1), *scale = tp_parameter(c->tape, &c->relay->bridge->scale);
    one->data[0] = 1;
    *value = tp_mean_square_difference(c->tape, tp_scale(c->tape, scale, (float)(1 / c->batch->aids->target_rms)), one);
    return TP_OK;
}

tp_status tp_loss_bottleneck(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    const tp_layout_batch *l = c->layout;
    float *weights = tp_arena_alloc(c->tape->arena, (size_t)(l->n_targets + 1) * sizeof *weights);
    for (int64_t i = 0; i < c->batch->n; i++)
        for (int64_t t = l->target_offsets[i]; t < l->target_offsets[i + 1]; t++)
            weights[t] = t - l->target_offsets[i] < term->tokens ? (float)term->factor : 1.0f;
    *value = tp_cross_entropy(c->tape, c->logits, l->targets, weights, NULL);
    return TP_OK;
}
