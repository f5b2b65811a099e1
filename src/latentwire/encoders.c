/* Three encoders on top of a frozen model: a sentence's embedding added to learned queries, a decoder's hidden states
 * resampled by any bridge, and their principal axes. (The fourth, over bytes: encoder_bytes.c.) */
#include "latentwire/latentwire.h"

#include "base/mem.h"
#include "nn/layers.h"
#include "tensor/affine.h"

#include <string.h>

/* A frozen vector or matrix with given numbers, or one value everywhere. */
static void attach_constant(tp_latentwire *wire, tp_weight *w, const char *name, int64_t rows, int64_t cols,
                            const float *values, float fallback) {
    tp_params_attach(&wire->constants, w, name, rows, cols);
    if (values)
        memcpy(tp_weight_values(w), values, (size_t)(rows * cols) * sizeof *values);
    else
        tp_weight_init_value(w, fallback);
}

/* ---- simple: Z = LN(W h + b + Q) ---- */

typedef struct {
    tp_weight mean, std; /* [d_source] of the embeddings; absent without normaliser */
    tp_nn_linear proj;   /* [d_z, d_source] */
    tp_weight queries;   /* [rows, d_z] */
    tp_nn_norm norm;     /* [d_z] */
} simple;

static void *build_simple(tp_latentwire *wire, const tp_latentwire_shape *shape, uint64_t seed) {
    simple *s = tp_alloc(sizeof *s);
    int64_t d = wire->recipe.width, d_source = wire->d_source;
    if (wire->bridge.normaliser == TP_NORMALISER_WHITEN) {
        attach_constant(wire, &s->mean, "encoder.mean", 1, d_source, shape->mean, 0);
        attach_constant(wire, &s->std, "encoder.std", 1, d_source, shape->std, 1);
    }
    tp_nn_linear_attach(&wire->params, &s->proj, "encoder.proj", d, d_source, true, seed);
    tp_params_attach(&wire->params, &s->queries, "encoder.queries", wire->rows, d);
    tp_weight_init_normal(&s->queries, seed, 1);
    tp_nn_norm_attach(&wire->params, &s->norm, "encoder.norm", d);
    return s;
}

static tp_var *encode_simple(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input) {
    const simple *s = wire->layers;
    int64_t n = input->n * wire->rows;
    tp_var *h = tp_weight_present(&s->mean) ? tp_nn_whiten(tape, input->rows, &s->mean, &s->std) : input->rows;
    tp_var *sources[2] = {tp_nn_linear_apply(tape, &s->proj, h), tp_parameter(tape, &s->queries)};
    tp_row_ref *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    tp_row_ref *queries = tp_arena_alloc(tape->arena, (size_t)n * sizeof *queries);
    for (int64_t i = 0; i < n; i++) {
        texts[i] = (tp_row_ref){0, i / wire->rows};
        queries[i] = (tp_row_ref){1, i % wire->rows};
    }
    tp_var *sum = tp_add(tape, tp_gather(tape, sources, 2, texts, n), tp_gather(tape, sources, 2, queries, n));
    return tp_nn_norm_apply(tape, &s->norm, sum);
}

const tp_latentwire_encoder_kind tp_latentwire_simple = {
    .build = build_simple, .encode = encode_simple, .free = tp_free};

/* ---- decoder: any bridge, from the sender's states to rows of Z ---- */

static void *build_decoder(tp_latentwire *wire, const tp_latentwire_shape *shape, uint64_t seed) {
    tp_bridge_recipe recipe = wire->bridge;
    recipe.soft_tokens = (int)wire->rows;
    size_t d = (size_t)wire->recipe.width;
    float *zeros = tp_alloc(d * sizeof *zeros), *ones = tp_alloc(d * sizeof *ones);
    for (size_t i = 0; i < d; i++) ones[i] = 1;
    tp_calibration calibration = {.d_source = wire->d_source,
                                  .d_target = wire->recipe.width,
                                  .source_mean = (float *)(uintptr_t)shape->mean,
                                  .source_std = (float *)(uintptr_t)shape->std,
                                  .target_mean = zeros,
                                  .target_std = ones,
                                  .target_rms = 1};
    tp_bridge *bridge =
        tp_bridge_new(&recipe, wire->d_source, wire->recipe.width, shape->mean ? &calibration : NULL, seed);
    tp_free(zeros);
    tp_free(ones);
    return bridge;
}

static tp_var *encode_decoder(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input) {
    return tp_bridge_forward(tape, wire->layers, input->rows, input->offsets, input->n);
}

static tp_bridge *resampler(const tp_latentwire *wire) {
    return wire->layers;
}

static void free_decoder(void *layers) {
    tp_bridge_free(layers);
}

const tp_latentwire_encoder_kind tp_latentwire_decoder = {
    .build = build_decoder, .encode = encode_decoder, .resampler = resampler, .free = free_decoder};

/* ---- pca: stretches of the text on the states' principal axes; nothing to learn ---- */

typedef struct {
    tp_weight mean; /* [d_source] */
    tp_weight axes; /* [d_z, d_source] */
} pca;

static void *build_pca(tp_latentwire *wire, const tp_latentwire_shape *shape, uint64_t seed) {
    (void)seed;
    if (wire->private_tokens > 0)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `latentwire.private` is %lld, but the encoder \"pca\" has no "
                            "rows that one receiver alone could learn to use",
                            (long long)wire->private_tokens);
    pca *p = tp_alloc(sizeof *p);
    attach_constant(wire, &p->mean, "encoder.mean", 1, wire->d_source, shape->mean, 0);
    attach_constant(wire, &p->axes, "encoder.axes", wire->recipe.width, wire->d_source, shape->axes, 0);
    return p;
}

static tp_var *encode_pca(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input) {
    const pca *p = wire->layers;
    const float *mean = tp_weight_f32(&p->mean, false);
    int64_t d = input->rows->cols, m = wire->rows;
    tp_var *means = tp_var_new(tape, input->n * m, d); /* of each stretch, less the mean of all texts */
    for (int64_t i = 0; i < input->n; i++) {
        int64_t from = input->offsets[i], n = input->offsets[i + 1] - from;
        tp_stretch_means(input->rows->data + from * d, n, d, (int)m, means->data + i * m * d);
    }
    for (int64_t i = 0; i < means->rows; i++)
        for (int64_t j = 0; j < d; j++) means->data[i * d + j] -= mean[j];
    return tp_linear(tape, means, &p->axes, NULL);
}

const tp_latentwire_encoder_kind tp_latentwire_pca = {.build = build_pca, .encode = encode_pca, .free = tp_free};
