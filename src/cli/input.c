/* Texts that commands take. See input.h. */
#include "cli/input.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static tp_status read_stdin(tp_str *out) {
    char buffer[1 << 16];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, stdin)) > 0;) tp_str_append(out, buffer, n);
    return ferror(stdin) ? tp_fail(TP_ERR_IO, "cannot read stdin: %s", strerror(errno)) : TP_OK;
}

static tp_status read_file(const char *path, tp_str *out) {
    char *text;
    size_t n;
    TP_TRY(tp_read_file(path, 0, &text, &n));
    tp_str_append(out, text, n);
    tp_free(text);
    return TP_OK;
}

tp_status tp_read_text(const char *path, bool trim, tp_str *out) {
    size_t before = out->len;
    TP_TRY(strcmp(path, "-") == 0 ? read_stdin(out) : read_file(path, out));
    if (trim && out->len > before && out->data[out->len - 1] == '\n') out->len--;
    if (trim && out->len > before && out->data[out->len - 1] == '\r') out->len--;
    tp_str_append(out, "", 0);
    return TP_OK;
}

tp_status tp_args_prompt(tp_args *args, bool required, tp_str *out) {
    const char *prompt = tp_args_text(args, "prompt"), *file = tp_args_text(args, "file");
    if (prompt && file) return tp_args_refuse(args, "of --prompt and --file only one can be given");
    if (prompt == NULL && file == NULL)
        return required ? tp_args_refuse(args, "give a text with --prompt or --file") : TP_OK;
    if (file) return tp_read_text(file, true, out);
    if (strcmp(prompt, "-") == 0) return tp_read_text("-", true, out);
    tp_str_append_text(out, prompt);
    return TP_OK;
}
