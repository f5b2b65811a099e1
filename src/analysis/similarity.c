/* Cosines and sizes of soft tokens. See similarity.h.
 *
 * No pair of texts is ever looked at: with unit vectors u, the sum of the cosines between two classes is the product of
 * their sums of u, and within a class the square of its sum less the n pairs of a text with itself. */
#include "analysis/similarity.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Adds each text's unit packet, less `centre` (NULL: nothing), to its class's sum [n_labels, width]; counts them. */
static void sum_units(const tp_packets *p, const double *centre, int32_t n_labels, double *sums, double *counts) {
    size_t width = tp_packet_width(p);
    double *unit = tp_alloc(width * sizeof *unit);
    memset(sums, 0, (size_t)n_labels * width * sizeof *sums);
    memset(counts, 0, (size_t)n_labels * sizeof *counts);
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < width; k++) unit[k] = (double)p->soft[i * width + k] - (centre ? centre[k] : 0);
        double length = sqrt(dot(unit, unit, width));
        if (!(length > 0)) continue; /* a vector of zeros points nowhere */
        double *sum = sums + (size_t)p->labels[i] * width;
        for (size_t k = 0; k < width; k++) sum[k] += unit[k] / length;
        counts[p->labels[i]]++;
    }
    tp_free(unit);
}

/* From class sums to mean cosines: of each pair of classes into `classes` (NULL: not wanted), and over all pairs. */
static void mean_cosines(const double *sums, const double *counts, int32_t n_labels, size_t width, double *classes,
                         double *same, double *different) {
    double total[2] = {0, 0}, pairs[2] = {0, 0};
    for (int32_t a = 0; a < n_labels; a++)
        for (int32_t b = 0; b <= a; b++) {
            double own = a == b ? counts[a] : 0, n = counts[a] * counts[b] - own;
            double sum = dot(sums + (size_t)a * width, sums + (size_t)b * width, width) - own;
            if (classes) classes[a * n_labels + b] = classes[b * n_labels + a] = n > 0 ? sum / n : NAN;
            total[a != b] += sum;
            pairs[a != b] += n;
        }
    *same = pairs[0] > 0 ? total[0] / pairs[0] : NAN;
    *different = pairs[1] > 0 ? total[1] / pairs[1] : NAN;
}

static void compare_texts(const tp_packets *p, tp_similarity *out) {
    size_t width = tp_packet_width(p), n_labels = (size_t)out->n_labels;
    double *sums = tp_alloc(n_labels * width * sizeof *sums), *counts = tp_alloc(n_labels * sizeof *counts);
    double *centre = tp_alloc(width * sizeof *centre);
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < width; k++) centre[k] += (double)p->soft[i * width + k] / (double)p->n;
    for (int centred = 0; centred < 2; centred++) {
        sum_units(p, centred ? centre : NULL, out->n_labels, sums, counts);
        mean_cosines(sums, counts, out->n_labels, width, centred ? out->classes : NULL, &out->same_class[centred],
                     &out->different_class[centred]);
    }
    tp_free(centre);
    tp_free(sums);
    tp_free(counts);
}

/* Adds the cosines of one text's tokens to out->tokens, and their sizes to out->rms. */
static void compare_tokens(const float *soft, int64_t d, tp_similarity *out) {
    int64_t m = out->soft_tokens;
    double *length = tp_alloc((size_t)m * sizeof *length);
    for (int64_t i = 0; i < m; i++) {
        double square = 0;
        for (int64_t k = 0; k < d; k++) square += (double)soft[i * d + k] * soft[i * d + k];
        length[i] = sqrt(square);
        double rms = sqrt(square / (double)d);
        out->rms[i] += rms;
        out->rms_low = fmin(out->rms_low, rms);
        out->rms_high = fmax(out->rms_high, rms);
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            double product = 0, scale = length[i] * length[j];
            for (int64_t k = 0; k < d; k++) product += (double)soft[i * d + k] * soft[j * d + k];
            out->tokens[i * m + j] += scale > 0 ? product / scale : 0;
        }
    tp_free(length);
}

tp_similarity tp_similarity_of(const tp_packets *p, int32_t n_labels) {
    size_t m = (size_t)p->soft_tokens, labels = (size_t)n_labels;
    tp_similarity out = {.soft_tokens = p->soft_tokens,
                         .n_labels = n_labels,
                         .tokens = tp_alloc(m * m * sizeof(double)),
                         .classes = tp_alloc(labels * labels * sizeof(double)),
                         .rms = tp_alloc(m * sizeof(double)),
                         .rms_low = INFINITY};
    for (size_t i = 0; i < p->n; i++) compare_tokens(p->soft + i * tp_packet_width(p), p->d_receiver, &out);
    double off_diagonal = 0;
    for (size_t i = 0; i < m; i++) {
        out.rms[i] /= (double)p->n;
        for (size_t j = 0; j < m; j++) {
            out.tokens[i * m + j] /= (double)p->n;
            if (i != j) off_diagonal += out.tokens[i * m + j];
        }
    }
    out.within_text = m > 1 ? off_diagonal / (double)(m * (m - 1)) : NAN;
    compare_texts(p, &out);
    return out;
}

void tp_similarity_free(tp_similarity *similarity) {
    tp_free(similarity->tokens);
    tp_free(similarity->classes);
    tp_free(similarity->rms);
    *similarity = (tp_similarity){0};
}
