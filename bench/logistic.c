/* The probe's logistic regression at the size of the largest task: time of a fit and of a step. */
#include "eval/logistic.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>

int main(void) {
    enum { N = 60000, D = 256, CLASSES = 77 };
    float *x = tp_alloc((size_t)N * D * sizeof *x);
    int32_t *y = tp_alloc(N * sizeof *y);
    tp_rng rng = tp_rng_stream(1, "bench", 0);
    for (size_t i = 0; i < N; i++) y[i] = (int32_t)tp_rng_below(&rng, CLASSES);
    for (size_t i = 0; i < (size_t)N * D; i++)
        x[i] = (float)tp_rng_normal(&rng) + (i % D == (size_t)y[i / D] ? 3.0f : 0.0f);
    double start = tp_now();
    tp_logistic *m;
    if (tp_logistic_fit(x, y, N, D, CLASSES, 1e-4, &m) != TP_OK) return 1;
    double seconds = tp_now() - start;
    printf("%d rows, %d inputs, %d classes: %.1f s, %d steps, %.0f ms a step, loss %.4f, gradient %.1e\n", N, D,
           CLASSES, seconds, m->n_steps, 1e3 * seconds / (m->n_steps + 1), m->loss, m->gradient);
    tp_logistic_free(m);
    tp_free(x);
    tp_free(y);
    return 0;
}
