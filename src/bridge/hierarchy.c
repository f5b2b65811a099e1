/* Compression in two stages, for texts that are longer than a sender reads at once: a family inside the family.
 *
 * The sender reads the text in segments of `bridge.segment_tokens` tokens, each by itself (tap.h). The lower stage
 * makes `bridge.segment_soft_tokens` tokens of each segment, the upper one the packet's M soft tokens of all of these
 * together (2 k segments -> 4 tokens each -> 16, in the source documents). Both are of the family that `bridge.kind`
 * names. What goes from one to the other is as wide as `bridge.width` and has a root mean square of 1, like what the
 * lower stage gets to see. Parameters of the lower stage are called "segments." and so on; the upper ones have the
 * family's names. */
#include "bridge/hierarchy.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static const float between_eps = 1e-6f;

typedef struct {
    tp_bridge lower, upper; /* shells around the family's layers: their parameters are the whole bridge's */
} stages;

static const tp_bridge_family *family_of(const tp_bridge_recipe *r) {
    const tp_bridge_family *family = tp_bridge_family_find(r->kind, "kind");
    if (family && (family->own_losses || family->solve))
        return tp_fail_null(
            TP_ERR_UNSUPPORTED,
            "recipe: a bridge of the kind \"%s\" cannot be two stages (`bridge.segment_tokens`): a family "
            "that learns by the gradient of its tokens alone was expected",
            r->kind);
    return family;
}

static tp_bridge_recipe lower_recipe(const tp_bridge_recipe *r) {
    tp_bridge_recipe lower = *r;
    lower.soft_tokens = r->segment_soft_tokens;
    return lower;
}

static int64_t count(const tp_bridge_recipe *r, int64_t d_source, int64_t d_target) {
    const tp_bridge_family *family = family_of(r);
    tp_bridge_recipe lower = lower_recipe(r);
    int64_t a = family ? family->count(&lower, d_source, r->width) : -1;
    int64_t b = family ? family->count(r, r->width, d_target) : -1;
    return a < 0 || b < 0 ? -1 : a + b;
}

/* Moves the stage's parameters to the bridge's, under names of their own. */
static void hand_over(tp_bridge *bridge, tp_params *params, const char *prefix) {
    for (size_t i = 0; i < params->n; i++) {
        char *name = tp_format("%s%s", prefix, params->items[i]->name);
        tp_free((void *)(uintptr_t)params->items[i]->name);
        params->items[i]->name = name;
    }
    tp_params_append(&bridge->params, params);
    tp_free(params->items);
    *params = (tp_params){0};
}

static void free_stages(void *layers) {
    stages *s = layers;
    if (s->lower.layers) s->lower.family->free(s->lower.layers);
    if (s->upper.layers) s->upper.family->free(s->upper.layers);
    tp_free(s);
}

static void *build(tp_bridge *bridge, uint64_t seed) {
    const tp_bridge_family *family = family_of(&bridge->recipe);
    if (family == NULL) return NULL;
    int64_t width = bridge->recipe.width;
    stages *s = tp_alloc(sizeof *s);
    s->lower = (tp_bridge){.family = family,
                           .recipe = lower_recipe(&bridge->recipe),
                           .d_source = bridge->d_source,
                           .d_target = width,
                           .d_input = bridge->d_source};
    s->upper = (tp_bridge){
        .family = family, .recipe = bridge->recipe, .d_source = width, .d_target = bridge->d_target, .d_input = width};
    s->lower.layers = family->build(&s->lower, ~seed); /* its parameters have the names of the upper ones now */
    if (s->lower.layers) s->upper.layers = family->build(&s->upper, seed);
    hand_over(bridge, &s->lower.params, "segments.");
    hand_over(bridge, &s->upper.params, "");
    if (s->upper.layers) return s;
    free_stages(s);
    return NULL;
}

/* Where the segments of all sequences begin, [*n_segments + 1], and each sequence's lower tokens, [n_sequences + 1]. */
static int64_t *segment_offsets(tp_tape *tape, const tp_bridge_recipe *r, const int64_t *offsets, int64_t n_sequences,
                                int64_t *n_segments, int64_t *tokens) {
    int64_t s = r->segment_tokens, most = 0, n = 0;
    for (int64_t i = 0; i < n_sequences; i++) most += (offsets[i + 1] - offsets[i] + s - 1) / s;
    int64_t *begins = tp_arena_alloc(tape->arena, (size_t)(most + 1) * sizeof *begins);
    for (int64_t i = 0; i < n_sequences; i++) {
        tokens[i] = n * r->segment_soft_tokens;
        for (int64_t at = offsets[i]; at < offsets[i + 1]; at += s) begins[n++] = at;
    }
    tokens[n_sequences] = n * r->segment_soft_tokens;
    begins[n] = offsets[n_sequences];
    *n_segments = n;
    return begins;
}

static tp_var *resample(tp_tape *tape, const tp_bridge *bridge, tp_var *x, const int64_t *offsets,
                        int64_t n_sequences) {
    const stages *s = bridge->layers;
    int64_t n_segments, *tokens = tp_arena_alloc(tape->arena, (size_t)(n_sequences + 1) * sizeof *tokens);
    const int64_t *segments = segment_offsets(tape, &bridge->recipe, offsets, n_sequences, &n_segments, tokens);
    tp_var *between = s->lower.family->resample(tape, &s->lower, x, segments, n_segments);
    between = tp_rms_norm(tape, between, NULL, between_eps); /* [n_segments * segment_soft_tokens, width] */
    return s->upper.family->resample(tape, &s->upper, between, tokens, n_sequences);
}

const tp_bridge_family tp_bridge_hierarchy = {
    .name = "hierarchy", .count = count, .build = build, .resample = resample, .free = free_stages};
