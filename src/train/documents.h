/* Tokenised documents and the batches drawn from them. */
#ifndef TP_TRAIN_DOCUMENTS_H
#define TP_TRAIN_DOCUMENTS_H

#include "data/corpus.h"
#include "text/tokenizer.h"

/* A run of tokens predicted from each other: inputs tokens[start .. start + n - 1], targets one further. */
typedef struct tp_piece {
    int64_t start;
    int32_t n;
} tp_piece;

typedef struct tp_documents {
    tp_ids tokens; /* BOS, text, EOS of each document, end to end */
    tp_piece *pieces;
    size_t n_pieces, pieces_capacity;
    int64_t n_documents;
    int64_t bytes; /* of text */
} tp_documents;

/* Tokenises a document and appends its pieces of at most `context` inputs. With `with_eos` EOS is a target too. */
tp_status tp_documents_add(tp_documents *d, const tp_tokenizer *tokenizer, const char *text, size_t n, int64_t context,
                           bool with_eos);
void tp_documents_free(tp_documents *d);

/* A batch: whole pieces, end to end. Owned by whoever fills it; memory is reused. */
typedef struct tp_token_batch {
    tp_ids inputs, targets;
    int64_t *offsets; /* [n_sequences + 1] */
    size_t offsets_capacity;
    int64_t n_sequences;
} tp_token_batch;

/* Fills the batch with the pieces order[*at], order[*at + 1], ... while they fit into max_tokens (at least one), and
 * moves *at on. */
void tp_documents_batch(const tp_documents *d, const int64_t *order, size_t n_order, size_t *at, int64_t max_tokens,
                        tp_token_batch *batch);
void tp_token_batch_free(tp_token_batch *batch);

#endif
