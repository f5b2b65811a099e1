/* Reading a task's files to say what is in them and what is wrong with them. See catalogue.h.
 *
 * Of each row only a hash of its text and one of its label or answers is kept, which is enough to find repeated texts,
 * texts with two labels, and texts that stand in train and test. */
#include "base/hash.h"
#include "base/str.h"
#include "data/catalogue.h"
#include "data/description.h"
#include "data/labels.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SENTENCES = 20 };

/* ---- hashes of rows ---- */

typedef struct seen_row {
    uint64_t text, answer; /* text 0: an empty place */
} seen_row;

typedef struct seen {
    seen_row *table; /* [mask + 1] */
    size_t n, mask;
} seen;

static seen_row *place_of(const seen *s, uint64_t text) {
    size_t slot = (size_t)text & s->mask;
    while (s->table[slot].text != 0 && s->table[slot].text != text) slot = (slot + 1) & s->mask;
    return &s->table[slot];
}

static void grow(seen *s) {
    seen old = *s;
    s->mask = old.table ? 2 * old.mask + 1 : 1023;
    s->table = tp_alloc((s->mask + 1) * sizeof *s->table);
    for (size_t i = 0; old.table && i <= old.mask; i++)
        if (old.table[i].text != 0) *place_of(s, old.table[i].text) = old.table[i];
    tp_free(old.table);
}

static uint64_t hash_text(const tp_row *row) {
    uint64_t hash = tp_hash64(row->text, row->len);
    return hash ? hash : 1;
}

static uint64_t hash_answer(const tp_row *row) {
    uint64_t hash = row->label ? tp_hash64(row->label, strlen(row->label)) : 0;
    for (size_t i = 0; row->answers && row->answers[i]; i++)
        hash = hash * 31 + tp_hash64(row->answers[i], strlen(row->answers[i]));
    return hash;
}

/* ---- one file ---- */

typedef struct file_check {
    const char *split;
    tp_task_file file;
    seen texts;
    int64_t rows, empty, repeated, contradictions, n_problems;
    int64_t *of_label; /* [n_labels] */
    json_t *problems;
} file_check;

/* JSON must be UTF-8, a file need not be: bytes of a text that is not become question marks. To be freed. */
static char *as_utf8(const char *text) {
    char *copy = tp_strdup(text);
    json_t *value = json_string(text);
    for (char *p = copy; value == NULL && *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    json_decref(value);
    return copy;
}

static void note(file_check *c, const char *sentence) {
    if (c->n_problems++ >= MOST_SENTENCES) return;
    char *text = as_utf8(sentence);
    json_array_append_new(c->problems, json_string(text));
    tp_free(text);
}

static void note_row(file_check *c, const tp_row *row) {
    if (row->len == 0) c->empty++;
    if (2 * (c->texts.n + 1) > c->texts.mask) grow(&c->texts);
    uint64_t text = hash_text(row), answer = hash_answer(row);
    seen_row *known = place_of(&c->texts, text);
    if (known->text == text) {
        c->repeated++;
        c->contradictions += known->answer != answer;
        return;
    }
    *known = (seen_row){text, answer};
    c->texts.n++;
}

/* Every row that can be read, in spite of those that cannot. A task without labels counts none. */
static tp_status read_all(file_check *c, const tp_task *task, const char *whose, tp_progress *progress) {
    tp_label_finder finder;
    tp_reader *reader = tp_reader_open(c->file.path, &c->file.format);
    if (reader == NULL) return tp_last_status();
    tp_label_finder_init(&finder, task);
    tp_progress_begin(progress, c->split, (double)c->file.rows, "rows", NULL);
    tp_row row;
    tp_example example;
    for (bool more = true; more;) {
        while (tp_reader_next(reader, &row)) {
            if (tp_label_row(&finder, &row, c->file.path, c->file.format.kind, whose, &example) != TP_OK) {
                note(c, tp_last_error());
                continue;
            }
            c->rows++;
            if (example.label >= 0) c->of_label[example.label]++;
            note_row(c, &row);
            if (c->rows % 4096 == 0) tp_progress_update(progress, (double)c->rows, (double)c->rows, "%s", "");
        }
        more = tp_reader_status(reader) != TP_OK;
        if (more) note(c, tp_last_error());
        more = more && tp_reader_recover(reader);
    }
    tp_progress_end(progress);
    tp_label_finder_free(&finder);
    tp_reader_close(reader);
    return TP_OK;
}

static void judge_count(file_check *c) {
    char *sentence = NULL;
    if (c->rows == 0 && c->n_problems == 0) {
        tp_rows_missing(c->file.path);
        sentence = tp_strdup(tp_last_error());
    } else if (c->file.rows > 0 && (size_t)c->rows != c->file.rows) {
        sentence =
            tp_format("%s holds %lld good rows, %zu were expected", c->file.path, (long long)c->rows, c->file.rows);
    }
    if (sentence) note(c, sentence);
    tp_free(sentence);
}

static json_t *file_document(const file_check *c, const tp_task *task) {
    json_t *o = json_object(), *labels = json_object();
    json_object_set_new(o, "split", json_string(c->split));
    json_object_set_new(o, "path", json_string(c->file.path));
    json_object_set_new(o, "rows", json_integer(c->rows));
    if (c->file.rows > 0) json_object_set_new(o, "expected_rows", json_integer((json_int_t)c->file.rows));
    for (int32_t l = 0; l < task->n_labels; l++) {
        char *name = as_utf8(task->labels[l].name);
        json_object_set_new(labels, name, json_integer(c->of_label[l]));
        tp_free(name);
    }
    json_object_set_new(o, "labels", labels);
    json_object_set_new(o, "empty_texts", json_integer(c->empty));
    json_object_set_new(o, "repeated_texts", json_integer(c->repeated));
    json_object_set_new(o, "contradictions", json_integer(c->contradictions));
    json_object_set(o, "problems", c->problems);
    json_object_set_new(o, "n_problems", json_integer(c->n_problems));
    return o;
}

/* ---- the task ---- */

static int64_t count_overlap(const file_check *train, const file_check *test) {
    int64_t n = 0;
    for (size_t i = 0; test->texts.table && train->texts.table && i <= test->texts.mask; i++)
        n += test->texts.table[i].text != 0 && place_of(&train->texts, test->texts.table[i].text)->text != 0;
    return n;
}

/* The labels of a user's file, however many of its rows are broken. */
static tp_status find_labels(const tp_task_file *file, tp_task *task, tp_arena *arena) {
    tp_reader *reader = tp_reader_open(file->path, &file->format);
    if (reader == NULL) return tp_last_status();
    tp_rows kept = {.arena = arena}; /* a row for each label */
    seen labels = {0};
    tp_row row;
    size_t n = 0;
    do {
        for (; tp_reader_next(reader, &row); n++) {
            if (2 * (labels.n + 1) > labels.mask) grow(&labels);
            uint64_t hash = hash_text(&(tp_row){.text = row.label, .len = strlen(row.label)});
            seen_row *known = place_of(&labels, hash);
            if (known->text == hash) continue;
            known->text = hash;
            labels.n++;
            tp_rows_add(&kept, &(tp_row){.text = "", .label = row.label, .line = row.line});
        }
    } while (tp_reader_status(reader) != TP_OK && tp_reader_recover(reader));
    tp_reader_close(reader);
    const char **keys = tp_alloc((kept.n + 1) * sizeof *keys);
    for (size_t i = 0; i < kept.n; i++) keys[i] = kept.items[i].label;
    tp_status status = tp_labels_discover(task, keys, kept.n, n, file->path, arena);
    tp_free(keys);
    tp_free(labels.table);
    tp_rows_free(&kept);
    return status;
}

static tp_status user_file(const char *path, const tp_task_options *o, tp_task_file *out) {
    *out = (tp_task_file){.path = path,
                          .format = {.header = true,
                                     .text_column = o->text_column ? o->text_column : "text",
                                     .label_column = o->label_column ? o->label_column : "label"}};
    return path ? tp_row_kind_of(path, &out->format.kind) : TP_OK;
}

static json_t *check_files(tp_task *task, file_check files[2], const char *whose, tp_progress *progress) {
    json_t *document = json_object(), *list = json_array();
    int64_t problems = 0;
    tp_status status = TP_OK;
    for (int i = 0; i < 2 && status == TP_OK; i++) {
        file_check *c = &files[i];
        if (c->file.path == NULL) continue;
        c->problems = json_array();
        c->of_label = tp_alloc(((size_t)task->n_labels + 1) * sizeof *c->of_label);
        status = read_all(c, task, whose, progress);
        judge_count(c);
        problems += c->n_problems;
        json_array_append_new(list, file_document(c, task));
    }
    json_object_set_new(document, "task", json_string(task->name));
    json_object_set_new(document, "kind", json_string(tp_task_kind_name(task->kind)));
    json_object_set_new(document, "problems", json_integer(problems));
    json_object_set_new(document, "overlap", json_integer(count_overlap(&files[0], &files[1])));
    if (task->no_train) json_object_set_new(document, "no_train", json_string(task->no_train));
    json_object_set_new(document, "files", list);
    for (int i = 0; i < 2; i++) {
        tp_free(files[i].of_label);
        tp_free(files[i].texts.table);
        json_decref(files[i].problems);
    }
    if (status == TP_OK) return document;
    json_decref(document);
    return NULL;
}

static json_t *check_built_in(const tp_task_options *o, tp_task *task, tp_arena *arena, tp_progress *progress) {
    tp_description d;
    if (tp_description_load(o->name, arena, task, &d) != TP_OK) return NULL;
    file_check files[2] = {{.split = "train"}, {.split = "test"}};
    json_t *document = NULL;
    if (d.format == NULL)
        tp_fail(TP_ERR_ARGUMENT, "the task %s is made by the program; it has no files to check", o->name);
    else if (tp_description_find(&d, o->data, arena, task, &files[0].file, &files[1].file) == TP_OK)
        document = check_files(task, files, "the task's", progress);
    tp_description_free(&d);
    return document;
}

static json_t *check_user_files(const tp_task_options *o, tp_task *task, tp_arena *arena, tp_progress *progress) {
    file_check files[2] = {{.split = "train"}, {.split = "test"}};
    task->name = o->train_file;
    if (user_file(o->train_file, o, &files[0].file) != TP_OK || user_file(o->test_file, o, &files[1].file) != TP_OK ||
        find_labels(&files[0].file, task, arena) != TP_OK)
        return NULL;
    return check_files(task, files, "those of train", progress);
}

json_t *tp_task_check(const tp_task_options *options, tp_progress *progress) {
    tp_arena *arena = tp_arena_new();
    tp_task task = {0};
    json_t *document = options->name ? check_built_in(options, &task, arena, progress)
                                     : check_user_files(options, &task, arena, progress);
    tp_arena_free(arena);
    return document;
}
