/* Sorting runs into groups, and the tests between rows of a group. See groups.h. */
#include "report/groups.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sorting ---- */

static bool is_same_run(const tp_report_run *a, const tp_report_run *b) {
    return json_equal(a->results->subject, b->results->subject) && a->results->truth.n == b->results->truth.n;
}

static tp_report_group *find_group(tp_report_groups *g, const tp_report_run *run) {
    for (size_t i = 0; i < g->n; i++)
        if (tp_results_comparable(g->items[i].results[0], run->results) &&
            g->items[i].results[0]->truth.n == run->results->truth.n)
            return &g->items[i];
    return NULL;
}

static void add_run(tp_report_group *group, const tp_report_run *run) {
    for (size_t i = 0; i < group->n; i++)
        if (is_same_run(group->runs[i], run)) return;
    size_t n = group->n++, at = n;
    group->runs = tp_realloc(group->runs, group->n * sizeof *group->runs);
    while (at > 0 && group->runs[at - 1]->results->seed > run->results->seed) {
        group->runs[at] = group->runs[at - 1];
        at--;
    }
    group->runs[at] = run;
    group->results = tp_realloc(group->results, group->n * sizeof *group->results);
    for (size_t i = 0; i < group->n; i++) group->results[i] = group->runs[i]->results;
}

static double train_rows(const tp_results *r) {
    json_t *task = json_object_get(json_object_get(r->subject, "recipe"), "task");
    double rows = json_number_value(json_object_get(task, "max_train"));
    return rows > 0 ? rows : INFINITY; /* none was asked for: all */
}

static int by_number(double a, double b) {
    return (a > b) - (a < b);
}

/* By task; of one task, first where most was measured; then by setting. */
static int by_task(const void *a, const void *b) {
    const tp_report_group *x = a, *y = b;
    const tp_results *r = x->results[0], *s = y->results[0];
    int order = by_number(r->n_labels, s->n_labels);
    if (order == 0) order = strcmp(r->task, s->task);
    if (order == 0) order = by_number((double)y->summary.n, (double)x->summary.n);
    if (order == 0) order = by_number((double)y->n, (double)x->n);
    if (order == 0) order = by_number(r->soft_tokens, s->soft_tokens);
    if (order == 0) order = by_number(r->layer, s->layer);
    if (order == 0) order = by_number(train_rows(r), train_rows(s));
    return order ? order : strcmp(x->runs[0]->name, y->runs[0]->name);
}

/* Where several groups of a task were measured equally well, none of them is the main one by merit, and the best must
 * not be chosen by its result: the middle one of their order comes first. */
static void put_middle_first(tp_report_group *groups, size_t n) {
    for (size_t i = 0, end; i < n; i = end) {
        size_t equal = i + 1;
        const char *task = groups[i].results[0]->task;
        while (equal < n && strcmp(groups[equal].results[0]->task, task) == 0 &&
               groups[equal].summary.n == groups[i].summary.n && groups[equal].n == groups[i].n)
            equal++;
        size_t middle = i + (equal - i - 1) / 2;
        tp_report_group chosen = groups[middle];
        memmove(&groups[i + 1], &groups[i], (middle - i) * sizeof *groups);
        groups[i] = chosen;
        for (end = equal; end < n && strcmp(groups[end].results[0]->task, task) == 0;) end++;
    }
}

/* ---- tests ---- */

static const tp_row_summary *bridge_row(const tp_summary *summary) {
    static const tp_reading readings[] = {TP_READ_SCORE, TP_READ_GENERATE, TP_READ_DIRECT};
    for (int i = 0; i < 3; i++) {
        const tp_row_summary *row = tp_summary_find(summary, &tp_method_bridge, readings[i]);
        if (row) return row;
    }
    return NULL;
}

static double test_row(const tp_report_group *g, const tp_row_summary *row) {
    double worst = 0;
    int sign = 0;
    for (size_t k = 0; k < g->n; k++) {
        tp_mcnemar test =
            tp_results_mcnemar(g->results[k], &tp_method_bridge, g->bridge->reading, row->method, row->reading);
        int here = (test.b > test.c) - (test.b < test.c);
        worst = fmax(worst, test.p);
        if (here == 0 || (sign && here != sign)) worst = 1;
        sign = here;
    }
    return worst;
}

static void test_group(tp_report_group *g) {
    g->p = tp_alloc(g->summary.n * sizeof *g->p);
    g->holm = tp_alloc(g->summary.n * sizeof *g->holm);
    for (size_t i = 0; i < g->summary.n; i++) {
        const tp_row_summary *row = &g->summary.rows[i];
        g->p[i] = g->bridge && row->method != &tp_method_bridge ? test_row(g, row) : NAN;
        g->holm[i] = g->p[i];
    }
}

static void correct(tp_report_groups *groups) {
    double *p = NULL;
    size_t capacity = 0, n = 0;
    for (size_t i = 0; i < groups->n; i++)
        for (size_t r = 0; groups->items[i].main && r < groups->items[i].summary.n; r++)
            if (!isnan(groups->items[i].p[r])) {
                tp_grow(&p, &capacity, n, sizeof *p);
                p[n++] = groups->items[i].p[r];
            }
    if (n > 0) tp_holm(p, n, p);
    groups->n_tests = n;
    n = 0;
    for (size_t i = 0; i < groups->n; i++)
        for (size_t r = 0; groups->items[i].main && r < groups->items[i].summary.n; r++)
            if (!isnan(groups->items[i].p[r])) groups->items[i].holm[r] = p[n++];
    tp_free(p);
}

tp_report_groups tp_report_groups_of(const tp_report_runs *runs) {
    tp_report_groups g = {0};
    size_t capacity = 0;
    for (size_t i = 0; i < runs->n; i++) {
        tp_report_group *group = find_group(&g, &runs->items[i]);
        if (group == NULL) {
            tp_grow(&g.items, &capacity, g.n, sizeof *g.items);
            group = &g.items[g.n++];
            *group = (tp_report_group){0};
        }
        add_run(group, &runs->items[i]);
    }
    for (size_t i = 0; i < g.n; i++) g.items[i].summary = tp_summary_of(g.items[i].results, g.items[i].n, NULL);
    if (g.n > 0) qsort(g.items, g.n, sizeof *g.items, by_task);
    put_middle_first(g.items, g.n);
    for (size_t i = 0; i < g.n; i++) {
        tp_report_group *group = &g.items[i];
        group->main = i == 0 || strcmp(group->results[0]->task, g.items[i - 1].results[0]->task) != 0;
        group->bridge = bridge_row(&group->summary);
        g.n_main += group->main;
        test_group(group);
    }
    correct(&g);
    return g;
}

void tp_report_groups_free(tp_report_groups *groups) {
    for (size_t i = 0; i < groups->n; i++) {
        tp_report_group *g = &groups->items[i];
        tp_summary_free(&g->summary);
        tp_free(g->runs);
        tp_free(g->results);
        tp_free(g->p);
        tp_free(g->holm);
    }
    tp_free(groups->items);
    *groups = (tp_report_groups){0};
}

/* ---- looking up ---- */

const tp_report_group *tp_report_main(const tp_report_groups *groups, size_t k) {
    for (size_t i = 0; i < groups->n; i++)
        if (groups->items[i].main && k-- == 0) return &groups->items[i];
    return NULL;
}

static bool is_named(const char *method, const char *name) {
    size_t n = strlen(name);
    return n > 0 && name[n - 1] == '*' ? strncmp(method, name, n - 1) == 0 : strcmp(method, name) == 0;
}

const tp_row_summary *tp_report_best(const tp_report_group *group, const char *const *names) {
    const tp_row_summary *best = NULL;
    for (size_t i = 0; i < group->summary.n; i++) {
        const tp_row_summary *row = &group->summary.rows[i];
        if (!tp_report_is_opponent(row->method)) continue;
        for (size_t k = 0; names[k]; k++)
            if (is_named(row->method->name, names[k]) && (best == NULL || row->mean > best->mean)) best = row;
    }
    return best;
}

const tp_row_summary *tp_report_row(const tp_report_group *group, const char *method, tp_reading reading) {
    for (size_t i = 0; i < group->summary.n; i++)
        if (strcmp(group->summary.rows[i].method->name, method) == 0 && group->summary.rows[i].reading == reading)
            return &group->summary.rows[i];
    return NULL;
}

tp_interval tp_report_gap(const tp_report_group *group, const tp_row_summary *row, double *gap) {
    size_t n = group->results[0]->truth.n;
    double *differences = tp_alloc((n + 1) * sizeof *differences);
    for (size_t k = 0; k < group->n; k++) {
        const tp_results *r = group->results[k];
        const int32_t *ours = tp_results_get(r, &tp_method_bridge)->readings[group->bridge->reading].predictions.labels;
        const int32_t *theirs = tp_results_get(r, row->method)->readings[row->reading].predictions.labels;
        for (size_t i = 0; i < n; i++) {
            int32_t right = r->truth.examples[i].label;
            differences[i] += ((ours[i] == right) - (theirs[i] == right)) / (double)group->n;
        }
    }
    *gap = tp_mean(differences, n);
    tp_interval interval = tp_bootstrap(differences, n, TP_BOOTSTRAP_RESAMPLES, 0.95, 42);
    tp_free(differences);
    return interval;
}

/* ---- names and kinds ---- */

bool tp_report_is_control(const tp_method *method) {
    return method->group == TP_GROUP_CONTROL;
}

bool tp_report_is_opponent(const tp_method *method) {
    return method->group != TP_GROUP_CONTROL && method->group != TP_GROUP_BRIDGE;
}

const char *tp_report_kind(const tp_method *method) {
    switch (method->group) {
    case TP_GROUP_NO_MODEL:
        return "Without a language model";
    case TP_GROUP_SENDER:
        return "The sender answers";
    case TP_GROUP_RECEIVER:
        return "The receiver reads text";
    case TP_GROUP_WRITTEN:
        return "Text handed over";
    case TP_GROUP_TRAINED:
        return "Trained on the task";
    case TP_GROUP_BRIDGE:
        return "The latent relay";
    case TP_GROUP_CONTROL:
        return "Controls: the source destroyed, they must fail";
    }
    return "";
}

char *tp_report_task_name(const tp_results *results) {
    size_t n = strcspn(results->title, ",;:(");
    while (n > 0 && results->title[n - 1] == ' ') n--;
    return n > 0 ? tp_strndup(results->title, n) : tp_strdup(results->task);
}

char *tp_report_row_name(const tp_row_summary *row) {
    if (row->reading == TP_READ_DIRECT) return tp_strdup(row->method->title);
    return tp_format("%s, %s", row->method->title, tp_reading_name(row->reading));
}
