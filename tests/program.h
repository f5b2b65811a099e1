/* The real program for tests: runs it through the shell, and says what came out. */
#ifndef TP_TESTS_PROGRAM_H
#define TP_TESTS_PROGRAM_H

#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <sys/wait.h>

typedef struct outcome {
    int code;
    char *out, *err;
} outcome;

/* The text with `dir` for every @; valid until the next call. */
static inline const char *in_dir(const char *text) {
    static tp_str out;
    tp_str_clear(&out);
    for (; *text; text++) tp_str_append(&out, *text == '@' ? dir : text, *text == '@' ? strlen(dir) : 1);
    return out.data ? out.data : "";
}

/* Runs the program with arguments in which each @ stands for the folder, `before` in front of it (environment
 * settings), and nothing on stdin unless the arguments redirect it. The outcome before is forgotten. */
static inline outcome telepathy(const char *before, const char *arguments) {
    static outcome last;
    tp_free(last.out);
    tp_free(last.err);
    tp_str command = {0};
    tp_str_appendf(&command, "%s '%s/telepathy' </dev/null %s", before, TP_BINARY_DIR, in_dir(arguments));
    tp_str_append_text(&command, in_dir(" >'@/out' 2>'@/err'"));
    int status = system(command.data);
    tp_str_free(&command);
    assert_true(WIFEXITED(status));
    last.code = WEXITSTATUS(status);
    size_t n;
    check_ok(tp_read_file(in_dir("@/out"), 0, &last.out, &n));
    check_ok(tp_read_file(in_dir("@/err"), 0, &last.err, &n));
    return last;
}

/* A failure: nothing on stdout, one line on stderr that holds `sentence`. */
static inline void expect_failure(const char *before, const char *arguments, int code, const char *sentence) {
    outcome o = telepathy(before, arguments);
    if (o.code != code || o.out[0] || strstr(o.err, sentence) == NULL)
        fail_msg("telepathy %s: code %d, `%s` on stdout, `%s` on stderr; expected were code %d and `%s`", arguments,
                 o.code, o.out, o.err, code, sentence);
    char *end = strchr(o.err, '\n');
    if (end == NULL || end[1]) fail_msg("telepathy %s: more than one line on stderr: `%s`", arguments, o.err);
}

/* What is on stdout, which holds `answer`. */
static inline const char *expect_success(const char *before, const char *arguments, const char *answer) {
    outcome o = telepathy(before, arguments);
    if (o.code != 0 || strstr(o.out, answer) == NULL)
        fail_msg("telepathy %s: code %d, `%s` on stdout, `%s` on stderr; expected was `%s`", arguments, o.code, o.out,
                 o.err, answer);
    return o.out;
}

static inline json_t *expect_json(const char *before, const char *arguments) {
    const char *out = expect_success(before, arguments, "");
    json_t *value = tp_json_load_bytes(out, strlen(out), arguments);
    check_not_null(value);
    return value;
}

#endif
