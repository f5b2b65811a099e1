/* See text_lines.h. */
#include "data/text_lines.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

struct tp_text_lines {
    tp_lines *lines;
    char *path;
    size_t number;
    tp_status status;
};

tp_text_lines *tp_text_lines_open(const char *path) {
    tp_lines *lines = tp_lines_open(path);
    if (lines == NULL) return NULL;
    tp_text_lines *out = tp_alloc(sizeof *out);
    *out = (tp_text_lines){.lines = lines, .path = tp_strdup(path)};
    return out;
}

bool tp_text_lines_next(tp_text_lines *l, char **line, size_t *len, bool *cr) {
    if (l->status != TP_OK) return false;
    if (!tp_lines_next(l->lines, line, len)) {
        l->status = tp_lines_status(l->lines);
        return false;
    }
    if (++l->number == 1 && *len >= 2 && (memcmp(*line, "\xFF\xFE", 2) == 0 || memcmp(*line, "\xFE\xFF", 2) == 0)) {
        l->status =
            tp_fail(TP_ERR_FORMAT, "%s is text in UTF-16 (its byte-order mark says so); save it as UTF-8", l->path);
        return false;
    }
    if (l->number == 1 && *len >= 3 && memcmp(*line, "\xEF\xBB\xBF", 3) == 0) *line += 3, *len -= 3;
    if (memchr(*line, '\0', *len)) {
        l->status = tp_fail(TP_ERR_FORMAT,
                            "%s, line %zu holds a zero byte; text was expected (text in UTF-16 must be saved as UTF-8)",
                            l->path, l->number);
        return false;
    }
    bool ends_in_cr = *len > 0 && (*line)[*len - 1] == '\r';
    *len -= ends_in_cr;
    if (cr) *cr = ends_in_cr;
    return true;
}

size_t tp_text_lines_number(const tp_text_lines *lines) {
    return lines->number;
}

tp_status tp_text_lines_status(const tp_text_lines *lines) {
    return lines->status;
}

bool tp_text_lines_recover(tp_text_lines *l) {
    if (tp_lines_status(l->lines) == TP_OK) l->status = TP_OK;
    return l->status == TP_OK;
}

void tp_text_lines_close(tp_text_lines *lines) {
    if (lines == NULL) return;
    tp_lines_close(lines->lines);
    tp_free(lines->path);
    tp_free(lines);
}

void tp_trim(const char **text, size_t *n) {
    while (*n > 0 && isspace((unsigned char)**text)) ++*text, --*n;
    while (*n > 0 && isspace((unsigned char)(*text)[*n - 1])) --*n;
}
