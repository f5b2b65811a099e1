/* `telepathy help`: the list of commands, the manual of one, the man page. */
#include "cli/command.h"
#include "cli/manual.h"
#include "cli/terminal.h"

#include <stdio.h>

static tp_status run(tp_args *args) {
    const char *name = tp_args_text(args, "COMMAND");
    bool bold = tp_terminal_is(stdout, true);
    tp_str text = {0};
    if (tp_args_flag(args, "man")) {
        tp_manual_man(&text);
    } else if (name == NULL) {
        tp_manual_overview(&text, bold);
    } else {
        const tp_command *command = tp_command_find(name);
        if (command == NULL) return tp_args_refuse(args, "there is no command `%s`; `telepathy help` lists them", name);
        tp_manual_command(&text, command, bold);
    }
    fwrite(text.data, 1, text.len, stdout);
    tp_str_free(&text);
    return TP_OK;
}

const tp_command tp_cmd_help = {
    .name = "help",
    .summary = "show the list of commands, or the manual of one",
    .text = "`telepathy help COMMAND` shows the same as `telepathy COMMAND --help`.",
    .examples = "telepathy help tokenizer\n"
                "telepathy help --man | man -l -\n",
    .options =
        (const tp_option[]){
            {.name = "COMMAND", .type = TP_OPT_TEXT, .positional = true, .help = "the command whose manual is wanted"},
            {.name = "man", .type = TP_OPT_FLAG, .help = "print the whole manual as a man page"},
            {0},
        },
    .run = run,
};
