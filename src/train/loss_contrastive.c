/* The contrastive loss: an example's mean soft token has to be found among those of its batch (InfoNCE, van den Oord et
 * al. 2018). What is to be found: the same example under another dropout mask (as in SimCLR, Chen et al. 2020), asked
 * in both directions; the other examples of its label (Khosla et al. 2020); or the example itself, which only pushes
 * the others away and is what phase 2 of the source documents did. */
#include "train/losses.h"
#include "train/position_dropout.h"

static tp_var *pooled(tp_tape *tape, tp_var *soft, int64_t n) {
    tp_var *mean = tp_mean_rows(tape, soft, tp_loss_even_offsets(tape, n, soft->rows / n), n);
    return tp_rms_norm(tape, mean, NULL, 1e-12f); /* of length sqrt(d) */
}

/* Each example's own, or the other examples of its label, in equal shares. */
static float *positives(const tp_loss_context *c, bool by_label) {
    int64_t n = c->batch->n;
    float *p = tp_arena_zalloc(c->tape->arena, (size_t)(n * n) * sizeof *p);
    for (int64_t i = 0; i < n; i++) {
        int64_t others = 0;
        for (int64_t j = 0; j < n; j++)
            others += j != i && c->batch->examples[j]->label == c->batch->examples[i]->label;
        for (int64_t j = 0; j < n; j++) {
            bool same = c->batch->examples[j]->label == c->batch->examples[i]->label;
            if (by_label ? same && i != j : i == j) p[i * n + j] = by_label ? 1.0f / (float)others : 1.0f;
        }
    }
    return p;
}

static tp_var *second_view(const tp_loss_context *c) {
    const int64_t *offsets = c->batch->offsets;
    int64_t n = c->batch->n;
    tp_var *hidden = tp_position_dropout_by(c->tape, c->batch->hidden, &offsets, n,
                                            c->relay->recipe->sender.position_dropout, "position dropout, second view");
    tp_var *soft = tp_relay_soft(c->relay, c->tape, hidden, offsets, n);
    return tp_scale_gradient(c->tape, soft, (float)c->relay->recipe->regime.gradient_scale);
}

tp_var *tp_loss_two_views(const tp_loss_context *c, tp_var *one, tp_var *other, double temperature) {
    tp_var *a = pooled(c->tape, one, c->batch->n), *b = pooled(c->tape, other, c->batch->n);
    float factor = (float)(1 / (temperature * (double)a->cols)), *wanted = positives(c, false);
    tp_var *ways[] = {tp_info_nce(c->tape, a, b, factor, wanted, false),
                      tp_info_nce(c->tape, b, a, factor, wanted, false)};
    return tp_weighted_sum(c->tape, ways, (const float[]){0.5f, 0.5f}, 2);
}

tp_status tp_loss_contrastive(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    if (term->positives == TP_POSITIVES_VIEWS) {
        *value = tp_loss_two_views(c, c->batch->soft, second_view(c), term->temperature);
        return TP_OK;
    }
    tp_var *own = pooled(c->tape, c->batch->soft, c->batch->n);
    bool by_label = term->positives == TP_POSITIVES_LABEL;
    *value = tp_info_nce(c->tape, own, own, (float)(1 / (term->temperature * (double)own->cols)),
                         positives(c, by_label), by_label);
    return TP_OK;
}
