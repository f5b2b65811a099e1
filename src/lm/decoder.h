/* Running a decoder: the one forward pass.
 *
 * The same code taps hidden states, scores, generates with a cache and carries gradients; what differs is only whether
 * the tape records and whether there is a cache. Inputs are rows of embeddings [n, d_model], from token ids
 * (tp_lm_embed) or from anywhere else. Batches are ragged: sequences lie end to end. */
#ifndef TP_LM_DECODER_H
#define TP_LM_DECODER_H

#include "autograd/ops.h"
#include "lm/adapter.h"
#include "lm/kv_cache.h"
#include "lm/model.h"
#include "lm/prefix.h"

typedef struct tp_batch {
    int64_t n_sequences;
    const int64_t *offsets; /* [n_sequences + 1]; sequence s owns rows offsets[s] .. offsets[s + 1] - 1 */
    tp_kv_cache *cache;     /* NULL: sequences start at position 0 and nothing is kept */
    const int64_t *slots;   /* [n_sequences]: each sequence's slot; it continues at the slot's length */

    /* What all sequences have read before their rows, or NULL. Not together with a cache. */
    const tp_prefix *prefix;

    /* Keys and values that nobody read anything for: n_injected positions of each sequence, behind what was read before
     * (prefix, or the slot's rows) and before its own rows, which attend to them and whose gradients reach them. A row
     * [tp_lm_kv_width] holds layer 0's keys [n_kv_heads * head_dim], as they are before they are turned to their
     * positions, then its values, then layer 1's, and so on. NULL: none. */
    tp_var *injected; /* [n_sequences * n_injected, tp_lm_kv_width(config)] */
    int64_t n_injected;

    /* [n_sequences + 1], or NULL for all rows: of the last block only the final wanted[s + 1] - wanted[s] rows of each
     * sequence are computed, and the result is these rows. What comes before the answer is needed as keys and values
     * only there. */
    const int64_t *wanted;

    const tp_adapter *adapter; /* added to the model's own weights; NULL: nothing */

    /* Is shown each layer's own keys, before they are turned, and values [n, n_kv_heads * head_dim]; NULL: nobody. */
    void (*look)(void *context, int layer, const tp_var *k, const tp_var *v);
    void *look_context;
} tp_batch;

/* The numbers of one position's keys and values in all layers: the width of injected rows. */
static inline int64_t tp_lm_kv_width(const tp_lm_config *config) {
    return 2 * (int64_t)config->n_layers * config->n_kv_heads * config->head_dim;
}

/* Embedding rows of ids, [n, d_model], scaled where the family scales them. An id outside the vocabulary is a mistake
 * of the caller. */
tp_var *tp_lm_embed(tp_tape *tape, const tp_lm *lm, const int32_t *ids, int64_t n);

/* Blocks from .. to - 1 applied to the residual stream x [n, d_model]: hidden state `from` in, hidden state `to` out (0
 * is the embeddings; n_layers is the last, before the final norm). Where positions are learned the first block adds
 * them, so that state 0 is what a caller may put in; no row may stand at max_position_embeddings or beyond then. On a
 * frozen tape what a block computes on the way is forgotten when it is done. With a cache the tape must be frozen, and
 * all calls of a sequence must cover the same blocks. Returns [n, d_model], or what batch->wanted says. */
tp_var *tp_lm_blocks(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch, int from, int to);

/* Whether a text of that length turns by LongRoPE's long factors. Without a cache a sequence's own length decides, as
 * in transformers; with one its slot's capacity does, since keys that are kept cannot change their angles later. */
bool tp_lm_turns_long(const tp_lm_config *config, int64_t length);

/* Next-token logits [n, vocab_size] from rows of the last hidden state (final norm and output matrix). */
tp_var *tp_lm_logits(tp_tape *tape, const tp_lm *lm, tp_var *hidden);

#endif
