/* See large.h. */
#include "data/large.h"

#include "base/hash.h"
#include "data/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which part a text belongs to ---- */

typedef struct parts {
    uint64_t seed, test_below, valid_below;
} parts;

/* The share of the whole range of the hash, from the top of what `below` leaves. */
static uint64_t threshold(uint64_t below, double share) {
    double left = 0x1p64 - (double)below, end = (double)below + share * left;
    return end >= 0x1p64 ? UINT64_MAX : (uint64_t)end;
}

static uint64_t priority(const parts *p, const char *text, size_t len) {
    uint64_t keyed[2] = {p->seed, tp_hash64(text, len)};
    return tp_hash64(keyed, sizeof keyed);
}

static tp_large_part part_of(const parts *p, uint64_t x) {
    if (x < p->test_below || p->test_below == UINT64_MAX) return TP_PART_TEST;
    return x < p->valid_below ? TP_PART_VALID : TP_PART_TRAIN;
}

/* ---- the first pass: labels and numbers of rows ---- */

/* The different labels of a file and how often each part has them. */
typedef struct tally {
    char **keys; /* [n] as the file says them; owned */
    size_t (*rows)[3];
    size_t n, capacity, rows_capacity;
    size_t *table; /* [mask + 1] index + 1, 0 where empty */
    size_t mask;
    size_t n_rows;
} tally;

static size_t tally_slot(const tally *t, const char *key) {
    size_t slot = (size_t)tp_hash64(key, strlen(key)) & t->mask;
    while (t->table[slot] && strcmp(t->keys[t->table[slot] - 1], key) != 0) slot = (slot + 1) & t->mask;
    return slot;
}

static tp_status tally_row(tally *t, const char *key, tp_large_part part, const char *path) {
    size_t slot = tally_slot(t, key);
    if (t->table[slot] == 0) {
        if (t->n == TP_MOST_LABELS)
            return tp_fail(TP_ERR_FORMAT, "%s: more than %d different labels", path, TP_MOST_LABELS);
        tp_grow(&t->keys, &t->capacity, t->n, sizeof *t->keys);
        tp_grow(&t->rows, &t->rows_capacity, t->n, sizeof *t->rows);
        memset(t->rows[t->n], 0, sizeof *t->rows);
        t->keys[t->n++] = tp_strdup(key);
        t->table[slot] = t->n;
    }
    t->rows[t->table[slot] - 1][part]++;
    t->n_rows++;
    return TP_OK;
}

static void tally_free(tally *t) {
    for (size_t i = 0; i < t->n; i++) tp_free(t->keys[i]);
    tp_free(t->keys);
    tp_free(t->rows);
    tp_free(t->table);
}

/* Whether the row's text is one of test; notes it. */
static bool is_in_test(const tp_large_plan *plan, tp_large_rows *out, const tp_row *row) {
    int64_t group = plan->test ? tp_text_groups_find(plan->test, row->text, row->len) : -1;
    if (group >= 0) out->overlap[group] = true;
    return group >= 0;
}

static tp_status count_rows(const tp_large_plan *plan, const tp_task *task, const parts *p, tp_large_rows *out,
                            tally *t) {
    *t = (tally){.mask = 1};
    while (t->mask < 4 * TP_MOST_LABELS) t->mask = t->mask * 2 + 1;
    t->table = tp_alloc((t->mask + 1) * sizeof *t->table);
    tp_reader *reader = tp_reader_open(plan->path, plan->format);
    if (reader == NULL) return tp_last_status();
    tp_label_finder finder;
    tp_label_finder_init(&finder, task);
    tp_row row;
    tp_example example;
    tp_status status = TP_OK;
    while (status == TP_OK && tp_reader_next(reader, &row)) {
        if (task->labels) status = tp_label_row(&finder, &row, plan->path, plan->format->kind, plan->whose, &example);
        if (is_in_test(plan, out, &row) && plan->drop_overlap)
            out->n_dropped++;
        else if (status == TP_OK)
            status = tally_row(t, row.label ? row.label : "", part_of(p, priority(p, row.text, row.len)), plan->path);
    }
    tp_label_finder_free(&finder);
    if (status == TP_OK) status = tp_reader_status(reader);
    tp_reader_close(reader);
    return status == TP_OK && t->n_rows == 0 && out->n_dropped == 0 ? tp_rows_missing(plan->path) : status;
}

/* ---- the second pass: the rows with the smallest hashes, of each label its quota ---- */

typedef struct kept_row {
    uint64_t priority;
    size_t place; /* in the file, from 0 */
    tp_row *row;
} kept_row;

/* Rows of one label and part. With a quota the one that goes first is on top (a heap); without, it stays empty. */
typedef struct heap {
    kept_row *rows;
    size_t n, capacity, quota; /* quota SIZE_MAX: all, which are added to the result at once */
} heap;

typedef struct selection {
    heap (*heaps)[3];     /* [tally->n] by label, then part */
    tp_rows rows;         /* the result: rows in the arena, */
    size_t *places;       /* where they stood, */
    tp_large_part *parts; /* and what they are for */
    size_t capacity, parts_capacity;
} selection;

static bool goes_before(const kept_row *a, const kept_row *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->place > b->place;
}

static void swap(kept_row *a, kept_row *b) {
    kept_row kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_down(heap *h) {
    for (size_t i = 0, child = 1; child < h->n; i = child, child = 2 * i + 1) {
        if (child + 1 < h->n && goes_before(&h->rows[child + 1], &h->rows[child])) child++;
        if (!goes_before(&h->rows[child], &h->rows[i])) return;
        swap(&h->rows[child], &h->rows[i]);
    }
}

static void sift_up(heap *h) {
    for (size_t i = h->n - 1; i > 0 && goes_before(&h->rows[i], &h->rows[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&h->rows[i], &h->rows[(i - 1) / 2]);
}

/* Takes the row if it is among the `quota` smallest so far, in the place of the largest. */
static void offer(heap *h, uint64_t row_priority, size_t place, const tp_row *row) {
    kept_row candidate = {row_priority, place, NULL};
    bool full = h->n == h->quota;
    if (h->quota == 0 || (full && !goes_before(&h->rows[0], &candidate))) return;
    candidate.row = tp_row_copy(row);
    if (full) {
        tp_free(h->rows[0].row);
        h->rows[0] = candidate;
        sift_down(h);
    } else {
        tp_grow(&h->rows, &h->capacity, h->n, sizeof *h->rows);
        h->rows[h->n++] = candidate;
        sift_up(h);
    }
}

static void select_row(selection *s, tp_large_part part, size_t place, const tp_row *row) {
    tp_grow(&s->places, &s->capacity, s->rows.n, sizeof *s->places);
    tp_grow(&s->parts, &s->parts_capacity, s->rows.n, sizeof *s->parts);
    s->places[s->rows.n] = place;
    s->parts[s->rows.n] = part;
    tp_rows_add(&s->rows, row);
}

static void set_quotas(selection *s, const tally *t, tp_large_part part, size_t max) {
    size_t *rows = tp_alloc((t->n + 1) * sizeof *rows), *quota = tp_alloc((t->n + 1) * sizeof *quota), n = 0;
    for (size_t l = 0; l < t->n; l++) n += rows[l] = t->rows[l][part];
    if (max > 0 && max < n) tp_split_quotas(rows, (int32_t)t->n, n, max, quota);
    for (size_t l = 0; l < t->n; l++) s->heaps[l][part].quota = max > 0 && max < n ? quota[l] : SIZE_MAX;
    tp_free(rows);
    tp_free(quota);
}

static tp_status choose_rows(const tp_large_plan *plan, const parts *p, const tally *t, selection *s,
                             tp_large_rows *out) {
    tp_reader *reader = tp_reader_open(plan->path, plan->format);
    if (reader == NULL) return tp_last_status();
    tp_row row;
    for (size_t place = 0; tp_reader_next(reader, &row); place++) {
        if (is_in_test(plan, out, &row) && plan->drop_overlap) continue;
        uint64_t row_priority = priority(p, row.text, row.len);
        tp_large_part part = part_of(p, row_priority);
        size_t found = t->table[tally_slot(t, row.label ? row.label : "")];
        if (found == 0) continue; /* the file has changed since it was counted */
        heap *h = &s->heaps[found - 1][part];
        if (h->quota == SIZE_MAX)
            select_row(s, part, place, &row);
        else
            offer(h, row_priority, place, &row);
    }
    tp_status status = tp_reader_status(reader);
    tp_reader_close(reader);
    return status;
}

/* ---- the result ---- */

static int by_id(const void *a, const void *b) {
    int32_t x = (*(const tp_example *const *)a)->id, y = (*(const tp_example *const *)b)->id;
    return (x > y) - (x < y);
}

/* Examples in the order of the file, with their labels as numbers. */
static tp_status collect(const tp_large_plan *plan, const tally *t, const tp_task *task, selection *s,
                         tp_large_rows *out) {
    for (size_t l = 0; l < t->n; l++)
        for (int part = 0; part < 3; part++)
            for (size_t i = 0; i < s->heaps[l][part].n; i++)
                select_row(s, (tp_large_part)part, s->heaps[l][part].rows[i].place, s->heaps[l][part].rows[i].row);
    tp_example *unsorted = tp_label_rows(task, &s->rows, plan->path, plan->format->kind, plan->whose);
    if (unsorted == NULL) return tp_last_status();
    out->n = s->rows.n;
    const tp_example **order = tp_alloc((out->n + 1) * sizeof *order);
    for (size_t i = 0; i < out->n; i++) {
        unsorted[i].id = (int32_t)s->places[i];
        order[i] = &unsorted[i];
    }
    qsort(order, out->n, sizeof *order, by_id);
    out->examples = tp_alloc((out->n + 1) * sizeof *out->examples);
    out->parts = tp_alloc((out->n + 1) * sizeof *out->parts);
    for (size_t i = 0; i < out->n; i++) {
        out->examples[i] = *order[i];
        out->parts[i] = s->parts[order[i] - unsorted];
    }
    tp_free(order);
    tp_free(unsorted);
    return TP_OK;
}

tp_status tp_large_discover(const char *path, const tp_row_format *format, tp_task *task, tp_arena *arena) {
    tp_large_rows none = {0};
    tally t = {0};
    tp_status status =
        count_rows(&(tp_large_plan){.path = path, .format = format}, task, &(parts){.valid_below = 0}, &none, &t);
    const char **keys = tp_alloc((t.n + 1) * sizeof *keys);
    for (size_t l = 0; l < t.n; l++) keys[l] = t.keys[l];
    if (status == TP_OK) status = tp_labels_discover(task, keys, t.n, t.n_rows, path, arena);
    tp_free(keys);
    tally_free(&t);
    return status;
}

static tp_status read_in_two_passes(const tp_large_plan *plan, const tp_task *task, tally *t, selection *s,
                                    tp_large_rows *out) {
    parts p = {.seed = plan->seed, .test_below = threshold(0, plan->test_share)};
    p.valid_below = p.test_below; /* how much of the range validation gets, the number of rows will tell */
    TP_TRY(count_rows(plan, task, &p, out, t));
    size_t others = 0;
    for (size_t l = 0; l < t->n; l++) others += t->rows[l][TP_PART_TRAIN];
    double wanted = plan->valid_fraction * (double)others;
    if (plan->valid_cap > 0) wanted = fmin(wanted, (double)plan->valid_cap);
    if (others > 0 && plan->test_share < 1) p.valid_below = threshold(p.test_below, wanted / (double)others);
    s->heaps = tp_alloc((t->n + 1) * sizeof *s->heaps);
    set_quotas(s, t, TP_PART_TEST, plan->max_test);
    set_quotas(s, t, TP_PART_VALID, 0);
    set_quotas(s, t, TP_PART_TRAIN, plan->max_train);
    TP_TRY(choose_rows(plan, &p, t, s, out));
    return collect(plan, t, task, s, out);
}

tp_status tp_large_read(const tp_large_plan *plan, const tp_task *task, tp_arena *arena, tp_large_rows *out) {
    *out = (tp_large_rows){0};
    if (plan->test) out->overlap = tp_alloc((plan->test->n_groups + 1) * sizeof *out->overlap);
    tally t = {0};
    selection s = {.rows = {.arena = arena}};
    tp_status status = read_in_two_passes(plan, task, &t, &s, out);
    for (size_t l = 0; s.heaps && l < t.n; l++)
        for (int part = 0; part < 3; part++) {
            for (size_t i = 0; i < s.heaps[l][part].n; i++) tp_free(s.heaps[l][part].rows[i].row);
            tp_free(s.heaps[l][part].rows);
        }
    tp_free(s.heaps);
    tp_free(s.places);
    tp_free(s.parts);
    tp_rows_free(&s.rows);
    tally_free(&t);
    if (status != TP_OK) tp_large_rows_free(out);
    return status;
}

void tp_large_rows_free(tp_large_rows *rows) {
    tp_free(rows->examples);
    tp_free(rows->parts);
    tp_free(rows->overlap);
    *rows = (tp_large_rows){0};
}
