/* Loading a task: description or user files, rows, labels, splits. See task.h.
 *
 * The order of things is the same for every source: rows of train and test are read; labels become numbers (those of
 * the description, or those found in train); rows of test whose text stands in train are counted; valid is carved from
 * train; train and test are cut to the sizes asked for. */
#include "data/task.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/demo_questions.h"
#include "data/description.h"
#include "data/rows.h"
#include "data/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_VALID_CAP = 1000, LARGEST_N_LABELS = 10000 };

const char *const *tp_task_names(void) {
    static const char *const names[] = {"demo", "trec", "sst2", "sst2_sentence", "ag_news", "banking77", NULL};
    return names;
}

/* ---- labels become numbers ---- */

static int by_key(const void *a, const void *b) {
    return strcmp((*(const tp_label *const *)a)->key, (*(const tp_label *const *)b)->key);
}

static tp_status unknown_label(const tp_task *task, const char *path, const tp_row *row, const char *whose) {
    tp_str known = {0};
    for (int32_t i = 0; i < task->n_labels && known.len < 160; i++)
        tp_str_appendf(&known, "%s%s", i ? ", " : "", task->labels[i].key);
    if (known.len >= 160) tp_str_append_text(&known, ", ...");
    tp_status status = tp_fail(TP_ERR_FORMAT, "%s, line %zu: the label \"%.80s\" is not one of %s: %s", path, row->line,
                               row->label, whose, known.data);
    tp_str_free(&known);
    return status;
}

/* [rows->n] examples, to be freed with tp_free; NULL on error. */
static tp_example *number_rows(const tp_task *task, const tp_rows *rows, const char *path, const char *whose) {
    const tp_label **sorted = tp_alloc((size_t)task->n_labels * sizeof *sorted);
    for (int32_t i = 0; i < task->n_labels; i++) sorted[i] = &task->labels[i];
    qsort(sorted, (size_t)task->n_labels, sizeof *sorted, by_key);
    tp_example *examples = tp_alloc(rows->n * sizeof *examples);
    for (size_t i = 0; i < rows->n; i++) {
        const tp_row *row = &rows->items[i];
        tp_label wanted = {.key = row->label}, *key = &wanted;
        const tp_label **found = bsearch(&key, sorted, (size_t)task->n_labels, sizeof *sorted, by_key);
        if (found == NULL) {
            unknown_label(task, path, row, whose);
            tp_free(examples);
            examples = NULL;
            break;
        }
        examples[i] = (tp_example){row->text, row->len, (int32_t)(*found - task->labels), (int32_t)i};
    }
    tp_free(sorted);
    return examples;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The labels of a user's train file, sorted: `_` is said as a blank unless that makes two of them equal. */
static tp_status discover_labels(tp_task *task, const tp_rows *rows, const char *path, tp_arena *arena) {
    const char **keys = tp_alloc(rows->n * sizeof *keys);
    for (size_t i = 0; i < rows->n; i++) keys[i] = rows->items[i].label;
    qsort(keys, rows->n, sizeof *keys, by_text);
    size_t n = 0;
    for (size_t i = 0; i < rows->n; i++)
        if (n == 0 || strcmp(keys[n - 1], keys[i]) != 0) keys[n++] = keys[i];
    tp_status status = TP_OK;
    if (n < 2 || n > LARGEST_N_LABELS) {
        status = tp_fail(TP_ERR_FORMAT, "%s: %zu different label%s in %zu rows; 2 to %d were expected", path, n,
                         n == 1 ? "" : "s", rows->n, LARGEST_N_LABELS);
    } else {
        task->labels = tp_arena_zalloc(arena, n * sizeof *task->labels);
        task->n_labels = (int32_t)n;
        bool clash = false;
        for (size_t i = 0; i < n; i++) {
            tp_label_from_key(&task->labels[i], keys[i], false, arena);
            for (size_t j = 0; j < i && !clash; j++) clash = strcmp(task->labels[i].name, task->labels[j].name) == 0;
        }
        for (size_t i = 0; i < n && clash; i++) task->labels[i].name = task->labels[i].key;
    }
    tp_free(keys);
    return status;
}

/* ---- splits ---- */

static void take_some(tp_dataset *out, const tp_example *examples, size_t n, int32_t n_labels, size_t max,
                      uint64_t seed, const char *stream, tp_arena *arena) {
    bool *chosen = tp_alloc(n * sizeof *chosen);
    if (max == 0 || max >= n)
        memset(chosen, true, n);
    else
        tp_split_choose(examples, n, n_labels, max, false, seed, stream, chosen);
    tp_split_take(out, examples, n, chosen, true, arena);
    tp_free(chosen);
}

/* Makes train, valid and test from all rows of train and test; without test rows, 20 % of train are held out first. */
static void make_splits(tp_task *task, tp_example *train, size_t n_train, tp_example *test, size_t n_test,
                        const tp_task_options *o, tp_arena *arena) {
    bool *chosen = tp_alloc(n_train * sizeof *chosen);
    tp_dataset all = {.examples = train, .n = n_train}, held_out = {.examples = test, .n = n_test};
    if (test == NULL) {
        tp_split_choose(train, n_train, task->n_labels, (size_t)llround(0.2 * (double)n_train), true, o->split_seed,
                        "hold out test", chosen);
        tp_split_take(&held_out, train, n_train, chosen, true, arena);
        tp_split_take(&all, train, n_train, chosen, false, arena);
    }
    tp_text_groups groups;
    tp_text_groups_build(&groups, all.examples, all.n);
    for (size_t i = 0; i < held_out.n; i++)
        task->n_overlap += tp_text_groups_find(&groups, held_out.examples[i].text, held_out.examples[i].len) >= 0;
    tp_text_groups_free(&groups);

    size_t n_valid = (size_t)llround((o->valid_fraction > 0 ? o->valid_fraction : 0.1) * (double)all.n);
    if (o->valid_fraction <= 0 && n_valid > DEFAULT_VALID_CAP) n_valid = DEFAULT_VALID_CAP;
    tp_split_choose(all.examples, all.n, task->n_labels, n_valid ? n_valid : 1, true, o->split_seed, "carve valid",
                    chosen);
    tp_dataset rest;
    tp_split_take(&task->valid, all.examples, all.n, chosen, true, arena);
    tp_split_take(&rest, all.examples, all.n, chosen, false, arena);
    take_some(&task->train, rest.examples, rest.n, task->n_labels, o->max_train, o->split_seed, "draw train", arena);
    take_some(&task->test, held_out.examples, held_out.n, task->n_labels, o->max_test, o->split_seed, "draw test",
              arena);
    tp_free(chosen);
}

/* ---- built-in tasks ---- */

/* The first of the file names in `list` that exists in the folder; NULL if none does. Free with tp_free. */
static char *existing_file(const char *folder, json_t *list) {
    size_t i;
    json_t *name;
    json_array_foreach(list, i, name) {
        char *path = tp_path_join(folder, json_string_value(name));
        if (tp_path_exists(path)) return path;
        tp_free(path);
    }
    return NULL;
}

/* Finds both files below `data`: in the folders the description names, then in `data` itself. */
static tp_status find_files(const tp_description *d, const tp_task *task, const char *data, char **train, char **test) {
    if (data == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "the task %s needs a folder with its original files (%s)", task->name,
                       json_string_value(json_array_get(d->train, 0)));
    if (!tp_is_dir(data))
        return tp_fail(TP_ERR_IO, "%s is not a folder; the original files of %s were expected in it", data, task->name);
    size_t n = json_array_size(d->folders);
    for (size_t i = 0; i <= n; i++) {
        char *folder = i < n ? tp_path_join(data, json_string_value(json_array_get(d->folders, i))) : tp_strdup(data);
        *train = existing_file(folder, d->train);
        *test = existing_file(folder, d->test);
        tp_free(folder);
        if (*train && *test) return TP_OK;
        tp_free(*train);
        tp_free(*test);
    }
    return tp_fail(TP_ERR_IO, "%s: the files of %s (%s and %s) are neither in it nor in %s/ below it", data, task->name,
                   json_string_value(json_array_get(d->train, 0)), json_string_value(json_array_get(d->test, 0)),
                   json_string_value(json_array_get(d->folders, 0)));
}

static tp_status load_built_in(tp_task *task, const tp_task_options *o, tp_arena *arena, tp_rows *train,
                               tp_rows *test) {
    tp_description d;
    bool demo_from_files = strcmp(o->name, "demo") == 0 && o->data != NULL;
    TP_TRY(tp_description_load(demo_from_files ? "trec" : o->name, arena, task, &d));
    char *train_path = NULL, *test_path = NULL;
    tp_status status;
    if (d.generator) {
        task->source = "generated";
        status = tp_demo_questions(d.generator, "train", 4000, task, train);
        if (status == TP_OK) status = tp_demo_questions(d.generator, "test", 600, task, test);
    } else {
        status = find_files(&d, task, o->data, &train_path, &test_path);
        if (status == TP_OK) status = tp_rows_read(train, train_path, &d.format);
        if (status == TP_OK) status = tp_rows_read(test, test_path, &d.format);
    }
    tp_example *train_examples = NULL, *test_examples = NULL;
    if (status == TP_OK && train_path) {
        char *source = tp_format("%s, %s", train_path, test_path);
        task->source = tp_arena_strdup(arena, source);
        tp_free(source);
    }
    if (status == TP_OK && (train_examples = number_rows(task, train, train_path, "the task's")) != NULL)
        test_examples = number_rows(task, test, test_path, "the task's");
    if (status == TP_OK && test_examples == NULL) status = tp_last_status();
    if (status == TP_OK) make_splits(task, train_examples, train->n, test_examples, test->n, o, arena);
    tp_free(train_examples);
    tp_free(test_examples);
    tp_free(train_path);
    tp_free(test_path);
    tp_description_free(&d);
    return status;
}

/* ---- a user's files ---- */

static tp_status read_user_file(tp_rows *rows, const char *path, const tp_task_options *o) {
    tp_row_format format = {.header = true,
                            .text_column = o->text_column ? o->text_column : "text",
                            .label_column = o->label_column ? o->label_column : "label"};
    TP_TRY(tp_row_kind_of(path, &format.kind));
    return tp_rows_read(rows, path, &format);
}

static tp_status load_user_files(tp_task *task, const tp_task_options *o, tp_arena *arena, tp_rows *train,
                                 tp_rows *test) {
    const char *slash = strrchr(o->train_file, '/');
    char *name = tp_strdup(slash ? slash + 1 : o->train_file);
    name[strcspn(name, ".")] = '\0';
    char *source = o->test_file ? tp_format("%s, %s", o->train_file, o->test_file)
                                : tp_format("%s, a fifth of it held out", o->train_file);
    task->name = tp_arena_strdup(arena, name[0] ? name : "data");
    task->title = "the user's own labelled text";
    task->source = tp_arena_strdup(arena, source);
    tp_free(name);
    tp_free(source);
    TP_TRY(read_user_file(train, o->train_file, o));
    if (o->test_file) TP_TRY(read_user_file(test, o->test_file, o));
    TP_TRY(discover_labels(task, train, o->train_file, arena));
    task->prompt = "Text: {text}\nLabel:";
    task->prompt_labels =
        tp_prompt_with_labels("Text: {text}\nIs the label of this text {labels}?\nLabel:", task, arena);
    task->primer = "Label:";
    tp_example *train_examples = number_rows(task, train, o->train_file, "those of train");
    tp_example *test_examples = o->test_file ? number_rows(task, test, o->test_file, "those of train") : NULL;
    tp_status status = o->test_file && test_examples == NULL ? tp_last_status() : TP_OK;
    if (status == TP_OK && train->n < 5)
        status = tp_fail(TP_ERR_FORMAT, "%s holds %zu rows; at least 5 were expected", o->train_file, train->n);
    if (status == TP_OK) make_splits(task, train_examples, train->n, test_examples, test->n, o, arena);
    tp_free(train_examples);
    tp_free(test_examples);
    return status;
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
    tp_rows train = {.arena = arena}, test = {.arena = arena};
    tp_status status = options->name ? load_built_in(task, options, arena, &train, &test)
                                     : load_user_files(task, options, arena, &train, &test);
    tp_rows_free(&train);
    tp_rows_free(&test);
    if (status == TP_OK && (task->train.n == 0 || task->test.n == 0))
        status = tp_fail(TP_ERR_FORMAT, "%s: too few rows to split (%zu for training, %zu for testing)", task->source,
                         task->train.n, task->test.n);
    if (status == TP_OK) return task;
    tp_task_free(task);
    return NULL;
}

void tp_task_free(tp_task *task) {
    if (task) tp_arena_free(task->memory);
}
