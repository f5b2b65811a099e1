/* Choosing the next token. See sample.h.
 *
 * A vocabulary has a hundred thousand tokens, of which a handful is kept. So nothing is sorted: the candidates become a
 * heap, from which the likeliest are taken until a step says that it is enough. */
#include "lm/sample.h"

#include "base/rng.h"

#include <math.h>

tp_status tp_sampling_check(const tp_sampling *s) {
    if (!(s->temperature >= 0 && s->temperature <= 1e6))
        return tp_fail(TP_ERR_ARGUMENT, "temperature is %g, a number from 0 (greedy) to 1e6 was expected",
                       s->temperature);
    if (s->top_k < 0) return tp_fail(TP_ERR_ARGUMENT, "top_k is %d, 0 (all) or more was expected", (int)s->top_k);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return tp_fail(TP_ERR_ARGUMENT, "top_p is %g, a number from 0 to 1 was expected", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return tp_fail(TP_ERR_ARGUMENT, "min_p is %g, a number from 0 to 1 was expected", s->min_p);
    if (s->repeat_penalty != 0 && !(s->repeat_penalty >= 1e-3 && s->repeat_penalty <= 1e3))
        return tp_fail(TP_ERR_ARGUMENT, "repeat_penalty is %g, 0 (off) or a number from 0.001 to 1000 was expected",
                       s->repeat_penalty);
    if (s->repeat_window < 0)
        return tp_fail(TP_ERR_ARGUMENT, "repeat_window is %lld, 0 (all) or more was expected",
                       (long long)s->repeat_window);
    return TP_OK;
}

/* ---- the heap: out[0] is the likeliest ---- */

static bool before(const tp_candidate *a, const tp_candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sink(tp_candidate *heap, int32_t n, int32_t i) {
    tp_candidate moved = heap[i];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &moved)) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Takes the likeliest: it is at heap[n - 1] then, and heap[0 .. n - 1) is a heap. */
static const tp_candidate *take(tp_candidate *heap, int32_t n) {
    tp_candidate top = heap[0];
    heap[0] = heap[n - 1];
    sink(heap, n - 1, 0);
    heap[n - 1] = top;
    return &heap[n - 1];
}

/* ---- the steps ---- */

/* Keskar et al. 2019 (CTRL), in the form everybody uses: a negative logit is multiplied, so that it falls too. Once
 * for each id, however often it was there. */
static void penalise(const tp_sampling *s, const tp_sample_context *c, const float *logits, int32_t n,
                     tp_candidate *all) {
    if (s->repeat_penalty == 0 || s->repeat_penalty == 1) return;
    int64_t from = s->repeat_window && s->repeat_window < c->n_last ? c->n_last - s->repeat_window : 0;
    for (int64_t i = from; i < c->n_last; i++) {
        int32_t id = c->last[i];
        if (id < 0 || id >= n || isnan(logits[id])) continue;
        double logit = logits[id]; /* not all[id].logit: an id may come twice */
        all[id].logit = logit > 0 ? logit / s->repeat_penalty : logit * s->repeat_penalty;
    }
}

/* exp((x - most) / temperature), also where both are infinite. */
static double weight(double logit, double most, double temperature) {
    return logit == most ? 1 : exp((logit - most) / temperature);
}

int32_t tp_sample_candidates(const tp_sampling *s, const float *logits, int32_t n, const tp_sample_context *context,
                             tp_candidate *out) {
    for (int32_t i = 0; i < n; i++)
        out[i] = (tp_candidate){.id = i, .logit = isnan(logits[i]) ? -INFINITY : (double)logits[i]};
    penalise(s, context, logits, n, out);
    for (int i = 0; i < context->n_banned; i++)
        if (context->banned[i] >= 0 && context->banned[i] < n) out[context->banned[i]].logit = -INFINITY;
    for (int32_t i = n / 2 - 1; i >= 0; i--) sink(out, n, i);

    double most = out[0].logit, total = 0, kept_weight = 0;
    int32_t k = s->temperature == 0 ? 1 : s->top_k > 0 && s->top_k < n ? s->top_k : n, kept = 0;
    bool by_mass = s->top_p > 0 && s->top_p < 1;
    if (k == n) /* what top-p is a share of; with a top-k it is the sum over those */
        for (int32_t i = 0; i < n && by_mass; i++) total += weight(out[i].logit, most, 1);
    else
        for (; kept < k; kept++) total += weight(take(out, n - kept)->logit, most, 1);
    /* The likeliest stand at the end now, from the last place down; those above them are still to be taken. */
    int32_t taken = kept;
    for (kept = 0; kept < k; kept++) {
        if (kept >= taken) take(out, n - kept);
        double w = weight(out[n - 1 - kept].logit, most, 1);
        if (kept > 0 && ((by_mass && kept_weight >= s->top_p * total) || w < s->min_p)) break;
        kept_weight += w;
    }
    for (int32_t i = 0; i < kept; i++) { /* to the front, likeliest first: a swap each */
        tp_candidate c = out[i];
        if (i >= n - 1 - i) break;
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = c;
    }
    double sum = 0, temperature = s->temperature > 0 ? s->temperature : 1;
    for (int32_t i = 0; i < kept; i++) sum += out[i].p = weight(out[i].logit, most, temperature);
    for (int32_t i = 0; i < kept; i++) out[i].p /= sum;
    return kept;
}

int32_t tp_sample_pick(const tp_candidate *candidates, int32_t n, double u) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (u < (sum += candidates[i].p)) return candidates[i].id;
    return candidates[n - 1].id; /* the sum of all fell short of one by a rounding */
}

int32_t tp_sample(const tp_sampling *s, const float *logits, int32_t n, const tp_sample_context *context,
                  tp_candidate *scratch) {
    int32_t kept = tp_sample_candidates(s, logits, n, context, scratch);
    if (kept == 1) return scratch[0].id;
    tp_rng rng = tp_rng_stream(s->seed, "sample", (uint64_t)context->position);
    return tp_sample_pick(scratch, kept, tp_rng_uniform(&rng));
}
