/* The row reader: prefixed lines and tables, and what is done to the rows of every format. See rows.h.
 *
 * A source fills in text, label, options and answers of one record; finish_row then cuts off blanks, renames the label,
 * takes the label from the label file, and refuses what is empty. An error in one record leaves the source behind it,
 * so that a check can report it and read on. */
#include "base/str.h"
#include "data/clean.h"
#include "data/reader_parts.h"

#include <string.h>

const char *tp_row_place(tp_row_kind kind) {
    return kind == TP_ROWS_SQUAD ? "question" : kind == TP_ROWS_JSON ? "record" : "line";
}

tp_status tp_reader_begin_record(tp_reader *r, size_t line) {
    r->line = line;
    tp_str_clear(&r->text);
    tp_str_append_text(&r->text, ""); /* never NULL */
    tp_str_clear(&r->label);
    tp_strings_clear(&r->options);
    tp_strings_clear(&r->answers);
    if (r->labels == NULL) return TP_OK;
    char *label;
    size_t n;
    if (!tp_text_lines_next(r->labels, &label, &n, NULL)) {
        TP_TRY(tp_text_lines_status(r->labels));
        return tp_fail(TP_ERR_FORMAT,
                       "%s ends after %zu lines, but %s goes on at %s %zu: a label for each was expected",
                       r->label_path, tp_text_lines_number(r->labels), r->path, tp_row_place(r->format->kind), line);
    }
    tp_str_append(&r->label, label, n);
    return TP_OK;
}

/* ---- prefixed lines ---- */

static bool next_prefixed(tp_reader *r) {
    char *line;
    size_t n;
    do {
        if (!tp_text_lines_next(r->lines, &line, &n, NULL)) {
            r->status = tp_text_lines_status(r->lines);
            return false;
        }
    } while (n == 0);
    r->status = tp_reader_begin_record(r, tp_text_lines_number(r->lines));
    if (r->status != TP_OK) return false;
    char *blank = memchr(line, ' ', n);
    if (blank == NULL || blank == line) {
        r->status = tp_fail(TP_ERR_FORMAT, "%s, line %zu: no label found; a label, a blank and the text were expected",
                            r->path, r->line);
        return false;
    }
    size_t label_len = (size_t)(blank - line);
    char *end = r->format->label_end ? memchr(line, r->format->label_end, label_len) : NULL;
    tp_str_append(&r->label, line, end ? (size_t)(end - line) : label_len);
    tp_str_append(&r->text, blank + 1, n - label_len - 1);
    return true;
}

/* ---- tables ---- */

static tp_status find_column(tp_reader *r, const char *name, size_t *column) {
    tp_str found = {0};
    bool bare_cr = false;
    for (size_t i = 0; i < tp_csv_n_fields(r->csv); i++) {
        size_t n;
        const char *field = tp_csv_field(r->csv, i, &n);
        tp_trim(&field, &n);
        if (n == strlen(name) && memcmp(field, name, n) == 0) {
            *column = i;
            tp_str_free(&found);
            return TP_OK;
        }
        bare_cr |= memchr(field, '\r', n) != NULL;
        if (found.len < 300) tp_str_appendf(&found, "%s`%.*s`", i ? ", " : "", n > 60 ? 60 : (int)n, field);
    }
    tp_status status =
        bare_cr ? tp_fail(TP_ERR_FORMAT, "%s, line 1: lines end in CR alone; LF or CR LF was expected", r->path)
                : tp_fail(TP_ERR_FORMAT, "%s has no column `%s`; its columns are %s", r->path, name,
                          found.data ? found.data : "");
    tp_str_free(&found);
    return status;
}

static tp_status open_table(tp_reader *r) {
    const tp_row_format *format = r->format;
    r->csv = tp_csv_open(r->path, format->kind == TP_ROWS_TSV ? '\t' : ',', format->kind == TP_ROWS_CSV);
    if (r->csv == NULL) return tp_last_status();
    if (!format->header) return TP_OK;
    if (!tp_csv_next(r->csv)) return tp_csv_status(r->csv);
    r->n_columns = tp_csv_n_fields(r->csv);
    for (size_t i = 0; i < r->template.n; i++)
        if (r->template.pieces[i].field)
            TP_TRY(find_column(r, r->template.pieces[i].field, &r->template.pieces[i].column));
    return format->label_column ? find_column(r, format->label_column, &r->label_column) : TP_OK;
}

static tp_status check_fields(const tp_reader *r) {
    size_t found = tp_csv_n_fields(r->csv);
    if (!r->format->header)
        return found >= 2 ? TP_OK
                          : tp_fail(TP_ERR_FORMAT, "%s, line %zu: %zu field found; a label and a text were expected",
                                    r->path, r->line, found);
    if (found == r->n_columns) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s, line %zu: %zu fields found, the header names %zu%s", r->path, r->line, found,
                   r->n_columns,
                   r->format->kind == TP_ROWS_TSV ? " (a tab in a text parts it: TSV has no quoting, CSV has)"
                   : found > r->n_columns         ? " (a text with commas must stand in quotes)"
                                                  : "");
}

static bool next_table(tp_reader *r) {
    if (!tp_csv_next(r->csv)) {
        r->status = tp_csv_status(r->csv);
        return false;
    }
    r->status = tp_reader_begin_record(r, tp_csv_line(r->csv));
    if (r->status == TP_OK) r->status = check_fields(r);
    if (r->status != TP_OK) return false;
    size_t n;
    for (size_t i = 0; r->format->header && i < r->template.n; i++) {
        const tp_template_piece *piece = &r->template.pieces[i];
        const char *text = piece->literal;
        n = piece->n;
        if (piece->field) text = tp_csv_field(r->csv, piece->column, &n);
        tp_str_append(&r->text, text, n);
    }
    for (size_t i = 1; !r->format->header && i < tp_csv_n_fields(r->csv); i++) {
        const char *field = tp_csv_field(r->csv, i, &n);
        if (i > 1) tp_str_append_char(&r->text, ' ');
        tp_str_append(&r->text, field, n);
    }
    if (r->labels == NULL && (r->format->label_column || !r->format->header)) {
        const char *label = tp_csv_field(r->csv, r->label_column, &n);
        tp_str_append(&r->label, label, n);
    }
    return true;
}

/* ---- every row ---- */

static size_t add_trimmed(tp_strings *out, const char *text, size_t n) {
    tp_trim(&text, &n);
    tp_strings_add(out, text, n);
    return n;
}

static bool has_string(const tp_strings *list, size_t from, const char *text, size_t n) {
    for (size_t i = from; i < list->n; i++) {
        size_t length;
        const char *known = tp_strings_get(list, i, &length);
        if (length == n && memcmp(known, text, n) == 0) return true;
    }
    return false;
}

static tp_status keep_options(tp_reader *r) {
    for (size_t i = 0; i < r->options.n; i++) {
        size_t n;
        const char *option = tp_strings_get(&r->options, i, &n);
        if (add_trimmed(&r->kept, option, n) == 0)
            return tp_fail(TP_ERR_FORMAT, "%s, %s %zu: option %zu is empty", r->path, tp_row_place(r->format->kind),
                           r->line, i + 1);
    }
    return TP_OK;
}

/* Gold answers: what stands behind the mark, each once. */
static tp_status keep_answers(tp_reader *r) {
    const char *mark = r->format->answer_after;
    size_t first = r->kept.n;
    for (size_t i = 0; i < r->answers.n; i++) {
        size_t n;
        const char *answer = tp_strings_get(&r->answers, i, &n), *end = answer + n;
        const char *found = NULL;
        for (const char *p = answer; mark && (p = strstr(p, mark)) != NULL;) found = p += strlen(mark);
        if (mark && found == NULL)
            return tp_fail(TP_ERR_FORMAT,
                           "%s, %s %zu: no \"%s\" stands in the answer; the result was expected behind it", r->path,
                           tp_row_place(r->format->kind), r->line, mark);
        if (found) answer = found;
        n = (size_t)(end - answer);
        tp_trim(&answer, &n);
        if (n > 0 && !has_string(&r->kept, first, answer, n)) tp_strings_add(&r->kept, answer, n);
    }
    if (r->kept.n > first) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s, %s %zu: the key `%s` holds no answer", r->path, tp_row_place(r->format->kind),
                   r->line, r->format->answers);
}

/* The list that begins at string `from` of kept and ends before `to`, as pointers from *at on. */
static const char *const *point(tp_reader *r, size_t from, size_t to, size_t *at) {
    const char **list = r->pointers + *at;
    for (size_t i = from, n; i < to; i++) r->pointers[(*at)++] = tp_strings_get(&r->kept, i, &n);
    r->pointers[(*at)++] = NULL;
    return list;
}

static tp_status keep_label(tp_reader *r, const char **label) {
    const tp_row_format *format = r->format;
    size_t n = add_trimmed(&r->kept, r->label.data ? r->label.data : "", r->label.len);
    *label = tp_strings_get(&r->kept, r->kept.n - 1, &n);
    if (n == 0)
        return tp_fail(TP_ERR_FORMAT, "%s, %s %zu: the label is empty", r->path, tp_row_place(format->kind), r->line);
    for (size_t i = 0; format->keys && format->keys[i]; i += 2)
        if (strcmp(format->keys[i], *label) == 0) {
            *label = format->keys[i + 1];
            return TP_OK;
        }
    if (format->keys)
        return tp_fail(TP_ERR_FORMAT, "%s, %s %zu: the label \"%.80s\" is none of this file's", r->path,
                       tp_row_place(format->kind), r->line, *label);
    return TP_OK;
}

/* Makes a row of what the source has read; *skip says that it is to be left out. */
static tp_status finish_row(tp_reader *r, tp_row *row, bool *skip) {
    const tp_row_format *format = r->format;
    *row = (tp_row){.line = r->line};
    *skip = false;
    tp_strings_clear(&r->kept);
    if (format->options) TP_TRY(keep_options(r));
    size_t n_options = r->kept.n;
    if (format->answers) TP_TRY(keep_answers(r));
    size_t n_lists = r->kept.n, at = 0;
    bool labelled = format->label_column || r->labels || format->kind == TP_ROWS_PREFIXED;
    const char *label = NULL;
    if (labelled || format->answers == NULL) TP_TRY(keep_label(r, &label));
    if (format->skip_label && label && strcmp(label, format->skip_label) == 0) *skip = true;
    tp_grow(&r->pointers, &r->n_pointers, n_lists + 2, sizeof *r->pointers);
    if (format->options) row->options = point(r, 0, n_options, &at);
    if (format->answers) row->answers = point(r, n_options, n_lists, &at);
    row->label = label;
    const char *text = r->text.data;
    size_t n = r->text.len;
    tp_trim(&text, &n);
    r->text.data[(size_t)(text - r->text.data) + n] = '\0';
    row->text = text;
    row->len = n;
    return TP_OK;
}

static void clean(tp_reader *r) {
    tp_str cleaned = {0};
    tp_clean_ag_news(r->text.data, r->text.len, &cleaned);
    tp_str_append_text(&cleaned, "");
    tp_str_free(&r->text);
    r->text = cleaned;
}

/* At the end of the file: the label file must end too. */
static void end_labels(tp_reader *r) {
    char *line;
    size_t n;
    while (r->labels && r->status == TP_OK && tp_text_lines_next(r->labels, &line, &n, NULL))
        if (n > 0)
            r->status =
                tp_fail(TP_ERR_FORMAT, "%s goes on at line %zu, but %s has ended: a label for each row was expected",
                        r->label_path, tp_text_lines_number(r->labels), r->path);
    tp_text_lines_close(r->labels);
    r->labels = NULL;
}

bool tp_reader_next(tp_reader *r, tp_row *row) {
    while (r->status == TP_OK) {
        bool found = r->lines && r->format->kind == TP_ROWS_PREFIXED ? next_prefixed(r)
                     : r->csv                                        ? next_table(r)
                                                                     : tp_reader_next_json(r);
        if (!found) {
            if (r->status == TP_OK) end_labels(r);
            return false;
        }
        if (r->format->clean_ag_news) clean(r);
        bool skip;
        r->status = finish_row(r, row, &skip);
        if (r->status == TP_OK && !skip) return true;
    }
    return false;
}

tp_status tp_reader_status(const tp_reader *reader) {
    return reader->status;
}

bool tp_reader_recover(tp_reader *r) {
    bool can = r->csv ? tp_csv_recover(r->csv) : r->lines ? tp_text_lines_recover(r->lines) : r->status == TP_OK;
    if (r->root || (r->bytes && r->at < r->size)) can = true;
    if (can) r->status = TP_OK;
    return can;
}

/* `name` beside the file at `path`. */
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    return tp_format("%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
}

static tp_status open_source(tp_reader *r) {
    if (r->format->label_file) {
        r->label_path = beside(r->path, r->format->label_file);
        r->labels = tp_text_lines_open(r->label_path);
        if (r->labels == NULL) return tp_last_status();
    }
    switch (r->format->kind) {
    case TP_ROWS_PREFIXED:
        r->lines = tp_text_lines_open(r->path);
        return r->lines ? TP_OK : tp_last_status();
    case TP_ROWS_CSV:
    case TP_ROWS_TSV:
        return open_table(r);
    default:
        return tp_reader_open_json(r);
    }
}

tp_reader *tp_reader_open(const char *path, const tp_row_format *format) {
    tp_reader *r = tp_alloc(sizeof *r);
    *r = (tp_reader){.path = tp_strdup(path), .format = format};
    char *only = format->text ? NULL : tp_format("{%s}", format->text_column ? format->text_column : "text");
    tp_template_parse(&r->template, only ? only : format->text);
    tp_free(only);
    if (open_source(r) == TP_OK) return r;
    tp_reader_close(r);
    return NULL;
}

void tp_reader_close(tp_reader *r) {
    if (r == NULL) return;
    tp_str_free(&r->text);
    tp_str_free(&r->label);
    tp_strings_free(&r->options);
    tp_strings_free(&r->answers);
    tp_strings_free(&r->pieces);
    tp_strings_free(&r->kept);
    tp_free(r->pointers);
    tp_template_free(&r->template);
    tp_text_lines_close(r->labels);
    tp_free(r->label_path);
    tp_text_lines_close(r->lines);
    tp_csv_close(r->csv);
    tp_free(r->bytes);
    json_decref(r->root);
    tp_free(r->path);
    tp_free(r);
}
