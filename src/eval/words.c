/* TF-IDF and logistic regression with LIBLINEAR. See words.h.
 *
 * The solver is the dual coordinate descent of Yu, Huang and Lin (Machine Learning 85, 2011): on these tasks it needs a
 * third of the time of the primal Newton method for the same accuracy. It draws from rand(), so it runs on one thread
 * with a generator state of its own: results are the same every time, and the caller's sequence goes on undisturbed. */
#include "eval/words.h"

#include "base/mem.h"
#include "eval/tfidf.h"

#include <linear.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const double penalties[] = {1, 4, 16};
enum { N_PENALTIES = sizeof penalties / sizeof penalties[0] };

typedef struct linear_fit {
    double *weights; /* [n_problems, n_features]; features include the bias */
    size_t n_features;
    int32_t n_labels, n_problems; /* each label against the rest; with two labels, the first against the second */
} linear_fit;

static void say_nothing(const char *text) {
    (void)text;
}

/* Fits weights that tell label l from the rest. */
static void fit_label(linear_fit *fit, int32_t l, struct feature_node **rows, const int32_t *labels, size_t n,
                      double penalty) {
    double *weights = fit->weights + (size_t)l * fit->n_features;
    double *y = tp_alloc(n * sizeof *y);
    size_t positive = 0;
    for (size_t i = 0; i < n; i++) {
        y[i] = labels[i] == l ? 1 : -1;
        positive += labels[i] == l;
    }
    if (positive == 0 || positive == n) { /* nothing to tell apart: never, or always */
        memset(weights, 0, fit->n_features * sizeof *weights);
        weights[fit->n_features - 1] = positive ? INFINITY : -INFINITY;
    } else {
        struct problem problem = {.l = (int)n, .n = (int)fit->n_features, .y = y, .x = rows, .bias = 1};
        struct parameter parameter = {.solver_type = L2R_LR_DUAL, .eps = 0.1, .C = penalty};
        struct model *model = train(&problem, &parameter);
        double sign = model->label[0]; /* the class of the first row counts as positive there */
        for (size_t k = 0; k < fit->n_features; k++) weights[k] = sign * model->w[k];
        free_and_destroy_model(&model);
    }
    tp_free(y);
}

static void fit_all(linear_fit *fit, struct feature_node **rows, const int32_t *labels, size_t n, double penalty) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* there is one rand() in a program */
    char state[128];
    pthread_mutex_lock(&one_at_a_time);
    char *callers = initstate(1, state, sizeof state);
    set_print_string_function(say_nothing);
    for (int32_t l = 0; l < fit->n_problems; l++) fit_label(fit, l, rows, labels, n, penalty);
    setstate(callers);
    pthread_mutex_unlock(&one_at_a_time);
}

static int32_t predict_row(const linear_fit *fit, const struct feature_node *row) {
    int32_t best = 0;
    double highest = -INFINITY;
    for (int32_t l = 0; l < fit->n_problems; l++) {
        const double *weights = fit->weights + (size_t)l * fit->n_features;
        double score = 0;
        for (const struct feature_node *x = row; x->index > 0; x++) score += weights[x->index - 1] * x->value;
        if (score > highest) highest = score, best = l;
    }
    return fit->n_labels == 2 ? !(highest > 0) : best;
}

static size_t count_right(const linear_fit *fit, struct feature_node **rows, const int32_t *labels, size_t n) {
    size_t right = 0;
    for (size_t i = 0; i < n; i++) right += predict_row(fit, rows[i]) == labels[i];
    return right;
}

/* The vectors of n texts with the weights as they are now fitted; each replaces the one that stood there. */
static void make_vectors(const tp_tfidf *tfidf, tp_gram_count *const *counts, struct feature_node **rows, size_t n) {
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        tp_free(rows[i]);
        rows[i] = tp_tfidf_vector(tfidf, counts[i]);
    }
}

tp_status tp_words_classify(const tp_task *task, tp_predictions *out) {
    *out = (tp_predictions){0};
    const tp_dataset *splits[] = {&task->train, &task->valid, &task->test};
    size_t n_train = task->train.n, n_fit = n_train + task->valid.n, n_all = n_fit + task->test.n;
    tp_tfidf *tfidf = tp_tfidf_new();
    tp_gram_count **counts = tp_alloc(n_all * sizeof *counts);
    struct feature_node **rows = tp_alloc(n_all * sizeof *rows);
    int32_t *labels = tp_alloc(n_all * sizeof *labels);
    for (size_t s = 0, i = 0; s < 3; s++)
        for (size_t k = 0; k < splits[s]->n; k++, i++) {
            const tp_example *e = &splits[s]->examples[k];
            counts[i] = tp_tfidf_count(tfidf, e->text, e->len, i < n_fit);
            labels[i] = e->label;
        }
    linear_fit fit = {.n_labels = task->n_labels,
                      .n_problems = task->n_labels == 2 ? 1 : task->n_labels,
                      .n_features = tp_tfidf_size(tfidf) + 1};
    fit.weights = tp_try_alloc((size_t)fit.n_problems * fit.n_features, sizeof *fit.weights);
    tp_status status = fit.weights ? TP_OK : tp_last_status();
    if (status == TP_OK) {
        double best = penalties[0];
        tp_tfidf_fit(tfidf, counts, n_train);
        make_vectors(tfidf, counts, rows, n_fit);
        for (size_t c = 0, most = 0; c < N_PENALTIES && task->valid.n > 0; c++) {
            fit_all(&fit, rows, labels, n_train, penalties[c]);
            size_t right = count_right(&fit, rows + n_train, labels + n_train, task->valid.n);
            if (right > most) most = right, best = penalties[c];
        }
        tp_tfidf_fit(tfidf, counts, n_fit);
        make_vectors(tfidf, counts, rows, n_all);
        fit_all(&fit, rows, labels, n_fit, best);
        *out = tp_predictions_new(task->test.n);
        for (size_t i = 0; i < task->test.n; i++) out->labels[i] = predict_row(&fit, rows[n_fit + i]);
    }
    for (size_t i = 0; i < n_all; i++) {
        tp_free(counts[i]);
        tp_free(rows[i]);
    }
    tp_free(counts);
    tp_free(rows);
    tp_free(labels);
    tp_free(fit.weights);
    tp_tfidf_free(tfidf);
    return status;
}
