/* Built-in task descriptions, parsed. See description.h. */
#include "data/description.h"

#include "base/file.h"
#include "base/str.h"

#include <ctype.h>
#include <string.h>

static const char *const no_synonyms[] = {NULL};

void tp_label_from_key(tp_label *label, const char *key, bool lower_case, tp_arena *arena) {
    char *name = tp_arena_strdup(arena, key);
    for (char *p = name; *p; p++) *p = *p == '_' ? ' ' : lower_case ? (char)tolower((unsigned char)*p) : *p;
    size_t n = strlen(name); /* "reverted_card_payment?" is said without its question mark */
    if (lower_case && n > 1 && ispunct((unsigned char)name[n - 1])) name[n - 1] = '\0';
    *label = (tp_label){.name = name, .key = tp_arena_strdup(arena, key), .synonyms = no_synonyms};
}

const char *tp_prompt_with_labels(const char *pattern, const tp_task *task, tp_arena *arena) {
    const char *place = strstr(pattern, "{labels}");
    if (place == NULL) return tp_arena_strdup(arena, pattern);
    tp_str text = {0};
    tp_str_append(&text, pattern, (size_t)(place - pattern));
    for (int32_t i = 0; i < task->n_labels; i++) {
        bool last = i + 1 == task->n_labels;
        if (i > 0) tp_str_append_text(&text, !last ? ", " : task->n_labels == 2 ? " or " : ", or ");
        tp_str_append_text(&text, task->labels[i].name);
    }
    tp_str_append_text(&text, place + strlen("{labels}"));
    const char *copy = tp_arena_strdup(arena, text.data);
    tp_str_free(&text);
    return copy;
}

static const char *const *copy_synonyms(tp_json_reader *r, tp_arena *arena) {
    json_t *list = tp_json_array(r, "synonyms");
    size_t n = json_array_size(list), kept = 0;
    if (n == 0) return no_synonyms;
    const char **synonyms = tp_arena_zalloc(arena, (n + 1) * sizeof *synonyms);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text)
            synonyms[kept++] = tp_arena_strdup(arena, text);
        else
            tp_json_error(r, "synonyms", "holds something else than strings");
    }
    return synonyms;
}

static tp_status read_labels(tp_json_reader *r, tp_arena *arena, tp_task *task) {
    json_t *list = tp_json_array(r, "labels");
    size_t n = json_array_size(list);
    if (task->kind == TP_TASK_TEXT) {
        if (n > 0) tp_json_error(r, "labels", "names labels, a task of free answers has none");
        return r->status;
    }
    if (n < 2) tp_json_error(r, "labels", "names %zu labels, at least 2 were expected", n);
    task->labels = tp_arena_zalloc(arena, n * sizeof *task->labels);
    task->n_labels = (int32_t)n;
    for (size_t i = 0; i < n && r->status == TP_OK; i++) {
        json_t *value = json_array_get(list, i);
        if (json_is_string(value)) {
            tp_label_from_key(&task->labels[i], json_string_value(value), true, arena);
            continue;
        }
        tp_json_reader label;
        tp_json_begin(&label, value, r->file);
        tp_json_require(&label, "key");
        tp_json_require(&label, "name");
        task->labels[i] = (tp_label){.key = tp_arena_strdup(arena, tp_json_text(&label, "key", "")),
                                     .name = tp_arena_strdup(arena, tp_json_text(&label, "name", "")),
                                     .synonyms = copy_synonyms(&label, arena)};
        tp_json_end_object(r, &label, true);
    }
    return r->status;
}

/* ---- files ---- */

static const char *const *text_list(tp_json_reader *r, const char *key, tp_arena *arena) {
    json_t *list = tp_json_array(r, key);
    if (list == NULL) return NULL;
    const char **texts = tp_arena_zalloc(arena, (json_array_size(list) + 1) * sizeof *texts);
    for (size_t i = 0; i < json_array_size(list); i++) {
        texts[i] = json_string_value(json_array_get(list, i));
        if (texts[i] == NULL) tp_json_error(r, key, "holds something else than strings");
    }
    return texts;
}

/* {"1": "3"} as the pairs 1, 3. */
static const char *const *text_pairs(tp_json_reader *r, const char *key, tp_arena *arena) {
    json_t *object = tp_json_any(r, key);
    if (object == NULL) return NULL;
    const char **texts = tp_arena_zalloc(arena, (2 * json_object_size(object) + 1) * sizeof *texts), *name;
    json_t *value;
    size_t n = 0;
    json_object_foreach(object, name, value) {
        texts[n++] = name;
        texts[n++] = json_string_value(value);
        if (!json_is_string(value)) tp_json_error(r, key, "holds something else than strings");
    }
    return texts;
}

/* What stands in the object `value` (NULL: nothing), over what is in *f already. */
static tp_status read_format(json_t *value, const char *file, tp_arena *arena, tp_row_format *f) {
    static const char *const kinds[] = {"prefixed", "csv", "tsv", "jsonl", "json", "squad", NULL};
    static const char *const cleaners[] = {"none", "ag_news", NULL};
    if (value == NULL) return TP_OK;
    tp_json_reader r;
    tp_json_begin(&r, value, file);
    f->kind = (tp_row_kind)tp_json_choice(&r, "kind", (int)f->kind, kinds);
    if (tp_json_has(&r, "label_end")) f->label_end = tp_json_text(&r, "label_end", "")[0];
    f->header = tp_json_bool(&r, "header", f->header);
    f->text = tp_json_text(&r, "text", f->text);
    f->text_column = tp_json_text(&r, "text_column", f->text_column);
    f->label_column = tp_json_text(&r, "label_column", f->label_column);
    if (tp_json_has(&r, "options")) f->options = text_list(&r, "options", arena);
    f->answers = tp_json_text(&r, "answers", f->answers);
    f->answer_after = tp_json_text(&r, "answer_after", f->answer_after);
    f->label_file = tp_json_text(&r, "label_file", f->label_file);
    f->skip_label = tp_json_text(&r, "skip_label", f->skip_label);
    if (tp_json_has(&r, "keys")) f->keys = text_pairs(&r, "keys", arena);
    f->clean_ag_news = tp_json_choice(&r, "clean", f->clean_ag_news, cleaners) == 1;
    return tp_json_end(&r, true);
}

static tp_status read_file_entry(const tp_description *d, json_t *entry, tp_arena *arena, tp_task_file *out) {
    *out = (tp_task_file){.format = {.kind = TP_ROWS_CSV, .header = true}};
    TP_TRY(read_format(d->format, d->file, arena, &out->format));
    out->path = json_string_value(entry);
    if (json_is_object(entry)) {
        tp_json_reader r;
        tp_json_begin(&r, entry, d->file);
        tp_json_require(&r, "name");
        out->path = tp_json_text(&r, "name", "");
        out->rows = (size_t)tp_json_int(&r, "rows", 0, 0, INT64_MAX);
        json_t *format = tp_json_any(&r, "format");
        TP_TRY(tp_json_end(&r, true));
        TP_TRY(read_format(format, d->file, arena, &out->format));
    }
    return TP_OK;
}

bool tp_description_file(const tp_description *d, json_t *list, size_t i, tp_arena *arena, tp_task_file *out) {
    return i < json_array_size(list) && read_file_entry(d, json_array_get(list, i), arena, out) == TP_OK;
}

static const char *entry_name(json_t *list, size_t i) {
    json_t *entry = json_array_get(list, i);
    return json_string_value(json_is_object(entry) ? json_object_get(entry, "name") : entry);
}

/* The first file of the list that is in the folder; path NULL if none is. */
static tp_status existing_file(const tp_description *d, const char *folder, json_t *list, tp_arena *arena,
                               tp_task_file *out) {
    *out = (tp_task_file){0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *path = tp_path_join(folder, entry_name(list, i));
        tp_status status = TP_OK;
        bool there = tp_path_exists(path);
        if (there) {
            status = read_file_entry(d, json_array_get(list, i), arena, out);
            out->path = tp_arena_strdup(arena, path);
        }
        tp_free(path);
        if (there) return status;
    }
    return TP_OK;
}

static void explain_no_train(const tp_description *d, const char *folder, tp_arena *arena, tp_task *task) {
    char *sentence = tp_format("the task %s cannot be trained on: its %s is not in %s (it is published at %s; test and "
                               "validation files are never trained on)",
                               task->name, entry_name(d->train, 0), folder, d->home);
    task->no_train = tp_arena_strdup(arena, sentence);
    tp_free(sentence);
}

tp_status tp_description_find(const tp_description *d, const char *data, tp_arena *arena, tp_task *task,
                              tp_task_file *train, tp_task_file *test) {
    if (data == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "the task %s needs a folder with its original files (%s)", task->name,
                       entry_name(d->train, 0));
    if (!tp_is_dir(data))
        return tp_fail(TP_ERR_IO, "%s is not a folder; the original files of %s were expected in it", data, task->name);
    size_t n = json_array_size(d->folders);
    for (int with_train = 1; with_train >= 0; with_train--) {
        for (size_t i = 0; i <= n; i++) {
            char *folder =
                i < n ? tp_path_join(data, json_string_value(json_array_get(d->folders, i))) : tp_strdup(data);
            tp_status status = existing_file(d, folder, d->train, arena, train);
            if (status == TP_OK) status = existing_file(d, folder, d->test, arena, test);
            bool found = status != TP_OK || (test->path && (train->path || !with_train));
            if (found && status == TP_OK && train->path == NULL) explain_no_train(d, folder, arena, task);
            tp_free(folder);
            if (found) return status;
        }
    }
    return tp_fail(TP_ERR_IO, "%s: the files of %s (%s and %s) are neither in it nor in %s/ below it", data, task->name,
                   entry_name(d->train, 0), entry_name(d->test, 0), json_string_value(json_array_get(d->folders, 0)));
}

/* ---- the whole ---- */

static tp_status unknown_task(const char *name) {
    tp_str known = {0};
    for (const char *const *p = tp_task_names(); *p; p++) {
        if (known.len > 0) tp_str_append_text(&known, ", ");
        tp_str_append_text(&known, *p);
    }
    tp_status status = tp_fail(TP_ERR_ARGUMENT,
                               "there is no task \"%s\"; built in are %s (a CSV, TSV or JSONL file of "
                               "your own is given as a file instead)",
                               name, known.data);
    tp_str_free(&known);
    return status;
}

static void read_task(tp_json_reader *r, const char *name, tp_arena *arena, tp_task *task) {
    static const char *const kinds[] = {"classes", "choice", "text", NULL};
    static const char *const forms[] = {"words", "number", "code", NULL};
    task->name = tp_arena_strdup(arena, tp_json_text(r, "name", name));
    task->title = tp_arena_strdup(arena, tp_json_text(r, "title", name));
    task->kind = (tp_task_kind)tp_json_choice(r, "kind", 0, kinds);
    task->answer_form = (tp_answer_form)tp_json_choice(r, "answer_form", 0, forms);
    task->synthetic = tp_json_bool(r, "synthetic", false);
    task->prompt = tp_arena_strdup(arena, tp_json_text(r, "prompt", "{text}\nLabel:"));
    task->primer = tp_arena_strdup(arena, tp_json_text(r, "primer", "Label:"));
}

tp_status tp_description_load(const char *name, tp_arena *arena, tp_task *task, tp_description *out) {
    *out = (tp_description){0};
    const tp_embedded_task *embedded = tp_embedded_tasks;
    while (embedded->name && strcmp(embedded->name, name) != 0) embedded++;
    if (embedded->name == NULL) return unknown_task(name);
    out->file = tp_format("src/data/tasks/%s.json", name);
    out->json = tp_json_load_bytes(embedded->json, embedded->size, out->file);
    if (out->json == NULL) {
        tp_description_free(out);
        return tp_last_status();
    }
    tp_json_reader r;
    tp_json_begin(&r, out->json, out->file);
    read_task(&r, name, arena, task);
    out->licence = tp_json_text(&r, "licence", "none stated");
    out->home = tp_json_text(&r, "home", "");
    out->format = tp_json_any(&r, "format");
    out->folders = tp_json_array(&r, "folders");
    out->train = tp_json_array(&r, "train");
    out->test = tp_json_array(&r, "test");
    out->published = tp_json_array(&r, "published");
    out->generator = tp_json_any(&r, "generator");
    out->passkey = tp_json_any(&r, "passkey");
    const char *prompt_labels = tp_json_text(
        &r, "prompt_labels", task->kind == TP_TASK_CLASSES ? "{text}\nIs this {labels}?\nLabel:" : task->prompt);
    tp_status status = read_labels(&r, arena, task);
    if (status == TP_OK) status = tp_json_end(&r, true);
    if (status == TP_OK) task->prompt_labels = tp_prompt_with_labels(prompt_labels, task, arena);
    if (status != TP_OK) tp_description_free(out);
    return status;
}

void tp_description_free(tp_description *description) {
    json_decref(description->json);
    tp_free(description->file);
    *description = (tp_description){0};
}
