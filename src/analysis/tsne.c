/* Exact t-SNE. See tsne.h.
 *
 * As in the paper: Gaussian affinities of a fixed perplexity, made symmetric; Student's t on the plane; gradient
 * descent with momentum and with a gain for each coordinate. Three habits came later and are common now: the affinities
 * are exaggerated for the first quarter, the learning rate is n / 48 but at least 50 (Belkina et al., Nature
 * Communications 10, 2019), and the first start is the principal axes made small (Kobak and Berens, ibid.), so that
 * what is far apart has a reason to be. */
#include "analysis/tsne.h"

#include "analysis/pca.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { STEPS = 1000, STARTS = 4, BISECTIONS = 100 };
static const double exaggeration = 12, early_momentum = 0.5, late_momentum = 0.8, smallest_gain = 0.01;
static const double smallest = 1e-300; /* keeps logarithms of what underflowed finite */

/* ---- affinities ---- */

/* Squared distances [n, n]. */
static void distances(const float *x, size_t n, size_t d, double *out) {
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t i = 0; i < n; i++) {
        out[i * n + i] = 0;
        for (size_t j = 0; j < i; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++) {
                double away = (double)x[i * d + k] - (double)x[j * d + k];
                sum += away * away;
            }
            out[i * n + j] = out[j * n + i] = sum;
        }
    }
}

/* Row i's neighbours' probabilities for a precision, and their entropy in nats. */
static double neighbours(const double *distance, size_t n, size_t i, double nearest, double precision, double *p) {
    double sum = 0, weighted = 0;
    for (size_t j = 0; j < n; j++) {
        double away = distance[j] - nearest; /* a factor that cancels, and keeps the exponentials in range */
        p[j] = j == i ? 0 : exp(-precision * away);
        sum += p[j];
        weighted += p[j] * away;
    }
    for (size_t j = 0; j < n; j++) p[j] /= sum;
    return log(sum) + precision * weighted / sum;
}

/* Bisection for the precision whose entropy is the wanted one: entropy falls as precision grows. */
static void fit_row(const double *distance, size_t n, size_t i, double entropy, double *p) {
    double low = 0, high = INFINITY, precision = 1, nearest = INFINITY, mean = 0;
    for (size_t j = 0; j < n; j++)
        if (j != i) nearest = fmin(nearest, distance[j]), mean += distance[j];
    if (mean > 0) precision = (double)(n - 1) / mean;
    for (int step = 0; step < BISECTIONS; step++) {
        double off = neighbours(distance, n, i, nearest, precision, p) - entropy;
        if (fabs(off) < 1e-10) break;
        if (off > 0)
            low = precision;
        else
            high = precision;
        precision = isinf(high) ? 2 * precision : (low + high) / 2;
        if (precision > 1e300) break; /* equal points: no precision tells them apart */
    }
}

void tp_tsne_affinities(const float *x, size_t n, size_t d, double perplexity, double *p) {
    double *distance = tp_alloc(n * n * sizeof *distance);
    distances(x, n, d, distance);
    double entropy = log(perplexity), sum = 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) fit_row(distance + i * n, n, i, entropy, p + i * n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double both = p[i * n + j] + p[j * n + i];
            p[i * n + j] = p[j * n + i] = both;
            sum += i == j ? 0 : 2 * both;
        }
    for (size_t k = 0; k < n * n; k++) p[k] /= sum;
    tp_free(distance);
}

/* ---- on the plane ---- */

/* Student's t of each pair, not normalised, into t [n, n]; returns the sum over pairs. */
static double similarities(const double *y, size_t n, double *t) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        t[i * n + i] = 0;
        for (size_t j = 0; j < i; j++) {
            double a = y[2 * i] - y[2 * j], b = y[2 * i + 1] - y[2 * j + 1];
            double value = 1 / (1 + a * a + b * b);
            t[i * n + j] = t[j * n + i] = value;
            sum += 2 * value;
        }
    }
    return sum;
}

void tp_tsne_gradient(const double *p, const double *y, size_t n, double factor, double *scratch, double *gradient) {
    double sum = similarities(y, n, scratch);
    for (size_t i = 0; i < n; i++) {
        const double *t = scratch + i * n, *own = p + i * n;
        double a = 0, b = 0;
        for (size_t j = 0; j < n; j++) {
            double pull = (factor * own[j] - t[j] / sum) * t[j];
            a += pull * (y[2 * i] - y[2 * j]);
            b += pull * (y[2 * i + 1] - y[2 * j + 1]);
        }
        gradient[2 * i] = 4 * a;
        gradient[2 * i + 1] = 4 * b;
    }
}

double tp_tsne_divergence(const double *p, const double *y, size_t n) {
    double *t = tp_alloc(n * n * sizeof *t), sum = similarities(y, n, t), divergence = 0;
    for (size_t k = 0; k < n * n; k++)
        if (p[k] > 0) divergence += p[k] * log(p[k] / fmax(t[k] / sum, smallest));
    tp_free(t);
    return divergence;
}

/* Start 0: the first two principal axes, the first of deviation 1e-4, with a hundredth of that as noise, which tells
 * equal points apart. Others: noise of deviation 1e-4. */
static void start(const float *x, size_t n, size_t d, int number, uint64_t seed, double *y) {
    double explained[2], square = 0;
    tp_rng rng = tp_rng_stream(seed, "t-SNE", (uint64_t)number);
    memset(y, 0, 2 * n * sizeof *y);
    if (number == 0) tp_pca(x, n, d, 2, y, explained);
    for (size_t i = 0; i < n; i++) square += y[2 * i] * y[2 * i];
    double factor = square > 0 ? 1e-4 / sqrt(square / (double)n) : 0, noise = number == 0 ? 1e-6 : 1e-4;
    for (size_t i = 0; i < 2 * n; i++) y[i] = factor * y[i] + noise * tp_rng_normal(&rng);
}

static void descend(const double *p, size_t n, int steps, double *y) {
    double rate = fmax((double)n / exaggeration / 4, 50);
    double *gradient = tp_alloc(2 * n * sizeof *gradient), *step = tp_alloc(2 * n * sizeof *step);
    double *gain = tp_alloc(2 * n * sizeof *gain), *scratch = tp_alloc(n * n * sizeof *scratch);
    for (size_t k = 0; k < 2 * n; k++) gain[k] = 1;
    for (int s = 0; s < steps; s++) {
        bool early = s < steps / 4;
        if (s == steps / 4)
            for (size_t k = 0; k < 2 * n; k++) gain[k] = 1, step[k] = 0;
        tp_tsne_gradient(p, y, n, early ? exaggeration : 1, scratch, gradient);
        double middle[2] = {0, 0};
        for (size_t k = 0; k < 2 * n; k++) {
            bool same_way = gradient[k] * step[k] < 0; /* a step goes against the gradient */
            gain[k] = fmax(same_way ? gain[k] + 0.2 : gain[k] * 0.8, smallest_gain);
            step[k] = (early ? early_momentum : late_momentum) * step[k] - rate * gain[k] * gradient[k];
            y[k] += step[k];
            middle[k % 2] += y[k] / (double)n;
        }
        for (size_t k = 0; k < 2 * n; k++) y[k] -= middle[k % 2];
    }
    tp_free(gradient);
    tp_free(step);
    tp_free(gain);
    tp_free(scratch);
}

double tp_tsne(const float *x, size_t n, size_t d, const tp_tsne_options *options, double *y, double *perplexity) {
    double most = ((double)n - 1) / 3, used = options->perplexity < most ? options->perplexity : most;
    memset(y, 0, 2 * n * sizeof *y);
    if (perplexity) *perplexity = used;
    if (n < 4) return 0; /* no point has neighbours to choose from */
    double *p = tp_alloc(n * n * sizeof *p);
    tp_tsne_affinities(x, n, d, used, p);
    double *tried = tp_alloc(2 * n * sizeof *tried), least = INFINITY;
    for (int k = 0; k < (options->starts > 0 ? options->starts : STARTS); k++) {
        start(x, n, d, k, options->seed, tried);
        descend(p, n, options->steps > 0 ? options->steps : STEPS, tried);
        double divergence = tp_tsne_divergence(p, tried, n);
        if (!(divergence < least)) continue;
        least = divergence;
        memcpy(y, tried, 2 * n * sizeof *tried);
    }
    tp_free(tried);
    tp_free(p);
    return least;
}
