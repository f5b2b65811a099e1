/* `telepathy completion`: scripts that let a shell complete commands, options and values, made from the tables. */
#include "base/str.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

enum { BASH, ZSH, FISH };
static const char *const shells[] = {"bash", "zsh", "fish", NULL};

typedef void (*visit)(tp_str *out, const tp_command *command, const tp_option *option);

static void each_option(tp_str *out, const tp_command *command, visit function) {
    for (const tp_option *o = command->options; o->name; o++) function(out, command, o);
    for (const tp_option *o = tp_global_options; o->name; o++) function(out, command, o);
}

static void words(tp_str *out, const char *const *choices) {
    for (size_t i = 0; choices && choices[i]; i++) tp_str_appendf(out, "%s%s", i ? " " : "", choices[i]);
}

static void command_names(tp_str *out) {
    for (size_t i = 0; tp_commands[i]; i++) tp_str_appendf(out, "%s%s", i ? " " : "", tp_commands[i]->name);
}

/* ---- bash: one case for the option in front, one for the command's options ---- */

static void bash_name(tp_str *out, const tp_command *command, const tp_option *o) {
    (void)command;
    char name[64];
    tp_option_long_name(o, name, sizeof name);
    if (tp_option_named(o)) tp_str_appendf(out, " --%s", name);
}

/* What may follow the option: choices, files, or nothing the shell could know. */
static void bash_value(tp_str *out, const tp_command *command, const tp_option *o) {
    if (!tp_option_named(o) || o->type == TP_OPT_FLAG) return;
    char name[64];
    tp_option_long_name(o, name, sizeof name);
    tp_str_appendf(out, "    %s:--%s", command->name, name);
    if (o->letter) tp_str_appendf(out, "|%s:-%c", command->name, o->letter);
    tp_str_append_text(out, ") ");
    if (o->choices) {
        tp_str_append_text(out, "COMPREPLY=($(compgen -W '");
        words(out, o->choices);
        tp_str_append_text(out, "' -- \"$current\")); ");
    } else if (o->type == TP_OPT_PATH) {
        tp_str_append_text(out, "COMPREPLY=($(compgen -f -- \"$current\")); ");
    }
    tp_str_append_text(out, "return ;;\n");
}

static void bash_script(tp_str *out) {
    tp_str_append_text(out, "# bash completion for telepathy\n_telepathy() {\n"
                            "  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}\n"
                            "  COMPREPLY=()\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W '");
    command_names(out);
    tp_str_append_text(out, "' -- \"$current\"))\n    return\n  fi\n"
                            "  case $command:${COMP_WORDS[COMP_CWORD-1]} in\n");
    for (size_t i = 0; tp_commands[i]; i++) each_option(out, tp_commands[i], bash_value);
    tp_str_append_text(out, "  esac\n  local names=\n  case $command in\n");
    for (size_t i = 0; tp_commands[i]; i++) {
        tp_str_appendf(out, "    %s) names='", tp_commands[i]->name);
        each_option(out, tp_commands[i], bash_name);
        tp_str_append_text(out, "' ;;\n");
    }
    tp_str_append_text(out,
                       "  esac\n  case $current in\n    -*) COMPREPLY=($(compgen -W \"$names\" -- \"$current\")) ;;\n"
                       "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n  esac\n}\n"
                       "complete -o filenames -F _telepathy telepathy\n");
}

/* ---- zsh ---- */

/* Inside '...[help]': the quote, and what _arguments would read as its own. */
static void zsh_quote(tp_str *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'')
            tp_str_append_text(out, "'\\''");
        else if (strchr("[]:\\", *text))
            tp_str_appendf(out, "\\%c", *text);
        else
            tp_str_append_char(out, *text);
    }
}

static void zsh_row(tp_str *out, const tp_option *o, bool by_place) {
    char name[64];
    tp_option_long_name(o, name, sizeof name);
    tp_str_append_text(out, " \\\n        '");
    if (by_place)
        tp_str_append_text(out, o->many ? "*" : o->required ? "" : ":");
    else
        tp_str_appendf(out, "%s--%s[", o->type == TP_OPT_LIST || o->type == TP_OPT_TEXTS ? "*" : "", name);
    if (!by_place) zsh_quote(out, o->help ? o->help : "");
    if (!by_place) tp_str_append_char(out, ']');
    if (by_place || o->type != TP_OPT_FLAG) {
        tp_str_appendf(out, ":%s:", tp_option_value_name(o));
        if (o->choices) {
            tp_str_append_char(out, '(');
            words(out, o->choices);
            tp_str_append_char(out, ')');
        } else if (o->type == TP_OPT_PATH) {
            tp_str_append_text(out, "_files");
        }
    }
    tp_str_append_char(out, '\'');
}

static void zsh_option(tp_str *out, const tp_command *command, const tp_option *o) {
    (void)command;
    if (tp_option_named(o)) zsh_row(out, o, false);
    if (o->positional) zsh_row(out, o, true);
}

static void zsh_script(tp_str *out) {
    tp_str_append_text(out, "#compdef telepathy\n_telepathy() {\n  local -a commands\n  commands=(\n");
    for (size_t i = 0; tp_commands[i]; i++) {
        tp_str_appendf(out, "    '%s:", tp_commands[i]->name);
        zsh_quote(out, tp_commands[i]->summary);
        tp_str_append_text(out, "'\n");
    }
    tp_str_append_text(out, "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
                            "  local command=${words[2]}\n  shift words\n  (( CURRENT-- ))\n  case $command in\n");
    for (size_t i = 0; tp_commands[i]; i++) {
        tp_str_appendf(out, "    %s)\n      _arguments", tp_commands[i]->name);
        each_option(out, tp_commands[i], zsh_option);
        tp_str_append_text(out, " ;;\n");
    }
    tp_str_append_text(out, "  esac\n}\n_telepathy \"$@\"\n");
}

/* ---- fish ---- */

static void fish_quote(tp_str *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') tp_str_append_char(out, '\\');
        tp_str_append_char(out, *text);
    }
}

static void fish_option(tp_str *out, const tp_command *command, const tp_option *o) {
    if (!tp_option_named(o)) return;
    char name[64];
    tp_option_long_name(o, name, sizeof name);
    tp_str_appendf(out, "complete -c telepathy -n '__fish_seen_subcommand_from %s' -l %s", command->name, name);
    if (o->letter) tp_str_appendf(out, " -s %c", o->letter);
    if (o->choices) {
        tp_str_append_text(out, " -x -a '");
        words(out, o->choices);
        tp_str_append_char(out, '\'');
    } else if (o->type != TP_OPT_FLAG) {
        tp_str_append_text(out, o->type == TP_OPT_PATH ? " -r" : " -x");
    }
    tp_str_append_text(out, " -d '");
    fish_quote(out, o->help ? o->help : "");
    tp_str_append_text(out, "'\n");
}

static void fish_script(tp_str *out) {
    tp_str_append_text(out, "# fish completion for telepathy\n");
    for (size_t i = 0; tp_commands[i]; i++) {
        tp_str_appendf(out, "complete -c telepathy -f -n __fish_use_subcommand -a %s -d '", tp_commands[i]->name);
        fish_quote(out, tp_commands[i]->summary);
        tp_str_append_text(out, "'\n");
        each_option(out, tp_commands[i], fish_option);
    }
}

static tp_status run(tp_args *args) {
    tp_str text = {0};
    int shell = tp_args_choice(args, "SHELL");
    (shell == BASH ? bash_script : shell == ZSH ? zsh_script : fish_script)(&text);
    fwrite(text.data, 1, text.len, stdout);
    tp_str_free(&text);
    return TP_OK;
}

const tp_command tp_cmd_completion = {
    .name = "completion",
    .summary = "print a script that lets a shell complete commands, options and values",
    .text = "`make install` puts the scripts where the shells look for them; this is for everybody else.",
    .examples = "source <(telepathy completion bash)\n"
                "telepathy completion fish > ~/.config/fish/completions/telepathy.fish\n",
    .options =
        (const tp_option[]){
            {.name = "SHELL",
             .type = TP_OPT_CHOICE,
             .choices = shells,
             .positional = true,
             .required = true,
             .help = "one of"},
            {0},
        },
    .run = run,
    .hidden = true,
};
