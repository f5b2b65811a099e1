/* Batches as a function of seed and step. See sampler.h. */
#include "train/sampler.h"

#include "base/mem.h"
#include "base/rng.h"

struct tp_sampler {
    size_t n;
    uint64_t seed;
    bool balanced;
    int32_t n_classes;    /* classes that occur */
    int64_t *by_class;    /* [n] row numbers, class after class */
    int64_t *class_begin; /* [n_classes + 1] */
    int64_t *order;       /* permutation of `epoch` */
    int64_t epoch;        /* -1: none made yet */
};

tp_sampler *tp_sampler_new(const tp_example *examples, size_t n, int32_t n_labels, bool balanced, uint64_t seed) {
    tp_sampler *s = tp_alloc(sizeof *s);
    *s = (tp_sampler){.n = n, .seed = seed, .balanced = balanced, .epoch = -1};
    s->by_class = tp_alloc(n * sizeof *s->by_class);
    s->class_begin = tp_alloc(((size_t)n_labels + 1) * sizeof *s->class_begin);
    s->order = tp_alloc(n * sizeof *s->order);
    int64_t at = 0;
    for (int32_t label = 0; label < n_labels; label++) {
        int64_t begin = at;
        for (size_t i = 0; i < n; i++)
            if (examples[i].label == label) s->by_class[at++] = (int64_t)i;
        if (at > begin) s->class_begin[++s->n_classes] = at; /* a class without rows cannot be drawn */
    }
    return s;
}

void tp_sampler_free(tp_sampler *sampler) {
    if (sampler == NULL) return;
    tp_free(sampler->by_class);
    tp_free(sampler->class_begin);
    tp_free(sampler->order);
    tp_free(sampler);
}

static int64_t from_permutation(tp_sampler *s, int64_t place) {
    int64_t epoch = place / (int64_t)s->n;
    if (epoch != s->epoch) {
        for (size_t i = 0; i < s->n; i++) s->order[i] = (int64_t)i;
        tp_rng rng = tp_rng_stream(s->seed, "epoch order", (uint64_t)epoch);
        tp_rng_shuffle(&rng, s->order, s->n);
        s->epoch = epoch;
    }
    return s->order[place % (int64_t)s->n];
}

void tp_sampler_batch(tp_sampler *s, int64_t step, int64_t batch, int64_t *indices) {
    tp_rng rng = tp_rng_stream(s->seed, "balanced batch", (uint64_t)step);
    for (int64_t i = 0; i < batch; i++) {
        if (!s->balanced) {
            indices[i] = from_permutation(s, step * batch + i);
            continue;
        }
        int64_t c = (int64_t)tp_rng_below(&rng, (uint64_t)s->n_classes), begin = s->class_begin[c];
        indices[i] = s->by_class[begin + (int64_t)tp_rng_below(&rng, (uint64_t)(s->class_begin[c + 1] - begin))];
    }
}
