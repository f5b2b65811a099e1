/* Joint rescoring: the receiver scores the labels once from the text and once from the bridge's soft tokens, and the
 * two scores are added, the soft tokens' with a weight w and the text's with 1 - w. The weight is the best of eleven
 * from 0 to 1 on the validation split, of equals 0, then 1, then the smallest: what w is worth says whether the packet
 * adds anything to the text, and a mixture has to be better than its parts.
 *
 * The scores of the test rows are those of the two methods alone where these have run and kept them; a weight of 0 or 1
 * needs their answers only. Its time is theirs together, if they were measured. */
#include "base/mem.h"
#include "eval/latent.h"
#include "eval/results.h"
#include "eval/texts.h"

#include <string.h>

enum { N_WEIGHTS = 11 };

static size_t n_scores(const tp_eval *eval, size_t rows) {
    return rows * (size_t)eval->task->n_labels;
}

static void mix(double *out, const double *text, const double *soft, size_t n, double weight) {
    for (size_t i = 0; i < n; i++) out[i] = (1 - weight) * text[i] + weight * soft[i];
}

/* The likeliest label of each row of mixed scores. */
static void answer_rows(const tp_eval *eval, const double *text, const double *soft, size_t n, double weight,
                        int32_t *labels) {
    int n_labels = eval->task->n_labels;
    double *row = tp_alloc((size_t)n_labels * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        mix(row, text + n_scores(eval, i), soft + n_scores(eval, i), (size_t)n_labels, weight);
        labels[i] = tp_best_score(row, n_labels);
    }
    tp_free(row);
}

static double best_weight(const tp_eval *eval, const double *text, const double *soft, size_t n) {
    int32_t *labels = tp_alloc((n + 1) * sizeof *labels);
    size_t most = 0;
    double best = 0.5;
    for (int w = 0; w < N_WEIGHTS && n > 0; w++) {
        double weight = w == 0 ? 0 : w == 1 ? 1 : (double)(w - 1) / (N_WEIGHTS - 1);
        size_t right = 0;
        answer_rows(eval, text, soft, n, weight, labels);
        for (size_t i = 0; i < n; i++) right += labels[i] == eval->task->valid.examples[i].label;
        if (w == 0 || right > most) most = right, best = weight;
    }
    tp_free(labels);
    return best;
}

/* ---- the two scores ---- */

static tp_status text_scores(tp_eval *eval, const tp_dataset *set, size_t n, double *scores, char **note) {
    tp_layout *layout = tp_texts_layout(eval, eval->relay->receiver, note);
    if (layout == NULL) return tp_last_status();
    tp_asking asking = {.lm = eval->relay->receiver, .layout = layout, .phase = TP_PHASE_RECEIVER};
    tp_status status = tp_ask_scores(eval, &asking, set, n, scores);
    tp_layout_free(layout);
    return status;
}

static tp_status soft_scores(tp_eval *eval, const tp_dataset *set, size_t n, double *scores) {
    tp_eval there = *eval; /* whose states are those of that split */
    bool test = set == &eval->task->test;
    if (!test) there.test_states = tp_state_cache_new(&eval->relay->tap, set->examples, n, TP_CACHE_NONE, 0, NULL);
    if (there.test_states == NULL) return tp_last_status();
    tp_latent latent = tp_latent_new(eval);
    tp_asking asking = tp_latent_asking(eval, &latent);
    tp_status status = tp_ask_scores(&there, &asking, set, n, scores);
    tp_latent_free(&latent);
    if (!test) tp_state_cache_free(there.test_states);
    return status;
}

/* Both of the test rows, kept or made now. */
static tp_status test_scores(tp_eval *eval) {
    const tp_dataset *test = &eval->task->test;
    tp_kept *kept = eval->kept;
    if (kept->text_scores == NULL) {
        char *note = NULL;
        double *scores = tp_try_alloc(n_scores(eval, test->n), sizeof *scores);
        tp_status status = scores ? text_scores(eval, test, test->n, scores, &note) : tp_last_status();
        tp_free(note);
        kept->text_scores = scores;
        TP_TRY(status);
    }
    if (kept->soft_scores && strcmp(kept->soft_of, eval->relay->trained->fingerprint) == 0) return TP_OK;
    double *scores = tp_latent_new_scores(eval);
    return scores ? soft_scores(eval, test, test->n, scores) : tp_last_status();
}

/* ---- as a method ---- */

/* The sum of the times of the two, where both were measured. */
static void add_times(const tp_eval *eval, tp_answers *out) {
    const tp_method *const parts[] = {&tp_method_receiver, &tp_method_bridge};
    for (int k = 0; k < 2; k++) {
        const tp_method_result *part = eval->found ? tp_results_get(eval->found, parts[k]) : NULL;
        if (part == NULL) return;
    }
    for (int p = 0; p < TP_N_PHASES; p++) {
        const tp_answers *text = &tp_results_get(eval->found, parts[0])->readings[TP_READ_SCORE];
        const tp_answers *soft = &tp_results_get(eval->found, parts[1])->readings[TP_READ_SCORE];
        out->ms[p] = p == TP_PHASE_RECEIVER ? text->ms[p] + soft->ms[p] : soft->ms[p];
    }
}

/* The answers of the one method that a weight of 0 or 1 leaves, if they are known. */
static const int32_t *known_answers(const tp_eval *eval, double weight) {
    const tp_method *left = weight == 0 ? &tp_method_receiver : weight == 1 ? &tp_method_bridge : NULL;
    const tp_method_result *found = left && eval->found ? tp_results_get(eval->found, left) : NULL;
    return found ? found->readings[TP_READ_SCORE].predictions.labels : NULL;
}

static tp_status rescore(tp_eval *eval, double *valid_text, double *valid_soft, size_t n_valid,
                         tp_method_result *result) {
    const tp_dataset *test = &eval->task->test;
    TP_TRY(text_scores(eval, &eval->task->valid, n_valid, valid_text, &result->note));
    TP_TRY(soft_scores(eval, &eval->task->valid, n_valid, valid_soft));
    double weight = best_weight(eval, valid_text, valid_soft, n_valid);
    const int32_t *known = known_answers(eval, weight);
    if (known == NULL) TP_TRY(test_scores(eval));
    tp_answers *answers = &result->readings[TP_READ_SCORE];
    answers->predictions = tp_predictions_new(test->n);
    int32_t *labels = answers->predictions.labels;
    if (known)
        memcpy(labels, known, test->n * sizeof *labels);
    else
        answer_rows(eval, eval->kept->text_scores, eval->kept->soft_scores, test->n, weight, labels);
    add_times(eval, answers);
    result->setting = tp_format("the soft tokens' score weighs %g, the text's %g", weight, 1 - weight);
    result->bytes = tp_texts_mean_bytes(test) + tp_latent_bytes(eval->relay);
    return TP_OK;
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    size_t n_valid = tp_ask_valid_rows(eval), n = n_scores(eval, n_valid);
    double *text = tp_alloc((n + 1) * sizeof *text), *soft = tp_alloc((n + 1) * sizeof *soft);
    tp_status status = rescore(eval, text, soft, n_valid, result);
    tp_free(text);
    tp_free(soft);
    return status;
}

const tp_method tp_method_joint = {.name = "joint",
                                   .title = "bridge and text together",
                                   .group = TP_GROUP_BRIDGE,
                                   .needs = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE | TP_NEEDS_TRAINING,
                                   .seeded = true,
                                   .run = run};
