/* The document of an inspection, put together. See inspect.h. */
#include "analysis/inspect.h"

#include "analysis/documents.h"
#include "analysis/packets.h"
#include "analysis/pca.h"
#include "analysis/similarity.h"
#include "analysis/tsne.h"
#include "base/mem.h"
#include "bridge/codes.h"
#include "data/split.h"
#include "lm/nearest.h"

#include <math.h>
#include <string.h>

enum { TEXTS = 200, MOST_TEXTS = 1000, NEAREST = 5, PERPLEXITY = 30 };

/* ---- the texts ---- */

/* Test rows drawn by label, in the order of the split. */
static tp_dataset draw(const tp_task *task, const tp_inspect_options *o) {
    const tp_dataset *test = &task->test;
    size_t wanted = o->n_texts > 0 ? (size_t)o->n_texts : TEXTS;
    if (wanted > MOST_TEXTS) wanted = MOST_TEXTS;
    bool *chosen = tp_alloc(test->n * sizeof *chosen);
    if (wanted < test->n)
        tp_split_choose(test->examples, test->n, task->n_labels, wanted, false, o->seed, "inspect", chosen);
    else
        memset(chosen, true, test->n * sizeof *chosen);
    tp_dataset out = {.examples = tp_alloc(test->n * sizeof *out.examples)};
    for (size_t i = 0; i < test->n; i++)
        if (chosen[i]) out.examples[out.n++] = test->examples[i];
    tp_free(chosen);
    return out;
}

/* ---- the parts ---- */

static json_t *describe_similarity(const tp_similarity *s) {
    return json_pack("{s:o, s:o, s:{s:o, s:o}, s:{s:o, s:o}, s:o}", "within_text", tp_json_of_number(s->within_text),
                     "tokens", tp_json_of_matrix(s->tokens, (size_t)s->soft_tokens, (size_t)s->soft_tokens), "plain",
                     "same_class", tp_json_of_number(s->same_class[0]), "different_class",
                     tp_json_of_number(s->different_class[0]), "centred", "same_class",
                     tp_json_of_number(s->same_class[1]), "different_class", tp_json_of_number(s->different_class[1]),
                     "classes", tp_json_of_matrix(s->classes, (size_t)s->n_labels, (size_t)s->n_labels));
}

static json_t *describe_rms(const tp_similarity *s, const tp_vocabulary *v) {
    return json_pack("{s:o, s:f, s:f, s:{s:f, s:f, s:f, s:f}}", "soft",
                     tp_json_of_vector(s->rms, (size_t)s->soft_tokens), "soft_low", s->rms_low, "soft_high",
                     s->rms_high, "embeddings", "mean", v->rms_mean, "std", v->rms_std, "low", v->rms_low, "high",
                     v->rms_high);
}

/* All packets on a plane, in two ways. */
static json_t *project(const tp_dataset *set, const tp_packets *p, uint64_t seed) {
    double *pca = tp_alloc(2 * p->n * sizeof *pca), *tsne = tp_alloc(2 * p->n * sizeof *tsne);
    double explained[2], perplexity;
    tp_pca(p->soft, p->n, tp_packet_width(p), 2, pca, explained);
    double divergence = tp_tsne(p->soft, p->n, tp_packet_width(p),
                                &(tp_tsne_options){.perplexity = PERPLEXITY, .seed = seed}, tsne, &perplexity);
    json_t *labels = json_array(), *rows = json_array();
    for (size_t i = 0; i < p->n; i++) {
        json_array_append_new(labels, json_integer(p->labels[i]));
        json_array_append_new(rows, json_integer(set->examples[i].id));
    }
    json_t *out = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "labels", labels, "rows", rows, "pca",
                            tp_json_of_matrix(pca, p->n, 2), "explained", tp_json_of_vector(explained, 2), "tsne",
                            tp_json_of_matrix(tsne, p->n, 2), "perplexity", tp_json_of_number(perplexity), "divergence",
                            tp_json_of_number(divergence));
    tp_free(pca);
    tp_free(tsne);
    return out;
}

/* The first text of the label that was not taken yet; NULL if there is none. */
static const tp_example *take(const tp_dataset *set, int32_t label, bool *taken) {
    for (size_t i = 0; i < set->n; i++)
        if (!taken[i] && set->examples[i].label == label) {
            taken[i] = true;
            return &set->examples[i];
        }
    return NULL;
}

/* Example k is of label k * n_labels / n, so that few examples of many labels are spread over them. */
static json_t *describe_examples(tp_eval *eval, const tp_dataset *set, const tp_vocabulary *v, int64_t n, int nearest) {
    json_t *list = json_array();
    bool *taken = tp_alloc(set->n * sizeof *taken);
    int32_t n_labels = eval->task->n_labels;
    tp_status status = TP_OK;
    tp_progress_begin(eval->progress, "examples", (double)n, "texts", NULL);
    for (int64_t k = 0; k < n && status == TP_OK; k++) {
        int32_t label = n < n_labels ? (int32_t)(k * n_labels / n) : (int32_t)(k % n_labels);
        const tp_example *e = take(set, label, taken);
        if (e == NULL) continue;
        json_t *example = tp_inspect_example(eval, v, e, nearest);
        status = example ? tp_eval_stopped(eval) : tp_last_status();
        if (example) json_array_append_new(list, example);
        tp_progress_update(eval->progress, (double)(k + 1), 0, "%s", "");
    }
    tp_progress_end(eval->progress);
    tp_free(taken);
    if (status == TP_OK) return list;
    json_decref(list);
    return NULL;
}

/* How much of its alphabet a bridge of codes uses. */
static json_t *describe_codes(const tp_bridge_recipe *recipe, const tp_packets *p) {
    tp_code_usage u = tp_code_usage_of(p->codes, (int64_t)p->n * p->soft_tokens, p->code_parts);
    return json_pack("{s:I, s:I, s:f, s:f, s:I}", "tokens", (json_int_t)u.n, "used", (json_int_t)u.different,
                     "perplexity", u.perplexity, "bits_per_token", tp_code_bits(recipe), "bits_per_packet",
                     (json_int_t)tp_code_packet_bits(recipe));
}

/* ---- the whole ---- */

/* Fills in all that needs the packets. */
static tp_status fill_in(tp_eval *eval, const tp_inspect_options *o, const tp_dataset *set, const tp_packets *packets,
                         json_t *out) {
    tp_similarity s = tp_similarity_of(packets, eval->task->n_labels);
    tp_vocabulary v = tp_vocabulary_of(eval->relay->receiver);
    json_object_set_new(out, "similarity", describe_similarity(&s));
    json_object_set_new(out, "rms", describe_rms(&s, &v));
    if (packets->codes) json_object_set_new(out, "codes", describe_codes(&eval->relay->recipe->bridge, packets));
    json_object_set_new(out, "projection", project(set, packets, o->seed));
    json_t *examples = describe_examples(eval, set, &v, o->n_examples, o->n_nearest > 0 ? o->n_nearest : NEAREST);
    tp_status status = examples ? TP_OK : tp_last_status();
    if (examples) json_object_set_new(out, "examples", examples);
    if (status == TP_OK) {
        int64_t asked, differ;
        json_t *transcripts = tp_inspect_transcripts(eval, set, packets, o->n_transcripts, o->results, &asked, &differ);
        status = transcripts ? TP_OK : tp_last_status();
        if (transcripts) {
            json_object_set_new(out, "transcripts", transcripts);
            json_object_set_new(out, "transcripts_asked", json_integer(asked));
            json_object_set_new(out, "transcripts_differ", json_integer(differ));
        }
    }
    tp_vocabulary_free(&v);
    tp_similarity_free(&s);
    return status;
}

json_t *tp_inspect(tp_eval *eval, const tp_inspect_options *options) {
    if (tp_wants_labels(eval->task) != TP_OK) return NULL;
    if (eval->task->test.n == 0)
        return tp_fail_null(TP_ERR_ARGUMENT, "the task %s has no test rows to inspect the bridge on", eval->task->name);
    tp_dataset set = draw(eval->task, options);
    const tp_dataset *sets[] = {&set};
    tp_packets packets;
    tp_status status = tp_packets_make(eval, "packets", sets, 1, &packets);
    json_t *out = NULL;
    if (status == TP_OK) {
        out = json_pack("{s:o}", "subject", tp_json_of_subject(eval, set.n));
        status = fill_in(eval, options, &set, &packets, out);
        tp_packets_free(&packets);
    }
    tp_free(set.examples);
    if (status == TP_OK) return out;
    json_decref(out);
    return NULL;
}
