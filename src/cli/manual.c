/* Manual pages from tables. See manual.h. */
#include "cli/manual.h"

#include "base/table.h"

#include <string.h>

enum { WIDTH = 90, HELP_COLUMN = 28 };

static const char SUMMARY[] = "hand hidden states from one language model to another";

static const char DESCRIPTION[] =
    "A sender model reads a text up to one of its middle layers; a small trained bridge turns the hidden states there "
    "into a few soft tokens of a receiver model of another family; the receiver answers from those, without the text "
    "ever "
    "being written out. Both models stay frozen. One program runs the models, trains the bridge, measures it against "
    "every "
    "plainer alternative, and says so when it does not win.\n\n"
    "Answers go to stdout, progress and errors to stderr.";

static const char *const exit_lines[] = {
    "0",   "the work is done",
    "1",   "the work failed; one sentence on stderr says what on which file",
    "2",   "the command line makes no sense; one sentence says why",
    "130", "interrupted (Ctrl-C); long work leaves a state it can be resumed from"};

/* ---- text for a terminal ---- */

static void pad_to(tp_str *out, size_t *column, size_t target) {
    for (; *column < target; ++*column) tp_str_append_char(out, ' ');
}

/* Appends words of text[0..n) so that no line passes WIDTH; the first starts at `column`, the others at `indent`. */
static void wrap(tp_str *out, const char *text, size_t n, size_t column, size_t indent) {
    bool first = true;
    for (size_t i = 0; i < n;) {
        size_t length = 0;
        while (i + length < n && text[i + length] != ' ' && text[i + length] != '\n') length++;
        if (length == 0) {
            i++;
            continue;
        }
        size_t wide = tp_text_width(text + i, length);
        if (!first && column + 1 + wide > WIDTH) {
            tp_str_append_char(out, '\n');
            column = 0;
        } else if (!first) {
            tp_str_append_char(out, ' ');
            column++;
        }
        pad_to(out, &column, indent);
        tp_str_append(out, text + i, length);
        column += wide;
        first = false;
        i += length;
    }
    tp_str_append_char(out, '\n');
}

/* The next paragraph at *text: its length, and *text moves behind it. A line that starts with a blank is one of its
 * own. 0 at the end. */
static size_t next_paragraph(const char **text, const char **start) {
    while (**text == '\n') ++*text;
    *start = *text;
    bool literal = **text == ' ';
    const char *end = strstr(*text, literal ? "\n" : "\n\n");
    if (end == NULL) end = *text + strlen(*text);
    if (!literal)
        for (const char *line = *text; (line = memchr(line, '\n', (size_t)(end - line))) != NULL; line++)
            if (line[1] == ' ') {
                end = line;
                break;
            }
    *text = end;
    return (size_t)(end - *start);
}

static void paragraphs(tp_str *out, const char *text) {
    const char *start, *before = text;
    for (size_t n; (n = next_paragraph(&text, &start)) > 0; before = text) {
        if (*start != ' ' || start - before != 1) tp_str_append_char(out, '\n'); /* literal lines stand together */
        if (*start == ' ')
            tp_str_appendf(out, "%.*s\n", (int)n, start);
        else
            wrap(out, start, n, 0, 0);
    }
}

static void heading(tp_str *out, const char *text, bool bold) {
    tp_str_appendf(out, bold ? "\n\x1b[1m%s\x1b[0m\n" : "\n%s\n", text);
}

/* "--seed N", "--json", "FILE..." */
static void option_form(const tp_option *o, tp_str *out) {
    if (o->positional)
        tp_str_appendf(out, "%s%s", o->name, o->many ? "..." : "");
    else if (o->type == TP_OPT_FLAG)
        tp_str_appendf(out, "--%s", o->name);
    else
        tp_str_appendf(out, "--%s %s", o->name, tp_option_value_name(o));
}

/* The phrase, then what the table knows: choices, default, environment twin; of a place also its name. */
static void option_help(const tp_option *o, tp_str *out) {
    tp_str_append_text(out, o->help ? o->help : "");
    for (size_t i = 0; o->choices && o->choices[i]; i++) tp_str_appendf(out, "%s%s", i ? ", " : ": ", o->choices[i]);
    char env[80] = "", name[64];
    if (tp_option_named(o) && strcmp(o->name, "help") != 0) tp_option_env(o, env, sizeof env);
    tp_option_long_name(o, name, sizeof name);
    if (o->positional && tp_option_named(o)) tp_str_appendf(out, " (also -%c or --%s)", o->letter, name);
    if (o->fallback && env[0])
        tp_str_appendf(out, " [default: %s; %s]", o->fallback, env);
    else if (o->fallback)
        tp_str_appendf(out, " [default: %s]", o->fallback);
    else if (env[0])
        tp_str_appendf(out, " [%s]", env);
}

static void usage(const tp_command *command, tp_str *out) {
    tp_str_appendf(out, "telepathy %s", command->name);
    for (const tp_option *o = command->options; o->name; o++) {
        if (!o->positional && !o->required) continue;
        tp_str_append_text(out, o->required ? " " : " [");
        option_form(o, out);
        if (!o->required) tp_str_append_char(out, ']');
    }
    tp_str_append_text(out, " [options]");
}

static void option_row(tp_str *out, const tp_option *o) {
    tp_str left = {0}, right = {0};
    if (o->positional)
        tp_str_append_text(&left, "  ");
    else if (o->letter)
        tp_str_appendf(&left, "  -%c, ", o->letter);
    else
        tp_str_append_text(&left, "      ");
    option_form(o, &left);
    option_help(o, &right);
    tp_str_append(out, left.data, left.len);
    size_t column = left.len;
    if (column + 2 > HELP_COLUMN) {
        tp_str_append_char(out, '\n');
        column = 0;
    }
    wrap(out, right.data, right.len, column, HELP_COLUMN);
    tp_str_free(&left);
    tp_str_free(&right);
}

static void option_rows(tp_str *out, const char *title, const tp_option *options, bool positional, bool bold) {
    bool any = false;
    for (const tp_option *o = options; o->name; o++) {
        if (o->positional != positional) continue;
        if (!any) heading(out, title, bold);
        any = true;
        option_row(out, o);
    }
}

void tp_manual_command(tp_str *out, const tp_command *command, bool bold) {
    tp_str line = {0};
    tp_str_appendf(out, bold ? "\x1b[1mtelepathy %s\x1b[0m - " : "telepathy %s - ", command->name);
    wrap(out, command->summary, strlen(command->summary), strlen(command->name) + 13, 4);
    usage(command, &line);
    tp_str_append_text(out, "\nUsage: ");
    wrap(out, line.data, line.len, 7, 7);
    tp_str_free(&line);
    if (command->text) paragraphs(out, command->text);
    option_rows(out, "Arguments:", command->options, true, bold);
    option_rows(out, "Options:", command->options, false, bold);
    option_rows(out, "Options of every command:", tp_global_options, false, bold);
    if (command->examples == NULL) return;
    heading(out, "Examples:", bold);
    for (const char *at = command->examples; *at;) {
        size_t n = strcspn(at, "\n");
        tp_str_appendf(out, "  %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
}

void tp_manual_overview(tp_str *out, bool bold) {
    tp_str_append_text(out, bold ? "\x1b[1mtelepathy\x1b[0m - " : "telepathy - ");
    wrap(out, SUMMARY, strlen(SUMMARY), 12, 4);
    tp_str_append_text(out, "\nUsage: telepathy COMMAND [arguments and options]\n");
    paragraphs(out, DESCRIPTION);
    heading(out, "Commands:", bold);
    for (size_t i = 0; tp_commands[i]; i++) {
        if (tp_commands[i]->hidden) continue;
        tp_str_appendf(out, "  %-12s", tp_commands[i]->name);
        wrap(out, tp_commands[i]->summary, strlen(tp_commands[i]->summary), 14, 14);
    }
    tp_str_append_text(out,
                       "\n`telepathy COMMAND --help` is the manual of a command. Every option --some-name may also "
                       "stand in the\nenvironment as TELEPATHY_SOME_NAME; the command line wins.\n");
}

/* ---- the man page ---- */

/* Text in which nothing is a macro: backslashes and hyphens escaped, no line starts with a dot or an apostrophe. */
static void roff(tp_str *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bool line_start = out->len == 0 || out->data[out->len - 1] == '\n';
        if (line_start && (text[i] == '.' || text[i] == '\'')) tp_str_append_text(out, "\\&");
        if (text[i] == '\\')
            tp_str_append_text(out, "\\e");
        else if (text[i] == '-')
            tp_str_append_text(out, "\\-");
        else
            tp_str_append_char(out, text[i]);
    }
}

static void roff_line(tp_str *out, const char *text, size_t n) {
    roff(out, text, n);
    tp_str_append_char(out, '\n');
}

static void roff_paragraphs(tp_str *out, const char *text) {
    const char *start;
    for (size_t n; (n = next_paragraph(&text, &start)) > 0;) {
        bool literal = *start == ' ';
        tp_str_append_text(out, literal ? ".br\n" : ".PP\n");
        roff_line(out, start, n);
    }
}

static void roff_options(tp_str *out, const tp_option *options) {
    for (const tp_option *o = options; o->name; o++) {
        tp_str form = {0}, help = {0};
        if (o->letter && !o->positional) tp_str_appendf(&form, "-%c, ", o->letter);
        option_form(o, &form);
        option_help(o, &help);
        tp_str_append_text(out, ".TP\n.B ");
        roff_line(out, form.data, form.len);
        roff_line(out, help.data, help.len);
        tp_str_free(&form);
        tp_str_free(&help);
    }
}

static void roff_command(tp_str *out, const tp_command *command) {
    tp_str line = {0};
    usage(command, &line);
    tp_str_append_text(out, ".SS ");
    roff_line(out, line.data, line.len);
    tp_str_free(&line);
    roff_line(out, command->summary, strlen(command->summary));
    if (command->text) roff_paragraphs(out, command->text);
    roff_options(out, command->options);
    if (command->examples == NULL) return;
    tp_str_append_text(out, ".PP\nExamples:\n.PP\n.nf\n");
    roff(out, command->examples, strlen(command->examples));
    tp_str_append_text(out, ".fi\n");
}

void tp_manual_man(tp_str *out) {
    tp_str_append_text(out,
                       ".TH TELEPATHY 1 \"\" \"telepathy " TP_VERSION "\" \"User Commands\"\n.SH NAME\ntelepathy \\- ");
    roff_line(out, SUMMARY, strlen(SUMMARY));
    tp_str_append_text(out, ".SH SYNOPSIS\n.B telepathy\n.I COMMAND\n[arguments and options]\n.SH DESCRIPTION\n");
    roff_paragraphs(out, DESCRIPTION);
    tp_str_append_text(out, ".SH COMMANDS\n");
    for (size_t i = 0; tp_commands[i]; i++) roff_command(out, tp_commands[i]);
    tp_str_append_text(out, ".SH OPTIONS OF EVERY COMMAND\n");
    roff_options(out, tp_global_options);
    tp_str_append_text(out, ".SH ENVIRONMENT\nEvery option \\-\\-some\\-name may stand in the environment as "
                            "TELEPATHY_SOME_NAME; the command line wins. NO_COLOR, if set, keeps the output plain.\n"
                            ".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof exit_lines / sizeof exit_lines[0]; i += 2) {
        tp_str_appendf(out, ".TP\n.B %s\n", exit_lines[i]);
        roff_line(out, exit_lines[i + 1], strlen(exit_lines[i + 1]));
    }
}
