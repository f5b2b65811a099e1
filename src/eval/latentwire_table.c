/* The table of a LatentWire's evaluation, and the sentences below it. See latentwire_eval.h. */
#include "eval/latentwire_eval.h"

#include "base/mem.h"
#include "base/str.h"
#include "eval/stats.h"

#include <math.h>
#include <string.h>

static const json_t *row_named(const json_t *found, const char *name) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(found, "rows"), i, row) {
        const char *own = json_string_value(json_object_get(row, "name"));
        if (own && strcmp(own, name) == 0) return row;
    }
    return NULL;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* What the row is judged by: its scores, or its only answers. */
static const json_t *main_reading(const json_t *row) {
    const json_t *score = json_object_get(row, "score");
    return score ? score : json_object_get(row, "direct");
}

/* McNemar's test of two rows on the same texts; p is NaN if one of them is not there. */
static tp_mcnemar compare(const json_t *found, const char *first, const char *second) {
    const json_t *truth = json_object_get(found, "truth");
    const json_t *a = json_object_get(main_reading(row_named(found, first)), "predictions");
    const json_t *b = json_object_get(main_reading(row_named(found, second)), "predictions");
    size_t n = json_array_size(truth), only_a = 0, only_b = 0;
    if (json_array_size(a) != n || json_array_size(b) != n) return (tp_mcnemar){.p = NAN};
    for (size_t i = 0; i < n; i++) {
        json_int_t right = json_integer_value(json_array_get(truth, i));
        bool by_a = json_integer_value(json_array_get(a, i)) == right;
        bool by_b = json_integer_value(json_array_get(b, i)) == right;
        only_a += by_a && !by_b;
        only_b += by_b && !by_a;
    }
    return tp_mcnemar_test(only_a, only_b);
}

static void say_comparison(tp_str *out, const json_t *found, const char *what, const char *other, const char *name) {
    tp_mcnemar m = compare(found, "joint", name);
    if (isnan(m.p)) return;
    tp_str_appendf(out,
                   "%s: together right where %s is wrong on %zu rows, the other way round on %zu (McNemar p = %.3g)\n",
                   what, other, m.b, m.c, m.p);
}

static void cell_percent(tp_table *t, double share) {
    if (isnan(share))
        tp_table_cell(t, " ");
    else
        tp_table_cell(t, "%.1f", 100 * share);
}

char *tp_latentwire_eval_table(const json_t *found, tp_table_style style) {
    static const char *const headings[] = {"<method", ">accuracy %", ">95 % interval", ">written %", ">invalid %"};
    tp_table *t = tp_table_new();
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(t, headings[i]);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(found, "rows"), i, row) {
        const json_t *reading = main_reading(row), *written = json_object_get(row, "generate");
        const json_t *interval = json_object_get(reading, "interval");
        const char *title = json_string_value(json_object_get(row, "title"));
        tp_table_cell(t, "%s", title ? title : "");
        cell_percent(t, number(reading, "accuracy"));
        tp_table_cell(t, "%.1f-%.1f", 100 * json_number_value(json_array_get(interval, 0)),
                      100 * json_number_value(json_array_get(interval, 1)));
        cell_percent(t, number(written, "accuracy"));
        cell_percent(t, number(written, "invalid"));
    }
    tp_str out = {0};
    char *table = tp_table_text(t, style), best[32];
    int first = (int)json_integer_value(json_object_get(found, "best_receiver"));
    tp_str_append_text(&out, table);
    tp_str_append_char(&out, '\n');
    tp_free(table);
    tp_table_free(t);
    const json_t *weights = json_object_get(row_named(found, "joint"), "weights");
    tp_str_append_text(&out, "weights of the receivers, chosen on the validation split:");
    for (size_t k = 0; k < json_array_size(weights); k++)
        tp_str_appendf(&out, " %g", json_number_value(json_array_get(weights, k)));
    tp_str_appendf(&out, "; the best single one there: receiver %d\n", first);
    snprintf(best, sizeof best, "wire_%d", first);
    say_comparison(&out, found, "against the best single receiver", "it", best);
    say_comparison(&out, found, "against the shuffled source", "that", "joint_shuffled");
    say_comparison(&out, found, "against the words alone", "that", "words");
    tp_str_appendf(&out, "one latent of f16 numbers: %.0f bytes for all receivers together\n", number(found, "bytes"));
    return tp_str_take(&out);
}
