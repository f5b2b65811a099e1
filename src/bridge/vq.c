/* Vector quantisation (van den Oord, Vinyals and Kavukcuoglu 2017): each token of an inner family becomes the nearest
 * of `bridge.codes` learned vectors.
 *
 * Gradients of the receiver pass the choice as if it were not there (straight through), so the codes themselves learn
 * from a loss of their own, "vq":
 *     |code - sg(token)|^2 + commitment |token - sg(code)|^2 - entropy H(mean choice) / log(codes)
 * with mean squares and sg for what gets no gradient. H is taken over soft choices, softmax(-|token - code|^2 /
 * sqrt(d)): squared distances of d independent dimensions spread by that, and hard choices have no gradient. Distance
 * "cosine" brings tokens and codes to a root mean square of 1 first, which makes the nearest code the one of the
 * largest cosine (Yu et al. 2022). Codes start as random as the tokens of a new bridge: tiny ones, with which the
 * source documents began, let the loss explode. */
#include "bridge/codes.h"
#include "bridge/inner.h"

#include "base/mem.h"
#include "tensor/kernels.h"

#include <math.h>

static const float unit_eps = 1e-6f;

typedef struct {
    tp_weight codebook; /* [codes, d_target] */
} vq;

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    int64_t inner = tp_inner_count(r, d_source, d_target);
    return inner < 0 ? -1 : inner + r->codes * d_target;
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    if (bridge->recipe.codes < 2)
        return tp_fail_null(TP_ERR_ARGUMENT, "recipe: `bridge.codes` is %d, at least 2 were expected",
                            bridge->recipe.codes);
    if (tp_inner_attach(bridge, seed) != TP_OK) return NULL;
    vq *v = tp_alloc(sizeof *v);
    tp_params_attach(&bridge->params, &v->codebook, "codebook", bridge->recipe.codes, bridge->d_target);
    tp_weight_init_normal(&v->codebook, seed, 1);
    return v;
}

/* Rows as they are compared. */
static tp_var *comparable(tp_tape *tape, const tp_bridge *bridge, tp_var *rows) {
    return bridge->recipe.distance == TP_CODES_COSINE ? tp_rms_norm(tape, rows, NULL, unit_eps) : rows;
}

static tp_var *table_of(tp_tape *tape, const tp_bridge *bridge) {
    return comparable(tape, bridge, tp_parameter(tape, &((const vq *)bridge->layers)->codebook));
}

/* The nearest code of each row: the largest x.c - |c|^2 / 2. Row by row, so that a token's code does not depend on
 * which others are in its batch. */
static void nearest(tp_tape *tape, const tp_var *x, const tp_var *table, int32_t *codes) {
    const tp_kernels *cpu = tp_cpu();
    int64_t k = table->rows, d = table->cols;
    float *half = tp_arena_alloc(tape->arena, (size_t)k * sizeof *half);
    for (int64_t j = 0; j < k; j++) half[j] = (float)(0.5 * cpu->sum_squares(table->data + j * d, d));
#pragma omp parallel for if (x->rows * k * d > 1 << 20)
    for (int64_t i = 0; i < x->rows; i++) {
        float best = -INFINITY;
        codes[i] = 0;
        for (int64_t j = 0; j < k; j++) {
            float score = cpu->dot_f32(x->data + i * d, table->data + j * d, d) - half[j];
            if (score > best) best = score, codes[i] = (int32_t)j;
        }
    }
}

/* The rows of these codes; a gradient goes to the codebook. */
static tp_var *look_up(tp_tape *tape, tp_var *table, const int32_t *codes, int64_t n) {
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)n * sizeof *which);
    for (int64_t i = 0; i < n; i++) which[i] = (tp_row_ref){.source = 0, .row = codes[i]};
    return tp_gather(tape, &table, 1, which, n);
}

/* One pass; what it comes by on the way. */
typedef struct {
    tp_var *tokens, *table, *quantised; /* of the inner family and the codebook, as they are compared; codes' rows */
    int32_t *codes;                     /* of each token */
} pass;

static pass run(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences) {
    pass p = {.tokens = comparable(tape, bridge, tp_inner_resample(tape, bridge, x, offsets, n_sequences)),
              .table = table_of(tape, bridge)};
    p.codes = tp_arena_alloc(tape->arena, (size_t)p.tokens->rows * sizeof *p.codes);
    nearest(tape, p.tokens, p.table, p.codes);
    p.quantised = look_up(tape, p.table, p.codes, p.tokens->rows);
    return p;
}

/* The same numbers, which take no gradient. */
static tp_var *fixed(tp_tape *tape, const tp_var *x) {
    return tp_var_wrap(tape, x->data, x->rows, x->cols);
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    pass p = run(tape, bridge, x, offsets, n_sequences);
    return tp_straight_through(tape, p.tokens, p.quantised->data);
}

static tp_var *train(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                     const tp_bridge_lesson *lesson, tp_bridge_terms *terms) {
    (void)lesson;
    const tp_bridge_recipe *r = &bridge->recipe;
    pass p = run(tape, bridge, x, offsets, n_sequences);
    tp_var *parts[3] = {tp_mean_square_difference(tape, p.quantised, fixed(tape, p.tokens)),
                        tp_mean_square_difference(tape, p.tokens, fixed(tape, p.quantised))};
    int n = 2;
    if (r->entropy > 0) parts[n++] = tp_code_entropy(tape, p.tokens, p.table, sqrtf((float)bridge->d_target));
    terms->losses[TP_LOSS_VQ] =
        tp_weighted_sum(tape, parts, (const float[]){1, (float)r->commitment, -(float)r->entropy}, n);
    tp_bridge_report_codes(terms, p.codes, p.tokens->rows, 1);
    return tp_straight_through(tape, p.tokens, p.quantised->data);
}

static int code_sizes(const tp_bridge_recipe *recipe, int *sizes) {
    sizes[0] = recipe->codes;
    return 1;
}

static void encode(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                   int32_t *codes) {
    tp_var *tokens = comparable(tape, bridge, tp_inner_resample(tape, bridge, x, offsets, n_sequences));
    nearest(tape, tokens, table_of(tape, bridge), codes);
}

static tp_var *decode(tp_tape *tape, const tp_bridge *bridge, const int32_t *codes, int64_t n_tokens) {
    return look_up(tape, table_of(tape, bridge), codes, n_tokens);
}

const tp_bridge_family tp_bridge_vq = {.name = "vq",
                                       .count = count,
                                       .build = build,
                                       .resample = resample,
                                       .train = train,
                                       .own_losses = 1u << TP_LOSS_VQ,
                                       .code_sizes = code_sizes,
                                       .encode = encode,
                                       .decode = decode,
                                       .free = tp_free};
