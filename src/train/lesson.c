/* What a bridge's family is taught with. See lesson.h. */
#include "train/lesson.h"

#include "bridge/prompt.h"
#include "tensor/affine.h"

tp_status tp_question_tokens(const tp_relay *relay, const tp_example *e, tp_ids *ids) {
    const tp_recipe *r = relay->recipe;
    size_t before = ids->len;
    TP_TRY(tp_prompt_encode(relay->receiver->tokenizer, "{text}", e->text, e->len, r->sender.max_tokens,
                            r->sender.truncate, TP_TOKENS_PLAIN, ids, NULL));
    if (ids->len == before) tp_ids_append(ids, tp_layout_eos(relay->layout));
    return TP_OK;
}

/* The answer's tokens; its end is for the receiver to say. */
static tp_status answer_tokens(const tp_relay *relay, const tp_example *e, tp_arena *arena, tp_ids *ids) {
    tp_layout_item item = {.text = e->text, .len = e->len};
    TP_TRY(tp_relay_target(relay, e, arena, &item));
    size_t n = item.n_answer > 1 ? item.n_answer - 1 : item.n_answer;
    for (size_t i = 0; i < n; i++) tp_ids_append(ids, item.answer[i]);
    return TP_OK;
}

tp_status tp_target_rows(const tp_relay *relay, const tp_example *e, tp_anchor_target target, tp_arena *arena,
                         float *out) {
    tp_ids ids = {0};
    tp_status status =
        target == TP_ANCHOR_QUESTION ? tp_question_tokens(relay, e, &ids) : answer_tokens(relay, e, arena, &ids);
    int64_t d = relay->receiver->config.d_model;
    float *rows = tp_arena_alloc(arena, (ids.len + 1) * (size_t)d * sizeof *rows);
    for (size_t i = 0; i < ids.len; i++) tp_lm_embedding_row(relay->receiver, ids.data[i], rows + i * (size_t)d);
    if (status == TP_OK) tp_stretch_means(rows, (int64_t)ids.len, d, relay->recipe->bridge.soft_tokens, out);
    tp_ids_free(&ids);
    return status;
}

tp_status tp_lesson_make(const tp_relay *relay, tp_tape *tape, const tp_example *const *examples, int64_t n,
                         int64_t step, tp_bridge_lesson *lesson) {
    const tp_recipe *recipe = relay->recipe;
    const tp_loss_term *flow = NULL;
    *lesson = (tp_bridge_lesson){0};
    for (int i = 0; i < recipe->n_losses; i++) {
        const tp_loss_term *term = &recipe->losses[i];
        if (tp_loss_weight(term, step) == 0) continue;
        if (term->name == TP_LOSS_FLOW)
            flow = term;
        else
            lesson->tokens_taught = true;
    }
    if (flow == NULL) return TP_OK;
    int64_t m = recipe->bridge.soft_tokens, d = relay->receiver->config.d_model;
    lesson->targets = tp_var_new(tape, n * m, d);
    for (int64_t i = 0; i < n; i++)
        TP_TRY(tp_target_rows(relay, examples[i], flow->target, tape->arena, lesson->targets->data + i * m * d));
    return TP_OK;
}
