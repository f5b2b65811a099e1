/* Losses that ask whether the text can still be told from its soft tokens: `recon` rebuilds the sender's states, `bow`
 * names the tokens that the sender read. Their heads (loss_aids.h) see soft tokens of RMS 1, so that they need not
 * learn how small the receiver's embeddings are. */
#include "train/losses.h"

#include <math.h>

static tp_var *seen_by_heads(const tp_loss_context *c) {
    return tp_rms_norm(c->tape, c->batch->soft, NULL, 1e-12f);
}

/* The states [n_total, d_sender], whitened by the statistics they had before training. */
static tp_var *whitened(const tp_loss_context *c) {
    const tp_recon_head *head = &c->batch->aids->recon;
    const tp_var *x = c->batch->hidden;
    tp_var *out = tp_var_new(c->tape, x->rows, x->cols);
    for (int64_t i = 0; i < x->rows * x->cols; i++)
        out->data[i] = (x->data[i] - head->mean[i % x->cols]) * head->inverse_std[i % x->cols];
    return out;
}

/* Sinusoids of each state's place in its text, [n_total, width]. */
static tp_var *places(const tp_loss_context *c, int64_t width) {
    const int64_t *offsets = c->batch->offsets;
    tp_var *out = tp_var_new(c->tape, offsets[c->batch->n], width);
    for (int64_t s = 0; s < c->batch->n; s++)
        for (int64_t t = offsets[s]; t < offsets[s + 1]; t++)
            for (int64_t j = 0; j < width; j++) {
                double angle = (double)(t - offsets[s]) * pow(10000, -(double)(j / 2 * 2) / (double)width);
                out->data[t * width + j] = (float)(j % 2 ? cos(angle) : sin(angle));
            }
    return out;
}

static tp_var *each_state(const tp_loss_context *c, tp_var *tokens, const int64_t *token_offsets) {
    const tp_recon_head *head = &c->batch->aids->recon;
    tp_var *context = tp_nn_linear_apply(c->tape, &head->in, tokens);
    tp_var *x = tp_nn_attention_apply(c->tape, &head->attention, places(c, context->cols), context, c->batch->offsets,
                                      token_offsets, c->batch->n);
    x = tp_add(c->tape, x, tp_nn_ffn_apply(c->tape, &head->ffn, tp_nn_norm_apply(c->tape, &head->norm, x)));
    return tp_nn_linear_apply(c->tape, &head->out, x);
}

tp_status tp_loss_recon(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    int64_t n = c->batch->n;
    tp_var *tokens = seen_by_heads(c), *states = whitened(c), *rebuilt;
    const int64_t *token_offsets = tp_loss_even_offsets(c->tape, n, tokens->rows / n);
    if (term->of == TP_RECON_TOKEN) {
        rebuilt = each_state(c, tokens, token_offsets);
    } else {
        states = tp_mean_rows(c->tape, states, c->batch->offsets, n);
        tokens = tp_mean_rows(c->tape, tokens, token_offsets, n); /* the mean of a linear map is the map of the mean */
        rebuilt = tp_nn_linear_apply(c->tape, &c->batch->aids->recon.out, tokens);
    }
    *value = tp_loss_distance(c->tape, term->distance, rebuilt, states);
    return TP_OK;
}

tp_status tp_loss_bow(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    (void)term;
    int64_t n = c->batch->n, *lengths = tp_arena_alloc(c->tape->arena, (size_t)n * sizeof *lengths);
    for (int64_t i = 0; i < n; i++) lengths[i] = c->batch->offsets[i + 1] - c->batch->offsets[i];
    tp_var *tokens = seen_by_heads(c);
    tp_var *pooled = tp_max_rows(c->tape, tokens, tp_loss_even_offsets(c->tape, n, tokens->rows / n), n);
    *value = tp_bag_cross_entropy(c->tape, tp_nn_linear_apply(c->tape, &c->batch->aids->bow, pooled), c->batch->ids,
                                  lengths);
    return TP_OK;
}
