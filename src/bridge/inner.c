/* A family inside a family. See inner.h. */
#include "bridge/inner.h"

#include "base/mem.h"

#include <stdio.h>

/* A family that is taught by losses of its own would lose these, one that is solved for would never be. */
static const tp_bridge_family *find_inner(const tp_bridge_recipe *recipe) {
    const tp_bridge_family *family = tp_bridge_family_find(recipe->inner, "inner");
    if (family && (family->own_losses || family->solve))
        return tp_fail_null(
            TP_ERR_ARGUMENT,
            "recipe: `bridge.inner` is \"%s\", a family that learns by the gradient of its tokens alone was "
            "expected: \"%s\" quantises them",
            recipe->inner, recipe->kind);
    return family;
}

int64_t tp_inner_count(const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target) {
    const tp_bridge_family *family = find_inner(recipe);
    return family ? family->count(recipe, d_source, d_target) : -1;
}

tp_status tp_inner_attach(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_family *family = find_inner(&bridge->recipe);
    if (family == NULL) return tp_last_status();
    void *layers = family->build(bridge, seed);
    if (layers == NULL) return tp_last_status();
    bridge->inner = tp_alloc(sizeof *bridge->inner);
    *bridge->inner = (tp_bridge){.family = family,
                                 .recipe = bridge->recipe,
                                 .d_source = bridge->d_source,
                                 .d_target = bridge->d_target,
                                 .d_input = bridge->d_input,
                                 .layers = layers};
    snprintf(bridge->inner->recipe.kind, sizeof bridge->inner->recipe.kind, "%s", family->name);
    return TP_OK;
}

void tp_inner_free(tp_bridge *inner) {
    if (inner == NULL) return;
    inner->family->free(inner->layers);
    tp_free(inner);
}

tp_var *tp_inner_resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                          int64_t n_sequences) {
    return bridge->inner->family->resample(tape, bridge->inner, x, offsets, n_sequences);
}
