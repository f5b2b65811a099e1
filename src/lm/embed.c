/* Embeddings of texts by encoders and decoders. See embed.h. */
#include "lm/embed.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { BATCH_TOKENS = 4096 };

tp_embedder *tp_embedder_load(const char *model) {
    if (model == NULL) return tp_fail_null(TP_ERR_ARGUMENT, "tp_embedder_load: `model` is NULL");
    tp_embedder *e = tp_alloc(sizeof *e);
    if (tp_encoder_is(model)) {
        e->encoder = tp_encoder_load(model, true);
        if (e->encoder) {
            const tp_encoder_config *c = &e->encoder->config;
            e->d_model = c->d_model;
            e->n_layers = c->n_layers;
            e->max_tokens = c->max_tokens;
            e->pooling = c->pooling;
            e->normalize = c->normalize;
        }
    } else {
        e->lm = tp_lm_load(model, true);
        if (e->lm) {
            e->d_model = e->lm->config.d_model;
            e->n_layers = e->lm->config.n_layers;
            e->max_tokens = e->lm->config.max_position_embeddings;
        }
    }
    e->layer = e->n_layers;
    if (e->encoder || e->lm) return e;
    tp_free(e);
    return NULL;
}

void tp_embedder_free(tp_embedder *e) {
    if (e == NULL) return;
    tp_encoder_free(e->encoder);
    tp_lm_free(e->lm);
    tp_free(e);
}

static tp_status tokenize(const tp_embedder *e, const char *text, tp_ids *ids) {
    if (e->encoder) return tp_encoder_tokenize(e->encoder, text, strlen(text), ids);
    size_t before = ids->len;
    TP_TRY(tp_tokenizer_encode(e->lm->tokenizer, text, strlen(text), TP_TOKENS_ADD_SPECIAL, ids));
    if (ids->len - before > (size_t)e->max_tokens) ids->len = before + (size_t)e->max_tokens;
    return TP_OK;
}

static void embed_batch(tp_tape *tape, const tp_embedder *e, const tp_ids *ids, const int64_t *offsets, int64_t n,
                        float *out) {
    tp_tape_reset(tape);
    tp_var *x;
    if (e->encoder) {
        x = tp_encoder_embed(tape, e->encoder, ids->data, NULL, offsets, n);
        x = tp_encoder_blocks(tape, e->encoder, x, offsets, n, 0, e->layer);
    } else {
        tp_batch batch = {.n_sequences = n, .offsets = offsets};
        x = tp_lm_embed(tape, e->lm, ids->data, (int64_t)ids->len);
        x = tp_lm_blocks(tape, e->lm, x, &batch, 0, e->layer);
    }
    x = tp_pool(tape, x, offsets, n, e->pooling);
    if (e->normalize) x = tp_unit_rows(tape, x);
    memcpy(out, x->data, (size_t)(n * x->cols) * sizeof *out);
}

tp_status tp_embedder_texts(const tp_embedder *e, const char *const *texts, size_t n_texts, tp_math math,
                            tp_progress *progress, float *out) {
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    tp_ids ids = {0};
    int64_t *offsets = tp_alloc((n_texts + 1) * sizeof *offsets);
    tp_status status = TP_OK;
    size_t done = 0;
    double tokens = 0;
    tp_progress_begin(progress, "embed", (double)n_texts, "texts", "tokens");
    for (size_t i = 0; i < n_texts && status == TP_OK; i++) {
        status = tokenize(e, texts[i], &ids);
        offsets[i - done + 1] = (int64_t)ids.len;
        if (status == TP_OK && offsets[i - done] == offsets[i - done + 1])
            status = tp_fail(TP_ERR_ARGUMENT, "text %zu has no tokens, there is nothing to embed", i + 1);
        if (status != TP_OK || (i + 1 < n_texts && ids.len < BATCH_TOKENS)) continue;
        embed_batch(tape, e, &ids, offsets, (int64_t)(i + 1 - done), out + done * (size_t)e->d_model);
        done = i + 1;
        tokens += (double)ids.len;
        ids.len = 0;
        tp_progress_update(progress, (double)done, tokens, "%s", "");
    }
    tp_progress_end(progress);
    tp_free(offsets);
    tp_ids_free(&ids);
    tp_tape_free(tape);
    return status;
}

double tp_cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}
