/* Pretraining a small decoder from plain text: next-token prediction on packed, ragged documents.
 *
 * Documents are tokenised once, each between BOS and EOS, and cut into pieces of at most `context` tokens; every epoch
 * draws the pieces in a new order and fills batches of at most `batch_tokens`. Sequences lie end to end: attention
 * never crosses a document, and nothing is padded. Parameters are f32; products follow `math`. */
#ifndef TP_TRAIN_PRETRAIN_H
#define TP_TRAIN_PRETRAIN_H

#include "base/progress.h"
#include "data/corpus.h"
#include "lm/model.h"
#include "tensor/matmul.h"
#include "train/optimizer.h"

#include <signal.h>

typedef struct tp_pretrain_options {
    const tp_lm_config *config;
    const char *tokenizer;    /* folder; its files are copied beside the model */
    const char *const *files; /* training text, as tp_corpus_open takes it */
    size_t n_files;
    const char *out; /* folder: state while training, the model at the end */
    int64_t steps;   /* updates; 0: so many that `epochs` passes are made */
    double epochs;
    int64_t batch_tokens, context; /* context: at most the configuration's max_position_embeddings counts */
    double lr, min_lr_ratio;
    int64_t warmup;
    tp_adamw_options adamw;
    double embed_std;               /* of the new embedding table */
    double held_out;                /* share of documents kept for validation, chosen by their hash */
    int64_t eval_every, save_every; /* updates; 0: only at the end */
    uint64_t seed;
    tp_math math;
    const volatile sig_atomic_t
        *stop;             /* when it becomes nonzero: save the state and return TP_ERR_CANCELLED; or NULL */
    tp_progress *progress; /* or NULL */
} tp_pretrain_options;

typedef struct tp_pretrain_result {
    int64_t steps, tokens_seen, train_documents, held_out_documents, train_tokens;
    double train_loss;                /* nats per token, mean of the last 50 updates */
    double perplexity, bits_per_byte; /* on the held-out documents; NAN if there are none */
    double seconds;                   /* of this call */
    bool resumed;
} tp_pretrain_result;

/* Trains (or goes on training from the state in `out`) and writes the model, in bf16, with its tokenizer, into `out`.
 */
tp_status tp_pretrain(const tp_pretrain_options *options, tp_pretrain_result *result);

/* How well a model predicts text: each document alone, BOS before it, cut into pieces of `context` tokens; EOS is not
 * counted. Without a BOS token nothing predicts a document's first token, so it is not counted either. Without any
 * document the perplexity is NAN. */
typedef struct tp_text_score {
    int64_t documents, tokens, bytes;
    double nats; /* total negative log likelihood */
    double perplexity, bits_per_byte;
} tp_text_score;

tp_status tp_score_corpus(const tp_lm *lm, tp_corpus *corpus, int64_t context, tp_math math, tp_progress *progress,
                          tp_text_score *score);

#endif
