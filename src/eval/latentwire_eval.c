/* The evaluation of a LatentWire. See latentwire_eval.h. */
#include "eval/latentwire_eval.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/ask.h"
#include "eval/latent.h"
#include "eval/stats.h"
#include "latentwire/checkpoint.h"
#include "latentwire/source.h"

#include <math.h>
#include <string.h>

enum { SHARES = 11 };

static const char result_file[] = "latentwire-eval.json";

/* ---- joint answers ---- */

static void mix(const double *const *scores, int n, size_t count, const double *weights, double *out) {
    for (size_t i = 0; i < count; i++) {
        out[i] = 0;
        for (int k = 0; k < n; k++)
            if (weights[k] > 0) out[i] += weights[k] * scores[k][i];
    }
}

static size_t count_right(const double *scores, size_t n_rows, int n_labels, const int32_t *truth) {
    size_t right = 0;
    for (size_t i = 0; i < n_rows; i++) right += tp_best_score(scores + i * (size_t)n_labels, n_labels) == truth[i];
    return right;
}

void tp_joint_weights(const double *const *scores, int n, size_t n_rows, int n_labels, const int32_t *truth,
                      double *weights) {
    size_t count = n_rows * (size_t)n_labels, most = 0;
    double *sum = tp_alloc((count + 1) * sizeof *sum), *tried = tp_alloc((size_t)n * sizeof *tried);
    int first = 0;
    for (int k = 0; k < n; k++) {
        size_t right = count_right(scores[k], n_rows, n_labels, truth);
        if (k == 0 || right > most) most = right, first = k;
        weights[k] = 0;
    }
    weights[first] = 1;
    for (int k = 0; k < n; k++) {
        double best = 0;
        for (int share = 1; k != first && share < SHARES; share++) {
            double own = (double)share / (SHARES - 1);
            for (int j = 0; j < n; j++) tried[j] = j == k ? own : weights[j] * (1 - own);
            mix(scores, n, count, tried, sum);
            size_t right = count_right(sum, n_rows, n_labels, truth);
            if (right > most) most = right, best = own;
        }
        if (best > 0)
            for (int j = 0; j < n; j++) weights[j] = j == k ? best : weights[j] * (1 - best);
    }
    tp_free(sum);
    tp_free(tried);
}

/* ---- asking ---- */

typedef struct {
    const tp_latentwire_eval_options *o;
    tp_latentwire_group *group;
    tp_latentwire_source *test, *valid;
    int64_t *order; /* shuffled: the row that stands in for each */
    tp_kept kept[TP_LATENTWIRE_MOST_RECEIVERS];
    json_t *rows; /* of the result */
} evaluation;

/* Where a receiver's packets come from. */
typedef struct {
    const evaluation *e;
    tp_latentwire_source *source;
    int receiver;
    const int64_t *order; /* NULL: each text's own */
    bool zero;            /* all numbers 0 */
} origin;

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    (void)fresh;
    TP_TRY(tp_eval_stopped(eval));
    const origin *from = asking->context;
    if (from->zero) {
        out->soft = tp_var_new(tape, n * asking->soft_tokens, asking->lm->config.d_model);
        memset(out->soft->data, 0, (size_t)(out->soft->rows * out->soft->cols) * sizeof(float));
        return TP_OK;
    }
    int64_t *texts = tp_arena_alloc(tape->arena, (size_t)n * sizeof *texts);
    for (int64_t i = 0; i < n; i++) texts[i] = from->order ? from->order[items[i]] : items[i];
    const tp_latentwire *wire = from->e->group->wire;
    tp_latentwire_input input = tp_latentwire_source_fetch(from->source, tape, texts, n);
    tp_var *z = tp_latentwire_encode(tape, wire, &input, false);
    tp_latent_cross(z->data, z->rows * z->cols); /* the latent is what crosses; adapters stand at the receivers */
    out->soft = tp_latentwire_soft(tape, wire, z, n, from->receiver);
    return TP_OK;
}

static tp_eval eval_of(evaluation *e, int receiver, const char *doing) {
    return (tp_eval){.task = e->o->task,
                     .relay = e->group->relays[receiver],
                     .seed = e->group->recipe->seed,
                     .chosen = NAN,
                     .doing = doing,
                     .stop = e->o->stop,
                     .progress = e->o->progress,
                     .kept = &e->kept[receiver]};
}

static tp_asking asking_of(const evaluation *e, origin *from) {
    const tp_relay *relay = e->group->relays[from->receiver];
    return (tp_asking){.lm = relay->receiver,
                       .layout = relay->layout,
                       .soft_tokens = relay->recipe->bridge.soft_tokens,
                       .phase = TP_PHASE_RECEIVER,
                       .constant = from->zero && !tp_layout_has_text(relay->layout),
                       .untimed = true,
                       .fill = fill,
                       .context = from};
}

/* ---- rows of the result ---- */

static json_t *reading_json(const evaluation *e, const int32_t *labels) {
    const tp_dataset *test = &e->o->task->test;
    size_t right = 0, invalid = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < test->n; i++) {
        right += labels[i] == test->examples[i].label;
        invalid += labels[i] < 0;
        json_array_append_new(list, json_integer(labels[i]));
    }
    tp_interval w = tp_wilson(right, test->n, 0.95);
    double n = test->n > 0 ? (double)test->n : 1;
    return json_pack("{s:f, s:[f, f], s:f, s:o}", "accuracy", (double)right / n, "interval", w.low, w.high, "invalid",
                     (double)invalid / n, "predictions", list);
}

static json_t *add_row(evaluation *e, const char *name, const char *title) {
    json_t *row = json_pack("{s:s, s:s}", "name", name, "title", title);
    json_array_append_new(e->rows, row);
    return row;
}

static void add_readings(evaluation *e, json_t *row, const tp_method_result *result) {
    for (tp_reading r = 0; r < TP_N_READINGS; r++)
        if (result->readings[r].predictions.labels)
            json_object_set_new(row, tp_reading_name(r), reading_json(e, result->readings[r].predictions.labels));
    if (result->note) json_object_set_new(row, "note", json_string(result->note));
}

/* An opponent that is a method of any evaluation. */
static tp_status add_method(evaluation *e, const tp_method *method, int receiver, const char *name, const char *title) {
    tp_eval eval = eval_of(e, receiver, title);
    tp_method_result result = tp_method_result_new();
    tp_status status = method->run(&eval, &result);
    if (status == TP_OK) add_readings(e, add_row(e, name, title), &result);
    tp_method_result_free(&result);
    return status;
}

/* One receiver's answers to packets; its scores go into scores [n_test, n_labels]. */
static tp_status add_packets(evaluation *e, origin from, const char *name, const char *title, double *scores) {
    tp_eval eval = eval_of(e, from.receiver, title);
    tp_asking asking = asking_of(e, &from);
    tp_method_result result = tp_method_result_new();
    asking.scores = scores;
    tp_status status = tp_ask_all(&eval, &asking, &result);
    if (status == TP_OK) add_readings(e, add_row(e, name, title), &result);
    tp_method_result_free(&result);
    return status;
}

static void add_joint(evaluation *e, const char *name, const char *title, const double *const *scores,
                      const double *weights) {
    const tp_task *task = e->o->task;
    size_t count = task->test.n * (size_t)task->n_labels;
    double *sum = tp_alloc((count + 1) * sizeof *sum);
    int32_t *labels = tp_alloc((task->test.n + 1) * sizeof *labels);
    mix(scores, e->group->models->n_receivers, count, weights, sum);
    for (size_t i = 0; i < task->test.n; i++)
        labels[i] = tp_best_score(sum + i * (size_t)task->n_labels, task->n_labels);
    json_t *row = add_row(e, name, title), *list = json_array();
    json_object_set_new(row, "score", reading_json(e, labels));
    for (int k = 0; k < e->group->models->n_receivers; k++) json_array_append_new(list, json_real(weights[k]));
    json_object_set_new(row, "weights", list);
    tp_free(sum);
    tp_free(labels);
}

/* ---- all of it ---- */

static tp_status valid_weights(evaluation *e, double *weights, int *best) {
    const tp_task *task = e->o->task;
    int n = e->group->models->n_receivers;
    tp_eval first = eval_of(e, 0, "joint answers, validation");
    size_t rows = tp_ask_valid_rows(&first), count = rows * (size_t)task->n_labels, most = 0;
    double *scores[TP_LATENTWIRE_MOST_RECEIVERS] = {NULL};
    int32_t *truth = tp_alloc((rows + 1) * sizeof *truth);
    for (size_t i = 0; i < rows; i++) truth[i] = task->valid.examples[i].label;
    tp_status status = TP_OK;
    for (int k = 0; k < n && status == TP_OK; k++) {
        tp_eval eval = eval_of(e, k, first.doing);
        origin from = {.e = e, .source = e->valid, .receiver = k};
        tp_asking asking = asking_of(e, &from);
        scores[k] = tp_alloc((count + 1) * sizeof(double));
        status = tp_ask_scores(&eval, &asking, &task->valid, rows, scores[k]);
        size_t right = status == TP_OK ? count_right(scores[k], rows, task->n_labels, truth) : 0;
        if (k == 0 || right > most) most = right, *best = k;
    }
    if (status == TP_OK) tp_joint_weights((const double *const *)scores, n, rows, task->n_labels, truth, weights);
    for (int k = 0; k < n; k++) tp_free(scores[k]);
    tp_free(truth);
    return status;
}

static char *name_of(const evaluation *e, int k) {
    const char *path = e->group->models->receivers[k]->path;
    char *last = tp_path_last(path ? path : "receiver"), *name = tp_format("%d %s", k + 1, last);
    tp_free(last);
    return name;
}

static tp_status ask_receiver(evaluation *e, int k, double *own, double *shuffled) {
    const struct {
        const char *name, *title;
        const int64_t *order;
        bool zero;
        double *scores;
    } kinds[] = {{"wire", "LatentWire", NULL, false, own},
                 {"shuffled", "shuffled source", e->order, false, shuffled},
                 {"zero", "zero packet", NULL, true, NULL}};
    char *who = name_of(e, k), *title = tp_format("receiver %s reads the text", who),
         *name = tp_format("text_%d", k + 1);
    tp_status status = add_method(e, &tp_method_receiver, k, name, title);
    tp_free(title);
    tp_free(name);
    for (int i = 0; i < 3 && status == TP_OK; i++) {
        if (i == 1 && e->order == NULL) continue;
        title = tp_format("receiver %s: %s", who, kinds[i].title);
        name = tp_format("%s_%d", kinds[i].name, k + 1);
        origin from = {.e = e, .source = e->test, .receiver = k, .order = kinds[i].order, .zero = kinds[i].zero};
        status = add_packets(e, from, name, title, kinds[i].scores);
        tp_free(title);
        tp_free(name);
    }
    tp_free(who);
    return status;
}

static tp_status ask_everybody(evaluation *e, double **own, double **shuffled, int *best) {
    int n = e->group->models->n_receivers;
    double weights[TP_LATENTWIRE_MOST_RECEIVERS];
    TP_TRY(add_method(e, &tp_method_majority, 0, "majority", tp_method_majority.title));
    if (e->o->task->train.n > 0) TP_TRY(add_method(e, &tp_method_words, 0, "words", tp_method_words.title));
    for (int k = 0; k < n; k++) TP_TRY(ask_receiver(e, k, own[k], shuffled[k]));
    TP_TRY(valid_weights(e, weights, best));
    add_joint(e, "joint", "all receivers together", (const double *const *)own, weights);
    if (e->order)
        add_joint(e, "joint_shuffled", "all together: shuffled source", (const double *const *)shuffled, weights);
    return TP_OK;
}

static tp_status measure(evaluation *e, json_t **found) {
    const tp_task *task = e->o->task;
    size_t count = task->test.n * (size_t)task->n_labels;
    int n = e->o->models->n_receivers, best = 0;
    e->group = tp_latentwire_load(e->o->run, e->o->models, task);
    if (e->group == NULL) return tp_last_status();
    int64_t bound = (int64_t)1 << 30;
    const tp_cache_kind kind = TP_CACHE_MEMORY;
    e->test = tp_latentwire_source_new(e->group, task->test.examples, task->test.n, kind, bound, NULL, e->o->progress);
    if (e->test == NULL) return tp_last_status();
    e->valid =
        tp_latentwire_source_new(e->group, task->valid.examples, task->valid.n, kind, bound, NULL, e->o->progress);
    if (e->valid == NULL) return tp_last_status();
    if (task->test.n > 1) e->order = tp_derangement(task->test.n, e->group->recipe->seed, "shuffled source");
    double *own[TP_LATENTWIRE_MOST_RECEIVERS] = {NULL}, *shuffled[TP_LATENTWIRE_MOST_RECEIVERS] = {NULL};
    tp_status status = TP_OK;
    for (int k = 0; k < n && status == TP_OK; k++) {
        own[k] = tp_try_alloc(count + 1, sizeof(double));
        shuffled[k] = tp_try_alloc(count + 1, sizeof(double));
        if (own[k] == NULL || shuffled[k] == NULL) status = tp_last_status();
    }
    if (status == TP_OK) status = ask_everybody(e, own, shuffled, &best);
    for (int k = 0; k < n; k++) tp_free(own[k]), tp_free(shuffled[k]);
    TP_TRY(status);
    json_t *truth = json_array();
    for (size_t i = 0; i < task->test.n; i++) json_array_append_new(truth, json_integer(task->test.examples[i].label));
    *found = json_pack("{s:s, s:I, s:s, s:f, s:i, s:o, s:O}", "task", task->name, "test_rows", (json_int_t)task->test.n,
                       "test", task->test.fingerprint, "bytes",
                       tp_latent_packet_bytes(e->group->wire->rows, e->group->wire->recipe.width), "best_receiver",
                       best + 1, "truth", truth, "rows", e->rows);
    return TP_OK;
}

static void evaluation_free(evaluation *e) {
    tp_latentwire_source_free(e->test);
    tp_latentwire_source_free(e->valid);
    tp_latentwire_group_free(e->group);
    for (int k = 0; k < TP_LATENTWIRE_MOST_RECEIVERS; k++) tp_kept_free(&e->kept[k]);
    tp_free(e->order);
    json_decref(e->rows);
}

json_t *tp_latentwire_evaluate(const tp_latentwire_eval_options *o) {
    if (o->task->n_labels == 0)
        return tp_fail_null(TP_ERR_UNSUPPORTED,
                            "the task %s has free answers: receivers are asked together about labels only",
                            o->task->name);
    evaluation e = {.o = o, .rows = json_array()};
    json_t *found = NULL;
    tp_status status = measure(&e, &found);
    evaluation_free(&e);
    char *path = tp_path_join(o->run, result_file);
    if (status == TP_OK) status = tp_json_save_file(found, path);
    tp_free(path);
    if (status == TP_OK) return found;
    json_decref(found);
    return NULL;
}

json_t *tp_latentwire_eval_load(const char *run) {
    char *path = tp_path_join(run, result_file);
    json_t *found = tp_json_load_file(path);
    tp_free(path);
    return found;
}
