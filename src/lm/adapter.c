/* Low-rank factors. See adapter.h. */
#include "lm/adapter.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

static void attach(tp_adapter *adapter, tp_low_rank *pair, int layer, const char *place, int64_t rank, int64_t d_in,
                   int64_t d_out) {
    char name[64];
    snprintf(name, sizeof name, "layers.%d.%s.a", layer, place);
    tp_params_attach(&adapter->params, &pair->a, name, rank, d_in);
    snprintf(name, sizeof name, "layers.%d.%s.b", layer, place);
    tp_params_attach(&adapter->params, &pair->b, name, d_out, rank);
}

tp_adapter *tp_adapter_new(const tp_lm_config *c, int rank, double alpha) {
    tp_adapter *adapter = tp_alloc(sizeof *adapter);
    *adapter = (tp_adapter){.q = tp_alloc((size_t)c->n_layers * sizeof *adapter->q),
                            .v = tp_alloc((size_t)c->n_layers * sizeof *adapter->v),
                            .scale = (float)(alpha / rank)};
    for (int l = 0; l < c->n_layers; l++) {
        attach(adapter, &adapter->q[l], l, "q", rank, c->d_model, (int64_t)c->n_heads * c->head_dim);
        attach(adapter, &adapter->v[l], l, "v", rank, c->d_model, (int64_t)c->n_kv_heads * c->head_dim);
    }
    return adapter;
}

void tp_adapter_free(tp_adapter *adapter) {
    if (adapter == NULL) return;
    tp_params_free(&adapter->params);
    tp_free(adapter->q);
    tp_free(adapter->v);
    tp_free(adapter);
}

void tp_adapter_init(const tp_adapter *adapter, uint64_t seed) {
    for (size_t i = 0; i < adapter->params.n; i += 2) { /* attached in pairs */
        const tp_weight *a = adapter->params.items[i];
        tp_weight_init_normal(a, seed, 1 / sqrt((double)a->cols));
        tp_weight_init_value(adapter->params.items[i + 1], 0);
    }
}

static tp_var *add_product(tp_tape *tape, const tp_low_rank *pair, float scale, tp_var *x, tp_var *y) {
    tp_var *narrow = tp_linear(tape, x, &pair->a, NULL);
    return tp_add(tape, y, tp_scale(tape, tp_linear(tape, narrow, &pair->b, NULL), scale));
}

tp_var *tp_adapter_queries(tp_tape *tape, const tp_adapter *adapter, int layer, tp_var *x, tp_var *queries) {
    return add_product(tape, &adapter->q[layer], adapter->scale, x, queries);
}

tp_var *tp_adapter_values(tp_tape *tape, const tp_adapter *adapter, int layer, tp_var *x, tp_var *values) {
    return add_product(tape, &adapter->v[layer], adapter->scale, x, values);
}
