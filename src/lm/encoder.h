/* Text encoders of the BERT kind. (Embeddings of texts: lm/embed.h.)
 *
 * BERT (Devlin et al. 2019): learned positions, blocks that normalise after each residual sum, attention that sees both
 * ways, GELU. Sentence embeddings (Reimers and Gurevych 2019) pool the last states of a text's tokens into one row; how
 * is said by the files that sentence-transformers keeps beside the weights (modules.json, 1_Pooling/config.json,
 * sentence_bert_config.json). Weights are frozen and stay mapped; the forward pass is on the tape, so that gradients
 * reach whatever is put in. Batches are ragged, as everywhere. */
#ifndef TP_LM_ENCODER_H
#define TP_LM_ENCODER_H

#include "autograd/ops.h"
#include "lm/checkpoint.h"
#include "text/tokenizer.h"

typedef enum tp_pooling {
    TP_POOL_MEAN = 0, /* the mean of all tokens, the special ones included */
    TP_POOL_CLS,      /* the first token */
    TP_POOL_LAST,     /* the last token */
} tp_pooling;

extern const char *const tp_pooling_names[]; /* "mean", "cls", "last", NULL */

typedef struct tp_encoder_config {
    int vocab_size, d_model, n_layers, n_heads, d_ff;
    int n_positions; /* max_position_embeddings */
    int n_types;     /* type_vocab_size */
    double norm_eps;
    int max_tokens; /* texts are cut to this many, special tokens included; at most n_positions */
    tp_pooling pooling;
    bool normalize; /* sentence embeddings have length 1 */
} tp_encoder_config;

typedef struct tp_encoder_layer {
    tp_weight q, q_bias, k, k_bias, v, v_bias; /* [d_model, d_model], [d_model] */
    tp_weight o, o_bias;                       /* the same */
    tp_weight attn_norm, attn_norm_bias;       /* [d_model], after attention is added */
    tp_weight up, up_bias;                     /* [d_ff, d_model], [d_ff] */
    tp_weight down, down_bias;                 /* [d_model, d_ff], [d_model] */
    tp_weight ffn_norm, ffn_norm_bias;         /* [d_model] */
} tp_encoder_layer;

typedef struct tp_encoder {
    tp_encoder_config config;
    tp_weight words;                       /* [vocab_size, d_model] */
    tp_weight positions;                   /* [n_positions, d_model] */
    tp_weight types;                       /* [n_types, d_model] */
    tp_weight embed_norm, embed_norm_bias; /* [d_model] */
    tp_encoder_layer *layers;              /* [n_layers] */
    tp_tokenizer *tokenizer;               /* NULL if loaded without */
    tp_checkpoint *checkpoint;
    char *path; /* the folder */
    char fingerprint[33];
} tp_encoder;

/* Does the folder (or name in the Hugging Face cache) hold an encoder, by `model_type` of its config.json? False,
 * without an error, also where there is nothing. */
bool tp_encoder_is(const char *model);

/* Reads config.json and what sentence-transformers has beside it; without the latter: mean pooling, not normalised. */
tp_status tp_encoder_config_read(const char *folder, tp_encoder_config *config);

/* `model` is what tp_model_path (base/model_path.h) understands. NULL on error. */
tp_encoder *tp_encoder_load(const char *model, bool with_tokenizer);
void tp_encoder_free(tp_encoder *encoder); /* takes NULL */

/* Calls visit for every weight with its name (without the prefix "bert.") and shape; a vector has rows = 1. */
typedef tp_status (*tp_encoder_visitor)(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols);
tp_status tp_encoder_visit(tp_encoder *encoder, tp_encoder_visitor visit, void *context);

/* Hidden state 0 of sequences that lie end to end, [n, d_model]: words, positions and types added and normalised.
 * `types` NULL: all of type 0. Ids, types and lengths in range are the caller's business. */
tp_var *tp_encoder_embed(tp_tape *tape, const tp_encoder *encoder, const int32_t *ids, const int32_t *types,
                         const int64_t *offsets, int64_t n_sequences);

/* Blocks from .. to - 1 applied to x [n, d_model]: hidden state `from` in, `to` out. offsets [n_sequences + 1] must
 * outlive the step. */
tp_var *tp_encoder_blocks(tp_tape *tape, const tp_encoder *encoder, tp_var *x, const int64_t *offsets,
                          int64_t n_sequences, int from, int to);

/* One row for each sequence, [n_sequences, cols]; of any model's states. A sequence must not be empty. */
tp_var *tp_pool(tp_tape *tape, tp_var *x, const int64_t *offsets, int64_t n_sequences, tp_pooling pooling);

/* Every row divided by its Euclidean length. */
tp_var *tp_unit_rows(tp_tape *tape, tp_var *x);

/* The ids of a text as the encoder reads it: with its special tokens, cut to max_tokens such that what ends a text
 * stays. Appended to *out. */
tp_status tp_encoder_tokenize(const tp_encoder *encoder, const char *text, size_t n, tp_ids *out);

#endif
