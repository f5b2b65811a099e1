/* Controls: the bridge with its source destroyed.
 *
 * What the receiver still gets right then was not communicated. Zeros, noise of the same size and no soft tokens at all
 * leave it nothing to go by; shuffled source hands it real soft tokens of another text, so that what is left is what
 * comes from knowing how often each label occurs. */
#include "base/mem.h"
#include "base/str.h"
#include "eval/latent.h"
#include "eval/texts.h"

#include <math.h>
#include <string.h>

enum { NEEDS = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER | TP_NEEDS_BRIDGE | TP_NEEDS_TRAINING };

typedef struct control {
    tp_latent latent; /* the first field: tp_latent_fill takes the context for one */
    int64_t *order;   /* shuffled: the row that stands in for each */
} control;

static tp_asking asking_of(const tp_eval *eval, control *c) {
    return (tp_asking){.lm = eval->relay->receiver,
                       .layout = eval->relay->layout,
                       .soft_tokens = eval->relay->recipe->bridge.soft_tokens,
                       .phase = TP_PHASE_RECEIVER,
                       .untimed = true,
                       .context = c};
}

/* ---- zeros ---- */

static tp_status fill_zeros(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                            bool fresh, tp_filling *out) {
    (void)items, (void)fresh;
    out->soft = tp_var_new(tape, n * asking->soft_tokens, eval->relay->bridge->d_target);
    memset(out->soft->data, 0, (size_t)(out->soft->rows * out->soft->cols) * sizeof(float));
    return TP_OK;
}

static tp_status zeros(tp_eval *eval, tp_method_result *result) {
    tp_asking asking = asking_of(eval, NULL);
    asking.fill = fill_zeros;
    asking.constant = !tp_layout_has_text(asking.layout);
    result->bytes = tp_latent_sent_bytes(eval, TP_F16);
    return tp_ask_all(eval, &asking, result);
}

/* ---- noise ---- */

/* Each soft token becomes normal noise of its own root mean square. */
static tp_status fill_noise(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                            bool fresh, tp_filling *out) {
    TP_TRY(tp_latent_fill(eval, asking, tape, items, n, fresh, out));
    int64_t d = out->soft->cols, m = asking->soft_tokens;
    for (int64_t i = 0; i < n; i++) {
        tp_rng rng = tp_rng_stream(eval->seed, "noise packet", (uint64_t)items[i]);
        for (int64_t t = i * m; t < (i + 1) * m; t++) {
            float *row = out->soft->data + t * d;
            double power = 0, drawn = 0;
            for (int64_t k = 0; k < d; k++) power += (double)row[k] * row[k];
            tp_rng_fill_normal(&rng, row, (size_t)d, 1.0);
            for (int64_t k = 0; k < d; k++) drawn += (double)row[k] * row[k];
            float factor = drawn > 0 ? (float)sqrt(power / drawn) : 0.0f;
            for (int64_t k = 0; k < d; k++) row[k] *= factor;
        }
    }
    return TP_OK;
}

static tp_status noise(tp_eval *eval, tp_method_result *result) {
    control c = {.latent = tp_latent_new(eval)};
    tp_asking asking = asking_of(eval, &c);
    asking.fill = fill_noise;
    result->bytes = tp_latent_sent_bytes(eval, TP_F16);
    tp_status status = tp_ask_all(eval, &asking, result);
    tp_latent_free(&c.latent);
    return status;
}

/* ---- shuffled source ---- */

static tp_status fill_shuffled(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                               bool fresh, tp_filling *out) {
    const control *c = asking->context;
    int64_t *others = tp_arena_alloc(tape->arena, (size_t)n * sizeof *others);
    for (int64_t i = 0; i < n; i++) others[i] = c->order[items[i]];
    return tp_latent_fill(eval, asking, tape, others, n, fresh, out);
}

int64_t *tp_derangement(size_t n, uint64_t seed, const char *stream) {
    int64_t *order = tp_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (int64_t)i;
    tp_rng rng = tp_rng_stream(seed, stream, 0);
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = (size_t)tp_rng_below(&rng, i);
        int64_t other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    return order;
}

static tp_status shuffled(tp_eval *eval, tp_method_result *result) {
    size_t n = eval->task->test.n;
    if (n < 2) {
        result->note = tp_strdup("one text alone has no other to be mistaken for");
        return TP_OK;
    }
    control c = {.latent = tp_latent_new(eval), .order = tp_derangement(n, eval->seed, "shuffled source")};
    tp_asking asking = asking_of(eval, &c);
    asking.fill = fill_shuffled;
    result->bytes = tp_latent_sent_bytes(eval, TP_F16);
    tp_status status = tp_ask_all(eval, &asking, result);
    tp_free(c.order);
    tp_latent_free(&c.latent);
    return status;
}

/* ---- receiver alone ---- */

static tp_status alone(tp_eval *eval, tp_method_result *result) {
    const char *pattern = eval->relay->recipe->layout, *soft = strstr(pattern, "{soft}");
    if (soft == NULL) {
        result->note = tp_strdup("the layout has no soft tokens to leave out");
        return TP_OK;
    }
    char *without = tp_format("%.*s%s", (int)(soft - pattern), pattern, soft + strlen("{soft}"));
    tp_layout *layout = without[0] ? tp_ask_layout(eval, without, eval->relay->receiver) : NULL;
    tp_status status = TP_OK;
    if (without[0] == '\0') {
        result->note = tp_strdup("without soft tokens the layout is empty");
    } else if (layout == NULL) {
        status = tp_last_status();
    } else {
        tp_asking asking = asking_of(eval, NULL);
        asking.layout = layout;
        asking.soft_tokens = 0;
        asking.constant = !tp_layout_has_text(layout);
        result->bytes = tp_layout_has_text(layout) ? tp_texts_mean_bytes(&eval->task->test) : 0;
        status = tp_ask_all(eval, &asking, result);
    }
    tp_layout_free(layout);
    tp_free(without);
    return status;
}

const tp_method tp_method_zero = {.name = "zero",
                                  .free_answers = true,
                                  .title = "zero packet",
                                  .needs = NEEDS,
                                  .seeded = true,
                                  .group = TP_GROUP_CONTROL,
                                  .run = zeros};

const tp_method tp_method_noise = {.name = "noise",
                                   .free_answers = true,
                                   .title = "noise packet",
                                   .needs = NEEDS,
                                   .seeded = true,
                                   .group = TP_GROUP_CONTROL,
                                   .run = noise};

const tp_method tp_method_shuffled = {.name = "shuffled",
                                      .free_answers = true,
                                      .title = "shuffled source",
                                      .needs = NEEDS,
                                      .seeded = true,
                                      .group = TP_GROUP_CONTROL,
                                      .run = shuffled};

const tp_method tp_method_receiver_alone = {.name = "alone",
                                            .free_answers = true,
                                            .title = "receiver alone",
                                            .needs = TP_NEEDS_RECEIVER,
                                            .group = TP_GROUP_CONTROL,
                                            .run = alone};
