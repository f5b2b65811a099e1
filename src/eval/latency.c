/* How long an answer takes, as a curve over the text's length and the batch: the document `latency`.
 *
 * Every method is asked as ever, on texts made for it: the test split's own, one behind the other, cut to a number of
 * the sender's tokens. So what is timed is what is measured elsewhere, all opponents by the same clock on the same
 * texts. Each phase stands by itself: whoever has read the text anyway leaves out the sender's. */
#include "base/str.h"
#include "eval/suite.h"

#include <math.h>
#include <string.h>

enum { MOST_POINTS = 32, MOST_LENGTH = 1 << 20, MOST_TEXTS = 64 };

typedef struct {
    int64_t lengths[MOST_POINTS], batches[MOST_POINTS];
    size_t n_lengths, n_batches;
    int64_t n_timed;
    tp_reading reading;
    bool wanted[TP_MOST_METHODS];
} plan;

/* ---- settings ---- */

static size_t read_numbers(tp_json_reader *r, const char *key, const int64_t *fallback, size_t n, int64_t most,
                           int64_t *out) {
    json_t *list = tp_json_array(r, key), *value;
    if (list == NULL) {
        memcpy(out, fallback, n * sizeof *out);
        return n;
    }
    size_t i;
    json_array_foreach(list, i, value) {
        if (i == MOST_POINTS || !json_is_integer(value) || json_integer_value(value) < 1 ||
            json_integer_value(value) > most) {
            tp_json_error(r, key, "is no list of at most %d numbers between 1 and %lld", MOST_POINTS, (long long)most);
            return 0;
        }
        out[i] = json_integer_value(value);
    }
    return json_array_size(list);
}

/* Unless methods are named: all that ask a model, but controls, what would first have to be trained again, and joint
 * rescoring, whose time is the sum of two others. */
static void read_methods(tp_json_reader *r, plan *p) {
    static const unsigned models = TP_NEEDS_SENDER | TP_NEEDS_RECEIVER;
    json_t *list = tp_json_array(r, "methods"), *value;
    for (int m = 0; tp_methods[m] && list == NULL; m++) {
        const tp_method *method = tp_methods[m];
        bool trained = (method->needs & TP_NEEDS_TRAINING) && !(method->needs & TP_NEEDS_BRIDGE);
        p->wanted[m] = (method->needs & models) && !trained && method->group != TP_GROUP_CONTROL &&
                       method != &tp_method_joint && !method->on_request;
    }
    size_t i;
    json_array_foreach(list, i, value) {
        const tp_method *method = json_is_string(value) ? tp_method_find(json_string_value(value)) : NULL;
        if (method == NULL)
            tp_json_error(r, "methods", "%s", json_is_string(value) ? tp_last_error() : "holds no name");
        for (int m = 0; method && tp_methods[m]; m++) p->wanted[m] |= tp_methods[m] == method;
    }
}

static tp_status read_plan(json_t *settings, plan *p) {
    static const int64_t lengths[] = {16, 32, 64, 128, 256}, batches[] = {1, 4, 16};
    static const char *const readings[] = {"score", "generate", NULL};
    tp_json_reader r;
    json_t *none = json_object();
    tp_json_begin(&r, settings ? settings : none, "the suite's `latency`");
    p->n_lengths = read_numbers(&r, "lengths", lengths, 5, MOST_LENGTH, p->lengths);
    p->n_batches = read_numbers(&r, "batches", batches, 3, 32, p->batches);
    p->n_timed = tp_json_int(&r, "texts", 8, 1, MOST_TEXTS);
    p->reading = TP_READ_SCORE + (tp_reading)tp_json_choice(&r, "reading", 1, readings);
    read_methods(&r, p);
    tp_status status = tp_json_end(&r, true);
    json_decref(none);
    return status;
}

/* ---- texts of a length ---- */

/* Text of that many of the sender's tokens, from the test rows from `start` on; the caller frees it. */
static char *text_of_length(const tp_eval *eval, size_t start, int64_t length) {
    const tp_dataset *test = &eval->task->test;
    const tp_tokenizer *tokenizer = eval->relay->sender->tokenizer;
    tp_str text = {0};
    tp_ids ids = {0};
    for (size_t i = start; (int64_t)ids.len < length; i = (i + 1) % test->n) {
        const tp_example *e = &test->examples[i];
        if (text.len) tp_str_append_char(&text, ' ');
        tp_str_append(&text, e->len ? e->text : "-", e->len ? e->len : 1); /* so that it grows in any case */
        ids.len = 0;
        if (tp_tokenizer_encode(tokenizer, text.data, text.len, 0, &ids) != TP_OK) break;
    }
    size_t n = (int64_t)ids.len < length ? ids.len : (size_t)length;
    char *cut = tp_tokenizer_decode(tokenizer, ids.data, n, TP_TOKENS_SKIP_SPECIAL, NULL);
    tp_ids_free(&ids);
    tp_str_free(&text);
    return cut;
}

/* A test split of n texts of that length; their labels mean nothing. */
static tp_dataset texts_of_length(const tp_eval *eval, size_t n, int64_t length) {
    tp_dataset set = {.examples = tp_alloc(n * sizeof *set.examples), .n = n};
    for (size_t i = 0; i < n; i++) {
        size_t start = i * eval->task->test.n / n;
        set.examples[i] = eval->task->test.examples[start];
        set.examples[i].text = text_of_length(eval, start, length);
        set.examples[i].len = strlen(set.examples[i].text);
    }
    return set;
}

static void free_texts(tp_dataset *set) {
    for (size_t i = 0; i < set->n; i++) tp_free((char *)set->examples[i].text);
    tp_free(set->examples);
}

/* ---- timing ---- */

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

/* A method's point of the curve; nothing if it has no times. */
static void add_point(json_t *curve, const plan *p, const tp_method *method, const tp_method_result *result,
                      int64_t length, int64_t batch) {
    const tp_answers *a = &result->readings[p->reading];
    bool any = false;
    for (int k = 0; k < TP_N_PHASES; k++) any = any || isfinite(a->ms[k]);
    if (!any) return;
    json_array_append_new(curve, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "method", method->name,
                                           "reading", tp_reading_name(p->reading), "length", (json_int_t)length,
                                           "batch", (json_int_t)batch, "sender_ms", number(a->ms[TP_PHASE_SENDER]),
                                           "bridge_ms", number(a->ms[TP_PHASE_BRIDGE]), "receiver_ms",
                                           number(a->ms[TP_PHASE_RECEIVER]), "bytes", number(result->bytes)));
}

/* All methods on texts of one length, in batches of one size. */
static tp_status time_methods(tp_eval *eval, const plan *p, int64_t length, int64_t batch, json_t *curve) {
    eval->timed_batch = batch;
    for (int m = 0; tp_methods[m]; m++) {
        if (!p->wanted[m]) continue;
        tp_method_result result = tp_method_result_new();
        eval->doing = tp_methods[m]->title;
        tp_status status = tp_methods[m]->run(eval, &result);
        if (status == TP_OK) add_point(curve, p, tp_methods[m], &result, length, batch);
        tp_method_result_free(&result);
        if (status != TP_OK) return tp_fail_context("method %s", tp_methods[m]->name);
    }
    return TP_OK;
}

static tp_status time_length(const tp_eval *outer, const plan *p, int64_t length, json_t *curve) {
    int64_t most = p->n_timed;
    for (size_t b = 0; b < p->n_batches; b++)
        if (p->batches[b] > most) most = p->batches[b];
    tp_task task = *outer->task;
    task.test = texts_of_length(outer, (size_t)most, length);
    tp_eval eval = *outer;
    eval.task = &task;
    eval.n_timed = p->n_timed;
    tp_kept kept = {0};
    eval.kept = &kept;
    const tp_tap *tap = &outer->relay->tap;
    eval.test_states = tp_state_cache_new(tap, task.test.examples, task.test.n, TP_CACHE_MEMORY, 1 << 30, NULL);
    eval.uncached =
        eval.test_states ? tp_state_cache_new(tap, task.test.examples, task.test.n, TP_CACHE_NONE, 0, NULL) : NULL;
    tp_status status = eval.uncached ? TP_OK : tp_last_status();
    for (size_t b = 0; b < p->n_batches && status == TP_OK; b++)
        status = time_methods(&eval, p, length, p->batches[b], curve);
    tp_state_cache_free(eval.test_states);
    tp_state_cache_free(eval.uncached);
    tp_kept_free(&kept);
    free_texts(&task.test);
    return status;
}

static json_t *make(tp_eval *eval, const tp_results *results, json_t *settings) {
    (void)results;
    plan p = {0};
    tp_status status = read_plan(settings, &p);
    json_t *curve = json_array();
    for (size_t i = 0; i < p.n_lengths && status == TP_OK; i++)
        if (p.lengths[i] < eval->relay->tap.max_tokens) /* longer texts would be cut, and stand for something else */
            status = time_length(eval, &p, p.lengths[i], curve);
    if (status == TP_OK)
        return json_pack("{s:o, s:I, s:i}", "curve", curve, "texts", (json_int_t)p.n_timed, "layer",
                         eval->relay->tap.layer);
    json_decref(curve);
    return NULL;
}

static tp_status check(json_t *settings) {
    plan p = {0};
    return read_plan(settings, &p);
}

const tp_suite_step tp_latency_step = {"latency", make, check};
