/* Words out of packets. See packet_probe.h. */
#include "analysis/linear_map.h"
#include "analysis/packet_probe.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

const size_t tp_word_cuts[TP_N_CUTS] = {1, 5, 10};
enum { MOST = 10 }; /* the last cut */

/* The places of the `MOST` largest of n scores, best first; returns how many there are. */
static size_t best_words(const float *scores, size_t n, size_t best[MOST]) {
    size_t found = 0;
    for (size_t w = 0; w < n; w++) {
        size_t at = found;
        while (at > 0 && scores[w] > scores[best[at - 1]]) at--;
        if (at == MOST) continue;
        size_t last = found < MOST ? found++ : MOST - 1;
        memmove(best + at + 1, best + at, (last - at) * sizeof *best);
        best[at] = w;
    }
    return found;
}

/* Reads n texts' scores [n, n_words] (one row for all, if `constant`) against their words y. */
static void judge(const float *scores, bool constant, const float *y, size_t n, size_t n_words, uint64_t seed,
                  tp_word_scores *out) {
    double *recalls = tp_alloc(n * sizeof *recalls);
    double *with = tp_alloc(n_words * sizeof *with), *read = tp_alloc(n_words * sizeof *read);
    size_t texts = 0;
    for (size_t i = 0; i < n; i++) {
        const float *words = y + i * n_words;
        double in_text = 0, hits = 0;
        for (size_t w = 0; w < n_words; w++) in_text += (double)words[w], with[w] += (double)words[w];
        if (in_text == 0) continue;
        size_t best[MOST], found = best_words(scores + (constant ? 0 : i * n_words), n_words, best), cut = 0;
        for (size_t k = 0; k < MOST; k++) {
            if (k < found && words[best[k]] == 1) hits++, read[best[k]]++;
            if (k + 1 != tp_word_cuts[cut]) continue;
            out->precision[cut] += hits / (double)tp_word_cuts[cut];
            out->recall[cut++] += hits / in_text;
        }
        recalls[texts++] = hits / in_text;
    }
    for (int c = 0; c < TP_N_CUTS; c++) {
        out->precision[c] = texts > 0 ? out->precision[c] / (double)texts : NAN;
        out->recall[c] = texts > 0 ? out->recall[c] / (double)texts : NAN;
    }
    out->recall_interval = tp_bootstrap(recalls, texts, TP_BOOTSTRAP_RESAMPLES, 0.95, seed);
    out->word_recall = with;
    for (size_t w = 0; w < n_words; w++) with[w] = with[w] > 0 ? read[w] / with[w] : NAN;
    tp_free(read);
    tp_free(recalls);
}

/* Words by how many of the first n texts hold them. */
static float *frequencies(const float *y, size_t n, size_t n_words) {
    float *counts = tp_alloc(n_words * sizeof *counts);
    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; w < n_words; w++) counts[w] += y[i * n_words + w];
    return counts;
}

static double mean_recall(const tp_linear_map *map, const float *x, const float *y, size_t n) {
    float *scores = tp_alloc(n * map->n_targets * sizeof *scores);
    tp_word_scores s = {0};
    tp_linear_map_apply(map, x, n, scores);
    judge(scores, false, y, n, map->n_targets, 0, &s);
    tp_free(scores);
    tp_free(s.word_recall);
    return s.recall[TP_N_CUTS - 1];
}

/* The penalty of best recall on valid, of equals the strongest. */
static tp_status choose_penalty(const float *x, size_t d, const float *y, size_t n_words, const size_t n[3],
                                double *best) {
    static const double penalties[] = {10, 1, 0.1};
    double most = -1;
    *best = 1;
    for (size_t k = 0; k < sizeof penalties / sizeof penalties[0] && n[1] > 0; k++) {
        tp_linear_map *map;
        TP_TRY(tp_linear_map_fit(x, y, n[0], d, n_words, penalties[k], &map));
        double recall = mean_recall(map, x + n[0] * d, y + n[0] * n_words, n[1]);
        if (recall > most) most = recall, *best = penalties[k];
        tp_linear_map_free(map);
    }
    return TP_OK;
}

tp_status tp_read_words(const float *x, size_t d, const float *y, size_t n_words, const size_t n[3], uint64_t seed,
                        tp_word_scores *out) {
    *out = (tp_word_scores){.l2 = NAN};
    size_t n_fit = n[0] + n[1];
    const float *test = y + n_fit * n_words;
    if (x == NULL) {
        float *counts = frequencies(y, n_fit, n_words);
        judge(counts, true, test, n[2], n_words, seed, out);
        tp_free(counts);
        return TP_OK;
    }
    tp_linear_map *map;
    TP_TRY(choose_penalty(x, d, y, n_words, n, &out->l2));
    TP_TRY(tp_linear_map_fit(x, y, n_fit, d, n_words, out->l2, &map));
    float *scores = tp_alloc(n[2] * n_words * sizeof *scores);
    tp_linear_map_apply(map, x + n_fit * d, n[2], scores);
    judge(scores, false, test, n[2], n_words, seed, out);
    tp_free(scores);
    tp_linear_map_free(map);
    return TP_OK;
}
