/* The layout: what the receiver reads.
 *
 * A template such as "{bos}{soft}{primer}" says where the soft tokens stand among the receiver's own tokens. It is part
 * of the trained bridge, so that training and inference cannot differ. Places are
 *
 *     {bos}     the receiver's begin-of-sequence token (nothing, if it has none)
 *     {soft}    the M soft tokens (at most once)
 *     {primer}  the recipe's primer, such as "Question type:"
 *     {text}    the example's own text (at most once), for a receiver that reads as well, and for text baselines
 *
 * and anything else is literal text. Neighbouring places of text are joined and tokenised as one text, the way the
 * tokenizer treats a text of its own (SentencePiece kinds put their blank before it).
 *
 * The answer follows with a leading blank. Its ids are what the tokenizer gives it *behind* the text that ends the
 * layout ("Question type: human" tokenised as a whole, then the primer's ids taken away); behind soft tokens, those it
 * would have behind a colon. Should a label merge with the end of the primer (a primer that ends in a blank), the ids
 * that do not survive are taken off the primer and counted to every answer, so that the receiver never reads a split
 * its tokenizer would not make.
 *
 * Where {soft} stands for keys and values of every layer (tp_batch.injected), it takes M positions but has no rows. The
 * receiver must have read what stands before it by itself, so that there may be only what is the same in every sequence
 * ({bos}, {primer}, literal text), and something must stand behind it, for the answer to be predicted from.
 *
 *     tp_layout *l = tp_layout_new(&options);
 *     tp_layout_build(l, tape->arena, items, n, M, &batch);
 *     tp_var *x = tp_layout_input(tape, receiver, &batch, soft);          [n_rows, d_model]
 *     tp_batch rows = {.n_sequences = n, .offsets = batch.offsets, .wanted = batch.target_offsets};
 *     tp_var *logits = tp_lm_logits(tape, receiver, tp_lm_blocks(tape, receiver, x, &rows, 0, n_layers));
 *     tp_var *loss = tp_cross_entropy(tape, logits, batch.targets, batch.lm_weights, NULL); */
#ifndef TP_BRIDGE_LAYOUT_H
#define TP_BRIDGE_LAYOUT_H

#include "autograd/ops.h"
#include "bridge/recipe.h"
#include "lm/generate.h"
#include "lm/model.h"
#include "text/tokenizer.h"

typedef struct tp_layout tp_layout;

typedef struct tp_layout_options {
    const char *pattern;           /* the template */
    const char *primer;            /* NULL or "": none */
    const tp_tokenizer *tokenizer; /* the receiver's; borrowed, must outlive the layout */
    int32_t eos;                   /* ends every answer; -1: the tokenizer's */
    const char *const *labels;     /* the answers known beforehand [n_labels]; NULL: none */
    int n_labels;
    int64_t max_text_tokens; /* bound on the run of text that holds {text}; 0: none */
    tp_side truncate;        /* the side of {text} that is cut off to keep the bound */
    bool injected;           /* {soft} stands for keys and values, not for rows of the receiver's input */
} tp_layout_options;

/* NULL on error: an unknown place, {soft} twice, no end-of-sequence token, an empty label. */
tp_layout *tp_layout_new(const tp_layout_options *options);
void tp_layout_free(tp_layout *layout); /* takes NULL */

bool tp_layout_has_soft(const tp_layout *layout);
bool tp_layout_has_text(const tp_layout *layout);
bool tp_layout_injected(const tp_layout *layout);
int32_t tp_layout_eos(const tp_layout *layout);

/* The ids of label i's answer, EOS last; owned by the layout. */
const tp_ids *tp_layout_label(const tp_layout *layout, int i);

/* Appends the ids of any answer, without its leading blank given, EOS last. */
tp_status tp_layout_encode_answer(const tp_layout *layout, const char *answer, size_t n, tp_ids *out);

typedef struct tp_layout_item {
    const char *text; /* for {text}; ignored without */
    size_t len;
    const int32_t *answer; /* ids to be learned, EOS last (tp_layout_label); NULL: none, the receiver is to speak */
    size_t n_answer;
} tp_layout_item;

/* A batch laid out. Everything lies in the arena given, hence lives as long as the step if it is the tape's. */
typedef struct tp_layout_batch {
    int64_t n_sequences, n_rows;
    int64_t *offsets; /* [n_sequences + 1]: sequence s is rows offsets[s] .. offsets[s + 1] - 1; the next token is
                         predicted at its last row */
    tp_row_ref *rows; /* [n_rows]: source 0 is row `row` of the embedded ids, source 1 of the soft tokens */
    int32_t *ids;     /* [n_ids]: to be embedded; not in the order of the rows */
    int64_t n_ids;
    int64_t n_truncated; /* items whose text was cut */

    /* What is learned: the answers' tokens, sequence after sequence. Soft tokens, primer and text have no targets. The
     * last rows of a sequence predict them, as many as it has targets. */
    int64_t n_targets;
    int64_t *target_offsets; /* [n_sequences + 1] into the three below */
    int32_t *targets;        /* [n_targets] */
    float *lm_weights;       /* [n_targets]: all 1 */
    float *first_weights;    /* [n_targets]: 1 for the first token of each answer, else 0 */
} tp_layout_batch;

/* Lays out n items; sequence s takes the soft tokens s * soft_tokens .. s * soft_tokens + soft_tokens - 1. An answer's
 * last token is a target only: nothing has to be computed behind it. */
tp_status tp_layout_build(const tp_layout *layout, tp_arena *arena, const tp_layout_item *items, int64_t n,
                          int soft_tokens, tp_layout_batch *out);

/* The ids that every sequence begins with, before its soft tokens or its text, appended; none where nothing might be
 * left behind them. */
void tp_layout_prefix(const tp_layout *layout, tp_ids *out);
int64_t tp_layout_prefix_length(const tp_layout *layout); /* how many they are */

/* tp_layout_build without these, for a model that has read them (tp_batch.prefix, tp_prompts.before). */
tp_status tp_layout_build_behind_prefix(const tp_layout *layout, tp_arena *arena, const tp_layout_item *items,
                                        int64_t n, int soft_tokens, tp_layout_batch *out);

/* Prompts of items without answers, for the receiver to continue, from their soft tokens (NULL: the layout has none),
 * in the tape's arena. `behind_prefix`: the caller has had the receiver read what the layout begins with, and sets
 * out->before; it must, if any, where {soft} is injected. *n_truncated (may be NULL) is added to. */
tp_status tp_layout_prompts(const tp_layout *layout, tp_tape *tape, const tp_lm *receiver, const tp_layout_item *items,
                            int64_t n, int soft_tokens, tp_var *soft, bool behind_prefix, tp_prompts *out,
                            int64_t *n_truncated);

/* The receiver's input [n_rows, d_model]. `soft` [n_sequences * M, d_model] may be NULL where the layout has no {soft},
 * and is NULL where it is injected. */
tp_var *tp_layout_input(tp_tape *tape, const tp_lm *receiver, const tp_layout_batch *batch, tp_var *soft);

#endif
