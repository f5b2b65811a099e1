/* The aligned table, and the same for programs. See table.h. */
#include "eval/table.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

static void percent_cell(tp_table *t, double share) {
    if (isnan(share))
        tp_table_cell(t, "%s", "");
    else
        tp_table_cell(t, "%.1f", 100 * share);
}

/* A number with about three digits that matter, empty if there is none. */
static void number_cell(tp_table *t, double x) {
    if (isnan(x))
        tp_table_cell(t, "%s", "");
    else
        tp_table_cell(t, "%.*f", x == 0 || x >= 100 ? 0 : x >= 10 ? 1 : 2, x);
}

static void p_cell(tp_table *t, double p) {
    if (isnan(p))
        tp_table_cell(t, "%s", "");
    else if (p < 0.001)
        tp_table_cell(t, "<0.001");
    else
        tp_table_cell(t, "%.3f", p);
}

static void add_heading(tp_str *out, const tp_results *const *runs, size_t n_runs) {
    const tp_results *r = runs[0];
    char *sender = tp_path_last(r->sender), *receiver = tp_path_last(r->receiver);
    tp_str_appendf(out, "%s: %s\n", r->task, r->title);
    if (r->synthetic)
        tp_str_append_text(out,
                           "SYNTHETIC data: these numbers say that the machinery works, nothing about real texts.\n");
    char answers[32] = "free answers: all or nothing";
    if (!r->free_answers) snprintf(answers, sizeof answers, "%d labels", r->n_labels);
    tp_str_appendf(out, "%zu test rows, %s; sender %s, layer %d of %d; receiver %s; %d soft tokens; seed%s", r->truth.n,
                   answers, sender, r->layer, r->n_layers, receiver, r->soft_tokens, n_runs > 1 ? "s" : "");
    for (size_t k = 0; k < n_runs; k++) tp_str_appendf(out, "%s %llu", k ? "," : "", (unsigned long long)runs[k]->seed);
    tp_str_append_text(out, "\n\n");
    tp_free(sender);
    tp_free(receiver);
}

static void add_row(tp_table *t, const tp_row_summary *row) {
    tp_table_cell(t, "%s", row->method->title);
    tp_table_cell(t, "%s", row->reading == TP_READ_DIRECT ? "" : tp_reading_name(row->reading));
    percent_cell(t, row->mean);
    if (row->n_runs > 1) percent_cell(t, row->method->seeded ? row->std : NAN);
    tp_table_cell(t, "%.1f-%.1f", 100 * row->interval.low, 100 * row->interval.high);
    if (row->n_runs > 1) {
        tp_str seeds = {0};
        for (size_t k = 0; row->method->seeded && k < row->n_runs; k++)
            tp_str_appendf(&seeds, "%s%.1f", k ? " " : "", 100 * row->accuracies[k]);
        tp_table_cell(t, "%s", seeds.data ? seeds.data : "");
        tp_str_free(&seeds);
    } else {
        p_cell(t, row->p);
    }
    if (row->reading == TP_READ_GENERATE)
        percent_cell(t, row->invalid);
    else
        tp_table_cell(t, "%s", "");
    for (int p = 0; p < TP_N_PHASES; p++) number_cell(t, row->ms[p]);
    number_cell(t, row->per_second);
    number_cell(t, row->bytes);
}

char *tp_eval_table(const tp_results *const *runs, size_t n_runs, const bool *shown, tp_table_style style) {
    tp_summary s = tp_summary_of(runs, n_runs, shown);
    tp_table *t = tp_table_new();
    tp_table_column(t, "<method");
    tp_table_column(t, "<reading");
    tp_table_column(t, ">acc %");
    if (n_runs > 1) tp_table_column(t, ">±");
    tp_table_column(t, ">95 % CI");
    tp_table_column(t, n_runs > 1 ? "<each seed" : ">p");
    tp_table_column(t, ">inv %");
    tp_table_column(t, ">S ms");
    tp_table_column(t, ">B ms");
    tp_table_column(t, ">R ms");
    tp_table_column(t, ">texts/s");
    tp_table_column(t, ">bytes");
    for (size_t i = 0; i < s.n; i++) {
        if (i > 0 && s.rows[i].method->group != s.rows[i - 1].method->group) tp_table_rule(t);
        add_row(t, &s.rows[i]);
    }
    tp_str out = {0};
    char *body = tp_table_text(t, style), *notes = tp_eval_notes(runs, n_runs, shown);
    add_heading(&out, runs, n_runs);
    tp_str_append_text(&out, body);
    if (notes[0]) tp_str_appendf(&out, "\n%s", notes);
    tp_free(body);
    tp_free(notes);
    tp_table_free(t);
    tp_summary_free(&s);
    return tp_str_take(&out);
}

/* ---- for programs ---- */

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_to_json(const tp_row_summary *row) {
    json_t *seeds = json_array();
    for (size_t k = 0; k < row->n_runs; k++) json_array_append_new(seeds, number(row->accuracies[k]));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:[o, o], s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "method",
                     row->method->name, "title", row->method->title, "reading", tp_reading_name(row->reading),
                     "accuracy", number(row->mean), "std", number(row->std), "interval", number(row->interval.low),
                     number(row->interval.high), "each", seeds, "p", number(row->p), "invalid", number(row->invalid),
                     "sender_ms", number(row->ms[TP_PHASE_SENDER]), "bridge_ms", number(row->ms[TP_PHASE_BRIDGE]),
                     "receiver_ms", number(row->ms[TP_PHASE_RECEIVER]), "per_second", number(row->per_second), "bytes",
                     number(row->bytes));
}

static void drop_items(json_t *run) {
    const char *name, *reading;
    json_t *method, *answers;
    json_object_del(run, "rows");
    json_object_del(run, "truth");
    json_object_foreach(json_object_get(run, "methods"), name, method) {
        json_object_foreach(json_object_get(method, "readings"), reading, answers)
            json_object_del(answers, "predictions");
    }
}

json_t *tp_eval_json(const tp_results *const *runs, size_t n_runs, const bool *shown, bool items) {
    tp_summary s = tp_summary_of(runs, n_runs, shown);
    json_t *all = json_array(), *rows = json_array(), *sentences = json_array();
    for (size_t k = 0; k < n_runs; k++) {
        json_t *run = tp_results_to_json(runs[k]);
        if (!items) drop_items(run);
        json_array_append_new(all, run);
    }
    for (size_t i = 0; i < s.n; i++) json_array_append_new(rows, row_to_json(&s.rows[i]));
    char *notes = tp_eval_notes(runs, n_runs, shown);
    for (char *line = notes, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        json_array_append_new(sentences, json_stringn(line, (size_t)(end - line)));
    tp_free(notes);
    tp_summary_free(&s);
    return json_pack("{s:o, s:o, s:o}", "rows", rows, "notes", sentences, "runs", all);
}
