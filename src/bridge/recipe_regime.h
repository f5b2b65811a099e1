/* How training differs from the plain way: the recipe's sections `regime` and `cascade`. Everything is off by default,
 * and what is off is not written. docs/training.md says what each is for. */
#ifndef TP_BRIDGE_RECIPE_REGIME_H
#define TP_BRIDGE_RECIPE_REGIME_H

#include "base/json.h"

typedef enum tp_mask_kind { TP_MASK_ZERO, TP_MASK_NOISE } tp_mask_kind;

typedef struct tp_growth_stage {
    int64_t step; /* from this update on */
    int tokens;   /* so many soft tokens are used, the first ones */
} tp_growth_stage;

enum { TP_MAX_STAGES = 16 };

typedef struct tp_regime {
    double mask_answers;    /* masked teacher forcing: the share of answer tokens that the receiver is not shown */
    tp_mask_kind mask_with; /* zeros, or noise of the size of embeddings */
    double gradient_scale;  /* the gradient of the soft tokens is multiplied by this on its way into the bridge; 1 */
    int64_t text_steps;     /* in the first so many updates ... */
    double text_share;      /* ... the receiver reads this share of the texts as well; 0.5 */
    tp_growth_stage grow[TP_MAX_STAGES];
    int n_stages; /* 0: all soft tokens from the start */
} tp_regime;

/* What is done when training goes wrong (src/train/cascade.h). */
typedef struct tp_cascade {
    int restarts;  /* from the last good state, each at half the rate; 0: none, a failure ends the run */
    int seeds;     /* other seeds to begin anew with after that; 1 */
    bool collapse; /* collapsed soft tokens are a failure, too, not only what is not finite */
} tp_cascade;

extern const tp_regime tp_regime_usual;
extern const tp_cascade tp_cascade_usual;

void tp_regime_read(tp_json_reader *top, tp_regime *regime);
void tp_cascade_read(tp_json_reader *top, tp_cascade *cascade);

/* `bridge.grow` stands in the section of the bridge. */
void tp_growth_read(tp_json_reader *bridge, tp_regime *regime);

/* The soft tokens in use at an update (from 0); 0: all of them. */
int tp_growth_tokens(const tp_regime *regime, int64_t step);

void tp_regime_write(json_t *top, const tp_regime *regime);
void tp_cascade_write(json_t *top, const tp_cascade *cascade);
void tp_growth_write(json_t *bridge, const tp_regime *regime);

#endif
