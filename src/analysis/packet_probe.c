/* The document of `telepathy probe`, put together. See packet_probe.h. */
#include "analysis/packet_probe.h"

#include "analysis/bag.h"
#include "analysis/documents.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 10, FEWEST = 5 }; /* words named as read best and worst; test texts that must hold them */

/* What a probe reads. */
typedef struct source {
    const char *name;
    const float *x; /* [n, d]; NULL: nothing */
    size_t d;
    bool shuffled; /* against the targets of other texts: a control */
} source;

/* The subject of both parts. */
typedef struct subject {
    const tp_eval *eval;
    const tp_packets *packets;
    size_t n[3];    /* texts of train, valid, test */
    int64_t *order; /* [packets->n] the text that stands in for each, of the same split */
} subject;

/* A random order within each split. */
static int64_t *shuffle(const size_t n[3], uint64_t seed) {
    int64_t *order = tp_alloc((n[0] + n[1] + n[2]) * sizeof *order);
    for (size_t i = 0; i < n[0] + n[1] + n[2]; i++) order[i] = (int64_t)i;
    for (size_t s = 0, at = 0; s < 3; at += n[s++]) {
        tp_rng rng = tp_rng_stream(seed, "probe control", s);
        tp_rng_shuffle(&rng, order + at, n[s]);
    }
    return order;
}

/* ---- words ---- */

/* The words of each text, [packets->n, bag->n]; *mean gets how many a test text holds, *with how many hold any. */
static float *mark_words(const subject *s, const tp_bag *bag, double *mean, size_t *with) {
    const tp_task *task = s->eval->task;
    const tp_dataset *sets[] = {&task->train, &task->valid, &task->test};
    float *y = tp_try_alloc(s->packets->n, bag->n * sizeof *y);
    *mean = 0, *with = 0;
    for (size_t k = 0, at = 0; y && k < 3; k++)
        for (size_t i = 0; i < sets[k]->n; i++, at++) {
            size_t words = tp_bag_mark(bag, sets[k]->examples[i].text, sets[k]->examples[i].len, y + at * bag->n);
            if (k == 2) *mean += (double)words / (double)sets[k]->n, *with += words > 0;
        }
    return y;
}

/* Rows [n, width] in the subject's shuffled order; to be freed. */
static float *reorder(const subject *s, const float *rows, size_t width) {
    float *out = tp_alloc(s->packets->n * width * sizeof *out);
    for (size_t i = 0; i < s->packets->n; i++)
        memcpy(out + i * width, rows + (size_t)s->order[i] * width, width * sizeof *out);
    return out;
}

static json_t *describe_words(const source *from, const tp_word_scores *w) {
    return json_pack("{s:s, s:o, s:o, s:[o, o], s:o}", "source", from->name, "precision",
                     tp_json_of_vector(w->precision, TP_N_CUTS), "recall", tp_json_of_vector(w->recall, TP_N_CUTS),
                     "recall_interval", tp_json_of_number(w->recall_interval.low),
                     tp_json_of_number(w->recall_interval.high), "penalty", tp_json_of_number(w->l2));
}

typedef struct listed {
    double recall;
    size_t word;
} listed;

static int by_recall(const void *a, const void *b) {
    const listed *x = a, *y = b;
    if (x->recall != y->recall) return x->recall > y->recall ? -1 : 1;
    return (x->word > y->word) - (x->word < y->word);
}

/* The words read best and worst from the packet, among those that stand in some test texts. */
static void list_words(const subject *s, const tp_bag *bag, const float *y, const tp_word_scores *scores, json_t *out) {
    listed *list = tp_alloc(bag->n * sizeof *list);
    size_t *texts = tp_alloc(bag->n * sizeof *texts), n = 0;
    for (size_t i = s->n[0] + s->n[1]; i < s->packets->n; i++)
        for (size_t w = 0; w < bag->n; w++) texts[w] += y[i * bag->n + w] == 1;
    for (size_t w = 0; w < bag->n; w++)
        if (texts[w] >= FEWEST) list[n++] = (listed){scores->word_recall[w], w};
    if (n > 0) qsort(list, n, sizeof *list, by_recall);
    json_t *best = json_array(), *worst = json_array();
    for (size_t i = 0; i < LISTED && i < n; i++) {
        const listed *ends[] = {&list[i], &list[n - 1 - i]};
        for (int e = 0; e < 2; e++)
            json_array_append_new(e ? worst : best,
                                  json_pack("{s:o, s:I, s:f}", "word", tp_json_of_text(bag->words[ends[e]->word]),
                                            "texts", (json_int_t)texts[ends[e]->word], "recall", ends[e]->recall));
    }
    json_object_set_new(out, "best", best);
    json_object_set_new(out, "worst", worst);
    tp_free(texts);
    tp_free(list);
}

static tp_status probe_words(const subject *s, const tp_bag *bag, json_t *document) {
    double mean;
    size_t with;
    float *y = mark_words(s, bag, &mean, &with);
    if (y == NULL) return tp_last_status();
    float *shuffled = reorder(s, y, bag->n);
    const tp_packets *p = s->packets;
    const source sources[] = {{"packet", p->soft, tp_packet_width(p), false},
                              {"sender's mean state", p->mean, (size_t)p->d_sender, false},
                              {"packet of another text", p->soft, tp_packet_width(p), true},
                              {"frequency alone", NULL, 0, false}};
    json_t *list = json_array();
    json_t *out = json_pack("{s:I, s:I, s:f, s:[I, I, I], s:o}", "vocabulary", (json_int_t)bag->n, "texts",
                            (json_int_t)with, "words_per_text", mean, "k", (json_int_t)tp_word_cuts[0],
                            (json_int_t)tp_word_cuts[1], (json_int_t)tp_word_cuts[2], "sources", list);
    tp_status status = TP_OK;
    tp_progress_begin(s->eval->progress, "words", 4, "fits", NULL);
    for (size_t k = 0; k < 4 && status == TP_OK; k++) {
        tp_word_scores scores;
        const float *targets = sources[k].shuffled ? shuffled : y;
        status = tp_read_words(sources[k].x, sources[k].d, targets, bag->n, s->n, s->eval->seed, &scores);
        if (status != TP_OK) break;
        json_array_append_new(list, describe_words(&sources[k], &scores));
        if (k == 0) list_words(s, bag, y, &scores, out);
        tp_free(scores.word_recall);
        tp_progress_update(s->eval->progress, (double)(k + 1), 0, "%s", "");
        status = tp_eval_stopped(s->eval);
    }
    tp_progress_end(s->eval->progress);
    json_object_set_new(document, "words", out);
    tp_free(shuffled);
    tp_free(y);
    return status;
}

/* ---- label ---- */

static tp_status probe_label(const subject *s, json_t *document) {
    const tp_packets *p = s->packets;
    const source sources[] = {{"packet", p->soft, tp_packet_width(p), false},
                              {"sender's mean state", p->mean, (size_t)p->d_sender, false},
                              {"packet, labels shuffled", p->soft, tp_packet_width(p), true}};
    int32_t *shuffled = tp_alloc(p->n * sizeof *shuffled);
    for (size_t i = 0; i < p->n; i++) shuffled[i] = p->labels[s->order[i]];
    json_t *list = json_array(), *out = json_pack("{s:o}", "sources", list);
    tp_status status = TP_OK;
    tp_progress_begin(s->eval->progress, "label", 3, "fits", NULL);
    for (size_t k = 0; k < 3 && status == TP_OK; k++) {
        tp_label_information i;
        status = tp_measure_information(sources[k].x, sources[k].d, sources[k].shuffled ? shuffled : p->labels,
                                        s->eval->task->n_labels, s->n, s->eval->seed, &i);
        if (status != TP_OK) break;
        json_object_set_new(out, "entropy", json_real(i.entropy));
        json_array_append_new(list, json_pack("{s:s, s:f, s:[f, f], s:f, s:f, s:f}", "source", sources[k].name, "bits",
                                              i.bits, "interval", i.interval.low, i.interval.high, "cross_entropy",
                                              i.cross_entropy, "accuracy", i.accuracy, "penalty", i.l2));
        tp_progress_update(s->eval->progress, (double)(k + 1), 0, "%s", "");
        status = tp_eval_stopped(s->eval);
    }
    tp_progress_end(s->eval->progress);
    json_object_set_new(document, "label", out);
    tp_free(shuffled);
    return status;
}

/* ---- both ---- */

json_t *tp_packet_probe(tp_eval *eval, size_t n_words) {
    const tp_task *task = eval->task;
    const tp_dataset *sets[] = {&task->train, &task->valid, &task->test};
    if (tp_wants_labels(task) != TP_OK) return NULL;
    if (tp_task_needs_train(task) != TP_OK) return NULL;
    if (task->test.n == 0)
        return tp_fail_null(TP_ERR_ARGUMENT, "the task %s has no test rows to judge a probe on", task->name);
    tp_packets packets;
    if (tp_packets_make(eval, "packets", sets, 3, &packets) != TP_OK) return NULL;
    subject s = {.eval = eval, .packets = &packets, .n = {task->train.n, task->valid.n, task->test.n}};
    s.order = shuffle(s.n, eval->seed);
    json_t *document = json_pack("{s:o, s:{s:I, s:I, s:I}}", "subject", tp_json_of_subject(eval, task->test.n), "rows",
                                 "train", (json_int_t)s.n[0], "valid", (json_int_t)s.n[1], "test", (json_int_t)s.n[2]);
    tp_bag *bag = n_words > 0 ? tp_bag_new(task->train.examples, task->train.n, n_words) : NULL;
    tp_status status = bag && bag->n > 0 ? probe_words(&s, bag, document) : TP_OK;
    if (status == TP_OK) status = probe_label(&s, document);
    tp_bag_free(bag);
    tp_free(s.order);
    tp_packets_free(&packets);
    if (status == TP_OK) return document;
    json_decref(document);
    return NULL;
}

/* ---- for people ---- */

static double at(const json_t *row, const char *key, size_t i) {
    const json_t *value = json_array_get(json_object_get(row, key), i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void append_words(tp_str *out, const json_t *words) {
    static const char *const columns[] = {"<words read from", ">right of 1",  ">of 5",
                                          ">of 10",           ">found by 10", ">95 % CI"};
    tp_str_appendf(
        out,
        "\nWords: a linear map to %.0f words that stand in 3 training texts at least and in a tenth of them at "
        "most.\n%.0f test texts hold some of these, %.1f on average.\n\n",
        tp_json_number(words, "vocabulary"), tp_json_number(words, "texts"), tp_json_number(words, "words_per_text"));
    tp_table *t = tp_table_new();
    for (int c = 0; c < 6; c++) tp_table_column(t, columns[c]);
    const json_t *sources = json_object_get(words, "sources");
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *row = json_array_get(sources, i);
        tp_table_cell(t, "%s", tp_json_string(row, "source"));
        for (size_t c = 0; c < TP_N_CUTS; c++) tp_table_cell(t, "%.1f %%", 100 * at(row, "precision", c));
        tp_table_cell(t, "%.1f %%", 100 * at(row, "recall", TP_N_CUTS - 1));
        tp_table_cell(t, "%.1f-%.1f", 100 * at(row, "recall_interval", 0), 100 * at(row, "recall_interval", 1));
    }
    tp_append_table(out, t);
    static const char *const ends[] = {"best", "worst"};
    for (int e = 0; e < 2; e++) {
        const json_t *list = json_object_get(words, ends[e]);
        if (json_array_size(list) == 0) continue;
        tp_str_appendf(out, "%sfrom the packet %s: ", e ? "" : "\n", ends[e]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *w = json_array_get(list, i);
            tp_str_appendf(out, "%s%s %.0f %%", i ? ", " : "", tp_json_string(w, "word"),
                           100 * tp_json_number(w, "recall"));
        }
        tp_str_append_char(out, '\n');
    }
}

/* Whether the packet holds words of its own text: its interval against that of other texts' packets. */
static void append_verdict_on_words(tp_str *out, const json_t *words) {
    const json_t *sources = json_object_get(words, "sources"), *own = json_array_get(sources, 0);
    const json_t *state = json_array_get(sources, 1), *other = json_array_get(sources, 2);
    double found = at(own, "recall", TP_N_CUTS - 1), blind = at(other, "recall", TP_N_CUTS - 1);
    double there = at(state, "recall", TP_N_CUTS - 1);
    bool holds = at(own, "recall_interval", 0) > at(other, "recall_interval", 1);
    tp_str_appendf(out, "\nThe packet %s: ten guesses find %.1f %% of them, %.1f %% from another text's packet",
                   holds ? "holds words of its text" : "does not show words of its text", 100 * found, 100 * blind);
    if (holds && there > blind)
        tp_str_appendf(out, ";\nof what the sender's mean state gives above that, %.0f %% came across",
                       100 * (found - blind) / (there - blind));
    tp_str_append_text(out, ".\n");
}

static void append_label(tp_str *out, const json_t *label) {
    static const char *const columns[] = {"<label read from", ">bits at least", ">95 % CI", ">accuracy"};
    tp_str_appendf(out,
                   "\nLabel: %.3f bits of entropy; a packet tells at least H - CE of them, CE by logistic regression "
                   "on texts not seen.\n\n",
                   tp_json_number(label, "entropy"));
    tp_table *t = tp_table_new();
    for (int c = 0; c < 4; c++) tp_table_column(t, columns[c]);
    const json_t *sources = json_object_get(label, "sources");
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *row = json_array_get(sources, i);
        tp_table_cell(t, "%s", tp_json_string(row, "source"));
        tp_table_cell(t, "%.3f", tp_json_number(row, "bits"));
        tp_table_cell(t, "%.3f to %.3f", at(row, "interval", 0), at(row, "interval", 1));
        tp_table_cell(t, "%.1f %%", 100 * tp_json_number(row, "accuracy"));
    }
    tp_append_table(out, t);
}

char *tp_packet_probe_text(const json_t *document) {
    tp_str out = {0};
    const json_t *words = json_object_get(document, "words");
    tp_subject_line(&out, json_object_get(document, "subject"));
    if (words) {
        append_words(&out, words);
        append_verdict_on_words(&out, words);
    }
    append_label(&out, json_object_get(document, "label"));
    return tp_str_take(&out);
}
