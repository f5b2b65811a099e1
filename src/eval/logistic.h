/* Dense multinomial logistic regression: the linear probe that says what a hidden state holds about the label.
 *
 * Inputs are standardised with the mean and standard deviation of the rows fitted. Minimised is
 *     mean over rows of -log softmax(W x + b)[y]  +  l2 / 2 * |W|^2
 * (the bias is free), by L-BFGS (Liu and Nocedal, Mathematical Programming 45, 1989). */
#ifndef TP_EVAL_LOGISTIC_H
#define TP_EVAL_LOGISTIC_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tp_logistic {
    size_t d;
    int32_t n_classes;
    double l2;
    float *mean, *scale;   /* [d]; an input is (x - mean) * scale; scale is 0 where the fitted rows do not vary */
    float *weights;        /* [n_classes, d], of standardised inputs */
    float *bias;           /* [n_classes] */
    int n_steps;           /* of L-BFGS */
    double loss, gradient; /* at the end: what is minimised, and the largest entry of its gradient */
} tp_logistic;

/* Fits x [n, d] with labels y [n] in 0..n_classes-1. A number that is not finite, or a label outside, is an error that
 * names the row. Free *out with tp_logistic_free. */
tp_status tp_logistic_fit(const float *x, const int32_t *y, size_t n, size_t d, int32_t n_classes, double l2,
                          tp_logistic **out);

/* Chooses the penalty: fits the first n_train rows with each of 1e-1 ... 1e-5, takes the one that is right most often
 * on the n_valid rows behind them (of equals the strongest), and fits all rows with it. Without validation rows: 1e-3.
 */
tp_status tp_logistic_fit_best(const float *x, const int32_t *y, size_t n_train, size_t n_valid, size_t d,
                               int32_t n_classes, tp_logistic **out);

/* The likeliest class of each row of x [n, d] into labels [n]. */
void tp_logistic_predict(const tp_logistic *model, const float *x, size_t n, int32_t *labels);

/* log P(class) of each row of x [n, d], in nats, into out [n, n_classes]. */
void tp_logistic_log_probabilities(const tp_logistic *model, const float *x, size_t n, double *out);

void tp_logistic_free(tp_logistic *model); /* takes NULL */

#endif
