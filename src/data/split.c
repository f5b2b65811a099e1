/* Stratified choices and groups of equal texts. See split.h. */
#include "data/split.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* ---- equal texts ---- */

/* Where the text is in the table, or the empty place where it belongs. */
static size_t find_slot(const tp_text_groups *g, const char *text, size_t len) {
    size_t slot = (size_t)tp_hash64(text, len) & g->mask;
    for (; g->table[slot] != 0; slot = (slot + 1) & g->mask) {
        const tp_example *e = &g->examples[g->first[g->table[slot] - 1]];
        if (e->len == len && memcmp(e->text, text, len) == 0) break;
    }
    return slot;
}

void tp_text_groups_build(tp_text_groups *out, const tp_example *examples, size_t n) {
    *out = (tp_text_groups){.examples = examples, .n = n, .mask = 15};
    while (out->mask < 2 * n) out->mask = out->mask * 2 + 1;
    out->table = tp_alloc((out->mask + 1) * sizeof *out->table);
    out->group = tp_alloc(n * sizeof *out->group);
    out->first = tp_alloc(n * sizeof *out->first);
    for (size_t i = 0; i < n; i++) {
        size_t slot = find_slot(out, examples[i].text, examples[i].len);
        if (out->table[slot] == 0) {
            out->first[out->n_groups] = (int64_t)i;
            out->table[slot] = (int64_t)++out->n_groups;
        }
        out->group[i] = out->table[slot] - 1;
    }
}

int64_t tp_text_groups_find(const tp_text_groups *groups, const char *text, size_t len) {
    return groups->table[find_slot(groups, text, len)] - 1;
}

void tp_text_groups_free(tp_text_groups *groups) {
    tp_free(groups->table);
    tp_free(groups->group);
    tp_free(groups->first);
    *groups = (tp_text_groups){0};
}

/* ---- choosing ---- */

/* Whole parts first, then one each to the largest remainders. */
void tp_split_quotas(const size_t *rows, int32_t n_labels, size_t n, size_t wanted, size_t *quota) {
    double *rest = tp_alloc((size_t)n_labels * sizeof *rest);
    size_t given = 0;
    for (int32_t l = 0; l < n_labels; l++) {
        double exact = (double)wanted * (double)rows[l] / (double)n;
        quota[l] = (size_t)floor(exact);
        rest[l] = exact - floor(exact);
        given += quota[l];
    }
    for (; given < wanted; given++) {
        int32_t best = 0;
        for (int32_t l = 1; l < n_labels; l++)
            if (rest[l] > rest[best]) best = l;
        if (rest[best] <= 0) break; /* rounding ate it */
        quota[best]++;
        rest[best] = 0;
    }
    tp_free(rest);
}

/* Rows without a label (free answers) are one stratum. */
static int32_t stratum(const tp_example *example) {
    return example->label < 0 ? 0 : example->label;
}

void tp_split_choose(const tp_example *examples, size_t n, int32_t n_labels, size_t wanted, bool whole_groups,
                     uint64_t seed, const char *stream, bool *chosen) {
    memset(chosen, 0, n * sizeof *chosen);
    if (n == 0) return;
    if (wanted > n) wanted = n;
    tp_text_groups groups = {0};
    size_t n_units = n; /* what is drawn: rows, or groups of equal rows */
    if (whole_groups) {
        tp_text_groups_build(&groups, examples, n);
        n_units = groups.n_groups;
    }
    if (n_labels < 1) n_labels = 1; /* free answers: one stratum */
    size_t *sizes = tp_alloc(n_units * sizeof *sizes);
    bool *taken = tp_alloc(n_units * sizeof *taken);
    int64_t *order = tp_alloc(n_units * sizeof *order);
    size_t *rows = tp_alloc((size_t)n_labels * sizeof *rows), *quota = tp_alloc((size_t)n_labels * sizeof *quota);
    for (size_t i = 0; i < n; i++) sizes[whole_groups ? groups.group[i] : (int64_t)i]++;
    for (size_t u = 0; u < n_units; u++)
        rows[stratum(&examples[whole_groups ? groups.first[u] : (int64_t)u])] += sizes[u];
    tp_split_quotas(rows, n_labels, n, wanted, quota);
    for (int32_t l = 0; l < n_labels; l++) {
        size_t count = 0, left = quota[l];
        for (size_t u = 0; u < n_units; u++)
            if (stratum(&examples[whole_groups ? groups.first[u] : (int64_t)u]) == l) order[count++] = (int64_t)u;
        tp_rng rng = tp_rng_stream(seed, stream, (uint64_t)l);
        tp_rng_shuffle(&rng, order, count);
        size_t available = whole_groups && count > 0 ? count - 1 : count;
        for (size_t k = 0; k < available && left > 0; k++) {
            if (sizes[order[k]] > left) continue;
            taken[order[k]] = true;
            left -= sizes[order[k]];
        }
    }
    for (size_t i = 0; i < n; i++) chosen[i] = taken[whole_groups ? groups.group[i] : (int64_t)i];
    tp_text_groups_free(&groups);
    tp_free(sizes);
    tp_free(taken);
    tp_free(order);
    tp_free(rows);
    tp_free(quota);
}

static void hash_example(tp_hash *hash, const tp_example *e, int32_t n_labels) {
    uint64_t head[2] = {(uint64_t)e->label, e->len};
    tp_hash_add(hash, head, sizeof head);
    tp_hash_add(hash, e->text, e->len);
    for (int32_t i = 0; e->options && i < n_labels; i++) tp_hash_add_text(hash, e->options[i]);
    for (size_t i = 0; e->answers && e->answers[i]; i++) tp_hash_add_text(hash, e->answers[i]);
}

void tp_split_take(tp_dataset *out, const tp_example *examples, size_t n, int32_t n_labels, const bool *chosen,
                   bool which, tp_arena *arena) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += chosen[i] == which;
    out->examples = tp_arena_alloc(arena, count * sizeof *out->examples);
    out->n = 0;
    tp_hash *hash = tp_hash_new();
    for (size_t i = 0; i < n; i++) {
        if (chosen[i] != which) continue;
        hash_example(hash, &examples[i], n_labels);
        out->examples[out->n++] = examples[i];
    }
    tp_hash_end(hash, out->fingerprint);
}
