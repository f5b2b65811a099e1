/* Streaming documents out of JSON lines and plain text. See corpus.h.
 *
 * Both formats are read by lines (base/file.h does the unzipping), so a corpus of any size takes the memory of one
 * document. The only look ahead is that of a plain text: its first 64 KB decide whether it is one document or many. */
#include "data/corpus.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_WHOLE_TEXT = 64 << 10 }; /* bytes */

struct tp_corpus {
    char **files;
    size_t n_files, capacity;
    size_t file; /* the one being read */

    tp_lines *lines; /* NULL: the file is not open yet */
    size_t line;     /* number of the line read last, from 1 */
    size_t n_documents;
    bool ended, is_json, is_split; /* of this file */
    tp_str head;                   /* the first 64 KB of a plain text that turned out to be longer */
    size_t head_at;
    tp_str document;
    json_t *json; /* holds the document of a .jsonl */
    tp_status status;
};

/* ---- which files ---- */

static bool is_json_name(const char *name) {
    return tp_ends_with(name, ".jsonl") || tp_ends_with(name, ".jsonl.gz");
}

static bool is_corpus_name(const char *name) {
    return is_json_name(name) || tp_ends_with(name, ".txt") || tp_ends_with(name, ".txt.gz");
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_file(tp_corpus *c, char *path) {
    tp_grow(&c->files, &c->capacity, c->n_files, sizeof *c->files);
    c->files[c->n_files++] = path;
}

static tp_status add_folder(tp_corpus *c, const char *path) {
    DIR *dir = opendir(path);
    if (dir == NULL) return tp_fail(TP_ERR_IO, "cannot read the folder %s", path);
    size_t first = c->n_files;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (is_corpus_name(entry->d_name)) add_file(c, tp_path_join(path, entry->d_name));
    closedir(dir);
    if (c->n_files == first) return tp_fail(TP_ERR_FORMAT, "%s holds no .jsonl, .jsonl.gz, .txt or .txt.gz file", path);
    qsort(c->files + first, c->n_files - first, sizeof *c->files, by_name);
    return TP_OK;
}

static tp_status add_path(tp_corpus *c, const char *path) {
    if (tp_is_dir(path)) return add_folder(c, path);
    tp_lines *probe = tp_lines_open(path);
    if (probe == NULL) return tp_last_status();
    tp_lines_close(probe);
    if (!is_corpus_name(path))
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "%s is no corpus file: its name must end in .jsonl, .jsonl.gz, .txt or .txt.gz", path);
    add_file(c, tp_strdup(path));
    return TP_OK;
}

tp_corpus *tp_corpus_open(const char *const *paths, size_t n_paths) {
    if (n_paths == 0) return tp_fail_null(TP_ERR_ARGUMENT, "a corpus needs at least one file");
    tp_corpus *c = tp_alloc(sizeof *c);
    for (size_t i = 0; i < n_paths; i++) {
        if (add_path(c, paths[i]) == TP_OK) continue;
        tp_corpus_close(c);
        return NULL;
    }
    return c;
}

static void close_file(tp_corpus *c) {
    tp_lines_close(c->lines);
    json_decref(c->json);
    c->lines = NULL;
    c->json = NULL;
    c->line = c->n_documents = c->head_at = 0;
    c->ended = c->is_split = false;
    tp_str_clear(&c->head);
}

void tp_corpus_close(tp_corpus *c) {
    if (c == NULL) return;
    close_file(c);
    for (size_t i = 0; i < c->n_files; i++) tp_free(c->files[i]);
    tp_free(c->files);
    tp_str_free(&c->head);
    tp_str_free(&c->document);
    tp_free(c);
}

void tp_corpus_rewind(tp_corpus *c) {
    close_file(c);
    c->file = 0;
}

tp_status tp_corpus_status(const tp_corpus *c) {
    return c->status;
}

void tp_corpus_position(const tp_corpus *c, size_t *done, size_t *total) {
    *done = c->file;
    *total = c->n_files;
}

/* ---- lines ---- */

/* The file's next line; false at its end or on error. A byte order mark in front of the first line is dropped. */
static bool file_line(tp_corpus *c, const char **line, size_t *n) {
    char *bytes;
    if (c->ended) return false;
    if (!tp_lines_next(c->lines, &bytes, n)) {
        c->ended = true;
        c->status = tp_lines_status(c->lines);
        return false;
    }
    c->line++;
    bool marked = c->line == 1 && *n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0;
    *line = bytes + (marked ? 3 : 0);
    *n -= marked ? 3 : 0;
    return true;
}

static bool is_blank(const char *line, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\v\f", line[i]) || line[i] == '\0') return false;
    return true;
}

/* ---- JSON lines ---- */

static bool json_document(tp_corpus *c, const char **text, size_t *n) {
    const char *line, *path = c->files[c->file];
    size_t len;
    while (file_line(c, &line, &len)) {
        if (is_blank(line, len)) continue;
        json_decref(c->json);
        json_error_t error;
        c->json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        json_t *field = json_object_get(c->json, "text");
        if (c->json == NULL)
            c->status = tp_fail(TP_ERR_FORMAT, "%s line %zu is not valid JSON: column %d: %s", path, c->line,
                                error.column, error.text);
        else if (!json_is_object(c->json))
            c->status = tp_fail(TP_ERR_FORMAT, "%s line %zu holds a list, an object was expected", path, c->line);
        else if (field == NULL)
            c->status = tp_fail(TP_ERR_FORMAT, "%s line %zu has no field `text`", path, c->line);
        else if (!json_is_string(field))
            c->status = tp_fail(TP_ERR_FORMAT, "%s line %zu: `text` is not a string", path, c->line);
        if (c->status != TP_OK) return false;
        *text = json_string_value(field);
        *n = json_string_length(field);
        if (*n > 0) return true;
    }
    return false;
}

/* ---- plain text ---- */

/* A line of a split text: first those that were read ahead, then the file's. */
static bool text_line(tp_corpus *c, const char **line, size_t *n) {
    if (c->head_at == c->head.len) return file_line(c, line, n);
    *line = c->head.data + c->head_at;
    const char *end = memchr(*line, '\n', c->head.len - c->head_at);
    *n = (size_t)(end - *line); /* every line in the head has its line feed */
    c->head_at += *n + 1;
    return true;
}

/* Takes line feeds off the end of the document in the making; false if nothing is left of it. */
static bool document_is_whole(tp_corpus *c, const char **text, size_t *n) {
    tp_str *d = &c->document;
    while (d->len > 0 && strchr("\r\n", d->data[d->len - 1]) && d->data[d->len - 1] != '\0') d->data[--d->len] = '\0';
    *text = d->data;
    *n = d->len;
    return d->len > 0;
}

static bool text_document(tp_corpus *c, const char **text, size_t *n) {
    const char *line;
    size_t len;
    if (!c->is_split) {
        while (c->head.len <= LARGEST_WHOLE_TEXT && file_line(c, &line, &len)) {
            if (c->head.len == 0 && is_blank(line, len)) continue;
            tp_str_append(&c->head, line, len);
            tp_str_append_char(&c->head, '\n');
        }
        if (c->status != TP_OK) return false;
        c->is_split = true;
        if (c->ended && c->head.len <= LARGEST_WHOLE_TEXT) { /* the whole text is one document */
            tp_str_clear(&c->document);
            tp_str_append(&c->document, c->head.data ? c->head.data : "", c->head.len);
            c->head_at = c->head.len;
            return document_is_whole(c, text, n);
        }
    }
    tp_str_clear(&c->document);
    while (text_line(c, &line, &len)) {
        if (is_blank(line, len)) {
            if (c->document.len > 0) break;
            continue;
        }
        tp_str_append(&c->document, line, len);
        tp_str_append_char(&c->document, '\n');
    }
    return c->status == TP_OK && document_is_whole(c, text, n);
}

/* ---- documents ---- */

bool tp_corpus_next(tp_corpus *c, const char **text, size_t *n) {
    while (c->status == TP_OK && c->file < c->n_files) {
        const char *path = c->files[c->file];
        if (c->lines == NULL) {
            c->lines = tp_lines_open(path);
            if (c->lines == NULL) {
                c->status = tp_last_status();
                return false;
            }
            c->is_json = is_json_name(path);
        }
        if (c->is_json ? json_document(c, text, n) : text_document(c, text, n)) {
            c->n_documents++;
            return true;
        }
        if (c->status == TP_OK && c->n_documents == 0)
            c->status = tp_fail(TP_ERR_FORMAT, "%s holds no text: at least one document was expected", path);
        if (c->status != TP_OK) return false;
        close_file(c);
        c->file++;
    }
    return false;
}

bool tp_corpus_next_document(void *context, const char **text, size_t *n) {
    return tp_corpus_next(context, text, n);
}
