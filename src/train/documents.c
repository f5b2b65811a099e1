/* Tokenised documents and batches. See documents.h. */
#include "train/documents.h"

#include "base/mem.h"

tp_status tp_documents_add(tp_documents *d, const tp_tokenizer *tokenizer, const char *text, size_t n, int64_t context,
                           bool with_eos) {
    size_t before = d->tokens.len;
    int32_t bos = tp_tokenizer_bos(tokenizer), eos = tp_tokenizer_eos(tokenizer);
    if (bos >= 0) tp_ids_append(&d->tokens, bos);
    TP_TRY(tp_tokenizer_encode(tokenizer, text, n, TP_TOKENS_PLAIN, &d->tokens));
    if (with_eos && eos >= 0) tp_ids_append(&d->tokens, eos);
    int64_t inputs = (int64_t)(d->tokens.len - before) - 1;
    for (int64_t i = 0; i < inputs; i += context) {
        tp_grow(&d->pieces, &d->pieces_capacity, d->n_pieces, sizeof *d->pieces);
        d->pieces[d->n_pieces++] =
            (tp_piece){(int64_t)before + i, (int32_t)(inputs - i < context ? inputs - i : context)};
    }
    d->n_documents++;
    d->bytes += (int64_t)n;
    return TP_OK;
}

void tp_documents_free(tp_documents *d) {
    tp_ids_free(&d->tokens);
    tp_free(d->pieces);
    *d = (tp_documents){0};
}

void tp_documents_batch(const tp_documents *d, const int64_t *order, size_t n_order, size_t *at, int64_t max_tokens,
                        tp_token_batch *batch) {
    batch->inputs.len = batch->targets.len = 0;
    batch->n_sequences = 0;
    tp_grow(&batch->offsets, &batch->offsets_capacity, 1, sizeof *batch->offsets);
    batch->offsets[0] = 0;
    while (*at < n_order) {
        tp_piece piece = d->pieces[order[*at]];
        if (batch->n_sequences > 0 && (int64_t)batch->inputs.len + piece.n > max_tokens) break;
        for (int64_t i = piece.start; i < piece.start + piece.n; i++) {
            tp_ids_append(&batch->inputs, d->tokens.data[i]);
            tp_ids_append(&batch->targets, d->tokens.data[i + 1]);
        }
        tp_grow(&batch->offsets, &batch->offsets_capacity, (size_t)batch->n_sequences + 1, sizeof *batch->offsets);
        batch->offsets[++batch->n_sequences] = (int64_t)batch->inputs.len;
        ++*at;
    }
}

void tp_token_batch_free(tp_token_batch *batch) {
    tp_ids_free(&batch->inputs);
    tp_ids_free(&batch->targets);
    tp_free(batch->offsets);
    *batch = (tp_token_batch){0};
}
