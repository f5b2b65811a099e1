/* The same text handed over twice: as text, and as soft tokens. */
#ifndef TP_EVAL_SIDE_BY_SIDE_H
#define TP_EVAL_SIDE_BY_SIDE_H

#include "eval/texts.h"

typedef struct tp_hand_over {
    int32_t label; /* by score */
    double ms;     /* the whole way, once warm */
    double bytes;  /* that crossed */
} tp_hand_over;

typedef struct tp_side_by_side {
    char *line; /* what the sender wrote for the text relay */
    tp_hand_over text, latent;
} tp_side_by_side;

/* The evaluation's relay must have its bridge. Free with tp_side_by_side_free. */
tp_status tp_side_by_side_run(const tp_eval *eval, const tp_example *example, tp_side_by_side *out);
void tp_side_by_side_free(tp_side_by_side *sides);

#endif
