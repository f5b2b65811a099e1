/* The recipe: one JSON file that describes a whole experiment.
 *
 * Models, task, bridge, layout, losses, optimiser, seed: everything a run depends on stands here, so that a new phase
 * of an experiment is a new file and not a new trainer. The complete recipe, every default filled in, is stored in each
 * checkpoint; evaluation and serving read it from there. Reading is strict: a key nobody knows or a value of the wrong
 * type is refused with the key's name. docs/recipe.md lists every key.
 *
 * Some defaults depend on how many classes the task has (SPEC 2), which is known only once its data is read:
 *
 *     tp_recipe *r = tp_recipe_load(path);          those fields are unset ("by the task" below)
 *     ... command-line options overwrite fields, set or unset ...
 *     task = tp_task_load(...);
 *     tp_recipe_complete(r, task->n_labels, task->primer);      now every field holds what will be used
 */
#ifndef TP_BRIDGE_RECIPE_H
#define TP_BRIDGE_RECIPE_H

#include "base/json.h"
#include "bridge/latentwire_recipe.h"
#include "bridge/recipe_regime.h"
#include "tensor/matmul.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum tp_loss_name {                      /* docs/training.md gives each formula */
                            TP_LOSS_LM,          /* cross-entropy on the answer tokens + EOS */
                            TP_LOSS_FIRST_TOKEN, /* cross-entropy on the first answer token alone */
                            TP_LOSS_BOTTLENECK,  /* cross-entropy on the answer tokens, the first `tokens` of them
                                                    `factor` times */
                            TP_LOSS_DIVERSITY,   /* mean off-diagonal cosine of the flattened soft tokens of a batch */
                            TP_LOSS_CONTRASTIVE, /* InfoNCE on mean-pooled soft tokens */
                            TP_LOSS_ANCHOR, /* from the mean soft token to the mean embedding of answer or question */
                            TP_LOSS_ALIGN,  /* from the first `tokens` soft tokens to the answer's first embeddings */
                            TP_LOSS_RECON, /* the sender's states from the soft tokens, by a head that is thrown away */
                            TP_LOSS_BOW,   /* which source tokens occur, by another such head */
                            TP_LOSS_DISTILL, /* KL from the receiver that reads the text to the one that reads the soft
                                                tokens */
                            TP_LOSS_SCALE_REG, /* (s - 1)^2 of a bridge's scales */
                            TP_LOSS_VQ,        /* these three come with bridges of their kinds */
                            TP_LOSS_FSQ,
                            TP_LOSS_FLOW,
                            TP_N_LOSSES,
} tp_loss_name;

typedef enum tp_loss_schedule {
    TP_SCHEDULE_CONSTANT,
    TP_SCHEDULE_ANNEAL, /* 0 until step `from`, then a straight line up to the full weight at step `to` and after */
    TP_SCHEDULE_WINDOW, /* the full weight at steps from .. to - 1, 0 elsewhere */
} tp_loss_schedule;

typedef enum tp_sender_prompt { TP_PROMPT_PLAIN, TP_PROMPT_LABELS } tp_sender_prompt; /* without, with list of labels */
typedef enum tp_positives { /* what a batch's example should be found by, among the other examples */
                            TP_POSITIVES_VIEWS, /* itself, through the bridge with another dropout mask */
                            TP_POSITIVES_LABEL, /* the other examples of its label */
                            TP_POSITIVES_SELF,  /* itself, exactly: only pushes the others away */
} tp_positives;
typedef enum tp_anchor_target { TP_ANCHOR_ANSWER, TP_ANCHOR_QUESTION } tp_anchor_target;
typedef enum tp_distance { TP_DISTANCE_COSINE, TP_DISTANCE_MSE } tp_distance; /* 1 - cosine; mean squared difference */
typedef enum tp_recon_target { TP_RECON_POOLED, TP_RECON_TOKEN } tp_recon_target;

typedef struct tp_loss_term {
    tp_loss_name name;
    double weight; /* NAN: by the task (diversity 0 with two classes), else as tp_recipe_complete says */
    tp_loss_schedule schedule;
    int64_t from, to; /* optimiser steps; anneal and window only */
    /* What only some losses have. */
    int tokens;              /* bottleneck 10, align 4, distill 0 (all) */
    double factor;           /* bottleneck 100 */
    double temperature;      /* contrastive 0.07, distill 1 */
    tp_positives positives;  /* contrastive */
    tp_anchor_target target; /* anchor, flow */
    tp_distance distance;    /* anchor cosine, recon mse */
    tp_recon_target of;      /* recon */
    tp_sender_prompt prompt; /* distill: how the teacher is asked; labels */
} tp_loss_term;

typedef enum tp_target {
    TP_TARGET_ANSWER,
    TP_TARGET_TEXT_AND_ANSWER, /* the text that the sender read, the primer, then the answer: an auto-encoder */
} tp_target;
typedef enum tp_side { TP_SIDE_LEFT, TP_SIDE_RIGHT } tp_side;
typedef enum tp_normaliser { TP_NORMALISER_WHITEN, TP_NORMALISER_NONE } tp_normaliser;
typedef enum tp_output_scale { TP_SCALE_RMS, TP_SCALE_TANH } tp_output_scale;
typedef enum tp_injection { TP_INJECT_SOFT, TP_INJECT_KV } tp_injection; /* soft tokens; keys and values per layer */
typedef enum tp_lr_schedule { TP_LR_COSINE, TP_LR_CONSTANT } tp_lr_schedule;
typedef enum tp_cache_kind { TP_CACHE_MEMORY, TP_CACHE_DISK, TP_CACHE_NONE } tp_cache_kind;

enum { TP_MAX_TAPS = 16 }; /* layers that one bridge may read */

typedef enum tp_code_distance { TP_CODES_L2, TP_CODES_COSINE } tp_code_distance;

enum { TP_MAX_LEVELS = 64 };

typedef enum tp_conditioning {                      /* what a diffusion knows of the sender's states */
                               TP_CONDITION_HYBRID, /* a learned query's summary, and all of them */
                               TP_CONDITION_POOLED, /* their mean */
                               TP_CONDITION_CROSS,  /* all of them, by cross-attention */
} tp_conditioning;

/* What describes a bridge by itself: all that tp_bridge_new needs beside widths, statistics and a seed. */
typedef struct tp_bridge_recipe {
    char kind[32];    /* the family: "perceiver" (tp_bridge_families lists them) */
    int soft_tokens;  /* M; 0: by the task (8; 4 for two classes; 16 for 50 or more) */
    int depth;        /* blocks */
    int heads;        /* of attention; divides width */
    int width;        /* d_b, the bottleneck's width */
    int ffn_multiple; /* the feed-forward layer's width is this times d_b */
    double dropout;   /* of what each attention and feed-forward layer adds, while training */
    tp_normaliser normaliser;
    bool learnable_normaliser; /* train its four vectors too */
    tp_output_scale scale;
    int steps;      /* latent_cot: how often the blocks are run through, divides soft_tokens (4); diffusion: steps from
                       noise to soft tokens (10) */
    double penalty; /* ridge: of its weights, relative to the mean variance of an input */
    int n_taps;     /* layers of the sender whose states it gets side by side; 0 or 1: one (no key of its own: it is the
                       length of `sender.layers`) */
    tp_injection injection;
    int segment_tokens;      /* the sender reads a text in segments of so many tokens, each of which becomes */
    int segment_soft_tokens; /* so many (4), and these the packet (hierarchy.c); segment_tokens 0: no segments */
    /* What only some families have. */
    char inner[32];            /* vq, fsq: the family whose tokens are quantised ("perceiver") */
    int codes;                 /* vq: how many (4096) */
    tp_code_distance distance; /* vq */
    double commitment;         /* vq: weight of what pulls tokens to their codes (0.25) */
    double entropy;            /* vq: of the bonus for using all codes evenly (0.1) */
    int levels[TP_MAX_LEVELS]; /* fsq: of each dimension (8 of 8 each) */
    int n_levels;
    tp_conditioning conditioning; /* diffusion */
} tp_bridge_recipe;

/* Defaults of a family's own keys, into the fields "what only some families have". */
void tp_bridge_recipe_defaults(tp_bridge_recipe *bridge);

enum { TP_MAX_LOSSES = TP_N_LOSSES }; /* each at most once */

/* What people should know of a recipe that repeats an experiment of others. It decides nothing: tp_recipe_to_json
 * leaves it out, so it is no part of what a run is known by. All may be NULL. */
typedef struct tp_recipe_comment {
    char *did;      /* what they did */
    char *reported; /* the figures they reported */
    char *verdict;  /* their own conclusion, in a few words */
    char *where;    /* document and section */
    char *here;     /* what differs in this recipe, and why */
} tp_recipe_comment;

typedef struct tp_recipe {
    char *name; /* for tables and folders; the file's stem if the file does not say */
    tp_recipe_comment comment;
    struct {
        char *sender, *receiver; /* paths or names; NULL: given on the command line */
    } models;
    struct { /* as in tp_task_options (data/task.h); texts may be NULL */
        char *name, *data, *train_file, *test_file, *text_column, *label_column;
        double valid_fraction; /* 0.1 */
        uint64_t split_seed;   /* 42 */
        int64_t max_train, max_test;
        bool drop_overlap; /* leave out training rows whose text stands in test */
    } task;
    json_t *tasks; /* further tasks for the same bridge, as read; NULL: none; owned */
    struct {
        int layer;               /* hidden state to tap: 0 = embeddings; -1: layer_fraction counts */
        double layer_fraction;   /* of the sender's depth; -1: by the task (1/2; 3/4 for two classes) */
        int layers[TP_MAX_TAPS]; /* several hidden states instead, from low to high; then `layer` is the last of them */
        int n_layers;            /* 0: `layer` or layer_fraction alone */
        tp_sender_prompt prompt;
        int max_tokens;          /* of the whole prompt; the text in it is cut to fit */
        tp_side truncate;        /* the side of the text that is cut off */
        double position_dropout; /* the share of positions that the bridge does not see, while training */
    } sender;
    tp_bridge_recipe bridge;
    tp_latentwire_recipe *latentwire; /* several receivers of one latent; NULL: one receiver, as usual */
    char *layout;                     /* "{bos}{soft}{primer}"; see layout.h */
    char *primer;                     /* NULL: the task's */
    tp_target target;                 /* what the receiver learns to say; evaluation asks for the answer alone */
    tp_loss_term losses[TP_MAX_LOSSES];
    int n_losses; /* 0: lm, first_token and diversity, with their weights by the task */
    tp_regime regime;
    tp_cascade cascade;
    struct {
        double lr; /* 0: by the task (2e-4; 5e-4 for two classes) */
        double weight_decay, beta1, beta2, eps;
        int64_t warmup; /* steps; -1: steps / 20 */
        tp_lr_schedule schedule;
        double min_lr_ratio; /* the cosine ends at lr times this */
        double ema;  /* decay of the average of the parameters that is validated and kept; 0: none (the usual) */
        double clip; /* largest L2 norm of all gradients together; 0: no clipping */
        int batch, accumulate;
        int64_t steps; /* updates; -1: by the task (2000; 4000 for two classes; 3000 for 50 or more; 0 for a bridge that
                          is solved for) */
    } optimiser;
    bool balanced; /* `sampling.balanced`: rows drawn with weight N / (n_c |C|) */
    struct {
        int64_t patience; /* evaluations without improvement before stopping; 0: never */
        int64_t every;    /* steps between validations */
    } early_stopping;
    struct {
        int64_t every; /* steps; 0: never */
        int64_t examples;
    } quick_eval;
    struct {
        tp_cache_kind kind;
        int64_t max_bytes;
    } cache;
    int64_t calibration_texts; /* `calibration.texts` */
    tp_math math;
    uint64_t seed;
} tp_recipe;

/* Reads a file. NULL on error. */
tp_recipe *tp_recipe_load(const char *path);

/* The same from a JSON object (borrowed); `name` is what error messages call it. An empty object is a valid recipe. */
tp_recipe *tp_recipe_from_json(json_t *value, const char *name);

/* Fills in what is by the task, and `primer` (NULL or "": none) where the recipe has none. Fields already set stay. */
void tp_recipe_complete(tp_recipe *recipe, int n_classes, const char *primer);

/* All fields but the comment as a new JSON object that tp_recipe_from_json reads back; unset ones are left out. */
json_t *tp_recipe_to_json(const tp_recipe *recipe);

void tp_recipe_free(tp_recipe *recipe); /* takes NULL */

/* The hidden state to tap of a sender with n_layers blocks (of several, the last): a fraction is rounded to the nearest
 * layer. The recipe must be complete. An error if the sender has no such layer. */
tp_status tp_recipe_layer(const tp_recipe *recipe, int n_layers, int *layer);

/* What is tapped, for people: "layer 3", "layers 1, 3 and 5". `layer` is what tp_recipe_layer gave. Owned by the
 * caller. */
char *tp_recipe_layers_text(const tp_recipe *recipe, int layer);

/* The weight of a loss at an optimiser step (from 0). */
double tp_loss_weight(const tp_loss_term *term, int64_t step);

/* "lm", "first_token", ... */
const char *tp_loss_name_text(tp_loss_name name);

/* Whether the loss is about what the receiver answers, and not about the soft tokens alone. */
bool tp_loss_asks_for_the_answer(tp_loss_name name);

/* Further tasks of a recipe (`tasks`): how many, the weight of one, and the recipe with that one as its own task, from
 * the recipe's JSON: with its layout and primer, if it has any, and without further ones. NULL on error. */
int tp_recipe_n_further(const tp_recipe *recipe);
double tp_recipe_further_weight(const tp_recipe *recipe, int i);
tp_recipe *tp_recipe_further(const json_t *recipe, int i);

/* Sets a text field (frees the old text, copies the new one): tp_recipe_set_text(&recipe->models.sender, path). */
void tp_recipe_set_text(char **field, const char *text);

#endif
