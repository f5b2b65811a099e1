/* t-SNE: points of many dimensions on a plane, such that neighbours stay neighbours (van der Maaten and Hinton, JMLR 9,
 * 2008). The exact form: every pair of points counts, in time and memory n^2, which is meant for n <= 1000. */
#ifndef TP_ANALYSIS_TSNE_H
#define TP_ANALYSIS_TSNE_H

#include <stddef.h>
#include <stdint.h>

typedef struct tp_tsne_options {
    double perplexity; /* how many neighbours a point has, so to speak; at most (n - 1) / 3 is used */
    int steps;         /* of gradient descent; 0: 1000 */
    int starts;        /* the best of so many descents is taken; 0: 4 */
    uint64_t seed;     /* of the random starts */
} tp_tsne_options;

/* The places y [n, 2] of x [n, d] by gradient descent: once from the first two principal axes, then from random places,
 * since descents end in different valleys; the one of least divergence KL(P || Q) counts, which is returned, in nats.
 * `perplexity` (may be NULL) gets the one that was used. Deterministic. */
double tp_tsne(const float *x, size_t n, size_t d, const tp_tsne_options *options, double *y, double *perplexity);

/* ---- its parts, for tests ---- */

/* How much each pair of points belongs together, p [n, n]: symmetric, zeros on the diagonal, of sum 1. Each point's
 * bandwidth is searched by bisection so that its neighbours' entropy is log(perplexity). */
void tp_tsne_affinities(const float *x, size_t n, size_t d, double perplexity, double *p);

/* The gradient [n, 2] of KL(exaggeration * p || q) at y [n, 2], equation 5 of the paper; scratch [n, n]. */
void tp_tsne_gradient(const double *p, const double *y, size_t n, double exaggeration, double *scratch,
                      double *gradient);

/* KL(p || q) at y, in nats. */
double tp_tsne_divergence(const double *p, const double *y, size_t n);

#endif
