/* The row reader's JSON formats: an object on each line, one list of objects, and SQuAD's articles of paragraphs of
 * questions. See reader_parts.h.
 *
 * A list is taken apart one object at a time: its text is in memory, its tree never is as a whole. */
#include "base/file.h"
#include "base/json.h"
#include "data/reader_parts.h"

#include <ctype.h>
#include <string.h>

tp_status tp_reader_open_json(tp_reader *r) {
    switch (r->format->kind) {
    case TP_ROWS_JSONL:
        r->lines = tp_text_lines_open(r->path);
        return r->lines ? TP_OK : tp_last_status();
    case TP_ROWS_JSON:
        TP_TRY(tp_read_file(r->path, 0, &r->bytes, &r->size));
        while (r->at < r->size && isspace((unsigned char)r->bytes[r->at])) r->at++;
        if (r->at < r->size && r->bytes[r->at] == '[') return TP_OK;
        return tp_fail(TP_ERR_FORMAT, "%s does not begin with `[`; a list of objects was expected", r->path);
    default:
        r->root = tp_json_load_file(r->path);
        if (r->root == NULL) return tp_last_status();
        if (json_is_array(json_object_get(r->root, "data"))) return TP_OK;
        return tp_fail(TP_ERR_FORMAT, "%s has no list `data`; the layout of SQuAD was expected", r->path);
    }
}

/* ---- one record ---- */

/* Appends what a field leads to; the parts of a list are joined by a blank. */
static tp_status append_field(tp_reader *r, const json_t *object, const char *field, const char *where) {
    tp_strings_clear(&r->pieces);
    TP_TRY(tp_json_strings(object, field, false, where, &r->pieces));
    for (size_t i = 0; i < r->pieces.n; i++) {
        size_t n;
        const char *piece = tp_strings_get(&r->pieces, i, &n);
        if (i > 0 && n > 0 && !isspace((unsigned char)*piece)) tp_str_append_char(&r->text, ' ');
        tp_str_append(&r->text, piece, n);
    }
    return TP_OK;
}

/* "A: first\nB: second": the options behind the letters that are the task's labels. */
static void append_options(tp_reader *r) {
    for (size_t i = 0; i < r->options.n; i++) {
        size_t n;
        const char *option = tp_strings_get(&r->options, i, &n);
        tp_trim(&option, &n);
        tp_str_appendf(&r->text, "%s%c: ", i ? "\n" : "", (char)('A' + (int)(i % 26)));
        tp_str_append(&r->text, option, n);
    }
}

static tp_status read_label(tp_reader *r, const json_t *object, const char *where) {
    const char *key = r->format->label_column;
    if (r->labels || key == NULL) return TP_OK;
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_array(value) || json_is_object(value) || json_is_null(value) || json_is_real(value))
        return tp_fail(TP_ERR_FORMAT, "%s: the key `%s` is %s, a string, an integer or a boolean was expected", where,
                       key, value ? "none of these" : "missing");
    tp_strings_clear(&r->pieces);
    TP_TRY(tp_json_strings(object, key, true, where, &r->pieces));
    size_t n;
    const char *label = tp_strings_get(&r->pieces, 0, &n);
    tp_str_append(&r->label, label, n);
    return TP_OK;
}

static tp_status read_record(tp_reader *r, const json_t *object, const char *where) {
    const tp_row_format *format = r->format;
    if (!json_is_object(object))
        return tp_fail(TP_ERR_FORMAT,
                       "%s holds something else than an object; one with the keys of the task was expected", where);
    for (size_t i = 0; format->options && format->options[i]; i++)
        TP_TRY(tp_json_strings(object, format->options[i], true, where, &r->options));
    for (size_t i = 0; i < r->template.n; i++) {
        const tp_template_piece *piece = &r->template.pieces[i];
        if (piece->literal)
            tp_str_append(&r->text, piece->literal, piece->n);
        else if (format->options && strcmp(piece->field, "options") == 0)
            append_options(r);
        else
            TP_TRY(append_field(r, object, piece->field, where));
    }
    if (format->answers) TP_TRY(tp_json_strings(object, format->answers, true, where, &r->answers));
    return read_label(r, object, where);
}

/* ---- the three formats ---- */

static char *place(const tp_reader *r) {
    return tp_format("%s, %s %zu", r->path, tp_row_place(r->format->kind), r->line);
}

static bool next_line(tp_reader *r) {
    char *line;
    const char *start;
    size_t n;
    do {
        if (!tp_text_lines_next(r->lines, &line, &n, NULL)) {
            r->status = tp_text_lines_status(r->lines);
            return false;
        }
        start = line;
        tp_trim(&start, &n);
    } while (n == 0);
    r->status = tp_reader_begin_record(r, tp_text_lines_number(r->lines));
    if (r->status != TP_OK) return false;
    char *where = place(r);
    json_t *object = tp_json_load_bytes(start, n, where);
    r->status = object ? read_record(r, object, where) : tp_last_status();
    json_decref(object);
    tp_free(where);
    return r->status == TP_OK;
}

static void skip_blanks(tp_reader *r) {
    while (r->at < r->size && isspace((unsigned char)r->bytes[r->at])) r->at++;
}

/* `at` stands on the `[` or behind an object. */
static bool next_in_list(tp_reader *r) {
    bool first = r->line == 0;
    skip_blanks(r);
    char here = r->at < r->size ? r->bytes[r->at] : '\0';
    if (!first && here == ']') return false;
    if (here == (first ? '[' : ',')) {
        r->at++;
        skip_blanks(r);
        if (first && r->at < r->size && r->bytes[r->at] == ']') return false;
    } else {
        r->status = tp_fail(TP_ERR_FORMAT, "%s: behind record %zu a `,` or `]` was expected", r->path, r->line);
        r->at = r->size;
        return false;
    }
    r->status = tp_reader_begin_record(r, r->line + 1);
    if (r->status != TP_OK) return false;
    json_error_t error;
    json_t *object =
        json_loadb(r->bytes + r->at, r->size - r->at, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        r->status = tp_fail(TP_ERR_FORMAT, "%s, record %zu is not valid JSON: %s", r->path, r->line, error.text);
        r->at = r->size;
        return false;
    }
    r->at += (size_t)error.position; /* what the object took, as jansson says it without the check for the end */
    char *where = place(r);
    r->status = read_record(r, object, where);
    json_decref(object);
    tp_free(where);
    return r->status == TP_OK;
}

/* The next question with its article and paragraph; NULL at the end. A level that is empty or missing is passed by. */
static const json_t *next_question(tp_reader *r, const json_t **article, const json_t **paragraph) {
    const json_t *data = json_object_get(r->root, "data");
    for (; r->article < json_array_size(data); r->article++, r->paragraph = 0) {
        *article = json_array_get(data, r->article);
        const json_t *paragraphs = json_object_get(*article, "paragraphs");
        for (; r->paragraph < json_array_size(paragraphs); r->paragraph++, r->question = 0) {
            *paragraph = json_array_get(paragraphs, r->paragraph);
            const json_t *found = json_array_get(json_object_get(*paragraph, "qas"), r->question);
            if (found == NULL) continue;
            r->question++;
            return found;
        }
    }
    return NULL;
}

static bool next_squad(tp_reader *r) {
    const json_t *article, *paragraph, *question = next_question(r, &article, &paragraph);
    if (question == NULL) return false;
    r->status = tp_reader_begin_record(r, r->line + 1);
    if (r->status != TP_OK) return false;
    json_t *record = json_object();
    json_object_set(record, "title", json_object_get(article, "title"));
    json_object_set(record, "context", json_object_get(paragraph, "context"));
    json_object_set(record, "question", json_object_get(question, "question"));
    json_object_set(record, "answers", json_object_get(question, "answers"));
    char *where = place(r);
    r->status = read_record(r, record, where);
    tp_free(where);
    json_decref(record);
    return r->status == TP_OK;
}

bool tp_reader_next_json(tp_reader *r) {
    return r->format->kind == TP_ROWS_JSONL  ? next_line(r)
           : r->format->kind == TP_ROWS_JSON ? next_in_list(r)
                                             : next_squad(r);
}
