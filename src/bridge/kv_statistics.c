/* Measuring a receiver's keys and values. See kv_statistics.h. */
#include "bridge/kv_statistics.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* One text's rows [n, width], gathered layer by layer. */
typedef struct {
    float *rows;
    int64_t n, width;
} gathered;

static void gather_layer(void *context, int layer, const tp_var *k, const tp_var *v) {
    const gathered *g = context;
    for (int64_t i = 0; i < g->n; i++) {
        float *at = g->rows + i * g->width + 2 * layer * k->cols;
        memcpy(at, k->data + i * k->cols, (size_t)k->cols * sizeof(float));
        memcpy(at + k->cols, v->data + i * k->cols, (size_t)k->cols * sizeof(float));
    }
}

static double sum_of_rms(const float *rows, int64_t n, int64_t width) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double square = 0;
        for (int64_t j = 0; j < width; j++) square += (double)rows[i * width + j] * rows[i * width + j];
        sum += sqrt(square / (double)width);
    }
    return sum;
}

tp_moments *tp_kv_moments(const tp_lm *receiver, tp_math math, const tp_example *const *texts, int64_t n,
                          int64_t max_tokens, double *rms) {
    int64_t width = tp_lm_kv_width(&receiver->config);
    tp_moments *moments = tp_moments_new(width);
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    tp_ids ids = {0};
    tp_status status = TP_OK;
    *rms = 0;
    for (int64_t t = 0; t < n && status == TP_OK; t++) {
        tp_tape_reset(tape);
        ids.len = 0;
        status = tp_tokenizer_encode(receiver->tokenizer, texts[t]->text, texts[t]->len, TP_TOKENS_ADD_SPECIAL, &ids);
        int64_t read = (int64_t)ids.len < max_tokens ? (int64_t)ids.len : max_tokens;
        if (status != TP_OK || read < 2) continue;
        gathered g = {.n = read, .width = width};
        g.rows = tp_arena_alloc(tape->arena, (size_t)(read * width) * sizeof *g.rows);
        int64_t offsets[2] = {0, read};
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .look = gather_layer, .look_context = &g};
        tp_lm_blocks(tape, receiver, tp_lm_embed(tape, receiver, ids.data, read), &batch, 0, receiver->config.n_layers);
        tp_moments_add(moments, g.rows + width, read - 1);
        *rms += sum_of_rms(g.rows + width, read - 1, width);
    }
    tp_ids_free(&ids);
    tp_tape_free(tape);
    if (status == TP_OK && moments->n < 2)
        status = tp_fail(TP_ERR_ARGUMENT, "%lld texts hold not enough tokens to measure the receiver's keys and values",
                         (long long)n);
    if (status == TP_OK) {
        *rms /= (double)moments->n;
        return moments;
    }
    tp_moments_free(moments);
    return NULL;
}
