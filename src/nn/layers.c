/* Linear, norm, attention, feed-forward and whitening layers. See layers.h. */
#include "nn/layers.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { NAME_MAX_BYTES = 256 };

static void attach_part(tp_params *params, tp_weight *w, const char *name, const char *part, int64_t rows,
                        int64_t cols) {
    char *full = tp_format("%s.%s", name, part);
    tp_params_attach(params, w, full, rows, cols);
    tp_free(full);
}

void tp_nn_linear_attach(tp_params *params, tp_nn_linear *layer, const char *name, int64_t d_out, int64_t d_in,
                         bool bias, uint64_t seed) {
    attach_part(params, &layer->weight, name, "weight", d_out, d_in);
    tp_weight_init_normal(&layer->weight, seed, 1.0 / sqrt((double)d_in));
    if (bias) attach_part(params, &layer->bias, name, "bias", 1, d_out);
}

tp_var *tp_nn_linear_apply(tp_tape *tape, const tp_nn_linear *layer, tp_var *x) {
    return tp_linear(tape, x, &layer->weight, tp_weight_present(&layer->bias) ? &layer->bias : NULL);
}

void tp_nn_norm_attach(tp_params *params, tp_nn_norm *layer, const char *name, int64_t d) {
    attach_part(params, &layer->weight, name, "weight", 1, d);
    attach_part(params, &layer->bias, name, "bias", 1, d);
    tp_weight_init_value(&layer->weight, 1);
}

tp_var *tp_nn_norm_apply(tp_tape *tape, const tp_nn_norm *layer, tp_var *x) {
    return tp_layer_norm(tape, x, &layer->weight, &layer->bias, 1e-5f);
}

static void attach_attention(tp_params *params, tp_nn_attention *layer, const char *name, int64_t d, int64_t d_context,
                             int heads, bool bias, uint64_t seed) {
    assert(d % heads == 0);
    const char *const parts[] = {"q", "k", "v", "o"};
    tp_nn_linear *const linears[] = {&layer->q, &layer->k, &layer->v, &layer->o};
    for (int i = 0; i < 4; i++) {
        char full[NAME_MAX_BYTES];
        snprintf(full, sizeof full, "%s.%s", name, parts[i]);
        tp_nn_linear_attach(params, linears[i], full, d, i == 1 || i == 2 ? d_context : d, bias, seed);
    }
    layer->heads = heads;
}

void tp_nn_attention_attach(tp_params *params, tp_nn_attention *layer, const char *name, int64_t d, int heads,
                            uint64_t seed) {
    attach_attention(params, layer, name, d, d, heads, false, seed);
}

void tp_nn_attention_attach_biased(tp_params *params, tp_nn_attention *layer, const char *name, int64_t d,
                                   int64_t d_context, int heads, uint64_t seed) {
    attach_attention(params, layer, name, d, d_context, heads, true, seed);
}

tp_var *tp_nn_attention_apply(tp_tape *tape, const tp_nn_attention *layer, tp_var *x, tp_var *context,
                              const int64_t *x_offsets, const int64_t *context_offsets, int64_t n_sequences) {
    int d = (int)layer->q.weight.rows / layer->heads;
    tp_attention_spec spec = {
        .n_heads = layer->heads, .n_kv_heads = layer->heads, .head_dim = d, .scale = 1.0f / sqrtf((float)d)};
    tp_var *q = tp_nn_linear_apply(tape, &layer->q, x);
    tp_var *k = tp_nn_linear_apply(tape, &layer->k, context);
    tp_var *v = tp_nn_linear_apply(tape, &layer->v, context);
    tp_var *read = tp_attention(tape, q, k, v, x_offsets, context_offsets, n_sequences, &spec);
    return tp_nn_linear_apply(tape, &layer->o, read);
}

void tp_nn_softmax(float *scores, int64_t n) {
    float highest = scores[0];
    double sum = 0;
    for (int64_t j = 1; j < n; j++) highest = fmaxf(highest, scores[j]);
    for (int64_t j = 0; j < n; j++) sum += scores[j] = expf(scores[j] - highest);
    for (int64_t j = 0; j < n; j++) scores[j] = (float)(scores[j] / sum);
}

void tp_nn_attention_weights(tp_tape *tape, const tp_nn_attention *layer, tp_var *x, tp_var *context, float *weights) {
    const tp_var *q = tp_nn_linear_apply(tape, &layer->q, x), *k = tp_nn_linear_apply(tape, &layer->k, context);
    int64_t width = q->cols, d = width / layer->heads;
    double scale = 1 / sqrt((double)d);
    for (int64_t h = 0; h < layer->heads; h++)
        for (int64_t i = 0; i < q->rows; i++) {
            float *row = weights + (h * q->rows + i) * k->rows;
            for (int64_t j = 0; j < k->rows; j++) {
                const float *query = q->data + i * width + h * d, *key = k->data + j * width + h * d;
                double score = 0;
                for (int64_t c = 0; c < d; c++) score += (double)query[c] * key[c];
                row[j] = (float)(score * scale);
            }
            tp_nn_softmax(row, k->rows);
        }
}

void tp_nn_ffn_attach(tp_params *params, tp_nn_ffn *layer, const char *name, int64_t d, int64_t d_ff, uint64_t seed) {
    char full[NAME_MAX_BYTES];
    snprintf(full, sizeof full, "%s.up", name);
    tp_nn_linear_attach(params, &layer->up, full, d_ff, d, true, seed);
    snprintf(full, sizeof full, "%s.down", name);
    tp_nn_linear_attach(params, &layer->down, full, d, d_ff, true, seed);
}

tp_var *tp_nn_ffn_apply(tp_tape *tape, const tp_nn_ffn *layer, tp_var *x) {
    return tp_nn_linear_apply(tape, &layer->down, tp_gelu(tape, tp_nn_linear_apply(tape, &layer->up, x)));
}

tp_var *tp_nn_block_apply(tp_tape *tape, const tp_nn_block *block, tp_var *x, const int64_t *offsets,
                          int64_t n_sequences, float dropout) {
    tp_var *n = tp_nn_norm_apply(tape, &block->norm, x);
    tp_var *more = tp_nn_attention_apply(tape, &block->attention, n, n, offsets, offsets, n_sequences);
    x = tp_add(tape, x, tp_dropout(tape, more, dropout));
    more = tp_nn_ffn_apply(tape, &block->ffn, tp_nn_norm_apply(tape, &block->ffn_norm, x));
    return tp_add(tape, x, tp_dropout(tape, more, dropout));
}

/* With y = (x - m) / s:  dx = dy / s,  dm = -sum over rows of dy / s,  ds = -sum over rows of dy y / s. */
static void whiten_backward(tp_tape *tape, tp_node *node) {
    tp_var *x = node->in[0];
    const tp_var *y = node->out;
    const tp_weight *mean = node->weight[0], *std = node->weight[1];
    const float *s = tp_weight_f32(std, false);
    float *dx = x->wants_grad ? tp_var_grad(tape, x) : NULL;
    for (int64_t i = 0; i < y->rows; i++)
        for (int64_t j = 0; j < y->cols; j++) {
            int64_t at = i * y->cols + j;
            float through = y->grad[at] / s[j];
            if (dx) dx[at] += through;
            if (mean->grad) mean->grad[j] -= through;
            if (std->grad) std->grad[j] -= through * y->data[at];
        }
}

tp_var *tp_nn_whiten(tp_tape *tape, tp_var *x, const tp_weight *mean, const tp_weight *std) {
    assert(mean->rows * mean->cols == x->cols && std->rows * std->cols == x->cols);
    const float *m = tp_weight_f32(mean, false), *s = tp_weight_f32(std, false);
    tp_var *y = tp_var_new(tape, x->rows, x->cols);
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < x->cols; j++) y->data[i * x->cols + j] = (x->data[i * x->cols + j] - m[j]) / s[j];
    tp_record(tape, whiten_backward, y, (tp_var *[3]){x}, (const tp_weight *[2]){mean, std});
    return y;
}
