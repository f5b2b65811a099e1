/* Prompts to labels, in batches for the answers and one by one for the times. See ask.h. */
#include "eval/ask.h"

#include "base/clock.h"
#include "base/mem.h"
#include "data/text_lines.h"
#include "eval/free_marks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 3, MOST_TIMED = 1000, TIMED_BATCHES = 4, MOST_VALID = 500, MOST_VALID_SCORES = 12000 };

tp_layout *tp_ask_layout(const tp_eval *eval, const char *pattern, const tp_lm *lm) {
    int64_t context = lm->config.max_position_embeddings;
    return tp_ask_layout_leaving(eval, pattern, lm, context / 8 + eval->relay->recipe->bridge.soft_tokens);
}

tp_layout *tp_ask_layout_leaving(const tp_eval *eval, const char *pattern, const tp_lm *lm, int64_t n_tokens) {
    const tp_relay *relay = eval->relay;
    int64_t room = lm->config.max_position_embeddings - n_tokens;
    return tp_layout_new(&(tp_layout_options){.pattern = pattern,
                                              .primer = relay->recipe->primer,
                                              .tokenizer = lm->tokenizer,
                                              .eos = -1,
                                              .labels = relay->label_names,
                                              .n_labels = relay->n_labels,
                                              .max_text_tokens = room > 16 ? room : 16,
                                              .truncate = relay->recipe->sender.truncate});
}

size_t tp_ask_valid_rows(const tp_eval *eval) {
    size_t labels = (size_t)eval->task->n_labels, most = labels > 0 ? MOST_VALID_SCORES / labels : MOST_VALID;
    if (most > MOST_VALID) most = MOST_VALID;
    return eval->task->valid.n < most ? eval->task->valid.n : most;
}

/* ---- one batch ---- */

static tp_tape *frozen_tape(const tp_eval *eval) {
    tp_tape *tape = tp_tape_new(eval->relay->recipe->math);
    tape->frozen = true;
    return tape;
}

/* Prompts, and the rows that they ask about. */
typedef struct questions {
    tp_prompts prompts;
    const tp_example **rows; /* [prompts.n]; NULL: not known */
    tp_free_marks *marks;    /* of free answers; NULL: not wanted */
} questions;

/* Whether what the layout begins with is read by itself: not where what a text takes from its first token on is to be
 * measured (`fresh`), unless keys and values are injected behind it. */
static bool reads_head(const tp_asking *a, bool fresh) {
    return (!fresh || tp_layout_injected(a->layout)) && tp_prefix_possible(a->lm);
}

/* What all prompts begin with, read: what stands before them and perhaps what their layout begins with. *head NULL:
 * nothing. */
static tp_status read_head(const tp_asking *a, tp_math math, bool fresh, tp_kv_cache **head) {
    tp_ids ids = {0};
    *head = NULL;
    for (size_t i = 0; a->before && i < a->before->len; i++) tp_ids_append(&ids, a->before->data[i]);
    if (reads_head(a, fresh)) tp_layout_prefix(a->layout, &ids);
    if (ids.len > 0) {
        tp_tape *tape = tp_tape_new(math);
        tape->frozen = true;
        *head = tp_read_before(a->lm, math, tp_lm_embed(tape, a->lm, ids.data, (int64_t)ids.len)->data,
                               (int64_t)ids.len, a->adapter);
        tp_tape_free(tape);
    }
    bool failed = ids.len > 0 && *head == NULL;
    tp_ids_free(&ids);
    return failed ? tp_last_status() : TP_OK;
}

/* The prompts of some rows of a split, in the tape's arena, behind the head that was read. ms (NULL: not measuring)
 * gets the phases' times so far. */
static tp_status make_prompts(tp_eval *eval, const tp_asking *a, tp_tape *tape, const tp_kv_cache *head,
                              const tp_dataset *set, const int64_t *items, int64_t n, double *ms, questions *out,
                              int64_t *n_truncated) {
    tp_tape_reset(tape);
    tp_filling filling = {0};
    if (a->fill) TP_TRY(a->fill(eval, a, tape, items, n, ms != NULL, &filling));
    double began = tp_now();
    tp_layout_item *texts = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *texts);
    for (int64_t i = 0; i < n; i++) {
        const tp_example *e = filling.texts ? &filling.texts[i] : &set->examples[items[i]];
        texts[i] = (tp_layout_item){.text = e->text, .len = e->len};
    }
    TP_TRY(tp_layout_prompts(a->layout, tape, a->lm, texts, n, a->soft_tokens, filling.soft, reads_head(a, ms != NULL),
                             &out->prompts, n_truncated));
    out->prompts.before = head;
    out->prompts.adapter = a->adapter;
    out->prompts.ends = a->ends;
    out->rows = tp_arena_alloc(tape->arena, (size_t)n * sizeof(const tp_example *));
    for (int64_t i = 0; i < n; i++) out->rows[i] = &set->examples[items[i]];
    for (int p = 0; ms && p < TP_N_PHASES; p++) ms[p] = filling.ms[p];
    if (ms) ms[a->phase] += (tp_now() - began) * 1e3;
    return TP_OK;
}

/* The label that an answer names. A row's option names it as its letter does; without a row only labels are looked for.
 * A free answer is right (1), wrong (0) or empty (-1); without a row nothing can be said about it. */
static int32_t read_answer(const tp_task *task, const tp_example *row, const char *answer, size_t n,
                           tp_free_marks *marks) {
    if (task->kind != TP_TASK_TEXT)
        return row ? tp_example_parse_answer(task, row, answer, n) : tp_task_parse_answer(task, answer, n);
    tp_trim(&answer, &n);
    if (row == NULL) return -1;
    tp_answer_score judged = tp_score_answer(task, row, answer, n);
    if (marks) tp_free_marks_add(marks, row, answer, n, n > 0 ? judged.part : 0);
    if (n == 0) return -1;
    return judged.exact;
}

static void read_written(const tp_task *task, const tp_asking *a, questions *q, const tp_ids *ids, int32_t *labels) {
    for (int64_t i = 0; i < q->prompts.n; i++) {
        size_t n;
        char *answer = tp_tokenizer_decode(a->lm->tokenizer, ids[i].data, ids[i].len, TP_TOKENS_SKIP_SPECIAL, &n);
        labels[i] = read_answer(task, q->rows ? q->rows[i] : NULL, answer, n, q->marks);
        tp_free(answer);
    }
}

/* Labels in the readings whose labels are not NULL. With `scores` (may be NULL) the score of every label is computed,
 * else only as many as it takes to know the best. Where both readings are wanted, prompts are read once for both. */
static tp_status ask(const tp_task *task, const tp_asking *a, tp_math math, questions *q,
                     int32_t *const labels[TP_N_READINGS], double *scores) {
    const tp_prompts *p = &q->prompts;
    int n_labels = task->n_labels;
    tp_ids *answers = tp_alloc((size_t)(n_labels + 1) * sizeof *answers),
           *written = tp_alloc((size_t)p->n * sizeof *written);
    int64_t longest = task->kind == TP_TASK_TEXT ? TP_LONGEST_FREE_ANSWER : 0;
    for (int i = 0; i < n_labels; i++) {
        answers[i] = *tp_layout_label(a->layout, i); /* the ids stay the layout's */
        if ((int64_t)answers[i].len > longest) longest = (int64_t)answers[i].len;
    }
    int32_t *best = labels[TP_READ_SCORE], *named = labels[TP_READ_GENERATE];
    tp_status status =
        best ? tp_answer_both_ways(a->lm, math, p, answers, n_labels, best, scores, named ? longest : 0, written)
             : tp_generate_greedy(a->lm, math, p, longest, written);
    if (status == TP_OK && named) read_written(task, a, q, written, named);
    for (int64_t i = 0; i < p->n; i++) tp_ids_free(&written[i]);
    tp_free(answers);
    tp_free(written);
    return status;
}

tp_status tp_ask_prompts(const tp_task *task, const tp_asking *asking, tp_math math, const tp_prompts *prompts,
                         tp_reading reading, int32_t *labels, double *scores) {
    int32_t *wanted[TP_N_READINGS] = {NULL};
    wanted[reading] = labels;
    return ask(task, asking, math, &(questions){.prompts = *prompts}, wanted, scores);
}

/* Free answers are only written: there are no labels to score. */
static bool takes_reading(const tp_eval *eval, tp_reading reading) {
    return reading == TP_READ_GENERATE || eval->task->kind != TP_TASK_TEXT;
}

/* ---- all rows ---- */

/* Labels of the first n rows of a split; of readings whose labels are NULL nothing is computed. scores [n, n_labels] is
 * filled by the reading of that name, and may be NULL. */
static tp_status ask_rows(tp_eval *eval, const tp_asking *a, const tp_dataset *set, size_t n,
                          int32_t *const labels[TP_N_READINGS], double *scores, int64_t *n_truncated,
                          tp_free_marks *marks, bool show) {
    tp_tape *tape = frozen_tape(eval);
    tp_kv_cache *head;
    tp_status status = read_head(a, tape->math, false, &head);
    for (size_t from = 0; from < n && status == TP_OK; from += TP_ASK_BATCH) {
        int64_t some = n - from < TP_ASK_BATCH ? (int64_t)(n - from) : TP_ASK_BATCH, items[TP_ASK_BATCH];
        for (int64_t i = 0; i < some; i++) items[i] = (int64_t)from + i;
        questions q = {.marks = marks};
        status = make_prompts(eval, a, tape, head, set, items, some, NULL, &q, n_truncated);
        double *mine = scores ? scores + from * (size_t)eval->task->n_labels : NULL;
        int32_t *here[TP_N_READINGS] = {NULL};
        for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS; r++) here[r] = labels[r] ? labels[r] + from : NULL;
        if (status == TP_OK) status = ask(eval->task, a, tape->math, &q, here, mine);
        if (show) tp_progress_update(eval->progress, (double)(from + (size_t)some), 0, "%s", "");
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    tp_kv_cache_free(head);
    tp_tape_free(tape);
    return status;
}

tp_status tp_ask_accuracy(tp_eval *eval, const tp_asking *asking, const tp_dataset *set, size_t n, double *accuracy) {
    int32_t *labels = tp_alloc(n * sizeof *labels);
    int64_t n_truncated = 0, right = 0;
    tp_status status = ask_rows(eval, asking, set, n, (int32_t *[TP_N_READINGS]){[TP_READ_SCORE] = labels}, NULL,
                                &n_truncated, NULL, false);
    for (size_t i = 0; i < n; i++) right += labels[i] == set->examples[i].label;
    *accuracy = n > 0 ? (double)right / (double)n : 0;
    tp_free(labels);
    return status;
}

tp_status tp_ask_scores(tp_eval *eval, const tp_asking *asking, const tp_dataset *set, size_t n, double *scores) {
    int32_t *labels = tp_alloc(n * sizeof *labels);
    int64_t n_truncated = 0;
    tp_status status = ask_rows(eval, asking, set, n, (int32_t *[TP_N_READINGS]){[TP_READ_SCORE] = labels}, scores,
                                &n_truncated, NULL, false);
    tp_free(labels);
    return status;
}

/* ---- times ---- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t n) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Row k of m that are spread evenly over the test split. */
static int64_t spread(const tp_eval *eval, int64_t k, int64_t m) {
    return k * (int64_t)eval->task->test.n / m;
}

/* Asks some test rows in one reading, everything anew: ms gets the phases' times, summed over the rows. */
static tp_status ask_measured(tp_eval *eval, const tp_asking *a, tp_tape *tape, tp_reading reading,
                              const int64_t *items, int64_t n, double *ms) {
    int32_t labels[TP_ASK_BATCH], *wanted[TP_N_READINGS] = {NULL};
    int64_t ignored = 0;
    questions q = {.marks = NULL};
    tp_kv_cache *head;
    wanted[reading] = labels;
    double began = tp_now();
    TP_TRY(read_head(a, tape->math, true, &head));
    double reading_head = tp_now() - began;
    tp_status status = make_prompts(eval, a, tape, head, &eval->task->test, items, n, ms, &q, &ignored);
    began = tp_now();
    if (status == TP_OK) status = ask(eval->task, a, tape->math, &q, wanted, NULL);
    ms[a->phase] += (reading_head + tp_now() - began) * 1e3;
    tp_kv_cache_free(head);
    return status;
}

/* One text at a time, or eval->timed_batch of them: the median of each phase over a sample, per text, behind a few that
 * warm up. */
static tp_status time_single(tp_eval *eval, const tp_asking *a, tp_tape *tape, tp_reading reading, tp_answers *out) {
    int64_t n_test = (int64_t)eval->task->test.n, n = eval->n_timed < n_test ? eval->n_timed : n_test;
    int64_t batch = eval->timed_batch > 1 ? eval->timed_batch : 1;
    if (batch > TP_ASK_BATCH) batch = TP_ASK_BATCH;
    if (batch > n_test) batch = n_test;
    if (n > MOST_TIMED) n = MOST_TIMED;
    double *samples = tp_alloc((size_t)(TP_N_PHASES * n) * sizeof *samples);
    bool used[TP_N_PHASES] = {false};
    tp_status status = TP_OK;
    for (int64_t k = -WARM_UP; k < n && status == TP_OK; k++) {
        int64_t items[TP_ASK_BATCH];
        for (int64_t i = 0; i < batch; i++) items[i] = (spread(eval, k < 0 ? 0 : k, n) + i) % n_test;
        double ms[TP_N_PHASES] = {0};
        status = ask_measured(eval, a, tape, reading, items, batch, ms);
        for (int p = 0; k >= 0 && p < TP_N_PHASES; p++) {
            samples[p * n + k] = ms[p] / (double)batch;
            used[p] = used[p] || ms[p] > 0;
        }
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    for (int p = 0; status == TP_OK && p < TP_N_PHASES; p++)
        if (used[p]) out->ms[p] = median(samples + p * n, n);
    tp_free(samples);
    return status;
}

/* In batches: how many texts a second go the whole way, on a sample. */
static tp_status time_batches(tp_eval *eval, const tp_asking *a, tp_tape *tape, tp_reading reading, tp_answers *out) {
    int64_t n_test = (int64_t)eval->task->test.n, some = n_test < TP_ASK_BATCH ? n_test : TP_ASK_BATCH, asked = 0;
    double seconds = 0;
    for (int64_t b = 0; b < TIMED_BATCHES; b++) {
        int64_t items[TP_ASK_BATCH];
        double ms[TP_N_PHASES] = {0};
        for (int64_t i = 0; i < some; i++) items[i] = spread(eval, b + i * TIMED_BATCHES, some * TIMED_BATCHES);
        double began = tp_now();
        TP_TRY(ask_measured(eval, a, tape, reading, items, some, ms));
        seconds += tp_now() - began;
        asked += some;
        TP_TRY(tp_eval_stopped(eval));
    }
    out->per_second = seconds > 0 ? (double)asked / seconds : NAN;
    return TP_OK;
}

static tp_status take_times(tp_eval *eval, const tp_asking *a, tp_method_result *result) {
    if (eval->n_timed <= 0) return TP_OK;
    tp_tape *tape = frozen_tape(eval);
    tp_status status = TP_OK;
    for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS && status == TP_OK; r++) {
        if (!takes_reading(eval, r)) continue;
        status = time_single(eval, a, tape, r, &result->readings[r]);
        if (status == TP_OK && eval->timed_batch == 0) status = time_batches(eval, a, tape, r, &result->readings[r]);
    }
    tp_tape_free(tape);
    return status;
}

/* What free answers show, in front of what is noted already. */
static void note_marks(const tp_eval *eval, const tp_free_marks *marks, tp_method_result *result) {
    char *note = tp_free_marks_note(marks, eval->task), *older = result->note;
    if (note == NULL) return;
    result->note = tp_format("%s%s%s", note, older ? "; " : "", older ? older : "");
    tp_free(note);
    tp_free(older);
}

tp_status tp_ask_all(tp_eval *eval, const tp_asking *asking, tp_method_result *result) {
    /* a choice's answer means another option in each row, and a free answer is judged by each row's own */
    bool once = asking->constant && eval->task->kind == TP_TASK_CLASSES;
    size_t n = eval->task->test.n, asked = once && n > 0 ? 1 : n;
    int32_t *labels[TP_N_READINGS] = {NULL};
    tp_free_marks marks = {0};
    for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS; r++) {
        if (!takes_reading(eval, r)) continue;
        result->readings[r].predictions = tp_predictions_new(n);
        labels[r] = result->readings[r].predictions.labels;
    }
    tp_progress_begin(eval->progress, eval->doing, (double)asked, "texts", NULL);
    tp_status status =
        ask_rows(eval, asking, &eval->task->test, asked, labels, asking->scores, &result->n_truncated, &marks, true);
    if (status == TP_OK) note_marks(eval, &marks, result);
    tp_free_marks_free(&marks);
    TP_TRY(status);
    tp_progress_end(eval->progress);
    for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS; r++)
        for (size_t i = asked; labels[r] && i < n; i++) labels[r][i] = labels[r][0];
    return n > 0 && !asking->untimed ? take_times(eval, asking, result) : TP_OK;
}
