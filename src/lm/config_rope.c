/* Reading the rotary settings of config.json.
 *
 * The file has two spellings of them: `rope_theta` with an optional `rope_scaling` (transformers 4), and both inside
 * `rope_parameters` (transformers 5), where a model with two kinds of layers has an object for each kind. Either is
 * read; a file that holds both and contradicts itself is refused, since releases of transformers would disagree about
 * it. */
#include "lm/config_limits.h"
#include "lm/config_read.h"

#include <math.h>
#include <string.h>

static const double largest_theta = 1e12;

/* Whole heads, or the share of each head that is turned. */
static void read_share(tp_json_reader *r, tp_json_reader *rope, const tp_lm_family_row *row, tp_lm_config *c) {
    const char *const keys[] = {"partial_rotary_factor", "rotary_pct"};
    double share = row->rotary_share > 0 ? row->rotary_share : 1;
    for (int i = 0; i < 2; i++) share = tp_json_real(r, keys[i], share, 0, 1);
    bool inside = tp_json_has(rope, keys[0]);
    share = tp_json_real(rope, keys[0], share, 0, 1);
    if (row->rotary_share <= 0) {
        if (share != 1)
            tp_config_unsupported(inside ? rope : r, keys[0],
                                  "is not 1: the family %s turns whole heads, heads turned in part are supported in "
                                  "phi3 and gpt_neox",
                                  row->model_type);
        return;
    }
    c->rotary_dim = (int)(c->head_dim * share);
    if (c->rotary_dim < 2 || c->rotary_dim % 2 != 0)
        tp_json_error(inside ? rope : r, keys[0],
                      "is %g, which turns %d elements of a head of %d: an even number from 2 on was expected", share,
                      c->rotary_dim, c->head_dim);
    if (c->rotary_dim == c->head_dim) c->rotary_dim = 0;
}

/* One divisor for each pair. */
static void read_divisors(tp_json_reader *rope, const char *key, int pairs, float *out) {
    tp_json_require(rope, key);
    json_t *list = tp_json_array(rope, key);
    if (rope->status != TP_OK) return;
    if (json_array_size(list) != (size_t)pairs) {
        tp_json_error(rope, key, "has %zu numbers, one for each of the %d pairs of a head was expected",
                      json_array_size(list), pairs);
        return;
    }
    for (int i = 0; i < pairs; i++) {
        double x = json_number_value(json_array_get(list, (size_t)i)); /* 0 if it is no number */
        if (!(x >= TP_LM_MIN_LONG_FACTOR && x <= TP_LM_MAX_LONG_FACTOR)) {
            tp_json_error(rope, key, "holds something else than numbers from %g to %g", TP_LM_MIN_LONG_FACTOR,
                          TP_LM_MAX_LONG_FACTOR);
            return;
        }
        out[i] = (float)x;
    }
}

/* LongRoPE (Ding et al. 2024) as Phi-3 has it. Its attention factor follows from how far the context was stretched. */
static void read_long(tp_json_reader *r, tp_json_reader *rope, tp_lm_config *c) {
    int pairs = tp_lm_config_rotary_pairs(c);
    if (pairs > TP_LM_MAX_LONG_PAIRS) {
        tp_config_unsupported(rope, "long_factor", "belongs to heads of %d pairs, at most %d are supported", pairs,
                              TP_LM_MAX_LONG_PAIRS);
        return;
    }
    read_divisors(rope, "short_factor", pairs, c->rope_scaling.short_factor);
    read_divisors(rope, "long_factor", pairs, c->rope_scaling.long_factor);
    const char *key = "original_max_position_embeddings";
    tp_json_reader *holder = tp_json_has(rope, key) ? rope : r; /* transformers 4 has it outside */
    int original = (int)tp_json_int(holder, key, c->max_position_embeddings, 1, TP_LM_MAX_POSITIONS);
    c->rope_scaling.original_max_position_embeddings = original;
    double factor = tp_json_real(rope, "factor", (double)c->max_position_embeddings / original, 1e-6, 1e6);
    double usual = factor > 1 && original > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
    c->rope_scaling.attention_factor = tp_json_real(rope, "attention_factor", usual, 1e-3, 1e3);
}

static void read_kind(tp_json_reader *r, tp_json_reader *rope, tp_lm_config *c) {
    static const struct {
        const char *name;
        tp_rope_kind kind;
    } kinds[] = {{"default", TP_ROPE_PLAIN},
                 {"linear", TP_ROPE_LINEAR},
                 {"llama3", TP_ROPE_LLAMA3},
                 {"longrope", TP_ROPE_LONG},
                 {"su", TP_ROPE_LONG}}; /* longrope's first name */
    enum { N = sizeof kinds / sizeof kinds[0] };
    const char *key = tp_json_has(rope, "rope_type") ? "rope_type" : "type"; /* `type` is the older name */
    const char *type = tp_json_text(rope, key, "default");
    int i = 0;
    while (i < N && strcmp(kinds[i].name, type) != 0) i++;
    if (i == N) {
        tp_config_unsupported(rope, key, "is \"%.60s\", supported are: default, linear, llama3, longrope", type);
        return;
    }
    c->rope_scaling.kind = kinds[i].kind;
    if (kinds[i].kind == TP_ROPE_LONG) read_long(r, rope, c);
    if (kinds[i].kind != TP_ROPE_LINEAR && kinds[i].kind != TP_ROPE_LLAMA3) return;
    tp_json_require(rope, "factor");
    c->rope_scaling.factor = tp_json_real(rope, "factor", 1, 1, 1e6);
    if (kinds[i].kind != TP_ROPE_LLAMA3) return;
    tp_json_require(rope, "low_freq_factor");
    tp_json_require(rope, "high_freq_factor");
    tp_json_require(rope, "original_max_position_embeddings");
    c->rope_scaling.low_freq_factor = tp_json_real(rope, "low_freq_factor", 1, 1e-6, 1e6);
    c->rope_scaling.high_freq_factor = tp_json_real(rope, "high_freq_factor", 1, 1e-6, 1e6);
    c->rope_scaling.original_max_position_embeddings =
        (int)tp_json_int(rope, "original_max_position_embeddings", 1, 1, TP_LM_MAX_POSITIONS);
}

/* Layers with a window may turn by a base of their own, which transformers 5 keeps in an object of their own. */
static void read_local(tp_json_reader *r, tp_json_reader *both, tp_lm_config *c) {
    tp_json_reader local;
    tp_json_object(both, "sliding_attention", &local);
    c->rope_local_theta = tp_json_real(r, "rope_local_base_freq", c->rope_local_theta, 1, largest_theta);
    c->rope_local_theta = tp_json_real(&local, "rope_theta", c->rope_local_theta, 1, largest_theta);
    const char *type = tp_json_text(&local, "rope_type", "default");
    if (strcmp(type, "default") != 0)
        tp_config_unsupported(&local, "rope_type", "is \"%.60s\", supported is: default", type);
    tp_json_end_object(both, &local, false);
}

void tp_config_read_rope(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c) {
    if (c->positions != TP_POSITION_ROTARY) return;
    const char *key = tp_json_has(r, "rope_scaling") ? "rope_scaling" : "rope_parameters";
    tp_json_reader outer, full, *rope = &outer;
    tp_json_object(r, key, &outer);
    bool by_kind = tp_json_has(&outer, "full_attention") || tp_json_has(&outer, "sliding_attention");
    if (by_kind && c->rope_local_theta == 0)
        tp_config_unsupported(&outer, "full_attention",
                              "sets rotary positions by kind of layer, which the family %s "
                              "does not know",
                              row->model_type);
    if (by_kind) {
        tp_json_object(&outer, "full_attention", &full);
        rope = &full;
    }
    if (c->rope_local_theta > 0) read_local(r, &outer, c);
    const char *outside = tp_json_has(r, "rotary_emb_base") ? "rotary_emb_base" : "rope_theta"; /* the former: NeoX */
    bool twice = tp_json_has(r, outside);
    c->rope_theta = tp_json_real(r, outside, c->rope_theta, 1, largest_theta);
    double inner = tp_json_real(rope, "rope_theta", c->rope_theta, 1, largest_theta);
    if (twice && inner != c->rope_theta)
        tp_json_error(rope, "rope_theta", "is %g, but `%s` says %g", inner, outside, c->rope_theta);
    c->rope_theta = inner;
    read_share(r, rope, row, c);
    if (r->status == TP_OK && rope->status == TP_OK) read_kind(r, rope, c);
    if (by_kind) tp_json_end_object(&outer, &full, false);
    tp_json_end_object(r, &outer, false);
}
