/* The bridge: a sender's hidden states in, soft tokens for the receiver out.
 *
 * Every family of bridges shares the way in and the way out: hidden states are whitened with the sender's statistics,
 * *resampled* by the family to M tokens of the receiver's width, recoloured with the statistics of the receiver's
 * embeddings, and brought to their scale (SPEC 1.2 to 1.4). A family is therefore only its resampler, one file behind
 * the small table below (docs/adding-a-bridge.md). A bridge that reads several layers of the sender gets their states
 * side by side, whitens each by its own statistics, and mixes them by learned weights: no family knows of that either.
 *
 *     tp_bridge *b = tp_bridge_new(&recipe->bridge, d_sender, d_receiver, calibration, seed);
 *     tp_var *soft = tp_bridge_forward(tape, b, hidden, offsets, n);       [n * M, d_receiver]
 *     ... loss, tp_backward, optimiser over b->params ... */
#ifndef TP_BRIDGE_BRIDGE_H
#define TP_BRIDGE_BRIDGE_H

#include "autograd/ops.h"
#include "bridge/calibration.h"
#include "bridge/recipe.h"
#include "nn/params.h"

typedef struct tp_bridge tp_bridge;

/* What a family may be taught with in a step of training, beside the gradient that comes back to its soft tokens. Noise
 * is drawn from the tape's seed and step. */
typedef struct tp_bridge_lesson {
    tp_var *targets;    /* [n_sequences * M, d_target]: rows of the receiver's embeddings that the soft tokens are to
                           become; constants. NULL: no loss asks for them. The family gets them on its own side of the
                           way out (not yet recoloured) */
    bool tokens_taught; /* some loss sends a gradient through the soft tokens; false: they are only looked at */
} tp_bridge_lesson;

/* What a family gives beside its soft tokens in a step of training. */
enum { TP_MAX_FIGURES = 4, TP_MAX_CODE_PARTS = TP_MAX_LEVELS };
typedef struct tp_bridge_terms {
    tp_var *losses[TP_N_LOSSES]; /* its own losses, scalars, by name; NULL: not one of the family's */
    struct {
        const char *name; /* for the log, such as "perplexity" */
        double value;
    } figures[TP_MAX_FIGURES];
    int n_figures;
} tp_bridge_terms;

/* What makes a family. */
typedef struct tp_bridge_family {
    const char *name; /* `bridge.kind` of a recipe */
    /* How many numbers build will attach, so that a file's size can be checked before anything is allocated. */
    int64_t (*count)(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target);
    /* Attaches the resampler's parameters to bridge->params, initialised from the seed, and returns its layers, which
     * become bridge->layers. NULL with an error if the recipe asks for what the family cannot do. */
    void *(*build)(tp_bridge *bridge, uint64_t seed);
    /* x [n_total, d_source], whitened; sequence s owns the rows offsets[s] .. offsets[s + 1] - 1. Returns
     * [n_sequences * soft_tokens, d_target]. */
    tp_var *(*resample)(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences);
    /* The same while training, for a family with losses of its own, which go into *terms (cleared by the caller). NULL:
     * it has none, and resample is used. Its soft tokens are those of resample. */
    tp_var *(*train)(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                     const tp_bridge_lesson *lesson, tp_bridge_terms *terms);
    uint32_t own_losses; /* bit 1 << name is set for each loss that train gives */
    /* Families whose tokens are one of finitely many (the others have NULL): a token is `parts` numbers, of which each
     * has so many values as its size says. code_sizes fills sizes [TP_MAX_CODE_PARTS] and returns the parts; encode
     * gives the codes [n_sequences * M, parts] of what resample would give; decode gives the same rows from them. */
    int (*code_sizes)(const tp_bridge_recipe *recipe, int *sizes);
    void (*encode)(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets, int64_t n_sequences,
                   int32_t *codes);
    tp_var *(*decode)(tp_tape *tape, const tp_bridge *bridge, const int32_t *codes, int64_t n_tokens);
    /* What each soft token reads of one sequence x [n, d_source]: weights [depth, heads, soft_tokens, n]. NULL: the
     * family has no attention over its source. */
    void (*attention)(tp_tape *tape, const tp_bridge *bridge, tp_var *x, float *weights);
    /* Its blocks and heads, where they are not the recipe's depth and heads. */
    void (*attention_shape)(const tp_bridge_recipe *recipe, int *depth, int *heads);
    /* Sets the parameters in closed form, before the first step: n texts, of each the mean of its whitened states, x
     * [n, d_source], and what its soft tokens are to be, y [n, soft_tokens * d_target], not yet recoloured. NULL: the
     * family is trained only. */
    tp_status (*solve)(tp_bridge *bridge, const float *x, const float *y, int64_t n);
    void (*free)(void *layers); /* the structs; the parameters' numbers belong to bridge->params */
} tp_bridge_family;

extern const tp_bridge_family tp_bridge_perceiver, tp_bridge_linear, tp_bridge_mean_mlp, tp_bridge_weighted_pool,
    tp_bridge_cross_attention, tp_bridge_qformer, tp_bridge_transformer, tp_bridge_latent_cot, tp_bridge_ridge,
    tp_bridge_vq, tp_bridge_fsq, tp_bridge_diffusion;

/* The family of that name; NULL with an error that names `key` of the recipe if there is none. */
const tp_bridge_family *tp_bridge_family_find(const char *name, const char *key);

/* All families, NULL-terminated. */
extern const tp_bridge_family *const tp_bridge_families[];

struct tp_bridge {
    const tp_bridge_family *family;
    tp_bridge_recipe recipe;
    int64_t d_source, d_target; /* widths of the sender's hidden states and of the receiver's embeddings (or of its
                                   keys and values: see kv_statistics.h) */
    int64_t d_input;            /* numbers of a row that comes in: d_source for each layer that is read */
    tp_params params;           /* what is trained: the resampler's parameters, then `layer_mix` if there are several
                                   layers, then `scale`, then the normaliser's four vectors if they are learnable */
    void *layers;               /* the family's own */
    tp_weight layer_mix;        /* [layers]: scores whose softmax weighs them; absent with one layer */
    tp_bridge *inner;           /* whose tokens this one quantises (inner.h); its parameters are among ours; or NULL */
    tp_weight source_mean, source_std; /* [d_input]; absent with normaliser "none" */
    tp_weight target_mean, target_std; /* [d_target]; the same */
    tp_weight scale;                   /* [1]: what each soft token's RMS is (or what its tanh is multiplied by); of
                                          injected keys and values: that in units of each number's deviation */
};

/* A new bridge with random parameters, between models of these widths. The recipe must be complete (soft_tokens > 0);
 * with n_taps layers the calibration's source is n_taps * d_source wide. Without a calibration (NULL) the
 * normaliser's means are 0, its deviations 1, and the scale is 1: for whoever fills them in next. The calibration is
 * copied. NULL on error. */
tp_bridge *tp_bridge_new(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target,
                         const tp_calibration *calibration, uint64_t seed);
void tp_bridge_free(tp_bridge *bridge); /* takes NULL */

/* Soft tokens [n_sequences * M, d_target], sequence after sequence, from hidden states [n_total, d_input]. Dropout
 * acts only while the tape records (tape->frozen is false). Offsets must outlive the step. */
tp_var *tp_bridge_forward(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                          int64_t n_sequences);

/* The same in a step of training: soft tokens, and in *terms the losses that the family has of its own (for those that
 * ask, the lesson's targets are embeddings of the receiver, [n_sequences * M, d_target]). */
tp_var *tp_bridge_forward_training(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                                   int64_t n_sequences, const tp_bridge_lesson *lesson, tp_bridge_terms *terms);

/* Solves for the parameters of a family that can be solved for (others: an error). Of each of n texts the mean of its
 * hidden states, means [n, d_input], and the embeddings of the receiver that its soft tokens are to come near, targets
 * [n, M * d_target]. */
tp_status tp_bridge_solve(tp_bridge *bridge, const float *means, const float *targets, int64_t n);

/* Whether bridges of this kind are solved for before they are trained, if they are trained at all. */
bool tp_bridge_is_solved(const char *kind);

/* The two ends that all families share: what the family gets to see of hidden states [n_total, d_source], and what the
 * receiver gets of the family's tokens [n, d_target]. */
tp_var *tp_bridge_way_in(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden);
tp_var *tp_bridge_way_out(tp_tape *tape, const tp_bridge *bridge, tp_var *tokens);

/* Whether bridges of this kind have that loss of their own ("vq", "fsq", "flow" belong to one family each). */
bool tp_bridge_has_loss(const char *kind, tp_loss_name loss);

/* Whether the bridge has attention over its source to look at. */
bool tp_bridge_has_attention(const tp_bridge *bridge);

/* What each soft token reads of one text with hidden states [n, d_input]: weights [depth, heads, M, n], each row a
 * distribution over the states, as tp_bridge_forward uses and forgets them; tp_bridge_attention_shape gives depth and
 * heads. An error for a family without attention. */
tp_status tp_bridge_attention(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, float *weights);

void tp_bridge_attention_shape(const tp_bridge *bridge, int *depth, int *heads);

int64_t tp_bridge_n_parameters(const tp_bridge *bridge); /* numbers that are trained */

/* The numbers that a bridge of this recipe is made of, trained or frozen; -1 with an error if there is no such family.
 */
int64_t tp_bridge_count(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target);

/* Calls visit for every tensor that makes up the bridge, trained or frozen, in a fixed order. */
void tp_bridge_visit(tp_bridge *bridge, void (*visit)(void *context, tp_weight *w), void *context);

#endif
