/* Built-in task descriptions, parsed. See description.h. */
#include "data/description.h"

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

static void read_format(tp_json_reader *r, tp_row_format *format) {
    static const char *const kinds[] = {"prefixed", "csv", "tsv", "jsonl", NULL};
    static const char *const cleaners[] = {"none", "ag_news", NULL};
    tp_json_reader f;
    tp_json_object(r, "format", &f);
    format->kind = (tp_row_kind)tp_json_choice(&f, "kind", TP_ROWS_CSV, kinds);
    format->label_end = tp_json_text(&f, "label_end", "")[0];
    format->header = tp_json_bool(&f, "header", true);
    format->text_column = tp_json_text(&f, "text_column", "text");
    format->label_column = tp_json_text(&f, "label_column", "label");
    format->clean_ag_news = tp_json_choice(&f, "clean", 0, cleaners) == 1;
    tp_json_end_object(r, &f, true);
}

tp_status tp_description_load(const char *name, tp_arena *arena, tp_task *task, tp_description *out) {
    *out = (tp_description){0};
    const tp_embedded_task *embedded = tp_embedded_tasks;
    while (embedded->name && strcmp(embedded->name, name) != 0) embedded++;
    if (embedded->name == NULL) {
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
    char *file = tp_format("src/data/tasks/%s.json", name);
    out->json = tp_json_load_bytes(embedded->json, embedded->size, file);
    if (out->json == NULL) {
        tp_free(file);
        return tp_last_status();
    }
    tp_json_reader r;
    tp_json_begin(&r, out->json, file);
    task->name = tp_arena_strdup(arena, tp_json_text(&r, "name", name));
    task->title = tp_arena_strdup(arena, tp_json_text(&r, "title", name));
    task->synthetic = tp_json_bool(&r, "synthetic", false);
    read_format(&r, &out->format);
    out->folders = tp_json_array(&r, "folders");
    out->train = tp_json_array(&r, "train");
    out->test = tp_json_array(&r, "test");
    out->generator = tp_json_any(&r, "generator");
    task->prompt = tp_arena_strdup(arena, tp_json_text(&r, "prompt", "{text}\nLabel:"));
    const char *prompt_labels = tp_json_text(&r, "prompt_labels", "{text}\nIs this {labels}?\nLabel:");
    task->primer = tp_arena_strdup(arena, tp_json_text(&r, "primer", "Label:"));
    tp_status status = read_labels(&r, arena, task);
    if (status == TP_OK) status = tp_json_end(&r, true);
    if (status == TP_OK) task->prompt_labels = tp_prompt_with_labels(prompt_labels, task, arena);
    tp_free(file);
    if (status != TP_OK) tp_description_free(out);
    return status;
}

void tp_description_free(tp_description *description) {
    json_decref(description->json);
    *description = (tp_description){0};
}
