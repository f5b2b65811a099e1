/* From text to answer through the bridge. See relay.h. */
#include "bridge/relay.h"

#include "base/mem.h"

tp_relay *tp_relay_new(tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver, const tp_task *task) {
    tp_relay *r = tp_alloc(sizeof *r);
    tp_recipe_complete(recipe, task->n_labels, task->primer);
    *r = (tp_relay){.recipe = recipe, .sender = sender, .receiver = receiver, .n_labels = task->n_labels};
    r->label_names = tp_alloc((size_t)task->n_labels * sizeof *r->label_names);
    for (int i = 0; i < task->n_labels; i++) r->label_names[i] = tp_strdup(task->labels[i].name);
    r->prompt = tp_strdup(recipe->sender.prompt == TP_PROMPT_LABELS ? task->prompt_labels : task->prompt);
    tp_status status = tp_recipe_layer(recipe, sender->config.n_layers, &r->tap.layer);
    if (status == TP_OK) {
        r->tap.sender = sender;
        r->tap.prompt = r->prompt;
        r->tap.max_tokens = recipe->sender.max_tokens;
        r->tap.truncate = recipe->sender.truncate;
        r->tap.math = recipe->math;
        r->layout = tp_layout_new(&(tp_layout_options){.pattern = recipe->layout,
                                                       .primer = recipe->primer,
                                                       .tokenizer = receiver->tokenizer,
                                                       .eos = -1,
                                                       .labels = r->label_names,
                                                       .n_labels = r->n_labels,
                                                       .max_text_tokens = recipe->sender.max_tokens,
                                                       .truncate = recipe->sender.truncate});
        if (r->layout) return r;
    }
    tp_relay_free(r);
    return NULL;
}

void tp_relay_free(tp_relay *relay) {
    if (relay == NULL) return;
    for (int i = 0; i < relay->n_labels; i++) tp_free((void *)(uintptr_t)relay->label_names[i]);
    tp_free(relay->label_names);
    tp_free(relay->prompt);
    tp_layout_free(relay->layout);
    tp_bridge_free(relay->bridge);
    tp_recipe_free(relay->recipe);
    tp_free(relay);
}

tp_var *tp_relay_soft(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n) {
    return tp_bridge_forward(tape, relay->bridge, hidden, offsets, n);
}

tp_status tp_relay_prompts(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *texts, int64_t n,
                           tp_prompts *prompts) {
    tp_layout_item *items = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; texts && i < n; i++) items[i].text = texts[i].text, items[i].len = texts[i].len;
    tp_layout_batch batch;
    TP_TRY(tp_layout_build(relay->layout, tape->arena, items, n, relay->recipe->bridge.soft_tokens, &batch));
    tp_var *rows = tp_layout_input(tape, relay->receiver, &batch, soft);
    *prompts = (tp_prompts){.rows = rows->data, .offsets = batch.offsets, .n = n};
    return TP_OK;
}

tp_status tp_relay_score(const tp_relay *relay, const tp_prompts *prompts, double *scores) {
    tp_ids *answers = tp_alloc((size_t)relay->n_labels * sizeof *answers);
    for (int i = 0; i < relay->n_labels; i++) answers[i] = *tp_layout_label(relay->layout, i); /* ids stay borrowed */
    tp_status status =
        tp_score_answers(relay->receiver, relay->recipe->math, prompts, answers, relay->n_labels, scores);
    tp_free(answers);
    return status;
}

tp_status tp_relay_generate(const tp_relay *relay, const tp_prompts *prompts, int64_t max_new, char **answers) {
    tp_ids *ids = tp_alloc((size_t)prompts->n * sizeof *ids);
    tp_status status = tp_generate_greedy(relay->receiver, relay->recipe->math, prompts, max_new, ids);
    for (int64_t i = 0; i < prompts->n; i++) {
        answers[i] = status == TP_OK ? tp_tokenizer_decode(relay->receiver->tokenizer, ids[i].data, ids[i].len,
                                                           TP_TOKENS_SKIP_SPECIAL, NULL)
                                     : NULL;
        tp_ids_free(&ids[i]);
    }
    tp_free(ids);
    return status;
}

int64_t tp_relay_longest_answer(const tp_relay *relay) {
    size_t most = 0;
    for (int i = 0; i < relay->n_labels; i++) {
        const tp_ids *label = tp_layout_label(relay->layout, i);
        if (label->len > most) most = label->len;
    }
    return (int64_t)most;
}

int32_t tp_best_score(const double *scores, int n) {
    int32_t best = 0;
    for (int i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}
