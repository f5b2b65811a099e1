/* Few shots: a model reads solved examples before the text. Each label gets as many, drawn from train by the run's
 * seed, in rounds of one per label in a new order each: so what is left when they do not all fit is balanced, too. The
 * shots are prompts of the task without the list of labels, since they show the labels themselves. They are read once
 * for a whole batch. */
#include "base/mem.h"
#include "base/str.h"
#include "eval/texts.h"

enum { PER_LABEL = 5, MOST_TOKENS = 2048 };

/* Train's rows by label, each list in an order of the seed. */
static void sort_rows(const tp_task *task, uint64_t seed, int64_t **rows, size_t *counts) {
    for (size_t i = 0; i < task->train.n; i++) counts[task->train.examples[i].label]++;
    for (int32_t l = 0; l < task->n_labels; l++) {
        rows[l] = tp_alloc((counts[l] + 1) * sizeof *rows[l]);
        counts[l] = 0;
    }
    for (size_t i = 0; i < task->train.n; i++) {
        int32_t l = task->train.examples[i].label;
        rows[l][counts[l]++] = (int64_t)i;
    }
    for (int32_t l = 0; l < task->n_labels; l++) {
        tp_rng rng = tp_rng_stream(seed, "shots", (uint64_t)l + 1);
        tp_rng_shuffle(&rng, rows[l], counts[l]);
    }
}

/* Appends "prompt with the text, blank, label, blank line". */
static void add_shot(tp_str *out, const tp_task *task, const tp_example *e) {
    size_t n;
    char *prompt = tp_prompt_fill(task->prompt, e->text, e->len, &n);
    tp_str_append(out, prompt, n);
    tp_str_appendf(out, " %s\n\n", task->labels[e->label].name);
    tp_free(prompt);
}

tp_status tp_shots_encode(const tp_eval *eval, const tp_lm *lm, size_t room, tp_ids *ids, int *n_shots) {
    const tp_task *task = eval->task;
    int64_t **rows = tp_alloc((size_t)task->n_labels * sizeof *rows);
    size_t *counts = tp_alloc((size_t)task->n_labels * sizeof *counts);
    int64_t *order = tp_alloc((size_t)task->n_labels * sizeof *order);
    tp_str text = {0};
    tp_status status = TP_OK;
    sort_rows(task, eval->seed, rows, counts);
    int32_t bos = tp_tokenizer_bos(lm->tokenizer);
    if (bos >= 0) tp_ids_append(ids, bos);
    *n_shots = 0;
    for (int32_t l = 0; l < task->n_labels; l++) order[l] = l;
    for (int round = 0; round < PER_LABEL && status == TP_OK; round++) {
        tp_rng rng = tp_rng_stream(eval->seed, "order of shots", (uint64_t)round);
        tp_rng_shuffle(&rng, order, (size_t)task->n_labels);
        for (int32_t k = 0; k < task->n_labels && status == TP_OK; k++) {
            size_t before = ids->len;
            if ((size_t)round >= counts[order[k]]) continue;
            tp_str_clear(&text);
            add_shot(&text, task, &task->train.examples[rows[order[k]][round]]);
            status = tp_tokenizer_encode(lm->tokenizer, text.data, text.len, TP_TOKENS_PLAIN, ids);
            if (ids->len > room)
                ids->len = before;
            else
                ++*n_shots;
        }
    }
    for (int32_t l = 0; l < task->n_labels; l++) tp_free(rows[l]);
    tp_free(rows);
    tp_free(counts);
    tp_free(order);
    tp_str_free(&text);
    return status;
}

static tp_status ask(tp_eval *eval, const tp_lm *lm, tp_phase phase, tp_method_result *result) {
    int64_t context = lm->config.max_position_embeddings, room = context / 2 < MOST_TOKENS ? context / 2 : MOST_TOKENS;
    tp_ids shots = {0};
    int n_shots;
    tp_status status = tp_shots_encode(eval, lm, (size_t)room, &shots, &n_shots);
    tp_layout *layout =
        status == TP_OK ? tp_ask_layout_leaving(eval, eval->task->prompt, lm, (int64_t)shots.len + context / 8) : NULL;
    status = layout ? TP_OK : tp_last_status();
    if (layout) {
        tp_asking asking = {.lm = lm, .layout = layout, .phase = phase, .before = &shots};
        status = tp_ask_all(eval, &asking, result);
        result->setting = tp_format("%d shots of %d for each of %d labels fit into %lld tokens", n_shots, PER_LABEL,
                                    eval->task->n_labels, (long long)room);
    }
    tp_layout_free(layout);
    tp_ids_free(&shots);
    return status;
}

static tp_status sender(tp_eval *eval, tp_method_result *result) {
    return ask(eval, eval->relay->sender, TP_PHASE_SENDER, result);
}

static tp_status receiver(tp_eval *eval, tp_method_result *result) {
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    return ask(eval, eval->relay->receiver, TP_PHASE_RECEIVER, result);
}

const tp_method tp_method_sender_shots = {.name = "sender_shots",
                                          .title = "sender, few shots",
                                          .group = TP_GROUP_SENDER,
                                          .needs = TP_NEEDS_SENDER | TP_NEEDS_TRAINING,
                                          .seeded = true,
                                          .run = sender};

const tp_method tp_method_receiver_shots = {.name = "receiver_shots",
                                            .title = "receiver, few shots",
                                            .group = TP_GROUP_RECEIVER,
                                            .needs = TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                            .seeded = true,
                                            .run = receiver};
