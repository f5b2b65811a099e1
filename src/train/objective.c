/* The recipe's losses (SPEC 2). See objective.h. */
#include "train/objective.h"

#include <math.h>

tp_status tp_objective_check(const tp_relay *relay) {
    for (int i = 0; i < relay->recipe->n_losses; i++) {
        tp_loss_name name = relay->recipe->losses[i].name;
        if (name != TP_LOSS_LM && name != TP_LOSS_FIRST_TOKEN && name != TP_LOSS_DIVERSITY)
            return tp_fail(TP_ERR_UNSUPPORTED, "recipe: `losses[%d].name` is \"%s\", which cannot be computed here", i,
                           tp_loss_name_text(name));
    }
    return TP_OK;
}

tp_status tp_answer_logits(const tp_relay *r, tp_tape *tape, tp_var *soft, const tp_example *const *examples, int64_t n,
                           tp_layout_batch *batch, tp_var **logits) {
    tp_layout_item *items = tp_arena_alloc(tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; i < n; i++) {
        items[i] = (tp_layout_item){.text = examples[i]->text, .len = examples[i]->len};
        TP_TRY(tp_relay_target(r, examples[i], tape->arena, &items[i]));
    }
    int m = r->recipe->bridge.soft_tokens;
    TP_TRY(r->prefix ? tp_layout_build_behind_prefix(r->layout, tape->arena, items, n, m, batch)
                     : tp_layout_build(r->layout, tape->arena, items, n, m, batch));
    tp_batch rows = {.n_sequences = n,
                     .offsets = batch->offsets,
                     .prefix = r->prefix,
                     .wanted = batch->target_offsets,
                     .adapter = r->adapter};
    tp_var *x = tp_layout_input(tape, r->receiver, batch, soft);
    *logits =
        tp_lm_logits(tape, r->receiver, tp_lm_blocks(tape, r->receiver, x, &rows, 0, r->receiver->config.n_layers));
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

tp_status tp_objective(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_bridge_terms *own,
                       const tp_example *const *examples, int64_t n, int64_t step, tp_var **loss,
                       tp_objective_values *values) {
    const tp_recipe *recipe = relay->recipe;
    tp_layout_batch batch;
    tp_var *logits, *terms[TP_MAX_LOSSES];
    float weights[TP_MAX_LOSSES];
    TP_TRY(tp_answer_logits(relay, tape, soft, examples, n, &batch, &logits));
    for (int i = 0; i < TP_N_LOSSES; i++) values->losses[i] = NAN;
    int n_terms = 0;
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        float weight = (float)tp_loss_weight(term, step);
        if (weight == 0.0f) continue;
        tp_var *value = own ? own->losses[term->name] : NULL; /* the bridge's family's own */
        if (value == NULL) switch (term->name) {
            case TP_LOSS_LM:
                value = tp_cross_entropy(tape, logits, batch.targets, batch.lm_weights, NULL);
                break;
            case TP_LOSS_FIRST_TOKEN:
                value = tp_cross_entropy(tape, logits, batch.targets, batch.first_weights, NULL);
                break;
            default: /* TP_LOSS_DIVERSITY: examples should not all get the same soft tokens */
                value = tp_mean_cosine(tape, tp_reshape(tape, soft, n, soft->rows / n * soft->cols));
                break;
            }
        values->losses[term->name] = value->data[0];
        terms[n_terms] = value;
        weights[n_terms++] = weight;
    }
    *loss = tp_weighted_sum(tape, terms, weights, n_terms);
    values->total = (*loss)->data[0];
    values->accuracy = first_token_accuracy(&batch, logits);
    return TP_OK;
}
