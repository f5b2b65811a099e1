/* Texts that commands take from an option, a file or stdin. */
#ifndef TP_CLI_INPUT_H
#define TP_CLI_INPUT_H

#include "base/str.h"
#include "cli/command.h"

/* Rows of option tables. */
#define TP_OPTION_PROMPT                                                                                               \
    { .name = "prompt", .letter = 'p', .type = TP_OPT_TEXT, .help = "the text; - reads it from stdin" }
#define TP_OPTION_FILE                                                                                                 \
    {                                                                                                                  \
        .name = "file", .letter = 'f', .type = TP_OPT_PATH, .value = "FILE",                                           \
        .help = "the text is this file's; - is stdin"                                                                  \
    }

/* Appends all of a file, "-" being stdin. With `trim` a last line's end is left out, as shells do. */
tp_status tp_read_text(const char *path, bool trim, tp_str *out);

/* The text of --prompt or --file; refused if both are given, or neither where `required`. */
tp_status tp_args_prompt(tp_args *args, bool required, tp_str *out);

#endif
