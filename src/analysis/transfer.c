/* One task's bridge on another task. See transfer.h.
 *
 * The evaluation's methods do the work: they get a relay whose layout has the other task's primer and labels, and ask
 * as always. */
#include "analysis/transfer.h"

#include "analysis/documents.h"
#include "analysis/packets.h"
#include "base/mem.h"
#include "eval/ask.h"
#include "eval/logistic.h"
#include "eval/stats.h"

#include <math.h>
#include <string.h>

enum { STATE_BYTES = 1 << 30, MOST_ROWS = 16 };

static const tp_method *const asked[] = {
    &tp_method_majority, &tp_method_words,    &tp_method_receiver, &tp_method_probe_mean,
    &tp_method_bridge,   &tp_method_shuffled, &tp_method_zero,     NULL};

/* ---- the relay for another task ---- */

/* The run's relay with the other task's question; shares all else with it. */
typedef struct borrowed {
    tp_relay relay;
    tp_recipe recipe;
} borrowed;

static tp_status borrow(const tp_eval *eval, bool task_prompt, borrowed *out) {
    const tp_task *task = eval->task;
    out->relay = *eval->relay;
    out->recipe = *eval->relay->recipe;
    out->relay.recipe = &out->recipe;
    out->recipe.primer = (char *)(uintptr_t)task->primer; /* only read */
    out->relay.n_labels = task->n_labels;
    out->relay.label_names = tp_alloc((size_t)task->n_labels * sizeof *out->relay.label_names);
    for (int32_t i = 0; i < task->n_labels; i++) out->relay.label_names[i] = task->labels[i].name;
    if (task_prompt) out->relay.tap.prompt = task->prompt;
    tp_eval own = *eval;
    own.relay = &out->relay;
    out->relay.layout = tp_ask_layout(&own, out->recipe.layout, out->relay.receiver);
    return out->relay.layout ? TP_OK : tp_last_status();
}

static void give_back(borrowed *b) {
    tp_layout_free(b->relay.layout);
    tp_free(b->relay.label_names);
}

/* ---- rows ---- */

typedef struct row {
    const char *name, *title, *reading;
    int32_t *labels; /* [test rows] */
} row;

static void add_row(row *rows, size_t *n, const char *name, const char *title, const char *reading,
                    const int32_t *labels, size_t n_texts) {
    rows[*n] = (row){.name = name, .title = title, .reading = reading, .labels = tp_alloc(n_texts * sizeof *labels)};
    memcpy(rows[(*n)++].labels, labels, n_texts * sizeof *labels);
}

static tp_status ask_methods(tp_eval *eval, row *rows, size_t *n) {
    tp_status status = TP_OK;
    for (size_t m = 0; asked[m] && status == TP_OK; m++) {
        bool learns = asked[m]->needs & TP_NEEDS_TRAINING && !(asked[m]->needs & TP_NEEDS_BRIDGE);
        if (learns && eval->task->train.n == 0) continue;
        tp_method_result result = tp_method_result_new();
        eval->doing = asked[m]->title;
        status = asked[m]->run(eval, &result);
        for (tp_reading r = 0; r < TP_N_READINGS && status == TP_OK; r++)
            if (result.readings[r].predictions.labels)
                add_row(rows, n, asked[m]->name, asked[m]->title, tp_reading_name(r),
                        result.readings[r].predictions.labels, eval->task->test.n);
        tp_method_result_free(&result);
        if (status == TP_OK) status = tp_eval_stopped(eval);
    }
    return status;
}

/* The probe on packets, as the evaluation's probes are fitted. */
static tp_status probe_packets(tp_eval *eval, row *rows, size_t *n) {
    const tp_task *task = eval->task;
    const tp_dataset *sets[] = {&task->train, &task->valid, &task->test};
    tp_packets p;
    tp_logistic *model = NULL;
    if (task->train.n == 0) return TP_OK;
    TP_TRY(tp_packets_make(eval, "packets", sets, 3, &p));
    size_t width = tp_packet_width(&p), n_fit = task->train.n + task->valid.n;
    tp_status status =
        tp_logistic_fit_best(p.soft, p.labels, task->train.n, task->valid.n, width, task->n_labels, &model);
    if (status == TP_OK) {
        int32_t *labels = tp_alloc(task->test.n * sizeof *labels);
        tp_logistic_predict(model, p.soft + n_fit * width, task->test.n, labels);
        add_row(rows, n, "probe_packet", "linear probe, packet", "direct", labels, task->test.n);
        tp_free(labels);
    }
    tp_logistic_free(model);
    tp_packets_free(&p);
    return status;
}

/* ---- the document ---- */

/* Every row against the majority label, Holm-corrected. */
static json_t *describe_rows(const tp_eval *eval, const row *rows, size_t n_rows) {
    const tp_dataset *test = &eval->task->test;
    int32_t *truth = tp_alloc(test->n * sizeof *truth);
    double p[MOST_ROWS], adjusted[MOST_ROWS];
    for (size_t i = 0; i < test->n; i++) truth[i] = test->examples[i].label;
    for (size_t r = 1; r < n_rows; r++) p[r] = tp_mcnemar_compare(rows[0].labels, rows[r].labels, truth, test->n).p;
    tp_holm(p + 1, n_rows - 1, adjusted + 1);
    p[0] = adjusted[0] = NAN; /* the majority itself */
    json_t *list = json_array();
    for (size_t r = 0; r < n_rows; r++) {
        size_t right = 0, invalid = 0;
        for (size_t i = 0; i < test->n; i++) {
            right += rows[r].labels[i] == truth[i];
            invalid += rows[r].labels[i] < 0;
        }
        tp_interval interval = tp_wilson(right, test->n, 0.95);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:[f, f], s:f, s:o, s:o}", "method", rows[r].name,
                                              "title", rows[r].title, "reading", rows[r].reading, "accuracy",
                                              (double)right / (double)test->n, "interval", interval.low, interval.high,
                                              "invalid", (double)invalid / (double)test->n, "p",
                                              tp_json_of_number(p[r]), "p_holm", tp_json_of_number(adjusted[r])));
    }
    tp_free(truth);
    return list;
}

static tp_status fill_rows(tp_eval *eval, row *rows, size_t *n) {
    const tp_dataset *test = &eval->task->test;
    eval->test_states =
        tp_state_cache_new(&eval->relay->tap, test->examples, test->n, TP_CACHE_MEMORY, STATE_BYTES, NULL);
    tp_status status = eval->test_states ? ask_methods(eval, rows, n) : tp_last_status();
    tp_state_cache_free(eval->test_states);
    eval->test_states = NULL;
    return status == TP_OK ? probe_packets(eval, rows, n) : status;
}

json_t *tp_transfer(tp_eval *eval, bool task_prompt) {
    const tp_task *task = eval->task;
    if (task->test.n == 0)
        return tp_fail_null(TP_ERR_ARGUMENT, "the task %s has no test rows to ask about", task->name);
    if (tp_wants_labels(task) != TP_OK) return NULL;
    borrowed b = {0};
    row rows[MOST_ROWS];
    size_t n_rows = 0;
    tp_kept kept = {0};
    tp_eval own = *eval;
    tp_status status = borrow(eval, task_prompt, &b);
    if (status == TP_OK) {
        own.relay = &b.relay;
        own.kept = &kept;
        own.found = NULL;
        own.n_timed = 0;
        status = fill_rows(&own, rows, &n_rows);
        tp_kept_free(&kept);
    }
    json_t *document = NULL;
    if (status == TP_OK)
        document = json_pack(
            "{s:o, s:o, s:s, s:f, s:{s:I, s:I, s:I}, s:o}", "subject", tp_json_of_subject(eval, task->test.n),
            "trained_for", tp_json_of_text(eval->relay->trained->task), "sender_prompt", task_prompt ? "task" : "run",
            "chance", 1 / (double)task->n_labels, "rows", "train", (json_int_t)task->train.n, "valid",
            (json_int_t)task->valid.n, "test", (json_int_t)task->test.n, "methods", describe_rows(eval, rows, n_rows));
    for (size_t r = 0; r < n_rows; r++) tp_free(rows[r].labels);
    give_back(&b);
    return document;
}

/* ---- for people ---- */

static const json_t *find(const json_t *methods, const char *name, const char *reading) {
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *m = json_array_get(methods, i);
        if (strcmp(tp_json_string(m, "method"), name) == 0 && strcmp(tp_json_string(m, "reading"), reading) == 0)
            return m;
    }
    return NULL;
}

/* What the numbers mean, in sentences. */
static void append_sentences(tp_str *out, const json_t *document) {
    const json_t *methods = json_object_get(document, "methods"), *majority = find(methods, "majority", "direct");
    const json_t *bridge = find(methods, "bridge", "score"), *packet = find(methods, "probe_packet", "direct");
    const json_t *mean = find(methods, "probe_mean", "direct");
    double base = tp_json_number(majority, "accuracy"), zero_shot = tp_json_number(bridge, "accuracy");
    bool told_apart = tp_json_number(bridge, "p_holm") < 0.05;
    tp_str_appendf(out,
                   "\n- Zero-shot the bridge of %s %s the majority label of %s: %.1f %% against %.1f %%, p = %.2g.\n",
                   tp_json_string(document, "trained_for"),
                   !told_apart        ? "is not told apart from"
                   : zero_shot > base ? "beats"
                                      : "is below",
                   tp_json_string(json_object_get(document, "subject"), "task"), 100 * zero_shot, 100 * base,
                   tp_json_number(bridge, "p_holm"));
    if (packet == NULL || mean == NULL) return;
    double read = tp_json_number(packet, "accuracy"), there = tp_json_number(mean, "accuracy");
    tp_str_appendf(out, "- A linear probe reads %.1f %% from its packets and %.1f %% from the sender's mean state",
                   100 * read, 100 * there);
    if (there > base)
        tp_str_appendf(out, ": %.0f %% of what that is above the majority label came across.\n",
                       100 * (read - base) / (there - base));
    else
        tp_str_append_text(out, ".\n");
}

char *tp_transfer_text(const json_t *document) {
    static const char *const columns[] = {"<method", "<reading", ">accuracy", ">95 % CI", ">invalid", ">p, majority"};
    const json_t *methods = json_object_get(document, "methods");
    tp_str out = {0};
    tp_str_appendf(&out, "A bridge trained for %s, on another task.\n", tp_json_string(document, "trained_for"));
    tp_subject_line(&out, json_object_get(document, "subject"));
    tp_str_append_char(&out, '\n');
    tp_table *t = tp_table_new();
    for (int c = 0; c < 6; c++) tp_table_column(t, columns[c]);
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *m = json_array_get(methods, i), *interval = json_object_get(m, "interval");
        tp_table_cell(t, "%s", tp_json_string(m, "title"));
        tp_table_cell(t, "%s", tp_json_string(m, "reading"));
        tp_table_cell(t, "%.1f %%", 100 * tp_json_number(m, "accuracy"));
        tp_table_cell(t, "%.1f-%.1f", 100 * json_number_value(json_array_get(interval, 0)),
                      100 * json_number_value(json_array_get(interval, 1)));
        tp_table_cell(t, "%.1f %%", 100 * tp_json_number(m, "invalid"));
        if (isnan(tp_json_number(m, "p_holm")))
            tp_table_cell(t, "%s", "");
        else
            tp_table_cell(t, "%.2g", tp_json_number(m, "p_holm"));
    }
    tp_append_table(&out, t);
    append_sentences(&out, document);
    return tp_str_take(&out);
}
