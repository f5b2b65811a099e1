/* How much a packet says about the label, in bits. See packet_probe.h.
 *
 * I(label; packet) = H(label) - H(label | packet), and no classifier's cross-entropy is below the latter. The entropy
 * is that of the test labels' own frequencies. Per text the bound is log2 q(label | packet) - log2 p(label), so that
 * its interval comes from resampling texts. */
#include "analysis/packet_probe.h"
#include "base/mem.h"
#include "eval/logistic.h"

#include <math.h>

/* Mean of -log q(label) in nats over n rows. With `each` (NULL: not wanted) every row's own. */
static double cross_entropy(const tp_logistic *model, const float *x, const int32_t *labels, size_t n, double *each,
                            size_t *n_right) {
    size_t classes = (size_t)model->n_classes, right = 0;
    double *logs = tp_alloc(n * classes * sizeof *logs), sum = 0;
    tp_logistic_log_probabilities(model, x, n, logs);
    for (size_t i = 0; i < n; i++) {
        const double *row = logs + i * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        right += best == (size_t)labels[i];
        sum -= row[labels[i]];
        if (each) each[i] = -row[labels[i]];
    }
    tp_free(logs);
    if (n_right) *n_right = right;
    return sum / (double)n;
}

static tp_status choose_penalty(const float *x, size_t d, const int32_t *labels, int32_t n_labels, const size_t n[3],
                                double *best) {
    static const double penalties[] = {10, 1, 1e-1, 1e-2, 1e-3, 1e-4};
    double least = INFINITY;
    *best = 1e-1;
    for (size_t k = 0; k < sizeof penalties / sizeof penalties[0] && n[1] > 0; k++) {
        tp_logistic *model;
        TP_TRY(tp_logistic_fit(x, labels, n[0], d, n_labels, penalties[k], &model));
        double loss = cross_entropy(model, x + n[0] * d, labels + n[0], n[1], NULL, NULL);
        if (loss < least) least = loss, *best = penalties[k];
        tp_logistic_free(model);
    }
    return TP_OK;
}

tp_status tp_measure_information(const float *x, size_t d, const int32_t *labels, int32_t n_labels, const size_t n[3],
                                 uint64_t seed, tp_label_information *out) {
    size_t n_fit = n[0] + n[1], right;
    const int32_t *truth = labels + n_fit;
    *out = (tp_label_information){0};
    tp_logistic *model;
    TP_TRY(choose_penalty(x, d, labels, n_labels, n, &out->l2));
    TP_TRY(tp_logistic_fit(x, labels, n_fit, d, n_labels, out->l2, &model));
    double *values = tp_alloc(n[2] * sizeof *values), *shares = tp_alloc((size_t)n_labels * sizeof *shares);
    for (size_t i = 0; i < n[2]; i++) shares[truth[i]] += 1 / (double)n[2];
    out->cross_entropy = cross_entropy(model, x + n_fit * d, truth, n[2], values, &right) / M_LN2;
    for (size_t i = 0; i < n[2]; i++) {
        double surprise = -log2(shares[truth[i]]);
        out->entropy += surprise / (double)n[2];
        values[i] = surprise - values[i] / M_LN2;
    }
    out->bits = out->entropy - out->cross_entropy;
    out->accuracy = (double)right / (double)n[2];
    out->interval = tp_bootstrap(values, n[2], TP_BOOTSTRAP_RESAMPLES, 0.95, seed);
    tp_free(values);
    tp_free(shares);
    tp_logistic_free(model);
    return TP_OK;
}
