/* What bridges in closed form share. See closed_form.h. */
#include "eval/closed_form.h"

#include "base/clock.h"
#include "base/mem.h"
#include "eval/texts.h"

#include <math.h>
#include <string.h>

static void scale_rows(float *rows, int64_t n, int64_t d, double rms) {
    for (int64_t i = 0; i < n; i++) {
        double power = 0;
        for (int64_t k = 0; k < d; k++) power += (double)rows[i * d + k] * (double)rows[i * d + k];
        float factor = power > 0 ? (float)(rms / sqrt(power / (double)d)) : 0;
        for (int64_t k = 0; k < d; k++) rows[i * d + k] *= factor;
    }
}

/* ---- answering ---- */

/* The vectors of some rows, [n * n_vectors, d_S], in the tape's arena. */
static tp_status vectors_of(tp_eval *eval, tp_closed_form *c, tp_tape *tape, const int64_t *items, int64_t n,
                            bool fresh, float *out) {
    int64_t d = tp_tap_width(&eval->relay->tap), each = c->n_vectors * d;
    if (c->given && !fresh) {
        for (int64_t i = 0; i < n; i++) memcpy(out + i * each, c->given + items[i] * each, (size_t)each * sizeof *out);
        return TP_OK;
    }
    const int64_t *offsets;
    tp_var *hidden;
    TP_TRY(tp_latent_states(eval, &c->latent, tape, items, n, fresh, &hidden, &offsets));
    for (int64_t i = 0; i < n; i++)
        tp_stretch_means(hidden->data + offsets[i] * d, offsets[i + 1] - offsets[i], d, c->n_vectors, out + i * each);
    return TP_OK;
}

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    tp_closed_form *c = asking->context;
    double began = tp_now();
    int64_t rows = n * c->n_vectors, d = tp_tap_width(&eval->relay->tap);
    float *vectors = tp_arena_alloc(tape->arena, (size_t)(rows * d) * sizeof *vectors);
    TP_TRY(vectors_of(eval, c, tape, items, n, fresh, vectors));
    double pooled = tp_now();
    out->ms[TP_PHASE_SENDER] = (pooled - began) * 1e3;
    out->soft = tp_var_new(tape, rows, (int64_t)c->map.d_out);
    if (c->project.weights) {
        int64_t width = (int64_t)c->project.d_out;
        float *sent = tp_arena_alloc(tape->arena, (size_t)(rows * width) * sizeof *sent);
        tp_affine_apply(&c->project, vectors, (size_t)rows, sent);
        tp_latent_cross(sent, rows * width);
        vectors = sent;
    }
    tp_affine_apply(&c->map, vectors, (size_t)rows, out->soft->data);
    scale_rows(out->soft->data, rows, out->soft->cols, c->rms);
    if (c->project.weights == NULL) tp_latent_cross(out->soft->data, rows * out->soft->cols);
    out->ms[TP_PHASE_BRIDGE] = (tp_now() - pooled) * 1e3;
    return TP_OK;
}

tp_closed_form tp_closed_form_new(const tp_eval *eval, int n_vectors) {
    const tp_relay *relay = eval->relay;
    bool injected = tp_layout_injected(relay->layout);
    return (tp_closed_form){.latent = tp_latent_new(eval),
                            .n_vectors = n_vectors,
                            .layout = injected ? tp_ask_layout(eval, relay->recipe->layout, relay->receiver) : NULL,
                            .rms = tp_lm_embedding_rms(relay->receiver)};
}

void tp_closed_form_free(tp_closed_form *c) {
    tp_latent_free(&c->latent);
    tp_layout_free(c->layout);
    tp_affine_free(&c->project);
    tp_affine_free(&c->map);
}

tp_asking tp_closed_form_asking(const tp_eval *eval, tp_closed_form *c) {
    return (tp_asking){.lm = eval->relay->receiver,
                       .layout = c->layout ? c->layout : eval->relay->layout,
                       .soft_tokens = c->n_vectors,
                       .phase = TP_PHASE_RECEIVER,
                       .fill = fill,
                       .context = c};
}

tp_status tp_closed_form_answer(tp_eval *eval, tp_closed_form *c, int64_t width, tp_method_result *result) {
    tp_asking asking = tp_closed_form_asking(eval, c);
    result->bytes = tp_latent_packet_bytes(c->n_vectors, width);
    if (tp_layout_has_text(asking.layout)) result->bytes += tp_texts_mean_bytes(&eval->task->test);
    TP_TRY(tp_ask_all(eval, &asking, result));
    int64_t cut = tp_state_cache_describe(eval->test_states).n_truncated;
    if (cut > result->n_truncated) result->n_truncated = cut;
    return TP_OK;
}
