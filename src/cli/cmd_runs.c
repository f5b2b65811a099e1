/* `telepathy runs`: what a suite's registry holds: listed, shown, compared, exported. */
#include "base/table.h"
#include "cli/command.h"
#include "eval/registry.h"
#include "eval/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LIST, SHOW, DIFF, EXPORT };
static const char *const actions[] = {"list", "show", "diff", "export", NULL};
enum { MARKDOWN, CSV, JSON };
static const char *const formats[] = {"md", "csv", "json", NULL};

static void put_json(json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(value);
}

static void put_table(tp_table *t, bool markdown) {
    char *text = tp_table_text(t, markdown ? TP_TABLE_MARKDOWN : TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(t);
}

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *text(const char *s) {
    return s ? json_string(s) : json_null();
}

/* ---- list ---- */

static json_t *entry_json(const tp_run_entry *e) {
    const tp_circumstances *c = &e->circumstances;
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:s, s:I, s:i, s:i, s:I, s:s, s:o, s:o, s:o, s:o}", "run", e->name, "key", e->key,
                  "folder", text(e->folder), "task", e->task, "seed", (json_int_t)e->seed, "layer", e->layer,
                  "soft_tokens", e->soft_tokens, "test_rows", (json_int_t)e->n_test, "state", e->state, "note",
                  text(e->note), "bridge", text(e->bridge), "outcome", text(e->outcome), "settings", text(e->settings));
    json_object_set_new(o, "circumstances",
                        json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "started", text(c->started), "revision",
                                  text(c->revision), "machine", text(c->machine), "kernels", text(c->kernels),
                                  "threads", (json_int_t)c->threads, "peak_bytes", (json_int_t)c->peak_bytes,
                                  "train_seconds", number(c->train_seconds), "evaluate_seconds",
                                  number(c->evaluate_seconds)));
    return o;
}

static void cell_seconds(tp_table *t, double seconds) {
    char out[16];
    tp_table_cell(t, "%s", isfinite(seconds) ? tp_format_seconds(seconds, out) : "");
}

static void list_table(const tp_run_list *list, bool markdown) {
    tp_table *t = tp_table_new();
    static const char *const headings[] = {"<run",      "<task",       ">seed",   ">layer",   ">M",  "<state",
                                           ">training", ">evaluation", ">memory", "<outcome", "<key"};
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(t, headings[i]);
    for (size_t i = 0; i < list->n; i++) {
        const tp_run_entry *e = &list->runs[i];
        bool done = e->outcome != NULL;
        tp_table_cell(t, "%s", e->name);
        tp_table_cell(t, "%s", e->task);
        tp_table_cell(t, "%lld", (long long)e->seed);
        tp_table_cell(t, done ? "%d" : "", e->layer);
        tp_table_cell(t, done ? "%d" : "", e->soft_tokens);
        tp_table_cell(t, "%s%s%s", e->state, e->note ? ": " : "", e->note ? e->note : "");
        cell_seconds(t, done ? e->circumstances.train_seconds : NAN);
        cell_seconds(t, done ? e->circumstances.evaluate_seconds : NAN);
        tp_table_cell(t, e->circumstances.peak_bytes > 0 ? "%.0f MiB" : "",
                      (double)e->circumstances.peak_bytes / 0x1p20);
        tp_table_cell(t, "%.8s", done ? e->outcome : "");
        tp_table_cell(t, "%.8s", e->key);
    }
    put_table(t, markdown);
}

/* ---- results by row ---- */

/* One method in one reading of one run, as export and diff tell it. */
typedef struct {
    const tp_method *method;
    tp_reading reading;
    const tp_method_result *result;
    const tp_answers *answers;
    tp_scores scores;
} row;

typedef void (*row_visitor)(void *context, const tp_run_entry *e, const tp_results *r, const row *x);

static void visit_rows(const tp_run_entry *e, const tp_results *r, row_visitor visit, void *context) {
    for (int m = 0; tp_methods[m]; m++) {
        const tp_method_result *result = tp_results_get(r, tp_methods[m]);
        for (tp_reading k = 0; result && k < TP_N_READINGS; k++) {
            const tp_answers *a = &result->readings[k];
            if (a->predictions.labels == NULL) continue;
            row x = {tp_methods[m], k, result, a, tp_scores_of(&a->predictions, &r->truth, r->n_labels)};
            visit(context, e, r, &x);
            tp_scores_free(&x.scores);
        }
    }
}

/* ---- export ---- */

/* A field of a CSV file: in quotes if it must be. */
static void csv_text(const char *s) {
    bool quote = s && strpbrk(s, ",\"\n\r") != NULL;
    if (quote) putchar('"');
    for (; s && *s; s++) {
        if (*s == '"') putchar('"');
        putchar(*s);
    }
    if (quote) putchar('"');
}

static void csv_number(double x) {
    if (isfinite(x))
        printf(",%.9g", x);
    else
        putchar(',');
}

static void csv_row(void *context, const tp_run_entry *e, const tp_results *r, const row *x) {
    (void)context;
    csv_text(e->name);
    printf(",%s,", e->key);
    csv_text(e->task);
    printf(",%lld,%d,%d,%s,%s,%zu", (long long)e->seed, r->layer, r->soft_tokens, x->method->name,
           tp_reading_name(x->reading), x->scores.n);
    const double numbers[] = {x->scores.accuracy,
                              x->scores.invalid_rate,
                              x->scores.macro_f1,
                              x->answers->ms[TP_PHASE_SENDER],
                              x->answers->ms[TP_PHASE_BRIDGE],
                              x->answers->ms[TP_PHASE_RECEIVER],
                              x->answers->per_second,
                              x->result->bytes};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) csv_number(numbers[i]);
    putchar(',');
    csv_text(x->result->setting);
    putchar('\n');
}

static void markdown_row(void *context, const tp_run_entry *e, const tp_results *r, const row *x) {
    (void)r;
    tp_table *t = context;
    double ms = 0;
    for (int p = 0; p < TP_N_PHASES; p++)
        if (isfinite(x->answers->ms[p])) ms += x->answers->ms[p];
    tp_table_cell(t, "%s", e->name);
    tp_table_cell(t, "%s", x->method->name);
    tp_table_cell(t, "%s", tp_reading_name(x->reading));
    tp_table_cell(t, "%.1f", 100 * x->scores.accuracy);
    tp_table_cell(t, "%.1f", 100 * x->scores.invalid_rate);
    tp_table_cell(t, ms > 0 ? "%.2f" : "", ms);
    tp_table_cell(t, isfinite(x->result->bytes) ? "%.0f" : "", x->result->bytes);
}

static tp_status export(tp_registry *registry, const tp_run_list *list, int format, bool items) {
    json_t *all = json_array();
    tp_table *t = tp_table_new();
    static const char *const headings[] = {"<run", "<method", "<reading", ">acc %", ">inv %", ">ms", ">bytes"};
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(t, headings[i]);
    if (format == CSV)
        printf("run,key,task,seed,layer,soft_tokens,method,reading,n,accuracy,invalid,macro_f1,sender_ms,bridge_ms,"
               "receiver_ms,per_second,bytes,setting\n");
    tp_status status = TP_OK;
    for (size_t i = 0; i < list->n && status == TP_OK; i++) {
        const tp_run_entry *e = &list->runs[i];
        if (e->outcome == NULL) continue;
        tp_results *r = tp_registry_results(registry, e->key);
        if (r == NULL) {
            status = tp_last_status();
        } else if (format == JSON) {
            const tp_results *one = r;
            json_t *both = tp_eval_json(&one, 1, NULL, items), *runs = json_object_get(both, "runs");
            json_t *o = entry_json(e);
            json_object_set(o, "results", json_array_get(runs, 0));
            json_array_append_new(all, o);
            json_decref(both);
        } else {
            visit_rows(e, r, format == CSV ? csv_row : markdown_row, t);
        }
        tp_results_free(r);
    }
    if (status == TP_OK && format == JSON) put_json(json_incref(all));
    json_decref(all);
    if (status == TP_OK && format == MARKDOWN)
        put_table(t, true);
    else
        tp_table_free(t);
    return status;
}

/* ---- show ---- */

static tp_status show(tp_registry *registry, const tp_run_entry *e, bool as_json, bool items) {
    tp_run_list one = {.runs = (tp_run_entry *)e, .n = 1};
    if (as_json && e->outcome) return export(registry, &one, JSON, items);
    if (as_json) {
        put_json(entry_json(e));
        return TP_OK;
    }
    const tp_circumstances *c = &e->circumstances;
    printf("%s  %s  %s\n", e->name, e->state, e->note ? e->note : "");
    printf("key      %s\nfolder   %s\n", e->key, e->folder ? e->folder : "");
    if (e->outcome == NULL) return TP_OK;
    char a[16], b[16];
    printf("outcome  %s\nstarted  %s, revision %s, %s, %s kernels, %lld thread%s\n", e->outcome,
           c->started ? c->started : "?", c->revision ? c->revision : "?", c->machine ? c->machine : "?",
           c->kernels ? c->kernels : "?", (long long)c->threads, c->threads == 1 ? "" : "s");
    printf("took     %s of training, %s of evaluation, at most %.0f MiB\n", tp_format_seconds(c->train_seconds, a),
           tp_format_seconds(c->evaluate_seconds, b), (double)c->peak_bytes / 0x1p20);
    json_t *documents = tp_registry_documents(registry, e->key), *size;
    if (documents == NULL) return tp_last_status();
    const char *name;
    printf("holds    results");
    json_object_foreach(documents, name, size) printf(", %s", name);
    printf("\n\n");
    json_decref(documents);
    tp_results *r = tp_registry_results(registry, e->key);
    if (r == NULL) return tp_last_status();
    const tp_results *only = r;
    char *table = tp_eval_table(&only, 1, NULL, TP_TABLE_PLAIN);
    fputs(table, stdout);
    tp_free(table);
    tp_results_free(r);
    return TP_OK;
}

/* ---- diff ---- */

typedef struct {
    const tp_results *other;
    json_t *rows;
} comparison;

static void compare_row(void *context, const tp_run_entry *e, const tp_results *r, const row *x) {
    (void)e;
    comparison *c = context;
    const tp_method_result *result = tp_results_get(c->other, x->method);
    const int32_t *mine = x->answers->predictions.labels,
                  *theirs = result ? result->readings[x->reading].predictions.labels : NULL;
    if (theirs == NULL) return;
    bool same_rows = strcmp(r->truth.fingerprint, c->other->truth.fingerprint) == 0 && r->truth.n == c->other->truth.n;
    size_t right = 0, differ = 0;
    for (size_t i = 0; i < c->other->truth.n; i++) right += theirs[i] == c->other->truth.examples[i].label;
    for (size_t i = 0; i < r->truth.n && same_rows; i++) differ += mine[i] != theirs[i];
    json_t *o = json_pack("{s:s, s:s, s:f, s:f}", "method", x->method->name, "reading", tp_reading_name(x->reading),
                          "first", x->scores.accuracy, "second", (double)right / (double)c->other->truth.n);
    json_object_set_new(o, "differ", same_rows ? json_integer((json_int_t)differ) : json_null());
    json_array_append_new(c->rows, o);
}

static void print_value(json_t *value) {
    char *s = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    fputs(s ? s : "nothing", stdout);
    free(s);
}

static void print_diff(const tp_run_entry *a, const tp_run_entry *b, json_t *recipes, json_t *rows) {
    bool same = strcmp(a->outcome, b->outcome) == 0;
    printf("%s and %s: %s\n", a->name, b->name,
           same ? "the same weights and the same answers" : "weights or answers differ");
    size_t i;
    json_t *o;
    json_array_foreach(recipes, i, o) {
        printf("  %s: ", json_string_value(json_object_get(o, "key")));
        print_value(json_object_get(o, "first"));
        printf(" and ");
        print_value(json_object_get(o, "second"));
        putchar('\n');
    }
    putchar('\n');
    tp_table *t = tp_table_new();
    static const char *const headings[] = {"<method", "<reading", ">first acc %", ">second acc %", ">rows that differ"};
    for (i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(t, headings[i]);
    json_array_foreach(rows, i, o) {
        json_t *differ = json_object_get(o, "differ");
        tp_table_cell(t, "%s", json_string_value(json_object_get(o, "method")));
        tp_table_cell(t, "%s", json_string_value(json_object_get(o, "reading")));
        tp_table_cell(t, "%.2f", 100 * json_number_value(json_object_get(o, "first")));
        tp_table_cell(t, "%.2f", 100 * json_number_value(json_object_get(o, "second")));
        tp_table_cell(t, json_is_integer(differ) ? "%lld" : "other rows", (long long)json_integer_value(differ));
    }
    put_table(t, false);
}

static tp_status diff(tp_registry *registry, const tp_run_entry *a, const tp_run_entry *b, bool as_json) {
    tp_results *x = tp_registry_results(registry, a->key), *y = x ? tp_registry_results(registry, b->key) : NULL;
    tp_status status = y ? TP_OK : tp_last_status();
    if (status == TP_OK) {
        json_t *recipes = json_array();
        comparison c = {y, json_array()};
        tp_json_differences(recipes, "", json_object_get(x->subject, "recipe"), json_object_get(y->subject, "recipe"));
        visit_rows(a, x, compare_row, &c);
        if (as_json) {
            put_json(json_pack("{s:s, s:s, s:b, s:O, s:O}", "first", a->key, "second", b->key, "same_outcome",
                               strcmp(a->outcome, b->outcome) == 0, "recipe", recipes, "results", c.rows));
        } else {
            print_diff(a, b, recipes, c.rows);
        }
        json_decref(recipes);
        json_decref(c.rows);
    }
    tp_results_free(x);
    tp_results_free(y);
    return status;
}

/* ---- the command ---- */

/* Finds the one run of that name, or whose key begins so; its list is the caller's to free. */
static tp_status find(tp_registry *registry, const char *name, tp_run_list *list) {
    TP_TRY(tp_registry_list(registry, &(tp_run_filter){.run = name, .seed = -1}, list));
    if (list->n == 1) return TP_OK;
    if (list->n == 0)
        return tp_fail(TP_ERR_ARGUMENT,
                       "there is no run `%s`; `telepathy runs list` shows them (a name, or four or "
                       "more digits of a key)",
                       name);
    return tp_fail(TP_ERR_ARGUMENT, "%zu runs are called `%s`; say more of the key: %.12s, %.12s%s", list->n, name,
                   list->runs[0].key, list->runs[1].key, list->n > 2 ? ", ..." : "");
}

static tp_status act(tp_args *args, tp_registry *registry, const char *const *names, size_t n) {
    int action = tp_args_choice(args, "ACTION");
    bool as_json = tp_args_flag(args, "json"), items = tp_args_flag(args, "items");
    if ((action == SHOW && n != 1) || (action == DIFF && n != 2))
        return tp_args_refuse(args, "`runs %s` takes %s, %zu are given", actions[action],
                              action == SHOW ? "one run" : "two runs", n);
    if (n > 0 && (action == LIST || action == EXPORT))
        return tp_args_refuse(args, "`runs %s` takes no runs; --suite, --task and --seed choose", actions[action]);
    tp_run_list lists[2] = {{0}, {0}};
    tp_status status = TP_OK;
    if (action == SHOW || action == DIFF) {
        for (size_t i = 0; i < n && status == TP_OK; i++) status = find(registry, names[i], &lists[i]);
        if (status == TP_OK)
            status = action == SHOW ? show(registry, lists[0].runs, as_json, items)
                                    : diff(registry, lists[0].runs, lists[1].runs, as_json);
    } else {
        tp_run_filter filter = {.suite = tp_args_text(args, "suite"),
                                .task = tp_args_text(args, "task"),
                                .seed = tp_args_given(args, "seed") ? tp_args_int(args, "seed") : -1};
        status = tp_registry_list(registry, &filter, &lists[0]);
        if (status == TP_OK && action == EXPORT) {
            status = export(registry, &lists[0], as_json ? JSON : tp_args_choice(args, "format"), items);
        } else if (status == TP_OK && as_json) {
            json_t *all = json_array();
            for (size_t i = 0; i < lists[0].n; i++) json_array_append_new(all, entry_json(&lists[0].runs[i]));
            put_json(all);
        } else if (status == TP_OK) {
            list_table(&lists[0], false);
        }
    }
    tp_run_list_free(&lists[0]);
    tp_run_list_free(&lists[1]);
    return status;
}

static tp_status run(tp_args *args) {
    const char *const *names;
    size_t n = tp_args_list(args, "RUN", &names);
    tp_registry *registry = tp_registry_open_in(tp_args_text(args, "DIR"), false);
    if (registry == NULL) return tp_last_status();
    tp_status status = act(args, registry, names, n);
    tp_registry_close(registry);
    return status;
}

const tp_command tp_cmd_runs = {
    .name = "runs",
    .summary = "list, show, compare and export the runs of a suite",
    .text = "Reads the registry DIR/runs.db that telepathy suite writes.\n\n"
            "  runs list DIR               every run with its state, times and outcome\n"
            "  runs show DIR RUN           how a run came about, and its table\n"
            "  runs diff DIR RUN RUN       where two recipes differ, and how many rows they answer differently\n"
            "  runs export DIR             accuracy, milliseconds and bytes of every method of every run\n\n"
            "A run is called by its name, or by four or more digits of its key. The outcome is a fingerprint of the "
            "trained "
            "weights and of all answers: runs with the same outcome are the same, bit for bit.",
    .examples = "telepathy runs list runs/paper --task trec\n"
                "telepathy runs diff runs/paper trec-42 trec-43\n"
                "telepathy runs export runs/paper --format csv > paper.csv\n",
    .options =
        (const tp_option[]){
            {.name = "ACTION",
             .type = TP_OPT_CHOICE,
             .choices = actions,
             .positional = true,
             .required = true,
             .help = "list, show, diff or export"},
            {.name = "DIR", .type = TP_OPT_PATH, .positional = true, .required = true, .help = "a suite's folder"},
            {.name = "RUN", .type = TP_OPT_TEXT, .positional = true, .many = true, .help = "runs, for show and diff"},
            {.name = "suite", .type = TP_OPT_TEXT, .value = "NAME", .help = "list, export: runs of this suite only"},
            {.name = "task", .type = TP_OPT_TEXT, .value = "NAME", .help = "list, export: runs of this task only"},
            {.name = "seed",
             .letter = 's',
             .type = TP_OPT_INT,
             .value = "N",
             .min = 0,
             .max = 0x1p53,
             .help = "list, export: runs of this seed only"},
            {.name = "format", .type = TP_OPT_CHOICE, .choices = formats, .fallback = "csv", .help = "of export"},
            TP_OPTION_JSON,
            {.name = "items", .type = TP_OPT_FLAG, .help = "with JSON: each row's prediction too"},
            {0},
        },
    .run = run,
};
