/* One text through the bridge, looked at closely: which of the sender's tokens each soft token reads, and which of the
 * receiver's vocabulary it resembles. */
#include "analysis/documents.h"
#include "analysis/inspect.h"
#include "base/mem.h"
#include "eval/single.h"
#include "lm/nearest.h"

#include <math.h>
#include <string.h>

/* ---- what it reads ---- */

/* The mean over `n` maps [M, T] that lie end to end. */
static void mean_map(const float *maps, int64_t n, int64_t size, double *out) {
    memset(out, 0, (size_t)size * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < size; k++) out[k] += (double)maps[i * size + k] / (double)n;
}

/* How many tokens a row of weights is spread over: the exponential of its entropy. */
static double spread_of(const double *row, int64_t n) {
    double entropy = 0;
    for (int64_t j = 0; j < n; j++)
        if (row[j] > 0) entropy -= row[j] * log(row[j]);
    return exp(entropy);
}

static json_t *pieces(const tp_tokenizer *tokenizer, const tp_ids *ids) {
    json_t *list = json_array();
    for (size_t i = 0; i < ids->len; i++) {
        size_t n = 0;
        const char *piece = tp_tokenizer_piece(tokenizer, ids->data[i], &n);
        json_array_append_new(list, tp_json_of_bytes(piece ? piece : "", n));
    }
    return list;
}

/* The bridge's attention over the sender's tokens, into the document. A family without attention has none to show. */
static tp_status add_attention(const tp_eval *eval, const tp_example *example, json_t *out) {
    const tp_relay *relay = eval->relay;
    const tp_bridge *bridge = relay->bridge;
    if (!tp_bridge_has_attention(bridge)) return TP_OK;
    tp_ids ids = {0};
    bool truncated;
    tp_status status = tp_tap_tokens(&relay->tap, example->text, example->len, &ids, &truncated);
    if (status != TP_OK) {
        tp_ids_free(&ids);
        return status;
    }
    int depth, heads;
    tp_bridge_attention_shape(bridge, &depth, &heads);
    int64_t t = (int64_t)ids.len, m = bridge->recipe.soft_tokens, size = m * t;
    tp_tape *tapes[2] = {tp_tape_new(relay->recipe->math), tp_tape_new(relay->recipe->math)};
    tapes[0]->frozen = tapes[1]->frozen = true;
    tp_var *hidden = tp_var_new(tapes[1], t, bridge->d_input);
    tp_tap_run(&relay->tap, tapes[0], ids.data, t, hidden->data);
    float *weights = tp_alloc((size_t)(depth * heads * size) * sizeof *weights);
    double *map = tp_alloc((size_t)size * sizeof *map);
    status = tp_bridge_attention(tapes[1], bridge, hidden, weights);
    if (status == TP_OK) {
        json_t *blocks = json_array(), *spreads = json_array();
        for (int64_t b = 0; b < depth; b++) {
            mean_map(weights + b * heads * size, heads, size, map);
            json_array_append_new(blocks, tp_json_of_matrix(map, (size_t)m, (size_t)t));
        }
        mean_map(weights, depth * heads, size, map);
        for (int64_t i = 0; i < m; i++) json_array_append_new(spreads, json_real(spread_of(map + i * t, t)));
        json_object_set_new(out, "truncated", json_boolean(truncated));
        json_object_set_new(out, "tokens", pieces(relay->sender->tokenizer, &ids));
        json_object_set_new(out, "attention", tp_json_of_matrix(map, (size_t)m, (size_t)t));
        json_object_set_new(out, "attention_blocks", blocks);
        json_object_set_new(out, "attention_spread", spreads);
    }
    tp_free(map);
    tp_free(weights);
    tp_tape_free(tapes[0]);
    tp_tape_free(tapes[1]);
    tp_ids_free(&ids);
    return status;
}

/* ---- what it resembles ---- */

static json_t *nearest(const tp_vocabulary *v, const tp_single *s, bool centred, int k) {
    size_t n = (size_t)(s->soft_tokens * k);
    int32_t *ids = tp_alloc(n * sizeof *ids);
    double *cosines = tp_alloc(n * sizeof *cosines);
    tp_vocabulary_nearest(v, s->soft, s->soft_tokens, centred, k, ids, cosines);
    json_t *tokens = json_array();
    for (int64_t i = 0; i < s->soft_tokens; i++) {
        json_t *list = json_array();
        for (int64_t j = i * k; j < (i + 1) * k && ids[j] >= 0; j++) {
            size_t length = 0;
            const char *piece = tp_tokenizer_piece(v->lm->tokenizer, ids[j], &length);
            json_array_append_new(list, json_pack("{s:i, s:o, s:o}", "id", ids[j], "token",
                                                  tp_json_of_bytes(piece ? piece : "", length), "cosine",
                                                  tp_json_of_number(cosines[j])));
        }
        json_array_append_new(tokens, list);
    }
    tp_free(ids);
    tp_free(cosines);
    return tokens;
}

json_t *tp_inspect_example(tp_eval *eval, const tp_vocabulary *vocabulary, const tp_example *example, int n_nearest) {
    const tp_relay *relay = eval->relay;
    tp_single single;
    if (tp_single_run(relay, eval->task, example->text, example->len, &single) != TP_OK) return NULL;
    json_t *out = json_pack("{s:i, s:o, s:o, s:o, s:f, s:o}", "row", example->id, "text",
                            tp_json_of_bytes(example->text, example->len), "label",
                            tp_json_of_text(relay->label_names[example->label]), "answer",
                            tp_json_of_text(relay->label_names[single.best]), "probability",
                            single.probabilities[single.best], "written", tp_json_of_text(single.written));
    bool resembles = !tp_layout_injected(relay->layout); /* keys and values resemble no embedding */
    json_object_set_new(out, "nearest", resembles ? nearest(vocabulary, &single, false, n_nearest) : json_array());
    json_object_set_new(out, "nearest_centred",
                        resembles ? nearest(vocabulary, &single, true, n_nearest) : json_array());
    tp_single_free(&single);
    if (add_attention(eval, example, out) == TP_OK) return out;
    json_decref(out);
    return NULL;
}
