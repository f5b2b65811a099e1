/* Loading a task: description or user files, rows, labels, splits. See task.h.
 *
 * The order of things is the same for every source: test is read, then train; labels become numbers (those of the
 * description, or those found in train); texts that stand in both are counted; valid is carved from train; train and
 * test are cut to the sizes asked for. A file that is too large to keep goes through large.c, which does all of this on
 * the way. */
#include "data/task.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/demo_questions.h"
#include "data/description.h"
#include "data/labels.h"
#include "data/large.h"
#include "data/passkey.h"
#include "data/rows.h"
#include "data/split.h"

#include <math.h>
#include <string.h>

enum {
    DEFAULT_VALID_CAP = 1000,
    LARGE_VALID_CAP = 10000,
    LEAST_ROWS = 5,
    LARGE_ROWS = 1000000,
    LARGE_BYTES = 256 << 20
};
static const double HELD_OUT = 0.2; /* of a user's train, where there is no test file */

const char *const *tp_task_names(void) {
    static const char *const names[] = {"demo",          "trec",    "trec_fine", "sst2",     "sst2_sentence", "ag_news",
                                        "banking77",     "dbpedia", "rte",       "mnli",     "boolq",         "piqa",
                                        "commonsenseqa", "gsm8k",   "squad",     "hotpotqa", "passkey",       NULL};
    return names;
}

const char *tp_task_kind_name(tp_task_kind kind) {
    static const char *const names[] = {"classes", "choice", "text"};
    return names[kind];
}

tp_status tp_task_needs_train(const tp_task *task) {
    if (task->train.n > 0) return TP_OK;
    if (task->no_train) return tp_fail(TP_ERR_ARGUMENT, "%s", task->no_train);
    return tp_fail(TP_ERR_ARGUMENT, "the task %s has no training rows", task->name);
}

/* Where a task's rows come from: a file, or rows already made. */
typedef struct source {
    const char *path; /* NULL: none, or generated */
    tp_row_format format;
    tp_rows rows;
    bool large; /* `path` holds more than `rows` does */
} source;

typedef struct loading {
    const tp_task_options *o;
    tp_task *task;
    tp_arena *arena;
    source train, test;
    const char *whose; /* labels, for messages */
    /* [n] every row of train and test that is not known to be unwanted */
    tp_example *train_rows, *test_rows;
    size_t n_train, n_test;
} loading;

/* ---- splits ---- */

static void take_some(tp_dataset *out, const tp_example *examples, size_t n, int32_t n_labels, size_t max,
                      uint64_t seed, const char *stream, tp_arena *arena) {
    bool *chosen = tp_alloc((n + 1) * sizeof *chosen);
    if (max == 0 || max >= n)
        memset(chosen, true, n);
    else
        tp_split_choose(examples, n, n_labels, max, false, seed, stream, chosen);
    tp_split_take(out, examples, n, n_labels, chosen, true, arena);
    tp_free(chosen);
}

static void take_test(loading *l) {
    take_some(&l->task->test, l->test_rows, l->n_test, l->task->n_labels, l->o->max_test, l->o->split_seed, "draw test",
              l->arena);
}

/* Counts the rows of test whose text stands in train; with drop_overlap those of train go. */
static void meet(loading *l) {
    tp_text_groups train, test;
    tp_text_groups_build(&train, l->train_rows, l->n_train);
    for (size_t i = 0; i < l->n_test; i++)
        l->task->n_overlap += tp_text_groups_find(&train, l->test_rows[i].text, l->test_rows[i].len) >= 0;
    tp_text_groups_free(&train);
    if (!l->o->drop_overlap || l->task->n_overlap == 0) return;
    tp_text_groups_build(&test, l->test_rows, l->n_test);
    size_t kept = 0;
    for (size_t i = 0; i < l->n_train; i++)
        if (tp_text_groups_find(&test, l->train_rows[i].text, l->train_rows[i].len) < 0)
            l->train_rows[kept++] = l->train_rows[i];
    l->task->n_dropped = l->n_train - kept;
    l->n_train = kept;
    tp_text_groups_free(&test);
}

/* Without test rows, a part of train is held out first. */
static void hold_out(loading *l) {
    bool *chosen = tp_alloc((l->n_train + 1) * sizeof *chosen);
    tp_dataset all, held_out;
    tp_split_choose(l->train_rows, l->n_train, l->task->n_labels, (size_t)llround(HELD_OUT * (double)l->n_train), true,
                    l->o->split_seed, "hold out test", chosen);
    tp_split_take(&held_out, l->train_rows, l->n_train, l->task->n_labels, chosen, true, l->arena);
    tp_split_take(&all, l->train_rows, l->n_train, l->task->n_labels, chosen, false, l->arena);
    tp_free(chosen);
    l->test_rows = tp_alloc((held_out.n + 1) * sizeof *l->test_rows);
    memcpy(l->test_rows, held_out.examples, held_out.n * sizeof *l->test_rows);
    memcpy(l->train_rows, all.examples, all.n * sizeof *l->train_rows);
    l->n_test = held_out.n;
    l->n_train = all.n;
}

static void carve(loading *l) {
    const tp_task_options *o = l->o;
    tp_task *task = l->task;
    size_t n_valid = (size_t)llround((o->valid_fraction > 0 ? o->valid_fraction : 0.1) * (double)l->n_train);
    if (o->valid_fraction <= 0 && n_valid > DEFAULT_VALID_CAP) n_valid = DEFAULT_VALID_CAP;
    bool *chosen = tp_alloc((l->n_train + 1) * sizeof *chosen);
    tp_split_choose(l->train_rows, l->n_train, task->n_labels, n_valid ? n_valid : 1, true, o->split_seed,
                    "carve valid", chosen);
    tp_dataset rest;
    tp_split_take(&task->valid, l->train_rows, l->n_train, task->n_labels, chosen, true, l->arena);
    tp_split_take(&rest, l->train_rows, l->n_train, task->n_labels, chosen, false, l->arena);
    take_some(&task->train, rest.examples, rest.n, task->n_labels, o->max_train, o->split_seed, "draw train", l->arena);
    tp_free(chosen);
}

/* ---- large files ---- */

static tp_large_plan plan_for(const loading *l, const source *from) {
    return (tp_large_plan){.path = from->path,
                           .format = &from->format,
                           .whose = l->whose,
                           .seed = l->o->split_seed,
                           .max_test = l->o->max_test,
                           .max_train = l->o->max_train};
}

static tp_status read_large_test(loading *l) {
    tp_large_plan plan = plan_for(l, &l->test);
    plan.test_share = 1;
    tp_large_rows rows;
    TP_TRY(tp_large_read(&plan, l->task, l->arena, &rows));
    l->test_rows = tp_alloc((rows.n + 1) * sizeof *l->test_rows);
    memcpy(l->test_rows, rows.examples, rows.n * sizeof *l->test_rows);
    l->n_test = rows.n;
    tp_large_rows_free(&rows);
    return TP_OK;
}

static void take_part(tp_dataset *out, const tp_large_rows *rows, tp_large_part part, const tp_task *task,
                      tp_arena *arena) {
    bool *chosen = tp_alloc((rows->n + 1) * sizeof *chosen);
    for (size_t i = 0; i < rows->n; i++) chosen[i] = rows->parts[i] == part;
    tp_split_take(out, rows->examples, rows->n, task->n_labels, chosen, true, arena);
    tp_free(chosen);
}

/* Train, valid and, where there is no test file, test. */
static tp_status read_large_train(loading *l) {
    tp_task *task = l->task;
    tp_large_plan plan = plan_for(l, &l->train);
    bool own_test = l->test.path == NULL;
    plan.test_share = own_test ? HELD_OUT : 0;
    plan.valid_fraction = l->o->valid_fraction > 0 ? l->o->valid_fraction : 0.1;
    plan.valid_cap = l->o->valid_fraction > 0 ? LARGE_VALID_CAP : DEFAULT_VALID_CAP;
    plan.drop_overlap = l->o->drop_overlap;
    tp_text_groups groups = {0};
    if (!own_test) {
        tp_text_groups_build(&groups, l->test_rows, l->n_test);
        plan.test = &groups;
    }
    tp_large_rows rows;
    tp_status status = tp_large_read(&plan, task, l->arena, &rows);
    if (status == TP_OK) {
        task->large = true;
        task->n_dropped = rows.n_dropped;
        for (size_t i = 0; i < groups.n; i++) task->n_overlap += rows.overlap[groups.group[i]];
        take_part(&task->valid, &rows, TP_PART_VALID, task, l->arena);
        take_part(&task->train, &rows, TP_PART_TRAIN, task, l->arena);
        if (own_test) take_part(&task->test, &rows, TP_PART_TEST, task, l->arena);
        tp_large_rows_free(&rows);
    }
    tp_text_groups_free(&groups);
    return status;
}

/* ---- reading ---- */

/* All rows of a file, or as many as show that it is too large to keep. */
static tp_status read_source(source *s, const tp_task_options *o) {
    if (s->path == NULL) return TP_OK;
    tp_arena *arena = s->rows.arena;
    tp_arena_mark before = tp_arena_get_mark(arena);
    TP_TRY(tp_rows_read_some(&s->rows, s->path, &s->format, o->large_rows ? o->large_rows : LARGE_ROWS,
                             o->large_rows ? SIZE_MAX : LARGE_BYTES, &s->large));
    if (s->large) { /* what was kept of it goes */
        tp_rows_free(&s->rows);
        tp_arena_release(arena, before);
    }
    return TP_OK;
}

static tp_status discover(loading *l) {
    if (l->train.large) return tp_large_discover(l->train.path, &l->train.format, l->task, l->arena);
    const tp_rows *rows = &l->train.rows;
    const char **keys = tp_alloc(rows->n * sizeof *keys);
    for (size_t i = 0; i < rows->n; i++) keys[i] = rows->items[i].label;
    tp_status status = tp_labels_discover(l->task, keys, rows->n, rows->n, l->train.path, l->arena);
    tp_free(keys);
    if (status == TP_OK && rows->n < LEAST_ROWS)
        status =
            tp_fail(TP_ERR_FORMAT, "%s holds %zu rows; at least %d were expected", l->train.path, rows->n, LEAST_ROWS);
    return status;
}

/* The rows that were kept, with their labels as numbers. */
static tp_status number(loading *l, const source *s, tp_example **rows, size_t *n) {
    *n = s->rows.n;
    *rows = tp_label_rows(l->task, &s->rows, s->path, s->format.kind, l->whose);
    return *rows ? TP_OK : tp_last_status();
}

static bool has_rows(const source *s) {
    return s->path || s->rows.n > 0;
}

static tp_status make_splits(loading *l) {
    if (!l->train.large && has_rows(&l->train)) TP_TRY(number(l, &l->train, &l->train_rows, &l->n_train));
    if (l->test.large)
        TP_TRY(read_large_test(l));
    else if (has_rows(&l->test))
        TP_TRY(number(l, &l->test, &l->test_rows, &l->n_test));
    if (l->train.large) {
        TP_TRY(read_large_train(l));
        if (has_rows(&l->test)) take_test(l);
        return TP_OK;
    }
    if (!has_rows(&l->test)) hold_out(l);
    if (has_rows(&l->train)) {
        meet(l);
        carve(l);
    }
    take_test(l);
    return TP_OK;
}

/* ---- built-in tasks ---- */

static tp_status generate(loading *l, const tp_description *d) {
    l->task->source = "generated";
    if (d->generator) {
        TP_TRY(tp_demo_questions(d->generator, "train", 4000, l->task, &l->train.rows));
        return tp_demo_questions(d->generator, "test", 600, l->task, &l->test.rows);
    }
    int64_t words = tp_passkey_words(l->o->name);
    l->task->name = tp_arena_strdup(l->arena, l->o->name);
    TP_TRY(tp_passkey_rows(d->passkey, "train", 5000, words, &l->train.rows));
    return tp_passkey_rows(d->passkey, "test", 500, words, &l->test.rows);
}

static tp_status read_files(loading *l, const tp_description *d) {
    tp_task_file train, test;
    TP_TRY(tp_description_find(d, l->o->data, l->arena, l->task, &train, &test));
    l->train.path = train.path;
    l->train.format = train.format;
    l->test.path = test.path;
    l->test.format = test.format;
    char *from = train.path ? tp_format("%s, %s", train.path, test.path) : tp_strdup(test.path);
    l->task->source = tp_arena_strdup(l->arena, from);
    tp_free(from);
    TP_TRY(read_source(&l->train, l->o));
    return read_source(&l->test, l->o);
}

static tp_status load_built_in(loading *l) {
    const char *name = l->o->name;
    int64_t passkey_words = tp_passkey_words(name);
    if (passkey_words < 0) return tp_last_status();
    if (passkey_words > 0) name = "passkey";
    if (strcmp(name, "demo") == 0 && l->o->data) name = "trec";
    tp_description d;
    TP_TRY(tp_description_load(name, l->arena, l->task, &d));
    l->whose = "the task's";
    tp_status status = d.generator || d.passkey ? generate(l, &d) : read_files(l, &d);
    if (status == TP_OK) status = make_splits(l);
    tp_description_free(&d);
    return status;
}

/* ---- a user's files ---- */

static tp_status user_source(source *s, const char *path, const tp_task_options *o) {
    s->path = path;
    s->format = (tp_row_format){.header = true,
                                .text_column = o->text_column ? o->text_column : "text",
                                .label_column = o->label_column ? o->label_column : "label"};
    TP_TRY(tp_row_kind_of(path, &s->format.kind));
    return read_source(s, o);
}

static tp_status load_user_files(loading *l) {
    const tp_task_options *o = l->o;
    tp_task *task = l->task;
    const char *slash = strrchr(o->train_file, '/');
    char *name = tp_strdup(slash ? slash + 1 : o->train_file);
    name[strcspn(name, ".")] = '\0';
    char *from = o->test_file ? tp_format("%s, %s", o->train_file, o->test_file) : tp_strdup(o->train_file);
    task->name = tp_arena_strdup(l->arena, name[0] ? name : "data");
    task->title = "the user's own labelled text";
    task->source = tp_arena_strdup(l->arena, from);
    tp_free(name);
    tp_free(from);
    l->whose = "those of train";
    TP_TRY(user_source(&l->train, o->train_file, o));
    if (o->test_file) TP_TRY(user_source(&l->test, o->test_file, o));
    TP_TRY(discover(l));
    task->prompt = "Text: {text}\nLabel:";
    task->prompt_labels =
        tp_prompt_with_labels("Text: {text}\nIs the label of this text {labels}?\nLabel:", task, l->arena);
    task->primer = "Label:";
    return make_splits(l);
}

/* ---- the whole ---- */

static tp_status check_splits(const tp_task *task) {
    bool trained = task->no_train == NULL;
    if (task->test.n > 0 && (!trained || task->train.n > 0)) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s: too few rows to split (%zu for training, %zu for testing)", task->source,
                   task->train.n, task->test.n);
}

tp_task *tp_task_load(const tp_task_options *options) {
    if ((options->name == NULL) == (options->train_file == NULL))
        return tp_fail_null(TP_ERR_ARGUMENT, "either the name of a task or a training file is needed, %s",
                            options->name ? "both were given" : "neither was given");
    if (!(options->valid_fraction >= 0 && options->valid_fraction <= 0.9))
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "the share of train carved out for validation is %g; 0 to 0.9 was expected",
                            options->valid_fraction);
    tp_arena *arena = tp_arena_new();
    tp_task *task = tp_arena_zalloc(arena, sizeof *task);
    task->memory = arena;
    loading l = {.o = options, .task = task, .arena = arena, .train.rows.arena = arena, .test.rows.arena = arena};
    tp_status status = options->name ? load_built_in(&l) : load_user_files(&l);
    tp_rows_free(&l.train.rows);
    tp_rows_free(&l.test.rows);
    tp_free(l.train_rows);
    tp_free(l.test_rows);
    if (status == TP_OK) status = check_splits(task);
    if (status == TP_OK) return task;
    tp_task_free(task);
    return NULL;
}

void tp_task_free(tp_task *task) {
    if (task) tp_arena_free(task->memory);
}
