/* Methods on altered texts. See perturb.h. */
#include "analysis/perturb.h"

#include "analysis/alter.h"
#include "analysis/documents.h"
#include "base/mem.h"
#include "eval/stats.h"

#include <math.h>
#include <string.h>

enum { STATE_BYTES = 1 << 30 }; /* of states that methods share; what is beyond is computed for each */

/* All test rows once as they are and once in each way of altering: variant v of row i is example v * n + i. */
typedef struct altered {
    size_t n, n_variants; /* rows; variants, the first of which is the original */
    int *kind;            /* [n_variants]; -1: the original */
    double *strength;     /* [n_variants] */
    tp_dataset set;       /* [n_variants * n]; texts owned but for the originals */
} altered;

static void free_altered(altered *a) {
    for (size_t i = a->n; i < a->set.n; i++) tp_free((void *)(uintptr_t)a->set.examples[i].text);
    tp_free(a->set.examples);
    tp_free(a->kind);
    tp_free(a->strength);
}

static altered alter_all(const tp_dataset *test, uint64_t seed) {
    altered a = {.n = test->n, .n_variants = 1};
    for (int k = 0; tp_alterations[k].name; k++) a.n_variants += (size_t)tp_alterations[k].n_strengths;
    a.kind = tp_alloc(a.n_variants * sizeof *a.kind);
    a.strength = tp_alloc(a.n_variants * sizeof *a.strength);
    a.set.n = a.n_variants * a.n;
    a.set.examples = tp_alloc(a.set.n * sizeof *a.set.examples);
    memcpy(a.set.examples, test->examples, a.n * sizeof *a.set.examples);
    a.kind[0] = -1;
    for (size_t v = 1, k = 0; tp_alterations[k].name; k++)
        for (int s = 0; s < tp_alterations[k].n_strengths; s++, v++) {
            a.kind[v] = (int)k;
            a.strength[v] = tp_alterations[k].strengths[s];
            for (size_t i = 0; i < a.n; i++) {
                tp_example *e = &a.set.examples[v * a.n + i];
                *e = test->examples[i];
                e->text = tp_alter_text(test, i, a.kind[v], a.strength[v], seed);
                e->len = strlen(e->text);
            }
        }
    return a;
}

/* ---- what methods answered ---- */

/* One method's answers to all variants, in the reading that counts here: by score, or directly. */
typedef struct answers {
    const tp_method *method;
    tp_reading reading;
    int32_t *labels; /* [n_variants * n] */
} answers;

static tp_status ask(tp_eval *eval, const tp_method *method, const altered *a, answers *out) {
    bool learns = method->needs & TP_NEEDS_TRAINING && !(method->needs & TP_NEEDS_BRIDGE);
    if (learns) TP_TRY(tp_task_needs_train(eval->task));
    tp_method_result result = tp_method_result_new();
    eval->doing = method->title;
    tp_status status = method->run(eval, &result);
    out->method = method;
    out->reading = result.readings[TP_READ_SCORE].predictions.labels ? TP_READ_SCORE : TP_READ_DIRECT;
    const int32_t *labels = result.readings[out->reading].predictions.labels;
    if (status == TP_OK && labels == NULL)
        status = tp_fail(TP_ERR_ARGUMENT, "the method %s gave no answers to altered texts%s%s", method->name,
                         result.note ? ": " : "", result.note ? result.note : "");
    if (status == TP_OK) {
        out->labels = tp_alloc(a->set.n * sizeof *out->labels);
        memcpy(out->labels, labels, a->set.n * sizeof *labels);
    }
    tp_method_result_free(&result);
    return status;
}

/* ---- the document ---- */

/* One method on one variant. */
typedef struct outcome {
    double accuracy, changed; /* shares of rows: right; answered otherwise than the original */
    tp_mcnemar test;          /* b: only the original was answered right, c: only the altered text */
} outcome;

static outcome judge(const altered *a, const answers *x, const int32_t *truth, size_t variant) {
    const int32_t *before = x->labels, *after = x->labels + variant * a->n;
    outcome o = {.test = tp_mcnemar_compare(before, after, truth, a->n)};
    for (size_t i = 0; i < a->n; i++) {
        o.accuracy += (double)(after[i] == truth[i]) / (double)a->n;
        o.changed += (double)(after[i] != before[i]) / (double)a->n;
    }
    return o;
}

static json_t *describe_originals(const altered *a, const answers *x, size_t n_methods, const int32_t *truth) {
    json_t *list = json_array();
    for (size_t m = 0; m < n_methods; m++) {
        outcome o = judge(a, &x[m], truth, 0);
        tp_interval i = tp_wilson((size_t)lround(o.accuracy * (double)a->n), a->n, 0.95);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:[f, f]}", "method", x[m].method->name, "title",
                                              x[m].method->title, "reading", tp_reading_name(x[m].reading), "accuracy",
                                              o.accuracy, "interval", i.low, i.high));
    }
    return list;
}

/* The first row that the variant changes, for people to see what it does. */
static json_t *show(const altered *a, size_t variant, double *share) {
    json_t *example = NULL;
    size_t changed = 0;
    for (size_t i = 0; i < a->n; i++) {
        const tp_example *before = &a->set.examples[i], *after = &a->set.examples[variant * a->n + i];
        if (before->len == after->len && memcmp(before->text, after->text, before->len) == 0) continue;
        if (changed++ == 0)
            example =
                json_pack("{s:i, s:o, s:o}", "row", before->id, "before", tp_json_of_bytes(before->text, before->len),
                          "after", tp_json_of_bytes(after->text, after->len));
    }
    *share = (double)changed / (double)a->n;
    return example ? example : json_null();
}

static json_t *describe_variant(const altered *a, size_t v, const answers *x, size_t n_methods, const int32_t *truth,
                                const double *holm) {
    const tp_alteration *kind = &tp_alterations[a->kind[v]];
    json_t *list = json_array();
    for (size_t m = 0; m < n_methods; m++) {
        outcome o = judge(a, &x[m], truth, v), before = judge(a, &x[m], truth, 0);
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:f, s:f, s:I, s:I, s:f, s:f}", "method", x[m].method->name,
                                        "accuracy", o.accuracy, "change", o.accuracy - before.accuracy,
                                        "answers_changed", o.changed, "only_before", (json_int_t)o.test.b, "only_after",
                                        (json_int_t)o.test.c, "p", o.test.p, "p_holm", holm[(v - 1) * n_methods + m]));
    }
    double share;
    json_t *example = show(a, v, &share);
    return json_pack("{s:s, s:s, s:b, s:f, s:f, s:o, s:o}", "kind", kind->name, "does", kind->does, "keeps_label",
                     kind->keeps_label, "strength", a->strength[v], "texts_changed", share, "example", example,
                     "methods", list);
}

static json_t *describe(const tp_eval *eval, const altered *a, const answers *x, size_t n_methods) {
    size_t n_tests = (a->n_variants - 1) * n_methods;
    int32_t *truth = tp_alloc(a->n * sizeof *truth);
    double *p = tp_alloc(n_tests * sizeof *p);
    for (size_t i = 0; i < a->n; i++) truth[i] = a->set.examples[i].label;
    for (size_t k = 0; k < n_tests; k++) p[k] = judge(a, &x[k % n_methods], truth, 1 + k / n_methods).test.p;
    tp_holm(p, n_tests, p);
    json_t *variants = json_array();
    for (size_t v = 1; v < a->n_variants; v++)
        json_array_append_new(variants, describe_variant(a, v, x, n_methods, truth, p));
    json_t *out = json_pack("{s:o, s:o, s:o}", "subject", tp_json_of_subject(eval, a->n), "before",
                            describe_originals(a, x, n_methods, truth), "variants", variants);
    tp_free(truth);
    tp_free(p);
    return out;
}

/* ---- all of it ---- */

static tp_status ask_all(tp_eval *eval, const altered *a, const tp_method *const *methods, size_t n_methods,
                         answers *out) {
    tp_task task = *eval->task;
    task.test = a->set;
    tp_kept kept = {0};
    tp_eval own = *eval;
    own.task = &task;
    own.kept = &kept;
    own.found = NULL;
    own.n_timed = 0;
    own.test_states =
        tp_state_cache_new(&eval->relay->tap, a->set.examples, a->set.n, TP_CACHE_MEMORY, STATE_BYTES, NULL);
    tp_status status = own.test_states ? TP_OK : tp_last_status();
    for (size_t m = 0; m < n_methods && status == TP_OK; m++) {
        status = ask(&own, methods[m], a, &out[m]);
        if (status == TP_OK) status = tp_eval_stopped(&own);
    }
    tp_state_cache_free(own.test_states);
    tp_kept_free(&kept);
    return status;
}

json_t *tp_perturb(tp_eval *eval, const tp_method *const *methods, size_t n_methods) {
    if (tp_wants_labels(eval->task) != TP_OK) return NULL;
    if (eval->task->test.n == 0)
        return tp_fail_null(TP_ERR_ARGUMENT, "the task %s has no test rows to alter", eval->task->name);
    altered a = alter_all(&eval->task->test, eval->seed);
    answers *x = tp_alloc(n_methods * sizeof *x);
    tp_status status = ask_all(eval, &a, methods, n_methods, x);
    json_t *document = status == TP_OK ? describe(eval, &a, x, n_methods) : NULL;
    for (size_t m = 0; m < n_methods; m++) tp_free(x[m].labels);
    tp_free(x);
    free_altered(&a);
    return document;
}

/* ---- for people ---- */

static const char *mark(double p) {
    return p < 0.001 ? "***" : p < 0.01 ? "**" : p < 0.05 ? "*" : "";
}

/* A row for each variant, with two columns for each method: accuracy, and the share of answers that changed. */
static void append_rows(tp_str *out, const json_t *document) {
    const json_t *before = json_object_get(document, "before"), *variants = json_object_get(document, "variants");
    tp_table *t = tp_table_new();
    tp_table_column(t, "<texts");
    tp_table_column(t, ">strength");
    tp_table_column(t, ">altered");
    for (size_t m = 0; m < json_array_size(before); m++) {
        char *heading = tp_format(">%s", tp_json_string(json_array_get(before, m), "method"));
        tp_table_column(t, heading);
        tp_table_column(t, ">points");
        tp_table_column(t, "<");
        tp_table_column(t, ">otherwise");
        tp_free(heading);
    }
    tp_table_cell(t, "as they are");
    tp_table_cell(t, "%s", "");
    tp_table_cell(t, "%s", "");
    for (size_t m = 0; m < json_array_size(before); m++) {
        tp_table_cell(t, "%.1f %%", 100 * tp_json_number(json_array_get(before, m), "accuracy"));
        for (int k = 0; k < 3; k++) tp_table_cell(t, "%s", "");
    }
    const char *last = "";
    for (size_t v = 0; v < json_array_size(variants); v++) {
        const json_t *row = json_array_get(variants, v), *methods = json_object_get(row, "methods");
        const char *kind = tp_json_string(row, "kind");
        if (strcmp(kind, last) != 0) tp_table_rule(t);
        tp_table_cell(t, "%s", strcmp(kind, last) ? kind : "");
        last = kind;
        tp_table_cell(t, "%g", tp_json_number(row, "strength"));
        tp_table_cell(t, "%.0f %%", 100 * tp_json_number(row, "texts_changed"));
        for (size_t m = 0; m < json_array_size(methods); m++) {
            const json_t *o = json_array_get(methods, m);
            tp_table_cell(t, "%.1f %%", 100 * tp_json_number(o, "accuracy"));
            tp_table_cell(t, "%+.1f", 100 * tp_json_number(o, "change"));
            tp_table_cell(t, "%s", mark(tp_json_number(o, "p_holm")));
            tp_table_cell(t, "%.1f %%", 100 * tp_json_number(o, "answers_changed"));
        }
    }
    tp_append_table(out, t);
}

static void append_legend(tp_str *out) {
    tp_str_append_text(out, "\nStrengths:\n");
    for (int k = 0; tp_alterations[k].name; k++)
        tp_str_appendf(out, "  %-14s %s%s\n", tp_alterations[k].name, tp_alterations[k].does,
                       tp_alterations[k].keeps_label ? "" : " (the label may change with it)");
    tp_str_append_text(out, "altered: share of texts that differ at all; otherwise: share of answers that differ from "
                            "those to the texts as they are.\n*, **, ***: p below 0.05, 0.01, 0.001 by McNemar's test "
                            "against the texts as they are, after Holm over this table.\n");
}

char *tp_perturb_text(const json_t *document) {
    tp_str out = {0};
    tp_subject_line(&out, json_object_get(document, "subject"));
    tp_str_append_char(&out, '\n');
    append_rows(&out, document);
    append_legend(&out);
    return tp_str_take(&out);
}
