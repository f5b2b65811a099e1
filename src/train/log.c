/* JSON lines that survive being killed. See log.h. */
#include "train/log.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line cut off by a kill is no JSON, hence goes too. */
static bool belongs_to_the_past(const char *line, size_t n, int64_t step) {
    json_t *value = json_loadb(line, n, 0, NULL), *own = json_object_get(value, "step");
    bool keep = json_is_integer(own) && json_integer_value(own) <= step;
    json_decref(value);
    return keep;
}

tp_status tp_log_begin(const char *path, int64_t step) {
    bool resumed = step > 0 && tp_path_exists(path);
    tp_lines *lines = resumed ? tp_lines_open(path) : NULL;
    if (resumed && lines == NULL) return tp_last_status();
    tp_writer *w = tp_writer_open(path);
    tp_status status = w ? TP_OK : tp_last_status();
    char *line;
    size_t n;
    while (w && lines && tp_lines_next(lines, &line, &n))
        if (belongs_to_the_past(line, n, step)) tp_writer_printf(w, "%s\n", line);
    if (lines && status == TP_OK) status = tp_lines_status(lines);
    tp_lines_close(lines);
    if (status == TP_OK) return tp_writer_commit(w);
    tp_writer_abandon(w);
    return status;
}

tp_status tp_log_add(const char *path, json_t *line) {
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    if (text == NULL) return tp_fail(TP_ERR_ARGUMENT, "a line of %s has no JSON form", path);
    FILE *file = fopen(path, "ae");
    int error = file ? 0 : errno;
    if (file && fprintf(file, "%s\n", text) < 0) error = errno;
    if (file && fflush(file) != 0) error = errno;
    if (file) (void)fsync(fileno(file)); /* a state is saved after the lines before it: so it is on the disk, too */
    if (file && fclose(file) != 0 && error == 0) error = errno;
    free(text);
    return error ? tp_fail(TP_ERR_IO, "cannot write %s: %s", path, strerror(error)) : TP_OK;
}

json_t *tp_log_text(const char *text) {
    json_t *string = json_string(text);
    if (string) return string;
    char *plain = tp_strdup(text);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    string = json_string(plain);
    tp_free(plain);
    return string;
}
