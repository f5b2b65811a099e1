/* Collapse detectors. See detectors.h; the thresholds are SPEC 2's. */
#include "train/detectors.h"

#include <math.h>
#include <stdio.h>

enum { SPREAD, COSINE, GRADIENT, STALLED, SCALE, LOUD, QUIET = 500, WARM_UP = 20 };

static const double scale_apart = 10;    /* soft tokens and embeddings: the documents' were 33 times apart */
static const double louder = 100;        /* a loss beside those that ask for the answer */
static const double hardly_moves = 1e-3; /* of the strongest loss's gradient */

tp_detectors tp_detectors_new(void) {
    return (tp_detectors){.best_loss = INFINITY};
}

/* The mean over dimensions of the standard deviation over the batch. */
static double spread(const tp_vital_signs *s) {
    double total = 0;
    for (int64_t j = 0; j < s->width; j++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < s->n; i++) sum += s->soft[i * s->width + j];
        double mean = sum / (double)s->n;
        for (int64_t i = 0; i < s->n; i++) {
            double x = s->soft[i * s->width + j] - mean;
            square += x * x;
        }
        total += sqrt(square / (double)s->n);
    }
    return total / (double)s->width;
}

static double root_mean_square(const tp_vital_signs *s) {
    double square = 0;
    for (int64_t i = 0; i < s->n * s->width; i++) square += (double)s->soft[i] * s->soft[i];
    return sqrt(square / (double)(s->n * s->width));
}

static double mean_cosine(const tp_vital_signs *s) {
    double total = 0;
    int64_t pairs = 0;
    for (int64_t i = 1; i < s->n; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (int64_t j = 0; j < s->width; j++) {
            double a = s->soft[(i - 1) * s->width + j], b = s->soft[i * s->width + j];
            ab += a * b, aa += a * a, bb += b * b;
        }
        total += ab / sqrt(aa * bb + 1e-30);
        pairs++;
    }
    return pairs > 0 ? total / (double)pairs : 0;
}

static bool may_speak(tp_detectors *d, int which, int64_t step) {
    if (step < WARM_UP || step < d->silent_until[which]) return false;
    d->silent_until[which] = step + QUIET;
    return true;
}

bool tp_detectors_look(tp_detectors *d, const tp_vital_signs *s, char *sentence, size_t size, bool *fatal) {
    d->collapsed = false;
    *fatal = !isfinite(s->loss) || !isfinite(s->gradient_norm);
    if (*fatal) {
        snprintf(sentence, size, "the %s is no longer a finite number at step %lld; lower optimiser.lr",
                 isfinite(s->loss) ? "gradient" : "loss", (long long)s->step);
        return true;
    }
    double memory = s->step < 50 ? 1.0 - 1.0 / (double)(s->step + 1) : 0.98;
    d->smooth_loss = memory * d->smooth_loss + (1.0 - memory) * s->loss;
    if (d->smooth_loss < d->best_loss - 1e-4) d->best_loss = d->smooth_loss, d->best_step = s->step;

    /* relative to the tokens' own size, so that a receiver with small embeddings is not always accused */
    double rms = root_mean_square(s), relative = s->n > 1 ? spread(s) / (rms + 1e-30) : 1.0, cosine = mean_cosine(s);
    d->collapsed = relative < 0.01 || cosine > 0.98;
    if (relative < 0.01 && may_speak(d, SPREAD, s->step)) {
        snprintf(sentence, size, "soft tokens hardly differ between examples: standard deviation %.4f of their size",
                 relative);
        return true;
    }
    if (cosine > 0.98 && may_speak(d, COSINE, s->step)) {
        snprintf(sentence, size, "soft tokens of different examples point the same way: mean cosine %.3f", cosine);
        return true;
    }
    if (s->gradient_norm < 1e-6 && may_speak(d, GRADIENT, s->step)) {
        snprintf(sentence, size, "the bridge gets no gradient: norm %.1e", s->gradient_norm);
        return true;
    }
    double ratio = s->embedding_rms > 0 ? rms / s->embedding_rms : 1;
    if ((ratio > scale_apart || ratio < 1 / scale_apart) && may_speak(d, SCALE, s->step)) {
        snprintf(
            sentence, size,
            "soft tokens are %.3g times as loud as the receiver's embeddings (root mean square %.3g, theirs %.3g): "
            "it was never trained to read such input",
            ratio, rms, s->embedding_rms);
        return true;
    }
    if (s->other && s->answer_loss > 0 && s->other_loss > louder * s->answer_loss && may_speak(d, LOUD, s->step)) {
        snprintf(sentence, size,
                 "the loss %s is %.3g times all that asks for the answer (%.3g beside %.3g, weights included): lower "
                 "its weight",
                 s->other, s->other_loss / s->answer_loss, s->other_loss, s->answer_loss);
        return true;
    }
    if (s->step - d->best_step >= QUIET && may_speak(d, STALLED, s->step)) {
        snprintf(sentence, size, "the loss has not fallen for %lld steps (%.4f, best %.4f)",
                 (long long)(s->step - d->best_step), d->smooth_loss, d->best_loss);
        return true;
    }
    return false;
}

bool tp_detectors_weigh_at(int64_t step) {
    return step == WARM_UP || (step > 0 && step % QUIET == 0);
}

bool tp_detectors_weigh(const tp_loss_force *forces, int n, int i, char *sentence, size_t size) {
    int strongest = 0;
    for (int k = 1; k < n; k++)
        if (forces[k].gradient_norm > forces[strongest].gradient_norm) strongest = k;
    double norm = forces[i].gradient_norm, most = forces[strongest].gradient_norm;
    if (norm == 0) {
        snprintf(sentence, size, "the loss %s gives the bridge no gradient: it is computed, and teaches nothing",
                 forces[i].name);
        return true;
    }
    if (!(norm < hardly_moves * most)) return false;
    snprintf(
        sentence, size,
        "the loss %s hardly moves the bridge: its gradient is %.2g of that of %s (%.2g beside %.2g); it has another "
        "scale, or too small a weight",
        forces[i].name, norm / most, forces[strongest].name, norm, most);
    return true;
}
