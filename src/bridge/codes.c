/* Codes of discrete bridges. See codes.h. */
#include "bridge/codes.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Sizes of the parts of a token; how many parts, 0 for a family of continuous tokens. */
static int sizes_of(const tp_bridge_family *family, const tp_bridge_recipe *recipe, int sizes[TP_MAX_CODE_PARTS]) {
    return family && family->code_sizes ? family->code_sizes(recipe, sizes) : 0;
}

int tp_code_parts(const tp_bridge_recipe *recipe) {
    int sizes[TP_MAX_CODE_PARTS];
    return sizes_of(tp_bridge_family_find(recipe->kind, "kind"), recipe, sizes);
}

double tp_code_bits(const tp_bridge_recipe *recipe) {
    int sizes[TP_MAX_CODE_PARTS], parts = sizes_of(tp_bridge_family_find(recipe->kind, "kind"), recipe, sizes);
    double bits = 0;
    for (int i = 0; i < parts; i++) bits += log2(sizes[i]);
    return bits;
}

int64_t tp_code_packet_bits(const tp_bridge_recipe *recipe) {
    return (int64_t)ceil(recipe->soft_tokens * tp_code_bits(recipe) - 1e-9); /* 8 * log2(8) is 24 and no more */
}

static tp_status not_discrete(const tp_bridge *bridge) {
    return tp_fail(TP_ERR_UNSUPPORTED, "the soft tokens of a bridge of the kind \"%s\" are no codes",
                   bridge->family->name);
}

tp_status tp_bridge_encode(tp_tape *tape, const tp_bridge *bridge, tp_var *hidden, const int64_t *offsets,
                           int64_t n_sequences, const int32_t **codes, int *parts) {
    int sizes[TP_MAX_CODE_PARTS];
    *parts = sizes_of(bridge->family, &bridge->recipe, sizes);
    if (*parts == 0) return not_discrete(bridge);
    size_t n = (size_t)(n_sequences * bridge->recipe.soft_tokens * *parts);
    int32_t *out = tp_arena_alloc(tape->arena, n * sizeof *out);
    bridge->family->encode(tape, bridge, tp_bridge_way_in(tape, bridge, hidden), offsets, n_sequences, out);
    *codes = out;
    return TP_OK;
}

tp_status tp_bridge_decode(tp_tape *tape, const tp_bridge *bridge, const int32_t *codes, int64_t n_tokens,
                           tp_var **soft) {
    int sizes[TP_MAX_CODE_PARTS], parts = sizes_of(bridge->family, &bridge->recipe, sizes);
    if (parts == 0) return not_discrete(bridge);
    for (int64_t i = 0; i < n_tokens * parts; i++)
        if (codes[i] < 0 || codes[i] >= sizes[i % parts])
            return tp_fail(TP_ERR_ARGUMENT, "code %d of token %lld is %d, 0 to %d were expected", (int)(i % parts),
                           (long long)(i / parts), codes[i], sizes[i % parts] - 1);
    *soft = tp_bridge_way_out(tape, bridge, bridge->family->decode(tape, bridge, codes, n_tokens));
    return TP_OK;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

tp_code_usage tp_code_usage_of(const int32_t *codes, int64_t n, int parts) {
    tp_code_usage usage = {.n = n};
    uint64_t *keys = tp_alloc((size_t)(n + 1) * sizeof *keys);
    for (int64_t i = 0; i < n; i++) keys[i] = tp_hash64(codes + i * parts, (size_t)parts * sizeof *codes);
    qsort(keys, (size_t)n, sizeof *keys, by_value);
    double entropy = 0;
    for (int64_t i = 0, j = 0; i < n; i = j) {
        while (j < n && keys[j] == keys[i]) j++;
        double share = (double)(j - i) / (double)n;
        entropy -= share * log(share);
        usage.different++;
    }
    usage.perplexity = exp(entropy);
    tp_free(keys);
    return usage;
}

void tp_bridge_report_codes(tp_bridge_terms *terms, const int32_t *codes, int64_t n, int parts) {
    tp_code_usage usage = tp_code_usage_of(codes, n, parts);
    terms->figures[terms->n_figures].name = "codes_used";
    terms->figures[terms->n_figures++].value = (double)usage.different;
    terms->figures[terms->n_figures].name = "code_perplexity";
    terms->figures[terms->n_figures++].value = usage.perplexity;
}
