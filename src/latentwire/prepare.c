/* Measuring, and making a LatentWire of it. See prepare.h. */
#include "latentwire/prepare.h"

#include "base/mem.h"
#include "tensor/affine.h"

#include <string.h>

enum { TEXTS_AT_ONCE = 64, MOST_PCA_ROWS = 8000 };

/* Rows that the encoder reads, for principal axes: the first that come of the shuffled texts. */
typedef struct {
    float *rows; /* [most, d] */
    int64_t n, most;
} samples;

static void sample(samples *s, const tp_var *rows) {
    for (int64_t i = 0; i < rows->rows && s->n < s->most; i++) {
        if (s->rows == NULL) s->rows = tp_alloc((size_t)(s->most * rows->cols) * sizeof *s->rows);
        memcpy(s->rows + s->n++ * rows->cols, rows->data + i * rows->cols, (size_t)rows->cols * sizeof *s->rows);
    }
}

/* The leading axes [width, d]; those that the rows do not have are zeros. */
static tp_status find_axes(const samples *s, int64_t d, int64_t width, float **axes) {
    if (width > d)
        return tp_fail(TP_ERR_ARGUMENT,
                       "recipe: `latentwire.width` is %lld, but what the encoder \"pca\" reads has only %lld axes",
                       (long long)width, (long long)d);
    tp_affine map;
    TP_TRY(tp_pca_fit(s->rows, (size_t)s->n, (size_t)d, 1, (size_t)width, &map, NULL));
    *axes = tp_alloc((size_t)(width * d) * sizeof **axes);
    memcpy(*axes, map.weights, map.d_out * map.d_in * sizeof **axes);
    tp_affine_free(&map);
    return TP_OK;
}

/* Mean and deviation of each number that the encoder reads, over `wanted` texts. */
static tp_moments *measure(const tp_latentwire_group *g, tp_latentwire_source *texts, int64_t n, tp_tape *tape,
                           samples *kept) {
    const tp_recipe *recipe = g->recipe;
    int64_t wanted = recipe->calibration_texts < n ? recipe->calibration_texts : n;
    int64_t *order = tp_alloc((size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    tp_rng rng = tp_rng_stream(recipe->seed, "calibration", 0);
    tp_rng_shuffle(&rng, order, (size_t)n);
    tp_moments *moments = tp_moments_new(tp_latentwire_source_width(g));
    for (int64_t i = 0; i < wanted; i += TEXTS_AT_ONCE) {
        tp_tape_reset(tape);
        int64_t some = wanted - i < TEXTS_AT_ONCE ? wanted - i : TEXTS_AT_ONCE;
        tp_latentwire_input input = tp_latentwire_source_fetch(texts, tape, order + i, some);
        tp_moments_add(moments, input.rows->data, input.rows->rows);
        sample(kept, input.rows);
    }
    tp_free(order);
    return moments;
}

tp_status tp_latentwire_make(tp_latentwire_group *g, tp_latentwire_source *texts, int64_t n, tp_tape *tape) {
    const tp_latentwire_recipe *w = g->recipe->latentwire;
    int64_t widths[TP_LATENTWIRE_MOST_RECEIVERS];
    tp_latentwire_shape shape = tp_latentwire_group_shape(g, widths);
    samples kept = {.most = w->encoder == TP_LATENTWIRE_PCA ? MOST_PCA_ROWS : 0};
    tp_moments *moments = shape.d_source > 0 ? measure(g, texts, n, tape, &kept) : tp_moments_new(1);
    float rms[TP_LATENTWIRE_MOST_RECEIVERS], *axes = NULL;
    tp_calibration *source = NULL;
    for (int k = 0; k < shape.n_receivers; k++) {
        const tp_lm *lm = g->models->receivers[k];
        tp_calibration *c = tp_calibration_new(moments, &lm->embed, lm->config.embedding_scale);
        rms[k] = c->target_rms;
        tp_calibration_free(source);
        source = c; /* each holds the source's statistics */
    }
    tp_status status = TP_OK;
    if (w->encoder == TP_LATENTWIRE_PCA) status = find_axes(&kept, shape.d_source, w->width, &axes);
    shape.rms = rms;
    shape.axes = axes;
    if (shape.d_source > 0) shape.mean = source->source_mean, shape.std = source->source_std;
    if (status == TP_OK) g->wire = tp_latentwire_new(&shape, g->recipe->seed);
    if (g->wire == NULL && status == TP_OK) status = tp_last_status();
    tp_calibration_free(source);
    tp_moments_free(moments);
    tp_free(kept.rows);
    tp_free(axes);
    return status;
}
