/* A low-rank adapter: small trainable matrices beside a decoder's frozen weights (Hu et al., LoRA, ICLR 2022).
 *
 * In every block the queries and values get  alpha / rank * B (A x)  on top, x being what their projections read, A
 * [rank, d_model] and B [outputs, rank]. These are the two projections that the paper adapts; a family that fuses its
 * projections needs nothing special, because what is added is added to their results. B starts at zero, so that an
 * adapter that has not been trained changes nothing. The model itself is not touched: whoever runs it hands the adapter
 * in (tp_batch, tp_prompts), and the next one who runs it does not see it. */
#ifndef TP_LM_ADAPTER_H
#define TP_LM_ADAPTER_H

#include "autograd/ops.h"
#include "lm/config.h"
#include "nn/params.h"

typedef struct tp_low_rank {
    tp_weight a, b; /* [rank, d_model], [outputs, rank] */
} tp_low_rank;

typedef struct tp_adapter {
    tp_params params;   /* of all layers, "layers.<l>.q.a" and so on */
    tp_low_rank *q, *v; /* [n_layers] */
    float scale;        /* alpha / rank */
} tp_adapter;

/* An adapter for models of that configuration. Free with tp_adapter_free. */
tp_adapter *tp_adapter_new(const tp_lm_config *config, int rank, double alpha);
void tp_adapter_free(tp_adapter *adapter); /* takes NULL */

/* Back to the start: A normal with variance 1 / d_model, B zero. */
void tp_adapter_init(const tp_adapter *adapter, uint64_t seed);

/* The layer's queries, or values, that were projected from x [n, d_model], with the adapter's share. */
tp_var *tp_adapter_queries(tp_tape *tape, const tp_adapter *adapter, int layer, tp_var *x, tp_var *queries);
tp_var *tp_adapter_values(tp_tape *tape, const tp_adapter *adapter, int layer, tp_var *x, tp_var *values);

#endif
