/* Few shots: a model reads solved examples before the text. Each label gets as many, drawn from train by the run's
 * seed, in rounds of one per label in a new order each: so what is left when they do not all fit is balanced, too. The
 * shots are prompts of the task without the list of labels, since they show the labels themselves. They are read once
 * for a whole batch. Free answers have no labels: their shots are any rows, and since each fills the rest of its line,
 * what the model writes ends with its line, too. */
#include "base/mem.h"
#include "base/str.h"
#include "eval/texts.h"

#include <string.h>

enum { PER_LABEL = 5, FREE = 8 /* as many as GSM8K is usually asked with */, MOST_TOKENS = 2048 };

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

/* Where shots go as long as there is room. */
typedef struct list {
    const tp_task *task;
    const tp_lm *lm;
    size_t room;
    tp_ids *ids;
    int n;
} list;

/* Appends "prompt with the text, blank, answer, blank line", unless it is too long. */
static tp_status add_shot(list *shots, const tp_example *e) {
    size_t before = shots->ids->len, n;
    const char *answer = e->label < 0 ? tp_example_answer(shots->task, e) : shots->task->labels[e->label].name;
    char *prompt = tp_prompt_fill(shots->task->prompt, e->text, e->len, &n);
    tp_str text = {0};
    tp_str_append(&text, prompt, n);
    tp_str_appendf(&text, " %s\n\n", answer);
    tp_status status = tp_tokenizer_encode(shots->lm->tokenizer, text.data, text.len, TP_TOKENS_PLAIN, shots->ids);
    if (shots->ids->len > shots->room)
        shots->ids->len = before;
    else
        shots->n++;
    tp_free(prompt);
    tp_str_free(&text);
    return status;
}

static tp_status add_balanced(list *shots, uint64_t seed) {
    const tp_task *task = shots->task;
    int64_t **rows = tp_alloc((size_t)task->n_labels * sizeof *rows);
    size_t *counts = tp_alloc((size_t)task->n_labels * sizeof *counts);
    int64_t *order = tp_alloc((size_t)task->n_labels * sizeof *order);
    tp_status status = TP_OK;
    sort_rows(task, seed, rows, counts);
    for (int32_t l = 0; l < task->n_labels; l++) order[l] = l;
    for (int round = 0; round < PER_LABEL && status == TP_OK; round++) {
        tp_rng rng = tp_rng_stream(seed, "order of shots", (uint64_t)round);
        tp_rng_shuffle(&rng, order, (size_t)task->n_labels);
        for (int32_t k = 0; k < task->n_labels && status == TP_OK; k++)
            if ((size_t)round < counts[order[k]])
                status = add_shot(shots, &task->train.examples[rows[order[k]][round]]);
    }
    for (int32_t l = 0; l < task->n_labels; l++) tp_free(rows[l]);
    tp_free(rows);
    tp_free(counts);
    tp_free(order);
    return status;
}

/* Any rows whose answer is one line. Texts that are too long are passed over, but not for ever. */
static tp_status add_free(list *shots, uint64_t seed) {
    const tp_dataset *train = &shots->task->train;
    int64_t *order = tp_alloc((train->n + 1) * sizeof *order);
    for (size_t i = 0; i < train->n; i++) order[i] = (int64_t)i;
    tp_rng rng = tp_rng_stream(seed, "shots", 0);
    tp_rng_shuffle(&rng, order, train->n);
    tp_status status = TP_OK;
    for (size_t i = 0; i < train->n && i < 4 * FREE && shots->n < FREE && status == TP_OK; i++) {
        const tp_example *e = &train->examples[order[i]];
        if (strpbrk(tp_example_answer(shots->task, e), "\r\n") == NULL) status = add_shot(shots, e);
    }
    tp_free(order);
    return status;
}

tp_status tp_shots_encode(const tp_eval *eval, const tp_lm *lm, size_t room, tp_ids *ids, int *n_shots) {
    list shots = {.task = eval->task, .lm = lm, .room = room, .ids = ids};
    int32_t bos = tp_tokenizer_bos(lm->tokenizer);
    if (bos >= 0) tp_ids_append(ids, bos);
    tp_status status =
        eval->task->kind == TP_TASK_TEXT ? add_free(&shots, eval->seed) : add_balanced(&shots, eval->seed);
    *n_shots = shots.n;
    return status;
}

/* Which of the model's ids hold the end of a line. [vocab_size], the caller's to free. */
static bool *ends_of_lines(const tp_lm *lm) {
    bool *ends = tp_alloc((size_t)lm->config.vocab_size * sizeof *ends);
    for (int32_t i = 0; i < lm->config.vocab_size; i++) {
        size_t n;
        const char *piece = tp_tokenizer_piece(lm->tokenizer, i, &n);
        ends[i] = piece && memchr(piece, '\n', n);
    }
    return ends;
}

static char *setting_of(const tp_task *task, int n_shots, int64_t room) {
    if (task->kind == TP_TASK_TEXT)
        return tp_format("%d shots of at most %d fit into %lld tokens", n_shots, FREE, (long long)room);
    return tp_format("%d shots of %d for each of %d labels fit into %lld tokens", n_shots, PER_LABEL, task->n_labels,
                     (long long)room);
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
        bool *ends = eval->task->kind == TP_TASK_TEXT ? ends_of_lines(lm) : NULL;
        tp_asking asking = {.lm = lm, .layout = layout, .phase = phase, .before = &shots, .ends = ends};
        status = tp_ask_all(eval, &asking, result);
        result->setting = setting_of(eval->task, n_shots, room);
        tp_free(ends);
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
                                          .free_answers = true,
                                          .title = "sender, few shots",
                                          .group = TP_GROUP_SENDER,
                                          .needs = TP_NEEDS_SENDER | TP_NEEDS_TRAINING,
                                          .seeded = true,
                                          .run = sender};

const tp_method tp_method_receiver_shots = {.name = "receiver_shots",
                                            .free_answers = true,
                                            .title = "receiver, few shots",
                                            .group = TP_GROUP_RECEIVER,
                                            .needs = TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                            .seeded = true,
                                            .run = receiver};
