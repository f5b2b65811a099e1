/* What a table means, in sentences: does the bridge beat the words alone, is what it gains communication, is it faster,
 * what was cut or doubled in the data. A table does not hide where the bridge loses. */
#include "base/mem.h"
#include "base/str.h"
#include "eval/table.h"

#include <math.h>
#include <string.h>

typedef struct notes {
    const tp_results *const *runs;
    size_t n_runs;
    const tp_summary *summary;
    tp_str text;
} notes;

static const tp_row_summary *row(const notes *n, const tp_method *method, tp_reading reading) {
    return tp_summary_find(n->summary, method, reading);
}

/* McNemar's p of the bridge's score against another row: of one run Holm-corrected, as in the table; of several that of
 * run k. */
static double p_of(const notes *n, const tp_row_summary *other, size_t k) {
    if (n->n_runs == 1) return other->p;
    return tp_results_mcnemar(n->runs[k], &tp_method_bridge, TP_READ_SCORE, other->method, other->reading).p;
}

/* "McNemar p = 0.003 after Holm's correction", or "McNemar p = 0.003, 0.02, 0.01 run by run". */
static void add_p(notes *n, const tp_row_summary *other) {
    tp_str_append_text(&n->text, "McNemar p = ");
    for (size_t k = 0; k < n->n_runs; k++) tp_str_appendf(&n->text, "%s%.2g", k ? ", " : "", p_of(n, other, k));
    tp_str_append_text(&n->text, n->n_runs > 1 ? " run by run" : " after Holm's correction");
}

/* The largest p over the runs: a difference counts only if every run shows it. */
static double worst_p(const notes *n, const tp_row_summary *other) {
    double worst = 0;
    for (size_t k = 0; k < n->n_runs; k++) worst = fmax(worst, p_of(n, other, k));
    return worst;
}

static void compare(notes *n, const tp_row_summary *bridge, const tp_row_summary *other, const char *who) {
    if (other == NULL) return;
    double gap = 100 * (bridge->mean - other->mean);
    const char *verdict = worst_p(n, other) >= 0.05 ? "is not told apart from" : gap > 0 ? "beats" : "loses to";
    tp_str_appendf(&n->text, "- The bridge (%.1f %%) %s %s (%.1f %%), %+.1f points, ", 100 * bridge->mean, verdict, who,
                   100 * other->mean, gap);
    add_p(n, other);
    tp_str_append_text(&n->text, ".\n");
}

/* True if in each run every text got the same answer: whatever share of the texts that fits, nothing was read. */
static bool says_always_the_same(const notes *n, const tp_row_summary *c) {
    for (size_t k = 0; k < n->n_runs; k++) {
        const tp_method_result *result = tp_results_get(n->runs[k], c->method);
        const tp_predictions *p = result ? &result->readings[c->reading].predictions : NULL;
        for (size_t i = 1; p && i < p->n; i++)
            if (p->labels[i] != p->labels[0]) return false;
    }
    return true;
}

double tp_blind_accuracy(const tp_results *const *runs, size_t n_runs, const tp_row_summary *r) {
    double sum = 0;
    for (size_t k = 0; k < n_runs; k++) {
        const tp_results *run = runs[k];
        const int32_t *answers = tp_results_get(run, r->method)->readings[r->reading].predictions.labels;
        double *shares = tp_alloc((size_t)run->n_labels * sizeof *shares);
        for (size_t i = 0; i < run->truth.n; i++)
            if (answers[i] >= 0) shares[answers[i]] += 1.0 / (double)run->truth.n;
        for (size_t i = 0; i < run->truth.n; i++) sum += shares[run->truth.examples[i].label] / (double)run->truth.n;
        tp_free(shares);
    }
    return sum / (double)n_runs;
}

/* What a control gets right beyond answering blindly did not come through the bridge as it should. An alarm must not go
 * off by chance: the interval is Bonferroni's, for as many controls as there are. */
static void controls(notes *n) {
    static const tp_method *const all[] = {&tp_method_zero, &tp_method_noise, &tp_method_shuffled, &tp_method_deranged,
                                           &tp_method_receiver_alone};
    enum { N_CONTROLS = sizeof all / sizeof all[0] };
    size_t rows = n->runs[0]->truth.n;
    for (size_t i = 0; i < N_CONTROLS; i++) {
        const tp_row_summary *c = row(n, all[i], TP_READ_SCORE);
        if (c == NULL) continue;
        double blind = tp_blind_accuracy(n->runs, n->n_runs, c);
        tp_interval interval = tp_wilson((size_t)llround(c->mean * (double)rows), rows, 1 - 0.05 / N_CONTROLS);
        if (says_always_the_same(n, c))
            tp_str_appendf(&n->text, "- Control, %s: %.1f %%, one and the same answer for every text, as it must be.\n",
                           all[i]->title, 100 * c->mean);
        else if (interval.low <= blind)
            tp_str_appendf(
                &n->text,
                "- Control, %s: %.1f %%, not told apart from the same answers given blindly (%.1f %%), as it "
                "must be.\n",
                all[i]->title, 100 * c->mean, 100 * blind);
        else
            tp_str_appendf(&n->text,
                           "- Control, %s: %.1f %%, ABOVE the same answers given blindly (%.1f %%): so much of the "
                           "bridge's accuracy is not communication.\n",
                           all[i]->title, 100 * c->mean, 100 * blind);
    }
}

static void against_text(notes *n, const tp_row_summary *bridge, const tp_row_summary *text, const char *what) {
    if (text == NULL || isnan(text->total_ms) || isnan(bridge->total_ms)) return;
    double ratio = text->total_ms / bridge->total_ms;
    tp_str_appendf(&n->text, "- One text takes the bridge %.1f ms and %s %.1f ms: the bridge is %.1fx %s; ",
                   bridge->total_ms, what, text->total_ms, ratio >= 1 ? ratio : 1 / ratio,
                   ratio >= 1 ? "faster" : "SLOWER");
    tp_str_appendf(&n->text, "%.0f bytes against %.0f.\n", bridge->bytes, text->bytes);
}

static void data(notes *n) {
    const tp_results *r = n->runs[0];
    if (r->n_overlap > 0)
        tp_str_appendf(&n->text, "- %zu test texts also stand in train; they are the data's own, and kept.\n",
                       r->n_overlap);
    for (size_t i = 0; i < n->summary->n; i++) {
        const tp_method *m = n->summary->rows[i].method;
        if (i > 0 && n->summary->rows[i - 1].method == m) continue;
        for (size_t k = 0; k < n->n_runs; k++) {
            const tp_method_result *result = tp_results_get(n->runs[k], m);
            if (k > 0 && !m->seeded) break;
            tp_str prefix = {0};
            tp_str_appendf(&prefix, "- %s", m->title);
            if (k > 0 || (n->n_runs > 1 && m->seeded))
                tp_str_appendf(&prefix, ", seed %llu", (unsigned long long)n->runs[k]->seed);
            if (result->n_truncated > 0)
                tp_str_appendf(&n->text, "%s: %lld texts were cut to fit.\n", prefix.data,
                               (long long)result->n_truncated);
            if (result->setting) tp_str_appendf(&n->text, "%s: %s.\n", prefix.data, result->setting);
            if (result->note) tp_str_appendf(&n->text, "%s: %s.\n", prefix.data, result->note);
            tp_str_free(&prefix);
        }
    }
}

static void legend(notes *n) {
    const tp_results *r = n->runs[0];
    bool timed = false, tested = false, read = false;
    for (size_t i = 0; i < n->summary->n; i++) {
        timed = timed || !isnan(n->summary->rows[i].total_ms);
        tested = tested || !isnan(n->summary->rows[i].p);
        read = read || n->summary->rows[i].reading != TP_READ_DIRECT;
    }
    if (read)
        tp_str_append_text(&n->text, "- score: the label whose tokens are likeliest; generate: greedy text, in which a "
                                     "label is looked for; inv: answers that name none, counted as wrong.\n");
    tp_str_append_text(&n->text, "- CI: Wilson's interval for the number of test rows");
    if (n->n_runs > 1) tp_str_append_text(&n->text, ", around the mean; ±: standard deviation over seeds");
    if (tested) tp_str_append_text(&n->text, "; p: McNemar against the bridge's score, Holm-corrected over this table");
    tp_str_append_text(&n->text, ".\n");
    if (timed)
        tp_str_appendf(
            &n->text,
            "- S, B, R ms: sender, bridge and receiver, one text at a time, median of %lld; texts/s: in "
            "batches of 32; bytes: from sender to receiver, soft tokens as f16 where nothing else is said.\n",
            (long long)(r->n_timed < (int64_t)r->truth.n ? r->n_timed : (int64_t)r->truth.n));
}

char *tp_eval_notes(const tp_results *const *runs, size_t n_runs, const bool *shown) {
    tp_summary s = tp_summary_of(runs, n_runs, shown);
    notes n = {.runs = runs, .n_runs = n_runs, .summary = &s};
    const tp_row_summary *bridge = row(&n, &tp_method_bridge, TP_READ_SCORE);
    if (bridge) {
        compare(&n, bridge, row(&n, &tp_method_words, TP_READ_DIRECT), "the words alone");
        const tp_row_summary *mean = row(&n, &tp_method_probe_mean, TP_READ_DIRECT);
        const tp_row_summary *last = row(&n, &tp_method_probe_last, TP_READ_DIRECT);
        compare(&n, bridge, last && (mean == NULL || last->mean > mean->mean) ? last : mean,
                "the better linear probe of its layer");
        compare(&n, bridge, row(&n, &tp_method_prompt_tuning, TP_READ_SCORE), "the prompt-tuned receiver");
        compare(&n, bridge, row(&n, &tp_method_lora, TP_READ_SCORE), "the receiver tuned by LoRA");
        compare(&n, bridge, row(&n, &tp_method_ridge, TP_READ_SCORE), "the ridge map, which is solved for");
        compare(&n, bridge, row(&n, &tp_method_text_bytes, TP_READ_SCORE), "as many bytes of text as its packet has");
        controls(&n);
        against_text(&n, bridge, row(&n, &tp_method_receiver, TP_READ_SCORE),
                     "the receiver that reads the text itself");
        against_text(&n, bridge, row(&n, &tp_method_text_relay, TP_READ_SCORE), "the text relay");
    }
    data(&n);
    if (s.n > 0) legend(&n);
    tp_summary_free(&s);
    return tp_str_take(&n.text);
}
