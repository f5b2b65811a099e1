/* Validation and quick looks. See validate.h. */
#include "train/validate.h"

#include "base/mem.h"
#include "data/text_lines.h"
#include "train/objective.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_AT_ONCE = 64 };

/* Soft tokens of some rows, through the bridge; NULL if the layout has none. */
static tp_var *soft_of(const tp_relay *relay, tp_state_cache *states, tp_tape *tape, const int64_t *indices,
                       int64_t n) {
    const int64_t *offsets;
    if (!tp_layout_has_soft(relay->layout)) return NULL;
    tp_var *hidden = tp_state_cache_fetch(states, tape, indices, n, &offsets);
    return tp_relay_soft(relay, tape, hidden, offsets, n);
}

/* The receiver's prompts for some rows; everything lies in the tape's arena. */
static tp_status prompts_of(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *rows,
                            int64_t n, tp_prompts *prompts) {
    tp_example *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    for (int64_t i = 0; i < n; i++) texts[i] = *rows[i];
    return tp_relay_prompts(relay, tape, soft, texts, n, prompts);
}

/* Labels: the likeliest one, and the likelihood of the right one. */
static tp_status judge_labels(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *rows,
                              int64_t n, int64_t *right, double *nll) {
    int32_t *truth = tp_arena_alloc(tape->arena, (size_t)n * sizeof *truth);
    int32_t *best = tp_arena_alloc(tape->arena, (size_t)n * sizeof *best);
    double *likelihoods = tp_arena_alloc(tape->arena, (size_t)n * sizeof *likelihoods);
    tp_prompts prompts;
    for (int64_t i = 0; i < n; i++) truth[i] = rows[i]->label;
    TP_TRY(prompts_of(relay, tape, soft, rows, n, &prompts));
    TP_TRY(tp_relay_best(relay, &prompts, best, truth, likelihoods));
    for (int64_t i = 0; i < n; i++) {
        *right += best[i] == truth[i];
        *nll -= likelihoods[i];
    }
    return TP_OK;
}

/* Free answers: the gold one's likelihood; where each of its tokens is the likeliest, it is what would be written. */
static tp_status judge_answers(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *rows,
                               int64_t n, int64_t *right, double *nll) {
    tp_layout_batch batch;
    tp_var *logits;
    TP_TRY(tp_answer_logits(relay, tape, soft, rows, n, &batch, &logits));
    for (int64_t s = 0; s < n; s++) {
        bool all = true;
        for (int64_t t = batch.target_offsets[s]; t < batch.target_offsets[s + 1]; t++) {
            const float *x = logits->data + t * logits->cols;
            double most = x[0], sum = 0;
            for (int64_t v = 1; v < logits->cols; v++) most = x[v] > most ? x[v] : most;
            for (int64_t v = 0; v < logits->cols; v++) sum += exp(x[v] - most);
            *nll += log(sum) + most - x[batch.targets[t]];
            all = all && x[batch.targets[t]] >= most;
        }
        *right += all;
    }
    return TP_OK;
}

tp_status tp_judge_rows(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *rows, int64_t n,
                        int64_t *right, double *nll) {
    return (relay->n_labels > 0 ? judge_labels : judge_answers)(relay, tape, soft, rows, n, right, nll);
}

tp_status tp_validate(const tp_relay *relay, tp_state_cache *states, const tp_dataset *set, int64_t n,
                      tp_validation *result) {
    *result = (tp_validation){.n = n};
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    double nll = 0;
    int64_t right = 0;
    tp_status status = TP_OK;
    for (int64_t from = 0; from < n && status == TP_OK; from += ROWS_AT_ONCE) {
        int64_t some = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE, indices[ROWS_AT_ONCE];
        const tp_example *rows[ROWS_AT_ONCE];
        for (int64_t i = 0; i < some; i++) indices[i] = from + i, rows[i] = &set->examples[from + i];
        tp_tape_reset(tape);
        tp_var *soft = soft_of(relay, states, tape, indices, some);
        status = tp_judge_rows(relay, tape, soft, rows, some, &right, &nll);
    }
    tp_tape_free(tape);
    result->accuracy = n > 0 ? (double)right / (double)n : 0;
    result->loss = n > 0 ? nll / (double)n : 0;
    return status;
}

tp_status tp_validate_codes(const tp_bridge *bridge, tp_math math, tp_state_cache *states, int64_t n,
                            tp_code_usage *usage) {
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    int32_t *all = NULL;
    int parts = 1;
    int64_t m = bridge->recipe.soft_tokens;
    tp_status status = TP_OK;
    for (int64_t from = 0; from < n && status == TP_OK; from += ROWS_AT_ONCE) {
        int64_t some = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE, indices[ROWS_AT_ONCE];
        for (int64_t i = 0; i < some; i++) indices[i] = from + i;
        const int64_t *offsets;
        const int32_t *codes;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, indices, some, &offsets);
        status = tp_bridge_encode(tape, bridge, hidden, offsets, some, &codes, &parts);
        if (status != TP_OK) break;
        if (all == NULL) all = tp_alloc((size_t)(n * m * parts) * sizeof *all);
        memcpy(all + from * m * parts, codes, (size_t)(some * m * parts) * sizeof *all);
    }
    if (status == TP_OK) *usage = tp_code_usage_of(all, all ? n * m : 0, parts);
    tp_free(all);
    tp_tape_free(tape);
    return status;
}

/* Appends to a text of fixed size; what does not fit is left out. */
static void add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static bool is_right(const tp_task *task, const tp_example *row, const char *answer) {
    if (task->kind != TP_TASK_TEXT) return tp_example_parse_answer(task, row, answer, strlen(answer)) == row->label;
    size_t n = strlen(answer);
    tp_trim(&answer, &n);
    for (const char *const *gold = row->answers; *gold; gold++)
        if (strlen(*gold) == n && memcmp(*gold, answer, n) == 0) return true;
    return false;
}

static void summarise(const tp_task *task, const int64_t *which, char **answers, int64_t n, tp_quick_look *look) {
    int64_t *right = tp_alloc((size_t)task->n_labels * sizeof *right),
            *seen = tp_alloc((size_t)task->n_labels * sizeof *seen);
    int64_t different = 0, n_right = 0;
    for (int64_t i = 0; i < n; i++) {
        const tp_example *row = &task->valid.examples[which[i]];
        bool ok = is_right(task, row, answers[i]), first = true;
        for (int64_t j = 0; j < i && first; j++) first = strcmp(answers[i], answers[j]) != 0;
        different += first;
        n_right += ok;
        if (row->label >= 0) {
            seen[row->label]++;
            right[row->label] += ok;
        }
        if (i < 3)
            add(look->samples, sizeof look->samples, "%s\"%.60s\" -> \"%.30s\" (%s)", i ? "; " : "", row->text,
                answers[i], tp_example_answer(task, row));
    }
    for (int32_t c = 0; c < task->n_labels; c++)
        if (seen[c] > 0)
            add(look->by_class, sizeof look->by_class, "%s%s %.0f %%", look->by_class[0] ? ", " : "",
                task->labels[c].name, 100.0 * (double)right[c] / (double)seen[c]);
    look->accuracy = n > 0 ? (double)n_right / (double)n : 0;
    look->diversity = n > 0 ? (double)different / (double)n : 0;
    tp_free(right);
    tp_free(seen);
}

tp_status tp_quick_evaluate(const tp_relay *relay, tp_state_cache *states, const tp_task *task, int64_t n, int64_t step,
                            tp_quick_look *look) {
    *look = (tp_quick_look){0};
    int64_t available = (int64_t)task->valid.n;
    if (n > available) n = available;
    look->n = n;
    if (n == 0) return TP_OK;
    int64_t *which = tp_alloc((size_t)available * sizeof *which); /* the first n of a shuffled deck: no row twice */
    for (int64_t i = 0; i < available; i++) which[i] = i;
    tp_rng rng = tp_rng_stream(relay->recipe->seed, "quick look", (uint64_t)step);
    tp_rng_shuffle(&rng, which, (size_t)available);
    char **answers = tp_alloc((size_t)n * sizeof *answers);
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    tp_status status = TP_OK;
    for (int64_t from = 0; from < n && status == TP_OK; from += ROWS_AT_ONCE) {
        int64_t some = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE;
        const tp_example *rows[ROWS_AT_ONCE];
        for (int64_t i = 0; i < some; i++) rows[i] = &task->valid.examples[which[from + i]];
        tp_prompts prompts;
        tp_tape_reset(tape);
        tp_var *soft = soft_of(relay, states, tape, which + from, some);
        status = prompts_of(relay, tape, soft, rows, some, &prompts);
        if (status == TP_OK)
            status = tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), answers + from);
    }
    if (status == TP_OK) summarise(task, which, answers, n, look);
    for (int64_t i = 0; i < n; i++) tp_free(answers[i]);
    tp_free(answers);
    tp_free(which);
    tp_tape_free(tape);
    return status;
}
