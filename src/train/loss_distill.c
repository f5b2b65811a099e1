/* Distillation (Hinton et al. 2015): the receiver that reads soft tokens is to say what it says when it reads the text.
 *
 * The teacher is the same frozen receiver over the text's own layout, with the same answer behind it; its logits are
 * computed anew in each step, because for all examples they would be many times larger than the sender's states. */
#include "lm/decoder.h"
#include "train/losses.h"

/* The teacher's logits at the tokens of the answers. */
static tp_status teach(const tp_loss_context *c, tp_var **logits) {
    const tp_layout_batch *own = c->layout;
    tp_layout_item *items = tp_arena_alloc(c->tape->arena, (size_t)c->batch->n * sizeof *items);
    for (int64_t i = 0; i < c->batch->n; i++)
        items[i] = (tp_layout_item){.text = c->batch->examples[i]->text,
                                    .len = c->batch->examples[i]->len,
                                    .answer = own->targets + own->target_offsets[i],
                                    .n_answer = (size_t)(own->target_offsets[i + 1] - own->target_offsets[i])};
    tp_layout_batch batch;
    TP_TRY(tp_layout_build(c->batch->aids->teacher, c->tape->arena, items, c->batch->n, 0, &batch));
    const tp_lm *lm = c->relay->receiver;
    tp_batch rows = {.n_sequences = c->batch->n, .offsets = batch.offsets, .wanted = batch.target_offsets};
    bool frozen = c->tape->frozen;
    c->tape->frozen = true; /* nothing of the teacher is learned */
    tp_var *x = tp_layout_input(c->tape, lm, &batch, NULL);
    *logits = tp_lm_logits(c->tape, lm, tp_lm_blocks(c->tape, lm, x, &rows, 0, lm->config.n_layers));
    c->tape->frozen = frozen;
    return TP_OK;
}

tp_status tp_loss_distill(const tp_loss_context *c, const tp_loss_term *term, tp_var **value) {
    const tp_layout_batch *l = c->layout;
    tp_var *teacher;
    TP_TRY(teach(c, &teacher));
    float *weights = tp_arena_alloc(c->tape->arena, (size_t)(l->n_targets + 1) * sizeof *weights);
    for (int64_t i = 0; i < c->batch->n; i++)
        for (int64_t t = l->target_offsets[i]; t < l->target_offsets[i + 1]; t++)
            weights[t] = term->tokens == 0 || t - l->target_offsets[i] < term->tokens;
    *value = tp_distillation(c->tape, c->logits, teacher, weights, term->temperature);
    return TP_OK;
}
