/* A family inside a family: VQ and FSQ quantise the tokens of another one, which `bridge.inner` of the recipe names. */
#ifndef TP_BRIDGE_INNER_H
#define TP_BRIDGE_INNER_H

#include "bridge/bridge.h"

/* Numbers of the inner family; -1 with an error if it cannot be one. */
int64_t tp_inner_count(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target);

/* Builds the inner family: its parameters are attached to the bridge's, and bridge->inner is set. */
tp_status tp_inner_attach(tp_bridge *bridge, uint64_t seed);
void tp_inner_free(tp_bridge *inner); /* takes NULL */

/* Its tokens [n_sequences * M, d_target]. */
tp_var *tp_inner_resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                          int64_t n_sequences);

#endif
