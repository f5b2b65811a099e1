/* Putting the recipe's losses together. See objective.h; docs/training.md gives their formulas. */
#include "train/objective.h"

#include "train/losses.h"

#include <math.h>

static bool belongs_to_a_family(tp_loss_name name) {
    return name == TP_LOSS_VQ || name == TP_LOSS_FSQ || name == TP_LOSS_FLOW;
}

tp_status tp_objective_check(const tp_relay *relay) {
    const tp_recipe *recipe = relay->recipe;
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        if (belongs_to_a_family(term->name) && !tp_bridge_has_loss(recipe->bridge.kind, term->name))
            return tp_fail(TP_ERR_UNSUPPORTED,
                           "recipe: `losses[%d].name` is \"%s\", which bridges of the kind \"%s\" do not have", i,
                           tp_loss_name_text(term->name), recipe->bridge.kind);
        if (term->name != TP_LOSS_CONTRASTIVE) continue;
        bool one_view = recipe->bridge.dropout <= 0 && recipe->sender.position_dropout <= 0;
        if (term->positives == TP_POSITIVES_VIEWS && one_view)
            return tp_fail(TP_ERR_ARGUMENT,
                           "recipe: `losses[%d].positives` is \"views\", but without `bridge.dropout` or "
                           "`sender.position_dropout` both views of an example are the same",
                           i);
        if (term->positives == TP_POSITIVES_LABEL && relay->n_labels == 0)
            return tp_fail(TP_ERR_ARGUMENT,
                           "recipe: `losses[%d].positives` is \"label\", but the task has free answers", i);
    }
    return TP_OK;
}

static double first_token_accuracy(const tp_layout_batch *batch, const tp_var *logits) {
    int64_t right = 0;
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        int64_t row = batch->target_offsets[s];
        const float *x = logits->data + row * logits->cols;
        bool best = true;
        for (int64_t v = 0; v < logits->cols && best; v++) best = x[v] <= x[batch->targets[row]];
        right += best;
    }
    return (double)right / (double)batch->n_sequences;
}

static tp_status loss_of(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    const tp_objective_batch *b = c->batch;
    switch (term->name) {
    case TP_LOSS_LM:
        *value = tp_cross_entropy(c->tape, c->logits, c->layout->targets, c->layout->lm_weights, NULL);
        return TP_OK;
    case TP_LOSS_FIRST_TOKEN:
        *value = tp_cross_entropy(c->tape, c->logits, c->layout->targets, c->layout->first_weights, NULL);
        return TP_OK;
    case TP_LOSS_BOTTLENECK:
        return tp_loss_bottleneck(c, term, value);
    case TP_LOSS_DIVERSITY: /* examples should not all get the same soft tokens */
        *value = tp_mean_cosine(c->tape, tp_reshape(c->tape, b->soft, b->n, b->soft->rows / b->n * b->soft->cols));
        return TP_OK;
    case TP_LOSS_CONTRASTIVE:
        return tp_loss_contrastive(c, term, value);
    case TP_LOSS_ANCHOR:
        return tp_loss_anchor(c, term, value);
    case TP_LOSS_ALIGN:
        return tp_loss_align(c, term, value);
    case TP_LOSS_RECON:
        return tp_loss_recon(c, term, value);
    case TP_LOSS_BOW:
        return tp_loss_bow(c, term, value);
    case TP_LOSS_DISTILL:
        return tp_loss_distill(c, term, value);
    case TP_LOSS_SCALE_REG:
        return tp_loss_scale_reg(c, term, value);
    default:
        return tp_fail(TP_ERR_UNSUPPORTED, "the bridge has not given its loss \"%s\"", tp_loss_name_text(term->name));
    }
}

tp_status tp_objective(const tp_relay *relay, tp_tape *tape, const tp_objective_batch *batch, int64_t step,
                       tp_var **loss, tp_objective_values *values) {
    const tp_recipe *recipe = relay->recipe;
    tp_layout_batch layout;
    tp_loss_context context = {.relay = relay, .tape = tape, .batch = batch, .layout = &layout};
    tp_var *terms[TP_MAX_LOSSES];
    float weights[TP_MAX_LOSSES];
    TP_TRY(tp_training_logits(relay, tape, batch, step, &layout, &context.logits));
    for (int i = 0; i < TP_N_LOSSES; i++) values->losses[i] = NAN;
    int n_terms = 0;
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        float weight = (float)tp_loss_weight(term, step);
        if (weight == 0.0f || (batch->alone && batch->alone->name != term->name)) continue;
        tp_var *value = batch->terms ? batch->terms->losses[term->name] : NULL; /* the family's own */
        if (value == NULL) TP_TRY(loss_of(&context, term, &value));
        values->losses[term->name] = value->data[0];
        terms[n_terms] = value;
        weights[n_terms++] = weight;
    }
    *loss = tp_weighted_sum(tape, terms, weights, n_terms);
    values->total = (*loss)->data[0];
    values->accuracy = first_token_accuracy(&layout, context.logits);
    return TP_OK;
}
